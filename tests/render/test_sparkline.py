"""A sparkline is as long as it should be, and higher where the curve is higher."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradflow.render.sparkline import ASCII, BLOCKS, WIDTH, sparkline

VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(-math.inf), min_size=1, max_size=200)
ENDS = st.tuples(*[st.integers(-400, 400).map(float)] * 2).map(lambda ends: tuple(sorted(ends)))


@given(VALUES, ENDS, st.booleans(), st.integers(1, 60))
def test_length_and_marks(values, ends, unicode, width):
    drawn = sparkline(values, ends, unicode=unicode, width=width)
    assert len(drawn) == min(width, len(values))
    assert set(drawn) <= set(BLOCKS if unicode else ASCII)
    assert unicode or drawn.isascii()


@given(VALUES, ENDS)
def test_a_higher_value_never_has_a_lower_mark(values, ends):
    marks = [BLOCKS.index(sparkline([value], ends)) for value in sorted(values)]
    assert marks == sorted(marks)


@given(VALUES.filter(lambda values: len(values) <= WIDTH), ENDS)
def test_a_short_curve_has_a_mark_for_each_value(values, ends):
    assert sparkline(values, ends) == "".join(sparkline([value], ends) for value in values)


@given(VALUES, ENDS)
def test_letters_and_blocks_draw_the_same_curve(values, ends):
    blocks, letters = (sparkline(values, ends, unicode=unicode) for unicode in (True, False))
    assert [BLOCKS.index(mark) for mark in blocks] == [ASCII.index(mark) for mark in letters]


@pytest.mark.parametrize("values", [[-5.0, 3.0], [-math.inf, 3.0], [-900.0, 900.0]])
def test_the_ends_have_the_lowest_and_the_highest_mark(values):
    assert sparkline(values, (-5.0, 3.0)) == BLOCKS[0] + BLOCKS[-1]


def test_a_long_curve_shows_its_first_and_its_last_value():
    drawn = sparkline([0.0] + [5.0] * 998 + [10.0], (0.0, 10.0))
    assert len(drawn) == WIDTH
    assert (drawn[0], drawn[-1]) == (BLOCKS[0], BLOCKS[-1])


def test_equal_steps_have_equal_marks_from_the_lowest_to_the_highest():
    assert sparkline([float(k) for k in range(8)], (0.0, 7.0)) == BLOCKS


def test_a_level_curve_is_level_and_is_no_error():
    assert len(set(sparkline([2.0] * 9, (2.0, 2.0)))) == 1


def test_infinity_has_the_highest_mark():
    assert sparkline([0.0, math.inf], (0.0, 1.0)) == BLOCKS[0] + BLOCKS[-1]


def test_ascii_marks_differ_as_the_blocks_do():
    assert len(set(ASCII)) == len(ASCII) == len(set(BLOCKS)) == len(BLOCKS)
