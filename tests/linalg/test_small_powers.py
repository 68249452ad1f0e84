"""Powers of small matrices entry by entry, against exact integers, 60 digits of mpmath and closed forms."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradflow.linalg.small_powers import EnclosedNumber, enclose_power, round_power


def holds(part, exact):
    """Return whether an enclosed number contains a rational."""
    unit = Fraction(2) ** part.exponent
    return abs(exact - part.middle * unit) <= part.radius * unit


def multiply(first, second):
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*second, strict=True)]
        for row in first
    ]


NUMBERS = st.floats(-1e30, 1e30, allow_subnormal=False) | st.integers(-9, 9).map(float)
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@UNTIMED
@given(st.integers(1, 3), st.integers(0, 20), st.data())
def test_every_entry_is_enclosed_and_settled(size, steps, data):
    rows = data.draw(st.lists(st.lists(NUMBERS, min_size=size, max_size=size), min_size=size, max_size=size))
    exact = [[Fraction(int(i == j)) for j in range(size)] for i in range(size)]
    for _ in range(steps):
        exact = multiply(exact, [[Fraction(entry) for entry in row] for row in rows])
    for found, wanted in zip(enclose_power(np.array(rows), steps), exact, strict=True):
        for entry, value in zip(found, wanted, strict=True):
            assert holds(entry.real, value)
            assert entry.imag.is_zero
            assert entry.has_bits(60) or abs(value) == 0


@UNTIMED
@given(
    st.tuples(*[st.integers(-(2**70), 2**70), st.integers(0, 2**40), st.integers(-90, 90)] * 2),
    st.integers(2, 80),
)
def test_sums_products_and_rounding_enclose_the_exact_ones(numbers, bits):
    first, second = EnclosedNumber(*numbers[:3]), EnclosedNumber(*numbers[3:])

    def ends(number):
        unit = Fraction(2) ** number.exponent
        return (number.middle - number.radius) * unit, (number.middle + number.radius) * unit

    for a in ends(first):
        assert holds(first.round_to(bits), a)
        assert abs(a) <= Fraction(2) ** first.top
        for b in ends(second):
            assert holds(first.times(second), a * b)
            assert holds(first.plus(second, bits), a + b)


def test_complex_power_is_that_of_mpmath():
    matrix = np.array([[0.3 + 0.4j, -1.0, 2e-9j], [1e5, -0.2j, 0.7], [0.1, 0.0, -1.5 + 1e-3j]])
    with mpmath.workdps(60):
        exact = mpmath.matrix(matrix.tolist()) ** 41
        for i, row in enumerate(enclose_power(matrix, 41)):
            for j, entry in enumerate(row):
                for part, value in ((entry.real, exact[i, j].real), (entry.imag, exact[i, j].imag)):
                    found = mpmath.mpf(part.middle) * mpmath.mpf(2) ** part.exponent
                    assert abs(found - value) <= 1e-17 * abs(exact[i, j])


@pytest.mark.parametrize("steps", [10**6, 10**12, 10**18])
def test_powers_of_any_height_keep_their_digits(steps):
    # [[λ, 1], [0, λ]]ⁿ has λⁿ on its diagonal and n·λⁿ⁻¹ beside it; diag(2, ½) has 2^±n
    value = 1.0 + 2.0**-20
    ((first, second), (zero, last)) = enclose_power(np.array([[value, 1.0], [0.0, value]]), steps)
    with mpmath.workdps(60):
        for entry, exact in ((first, steps * mpmath.log(value)), (last, steps * mpmath.log(value))):
            log = mpmath.log(entry.real.middle) + entry.real.exponent * mpmath.log(2)
            assert abs(log - exact) < 1e-15
        log = mpmath.log(second.real.middle) + second.real.exponent * mpmath.log(2)
        assert abs(log - (mpmath.log(steps) + (steps - 1) * mpmath.log(value))) < 1e-15
    assert zero.is_zero
    ((large, _), (_, small)) = enclose_power(np.diag([2.0, 0.5]), steps)
    assert (large.real, small.real) == (EnclosedNumber(1, 0, steps), EnclosedNumber(1, 0, -steps))


def test_cancellation_costs_no_digit():
    # a double eigenvalue 1 among terms of 1e8: Wⁿ = I + n(W − I)
    matrix, steps = np.array([[1.0 - 1e8, 1e8], [-1e8, 1.0 + 1e8]]), 1001
    for row, wanted in zip(
        enclose_power(matrix, steps), np.eye(2) + steps * (matrix - np.eye(2)), strict=True
    ):
        assert [entry.real.middle * 2**entry.real.exponent for entry in row] == wanted.tolist()


@pytest.mark.parametrize(
    "matrix", [np.diag([0.5, 1e-200]), np.array([[1e200, 1j], [3.0, 1e-200]]), np.zeros((2, 2))]
)
@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_rounded_power_is_as_near_as_it_says(matrix, steps):
    enclosed = enclose_power(matrix, steps)
    power = round_power(enclosed, matrix.dtype)
    assert power.value.array.dtype == matrix.dtype
    with mpmath.workdps(2000):
        scale = mpmath.mpf(2) ** power.value.exponent
        gap = (mpmath.matrix(matrix.tolist()) ** steps) - mpmath.matrix(power.value.array.tolist()) * scale
        size = mpmath.mnorm(gap, "f")
        assert size == 0 or mpmath.log(size, 2) <= power.log2_error
        assert power.log2_error <= power.log2_norm - 50 or power.log2_norm == -math.inf
