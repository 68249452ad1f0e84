"""Where a gradient comes from: shares, windows and maps that add up, and a check that sees what is wrong."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradflow
from gradflow.cells.gru import GRU, GRUFactor
from gradflow.cells.lstm import LSTM
from gradflow.cells.lstm_factor import LSTMFactor
from gradflow.cells.rnn import RNN, RNNFactor
from tests.analysis.taken_apart import linear, network, planted_targets
from tests.cells.torch_cases import CASES

SMALL = {"hidden": 4, "features": 3, "steps": 12}


def of_planted(parts, **options):
    """The record of a gradient whose parts by lag are given; as many as a power of two."""
    size = len(parts[0])
    targets = planted_targets(parts)
    options = {"steps": len(parts), "input": "zero", "parameter": "bias", **options}
    return gradflow.bptt(network(linear(np.eye(size))), targets=targets, **options)


def check(found):
    """What holds for every gradient that is not 0."""
    lags = found.lags
    steps = len(lags.lag)
    assert lags.lag == list(range(steps)) == list(range(found.steps))
    assert lags.share.sum() == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(lags.cumulative_share, np.cumsum(lags.share), rtol=0, atol=1e-9)
    assert lags.truncation_error[-1] == 0
    assert lags.truncation_cosine[-1] == pytest.approx(1, abs=1e-12)
    assert found.effective_lag == pytest.approx(np.arange(steps) @ lags.share, rel=1e-12, abs=1e-12)
    # Cauchy & Schwarz; and no tail changes by more than the part that it loses
    sizes = 10.0 ** np.fmax(lags.log10_norm - found.log10_gradient_norm, -300)
    assert np.all(np.abs(lags.share) <= sizes * (1 + 1e-9) + 1e-15)
    beyond = np.isnan(lags.truncation_error)  # what no double holds is nan, and far under what is compared
    assert not np.any(lags.log10_truncation_error[beyond] >= -307)
    errors = np.r_[1.0, np.where(beyond, 0.0, lags.truncation_error)]
    assert np.all(np.abs(np.diff(errors)) <= sizes * (1 + 1e-9) + 1e-9)
    assert np.nanmax(np.abs(lags.truncation_cosine)) <= 1 + 1e-12
    # from the window on all is well, and no sooner; of w steps it keeps the lags 0 to w − 1
    window = found.window_1pct
    assert np.all(errors[window:] <= 0.01)
    assert window == 1 or errors[window - 1] > 0.01
    assert re.search(rf"(With a window of|It takes a window of all) {window} step", found.conclusion)
    assert found.cancellation >= 1 - 1e-12
    place = found.windows.window.index(window)
    np.testing.assert_equal(found.detached_error, found.windows.detached_error[place])
    for w, error in zip(found.windows.window, found.windows.truncation_error, strict=True):
        np.testing.assert_equal(error, lags.truncation_error[w - 1])
    return found


def check_differences(found, spec):
    # a kink of relu between two points leaves a piece of a slope
    assert found.difference_error < (1e-5 if "relu" in spec else 1e-8)
    assert not [note for note in found.notes if "differences" in note]


@pytest.mark.parametrize("spec", CASES)
def test_every_cell_is_off_its_differences_by_less_than_1e_8(spec):
    check_differences(check(gradflow.bptt(spec, parameter="all", hidden=8, features=5, steps=40)), spec)


@pytest.mark.parametrize("spec", ["rnn", "lstm:peephole=on,projection=3,layers=2", "gru:layers=2"])
def test_a_cell_of_the_default_size_is_off_its_differences_by_less_than_1e_8(spec):
    found = check(gradflow.bptt(spec, parameter="all"))
    check_differences(found, spec)
    assert (found.steps, found.hidden, found.features, found.batch) == (100, 32, 32, 1)


CELLS = st.sampled_from(
    [
        "rnn", "rnn:activation=relu,gain=2", "lstm", "lstm:peephole=on", "gru:reset=before", "gru:layers=2",
        "lstm:layers=2,projection=1",
    ]
)  # fmt: skip


@given(
    CELLS,
    st.integers(1, 4),
    st.integers(2, 9),
    st.integers(1, 3),
    st.sampled_from(["mean", "final", "random"]),
    st.sampled_from(["weight_hh", "weight_ih", "bias", "all"]),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=60)
def test_books_balance_whatever_is_asked(spec, hidden, steps, batch, loss, parameter, seed):
    found = gradflow.bptt(
        spec, hidden=hidden, steps=steps, batch=batch, loss=loss, parameter=parameter, seed=seed, features=2
    )
    if found.gradient_norm:
        check(found)
    assert json.loads(gradflow.to_text(found, "json"))["summary"]["batch"] == batch


def truncated(cell, inputs, targets, window):
    """∂L/∂W of a tanh network by truncated backpropagation as one writes it: back from each step, so far."""
    states = cell.run(inputs)
    gradient = np.zeros_like(cell.weight_hh)
    for t in range(1, len(states)):
        error = (states[t] - targets[t - 1]) / len(inputs)
        for k in range(t, max(t - window - 1, 0), -1):
            signal = error * (1 - states[k] ** 2)
            gradient += np.outer(signal, states[k - 1])
            error = cell.weight_hh.T @ signal
    return gradient


def test_the_window_is_what_truncated_backpropagation_needs():
    generator = np.random.default_rng(2)
    cell = RNN(*(generator.standard_normal(shape) for shape in ((5, 2), (5, 5), 5)))
    inputs, targets = generator.standard_normal((40, 2)), generator.standard_normal((40, 5))
    found = check(gradflow.bptt(network(cell), input=inputs, targets=targets))
    whole = truncated(cell, inputs, targets, 40)
    size = np.linalg.norm(whole)
    assert found.gradient_norm == pytest.approx(size, rel=1e-12)
    errors, cosines = [], []
    for window in range(40):
        kept = truncated(cell, inputs, targets, window)
        errors.append(np.linalg.norm(whole - kept) / size)
        cosines.append((kept * whole).sum() / np.linalg.norm(kept) / size)
    np.testing.assert_allclose(found.lags.truncation_error, errors, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(found.lags.truncation_cosine, cosines, rtol=0, atol=1e-12)
    window = found.window_1pct
    assert 1 < window < 40
    assert errors[window - 1] <= 0.01 < errors[window - 2]


def detached(cell, inputs, targets, window):
    """∂L/∂W where the state is detached every so many steps: no further back than the piece of a loss."""
    states = cell.run(inputs)
    gradient = np.zeros_like(cell.weight_hh)
    for t in range(1, len(states)):
        error = (states[t] - targets[t - 1]) / len(inputs)
        for k in range(t, (t - 1) // window * window, -1):
            signal = error * (1 - states[k] ** 2)
            gradient += np.outer(signal, states[k - 1])
            error = cell.weight_hh.T @ signal
    return gradient


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_a_state_that_is_detached_now_and_then_loses_what_the_table_says(batch, steps):
    generator = np.random.default_rng(2)
    cell = RNN(*(generator.standard_normal(shape) for shape in ((5, 2), (5, 5), 5)))
    inputs, targets = (generator.standard_normal((batch, steps, n)) for n in (2, 5))
    found = gradflow.bptt(network(cell), input=inputs, targets=targets)
    if steps == 1:  # the state before is 0
        assert found.windows is found.detached_error is None
        return
    sums = [sum(detached(cell, x, y, w) for x, y in zip(inputs, targets, strict=True)) for w in range(1, 41)]
    whole = sums[steps - 1]
    expected = [np.linalg.norm(whole - sums[w - 1]) / np.linalg.norm(whole) for w in found.windows.window]
    assert set(found.windows.window) >= {2**k for k in range(6) if 2**k < steps}
    np.testing.assert_allclose(found.windows.detached_error, expected, rtol=1e-9, atol=1e-13)


def test_what_a_detached_state_loses_has_its_digits_however_little_it_is():
    # one linear unit that keeps 2^-40 a step, and one loss, at step 6, in pieces that begin there or at 5
    targets = np.zeros((8, 1))
    targets[5] = 1.0
    found = gradflow.bptt(
        network(linear([[2.0**-40]])), input="zero", steps=8, parameter="bias", targets=targets
    )
    lost = dict(zip(found.windows.window, found.windows.detached_error, strict=True))
    for window, held in {1: 1, 2: 2, 4: 2}.items():
        assert lost[window] == pytest.approx(2.0 ** (-40 * held), rel=1e-10)


@pytest.mark.parametrize(
    ("parts", "window", "early"),
    [
        # of a whole of 100: what is lost behind each lag is 60, 30, 1, 0
        ([40, 30, 29, 1], 3, None),
        ([99, 0, 0, 1], 1, None),
        ([98, 0, 1, 1], 3, None),
        ([0, 0, 0, 100], 4, None),
        # 0.5 are lost behind lag 1, but 20 behind lag 2: by then it is another way off
        ([50, 49.5, -19.5, 20], 4, 2),
        ([100, 50, -50, 0], 3, 1),
    ],
)
def test_a_window_is_found_in_parts_that_are_planted(parts, window, early):
    found = check(of_planted([[part] for part in parts]))
    lost = [abs(100 - kept) / 100 for kept in np.cumsum(parts)]
    np.testing.assert_allclose(found.lags.truncation_error, lost, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.lags.share, np.array(parts) / 100, rtol=1e-12, atol=1e-15)
    assert found.window_1pct == window
    cancelled = [note for note in found.notes if "because parts cancel" in note]
    assert len(cancelled) == (early is not None)
    if cancelled:
        assert f"A window of {early} step" in cancelled[0]
        assert cancelled[0].endswith(f"longer ones of fewer than {window} steps are not.")


def test_a_mean_lag_is_weighted_with_shares():
    # 1, 2, 3, 4 at right angles to nothing: (0·1 + 1·2 + 2·3 + 3·4)/10
    found = of_planted([[1.0], [2.0], [3.0], [4.0]])
    assert found.effective_lag == pytest.approx(2.0, rel=1e-12)
    # what is at right angles to the whole has no share in it
    across = of_planted([[1.0, 0.0], [0.0, 5.0], [0.0, -5.0], [1.0, 0.0]])
    np.testing.assert_allclose(across.lags.share, [0.5, 0, 0, 0.5], atol=1e-14)
    assert across.effective_lag == pytest.approx(1.5, rel=1e-12)
    assert across.lags.truncation_error[1] == pytest.approx(math.hypot(1, 5) / 2, rel=1e-12)
    assert across.lags.truncation_cosine[1] == pytest.approx(1 / math.hypot(1, 5), rel=1e-12)


@pytest.mark.parametrize("decay", [0.5, 0.9, 1.0, 1.1])
def test_a_readout_of_a_linear_unit_has_shares_that_are_known(decay):
    # the part of lag l of ∂L/∂b is r (T − l) a^l/T, whatever r is
    steps = 20
    found = check(
        gradflow.bptt(network(linear([[decay]])), loss="random", steps=steps, input="zero", parameter="bias")
    )
    weights = (steps - np.arange(steps)) * decay ** np.arange(steps)
    np.testing.assert_allclose(found.lags.share, weights / weights.sum(), rtol=1e-12)
    apart = found.lags.log10_norm - found.lags.log10_norm[0]
    np.testing.assert_allclose(apart, np.log10(weights / steps), rtol=0, atol=1e-13)


@pytest.mark.parametrize("loss", ["mean", "final", "random"])
@pytest.mark.parametrize("spec", ["rnn", "lstm", "gru:layers=2"])
def test_a_map_adds_up_to_the_lags(spec, loss):
    found = gradflow.bptt(spec, loss=loss, parameter="all", pair_map=True, **SMALL)
    table = found.map
    steps = SMALL["steps"]
    t, k = np.array(table.t), np.array(table.k)
    assert len(t) == steps * (steps + 1) // 2
    assert set(zip(t, k, strict=True)) == {(a, b) for a in range(1, steps + 1) for b in range(1, a + 1)}
    for lag in range(steps):
        own = t - k == lag
        assert table.share[own].sum() == pytest.approx(found.lags.share[lag], abs=1e-12)
        # a norm of a sum is at most that of the parts
        assert found.lags.norm[lag] <= (10.0 ** table.log10_norm[own]).sum() * (1 + 1e-12)
    if loss == "final":
        assert (table.log10_norm[t < steps] == -math.inf).all()
        last = t == steps
        lags = found.lags.log10_norm[steps - k[last]]
        np.testing.assert_allclose(table.log10_norm[last], lags, rtol=0, atol=1e-12)
    assert gradflow.bptt(spec, loss=loss, **SMALL).map is None


WRONG = {
    "rnn": (RNNFactor, RNN),
    "gru": (GRUFactor, GRU),
    "gru:reset=before": (GRUFactor, GRU),
    "lstm": (LSTMFactor, LSTM),
}


@pytest.mark.parametrize("spec", WRONG)
def test_a_wrong_adjoint_is_seen_by_the_differences(spec, monkeypatch):
    factor, _ = WRONG[spec]
    pull = factor.pull

    def wrong(self, block):
        right = pull(self, block)
        return right._replace(state=0.9 * right.state)

    monkeypatch.setattr(factor, "pull", wrong)
    found = gradflow.bptt(spec, **SMALL)
    assert 1e-3 < found.difference_error < 0.5
    assert any("apart from the gradient" in note for note in found.notes)


@pytest.mark.parametrize("parameter", ["weight_hh", "weight_ih", "bias"])
@pytest.mark.parametrize("spec", WRONG)
def test_a_wrong_use_of_a_parameter_is_seen_by_the_differences(spec, parameter, monkeypatch):
    _, cell = WRONG[spec]
    uses = cell.uses

    def wrong(self, states, inputs):
        (found,) = uses(self, states, inputs)
        (first, *rest) = found[parameter]
        ones = np.ones((*states[..., 1:, :1].shape[:-1], first.shape[0]))
        ones[..., :2] = 1.01
        scale = ones if first.scale is None else first.scale * ones
        return [{**found, parameter: [first._replace(scale=scale), *rest]}]

    monkeypatch.setattr(cell, "uses", wrong)
    right = {"weight_hh", "weight_ih", "bias"} - {parameter}
    found = gradflow.bptt(spec, parameter=parameter, **SMALL)
    assert 1e-5 < found.difference_error < 0.02
    assert gradflow.bptt(spec, parameter=",".join(sorted(right)), **SMALL).difference_error < 1e-8


def test_differences_in_chaos_are_left_out_with_a_note():
    found = check(gradflow.bptt("rnn:gain=5,init=ginibre", steps=60))
    assert found.log10_gradient_norm > 5
    assert found.difference_error is None
    assert [note for note in found.notes if "no check here" in note]


def test_a_network_that_grows_without_chaos_is_checked_all_the_same():
    # (1 + ε)^200: the first differences leap about, the last do not
    cell = RNN(np.ones((1, 1)), np.array([[1.1]]), np.zeros(1), "identity")
    found = check(gradflow.bptt(network(cell), input=np.ones((200, 1)), loss="random"))
    assert found.difference_error < 1e-8
    assert not [note for note in found.notes if "differences" in note]


def test_a_gradient_that_rounding_hides_from_differences_says_so():
    # saturated: a gradient of 1e-100 beside a loss of 1
    found = check(gradflow.bptt("rnn", input_scale=1e5, steps=30))
    assert found.log10_gradient_norm < -50
    assert found.difference_error is None
    assert [note for note in found.notes if "no check here" in note]


def test_the_same_seed_gives_the_same_numbers_and_another_others():
    one, two, other = (gradflow.bptt("gru", seed=seed, batch=2, **SMALL) for seed in (3, 3, 4))
    assert gradflow.to_text(one, "json") == gradflow.to_text(two, "json")
    assert abs(one.log10_gradient_norm - other.log10_gradient_norm) > 1e-3


def test_progress_counts_every_lag_and_changes_nothing():
    seen = []
    found = gradflow.bptt("lstm", progress=lambda *counts: seen.append(counts), **SMALL)
    assert seen == [(done, 12) for done in range(13)]
    assert gradflow.to_text(found, "json") == gradflow.to_text(gradflow.bptt("lstm", **SMALL), "json")
