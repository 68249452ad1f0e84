import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradflow.linalg.scaled import (
    LOG10_2,
    Scaled,
    elementwise_power,
    from_log10,
    number,
    number_power,
    shift_exponents,
)


@given(st.floats(min_value=2.3e-308, max_value=1.7e308), st.integers(-(10**20), 10**20))
def test_a_number_keeps_its_logarithm_at_any_exponent(mantissa, exponent):
    exact = math.log10(mantissa) + exponent * LOG10_2
    assert number(mantissa, exponent).log10() == pytest.approx(exact, rel=1e-14, abs=1e-12)


@given(st.floats(min_value=2.3e-308, max_value=1.7e308), st.integers(-3000, 3000))
def test_a_value_is_exact_or_owned_up_to(mantissa, exponent):
    exact = Fraction(mantissa) * Fraction(2) ** exponent
    value = number(mantissa, exponent).value()
    if math.isnan(value):
        assert exact < Fraction(2) ** -1022
    elif math.isinf(value):
        assert exact >= Fraction(2) ** 1024
    else:
        assert Fraction(value) == exact


def test_zero_is_zero_and_its_logarithm_minus_infinity():
    assert number(0.0, 5).value() == 0.0
    assert number(0.0, 5).log10() == -math.inf


@pytest.mark.parametrize("factor", [0.5, 3.0, 1e-300, 1e300])
def test_a_long_product_neither_over_nor_underflows(factor):
    base = Scaled.of(np.array([[factor]]))
    product = base
    for _ in range(9):
        product = product @ product
    assert product.log10_largest() == pytest.approx(512 * math.log10(factor), rel=1e-13)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_scaling_is_exact(dtype):
    array = (np.random.default_rng(0).standard_normal((4, 4)) * 1e-200).astype(dtype)
    scaled = Scaled.of(array)
    assert scaled.exponent != 0
    np.testing.assert_array_equal(shift_exponents(scaled.array, scaled.exponent), array)


def test_collapsed_only_where_every_entry_is_a_normal_double():
    assert Scaled(np.array([[0.5, 0.0]]), 3).collapse().exponent == 0
    assert Scaled(np.array([[1.0, 1.0]]), 1100).collapse().exponent == 1100
    assert Scaled(np.array([[1.0, 1e-300]]), -100).collapse().exponent == -100
    assert Scaled(np.zeros((1, 1)), 0).collapse().exponent == 0


@given(st.floats(min_value=1e-5, max_value=1e5), st.integers(0, 10**18))
def test_number_power_has_the_logarithm_of_a_power(base, steps):
    # each of the up to ``steps`` roundings moves the logarithm by at most eps
    exact = steps * math.log10(base)
    assert number_power(base, steps).log10() == pytest.approx(exact, rel=1e-14, abs=1e-12 + steps * 2.3e-16)


def test_elementwise_power_keeps_the_parity_of_an_exponent_no_double_holds():
    np.testing.assert_array_equal(elementwise_power(np.array([-1.0, 1.0]), 10**18 - 1), [-1.0, 1.0])


def test_from_log10_tells_zero_from_too_small():
    assert from_log10(-math.inf) == 0.0
    assert math.isnan(from_log10(-308.0))
    assert from_log10(309.0) == math.inf
    assert from_log10(2.0) == 100.0
