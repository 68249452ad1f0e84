"""Sweeps of one option: which values, what is refused, and where theory and measurement turn critical."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

import gradflow
from gradflow.analysis.theory.mean_field import MeanField
from gradflow.analysis.theory.sweep import INPUT_SCALE, parse_asked, values_of
from gradflow.cells.activations import ACTIVATIONS
from gradflow.errors import UsageError


def swept(cell, **options):
    """A sweep by theory alone."""
    return gradflow.theory(cell, measure=False, **options)


# --- values


def test_range_has_the_values_that_a_person_would_write():
    values = values_of("gain", "0.5:2:0.1")
    assert values == (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0)
    assert [str(value) for value in values_of("gain", "0.7:1:0.1")] == ["0.7", "0.8", "0.9", "1.0"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:1:1", (1.0,)),
        ("0:1:0.3", (0.0, 0.3, 0.6, 0.9)),  # no step leads to the end
        ("-1:1:0.5", (-1.0, -0.5, 0.0, 0.5, 1.0)),
        ("1e-3:3e-3:1e-3", (0.001, 0.002, 0.003)),
        (" 1 : 2 : 1 ", (1.0, 2.0)),
        ("2:5:10", (2.0,)),
    ],
)
def test_range_starts_at_its_start_and_ends_where_the_steps_lead(text, expected):
    assert values_of("gain", text) == expected


@given(st.integers(0, 50), st.integers(1, 40), st.integers(0, 200), st.sampled_from([1, 10, 100, 1000]))
def test_range_of_decimals_is_that_of_whole_numbers_over_the_same_power_of_ten(start, step, count, unit):
    stop = start + count * step
    text = ":".join(repr(number / unit) for number in (start, stop, step))
    expected = tuple(number / unit for number in range(start, stop + 1, step))
    assert values_of("gain", text) == expected


def test_longest_range_has_a_thousand_values():
    assert len(values_of("gain", "1:1000:1")) == 1000
    with pytest.raises(UsageError, match="1001 values; expected at most 1000"):
        values_of("gain", "0:1000:1")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1:2", "START:STOP:STEP"),
        ("1:2:3:4", "START:STOP:STEP"),
        ("1::2", "gain=: expected a finite number"),
        ("a:2:1", "gain=a"),
        ("0:inf:1", "gain=inf"),
        ("nan:1:1", "gain=nan"),
        ("2:1:0.5", "STOP of at least START"),
        ("0:1:0", "STEP above 0"),
        ("1:0:-0.1", "STOP of at least START"),
        ("0:1:1e-9", "values; expected at most 1000"),
    ],
)
def test_what_is_no_range_is_refused_with_the_option_and_the_value(text, part):
    with pytest.raises(UsageError, match=part):
        values_of("gain", text)
    with pytest.raises(UsageError, match=part):
        swept("rnn", gain=text)


@pytest.mark.parametrize(
    ("cell", "gain", "scale", "part"),
    [
        ("lstm:forget_bias=0:1:0.5", "1:2:1", 1.0, "forget_bias has a range already"),
        ("rnn", "1:2:1", "0:1:0.5", "gain has a range already"),
        ("rnn:gain=1", 2.0, 1.0, "gain is given twice"),
        ("rnn:gain=1,gain=2", None, 1.0, "gain is given twice"),
        ("rnn:gain=1:2:1", "1:2:1", 1.0, "gain is given twice"),
        ("rnn", None, "big", "input_scale=big"),
        ("rnn", None, math.nan, "input_scale=nan"),
        ("rnn", "loud", 1.0, "'loud'"),
        ("rnn:activation=a:b:c", None, 1.0, "activation=a"),
        ("rnn:bias=0:1:1", None, 1.0, "unknown option 'bias'"),
        ("ginibre:size=1:2:1", None, None, "unknown option 'size'"),
        ("rnn:init=identity", "1:2:1", 1.0, "expected an init of"),
    ],
)
def test_what_cannot_be_swept_is_refused_with_the_value(cell, gain, scale, part):
    with pytest.raises(UsageError, match=part):
        swept(cell, gain=gain, input_scale=scale)


def test_one_option_is_swept_and_all_others_stay():
    asked = parse_asked("lstm:init=ginibre,forget_bias=0:2:1", 1.5, 0.5)
    assert (asked.name, asked.parameter, asked.values) == ("lstm", "forget_bias", (0.0, 1.0, 2.0))
    variants = [asked.at(value) for value in asked.values]
    assert [one.options["forget_bias"] for one in variants] == [0.0, 1.0, 2.0]
    assert all(one.options["gain"] == 1.5 and one.input_scale == 0.5 for one in variants)
    assert all(one.options["init"] == "ginibre" for one in variants)
    scales = parse_asked("rnn:gain=2", None, "0:1:0.5")
    assert scales.parameter == INPUT_SCALE
    assert [scales.at(value).input_scale for value in scales.values] == [0.0, 0.5, 1.0]
    assert parse_asked("rnn", None, 1.0).parameter is None


def test_every_row_of_a_sweep_is_what_the_value_alone_gives():
    for cell, option in (("rnn:init=ginibre", "gain"), ("lstm", "forget_bias"), ("gru", "update_bias")):
        colon = "," if ":" in cell else ":"
        sweep = swept(f"{cell}{colon}{option}=0.5:2.5:0.5").sweep
        for value, rate in zip(sweep.value, sweep.predicted, strict=True):
            assert rate == swept(f"{cell}{colon}{option}={value}").rate


def test_measured_rows_are_what_the_values_alone_give():
    options = {"hidden": 12, "steps": 60, "seeds": 3, "seed": 2, "features": 3}
    found = gradflow.theory("rnn", gain="1:3:1", **options)
    for place, gain in enumerate((1.0, 2.0, 3.0)):
        alone = gradflow.theory("rnn", gain=gain, **options).predictions
        row = alone.quantity.index("largest_exponent")
        for name in ("predicted", "measured", "standard_error"):
            assert getattr(found.sweep, name)[place] == getattr(alone, name)[row]


# --- where it turns


def assert_turns_once(found, critical):
    """One row is marked, and the critical value lies between the row before it and it."""
    sweep = found.sweep
    (place,) = (k for k, turn in enumerate(sweep.critical) if turn)
    assert sweep.value[place - 1] <= found.critical_value <= sweep.value[place]
    assert found.critical_value == pytest.approx(critical, abs=1e-9)
    before, after = np.sign(sweep.predicted[place - 1]), np.sign(sweep.predicted[place])
    assert before != after
    phases = {-1.0: "shrinking", 1.0: "growing"}
    assert sweep.phase == [phases[np.sign(rate)] for rate in sweep.predicted]


@pytest.mark.parametrize("hidden", [20, 128])
def test_gain_of_torch_s_default_turns_critical_at_the_mean_field_deviation_over_its_scale(hidden):
    drive = 2 / (3 * hidden)  # of two biases
    critical = MeanField(ACTIVATIONS["tanh"], 1.0, drive).critical_deviation()
    found = swept("rnn", gain="1.05:3:0.3", hidden=hidden, input="zero")
    assert found.parameter == "gain"
    assert_turns_once(found, math.sqrt(3) * critical)
    noisy = swept("rnn", gain="1.05:4:0.6", hidden=hidden, features=5)
    critical = MeanField(ACTIVATIONS["tanh"], 1.0, drive + 5 / (3 * hidden)).critical_deviation()
    assert_turns_once(noisy, math.sqrt(3) * critical)


def test_gain_of_an_erf_network_under_noise_turns_critical_where_the_closed_form_does():
    # σ²(4/π) = √(1 + 4q) at λ = 0, in q = σ²(2/π) asin(2q/(1 + 2q)) + 1
    q = brentq(
        lambda q: math.sqrt(1 + 4 * q) / 2 * math.asin(2 * q / (1 + 2 * q)) + 1 - q, 1, 100, xtol=1e-14
    )
    found = swept("rnn:init=ginibre,activation=erf", gain="0.5:3:0.25")
    assert_turns_once(found, math.sqrt(math.pi / 4 * math.sqrt(1 + 4 * q)))


def test_noise_suppresses_the_chaos_of_an_erf_network_where_the_closed_form_says():
    # Molgedey, Schuchhardt & Schuster 1992: with λ = 0, q and so the variance of the noise are explicit
    gain = 2.0
    q = ((gain**2 * 4 / math.pi) ** 2 - 1) / 4
    drive = q - gain**2 * 2 / math.pi * math.asin(2 * q / (1 + 2 * q))
    found = swept("rnn:init=ginibre,activation=erf", gain=gain, input_scale="0.1:4.1:0.25")
    assert found.parameter == "input_scale"
    assert_turns_once(found, math.sqrt(drive))
    assert found.sweep.phase[0] == "growing"
    assert found.sweep.phase[-1] == "shrinking"


@pytest.mark.parametrize("gain", [1.2, 2.0, 4.0])
def test_noise_suppresses_the_chaos_of_a_tanh_network(gain):
    found = swept("rnn:init=ginibre", gain=gain, input_scale="0:9:1.5")
    assert (np.diff(found.sweep.predicted) < 0).all()
    at = swept("rnn:init=ginibre", gain=gain, input_scale=found.critical_value)
    assert at.rate == pytest.approx(0.0, abs=1e-9)
    # and the critical gain under that noise is the gain itself
    table = at.predictions
    assert table.predicted[table.quantity.index("critical_gain")] == pytest.approx(gain, rel=1e-9)


def test_value_that_is_critical_itself_is_the_row_marked():
    found = swept("rnn:init=ginibre", gain="0.5:2:0.25", input="zero")
    assert found.critical_value == 1.0
    assert found.sweep.value[found.sweep.critical].tolist() == [1.0]
    assert found.sweep.phase == ["shrinking"] * 2 + ["critical"] + ["growing"] * 4


@pytest.mark.parametrize(
    ("cell", "option", "expected"),
    [
        # ln(σ(b) + r/4) = 0
        ("lstm:init=ginibre,gain=2", "forget_bias=-3:3.1:0.7", 0.0),
        ("lstm:init=ginibre,gain=1", "forget_bias=-3:3.1:0.7", math.log(3)),
        # σ(b) + (1 − σ(b)) r/2 = 1 where r = 2, at any bias
        ("gru:init=ginibre,update_bias=1", "gain=0.3:4:0.5", 2.0),
        ("lstm:init=orthogonal", "gain=0.3:4:0.5", 2.0),
    ],
)
def test_gated_cells_turn_critical_where_they_keep_and_let_through_1_in_all(cell, option, expected):
    found = swept(f"{cell},{option}")
    assert found.parameter == option.partition("=")[0]
    assert_turns_once(found, expected)


def test_newmans_product_turns_critical_at_the_gain_that_makes_up_for_its_first_exponent():
    # ln(g/√3) + ½[ln 2 + ψ(3/2)] = 0, ψ(3/2) = 2 − γ − 2 ln 2
    exponent = 0.5 * (math.log(2) + 2 - np.euler_gamma - 2 * math.log(2))
    found = swept("ginibre", gain="0.35:2:0.3", hidden=3)
    assert_turns_once(found, math.sqrt(3) * math.exp(-exponent))


@pytest.mark.parametrize(("gain", "side"), [("0.1:0.9:0.1", "negative"), ("2:4:1", "not negative")])
def test_sweep_on_one_side_has_no_critical_value_and_says_so(gain, side):
    found = swept("rnn:init=ginibre", gain=gain, input="zero")
    assert found.critical_value is None
    assert not any(found.sweep.critical)
    assert f"stays {side} from gain" in found.conclusion


def test_measured_crossing_lies_between_the_two_values_whose_means_differ_in_sign():
    found = gradflow.theory(
        "rnn:init=ginibre", gain="0.6:2.2:0.4", input="zero", hidden=100, seeds=3, steps=200
    )
    means, values = found.sweep.measured, found.sweep.value
    (place,) = np.flatnonzero(np.diff(np.sign(means)))
    low, high = values[place], values[place + 1]
    assert low < found.critical_measured < high
    # the straight line between the two
    share = (found.critical_measured - low) / (high - low)
    assert means[place] + share * (means[place + 1] - means[place]) == pytest.approx(0.0, abs=1e-14)
    assert f"{found.critical_measured:.4g}" in found.conclusion


def test_sweep_without_measurement_has_no_measured_number():
    found = swept("rnn", gain="1:3:1")
    for column in (found.sweep.measured, found.sweep.standard_error):
        assert np.isnan(column).all()
    assert found.critical_measured is None
    assert found.predictions is None
    assert not found.notes


def test_rate_and_verdict_of_a_sweep_are_those_of_its_last_value():
    found = swept("rnn:init=ginibre", gain="0.5:2:0.5", input="zero")
    assert found.rate == found.sweep.predicted[-1] == pytest.approx(0.154724, abs=6e-7)
    assert found.verdict == "exploding"


@pytest.mark.parametrize(
    "cell", ["rnn:init=ginibre,gain=1e154", "lstm:forget_bias=1e200", "ginibre:gain=1e101"]
)
def test_a_number_whose_square_no_double_holds_is_refused(cell):
    with pytest.raises(UsageError, match="absolute value of at most 1e"):
        swept(cell)
