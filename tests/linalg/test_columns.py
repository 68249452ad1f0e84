"""Columns and sums that carry powers of two: against fractions, which hold any number."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradflow.linalg.columns import UNSCALED_RANGE, Columns, Sum, column_scales
from gradflow.linalg.scaled import SLACK_BITS, ZERO_EXPONENT, Scaled

# whole numbers of 20 bits, and exponents that a fraction still holds: what comes out is known to the last bit
NUMBERS = st.integers(-(2**20), 2**20)
EXPONENTS = st.one_of(st.integers(-12, 12), st.integers(-1000, 900), st.integers(-2500, 2500))
LOST = Fraction(1, 2**52)


def columns(rows, count):
    """Columns of whole numbers, and an exponent for each."""
    entries = arrays(np.int64, (rows, count), elements=NUMBERS)
    return st.tuples(entries, st.lists(EXPONENTS, min_size=count, max_size=count))


SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 4))
ONE = SHAPES.flatmap(lambda shape: columns(*shape))
TWO = SHAPES.flatmap(lambda shape: st.tuples(columns(*shape), columns(*shape)))


def exact(array, exponents):
    """Every entry array[i, j] · 2^exponents[j]; of a column of zeros the exponent says nothing."""
    scales = [
        Fraction(2) ** int(exponent) if column.any() else 0
        for column, exponent in zip(array.T, exponents, strict=True)
    ]
    return [[Fraction(float(x)) * scale for x, scale in zip(row, scales, strict=True)] for row in array]


def of(drawn):
    array, exponents = drawn
    return Columns.of(array.astype(float), np.array(exponents, np.int64))


@given(ONE)
def test_columns_are_what_they_were_made_of_to_the_last_bit(drawn):
    made = of(drawn)
    assert exact(made.array, made.exponents) == exact(*drawn)


@given(ONE)
def test_the_largest_entry_of_a_column_is_near_1_or_its_exponent_under_all(drawn):
    made = of(drawn)
    for column, exponent in zip(made.array.T, made.exponents, strict=True):
        largest = np.abs(column).max()
        assert UNSCALED_RANGE[0] / 2 <= largest <= UNSCALED_RANGE[1] if largest else exponent == ZERO_EXPONENT


@given(st.floats(min_value=5e-324, max_value=1.7e308), EXPONENTS)
def test_a_column_of_any_double_is_brought_near_1_exactly(size, exponent):
    made = Columns.of(np.array([[size]]), np.array([exponent]))
    assert 2.0 ** -(SLACK_BITS + 1) <= made.array[0, 0] <= 2.0**SLACK_BITS
    assert exact(made.array, made.exponents) == exact(np.array([[size]]), [exponent])


@given(TWO)
@example(((np.array([[0], [1]]), [885]), (np.array([[1], [0]]), [-138])))  # 2^-1023 of the largest
def test_a_sum_of_columns_is_exact_but_for_what_a_double_loses_beside_its_largest_term(drawn):
    terms = [exact(*part) for part in drawn]
    try:
        added = of(drawn[0]).plus(of(drawn[1]))
    except FloatingPointError:  # only where an entry with nothing larger in its place would be lost
        sums = np.array(terms[0]) + np.array(terms[1])
        largest = np.max(np.abs(terms), axis=(0, 1))
        assert ((sums != 0) & (abs(sums) < Fraction(2) ** -950 * largest)).any()
        return
    found = exact(added.array, added.exponents)
    for place in range(added.array.shape[1]):
        largest = max(abs(row[place]) for term in terms for row in term)
        for row, left, right in zip(found, *terms, strict=True):
            assert abs(row[place] - left[place] - right[place]) <= LOST * largest


@given(ONE)
def test_levelled_columns_are_the_same_columns(drawn):
    made = of(drawn)
    top = int(made.exponents.max())
    level = column_scales(made.exponents, top)
    assert ((level >= 0) & (level <= 1)).all()
    for column, exponent, factor in zip(made.array.T, made.exponents, level, strict=True):
        if not column.any():
            assert factor == 1  # of nothing any multiple is nothing
        elif factor:
            assert Fraction(float(factor)) == Fraction(2) ** int(exponent - top)
        else:
            assert exponent - top < -1074


def test_columns_of_no_rows_or_none_at_all_are_columns():
    for shape in ((0, 3), (3, 0), (0, 0)):
        made = Columns.of(np.zeros(shape))
        assert made.array.shape == shape
        assert made.plus(made).array.shape == shape
        assert len(column_scales(made.exponents, 0)) == shape[1]


def test_a_column_of_zeros_takes_on_whatever_is_added():
    nothing, tiny = Columns.of(np.zeros((2, 1))), Columns(np.ones((2, 1)), np.array([-(10**9)]))
    for added in (nothing.plus(tiny), tiny.plus(nothing)):
        assert added.array.tolist() == [[1.0], [1.0]]
        assert added.exponents.tolist() == [-(10**9)]
    gone = tiny.plus(Columns(-tiny.array, tiny.exponents))
    assert gone.exponents.tolist() == [ZERO_EXPONENT]


def test_columns_of_a_slice_keep_their_exponents():
    made = Columns.of(np.array([[1.0, 2.0, 3.0]]), np.array([5, 6, 7]))
    part = made[1:]
    assert part.array.tolist() == [[2.0, 3.0]]
    assert part.exponents.tolist() == [6, 7]


TERMS = st.lists(
    st.tuples(arrays(np.int64, 2, elements=NUMBERS), st.integers(-30, 30), st.sampled_from([1.0, -1.0])),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("base", [-(10**6), -3000, -1100, 0, 1100, 10**6])
@given(TERMS)
def test_a_sum_of_terms_is_that_of_whole_numbers_wherever_it_lies(base, terms):
    for start in ([0, 0], terms[0][0].tolist()):
        added = Sum.of(Scaled(np.array(start, float), base))
        expected = np.array([Fraction(number) for number in start])
        largest = max(map(abs, expected))
        for array, exponent, sign in terms:
            added.add(Scaled(array.astype(float), base + exponent), sign)
            term = [Fraction(int(number)) * int(sign) * Fraction(2) ** exponent for number in array]
            expected = expected + np.array(term)
            largest = max([largest, *map(abs, term), *map(abs, expected)])
        assert np.isfinite(added.array).all()
        for found, truth in zip(added.array, expected, strict=True):
            value = Fraction(float(found)) * Fraction(2) ** (added.exponent - base) if found else 0
            assert abs(value - truth) <= 8 * LOST * largest


def test_a_sum_leaves_what_it_was_made_of_alone():
    first, part = Scaled(np.ones(2)), Scaled(np.ones(2), 5)
    added = Sum.of(first)
    added.add(part)
    added.add(Scaled(np.ones(2)), -1.0)
    assert first.array.tolist() == part.array.tolist() == [1.0, 1.0]
    assert (added.array * 2.0**added.exponent).tolist() == [32.0, 32.0]


@pytest.mark.parametrize("exponent", [-(10**6), -1100, 1100, 10**6])
def test_nothing_and_a_term_of_any_size_is_that_term(exponent):
    added = Sum.of(Scaled(np.zeros(3)))
    added.add(Scaled(np.zeros(3), exponent))
    added.add(Scaled(np.array([1.0, -2.0, 0.0]), exponent))
    assert added.array.tolist() == [1.0, -2.0, 0.0]
    assert added.exponent == exponent
