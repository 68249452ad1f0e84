"""The knob of every cell and the search on it: functions whose crossing is known, or that have none."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradflow.analysis.init.tuning import (
    ENOUGH_DECADES,
    Knob,
    TuningTrial,
    best,
    close_enough,
    decades_of,
    knob_of,
    search,
)
from gradflow.analysis.shared.gradient_share import EndMeasurement, GradientShare
from gradflow.cells.spec import parse_cell
from gradflow.errors import UsageError

MOST = 60  # trials: a person waits for each
GAIN = Knob("gain", 1.0, 1e-3, 1e3, doubled=True)
HORIZON = Knob("horizon", 100.0, 2.0, 1e9, doubled=True)
BIAS = Knob("forget_bias", 0.0, -40.0, 40.0, doubled=False)
KNOBS = [GAIN, HORIZON, BIAS]


def outcome(log10, blow_up=None):
    return GradientShare((EndMeasurement(0, 1, *[log10] * 5),), np.empty((0, 1)), (0.0,), None, blow_up, 0.0)


def pairs(trials):
    """The value of each trial, and log₁₀ of its ratio."""
    return [(trial.value, trial.share.log10_norm_ratio) for trial in trials]


def searched(knob, log10):
    """The trials of a search, each checked: on its own value, inside the ends, once, and not too many."""
    asked = []

    def measure(value):
        asked.append(value)
        return outcome(log10(value))

    trials = list(search(knob, measure))
    values = [trial.value for trial in trials]
    assert values[0] == knob.start
    assert sorted(values) == sorted(asked)
    assert len(set(values)) == len(values) <= MOST
    assert all(knob.low <= value <= knob.high for value in values)
    for trial in trials:
        ratio, known = trial.share.log10_norm_ratio, log10(trial.value)
        assert ratio == known or (math.isnan(ratio) and math.isnan(known))
    return trials


def place(knob, value):
    """Where a value stands for a search that doubles, or that takes steps."""
    return math.log(value) if knob.doubled else value


def growing(knob, root, slope):
    return lambda value: slope * (place(knob, value) - place(knob, root))


ROOTS = [
    (knob, root)
    for knob, roots in (
        (GAIN, [1.1e-3, 0.03, 0.5, 0.77, 1.0, 1.001, 1.6, 8.0, 900.0]),
        (HORIZON, [2.1, 99.0, 100.0, 150.0, 1e4, 9e8]),
        (BIAS, [-39.0, -3.0, -0.2, 0.0, 0.9, 2.675, 7.0, 39.9]),
    )
    for root in roots
]


@pytest.mark.parametrize(("knob", "root"), ROOTS)
def test_where_the_ratio_grows_with_the_value_its_crossing_is_found(knob, root):
    for slope in (0.05, 1.0, 43.0, 434.0):  # gain^(N − 1): (N − 1)/ln 10
        found = best(searched(knob, growing(knob, root, slope)))
        assert close_enough(found.share)
        assert abs(place(knob, found.value) - place(knob, root)) <= ENOUGH_DECADES / slope * (1 + 1e-9)


@settings(deadline=None, max_examples=80)
@given(
    knob=st.sampled_from([GAIN, BIAS]),
    start=st.floats(0.0, 1.0),
    root=st.floats(0.0, 1.0),
    slope=st.floats(0.01, 500.0),
    bend=st.floats(0.8, 3.0),  # a band of 2e-5 or more
)
def test_from_any_start_to_any_crossing_of_a_bent_curve_the_band_is_found(knob, start, root, slope, bend):
    low, high = place(knob, knob.low), place(knob, knob.high)
    started, wanted = (low + share * (high - low) for share in (start, root))
    begun = min(max(math.exp(started) if knob.doubled else started, knob.low), knob.high)

    def log10(value):
        away = place(knob, value) - wanted
        return slope * math.copysign(abs(away) ** bend, away)

    assert close_enough(best(searched(knob._replace(start=begun), log10)).share)


@pytest.mark.parametrize("knob", KNOBS)
def test_a_start_that_is_close_enough_ends_the_search(knob):
    for log10 in (0.0, ENOUGH_DECADES, -ENOUGH_DECADES, 0.1):
        assert pairs(searched(knob, lambda value, log10=log10: log10)) == [(knob.start, log10)]


@pytest.mark.parametrize("knob", KNOBS)
def test_a_gradient_that_always_vanishes_is_sought_up_to_the_upper_end(knob):
    for log10 in (-0.26, -3.0, -1e5, -1e9, -math.inf):
        trials = searched(knob, lambda value, log10=log10: log10)
        values = [trial.value for trial in trials]
        assert values == sorted(values)
        assert values[-1] == knob.high
        assert best(trials) is trials[0]


@pytest.mark.parametrize("knob", KNOBS)
def test_a_gradient_that_always_explodes_is_sought_down_to_the_lower_end(knob):
    for log10 in (0.26, 3.0, 1e9, math.inf, math.nan):
        trials = searched(knob, lambda value, log10=log10: log10)
        values = [trial.value for trial in trials]
        assert values == sorted(values, reverse=True)
        assert values[-1] == knob.low
        assert best(trials) is trials[0]


@pytest.mark.parametrize("start", [1.0, 0.9e-2, 500.0])
def test_a_ratio_that_saturates_under_1_gives_the_largest_value_there_is(start):
    knob = GAIN._replace(start=start)
    found = best(searched(knob, lambda gain: -1.0 - 1.0 / gain))
    assert pairs([found]) == [(knob.high, -1.0 - 1e-3)]


@pytest.mark.parametrize("jump", [0.02, 0.8, 1.3, 5.0, 700.0])
def test_a_jump_over_the_band_is_closed_in_on_and_the_nearer_side_taken(jump):
    trials = searched(GAIN, lambda gain: -3.0 if gain < jump else 7.0)
    below = max(trial.value for trial in trials if trial.value < jump)
    above = min(trial.value for trial in trials if trial.value >= jump)
    assert above - below < 1e-3 * jump
    found = best(trials)
    assert (found.value < jump, found.share.log10_norm_ratio) == (True, -3.0)


@pytest.mark.parametrize("root", [0.2, 1.5, 3.3, 50.0])
def test_a_state_that_overflows_counts_as_too_large(root):
    for limit in (0.3, 1.7, 3.5, 60.0):
        check_overflow(root, limit)


def check_overflow(root, limit):
    known = growing(GAIN, root, 43.0)
    trials = searched(GAIN, lambda gain: known(gain) if gain < limit else math.nan)
    if root < limit:
        assert close_enough(best(trials).share)
    else:  # the last that does not overflow is the nearest there is
        found = best(trials)
        assert found.value < limit
        assert found.share.log10_norm_ratio == max(
            trial.share.log10_norm_ratio for trial in trials if trial.value < limit
        )


def test_a_gradient_of_exactly_0_counts_as_too_small():
    known = growing(BIAS, 5.0, 1.0)
    for end in (-1.0, 0.5, 4.0):
        trials = searched(BIAS, lambda bias, end=end: known(bias) if bias > end else -math.inf)
        assert close_enough(best(trials).share)


@pytest.mark.parametrize("slope", [1.0, 434.0])
def test_a_ratio_that_first_falls_is_followed_to_where_it_crosses(slope):
    # too small at the start, smaller still at 2, crossing at 10
    trials = searched(GAIN, lambda gain: slope * ((math.log(gain) - math.log(2)) ** 2 - math.log(5) ** 2))
    found = best(trials)
    assert close_enough(found.share)
    assert found.value == pytest.approx(10, rel=0.2 / slope)


@pytest.mark.parametrize(("knob", "start"), [(GAIN, 1e-9), (BIAS, -1e30), (BIAS, -41.0)])
def test_a_start_under_the_lower_end_comes_in_at_once(knob, start):
    values = [trial.value for trial in search(knob._replace(start=start), lambda value: outcome(-5.0))]
    assert values[0] == start
    assert min(values[1:]) >= knob.low
    assert values[-1] == knob.high


@pytest.mark.parametrize(("knob", "start"), [(GAIN, 1e9), (BIAS, 1e30), (BIAS, 41.0)])
def test_a_start_over_the_upper_end_comes_in_at_once(knob, start):
    values = [trial.value for trial in search(knob._replace(start=start), lambda value: outcome(5.0))]
    assert values[0] == start
    assert max(values[1:]) <= knob.high
    assert values[-1] == knob.low


@pytest.mark.parametrize(
    ("logs", "place"),
    [
        ([-3.0, 1.0, 2.0], 1),
        ([-3.0, 4.0], 0),
        ([3.0, -0.26, 0.27], 1),
        ([5.0, 0.2, 0.0, -0.1], 1),  # close enough is close enough: the first
        ([-math.inf, -1e5], 1),
        ([math.nan, 1e5], 1),
        ([math.nan, -math.inf, -1e9, 1e5], 3),
        ([-math.inf, math.nan], 0),
        ([0.0], 0),
    ],
)
def test_the_best_trial_is_the_first_of_the_nearest_to_1(logs, place):
    trials = [TuningTrial(float(k), outcome(log)) for k, log in enumerate(logs)]
    assert best(trials) is trials[place]


def test_close_enough_is_a_quarter_of_a_decade_either_way():
    for log10 in (0.0, 0.25, -0.25):
        assert close_enough(outcome(log10))
    for log10 in (0.2501, -0.2501, -math.inf):
        assert not close_enough(outcome(log10))
    assert not close_enough(outcome(math.nan, blow_up=3))


def test_decades_are_finite_and_in_the_order_of_the_ratios():
    logs = [-math.inf, -1e9, -4.0, 0.0, 4.0, 1e9, math.inf]
    decades = [decades_of(outcome(log)) for log in logs]
    assert decades == sorted(decades)
    assert all(math.isfinite(one) for one in decades)
    assert decades[2:5] == logs[2:5]
    assert decades_of(outcome(math.nan)) == decades[-1]  # an overflow


KEEPERS = {"lstm": "forget_bias", "gru": "update_bias"}


@pytest.mark.parametrize("init", ["torch", "keras", "ginibre", "orthogonal", "identity"])
def test_of_an_rnn_the_gain_is_tuned_whatever_the_scheme(init):
    for activation in ("tanh", "relu", "identity"):
        knob = knob_of(parse_cell(f"rnn:init={init},activation={activation}"))
        assert (knob.name, knob.start, knob.doubled) == ("gain", 1.0, True)
        assert 0 < knob.low < 1 < knob.high


@pytest.mark.parametrize(
    "cell", ["lstm", "lstm:peephole=on", "lstm:coupled=on", "lstm:projection=3", "gru", "gru:reset=before"]
)
def test_of_a_cell_that_keeps_its_state_by_a_gate_the_bias_of_that_gate_is_tuned(cell):
    kind = cell.partition(":")[0]
    for init in ("torch", "keras", "ginibre", "orthogonal", "identity"):
        knob = knob_of(parse_cell(f"{cell}{',' if ':' in cell else ':'}init={init}"))
        assert (knob.name, knob.doubled) == (KEEPERS[kind], False)
        # unit_forget_bias of Keras
        assert knob.start == (1.0 if (kind, init) == ("lstm", "keras") else 0.0)
        assert knob.low < 0 < knob.high


def test_of_chrono_the_longest_memory_is_tuned():
    for cell in ("lstm", "lstm:coupled=on", "gru", "gru:reset=before"):
        knob = knob_of(parse_cell(f"{cell}{',' if ':' in cell else ':'}init=chrono"))
        assert (knob.name, knob.start, knob.low, knob.doubled) == ("horizon", 100.0, 2.0, True)


def test_of_an_lstm_without_forget_gate_the_gain_is_tuned():
    for init in ("torch", "keras", "identity"):
        knob = knob_of(parse_cell(f"lstm:forget_gate=off,init={init}"))
        assert (knob.name, knob.start) == ("gain", 1.0)
        assert knob_of(parse_cell(f"lstm:forget_gate=on,init={init}")).name == "forget_bias"


@pytest.mark.parametrize(
    ("cell", "name", "start"),
    [
        ("rnn:gain=0.3", "gain", 0.3),
        ("lstm:forget_gate=off,gain=2", "gain", 2.0),
        ("lstm:forget_bias=-2", "forget_bias", -2.0),
        ("lstm:forget_bias=2.5,init=keras", "forget_bias", 2.5),
        ("lstm:gain=3", "forget_bias", 0.0),
        ("gru:update_bias=1.5", "update_bias", 1.5),
        ("gru:init=chrono,horizon=700", "horizon", 700.0),
        ("lstm:init=chrono,horizon=7,layers=2", "horizon", 7.0),
    ],
)
def test_the_value_that_a_person_gives_is_where_the_search_starts(cell, name, start):
    knob = knob_of(parse_cell(cell))
    assert (knob.name, knob.start) == (name, start)


@pytest.mark.parametrize("gain", ["0", "-1", "-1e-300"])
@pytest.mark.parametrize("cell", ["rnn:gain={}", "rnn:init=identity,gain={}", "lstm:forget_gate=off,gain={}"])
def test_a_gain_that_no_doubling_moves_over_0_is_refused(cell, gain):
    with pytest.raises(UsageError, match=r"gain .* cannot be tuned; expected a number over 0"):
        knob_of(parse_cell(cell.format(gain)))


def test_a_gain_of_0_is_no_obstacle_where_a_bias_is_tuned():
    assert knob_of(parse_cell("lstm:gain=0")).name == "forget_bias"
    assert knob_of(parse_cell("gru:gain=-1")).name == "update_bias"
