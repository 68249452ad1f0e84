"""Parts of a gradient whose size is known in closed form, as far out of a double's range as they go."""

import math

import numpy as np
import pytest

from gradflow.analysis.bptt.losses import FINAL_LOSS, MEAN_LOSS, RANDOM_LOSS
from gradflow.cells.rnn import RNN
from gradflow.cells.stack import Stack
from gradflow.linalg.scaled import LOG10_2
from tests.analysis.taken_apart import LEFT, ROUTES, choose, linear, swept

STEPS = 300
# each unit is moved to the next, and back to the first with the other sign: orthogonal, and exact in doubles
TURN = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@pytest.fixture(params=ROUTES)
def route(request, monkeypatch):
    """Every way to what is left behind a window; what it may be off by, relatively."""
    choose(monkeypatch, request.param)
    return LEFT[request.param]


def impulse(steps, height=1.0):
    return np.r_[height, np.zeros(steps - 1)][:, None]


def scalar(weight, drive=1.0, bias=0.0, activation="identity"):
    return RNN(np.array([[drive]]), np.array([[weight]]), np.array([bias]), activation)


@pytest.mark.parametrize("power", [-33, -3, -1, 0, 1, 16])
def test_parts_of_a_scaled_rotation_are_powers_of_the_scale(power, route):
    # (2^p Q)ᵀ^l δ has the norm 2^(pl) |δ|: from 1e-2970 to 1e1440
    steps = STEPS if route == LEFT["streams"] else STEPS // 3  # a pass at every lag takes its time
    found = swept(
        linear(2.0**power * TURN), np.zeros((steps, 1)), FINAL_LOSS, np.full((steps, 3), 2.0), "bias"
    )
    lags = np.arange(steps)
    expected = power * lags * LOG10_2 + math.log10(math.sqrt(12))
    np.testing.assert_allclose(found.logs(), expected, rtol=1e-15, atol=1e-15)
    if power < 0:
        # Σ (2^p Q)^j from j = l + 1 on is (2^p Q)^(l+1) times the whole, where the end is 60 bits away
        far = lags[: steps - 60 // -power]
        lost = [found.lags[lag].error.log10() for lag in far]
        np.testing.assert_allclose(lost, power * (far + 1.0) * LOG10_2, rtol=1e-14, atol=route)


@pytest.mark.parametrize("scale", [1e-10, 0.3, 1e5])
def test_parts_of_any_orthogonal_matrix_too(scale):
    generator = np.random.default_rng(0)
    turn = np.linalg.qr(generator.standard_normal((5, 5)))[0]
    targets = generator.standard_normal((STEPS, 5))
    found = swept(linear(scale * turn), np.zeros((STEPS, 1)), FINAL_LOSS, targets, "bias")
    expected = np.arange(STEPS) * math.log10(scale) + math.log10(np.linalg.norm(targets[-1]))
    # each step rounds 5 products: 300 of them move a logarithm by less than 1e-12 of one
    np.testing.assert_allclose(found.logs(), expected, rtol=0, atol=1e-12 * max(1, abs(expected[-1])))


@pytest.mark.parametrize("weight", [0.5, -0.75, 1.0, 1.25, 2.0**-9])
@pytest.mark.parametrize("loss", [FINAL_LOSS, MEAN_LOSS, RANDOM_LOSS], ids=["final", "mean", "random"])
def test_every_part_of_a_linear_unit_is_known(weight, loss):
    # h_t = a h_{t−1} + b: the part of lag l of ∂L/∂a is Σ_t σ_t a^l h_{t−l−1}, and of ∂L/∂b Σ_t σ_t a^l
    steps, bias = 24, 0.5
    wanted = np.cos(np.arange(steps))[:, None]
    states = [0.0]
    for _ in range(steps):
        states.append(weight * states[-1] + bias)
    slope = loss.slope(np.array(states)[None, 1:, None], wanted[None])[0, :, 0]
    cell = scalar(weight, bias=bias)
    for parameter, seen in (("weight_hh", states), ("bias", [1.0] * steps)):
        found = swept(cell, np.zeros((steps, 1)), loss, wanted, parameter)
        expected = [
            math.fsum(slope[t] * weight**lag * seen[t - lag] for t in range(lag, steps))
            for lag in range(steps)
        ]
        size = max(map(abs, expected))
        np.testing.assert_allclose(found.parts[:, 0], expected, rtol=1e-13, atol=1e-15 * size)


@pytest.mark.parametrize("power", [-3, 3])
def test_a_state_that_leaves_the_range_of_its_signals_leaves_no_part_0(power, route):
    # an impulse: h_k = 2^(p(k−1)), and every part of ∂L/∂a but the last is σ 2^(p(T−2)), however it is shared
    inputs = impulse(STEPS)
    slope = np.r_[np.zeros(STEPS - 1), STEPS][:, None]
    found = swept(scalar(2.0**power), inputs, RANDOM_LOSS, slope, "weight_hh", pairs=True)
    expected = power * (STEPS - 2) * LOG10_2
    np.testing.assert_allclose(found.logs()[:-1], expected, rtol=1e-14)
    assert found.logs()[-1] == -math.inf
    np.testing.assert_allclose(found.pairs.log10_norms[-1, 1:], expected, rtol=1e-14)
    np.testing.assert_allclose(found.column("share")[:-1], 1 / (STEPS - 1), rtol=1e-12)
    np.testing.assert_allclose(found.pairs.shares[-1, 1:], 1 / (STEPS - 1), rtol=1e-12)
    np.testing.assert_allclose(
        found.column("error")[:-1], 1 - np.arange(1, STEPS) / (STEPS - 1), rtol=1e-11, atol=1e-15
    )


def test_signals_times_inputs_stay_in_range_where_each_is():
    # ∂L/∂U = Σ a^l x, with |x| = 2^800 and a^l up to 2^230: the state is small for U is
    steps, drive = 80, 2.0**-600
    cell = scalar(8.0, drive=drive)
    found = swept(
        cell, np.full((steps, 1), 2.0**800), RANDOM_LOSS, np.ones((steps, 1)), "weight_ih", pairs=True
    )
    lags = np.arange(steps)
    expected = (3 * lags + 800) * LOG10_2 + np.log10((steps - lags) / steps)
    np.testing.assert_allclose(found.logs(), expected, rtol=1e-14)
    later, earlier = np.tril_indices(steps)
    pairs = (3 * (later - earlier) + 800) * LOG10_2 - math.log10(steps)
    np.testing.assert_allclose(found.pairs.log10_norms[later, earlier], pairs, rtol=1e-14)
    assert np.isfinite(found.column("share")).all()
    assert found.column("share").sum() == pytest.approx(1, abs=1e-12)


def test_tiny_streams_remain_when_those_that_hid_them_have_come_to_the_start(route):
    # a = 1: the part of lag l is Σ σ_t over t > l, of which the first five are 2^1000 and the rest 2^-1000
    steps, early = 20, 5
    slopes = np.r_[np.full(early, 2.0**1000), np.full(steps - early, 2.0**-1000)]
    found = swept(scalar(1.0), np.zeros((steps, 1)), RANDOM_LOSS, steps * slopes[:, None], "bias", pairs=True)
    expected = [
        math.log10(early - lag) + 1000 * LOG10_2 if lag < early else math.log10(steps - lag) - 1000 * LOG10_2
        for lag in range(steps)
    ]
    np.testing.assert_allclose(found.logs(), expected, rtol=1e-14)
    np.testing.assert_allclose(found.column("error")[: early - 1], [10 / 15, 6 / 15, 3 / 15, 1 / 15])
    # what is left then is 1 + … + 15 of those, of a whole of 15 of the others
    rest = found.lags[early - 1].error.log10()
    assert rest == pytest.approx(math.log10(120 / 15) - 2000 * LOG10_2, abs=1e-9)
    later, earlier = np.tril_indices(steps)
    expected = np.where(later < early, 1000 * LOG10_2, -1000 * LOG10_2)
    np.testing.assert_allclose(found.pairs.log10_norms[later, earlier], expected, rtol=1e-14)


def test_a_stream_that_meets_a_state_of_0_hides_none_that_does_not():
    # at lag 0 of ∂L/∂a the first stream, 2^2000 times the others, is multiplied by h_0 = 0
    steps = 8
    slopes = np.r_[2.0**1000, np.full(steps - 1, 2.0**-1000)]
    found = swept(scalar(1.0), impulse(steps), RANDOM_LOSS, steps * slopes[:, None], "weight_hh")
    expected = [math.log10(steps - 1 - lag) - 1000 * LOG10_2 for lag in range(steps - 1)]
    np.testing.assert_allclose(found.logs()[:-1], expected, rtol=1e-14)
    assert found.logs()[-1] == -math.inf


def test_the_first_part_may_be_under_every_double():
    # slope and state of 2^-700 each: parts of 2^-1400
    steps = 6
    cell = scalar(1.0)
    inputs, wanted = impulse(steps, 2.0**-700), np.full((steps, 1), steps * 2.0**-700)
    found = swept(cell, inputs, RANDOM_LOSS, wanted, "weight_hh")
    expected = [math.log10(steps - 1 - lag) - 1400 * LOG10_2 for lag in range(steps - 1)]
    np.testing.assert_allclose(found.logs()[:-1], expected, rtol=1e-14)
    counts = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    np.testing.assert_allclose(found.column("share"), counts / 15, rtol=1e-14)
    np.testing.assert_allclose(found.column("kept"), counts.cumsum() / 15, rtol=1e-14)
    np.testing.assert_allclose(found.column("cosine"), 1, rtol=1e-14)


@pytest.mark.parametrize("power", [-40, 0, 40])
def test_a_nilpotent_matrix_has_exact_zeros_from_its_size_on(power, route):
    size, steps = 4, 30
    targets = np.ones((steps, size))
    found = swept(linear(2.0**power * np.eye(size, k=1)), np.zeros((steps, 1)), FINAL_LOSS, targets, "bias")
    # Wᵀ shifts down: of ones as many as are left
    expected = [math.log10(size - lag) / 2 + power * lag * LOG10_2 for lag in range(size)]
    np.testing.assert_allclose(found.logs()[:size], expected, rtol=1e-14, atol=1e-15)
    assert found.logs()[size:].tolist() == [-math.inf] * (steps - size)
    assert found.column("error")[size - 1 :].tolist() == [0.0] * (steps - size + 1)
    np.testing.assert_allclose(found.column("cosine")[size - 1 :], 1, rtol=1e-15)


def test_a_saturated_unit_multiplies_by_its_slope_at_every_step(route):
    # z = a tanh z' + 200 = 201, save at first 200; tanh′ z = 4e^(−2z) (1 + e^(−2z))^−2 = 4e^(−2z)
    steps, bias = 12, 200.0
    cell, zeros = scalar(1.0, bias=bias, activation="tanh"), np.zeros((steps, 1))
    found = swept(cell, zeros, FINAL_LOSS, zeros, "bias")
    slope = (math.log(4) - 2 * (bias + 1)) / math.log(10)
    expected = slope * np.arange(1, steps + 1)
    expected[-1] += 2 / math.log(10)
    np.testing.assert_allclose(found.logs(), expected, rtol=1e-14)
    assert found.column("error")[0] == pytest.approx(10**slope, rel=1e-11)


def test_what_goes_on_below_hides_nothing_of_the_layers_above():
    # the lower layer keeps what it is asked for, the upper one forgets by 2^-33 a step: 1e-993 at last
    lower, upper = scalar(1.0), scalar(2.0**-33)
    steps = 101
    wanted = np.ones((steps, 1))
    found = swept(Stack((lower, upper)), np.zeros((steps, 1)), FINAL_LOSS, wanted, "layer2.bias")
    np.testing.assert_allclose(found.logs(), -33 * np.arange(steps) * LOG10_2, rtol=1e-14, atol=1e-15)
    # what the lower layer is asked for is a geometric sum, to which the first terms come to be all
    below = swept(Stack((lower, upper)), np.zeros((steps, 1)), FINAL_LOSS, wanted, "layer1.bias")
    np.testing.assert_allclose(below.parts[4:, 0], -1 / (1 - 2.0**-33), rtol=1e-14)


def test_a_batch_has_the_mean_of_the_gradients_of_its_sequences():
    generator = np.random.default_rng(5)
    cell = RNN(*(generator.standard_normal(shape) for shape in ((4, 2), (4, 4), 4)))
    inputs, targets = generator.standard_normal((5, 9, 2)), generator.standard_normal((5, 9, 4))
    for loss in (FINAL_LOSS, MEAN_LOSS):
        together = swept(cell, inputs, loss, targets, "all")
        alone = [swept(cell, x, loss, y, "all") for x, y in zip(inputs, targets, strict=True)]
        assert together.value == pytest.approx(np.mean([one.value for one in alone]), rel=1e-14)
        expected = np.mean([one.parts for one in alone], axis=0)
        np.testing.assert_allclose(together.parts, expected, rtol=0, atol=1e-14 * np.abs(expected).max())
        np.testing.assert_allclose(together.whole, expected.sum(axis=0), rtol=0, atol=1e-13)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_sequence_of_another_scale_hides_none_beside_it(order):
    # one ends with a slope of 2^1000 after its first step, the other has 2^-1000 at its last
    steps = 10
    wanted = np.zeros((2, steps, 1))
    wanted[order[0], 0], wanted[order[1], -1] = 2 * steps * 2.0**1000, 2 * steps * 2.0**-1000
    found = swept(scalar(0.5), np.zeros((2, steps, 1)), RANDOM_LOSS, wanted, "bias")
    expected = -(1000 + np.arange(steps)) * LOG10_2
    expected[0] = 1000 * LOG10_2
    np.testing.assert_allclose(found.logs(), expected, rtol=1e-14)
    np.testing.assert_allclose(found.column("cosine"), 1, rtol=1e-15)
