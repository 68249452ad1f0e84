"""Entries with a power of two each: against fractions, which hold any number."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gradflow.linalg.columns import Columns
from gradflow.linalg.entrywise import LEVEL_SPREAD_BITS, EntrywiseColumns

NUMBERS = st.tuples(st.integers(-(2**50), 2**50), st.integers(-30_000, 30_000))


def columns_of(numbers):
    """A column of integers times powers of two."""
    mantissas, exponents = np.array(numbers, np.int64).T
    entries = np.ldexp(mantissas.astype(np.longdouble), 0)
    made = [
        EntrywiseColumns.of(Columns(entry.reshape(1, 1), np.array([exponent])))
        for entry, exponent in zip(entries, exponents, strict=True)
    ]
    return EntrywiseColumns(
        np.concatenate([one.array for one in made]), np.concatenate([one.exponents for one in made])
    )


def fractions(columns):
    return [
        Fraction(float(mantissa)) * Fraction(2) ** int(exponent) if mantissa else Fraction(0)
        for mantissa, exponent in zip(columns.array[:, 0], columns.exponents[:, 0], strict=True)
    ]


def exact(numbers):
    return [Fraction(mantissa) * Fraction(2) ** exponent for mantissa, exponent in numbers]


@given(st.lists(NUMBERS, min_size=1, max_size=5))
@settings(deadline=None)
def test_no_entry_is_lost_in_levels(numbers):
    columns = columns_of(numbers)
    assert fractions(columns) == exact(numbers)
    levels = columns.levels()
    assert fractions(columns.gather(levels)) == exact(numbers)
    for level in levels:
        sizes = np.abs(level.array[level.array != 0])
        if sizes.size:
            assert np.ptp(np.frexp(sizes)[1]) <= LEVEL_SPREAD_BITS


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5))
@settings(deadline=None)
def test_sums_are_right_entry_by_entry(pairs):
    one, other = zip(*pairs, strict=True)
    found = fractions(columns_of(one).plus(columns_of(other)))
    for value, a, b in zip(found, exact(one), exact(other), strict=True):
        assert abs(value - (a + b)) <= abs(a + b) * Fraction(1, 2**52)
