"""A chart fits the terminal, uses only its letters and colors, and has its marks in the right places."""

import re
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import gradflow
from gradflow.render.plots.panels import get_drawn_tables
from gradflow.render.style import Style
from gradflow.render.terminal.chart import MAX_CHART_WIDTH, MIN_CHART_WIDTH
from gradflow.render.terminal.frame import AxisRange
from gradflow.render.terminal.sketches import CHART_HEIGHT, SQUARE_CHART_HEIGHT
from gradflow.render.terminal.ticks import choose_ticks, label_ticks
from tests.render.drawings import MAKERS, of_command, outing, pixels, points, things, walks, whole

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
SCREENS = [40, 60, 80, 120, 200]
HOSTILE = [
    "$x_1$", "<script>", "a&b", "\x1b[31m", "漢字" * 40, "[red]x[/red]", ":smile:", "x" * 300, "  ", "a\nb",
    "é" * 50,
]  # fmt: skip
SHADES = {True: "·░▒▓█", False: ".:-=+*#%@"}


@pytest.fixture(autouse=True)
def every_colour(monkeypatch):
    """Give every test a terminal with all colors, because rich caches colors."""
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm")


def chart(record, table=None, width=80, *, color=False, unicode=True):
    return gradflow.to_text(record, "chart", Style(table=table, width=width, color=color, unicode=unicode))


def rows(text, side="│┤"):
    """Return the rows of the drawing to the right of its left axis."""
    found = [
        re.split(f"[{side}]", line, maxsplit=1)[1]
        for line in text.splitlines()
        if re.search(f"[{side}]", line)
    ]
    return found[:CHART_HEIGHT]


def place_of(mark, drawing):
    """Return the rows of a mark by column, from the top down."""
    found = {}
    for row, line in enumerate(drawing):
        for column, letter in enumerate(line):
            if letter == mark:
                found.setdefault(column, []).append(row)
    return found


def tables(record):
    return list(get_drawn_tables(record))


@pytest.mark.parametrize("width", SCREENS)
def test_lines_fit_the_screen(width):
    for command, unicode, color in product(MAKERS, (False, True), (False, True)):
        record = of_command(command)
        for table in [None, *tables(record)]:
            text = ESCAPE.sub("", chart(record, table, width, color=color, unicode=unicode))
            assert max(map(cell_len, text.splitlines())) <= width
            assert text.endswith("\n")
            assert not text.endswith("\n\n")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_name_is_text_that_fits(name):
    heights = {name: [0.0, -1.0], "other": [1.0, 2.0]}
    record = outing(walks=walks(heights), panels=walks(heights), things=things({name: 1.0, "other": 2.0}))
    for table, width, color in product(("walks", "things", "panels"), (40, 80), (False, True)):
        text = chart(record, table, width, color=color)
        assert color or "\x1b" not in text
        plain = ESCAPE.sub("", text)
        assert max(map(cell_len, plain.splitlines())) <= width
        joined = "".join(plain.split())
        if len(name) < width // 4:
            assert "".join(name.replace("\x1b", r"\x1b").replace("\n", r"\n").split()) in joined


def test_color_changes_no_letter_of_a_single_curve():
    record = outing(walks=walks({"a": [0.0, -1.0, 1.0]}))
    assert "\x1b[" in chart(record, color=True)
    assert ESCAPE.sub("", chart(record, color=True)) == chart(record)
    assert "\x1b" not in chart(whole())


def test_several_curves_are_braille_in_color_and_tags_without():
    record = outing(walks=walks({"a": [0.0, -1.0], "b": [1.0, 2.0]}))
    assert re.search("[\u2801-\u28ff]", chart(record, color=True))
    text = chart(record)
    assert not re.search("[\u2800-\u28ff]", text)
    assert re.search("^1 a$", text, re.M)
    assert re.search("^2 b$", text, re.M)


@pytest.mark.parametrize("command", MAKERS)
def test_ascii_chart_is_ascii_apart_from_names(command):
    record = of_command(command)
    for table in tables(record):
        text = chart(record, table, unicode=False)
        drawing = [line for line in text.splitlines() if not re.match(r".*(:|curves|≤|≠)", line)]
        assert "".join(drawing).isascii()
        assert text.splitlines()[0].isascii()


def test_ascii_chart_names_columns():
    text = chart(of_command("compare"), "map", unicode=False).splitlines()
    assert text[:2] == ["rnn: gradient between every pair of steps", "t, by k"]
    assert "log10 of norm" in text


@pytest.mark.parametrize("width", [40, 80])
def test_falling_curve_falls_in_every_column(width):
    drawing = rows(
        chart(outing(walks=walks({"a": np.linspace(0, -9, 50)})), "walks", width, unicode=False), "|+"
    )
    marks = place_of("*", drawing)
    assert sorted(marks) == list(range(len(marks)))
    assert len(marks) == width - len("-7.5 +")
    tops = [min(marks[column]) for column in sorted(marks)]
    assert tops == sorted(tops)
    assert (tops[0], max(marks[max(marks)])) == (0, CHART_HEIGHT - 1)


@given(st.permutations([-1.0, -30.0, -5.0, -12.0]))
def test_lower_curve_has_a_lower_tag(ends):
    record = outing(walks=walks({f"w{k}": [0.0, end] for k, end in enumerate(ends)}))
    drawing = rows(chart(record, "walks"))
    tagged = [(row, int(line[-1])) for row, line in enumerate(drawing) if len(line) == max(map(len, drawing))]
    assert [tag for _, tag in tagged] == sorted(range(1, 5), key=lambda tag: -ends[tag - 1])


@given(st.lists(st.sampled_from([-np.inf, -2.0, -2.1, 0.0, np.inf]), min_size=2, max_size=10))
def test_curves_with_one_end_have_a_tag_each(ends):
    record = outing(walks=walks({f"w{k}": [-1.0, end] for k, end in enumerate(ends)}))
    drawing = rows(chart(record, "walks"))
    widest = max(map(len, drawing))
    tags = "".join(line[-1] for line in drawing if len(line) == widest)
    assert sorted(tags) == sorted("123456789a"[: len(ends)])
    assert all(ends["123456789a".index(a)] >= ends["123456789a".index(b)] for a, b in pairwise(tags))


def test_level_and_zero_are_marked_and_named():
    text = chart(outing(walks=walks({"a": [0.0, -6.0, -np.inf]})), "walks")
    drawing = rows(text)
    assert [row for row, line in enumerate(drawing) if "┄" in line] == [CHART_HEIGHT // 2]
    assert "┄ -3: sea level" in text
    assert drawing[-1].endswith("▼")
    assert "a: an exact 0 at 1 of 3 places" in text


@pytest.mark.parametrize("unicode", [False, True])
def test_darker_shade_is_a_larger_value(unicode):
    values = np.add.outer(np.arange(SQUARE_CHART_HEIGHT) * 40.0, np.arange(40.0))
    text = chart(outing(pixels=pixels(values)), "pixels", unicode=unicode)
    side = "│┤" if unicode else "|+"
    drawing = [
        re.split(f"[{side}]", line, maxsplit=1)[1] for line in text.splitlines()[2 : 2 + SQUARE_CHART_HEIGHT]
    ]
    shades = np.array([[SHADES[unicode].index(letter) for letter in line] for line in drawing[::-1]])
    assert shades.shape == values.shape
    order = np.argsort(values, axis=None)
    assert (np.diff(shades.ravel()[order]) >= 0).all()
    assert set(shades.ravel()) == set(range(len(SHADES[unicode])))


def test_lighter_color_is_a_larger_value():
    text = chart(outing(pixels=pixels([np.arange(40.0)])), "pixels", color=True)
    line = next(line for line in text.splitlines() if "▀" in line)
    colors = re.findall(r"38;2;(\d+);(\d+);(\d+)", line)
    light = [0.2126 * int(r) + 0.7152 * int(g) + 0.0722 * int(b) for r, g, b in colors]
    assert light == sorted(light)
    assert len(set(light)) == 40


def test_zero_has_its_own_letter_and_a_missing_value_is_blank():
    text = chart(outing(pixels=pixels([[0.0, -np.inf], [np.nan, -1.0]])), "pixels")
    drawing = [re.split("[│┤]", line, maxsplit=1)[1] for line in text.splitlines() if re.search("[│┤]", line)]
    top, bottom = drawing[0], drawing[-1]
    half = len(bottom) // 2
    assert (set(bottom[:half]), set(bottom[half:])) == ({"█"}, {"0"})
    assert (set(top[:half]), set(top[half:])) == ({" "}, {"·"})


def test_points_stand_at_their_places():
    text = chart(outing(points=points([0.0, 1j, -1.0], [1.0, 1e4, np.inf])), "points", unicode=False)
    drawing = [line for line in text.splitlines() if re.search("[|+]", line)][:SQUARE_CHART_HEIGHT]
    (center,), (top,), (left,) = (
        [(row, line.index(mark)) for row, line in enumerate(drawing) if mark in line] for mark in "oOx"
    )
    assert abs(center[0] - left[0]) <= 1
    assert abs(center[1] - top[1]) <= 1
    assert 2 * (center[0] - top[0]) == pytest.approx(center[1] - left[1], abs=2)


def test_items_have_name_number_and_mark():
    text = chart(
        outing(things=things({"a stone": 20.0, "a leaf": -4.0, "air": -np.inf, "void": np.nan})), "things"
    )
    stone, leaf, air, void = (line for line in text.splitlines() if "│" in line)
    assert [line.split()[-1] for line in (stone, leaf, air, void)] == ["20", "-4", "-inf", "-"]
    assert leaf.index("●") < stone.index("●")
    assert air.split("│")[1].startswith("◄")
    assert not any(mark in void for mark in "●◄►")


@pytest.mark.parametrize("table", [None, "words"])
def test_table_without_picture_is_printed(table):
    record = gradflow.derive("carousel") if table is None else whole()
    name = "topics" if table is None else "words"
    assert chart(record, name) == gradflow.to_text(record, "table", Style(table=name, width=80))


def test_other_pictures_are_named_and_sentences_come_last():
    text = chart(whole())
    assert text == chart(whole())
    ending = "--table NAME also draws: things, points, pixels, panels\n\nAll were home by six.\n"
    assert text.endswith(ending)


def test_width_is_limited():
    record = outing(walks=walks({"a": [0.0, 1.0]}))
    assert chart(record, width=7) == chart(record, width=MIN_CHART_WIDTH)
    assert chart(record, width=900) == chart(record, width=MAX_CHART_WIDTH)


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1e9), st.integers(2, 12), st.booleans())
def test_ticks_are_even_inside_and_distinct(low, span, most, integers):
    found = choose_ticks(low, low + span, most, whole=integers)
    assert len(found) <= max(most, 1)
    if len(found) > 1:
        steps = np.diff(found)
        assert np.allclose(steps, steps[0], rtol=1e-3)
        assert low - 1e-6 * span - 1e-6 <= found[0] <= found[-1] <= low + span + 1e-6 * span + 1e-6
        assert len(set(label_ticks(found))) == len(found)
    assert not integers or len(found) < 2 or all(value == round(value) for value in found)


def test_range_of_one_value_surrounds_it():
    for value in (0.0, 5.0, -1e-300, 1e300):
        ends = AxisRange.of(value, value)
        assert ends.low < value < ends.high
        assert ends.share(value) == pytest.approx(0.5)
