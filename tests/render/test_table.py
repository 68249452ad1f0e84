"""A table for people has the numbers of the record, aligned columns and letters that the screen has."""

import math
import re
from decimal import Decimal

import numpy as np

from gradflow.record import ColumnMeaning, MatrixMeaning, ScalarMeaning, TableMeaning, describe_fields
from gradflow.render.style import Style
from gradflow.render.text.chapters import make_chapters
from gradflow.render.text.grids import make_grids

DIGITS = 4  # shown at least
REAL = re.compile(r"[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def floats(record):
    """Return all numbers of a record, and those in logarithmic columns."""
    values, logs = [], []
    for _, value in describe_fields(record, ScalarMeaning).values():
        values.append(value)
    for _, table in describe_fields(record, TableMeaning).values():
        for meaning, entries in describe_fields(table, ColumnMeaning).values() if table is not None else ():
            values += list(entries)
            logs += list(entries) if meaning.log10 else []
    for _, grid in describe_fields(record, MatrixMeaning).values():
        values += list(grid.entries.ravel()) if grid is not None else []
    kept = np.array([value for value in values if isinstance(value, complex | np.number | int | float)])
    return np.concatenate([kept.real, kept.imag]).astype(float), np.array(logs, dtype=float)


def close(text, values, logs):
    """Return whether a shown number rounds one of ``values``, or 10 to the power of one of ``logs``."""
    shown, half = float(text), 0.5001 * 10.0 ** (1 - DIGITS)
    with np.errstate(invalid="ignore"):
        near = math.isfinite(shown) and bool((abs(values - shown) <= half * abs(shown)).any())
        log10 = float(Decimal(text).copy_abs().log10()) if shown else -math.inf
        return near or (shown > 0 and bool((abs(logs - log10) <= half / math.log(10)).any()))


def numbers(text):
    """Return the real numbers in an entry of a table, two for a complex number."""
    if re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?([+-][\d.]+(e[+-]?\d+)?)?j?", text) is None:
        return []
    return REAL.findall(text)


def test_shown_numbers_are_in_the_record(record):
    for style in (Style(), Style(rows=None), Style(rows=5)):
        check_numbers(record, style)


def check_numbers(record, style):
    values, logs = floats(record)
    seen = 0
    for grid in make_grids(record, style):
        for row in grid.rows:
            for place, entry in enumerate(row):
                if place in grid.text_columns and place > 0:
                    continue
                for number in numbers(entry):
                    seen += 1
                    assert close(number, values, logs), (grid.title, row, number)
    for chapter in make_chapters(record, style):
        for step in chapter.steps:
            for number in [word for value in step.values for word in value.split() if REAL.fullmatch(word)]:
                seen += 1
                assert close(number, values, logs), (chapter.heading, step, number)
    assert seen > 5


def test_no_number_is_cut(record, draw):
    for width in (None, 40, 80, 200):
        check_not_cut(record, draw, width)


def check_not_cut(record, draw, width):
    words = set(draw(record, "table", Style(width=width, rows=8)).split())
    for grid in make_grids(record, Style(rows=8)):
        if not any(grid.header) and width is not None and "gradflow" not in grid.title:
            continue  # a matrix, which a narrow screen may leave out
        for row in grid.rows:
            for place, entry in enumerate(row):
                if place not in grid.text_columns and any(letter.isdigit() for letter in entry):
                    assert entry in words


def test_color_changes_no_letter(record, draw):
    colored = draw(record, "table", Style(color=True))
    assert re.sub(r"\x1b\[\d+m", "", colored) == draw(record, "table")


def test_color_is_always_reset(record, draw):
    for line in draw(record, "table", Style(color=True)).splitlines():
        codes = re.findall(r"\x1b\[(\d+)m", line)
        assert codes[1::2] == ["0"] * (len(codes) // 2)
        assert len(codes) % 2 == 0


def test_ascii_has_ascii_rules_and_sparklines(record, draw):
    assert not set("─▁▂▃▄▅▆▇█") & set(draw(record, "table", Style(unicode=False)))


def test_columns_end_together(records, draw):
    lines = draw(records["exercise"], "table", Style(table="norms", rows=None)).splitlines()
    header, body = lines[1], lines[3:34]
    ends = [match.end() for match in re.finditer(r"\S+", header)]
    assert len(body) == 31
    for line in body:
        assert [match.end() for match in re.finditer(r"\S+", line)] == ends


def test_no_line_ends_with_blanks(record, draw):
    for width in (None, 40, 80):
        assert not re.search(r"(?m)[ \t]+$", draw(record, "table", Style(width=width)))


def test_hostile_text_adds_no_line(made_up, draw, hostile):
    text = draw(made_up(hostile), "table")
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert len(text.splitlines()) == len(draw(made_up(), "table").splitlines())


def test_missing_value_is_no_number(made_up, draw):
    lines = draw(made_up(), "table", Style(table="parts")).splitlines()
    rows = [line.split()[1:3] for line in lines if line.split()[:1] == ["plain"]]
    none = rows[0][1]
    assert not any(letter.isdigit() for letter in none)
    assert none not in ("inf", "-inf", "nan", "0")
    assert rows == [["0.5", none], ["inf", none], ["-inf", none], [none, none]]
