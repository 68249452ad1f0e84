"""Columns of a table fit the screen, keep their numbers and words whole, and fill the room there is."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gradflow.render.style import Style
from gradflow.render.text.grids import TextGrid
from gradflow.render.text.rich_tables import describe_unfit, fit_columns
from gradflow.render.text.table import _make_grid_lines, _print_lines
from gradflow.render.wrapping import split_name, wrap_name

WORDS = ["1", "-0.25", "3.162e-21", "rnn", "encoder.lstm.l0", "log10_norm_ratio_high", "lets the cell out"]
ENTRIES = st.sampled_from(WORDS)
SCREENS = st.integers(20, 120)


@st.composite
def grids(draw):
    """Draw a grid of one to eight columns."""
    count = draw(st.integers(1, 8))
    rows = st.lists(ENTRIES, min_size=count, max_size=count)
    header = [f"{word}{k}" for k, word in enumerate(draw(rows))]
    return TextGrid("name", "name: title", header, draw(st.lists(rows, min_size=1, max_size=4)))


def total(widths):
    return 1 + sum(widths) + 2 * (len(widths) - 1)


@given(grids(), SCREENS)
def test_columns_fit_and_no_piece_of_a_name_or_number_is_cut(grid, screen):
    places, widths = fit_columns(grid, screen)
    assert places[0] == 0
    assert places == sorted(places)
    assert total(widths) <= screen
    for place, width in zip(places[1:], widths[1:], strict=True):
        for entry in [grid.header[place], *(row[place] for row in grid.rows)]:
            assert all(len(piece) <= width for piece in split_name(entry))


@given(grids(), SCREENS)
def test_columns_that_fit_are_not_narrowed(grid, screen):
    natural = fit_columns(grid, None)
    assert natural.places == list(range(len(grid.header)))
    fitted = fit_columns(grid, screen)
    if total(natural.widths) <= screen:
        assert fitted == natural
    else:
        assert all(width <= natural.widths[place] for place, width in zip(*fitted, strict=True))


@given(grids(), SCREENS)
def test_every_line_fits_and_columns_that_do_not_are_named(grid, screen):
    style = Style(width=screen)
    lines = _print_lines(_make_grid_lines(grid, style), style).splitlines()
    assert all(len(line) <= screen for line in lines)
    places = fit_columns(grid, screen).places
    unfit = [name for place, name in enumerate(grid.header) if place not in places]
    remark = describe_unfit(grid, places)
    assert bool(remark) == bool(unfit)
    assert all(name in remark for name in unfit)


@given(grids(), SCREENS)
def test_rows_have_every_letter_of_the_columns_that_fit(grid, screen):
    style = Style(width=screen)
    places = fit_columns(grid, screen).places
    text = _print_lines(_make_grid_lines(grid._replace(title=""), style), style)
    wanted = "".join("".join(row[place] for place in places) for row in [grid.header, *grid.rows])
    remark = describe_unfit(grid, places)
    letters = sorted("".join(text.replace("─", "").split()))
    assert letters == sorted("".join((wanted + remark).split()))


@given(st.lists(ENTRIES, min_size=1, max_size=4).map(" ".join), st.integers(1, 40))
def test_names_are_broken_between_pieces_into_as_few_lines_as_possible(name, width):
    lines = wrap_name(name, width)
    pieces = split_name(name)
    assert "".join("".join(lines).split()) == "".join(name.split())
    assert all(len(line) <= width for line in lines)
    if max(map(len, pieces)) <= width:
        assert all(part in pieces for line in lines for part in split_name(line))
        for line, below in pairwise(lines):
            gap = " " if f"{line} {split_name(below)[0]}" in " ".join(name.split()) else ""
            assert len(line + gap + split_name(below)[0]) > width
