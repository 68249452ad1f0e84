"""Parts of a gradient by lag, and what windows lose: against plain loops, and where parts are planted."""

import math
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradflow.analysis.bptt.losses import FINAL_LOSS, MEAN_LOSS, RANDOM_LOSS
from gradflow.cells.spec import parse_cell
from gradflow.cells.stack import Stack
from tests import slow
from tests.analysis.taken_apart import LEFT, ROUTES, choose, planted, swept

COLUMNS = {
    "share": "share",
    "cumulative_share": "kept",
    "truncation_error": "error",
    "truncation_cosine": "cosine",
}


@pytest.fixture(params=ROUTES)
def route(request, monkeypatch):
    """Either way to what is left behind a window."""
    choose(monkeypatch, request.param)


def layer_of(cell, number):
    return cell.layers[number] if isinstance(cell, Stack) else cell


def changed(cell, number, parameter, weight):
    if not isinstance(cell, Stack):
        return cell.replace_arrays(**{parameter: weight})
    layers = list(cell.layers)
    layers[number] = layers[number].replace_arrays(**{parameter: weight})
    return Stack(tuple(layers))


def immediate(cell, number, parameter, states, inputs):
    """∂⁺s_k/∂W by central differences of one step, for every step."""
    weight = getattr(layer_of(cell, number), parameter)

    def step(k):
        def run(flat):
            moved = changed(cell, number, parameter, flat.reshape(weight.shape))
            return moved.run(inputs[k : k + 1], states[k])[1]

        return run

    return [slow.central_differences(step(k), weight.ravel()) for k in range(len(inputs))]


def twin(cell, inputs, loss, wanted, number, parameter, initial=None):
    """The parts of all pairs (T, T, N) by dense Jacobians and plain loops."""
    states = cell.run(inputs, initial)
    factor = cell.linearize(states, inputs)
    jacobians = [factor.at(t).todense() for t in range(len(inputs))]
    asked = np.zeros((len(inputs), cell.state_size))
    asked[:, cell.output] = loss.slope(states[None, 1:, cell.output], wanted[None])[0]
    return slow.credit(jacobians, asked, immediate(cell, number, parameter, states, inputs))


SCALES = [  # cell, decimal power by which a part falls with a lag or so
    ("rnn:gain=1.2", 0),
    ("gru", 0),
    ("gru:reset=before", 0),
    ("lstm:forget_bias=1", 0),
    ("lstm:projection=2,layers=2", 0),
    ("rnn:gain=3,init=ginibre", 0),
    ("rnn:gain=1e-2", -2),
    ("rnn:gain=1e-20", -20),
    ("rnn:gain=1e-20,layers=2", -20),
    ("gru:update_bias=-46,gain=1e-20", -20),
    ("lstm:forget_bias=-46,gain=1e-20", -20),
]


@pytest.mark.parametrize("loss", [FINAL_LOSS, MEAN_LOSS, RANDOM_LOSS], ids=["final", "mean", "random"])
@pytest.mark.parametrize(("spec", "power"), SCALES)
def test_every_window_loses_and_keeps_what_plain_loops_say(spec, power, loss, monkeypatch):
    generator = np.random.default_rng(3)
    steps, size, features = 13, 3, 2
    cell = parse_cell(spec).make(size, features, generator)
    inputs = generator.standard_normal((steps, features))
    wanted = generator.standard_normal((steps, cell.output_size))
    initial = 0.1 * generator.standard_normal(cell.state_size)
    number = 1 if isinstance(cell, Stack) else 0
    truth = twin(cell, inputs, loss, wanted, number, "weight_hh", initial)
    by_lag = np.array([truth.diagonal(-lag).sum(axis=-1) for lag in range(steps)])
    sizes = np.sqrt((by_lag**2).sum(axis=1))
    expected = slow.truncation(by_lag)
    if power < 0:
        # the last tail that is not nothing is so small that no difference of sums would see it
        assert 0 < expected["truncation_error"][-2] < 10.0 ** (power * (steps - 2))
    for way in ROUTES:  # the slow twin is the same for all
        choose(monkeypatch, way)
        found = swept(cell, inputs, loss, wanted, f"layer{number + 1}.weight_hh", initial)
        np.testing.assert_allclose(
            found.logs(), np.log10(sizes).astype(float), rtol=0, atol=1e-9, err_msg=way
        )
        for name, own in COLUMNS.items():
            relative = name == "truncation_error"
            np.testing.assert_allclose(
                found.column(own),
                expected[name].astype(float),
                rtol=1e-9 if relative else 0,
                atol=0 if relative else 1e-9,
                err_msg=f"{name} by {way}",
            )


@pytest.mark.parametrize("spec", ["rnn", "gru", "lstm:forget_gate=off", "lstm:layers=2"])
def test_a_map_is_that_of_plain_loops_and_adds_up_to_the_lags(spec):
    generator = np.random.default_rng(4)
    cell = parse_cell(spec).make(3, 2, generator)
    inputs, wanted = generator.standard_normal((8, 2)), generator.standard_normal((8, cell.output_size))
    truth = twin(cell, inputs, MEAN_LOSS, wanted, 0, "weight_hh").astype(float)
    found = swept(cell, inputs, MEAN_LOSS, wanted, "layer1.weight_hh", pairs=True)
    later, earlier = np.tril_indices(8)
    norms = np.linalg.norm(truth, axis=-1)
    np.testing.assert_allclose(
        10 ** found.pairs.log10_norms[later, earlier], norms[later, earlier], atol=1e-12 * norms.max()
    )
    assert (norms[:, 0] == 0).all()  # the state before the first step is 0, and so is its part
    assert (found.pairs.log10_norms[:, 0] == -math.inf).all()
    by_lag = [found.pairs.shares.diagonal(-lag).sum() for lag in range(8)]
    np.testing.assert_allclose(by_lag, found.column("share"), rtol=0, atol=1e-13)


def parts_of(size):
    shapes = st.tuples(st.integers(1, 9), st.just(size))
    return arrays(np.int64, shapes, elements=st.integers(-(2**20), 2**20))


@given(st.integers(1, 3).flatmap(parts_of))
@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("way", ROUTES)
def test_windows_of_planted_parts_lose_what_integers_say(way, parts):
    # any parts at all: that cancel, that come back, that are 0; sums of integers are exact
    with pytest.MonkeyPatch.context() as patch:
        choose(patch, way)
        found = planted(parts)
    whole = [int(number) for number in parts.sum(axis=0)]
    square = sum(number * number for number in whole)
    np.testing.assert_array_equal(np.round(found.whole), whole)
    kept = [0] * len(whole)
    for lag, part in zip(found.lags, parts.tolist(), strict=True):
        kept = [a + b for a, b in zip(kept, part, strict=True)]
        lost = math.sqrt(sum((a - b) ** 2 for a, b in zip(whole, kept, strict=True)))
        assert 10 ** lag.norm.log10() == pytest.approx(math.hypot(*part), abs=1e-8)
        if not square:
            # the parts cancel: of nothing there is no share
            assert (lag.share, lag.kept) == (0, 0)
            assert math.isnan(lag.error.value())
            assert math.isnan(lag.cosine)
            continue
        along = sum(a * b for a, b in zip(kept, whole, strict=True))
        largest = abs(parts).max() * len(parts) / math.sqrt(square)
        assert lag.share == pytest.approx(
            sum(a * b for a, b in zip(part, whole, strict=True)) / square, abs=1e-13 * largest
        )
        assert lag.kept == pytest.approx(along / square, abs=1e-13 * largest)
        assert lag.error.value() == pytest.approx(lost / math.sqrt(square), abs=1e-13 * largest)
        if any(kept):
            assert lag.cosine == pytest.approx(along / math.hypot(*kept) / math.sqrt(square), abs=1e-8)


def test_a_tail_that_is_small_beside_parts_that_cancelled_keeps_its_digits(route):
    # what is left of the whole goes up by 10^12 and down again: by then it is off by that times 1e-16
    parts = np.array([[0.1, 0.0], [1e12, 0.3], [-1e12, 0.7], [0.1, 1.3], [0.5, -1.1], [1e-12, 7e-13]])
    found = planted(parts)
    slopes = parts - np.vstack([parts[1:], np.zeros(2)])
    by_lag = np.array([[math.fsum(column) for column in slopes[lag:].T] for lag in range(6)])
    tails = np.array([[math.fsum(column) for column in by_lag[lag + 1 :].T] for lag in range(6)])
    sizes = np.hypot(*tails.T)
    errors = found.column("error")
    np.testing.assert_allclose(errors[2:5] / errors[4], sizes[2:5] / sizes[4], rtol=1e-12)


def test_what_passes_leave_of_a_long_slow_decay_is_what_streams_leave(monkeypatch):
    generator = np.random.default_rng(0)
    cell = parse_cell("rnn:gain=1.4").make(8, 4, generator)
    inputs, targets = generator.standard_normal((2, 150, 4)), generator.standard_normal((2, 150, 8))
    found = {}
    for name in ROUTES:
        choose(monkeypatch, name)
        found[name] = swept(cell, inputs, MEAN_LOSS, targets, "all").column("error")
    assert 0 < found["streams"][-2] < 1e-20
    np.testing.assert_allclose(found["passes"], found["streams"], rtol=LEFT["passes"])


def test_shares_of_parts_at_right_angles_are_their_squares():
    # Pythagoras: the part of lag l is along an axis of its own
    sizes = np.array([4.0, 1.0, 8.0, 2.0])
    found = planted(np.diag(sizes))
    total = (sizes**2).sum()
    np.testing.assert_allclose(found.column("share"), sizes**2 / total, rtol=1e-14)
    np.testing.assert_allclose(found.column("kept"), np.cumsum(sizes**2) / total, rtol=1e-14)
    lost = [math.sqrt(total - kept) / math.sqrt(total) for kept in accumulate(sizes**2)]
    np.testing.assert_allclose(found.column("error"), lost, rtol=1e-14)
    np.testing.assert_allclose(found.column("cosine"), np.sqrt(np.cumsum(sizes**2) / total), rtol=1e-14)
