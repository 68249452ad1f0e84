"""Central differences: derivatives that are known, errors that are owned up to, and when they say nothing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradflow.analysis.bptt.differences import (
    DIFFERENCE_DIRECTIONS,
    DIFFERENCE_LEVELS,
    DIFFERENCE_STEP_RATIO,
    FIRST_DIFFERENCE_STEP,
    derivative,
    difference_error,
)

KNOWN = {
    "exp": (math.exp, 1.0),
    "sine": (lambda x: math.sin(3 * x + 1), 3 * math.cos(1)),
    "nearly_even": (lambda x: math.cos(x) + 1e-3 * x, 1e-3),
    "line": (lambda x: 2 - 7 * x, -7.0),
    "quintic": (lambda x: (x + 1) ** 5, 5.0),
    "pole": (lambda x: 1 / (x - 0.2), -25.0),
    "root": (lambda x: math.sqrt(x + 0.1), 0.5 / math.sqrt(0.1)),
    "logistic": (lambda x: 1 / (1 + math.exp(-20 * x)), 5.0),
    # long products of weights: the first steps are far too long, and their differences leap about
    "power_50": (lambda x: (1 + x) ** 50, 50.0),
    "power_250": (lambda x: (1 + x) ** 250, 250.0),
    "power_1000": (lambda x: (1 + x) ** 1000, 1000.0),
    "decay": (lambda x: math.exp(-200 * x), -200.0),
    "wave": (lambda x: math.sin(500 * x), 500.0),
}


@pytest.mark.parametrize(("function", "slope"), KNOWN.values(), ids=KNOWN)
def test_a_known_derivative_is_found_and_its_error_owned_up_to(function, slope):
    found = derivative(function)
    assert found.value == pytest.approx(slope, rel=1e-8, abs=1e-13)
    assert abs(found.value - slope) <= 10 * found.error


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=8))
def test_a_polynomial_has_its_second_coefficient(coefficients):
    slope = coefficients[1] if len(coefficients) > 1 else 0
    found = derivative(np.polynomial.Polynomial(coefficients))
    if any(coefficients[1::2]):
        assert abs(found.value - slope) <= 2 * found.error
        assert found.error <= 1e-6 * max(1, abs(slope))  # it does not stop before
    else:  # that nothing changes may be rounding
        assert math.isnan(found.value)
        assert found.error == math.inf


@given(st.floats(1e-3, 1e3), st.floats(-3, 3), st.floats(-1e3, 1e3))
def test_a_multiple_has_the_multiple_of_the_derivative(factor, phase, offset):
    found = derivative(lambda x: factor * math.sin(x + phase) + offset)
    # a sum rounds as its terms do, however small it is itself
    rounding = 2.0**-52 * (factor + abs(offset)) / found.step
    assert abs(found.value - factor * math.cos(phase)) <= 10 * (found.error + rounding)
    assert found.error <= 1e-6 * factor + 2.0**-30 * abs(offset)


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-6, 1e-3])
def test_noise_is_told_as_an_error_of_its_size(size):
    noise = np.random.default_rng(0)
    found = derivative(lambda x: math.exp(x) + size * noise.standard_normal())
    # two values that are off by their noise, over their distance; the third step, 2^-9, is short enough
    assert abs(found.value - 1) <= 10 * (found.error + size / found.step)
    assert found.error < 4 * size * 2**9


@pytest.mark.parametrize("wild", [math.nan, math.inf])
def test_a_function_that_is_no_number_has_no_derivative(wild):
    found = derivative(lambda x: wild if x > 0 else x)
    assert math.isnan(found.value)
    assert found.error == math.inf


def test_the_steps_and_the_largest_value_are_told():
    steps = []

    def function(x):
        steps.append(abs(x))
        return 3 - x

    found = derivative(function)
    assert found.step in steps
    assert max(steps) == FIRST_DIFFERENCE_STEP
    assert min(steps) >= FIRST_DIFFERENCE_STEP / DIFFERENCE_STEP_RATIO ** (DIFFERENCE_LEVELS - 1)
    assert found.largest == 3 + FIRST_DIFFERENCE_STEP


def error_of(function, gradient, scale=0.3):
    gradient = np.asarray(gradient)
    with np.errstate(all="ignore"):
        return difference_error(function, gradient, np.full(len(gradient), scale), np.random.default_rng(7))


WEIGHTS = np.random.default_rng(1).standard_normal(12)


def smooth(change):
    return float(np.tanh(WEIGHTS * change).sum() + np.exp(change).prod())


GRADIENT = WEIGHTS + 1


def test_a_right_gradient_is_off_by_rounding():
    assert error_of(smooth, GRADIENT) < 1e-10


@pytest.mark.parametrize("factor", [-1.0, 0.5, 1.001, 3.0])
def test_a_gradient_times_a_factor_is_off_by_that(factor):
    assert error_of(smooth, factor * GRADIENT) == pytest.approx(abs(factor - 1), rel=1e-7)


def test_a_gradient_that_is_wrong_across_is_off_by_as_much_as_it_shows():
    # directions are normal: they see √(‖wrong‖/‖right‖) of it on the average over many, any of it in a few
    wrong = np.random.default_rng(2).standard_normal(12)
    wrong -= wrong @ GRADIENT / (GRADIENT @ GRADIENT) * GRADIENT
    assert error_of(smooth, GRADIENT + 1e-3 * wrong) > 1e-5


def test_a_gradient_of_nothing_that_is_there_is_off_by_all():
    assert error_of(smooth, 0 * GRADIENT) == pytest.approx(1, rel=1e-12)


def test_steps_of_a_stair_that_see_none_of_it_are_no_slope_of_0():
    # a saturated unit rounds the loss to the steps of a stair, far wider than those of a double of its size
    def stair(change):
        return 1e-12 + 1e-15 * round(float(GRADIENT @ change) * 40)

    found = derivative(lambda step: stair(step * np.ones(12)))
    assert found.step > 1 / (40 * GRADIENT.sum()) / 2
    assert math.isnan(error_of(stair, 4e-14 * GRADIENT))


@pytest.mark.parametrize("size", [1e-17, 1e-14, 1e-11])
def test_what_rounding_hides_is_not_called_wrong(size):
    assert math.isnan(error_of(lambda change: 1.0 + size * float(GRADIENT @ change), size * GRADIENT))


def test_a_number_that_is_told_is_good_to_1e_6_beside_rounding():
    for power in range(-10, 1):
        size = 10.0**power
        error = error_of(lambda change, size=size: 1.0 + size * smooth(change), size * GRADIENT)
        assert math.isnan(error) or error < 1e-6
        assert not math.isnan(error) or power < -5


UNDECIDED = {
    "noise": lambda change: float(np.sin(1e9 * (GRADIENT @ change))),
    "nowhere": lambda change: math.nan,
    "endless": lambda change: math.inf if change[0] > 0 else -math.inf,
    "jumps": lambda change: float(GRADIENT @ change > 0),
    "constant": lambda change: 4.0,
}


@pytest.mark.parametrize("function", UNDECIDED.values(), ids=UNDECIDED)
def test_where_differences_decide_nothing_there_is_no_number(function):
    assert math.isnan(error_of(function, GRADIENT))


def test_a_slope_that_no_step_could_have_seen_is_not_called_wrong():
    # a wave as fine as 1e-9 of the weights has a slope that is real, and its differences are noise
    fine = np.full(12, 1e9)
    assert math.isnan(error_of(lambda change: float(np.sin(fine @ change)), fine))


@pytest.mark.parametrize("gradient", [np.inf, np.nan])
def test_a_gradient_out_of_range_is_not_compared(gradient):
    assert math.isnan(error_of(smooth, np.full(12, gradient)))


def test_a_function_of_nothing_and_a_gradient_of_nothing_say_nothing():
    assert math.isnan(error_of(lambda change: 4.0, np.zeros(5)))


def test_every_number_is_moved_by_as_much_of_its_own_scale():
    # one weight saturates at 1e-9, one at 1e9: moved alike, one of them would be nothing, or all
    scales = np.array([1e-9, 1.0, 1e9])
    error = difference_error(
        lambda change: float(np.tanh(change / scales).sum()), 1 / scales, scales, np.random.default_rng(0)
    )
    assert error < 1e-9
    lengths = set()

    def function(change):
        lengths.add(round(float(np.abs(change / scales).max()), 9))
        return float((change / scales).sum())

    assert difference_error(function, 1 / scales, scales, np.random.default_rng(0)) < 1e-10
    assert FIRST_DIFFERENCE_STEP / 2 < max(lengths) < 4 * FIRST_DIFFERENCE_STEP
    assert len(lengths) <= DIFFERENCE_LEVELS * DIFFERENCE_DIRECTIONS
    assert DIFFERENCE_DIRECTIONS >= 2  # one alone may happen to be at right angles to what is wrong
