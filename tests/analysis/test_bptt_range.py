"""Gradients whose parts lie farther apart than the range of a double: against closed forms and fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradflow
from gradflow.analysis.bptt.losses import FINAL_LOSS, RANDOM_LOSS
from gradflow.analysis.bptt.sweep import Streams
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.linalg.columns import Columns
from gradflow.linalg.scaled import LOG10_2
from tests.analysis.taken_apart import LEFT, ROUTES, choose, linear, network, swept


def relu_units(weights, steps, shut):
    """Units h' = max(w h + x, 0) that stay at 1, and at the steps of ``shut``, (unit, step), are 0."""
    weights = np.asarray(weights)
    inputs = np.tile(1 - weights, (steps, 1))
    inputs[0] = 1.0
    for unit, step in shut:
        inputs[step, unit] = -1.0 - abs(weights[unit])
        if step + 1 < steps and (unit, step + 1) not in shut:
            inputs[step + 1, unit] = 1.0
    size = len(weights)
    return RNN(np.eye(size), np.diag(weights), np.zeros(size), "relu"), inputs


def log10(value):
    """log₁₀ of a fraction of any size."""
    if not value:
        return -math.inf
    return math.log2(value.numerator) * LOG10_2 - math.log2(value.denominator) * LOG10_2


@pytest.mark.parametrize("way", ROUTES)
def test_a_block_keeps_its_signal_beside_one_that_grows_before_it_dies(way, monkeypatch):
    choose(monkeypatch, way)
    steps, dies, grows, falls = 140, 100, 6, -6
    cell, inputs = relu_units([2.0**grows, 2.0**falls], steps, [(0, steps - 1 - dies)])
    found = swept(cell, inputs, FINAL_LOSS, np.zeros((steps, 2)), "bias", pairs=True)
    lags = np.arange(steps)
    # 2^600 beside 2^-600 at last, 1e-361 of it; from there on the second unit alone
    np.testing.assert_allclose(found.logs()[1:dies], grows * lags[1:dies] * LOG10_2, rtol=1e-4)
    np.testing.assert_allclose(found.logs()[dies:], falls * lags[dies:] * LOG10_2, rtol=1e-14)
    np.testing.assert_allclose(found.pairs.log10_norms[-1, ::-1], found.logs(), rtol=1e-14)
    far = lags[dies : steps - 10]
    tail = falls * (far + 1) * LOG10_2 - math.log10(1 - 2.0**falls) - found.pairs.account.norm.log10()
    lost = [found.lags[lag].error.log10() for lag in far]
    np.testing.assert_allclose(lost, tail, rtol=1e-14, atol=LEFT[way])


def test_parts_of_rows_that_are_small_beside_others_have_their_size():
    # the error signal of the second unit alone reaches the weights of a projection's rows
    chain = np.array([[1e-160, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    cell, steps = linear(chain), 40
    tanh = RNN(cell.weight_ih, cell.weight_hh, cell.bias, "tanh")
    found = gradflow.bptt(
        network(tanh), loss="final", targets=np.ones(3), input="zero", steps=steps, parameter="bias"
    )
    np.testing.assert_allclose(found.lags.log10_norm[2:], -160.0 * np.arange(2, steps), rtol=1e-14)


def test_a_forget_gate_that_is_shut_multiplies_by_what_it_is():
    # f = σ(−800) = e^−800, which is 0 as a double
    bias = np.array([1.0, -800.0, 1.0, 1.0])
    cell = LSTM(np.zeros((4, 1)), np.zeros((4, 1)), bias)
    found = gradflow.bptt(
        network(cell), loss="final", targets=[0.0], input="zero", steps=30, parameter="bias"
    )
    falls = np.diff(found.lags.log10_norm[1:29])
    np.testing.assert_allclose(falls, -800.0 / math.log(10), rtol=1e-13)
    assert not any("count as 0" in note for note in found.notes)


def test_a_state_that_decays_under_every_double_is_not_0():
    steps, power = 300, -8
    cell = RNN(np.ones((1, 1)), np.array([[2.0**power]]), np.zeros(1), "identity")
    inputs = np.r_[1.0, np.zeros(steps - 1)][:, None]
    found = gradflow.bptt(network(cell), loss="final", targets=[1.0], input=inputs)
    np.testing.assert_allclose(found.lags.log10_norm[:-1], power * (steps - 2) * LOG10_2, rtol=1e-14)
    assert found.lags.log10_norm[-1] == -math.inf
    np.testing.assert_allclose(found.lags.share[:-1], 1 / (steps - 1), rtol=1e-12)


@pytest.mark.parametrize("size", [1e308, 1e-308, 1e-200])
def test_errors_of_any_size_are_errors(size):
    cell = RNN(np.zeros((1, 1)), np.zeros((1, 1)), np.array([size]), "identity")
    targets = np.full((7, 1), -size)
    found = gradflow.bptt(network(cell), targets=targets, input="zero", steps=7, parameter="bias")
    assert found.log10_gradient_norm == pytest.approx(math.log10(size) + math.log10(2), rel=1e-14)
    assert found.lags.share.tolist() == [1.0] + [0.0] * 6


def shut_lstm(gates):
    """One unit of an LSTM without weights, whose biases i, f, g and o are these."""
    return network(LSTM(np.zeros((4, 1)), np.zeros((4, 1)), np.array(gates, float)))


def test_what_no_number_holds_is_said_to_be_missing():
    # σ(−12000) is 1e-5212
    found = gradflow.bptt(
        shut_lstm([1, -12_000, 1, 1]), loss="final", input="zero", steps=5, parameter="bias.f"
    )
    assert math.isnan(found.log10_gradient_norm)
    assert math.isnan(found.gradient_norm)
    assert math.isnan(found.trajectory_error)
    assert np.isnan(found.lags.log10_norm).all()
    assert "not proved" in found.conclusion
    assert any("count as 0" in note for note in found.notes)


@pytest.mark.parametrize("steps", [4, 5])
@pytest.mark.parametrize(
    "z", [-800, -5000, -5600, -5677, -5679, -5700, -6000, -9000, -10_100, -10_250, -11_300, -11_400, -20_000]
)
def test_two_shut_gates_in_one_step_are_multiplied_or_said_to_be_missing(z, steps):
    # f and o are e^z, c is σ(0) tanh(1), and the gradient at lag k is f^k of o f' c: two gates in one step
    cell = np.tanh(1) / 2
    expected = (2 * z + math.log(cell)) / math.log(10) + z * np.arange(steps - 1) / math.log(10)
    found = gradflow.bptt(
        shut_lstm([0, z, 1, z]), loss="final", targets=[1.0], input="zero", steps=steps, parameter="bias.f"
    )
    # the slope of tanh(c) on the way out, and c before the last step, are of the open gates
    expected += math.log10(1 - np.tanh(cell) ** 2)
    known = np.isfinite(found.lags.log10_norm[:-1])
    np.testing.assert_allclose(found.lags.log10_norm[:-1][known], expected[known], rtol=1e-12)
    if z > -10_150:
        assert known.all()
        assert found.log10_gradient_norm == pytest.approx(expected[0], rel=1e-12)
    else:
        assert np.isnan(found.lags.log10_norm[:-1][~known]).all()
        assert known.all() or any("count as 0" in note for note in found.notes)
    assert "exactly 0" not in found.conclusion
    assert "loses 0 %" not in found.conclusion


def test_what_is_lost_beside_a_gradient_is_not_said_to_be_0():
    # tanh′(6000) is 1e-5211: nothing of a lag over 0 can be computed
    cell = RNN(np.ones((1, 1)), np.ones((1, 1)), np.array([6000.0]), "tanh")
    open_at_last = np.r_[np.zeros(5), -6001.0][:, None]
    found = gradflow.bptt(
        network(cell), loss="final", targets=[1.0], input=open_at_last, parameter="bias", pair_map=True
    )
    assert found.log10_gradient_norm == 0.0
    assert np.isnan(found.lags.log10_norm[1:]).all()
    assert np.isnan(found.lags.norm[1:]).all()
    assert np.isnan(found.lags.truncation_error[:-1]).all()
    assert found.lags.truncation_error[-1] == 0
    assert np.isnan(found.windows.detached_error).all()
    assert found.detached_error is None or math.isnan(found.detached_error)
    assert np.isnan(found.map.log10_norm[-2::-1]).all()
    assert "loses 0 %" not in found.conclusion
    assert "leave out what is too small" in found.conclusion
    assert any("a 0 is not proved" in note for note in found.notes)


def test_a_shut_relu_is_a_0_that_is_proved():
    cell, inputs = relu_units([0.5], 6, [(0, 3)])
    found = gradflow.bptt(network(cell), loss="final", targets=[0.0], input=inputs, parameter="bias")
    assert np.isneginf(found.lags.log10_norm[2:]).all()
    assert found.lags.truncation_error[1:].tolist() == [0.0] * 5
    assert found.notes == ()


def test_a_target_that_a_tiny_output_misses_by_nothing_but_itself_has_a_gradient():
    # h is σ(−800) tanh(c), 1e-348, and wanted is 0
    found = gradflow.bptt(
        shut_lstm([0, 0, 1, -800]), loss="final", targets=[0.0], input="zero", steps=1, parameter="bias.o"
    )
    shown = np.tanh(np.tanh(1) / 2)
    assert found.log10_gradient_norm == pytest.approx((2 * -800) / math.log(10) + 2 * math.log10(shown))


def test_a_reset_gate_that_is_shut_lets_the_gradient_of_what_it_shuts_through():
    # n is 0: the gradient of b_hn is (1 − z) r = e^−800 / 2
    cell = GRU(np.zeros((3, 1)), np.zeros((3, 1)), np.array([-800.0, 0.0, 0.0]), np.zeros(1))
    found = gradflow.bptt(
        network(cell), loss="final", targets=[1.0], input="zero", steps=1, parameter="bias_hn"
    )
    assert found.log10_gradient_norm == pytest.approx(-800 / math.log(10) - math.log10(2))


@pytest.mark.parametrize("z", [-30.0, -400.0, -1400.0])
def test_an_update_gate_that_is_shut_keeps_what_it_lets_through(z):
    # n is constant, so h − n falls by the factor e^z a step: −n, −n e^z, −n e^2z; each lag adds n e^3z
    cell = GRU(np.zeros((3, 1)), np.zeros((3, 1)), np.array([0.0, z, 1.0]), np.zeros(1))
    found = gradflow.bptt(
        network(cell), loss="final", targets=[0.0], input="zero", steps=3, parameter="bias.z"
    )
    expected = 3 * z / math.log(10) + 2 * math.log10(np.tanh(1))
    np.testing.assert_allclose(found.lags.log10_norm, expected, rtol=1e-12)


def test_a_shut_gru_lets_in_what_1_minus_z_says():
    # h is (1 − z) tanh(1), and 1 − σ(800) is e^−800
    cell = GRU(np.zeros((3, 1)), np.zeros((3, 1)), np.array([0.0, 800.0, 1.0]), np.zeros(1))
    found = gradflow.bptt(
        network(cell), loss="final", targets=[0.0], input="zero", steps=1, parameter="bias.n"
    )
    expected = -1600 / math.log(10) + math.log10(np.tanh(1) * (1 - np.tanh(1) ** 2))
    assert found.log10_gradient_norm == pytest.approx(expected, rel=1e-12)


def test_ordinary_signals_stay_doubles(monkeypatch):
    kinds = set()
    advance = Streams.advance

    def watched(streams):
        kinds.add(type(streams.columns))
        return advance(streams)

    monkeypatch.setattr(Streams, "advance", watched)
    for cell in ("rnn", "rnn:gain=3", "rnn:activation=relu", "gru", "lstm:forget_bias=3"):
        gradflow.bptt(cell, hidden=8, steps=50, features=3)
    assert kinds == {Columns}


WEIGHTS = st.sampled_from([2.0**-532, 2.0**-300, 2.0**-40, 0.25, 0.5, 1.0, 1.5, -1.5, 2.0, -4.0, 2.0**20])
SIZES = st.sampled_from([1.0, 2.0**-660, 2.0**660, 2.0**1020])


@st.composite
def relu_cases(draw):
    size = draw(st.integers(2, 3))
    steps = draw(st.integers(2, 24))
    weights = draw(st.lists(WEIGHTS, min_size=size, max_size=size))
    places = st.tuples(st.integers(0, size - 1), st.integers(0, steps - 1))
    shut = draw(st.lists(places, max_size=4))
    slopes = [[draw(st.integers(-3, 3)) * scale for _ in range(steps)] for scale in draw_sizes(draw, size)]
    return weights, steps, shut, np.array(slopes).T


def draw_sizes(draw, size):
    return draw(st.lists(SIZES, min_size=size, max_size=size))


@given(relu_cases())
@settings(deadline=None, max_examples=25)
@pytest.mark.parametrize("way", ROUTES)
def test_parts_of_separate_units_are_what_fractions_say(way, case):
    weights, steps, shut, slopes = case
    cell, inputs = relu_units(weights, steps, shut)
    states = cell.run(inputs)
    with pytest.MonkeyPatch.context() as patch:
        choose(patch, way)
        found = swept(cell, inputs, RANDOM_LOSS, slopes, "bias", pairs=True)
    # what is asked at t goes back to k by the product of the weights while the unit is open
    pairs = {}
    for unit, weight in enumerate(map(Fraction, weights)):
        for t in range(steps):
            signal = Fraction(slopes[t, unit]) / steps
            for k in range(t, -1, -1):
                signal = signal if states[k + 1, unit] > 0 else Fraction(0)
                pairs.setdefault((t, k), []).append(signal)
                signal = signal * weight
    parts = [
        [sum(pairs[t, t - lag][unit] for t in range(lag, steps)) for unit in range(len(weights))]
        for lag in range(steps)
    ]
    sizes = [
        sum(sum(abs(pairs[t, t - lag][unit]) for t in range(lag, steps)) ** 2 for unit in range(len(weights)))
        for lag in range(steps)
    ]
    for (t, k), pair in pairs.items():
        expected = log10(sum(entry**2 for entry in pair)) / 2
        # where nothing is asked for any more, nothing is entered
        size = found.pairs.log10_norms[t, k]
        assert (-math.inf if math.isnan(size) else size) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    for lag, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        square = sum(entry**2 for entry in part)
        if square * 10**16 > size:  # streams that cancel leave rounding
            assert found.lags[lag].norm.log10() == pytest.approx(log10(square) / 2, rel=1e-9, abs=1e-7)
        elif not size:
            assert found.lags[lag].norm.log10() == -math.inf
