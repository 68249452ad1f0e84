"""What is left of a gradient: closed forms and a dense slow twin."""

import math

import numpy as np
import pytest

from gradflow.analysis.shared import end_norms
from gradflow.analysis.shared import gradient_share as module
from gradflow.analysis.shared import product_norms as view
from gradflow.analysis.shared.gradient_share import EndMeasurement, GradientShare, measure_share
from gradflow.analysis.shared.trajectory import follow
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell

SMALLEST, LARGEST = math.log10(2.0**-126), math.log10((2 - 2.0**-23) * 2.0**127)  # float32
HIDDEN, STEPS = 4, 300


def sigma(z):
    return 1 / (1 + math.exp(-z))


def linear(matrix, steps=STEPS):
    """The way of h' = W h + 1: its Jacobian product over k steps is Wᵏ."""
    matrix = np.asarray(matrix, dtype=float)
    cell = RNN(np.ones((len(matrix), 1)), matrix, np.zeros(len(matrix)), "identity")
    return follow(cell, np.zeros((steps, 1)))


def orthogonal(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


def bias_only(cell, biases, seed=1):
    """A cell whose weights are all 0, and its way along inputs that can do nothing."""
    zeros = len(biases) * HIDDEN
    made = cell(np.zeros((zeros, 2)), np.zeros((zeros, HIDDEN)), np.repeat(biases, HIDDEN))
    return follow(made, np.random.default_rng(seed).standard_normal((STEPS, 2)))


def dense_log10_norms(trajectory):
    """log₁₀ ‖J_T ⋯ J_{T−k+1}‖₂ for every k: one dense product, its size kept apart, and one SVD a step."""
    product, scale, found = np.eye(trajectory.size), 0.0, []
    for place in reversed(range(trajectory.steps)):
        product = product @ trajectory.jacobian(place).todense()
        size = np.linalg.norm(product, 2)
        found.append(-math.inf if size == 0 else scale + math.log10(size))
        product, scale = (product / size, found[-1]) if size else (product, scale)
    return found


def first_outside(logs):
    return next((k for k, log in enumerate(logs, 1) if log < SMALLEST or log > LARGEST), None)


def assert_is_the_dense_products(trajectory, length):
    """Rate, norm and horizon are those of the slow twin; return its norms."""
    logs, half = dense_log10_norms(trajectory), trajectory.steps // 2
    found = measure_share(trajectory, length)
    kept = -math.inf if math.isinf(logs[-1]) else logs[-1] - logs[half - 1]
    assert found.rate == pytest.approx(kept / (trajectory.steps - half) * math.log(10), rel=1e-9)
    assert found.log10_norm == pytest.approx(logs[length - 1], rel=1e-9)
    assert found.log10_norm_ratio == pytest.approx(logs[length - 1] - logs[0], rel=1e-9, abs=1e-12)
    assert found.horizon_float32 == first_outside(logs)
    return logs


@pytest.mark.parametrize("factor", [0.3, 0.99, 1.0, 1.01, 3.0])
def test_of_a_rotation_times_a_the_rate_is_ln_a_and_each_step_takes_a(factor):
    for size, length in ((1, 77), (5, 1), (5, 2), (5, STEPS)):
        found = measure_share(linear(factor * orthogonal(size)), length)
        assert found.rate == pytest.approx(math.log(factor), abs=1e-12)
        assert found.log10_norm == pytest.approx(length * math.log10(factor), abs=1e-11)
        assert found.log10_norm_ratio == pytest.approx((length - 1) * math.log10(factor), abs=1e-11)
        assert (found.blow_up, found.error) == (None, pytest.approx(0.0, abs=1e-9))


@pytest.mark.parametrize("factor", [0.3, 0.7, 0.9, 0.99, 1.0, 1.01, 1.3, 3.0])
def test_of_a_rotation_times_a_the_horizon_is_the_first_power_outside_float32(factor):
    # by the rule of float32, and nothing of this package
    first = next(
        (k for k in range(1, STEPS + 1) if not 2.0**-126 <= factor**k <= 3.4028234663852886e38), None
    )
    assert measure_share(linear(factor * orthogonal(5)), STEPS).horizon_float32 == first


@pytest.mark.parametrize(("factor", "horizon"), [(0.5, 127), (2.0, 128), (0.25, 64), (4.0, 64), (-0.5, 127)])
def test_the_last_normal_number_itself_is_inside(factor, horizon):
    # 2⁻¹²⁶ is a normal float32 and 2¹²⁸ is none
    permutation = np.eye(6)[[3, 0, 5, 1, 2, 4]]
    assert measure_share(linear([[factor]]), 9).horizon_float32 == horizon
    assert measure_share(linear(factor * permutation), 9).horizon_float32 == horizon


@pytest.mark.parametrize("bias", [-3.0, 1.0])
def test_without_weights_an_lstm_keeps_what_its_forget_gate_keeps(bias):
    trajectory = bias_only(LSTM, [0.3, bias, -0.8, 0.6])
    for length in (1, 50, STEPS):
        found = measure_share(trajectory, length)
        assert found.rate == pytest.approx(math.log(sigma(bias)), rel=1e-10)
        assert found.log10_norm_ratio == pytest.approx(
            (length - 1) * math.log10(sigma(bias)), rel=1e-10, abs=1e-14
        )


@pytest.mark.parametrize("bias", [0.0, 6.0])
def test_without_weights_a_gru_keeps_what_its_update_gate_keeps(bias):
    trajectory = bias_only(GRU, [0.3, bias, -0.8])
    for length in (1, 50, STEPS):
        found = measure_share(trajectory, length)
        assert found.rate == pytest.approx(math.log(sigma(bias)), rel=1e-10)
        assert found.log10_norm_ratio == pytest.approx(
            (length - 1) * math.log10(sigma(bias)), rel=1e-10, abs=1e-14
        )


def test_a_nilpotent_matrix_leaves_exactly_nothing():
    shift = np.eye(5, k=1)  # its powers have norm 1 up to the fourth, and the fifth is 0
    for length, log10_norm in [(1, 0.0), (4, 0.0), (5, -math.inf), (STEPS, -math.inf)]:
        found = measure_share(linear(shift), length)
        assert (found.rate, found.log10_norm, found.horizon_float32) == (-math.inf, log10_norm, 5)
        # the share is the root mean square over five directions, of which 5 − L are kept
        kept = math.log10(math.sqrt((5 - length) / 5)) if length < 5 else -math.inf
        assert found.log10_share == pytest.approx(kept, abs=1e-12)
        assert found.verdict == ("stable" if length < 5 else "vanishing")
        assert (
            math.isnan(found.stable_rank) if length >= 5 else found.stable_rank == pytest.approx(5 - length)
        )


def test_a_layer_without_recurrent_weights_leaves_nothing_from_the_first_step():
    found = measure_share(linear(np.zeros((3, 3))), 10)
    assert (found.rate, found.log10_norm, found.horizon_float32) == (-math.inf, -math.inf, 1)
    assert (found.log10_share, found.log10_relative_share) == (-math.inf, -math.inf)


def test_past_an_overflow_there_is_no_share_and_before_it_what_there_was():
    cell = RNN(np.ones((1, 1)), np.array([[10.0]]), np.zeros(1), "identity")
    trajectory = follow(cell, np.ones((400, 1)))
    # after k steps of h' = 10 h + 1 the state is (10ᵏ − 1)/9, and 10³⁰⁹/9 is a double where 10³¹⁰/9 is none
    for length in (1, 200, 309):
        found = measure_share(trajectory, length)
        assert found.blow_up == 310
        assert found.rate == pytest.approx(math.log(10), rel=1e-12)
        assert found.log10_norm == found.log10_share == pytest.approx(length, rel=1e-12)
        assert (found.verdict, found.is_small) == ("exploding", False)
    for length in (310, 400):
        found = measure_share(trajectory, length)
        assert math.isnan(found.log10_norm)
        assert math.isnan(found.log10_share)
        assert (found.blow_up, found.verdict, found.is_small) == (310, "exploding", False)


def test_an_overflow_at_the_first_step_leaves_nothing_to_measure():
    cell = RNN(np.full((1, 1), 1e200), np.ones((1, 1)), np.zeros(1), "identity")
    found = measure_share(follow(cell, np.full((9, 1), 1e200)), 3)
    assert (found.blow_up, found.horizon_float32, found.verdict) == (1, None, "exploding")
    assert math.isnan(found.rate)
    assert math.isnan(found.log10_norm)
    assert math.isnan(found.log10_share)


@pytest.mark.parametrize(
    ("spec", "seed"),
    [("rnn:gain=3", 0), ("rnn:gain=0.5", 1), ("rnn:activation=relu,gain=3", 2), ("gru", 0), ("lstm", 1),
     ("lstm:projection=2", 2)],
)  # fmt: skip
def test_rate_norm_and_horizon_are_those_of_all_jacobians_multiplied_out(spec, seed):
    cell = parse_cell(spec).make(5, 2, np.random.default_rng([seed, 1]))
    trajectory = follow(cell, np.random.default_rng([seed, 2]).standard_normal((STEPS, 2)))
    assert_is_the_dense_products(trajectory, 120)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_few_steps_have_a_rate_too(steps):
    cell = parse_cell("gru").make(3, 2, np.random.default_rng(0))
    trajectory = follow(cell, np.random.default_rng(1).standard_normal((steps, 2)))
    logs = [0.0, *dense_log10_norms(trajectory)]
    half = steps // 2
    rate = (logs[-1] - logs[half]) / (steps - half) * math.log(10)
    assert measure_share(trajectory, steps).rate == pytest.approx(rate, rel=1e-10)
    assert measure_share(trajectory, steps).log10_norm == pytest.approx(logs[-1], abs=1e-12)
    assert measure_share(trajectory, steps).log10_norm_ratio == pytest.approx(logs[-1] - logs[1], abs=1e-12)


def dipping(depth, growth, size=4, wet=3):
    """A tanh network whose norm falls to 10^−depth over the first lags, and from there grows by ``growth``.

    At rest in 0 a step is growth times a rotation; the last ``wet`` steps are driven far into the tail.
    """
    start = 4 * growth
    # 4 e^(−2z) is the slope far out: each wet step takes its share of the way down
    z = 0.5 * (math.log(start) + depth / wet * math.log(10))
    matrix = growth * orthogonal(size, 3)
    drives = np.zeros((STEPS, size))
    state = np.zeros(size)
    for t in range(STEPS - wet, STEPS):
        drives[t] = z - matrix @ state
        state = np.tanh(z) * np.ones(size)
    trajectory = follow(RNN(np.eye(size), matrix, np.zeros(size)), drives)
    return trajectory, wet


@pytest.mark.parametrize(
    ("depth", "growth", "at_the_dip"), [(36.0, 2.1, False), (37.6, 2.0, False), (39.0, 2.0, True)]
)
def test_a_norm_that_falls_and_comes_back_ends_where_it_first_leaves_float32(depth, growth, at_the_dip):
    trajectory, wet = dipping(depth, growth)
    logs = assert_is_the_dense_products(trajectory, STEPS)
    assert min(logs) == logs[wet - 1] == pytest.approx(-depth, abs=0.01)
    assert logs[60] > logs[wet - 1] + 5
    found = measure_share(trajectory, STEPS).horizon_float32
    assert (found == wet) == at_the_dip
    assert found is not None


@pytest.mark.parametrize("within", [0.05, 0.29])
def test_a_horizon_that_the_frobenius_norm_cannot_tell_is_looked_for(within):
    # ‖·‖_F is twice ‖·‖₂ here: the dip is outside by the one's lower bound of the other, and yet inside
    trajectory, wet = dipping(-SMALLEST - within, 2.0)
    logs = dense_log10_norms(trajectory)
    assert SMALLEST < logs[wet - 1] < SMALLEST + math.log10(2)
    assert first_outside(logs) > 200
    assert measure_share(trajectory, STEPS).horizon_float32 == first_outside(logs)


def test_a_dip_inside_float32_that_nothing_follows_is_no_horizon():
    trajectory, _ = dipping(-SMALLEST - 0.1, 1.01)
    assert first_outside(dense_log10_norms(trajectory)) is None
    assert measure_share(trajectory, STEPS).horizon_float32 is None


def test_of_a_very_large_layer_the_same_rate_and_norms_come_without_a_product(monkeypatch):
    cell = parse_cell("lstm").make(20, 3, np.random.default_rng(4))
    trajectory = follow(cell, np.random.default_rng(5).standard_normal((60, 3)))
    full = measure_share(trajectory, 40, ends=3)
    monkeypatch.setattr(module, "MIN_MATRIX_FREE_STATE", 40)
    monkeypatch.setattr(view, "MIN_MATRIX_FREE_STATE", 40)
    monkeypatch.setattr(end_norms, "MAX_DENSE_STATE", 8)
    free = measure_share(trajectory, 40, ends=3)
    assert (free.horizon_float32, free.horizon_sought) == (None, False)
    assert free.rate == pytest.approx(full.rate, rel=1e-3)
    assert 0 < free.error <= end_norms.MAX_END_NORM_ERROR
    for one, other in zip(free.measurements, full.measurements, strict=True):
        assert one.log10_norm == pytest.approx(other.log10_norm, abs=1e-3)
        assert other.log10_norm <= one.log10_norm + math.log10(1 + free.error)


# ---- several ends and draws


def gated(bias, shut, steps=100):
    """An LSTM without recurrent weights whose forget and output gates shut on the step that an input marks.

    Its forget gate is σ(bias), or σ(bias − shut) where the input is 1; its output gate ½, or σ(−shut).
    """
    weight_ih = np.zeros((4 * HIDDEN, 1))
    weight_ih[HIDDEN : 2 * HIDDEN] = weight_ih[3 * HIDDEN :] = -shut
    biases = np.repeat([0.0, bias, 0.0, 0.0], HIDDEN)
    return LSTM(weight_ih, np.zeros((4 * HIDDEN, HIDDEN)), biases), np.zeros((steps, 1))


@pytest.mark.parametrize("length", [1, 7, 50])
def test_of_an_lstm_of_zeros_the_norm_is_that_of_its_gates_alone(length):
    cell = bias_only(LSTM, [0.0, 0.0, 0.0, 0.0]).cell
    found = measure_share(follow(cell, np.zeros((120, 2))), length, ends=4)
    # c' = c/2 and h' = ½ tanh c' about c = 0: ∂c'/∂c = ½^L, ∂h'/∂c = ½ ½^L
    exact = length * math.log10(0.5) + 0.5 * math.log10(1.25)
    assert [one.log10_norm for one in found.measurements] == pytest.approx([exact] * 4, abs=1e-12)
    assert [one.log10_norm_ratio for one in found.measurements] == pytest.approx(
        [(length - 1) * math.log10(0.5)] * 4, abs=1e-12
    )


@pytest.mark.parametrize(("bias", "shut"), [(4.0, 20.0), (6.0, 12.0), (5.0, 30.0)])
def test_a_last_step_that_shuts_the_gates_loses_the_gradient_whatever_the_ratio_says(bias, shut):
    cell, inputs = gated(bias, shut)
    inputs[-1] = 1.0
    found = measure_share(follow(cell, inputs), 50, ends=8, last_decides=True)
    open_gate, shut_gate, output = sigma(bias), sigma(bias - shut), sigma(-shut)
    last = math.log10(shut_gate) + 49 * math.log10(open_gate) + 0.5 * math.log10(1 + output**2)
    assert found.last.log10_norm == pytest.approx(last, abs=1e-9)
    # by the ratio alone the gradient would have arrived
    assert found.last.log10_norm_ratio == pytest.approx(49 * math.log10(open_gate), abs=1e-9)
    assert abs(found.last.log10_norm_ratio) < 2
    before = 50 * math.log10(open_gate) + 0.5 * math.log10(1.25)
    assert [one.log10_norm for one in found.measurements[:-1]] == pytest.approx([before] * 7, abs=1e-9)
    # of h: σ(−shut) tanh′(0) = σ(−shut) times what the cell has, or ½ at the ends before
    last_share = last - 0.5 * math.log10(1 + output**2) + math.log10(output)
    assert found.last.log10_share == pytest.approx(last_share, abs=1e-9)
    assert found.log10_share == pytest.approx(50 * math.log10(open_gate) + math.log10(0.5), abs=1e-9)
    assert (found.verdict, found.count_verdict("stable"), found.is_small) == ("vanishing", 7, True)
    assert not found.is_safe
    # an end like any other, as of drawn inputs, is outvoted
    assert found._replace(last_decides=False).verdict == "borderline"
    # without it all ends are stable: the last step alone is in the way
    assert found.is_blocked_by_last_step
    assert not found._replace(last_decides=False).is_blocked_by_last_step


@pytest.mark.parametrize(("odd", "verdict"), [(31, "borderline"), (71, "vanishing"), (53, "vanishing")])
def test_one_odd_step_blocks_the_gradient_of_every_end_that_it_lies_before(odd, verdict):
    cell, inputs = gated(5.0, 25.0)
    inputs[odd - 1] = 1.0
    found = measure_share(follow(cell, inputs), 50, ends=8, last_decides=True)
    blocked = [one.end - 50 < odd <= one.end for one in found.measurements]
    assert [one.verdict for one in found.measurements] == [
        "vanishing" if one else "stable" for one in blocked
    ]
    # with eight values only the least and the largest enclose the median with 95 % confidence
    assert found.typical_verdict == "borderline"
    # the last end decides, if it is worse
    assert (found.verdict, blocked[-1]) == (verdict, verdict == "vanishing")


def test_of_a_network_that_keeps_all_the_norm_is_1_from_every_end_of_every_draw():
    cell = RNN(np.ones((3, 2)), orthogonal(3), np.zeros(3), "identity")
    found = measure_share(follow(cell, np.random.default_rng(0).standard_normal((4, 90, 2))), 30, ends=5)
    assert [(one.draw, one.end) for one in found.measurements] == [
        (draw, end) for draw in range(4) for end in (30, 45, 60, 75, 90)
    ]
    assert [one.log10_norm for one in found.measurements] == pytest.approx([0.0] * 20, abs=1e-12)
    assert [one.log10_share for one in found.measurements] == pytest.approx([0.0] * 20, abs=1e-12)
    assert (found.verdict, found.is_safe, len(found.rates)) == ("stable", True, 4)


def judged(*logs, **options):
    """The share of ends, one in each of so many draws."""
    ends = tuple(EndMeasurement(draw, 9, log, log, log, log, log) for draw, log in enumerate(logs))
    curve = np.array(logs)[None]
    return GradientShare(ends, curve, (0.0,) * len(logs), None, None, 0.0, **options)


@pytest.mark.parametrize(
    ("logs", "verdict"),
    [
        ([0.0] * 8, "stable"),
        ([0.0] * 7 + [-9.0], "borderline"),  # of eight the interval has all values
        ([0.0] * 13 + [-9.0] * 3, "stable"),  # of sixteen it leaves three out at either end
        ([0.0] * 12 + [-9.0] * 4, "borderline"),
        ([0.0] * 3 + [-9.0] * 13, "vanishing"),
        ([0.0] * 3 + [9.0] * 13, "exploding"),
        ([-9.0] * 8 + [9.0] * 8, "borderline"),
        ([-3.0] * 16, "borderline"),
        ([-math.inf] * 16, "vanishing"),
        ([0.0] * 13 + [math.nan] * 3, "stable"),  # nan stands for a state that overflows
        ([0.0] * 12 + [math.nan] * 4, "borderline"),
        ([math.nan] * 16, "exploding"),
    ],
)
def test_ends_that_disagree_are_judged_by_the_interval_of_their_median(logs, verdict):
    assert judged(*logs).verdict == verdict
    assert judged(*logs[::-1]).verdict == verdict


def of_sequences(*sequences, **options):
    """The share of several ends of each of several sequences."""
    ends = tuple(
        EndMeasurement(draw, end, *[log] * 5)
        for draw, logs in enumerate(sequences)
        for end, log in enumerate(logs)
    )
    curve = np.array([one.log10_share for one in ends])[None]
    return GradientShare(ends, curve, (0.0,) * len(sequences), None, None, 0.0, **options)


def test_ends_of_one_sequence_do_not_make_a_verdict_surer():
    # each end alone says stable but one; that they are many does not help, because they share most steps
    assert of_sequences([0.0] * 15 + [-2.5]).verdict == "borderline"
    assert of_sequences([0.0] * 16).verdict == "stable"
    assert of_sequences([-9.0] * 16, [-9.0] * 15 + [-3.0]).verdict == "borderline"


def test_six_sequences_are_judged_by_the_medians_of_their_ends():
    # one odd end of each of eight sequences leaves every median where it is
    assert of_sequences(*[[0.0, -0.1, -9.0]] * 8).verdict == "stable"
    assert of_sequences(*[[0.0, -9.0, -9.0]], *[[0.0, -0.1, -9.0]] * 7).verdict == "borderline"


def test_an_estimated_share_within_its_error_of_a_limit_is_borderline():
    assert of_sequences(*[[-1.95]] * 8).verdict == "stable"
    assert of_sequences(*[[-1.95]] * 8, share_error=0.1).verdict == "borderline"
    assert of_sequences([-1.95], share_error=0.1).verdict == "borderline"


def test_the_interval_holds_the_median_of_sequences_as_often_as_it_says():
    # runs of a random walk: the ends of one run are far from independent
    generator = np.random.default_rng(0)
    misses = 0
    for _ in range(400):
        walks = generator.standard_normal((8, 1)) + 0.1 * generator.standard_normal((8, 2))
        # the median of the law is 2, the limit of exploding: a verdict claims that it is on one side
        misses += of_sequences(*(2.0 + walks)).verdict != "borderline"
    assert misses <= 0.05 * 400


@pytest.mark.parametrize(
    ("log", "verdict"),
    [
        (-4.001, "vanishing"),
        (-3.999, "borderline"),
        (-2.001, "borderline"),
        (-1.999, "stable"),
        (1.999, "stable"),
        (2.001, "exploding"),
    ],
)
def test_one_end_is_judged_by_its_share_alone(log, verdict):
    # neither by the best direction nor by the growth
    end = EndMeasurement(0, 9, 7.0, 8.0, log, -5.0, -7.0)
    assert end.verdict == verdict
    assert end.distance == abs(log)
    assert GradientShare((end,), np.array([[log]]), (0.3,), None, None, 0.0).verdict == verdict


def dense_shares(trajectory, draw, end):
    """log₁₀ of ‖rows of h of J_t ⋯ J_{t−k+1}‖_F / √H for k = 1 …, by dense products; and the products."""
    cell = trajectory.cell
    factor = cell.linearize(trajectory.states[draw], trajectory.inputs[draw])
    product, logs, products = np.eye(cell.state_size), [], []
    for place in reversed(range(end)):
        product = product @ factor.at(place).todense()
        rows = product[cell.output]
        logs.append(math.log10(math.sqrt((rows**2).sum() / len(rows))))
        products.append(product)
    return logs, products


SHARED = ["rnn:gain=1.4", "lstm", "lstm:projection=3", "gru:update_bias=1"]


@pytest.mark.parametrize("spec", SHARED)
def test_shares_of_every_end_and_lag_are_those_of_dense_products(spec):
    cell = parse_cell(spec).make(7, 2, np.random.default_rng(4))
    trajectory = follow(cell, np.random.default_rng(5).standard_normal((3, 50, 2)))
    found = measure_share(trajectory, 20, ends=4)
    assert found.curve.shape == (20, 12)
    shares = []
    for place, one in enumerate(found.measurements):
        logs, products = dense_shares(trajectory, one.draw, one.end)
        assert one.log10_share == pytest.approx(logs[19], abs=1e-10)
        np.testing.assert_allclose(found.curve[:, place], logs[:20], atol=1e-10)
        mean = math.log10(np.mean(10.0 ** np.array(logs[:20])))
        assert one.log10_relative_share == pytest.approx(logs[19] - mean, abs=1e-10)
        norms = [np.linalg.norm(products[19], kind) for kind in (2, "fro")]
        assert [one.log10_norm, one.log10_frobenius] == pytest.approx(np.log10(norms), abs=1e-10)
        shares.append(logs[19])
    assert found.log10_share == pytest.approx(np.median(shares), abs=1e-10)
    assert found.log10_share_range == pytest.approx((min(shares), max(shares)), abs=1e-10)
    assert found.share_error == 0.0


@pytest.mark.parametrize("spec", SHARED)
def test_estimated_shares_are_as_near_to_the_exact_ones_as_their_standard_error_says(spec, monkeypatch):
    cell = parse_cell(spec).make(30, 3, np.random.default_rng(6))
    trajectory = follow(cell, np.random.default_rng(7).standard_normal((4, 60, 3)))
    exact = measure_share(trajectory, 25, ends=8)
    monkeypatch.setattr(end_norms, "MAX_DENSE_STATE", 8)
    found = measure_share(trajectory, 25, ends=8)
    off = found.curve - exact.curve
    assert found.share_error > 0
    assert math.isnan(found.stable_rank)
    # the error is the largest possible one, that of a product of rank 1
    assert math.sqrt(np.mean(off**2)) <= 1.5 * found.share_error
    assert np.abs(off).max() <= 6 * found.share_error
    # 32 ends: their median is nearer
    assert found.log10_share == pytest.approx(exact.log10_share, abs=1.5 * found.share_error)
    for one in found.measurements:  # a mean over directions is at most the best direction
        assert one.log10_share <= one.log10_norm + 1e-12


@pytest.mark.parametrize("size", [1, 4, 9])
def test_an_orthogonal_network_has_as_many_directions_as_units_and_one_of_rank_1_has_one(size):
    assert measure_share(linear(0.9 * orthogonal(size)), 60).stable_rank == pytest.approx(size, rel=1e-9)
    vector = np.arange(1.0, size + 1) / np.linalg.norm(np.arange(1.0, size + 1))
    alone = measure_share(linear(np.outer(vector, vector)), 60)
    assert alone.stable_rank == pytest.approx(1.0, rel=1e-9)
    # the best direction keeps all, and 1/n of the mean square is left
    assert alone.log10_norm == pytest.approx(0.0, abs=1e-9)
    assert alone.log10_share == pytest.approx(-0.5 * math.log10(size), abs=1e-9)


@pytest.mark.parametrize(("factor", "length"), [(0.5, 10), (0.9, 300), (1.0, 77), (2.0, 200), (1e-3, 290)])
def test_the_relative_share_of_a_rotation_times_a_is_that_of_a_geometric_series(factor, length):
    # aᴸ over the mean of a … aᴸ, in logarithms because 2²⁰⁰⁰ and 10⁻⁸⁷⁰ are no doubles
    reverse = sum((1 / factor) ** k for k in range(length)) if factor >= 1 else None
    if reverse is None:
        log = (length - 1) * math.log10(factor) - math.log10((1 - factor**length) / (1 - factor) / length)
    else:
        log = -math.log10(reverse / length)
    found = measure_share(linear(factor * orthogonal(3)), length)
    assert found.log10_relative_share == pytest.approx(log, abs=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_from_every_end_the_norm_is_that_of_the_dense_product_behind_it(seed):
    draw = np.random.default_rng([seed, 77])
    spec = ("rnn", "rnn:activation=relu", "lstm", "gru")[seed % 4]
    cell = parse_cell(f"{spec}{',' if ':' in spec else ':'}gain={10 ** draw.uniform(-0.7, 0.5):.4f}").make(
        int(draw.integers(2, 17)), 2, draw
    )
    inputs = draw.standard_normal((2, 60, 2))
    inputs[:, -1] = draw.choice([0.0, 8.0, -30.0])  # a last step unlike the others
    trajectory = follow(cell, inputs)
    length = int(draw.integers(1, 40))
    for one in measure_share(trajectory, length, ends=4).measurements:
        product = np.eye(cell.state_size)
        factor = cell.linearize(trajectory.states[one.draw], inputs[one.draw])
        for place in range(one.end - length, one.end):
            product = factor.at(place).todense() @ product
        exact = np.linalg.norm(product, 2)
        assert one.log10_norm == (pytest.approx(math.log10(exact), abs=1e-9) if exact else -math.inf)


# ---- large states, whose products are not formed


def dense_of_end(trajectory, draw, end, longest):
    """log₁₀ of the norms of the products behind one end, multiplied out."""
    states, inputs = trajectory.states[draw, : end + 1], trajectory.inputs[draw, :end]
    one = follow(trajectory.cell, inputs)
    assert np.allclose(one.states, states, rtol=1e-12, atol=1e-13)
    return dense_log10_norms(one)[:longest]


@pytest.mark.parametrize("spec", ["lstm", "lstm:init=chrono,horizon=60", "gru", "rnn:gain=4"])
def test_norms_that_are_estimated_are_within_their_error_and_range(spec):
    cell = parse_cell(spec).make(140, 3, np.random.default_rng(4))
    trajectory = follow(cell, np.random.default_rng(5).standard_normal((3, 60, 3)))
    found = end_norms.measure_end_norms(trajectory, [40, 60], [1, 20, 40], ranged=True)
    assert 0 < found.error <= end_norms.MAX_END_NORM_ERROR
    for draw in range(3):
        for place, end in enumerate((40, 60)):
            logs = dense_of_end(trajectory, draw, end, 40)
            for lag, estimates in found.log10_norms.items():
                assert logs[lag - 1] <= estimates[draw, place] + math.log10(1 + found.error)
                assert estimates[draw, place] == pytest.approx(logs[lag - 1], abs=1e-3)
            if (draw, end) == (0, 60):
                low, high = found.log10_range
                assert (low <= logs).all()
                assert (high >= logs).all()
                assert (high - low < 2.5).all()


@pytest.mark.parametrize("factor", [1e-60, 1e-30, 1e30, 1e60])
def test_numbers_outside_single_precision_are_multiplied_in_double(factor):
    cell = RNN(np.ones((150, 1)), factor * orthogonal(150), np.zeros(150), "identity")
    found = end_norms.measure_end_norms(follow(cell, np.zeros((2, 4, 1))), [4], [1, 3], ranged=True)
    for lag in (1, 3):
        assert found.log10_norms[lag] == pytest.approx(lag * math.log10(factor), abs=1e-6)
    low, high = found.log10_range
    exact = math.log10(factor) * np.arange(1, 4)
    assert (low <= exact).all()
    assert (high >= exact).all()


@pytest.mark.parametrize("factor", [0.3, 0.9, 1.0, 3.0])
def test_the_horizon_of_a_large_rotation_is_the_first_power_outside_float32(factor):
    first = next((k for k in range(1, 101) if not 2.0**-126 <= factor**k <= 3.4028234663852886e38), None)
    matrix = factor * orthogonal(130)
    cell = RNN(np.ones((130, 1)), matrix, np.zeros(130), "identity")
    for draws in (1, 2):
        found = measure_share(follow(cell, np.zeros((draws, 100, 1))), 100)
        assert found.horizon_float32 == first
        assert found.rate == pytest.approx(math.log(factor), abs=1e-6)


def test_the_product_behind_one_end_of_a_large_state_is_that_of_all_jacobians():
    cell = parse_cell("lstm").make(70, 3, np.random.default_rng(4))
    trajectory = follow(cell, np.random.default_rng(5).standard_normal((60, 3)))
    logs, found = dense_log10_norms(trajectory), measure_share(trajectory, 60)
    assert found.log10_norm == pytest.approx(logs[-1], abs=1e-9)
    assert found.rate == pytest.approx((logs[-1] - logs[29]) / 30 * math.log(10), rel=1e-9)
    assert found.error < 1e-6


def test_without_the_curve_the_norms_and_the_share_are_the_same():
    cell = parse_cell("lstm").make(6, 3, np.random.default_rng(4))
    trajectory = follow(cell, np.random.default_rng(5).standard_normal((4, 60, 3)))
    full = measure_share(trajectory, 40, ends=2, rates=False)
    short = measure_share(trajectory, 40, ends=2, rates=False, curve=False)
    for one, other in zip(full.measurements, short.measurements, strict=True):
        assert other._replace(log10_relative_share=0.0) == one._replace(log10_relative_share=0.0)
        assert math.isnan(other.log10_relative_share)
