"""A sparkline has the right length, and higher marks where the curve is higher."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradflow.render.text.sparkline import SPARK_BLOCKS, SPARK_LETTERS, SPARKLINE_WIDTH, draw_sparkline

VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(-math.inf), min_size=1, max_size=200)
ENDS = st.tuples(*[st.integers(-400, 400).map(float)] * 2).map(lambda ends: tuple(sorted(ends)))


@given(VALUES, ENDS, st.booleans(), st.integers(1, 60))
def test_length_and_marks(values, ends, unicode, width):
    drawn = draw_sparkline(values, ends, unicode=unicode, width=width)
    assert len(drawn) == min(width, len(values))
    assert set(drawn) <= set(SPARK_BLOCKS if unicode else SPARK_LETTERS)
    assert unicode or drawn.isascii()


@given(VALUES, ENDS)
def test_higher_value_has_no_lower_mark(values, ends):
    marks = [SPARK_BLOCKS.index(draw_sparkline([value], ends)) for value in sorted(values)]
    assert marks == sorted(marks)


@given(VALUES.filter(lambda values: len(values) <= SPARKLINE_WIDTH), ENDS)
def test_short_curve_has_a_mark_for_each_value(values, ends):
    assert draw_sparkline(values, ends) == "".join(draw_sparkline([value], ends) for value in values)


@given(VALUES, ENDS)
def test_ascii_draws_the_same_curve(values, ends):
    blocks, letters = (draw_sparkline(values, ends, unicode=unicode) for unicode in (True, False))
    assert [SPARK_BLOCKS.index(mark) for mark in blocks] == [SPARK_LETTERS.index(mark) for mark in letters]


@pytest.mark.parametrize("values", [[-5.0, 3.0], [-math.inf, 3.0], [-900.0, 900.0]])
def test_ends_have_the_outer_marks(values):
    assert draw_sparkline(values, (-5.0, 3.0)) == SPARK_BLOCKS[0] + SPARK_BLOCKS[-1]


def test_long_curve_shows_its_ends():
    drawn = draw_sparkline([0.0] + [5.0] * 998 + [10.0], (0.0, 10.0))
    assert len(drawn) == SPARKLINE_WIDTH
    assert (drawn[0], drawn[-1]) == (SPARK_BLOCKS[0], SPARK_BLOCKS[-1])


def test_even_values_have_even_marks():
    assert draw_sparkline([float(k) for k in range(8)], (0.0, 7.0)) == SPARK_BLOCKS


def test_flat_curve_is_flat():
    assert len(set(draw_sparkline([2.0] * 9, (2.0, 2.0)))) == 1


def test_infinity_has_the_highest_mark():
    assert draw_sparkline([0.0, math.inf], (0.0, 1.0)) == SPARK_BLOCKS[0] + SPARK_BLOCKS[-1]


def test_marks_are_distinct():
    assert len(set(SPARK_LETTERS)) == len(SPARK_LETTERS) == len(set(SPARK_BLOCKS)) == len(SPARK_BLOCKS)
