"""Changes that are tried: closed forms of what each must find, and that what is told was measured."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from gradflow.analysis.inspect import remedies
from gradflow.analysis.inspect.remedies import RemedyCase, RemedyTrial, choose_advised, trials
from gradflow.analysis.shared.gradient_share import EndMeasurement, GradientShare, measure_share
from gradflow.analysis.shared.trajectory import follow
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell
from gradflow.errors import NumericalError

HIDDEN, FEATURES, STEPS = 5, 2, 100
ROUNDING = 0.05 + 0.01  # of a value to one digit after the point, and of the search
MEMORIES = [10, 50, 100]


def log10_sigma(z):
    return -math.log1p(math.exp(-z)) / math.log(10)


def draws(steps=STEPS, seed=0):
    return np.random.default_rng(seed).standard_normal((steps, FEATURES))


def case(cell, inputs, length=STEPS, seed=0):
    trajectory = follow(cell, inputs)
    return RemedyCase(cell, trajectory, measure_share(trajectory, length), length, seed)


def assert_same(one, other):
    """Two shares are the same in every number."""
    np.testing.assert_array_equal(one.curve, other.curve)
    nothing = np.empty(0)
    assert repr(one._replace(curve=nothing)) == repr(other._replace(curve=nothing))


def tried(one):
    return {trial.change: trial for trial in trials(one)}


def bias_only(cell, **biases):
    """A cell whose weights are all 0; a bias is one number, or one for each unit."""
    names = "ifgo" if cell is LSTM else "rzn"
    rows = len(names) * HIDDEN
    bias = np.concatenate([np.broadcast_to(biases.get(name, 0.0), HIDDEN) for name in names])
    return cell(np.zeros((rows, FEATURES)), np.zeros((rows, HIDDEN)), bias)


def linear(matrix):
    matrix = np.asarray(matrix, dtype=float)
    return RNN(np.ones((len(matrix), FEATURES)), matrix, np.zeros(len(matrix)), "identity")


def rotation(seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((HIDDEN, HIDDEN)))[0]


@pytest.fixture
def changed(monkeypatch):
    """The cells that remedies run, in their order."""
    cells = []

    def spy(cell, inputs):
        cells.append(cell)
        return follow(cell, inputs)

    monkeypatch.setattr(remedies, "follow", spy)
    return cells


@pytest.mark.parametrize("length", MEMORIES)
@pytest.mark.parametrize("bias", [-4.0, -0.5, 0.0, 0.2])
@pytest.mark.parametrize(("cell", "gate", "name"), [(LSTM, "f", "forget_bias"), (GRU, "z", "update_bias")])
def test_the_bias_of_the_gate_that_keeps_is_set_so_that_it_keeps_1_over_e(cell, gate, name, bias, length):
    one = case(bias_only(cell, **{gate: bias}), draws(), length)
    # of an lstm at rest the output gate lets half of the cell out
    out = math.log10(0.5) if cell is LSTM else 0.0
    assert one.before.log10_share == pytest.approx(length * log10_sigma(bias) + out, rel=1e-9)
    trial = tried(one)[name]
    # −ln σ(b) = 1/L, whatever the bias was
    assert trial.value == pytest.approx(-math.log(math.expm1(1 / length)), abs=ROUNDING)
    assert trial.value == round(trial.value, 1)
    assert trial.share.log10_share == pytest.approx(length * log10_sigma(trial.value) + out, rel=1e-9)
    assert trial.share.verdict == "stable"


def test_units_that_differ_are_given_one_bias():
    biases = np.array([-3.0, 0.9, -1.0, 0.0, -0.2])
    one = case(bias_only(LSTM, f=biases), draws(), 50)
    trial = tried(one)["forget_bias"]
    assert trial.value == pytest.approx(-math.log(math.expm1(1 / 50)), abs=ROUNDING)
    # all units are alike, so that the share is that of one unit
    assert trial.share.log10_share == pytest.approx(50 * log10_sigma(trial.value) - math.log10(2), rel=1e-9)


@pytest.mark.parametrize(("spec", "place", "name"), [("lstm", 1, "forget_bias"), ("gru", 1, "update_bias")])
def test_along_a_real_run_the_median_unit_of_the_gate_as_it_was_keeps_1_over_e(spec, place, name):
    cell = parse_cell(spec).make(9, FEATURES, np.random.default_rng(1))
    gate_name = cell.gate_names[place]
    cell.bias[cell.blocks[gate_name]] += np.linspace(-2.0, 1.0, 9)
    one = case(cell, 2 * draws(), 60)
    gate = one.trajectory.gates()[place].values
    without_bias = np.log(gate / (1 - gate)) - cell.bias[cell.blocks[gate_name]]

    def miss(bias):
        return np.median(np.log1p(np.exp(-(without_bias + bias))).mean(axis=0)) - 1 / 60

    assert tried(one)[name].value == pytest.approx(brentq(miss, 0.0, 40.0), abs=ROUNDING)


def test_a_gate_that_no_bias_opens_is_given_the_highest_and_is_not_advised():
    cell = bias_only(LSTM)
    weights = cell.weight_ih.copy()
    weights[cell.blocks["f"]] = -60.0
    one = case(cell.replace_arrays(weight_ih=weights), np.ones((STEPS, FEATURES)), 50)
    trial = tried(one)["forget_bias"]
    assert trial.value == 40.0
    # the gate stays at σ(40 − 120)
    assert trial.share.log10_share == pytest.approx(50 * log10_sigma(-80.0) - math.log10(2), rel=1e-9)
    assert choose_advised([trial], one.before) is None


@pytest.mark.parametrize("length", [2, 50, 100])
@pytest.mark.parametrize(
    ("spec", "gate", "mirror"), [("lstm", "f", "i"), ("lstm:coupled=on", "f", ""), ("gru", "z", "")]
)
def test_chrono_spreads_memories_up_to_the_length(changed, spec, gate, mirror, length):
    cell = parse_cell(spec).make(100, FEATURES, np.random.default_rng(2))
    one = case(cell, draws(3), 3)._replace(length=length)
    trial = remedies.chrono(one, gate)
    (new,) = changed
    memories = np.exp(new.bias[new.blocks[gate]])
    assert (trial.change, trial.value) == ("chrono", length)
    assert 1.0 - 1e-12 <= memories.min() <= memories.max() <= length - 1 + 1e-12
    # u is uniform on [1, L − 1]: the mean of 100 is within five standard errors
    assert memories.mean() == pytest.approx(length / 2, abs=5 * (length - 2) / math.sqrt(12 * 100) + 1e-9)
    if mirror:
        np.testing.assert_array_equal(new.bias[new.blocks[mirror]], -new.bias[new.blocks[gate]])
    for name in set(cell.blocks) - {gate, mirror}:
        np.testing.assert_array_equal(new.bias[new.blocks[name]], cell.bias[cell.blocks[name]])
    np.testing.assert_array_equal(new.weight_hh, cell.weight_hh)


def test_chrono_is_the_same_for_one_seed_and_another_for_another():
    cell = bias_only(LSTM)
    several = [tried(case(cell, draws(), 50, seed))["chrono"].share.log10_share for seed in (0, 0, 1)]
    assert several[0] == several[1] != several[2]


@pytest.mark.parametrize("factor", [0.5, 0.25, 0.9, 0.3, 4.0, 1.25, 1.06])
def test_the_gain_of_a_linear_layer_is_one_over_its_rate(factor):
    one = case(linear(factor * rotation()), draws())
    assert one.before.verdict == ("exploding" if factor > 1 else "vanishing")
    trial = tried(one)["gain"]
    assert trial.value == pytest.approx(1 / factor, rel=0.005)  # told in three digits
    assert trial.share.log10_share == pytest.approx(STEPS * math.log10(factor * trial.value), abs=1e-9)
    assert trial.share.verdict == "stable"


@pytest.mark.parametrize(("factor", "limit"), [(1e-4, 100.0), (1e4, 0.01)])
def test_no_gain_is_past_what_anyone_would_take(factor, limit):
    one = case(linear(factor * rotation()), draws(60), 20)
    trial = tried(one)["gain"]
    assert trial.value == limit
    assert trial.share.log10_share == pytest.approx(20 * math.log10(factor * limit), rel=1e-9)
    assert trial.share.verdict == ("exploding" if factor * limit > 1 else "vanishing")


@pytest.mark.parametrize("factor", [0.3, 1.4])
def test_an_orthogonal_matrix_in_a_linear_layer_keeps_all_of_a_gradient(factor):
    trial = tried(case(linear(factor * rotation()), draws()))["orthogonal"]
    assert trial.share.log10_share == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("spec", ["rnn", "lstm", "lstm:projection=3", "gru"])
def test_orthogonal_weights_have_orthonormal_columns_gate_by_gate(changed, spec):
    cell = parse_cell(spec).make(7, FEATURES, np.random.default_rng(3))
    remedies.orthogonal(case(cell, draws(4), 4), "")
    (new,) = changed
    assert new.weight_hh.shape == cell.weight_hh.shape
    for rows in new.blocks.values():
        block = new.weight_hh[rows]
        np.testing.assert_allclose(block.T @ block, np.eye(block.shape[1]), atol=1e-13)
    np.testing.assert_array_equal(new.bias, cell.bias)


def test_no_gain_mends_a_nilpotent_layer_and_an_orthogonal_one_does():
    found = list(trials(case(linear(np.eye(HIDDEN, k=1)), draws())))
    by_name = {trial.change: trial for trial in found}
    assert by_name["gain"].share.log10_share == -math.inf
    assert choose_advised(found, outcome(-math.inf).share).change == "orthogonal"


@pytest.mark.parametrize(("weight", "steps"), [(10.0, 400), (10.0, 500), (40.0, 1000)])
def test_a_relu_layer_that_overflows_is_given_a_gain_under_1(weight, steps):
    cell = RNN(np.ones((1, FEATURES)), np.array([[weight]]), np.ones(1), "relu")
    one = case(cell, np.ones((steps, FEATURES)), steps)
    assert one.before.blow_up is not None
    trial = tried(one)["gain"]
    # h' = g w h + 3 keeps a gradient as it is where g w = 1
    assert trial.value == pytest.approx(1 / weight, rel=0.005)
    assert trial.share.verdict == "stable"


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("lstm", "forget_bias"),
        ("lstm:coupled=on", "forget_bias"),
        ("lstm:peephole=on", "forget_bias"),
        ("lstm:projection=3", "forget_bias"),
        ("gru", "update_bias"),
        ("gru:reset=before", "update_bias"),
    ],
)
def test_vanishing_in_a_layer_with_a_gate_that_keeps_calls_for_its_bias(spec, name):
    one = case(parse_cell(spec).make(HIDDEN, FEATURES, np.random.default_rng(4)), draws())
    assert one.before.verdict == "vanishing"
    assert [trial.change for trial in trials(one)] == [name, "chrono"]


@pytest.mark.parametrize("gain", [0.4, 9.0])
def test_a_layer_without_gates_is_given_other_weights_whether_it_vanishes_or_explodes(gain):
    cell = parse_cell(f"rnn:activation=identity,gain={gain}").make(HIDDEN, FEATURES, np.random.default_rng(4))
    one = case(cell, draws())
    assert one.before.verdict == ("vanishing" if gain < 1 else "exploding")
    assert [trial.change for trial in trials(one)] == ["gain", "orthogonal"]


@pytest.mark.parametrize(("cell", "candidate"), [(LSTM, "g"), (GRU, "n")])
def test_gradients_that_explode_through_gates_call_for_other_weights(cell, candidate):
    made = bias_only(cell)
    weights = made.weight_hh.copy()
    weights[made.blocks[candidate]] = 8 * np.eye(HIDDEN)
    one = case(made.replace_arrays(weight_hh=weights), np.zeros((STEPS, FEATURES)))
    # at rest half of the state is kept, and the candidate adds ½·½·8 of it
    assert one.before.rate == pytest.approx(math.log(2.5), rel=1e-9)
    found = tried(one)
    assert list(found) == ["gain", "orthogonal"]
    value = found["gain"].value
    growth = found["gain"].share.curve[99] - found["gain"].share.curve[0]
    assert growth == pytest.approx(99 * math.log10(0.5 + 2 * value), rel=1e-9, abs=1e-12)
    assert found["gain"].share.verdict == "stable"


def test_a_layer_without_a_bias_to_raise_is_given_other_weights():
    fixed = parse_cell("lstm:forget_gate=off,gain=9").make(HIDDEN, FEATURES, np.random.default_rng(5))
    rows = np.zeros((4 * HIDDEN, FEATURES)), np.zeros((4 * HIDDEN, HIDDEN)), np.zeros(4 * HIDDEN)
    hard = LSTM(*rows, gate_activation="hard_sigmoid(0.2,0.5)")  # the odds of such a gate are not its bias
    for cell in (fixed, hard):
        one = case(cell, draws())
        assert [trial.change for trial in trials(one)] == ["gain", "orthogonal"]


def test_what_is_told_of_a_change_is_what_the_changed_layer_does():
    cell = parse_cell("lstm").make(HIDDEN, FEATURES, np.random.default_rng(6))
    raised = tried(case(cell, draws(), 80))["forget_bias"]
    bias = cell.bias.copy()
    bias[HIDDEN : 2 * HIDDEN] = raised.value
    by_hand = LSTM(cell.weight_ih, cell.weight_hh, bias)
    assert_same(raised.share, measure_share(follow(by_hand, draws()), 80, norms=False))
    tanh = parse_cell("rnn:gain=0.4").make(HIDDEN, FEATURES, np.random.default_rng(7))
    scaled = tried(case(tanh, draws(), 80))["gain"]
    by_hand = RNN(tanh.weight_ih, scaled.value * tanh.weight_hh, tanh.bias)
    assert_same(scaled.share, measure_share(follow(by_hand, draws()), 80, norms=False))


@pytest.mark.parametrize("failing", ["gain", "orthogonal"])
def test_a_change_whose_numbers_cannot_be_had_is_left_out(monkeypatch, failing):
    def lost(one, gate):
        raise NumericalError("out of the range of a double")

    monkeypatch.setattr(remedies, failing, lost)
    changes = [trial.change for trial in trials(case(linear(0.5 * rotation()), draws()))]
    assert changes == [name for name in ("gain", "orthogonal") if name != failing]


@pytest.mark.parametrize("size", [1e300, 1.5e308])
def test_weights_at_the_end_of_the_doubles_are_no_reason_to_fail(size):
    cell = RNN(np.ones((HIDDEN, FEATURES)), size * np.eye(HIDDEN), np.zeros(HIDDEN))
    with np.errstate(all="ignore"):  # whether it may warn is not the question here
        found = list(trials(case(cell, draws())))
    assert "orthogonal" in [trial.change for trial in found]


def outcome(log10_share, blow_up=None):
    ends = (EndMeasurement(0, 9, *[log10_share] * 5),)
    return RemedyTrial("gain", 1.0, GradientShare(ends, np.empty((0, 1)), (0.0,), None, blow_up, 0.0))


def test_the_stable_change_that_is_nearest_to_1_is_advised():
    lost = outcome(-9.0).share
    even, over, under, far = outcome(-0.2), outcome(0.3), outcome(-1.9), outcome(2.5)
    assert choose_advised([over, under, even, far], lost) is even
    assert choose_advised([far, under], lost) is under
    assert choose_advised([under, over], lost) is over
    assert choose_advised([outcome(1e-9, blow_up=7), under], lost) is under


@pytest.mark.parametrize("logs", [[], [-2.1], [2.1, -5.0], [-math.inf], [math.nan]])
def test_no_change_is_advised_if_none_is_stable(logs):
    assert choose_advised([outcome(log) for log in logs], outcome(-9.0).share) is None


def outcomes(*log10_shares):
    """One end for each of several sequences."""
    ends = tuple(EndMeasurement(draw, 9, *[log] * 5) for draw, log in enumerate(log10_shares))
    return RemedyTrial("gain", 1.0, GradientShare(ends, np.empty((0, 1)), (0.0,), None, None, 0.0))


def test_a_change_of_a_stable_layer_is_advised_if_it_halves_the_distance_of_the_median():
    before = outcomes(-1.0, -1.0, -1.2).share
    assert choose_advised([outcomes(-0.8, -0.8, -0.8)], before) is None
    better = outcomes(-0.6, -0.6, -0.8)
    assert choose_advised([better], before) is better


def test_a_change_that_moves_the_median_or_the_worst_end_away_is_not_advised():
    before = outcomes(-0.5, -0.5, -1.8).share
    assert choose_advised([outcomes(-1.0, -1.0, -1.1)], before) is None
    assert choose_advised([outcomes(-0.1, -0.1, -1.9)], before) is None


@pytest.mark.parametrize(
    ("spec", "gain"),
    [("rnn", 0.5), ("rnn:activation=relu", 9.0), ("lstm", 1.0), ("lstm:coupled=on", 1.0), ("gru", 1.0)],
)
def test_the_layer_and_its_way_stay_as_they_were(spec, gain):
    cell = parse_cell(spec).make(HIDDEN, FEATURES, np.random.default_rng(8))
    one = case(cell.replace_arrays(weight_hh=gain * cell.weight_hh, bias=cell.bias + (gain > 1)), draws())
    arrays = [*one.cell.weights().values(), one.trajectory.states, one.trajectory.inputs]
    before = [array.copy() for array in arrays]
    assert list(trials(one))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("scale", [3.72, 8.0])
def test_a_saturated_rnn_gets_the_gain_that_a_sweep_finds(scale):
    # the slope of tanh grows as the weights shrink, so the linear guess goes the wrong way
    size = 4
    inputs = np.random.default_rng(0).standard_normal((STEPS, 1))
    saturated = RNN(np.full((size, 1), 0.01), scale * np.eye(size), np.zeros(size))
    sweep = [
        measure_share(follow(saturated.replace_arrays(weight_hh=gain * saturated.weight_hh), inputs), STEPS)
        for gain in np.geomspace(0.01, 1, 40)
    ]
    assert any(found.is_stable for found in sweep)
    assert tried(case(saturated, inputs))["gain"].share.is_stable


def test_a_gain_is_sought_on_half_of_the_runs_and_judged_on_all():
    inputs = np.zeros((4, STEPS, 1))
    inputs[2:] = 1000.0  # drives that the search does not see, and that no gain lets a gradient through
    cell = RNN(np.full((3, 1), 0.01), 0.5 * np.eye(3), np.zeros(3))
    trajectory = follow(cell, inputs)
    trial = tried(RemedyCase(cell, trajectory, measure_share(trajectory, STEPS), STEPS, 0))["gain"]
    assert trial.value == 2.0  # at rest tanh has slope 1
    assert [end.verdict for end in trial.share.measurements] == ["stable"] * 2 + ["vanishing"] * 2
    assert choose_advised([trial], measure_share(trajectory, STEPS)) is None


@pytest.mark.parametrize("seed", range(3))
def test_no_gain_is_advised_for_a_network_that_every_gain_leaves_to_its_inputs(seed):
    cell = parse_cell("rnn:gain=3").make(16, FEATURES, np.random.default_rng(seed))
    inputs = np.random.default_rng([seed, 1]).standard_normal((8, 300, FEATURES))
    trajectory = follow(cell, inputs)
    one = RemedyCase(cell, trajectory, measure_share(trajectory, 300), 300, 0)
    for trial in trials(one):
        ends = trial.share.measurements
        assert len(ends) == 8
        advised = choose_advised([trial], one.before) is trial
        nearer = trial.share.distance < one.before.distance and abs(trial.share.log10_share) < abs(
            one.before.log10_share
        )
        assert advised == (nearer and all(abs(end.log10_share) <= 2 for end in ends))
