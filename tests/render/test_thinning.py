"""Thinning keeps the first and last rows, peaks, crossings and round steps, and as many rows as asked."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradflow.render.thinning import choose_rows

HEIGHTS = st.sampled_from([0.0, 1.0, 2.0, -1.0, -2.0, -math.inf, math.inf])
LEVELS = st.lists(st.sampled_from([0.0, 0.5, -1.5]), max_size=2, unique=True)
ROWS = st.integers(1, 12)


@st.composite
def curves(draw):
    """Draw a length and a few curves of that length."""
    count = draw(st.integers(1, 24))
    return count, draw(st.lists(st.lists(HEIGHTS, min_size=count, max_size=count), max_size=2))


def crossings(values, level):
    """Return where a curve is clearly on the other side of ``level`` than before."""
    clear = [k for k, value in enumerate(values) if abs(value - level) > 1e-6]
    return {k for last, k in pairwise(clear) if (values[last] > level) != (values[k] > level)}


@given(curves(), ROWS, LEVELS)
def test_places_are_ordered_with_first_and_last(drawn, rows, levels):
    count, series = drawn
    places = choose_rows(count, rows, series, levels)
    assert places == sorted(set(places))
    assert places[0] == 0
    assert places[-1] == count - 1


@given(curves(), ROWS, LEVELS)
def test_places_include_peaks_and_as_many_crossings_as_fit(drawn, rows, levels):
    count, series = drawn
    places = set(choose_rows(count, rows, series, levels))
    crossed = {k for values in series for level in levels for k in crossings(values, level)}
    assert {values.index(max(values)) for values in series} <= places
    assert crossed <= places or len(places) >= rows


@given(st.integers(2, 300), st.integers(5, 12), st.data())
def test_peak_and_crossings_have_room_beside_first_and_last(count, rows, data):
    peak = data.draw(st.integers(0, count - 1))
    level = data.draw(st.floats(0.1, count))
    values = [-abs(k - peak) + level / 2 for k in range(count)]
    assert {0, count - 1, peak, *crossings(values, 0.0)} <= set(choose_rows(count, rows, [values], [0.0]))


def test_first_crossings_come_before_later_ones():
    swinging = [(-1.0) ** k for k in range(100)]
    falling = [90.5 - k for k in range(100)]
    places = choose_rows(100, 8, [swinging, falling], [0.0])
    assert {1, 91} <= set(places)
    assert len(places) == 8


@given(curves(), ROWS)
def test_places_do_not_exceed_the_limit(drawn, rows):
    count, series = drawn
    assert len(choose_rows(count, rows, series)) <= max(rows, 2 + len(series))


@given(st.integers(1, 10**5), st.integers(2, 60))
def test_places_fill_half_the_limit(count, rows):
    assert min(count, rows) / 2 <= len(choose_rows(count, rows)) <= rows


@given(curves(), LEVELS)
def test_no_limit_shows_every_place(drawn, levels):
    count, series = drawn
    assert choose_rows(count, None, series, levels) == list(range(count))
    assert choose_rows(count, count, series, levels) == list(range(count))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_first_last_and_peak_exceed_a_low_limit(rows):
    values = [0.0, 5.0, *[-float(k) for k in range(98)]]
    assert {0, 1, 99} <= set(choose_rows(100, rows, [values], [1.0]))


@pytest.mark.parametrize(
    ("last", "rows", "listed"),
    [
        (30, 12, [1, 2, 5, 10, 20, 30]),
        (100, 12, [1, 2, 5, 10, 20, 50, 100]),
        (1000, 12, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]),
        (700, 12, [1, 2, 5, 10, 20, 50, 100, 200, 500, 700]),
        (10**4, 12, [1, 3, 10, 30, 100, 300, 1000, 3000, 10**4]),
        (10**5, 8, [1, 10, 100, 1000, 10**4, 10**5]),
    ],
)
def test_steps_are_round(last, rows, listed):
    steps = range(1, last + 1)
    assert [steps[place] for place in choose_rows(last, rows, steps=steps)] == listed


def test_round_steps_stand_beside_peak_and_crossings():
    steps = range(101)
    values = [float(-abs(step - 7)) for step in steps]
    listed = choose_rows(101, 12, [values], [-63.5], steps=steps)
    assert listed == [0, 1, 2, 5, 7, 10, 20, 50, 71, 100]


@given(st.integers(1, 10**4), st.integers(2, 60))
def test_steps_fill_half_the_limit(count, rows):
    assert min(count, rows) / 2 <= len(choose_rows(count, rows, steps=range(count))) <= rows


def test_most_further_steps_are_early():
    places = choose_rows(1000, 40, steps=range(1000))
    assert sum(place < 100 for place in places) > len(places) / 2


def test_rows_without_steps_are_spaced_evenly():
    places = choose_rows(1001, 11)
    assert places == list(range(0, 1001, 100))


def test_nan_is_no_peak():
    assert 1 in choose_rows(100, 4, [[math.nan, 5.0, *[math.nan] * 98]])


def test_rounding_crosses_no_level():
    values = [1e-16 * (-1) ** k for k in range(1000)]
    assert len(choose_rows(1000, 20, [values], [0.0])) <= 20
