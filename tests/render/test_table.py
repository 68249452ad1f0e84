"""A table for people has the conclusion first, the numbers of the record, and fits the screen."""

import math
import re
from decimal import Decimal

import numpy as np
import pytest
from rich.cells import cell_len

from gradflow.analysis import INSPECTION_VERDICTS, REGIMES, VERDICTS
from gradflow.record import ColumnMeaning, MatrixMeaning, ScalarMeaning, TableMeaning, describe_fields
from gradflow.render.selection import get_tables
from gradflow.render.style import DEFAULT_ROWS, Style
from gradflow.render.text.chapters import make_chapters
from gradflow.render.text.grids import get_sentences, make_grids, stands_below
from gradflow.render.text.main_view import list_further_names, make_main_grids
from gradflow.render.text.verdict_styles import VERDICT_STYLES
from gradflow.render.values import format_value
from gradflow.render.wrapping import split_name
from tests.render import drawings

DIGITS = 4  # shown at least, save of a number with a spread
REAL = re.compile(r"[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
WIDTHS = [40, 60, 80, 100, 120]
CODE = re.compile(r"\x1b\[([\d;]*)m")
FRAME = re.compile(r"[│╭╮╰╯─]")


@pytest.fixture(params=sorted(drawings.MAKERS))
def result(request):
    """Return a result of each command."""
    return drawings.of_command(request.param)


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


def close(text, values, logs, *, rounded=False):
    """Return whether a shown number rounds one of ``values``, or 10 to the power of one of ``logs``.

    A ``rounded`` number, one with a spread, may have fewer digits: it is right to half of its last one.
    """
    shown, exact = float(text), Decimal(text)
    share = 0.5001 * 10.0 ** (1 - DIGITS)
    if rounded:
        share = max(share, float(Decimal("0.5001").scaleb(exact.as_tuple().exponent) / (abs(exact) or 1)))
    with np.errstate(invalid="ignore"):
        near = math.isfinite(shown) and bool((abs(values - shown) <= share * (abs(shown) or 1)).any())
        log10 = float(abs(exact).log10()) if exact else -math.inf
        return near or (exact > 0 and bool((abs(logs - log10) <= share / math.log(10)).any()))


def numbers(text):
    """Return the real numbers in an entry of a table, two for a complex number."""
    if re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?([+-][\d.]+(e[+-]?\d+)?)?j?", text) is None:
        return []
    return REAL.findall(text)


def spread(entry):
    """Return the numbers of an entry with an error or a spread; none of another entry."""
    found = re.fullmatch(r"(\S+) (?:± (\S+)|\((\S+) to (\S+)\))", entry)
    return [number for number in found.groups() if number] if found else []


@pytest.mark.parametrize("rows", [DEFAULT_ROWS, None, 5])
def test_shown_numbers_are_in_the_record(record, rows):
    values, logs = floats(record)
    seen = 0
    style = Style(rows=rows)
    for grid in [*make_grids(record, style), *make_main_grids(record, style)]:
        for row in grid.rows:
            for place, entry in enumerate(row):
                if place in grid.text_columns and place > 0:
                    continue
                for number in spread(entry):
                    assert close(number, values, logs, rounded=True), (grid.title, row, number)
                for number in numbers(entry):
                    seen += 1
                    assert close(number, values, logs), (grid.title, row, number)
    for chapter in make_chapters(record, style):
        for step in chapter.steps:
            for number in [word for value in step.values for word in value.split() if REAL.fullmatch(word)]:
                seen += 1
                assert close(number, values, logs), (chapter.heading, step, number)
    assert seen > 5


def test_main_table_has_every_value_of_its_columns(result, draw):
    name, (meaning, table) = next(
        (key, field) for key, field in describe_fields(result, TableMeaning).items() if field[1] is not None
    )
    if meaning.chapters:
        return
    words = re.sub(r"[()]", "", draw(result, "table", Style(rows=None))).split()
    shown = np.array([float(word) for word in words if REAL.fullmatch(word)])
    columns = describe_fields(table, ColumnMeaning)
    if meaning.across and meaning.index:
        columns = {key: columns[key] for key in (meaning.index, meaning.value)}
    beside = {part for column, _ in columns.values() for part in (column.error, column.low, column.high)}
    checked = 0
    for key, (column, entries) in columns.items():
        if column.detail or key in beside or column.error or column.low:
            continue
        for entry in entries:
            if isinstance(entry, float | int | np.number) and not isinstance(entry, bool):
                number = 10.0**entry if column.log10 else float(entry)
                if math.isfinite(number) and number:
                    checked += 1
                    assert (abs(shown / number - 1) < 0.6e-3).any(), (name, key, entry)
    assert checked or result.command == "convert"


def test_columns_with_detail_are_shown_with_details_only(result, draw):
    tables = describe_fields(result, TableMeaning)
    for grid in make_main_grids(result, Style()):
        columns = describe_fields(tables[grid.name][1], ColumnMeaning)
        text = draw(result, "table", Style(details=True))
        for name, (column, entries) in columns.items():
            if column.detail:
                assert name not in grid.header
                assert name in text or all(entry is None for entry in entries)


@pytest.mark.parametrize("command", sorted(drawings.MAKERS))
def test_main_tables_have_at_most_twelve_rows(command):
    record = drawings.of_command(command)
    for grid in make_main_grids(record, Style()):
        curve = min(grid.rules, default=len(grid.rows))
        assert curve - (grid.rows[0][0] == "") <= 12


def test_conclusion_is_first_and_whole(result, draw):
    if result.command == "derive":  # its conclusion sums up the lines above it
        return
    for width in (*WIDTHS, None):
        panel, _, rest = draw(result, "table", Style(width=width)).partition("╯")
        assert rest
        said = FRAME.sub(" ", panel.partition("╮")[2])
        wanted = [FRAME.sub(" ", sentence) for sentence in get_sentences(result)]
        assert wanted
        assert "".join(said.split()) == "".join("".join(wanted).split())


def test_brief_is_the_conclusion_alone_a_line_for_each_subject(result, draw):
    assert draw(result, "table", Style(brief=True)).splitlines() == get_sentences(result)


def test_last_line_names_every_other_table(result, draw):
    names = list_further_names(result)
    tables = {key for key, (_, value) in describe_fields(result, TableMeaning).items() if value is not None}
    shown = {grid.name for grid in make_main_grids(result, Style())}
    matrices = describe_fields(result, MatrixMeaning)
    present = {key for key, (_, value) in matrices.items() if value is not None}
    if result.command == "derive":
        return
    assert {*names, *shown} == {"summary", *tables, *present}
    last = draw(result, "table").splitlines()[-1]
    assert last == f"more: --details, or --table {' | '.join(names)}"
    for name in names:
        assert draw(result, "table", Style(table=name)).strip()


@pytest.mark.parametrize("width", WIDTHS)
def test_lines_fit_the_screen_and_no_number_or_name_is_cut(result, draw, width):
    tables = [name for name, (_, value) in describe_fields(result, TableMeaning).items() if value is not None]
    for style in (Style(), Style(details=True), *(Style(table=name) for name in tables)):
        wide = without_remarks(draw(result, "table", style._replace(color=True)))
        narrow = draw(result, "table", style._replace(width=width, color=True))
        for line in CODE.sub("", narrow).splitlines():
            formula = result.command == "derive" and " " not in line.strip()
            assert cell_len(line) <= width or formula, line
        whole = {part for word in wide.split() for part in (word, *get_pieces(word))}
        for word in FRAME.sub(" ", without_remarks(narrow)).split():
            assert word in whole or set(word) <= set("▁▂▃▄▅▆▇█") or len(word) >= width - 4, word


def without_remarks(text):
    """Return a text in color without codes and without its remarks, which are dim."""
    return CODE.sub("", re.sub(r"\x1b\[2m.*?\x1b\[0m", "", text))


def get_pieces(word):
    """Return the parts of a name that a line may hold: neighbouring pieces of it."""
    parts = split_name(word)
    ends = range(len(parts) + 1)
    return {"".join(parts[first:last]) for first in ends for last in ends[first + 1 :]}


@pytest.mark.parametrize("width", [*WIDTHS, None])
def test_details_lose_no_column(result, draw, width):
    if result.command == "derive":  # shows its lines as chapters
        return
    text = draw(result, "table", Style(width=width, details=True, rows=None))
    for meaning, table in describe_fields(result, TableMeaning).values():
        if table is None or (meaning.across and meaning.index):  # drawn as curves
            continue
        for name, (_, entries) in describe_fields(table, ColumnMeaning).items():
            is_empty = all(entry is None or entry != entry for entry in entries)
            if name not in meaning.across and not is_empty:
                assert name in text if width is None else all(piece in text for piece in split_name(name))


def test_details_have_every_scalar(result, draw):
    text = draw(result, "table", Style(details=True))
    for name, (meaning, value) in describe_fields(result, ScalarMeaning).items():
        assert meaning.prose or value is None or re.search(rf"(?m)^ {name} ", text)


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_table_breaks_in_two(result, draw, width):
    for style in (Style(width=width), Style(width=width, details=True)):
        grids = make_grids(result, style) if style.details else make_main_grids(result, style)
        if result.command == "derive":
            continue
        text = draw(result, "table", style)
        rules = re.findall(r"(?m)^─+$", text)
        assert len(rules) == sum(any(grid.header) + len(grid.rules) for grid in grids)


def test_color_changes_no_letter(record, draw):
    for style in (Style(color=True), Style(color=True, details=True), Style(color=True, width=60)):
        assert CODE.sub("", draw(record, "table", style)) == draw(
            record, "table", style._replace(color=False)
        )


def test_color_is_always_reset(record, draw):
    for line in draw(record, "table", Style(color=True)).splitlines():
        codes = CODE.findall(line)
        assert codes[1::2] == ["0"] * (len(codes) // 2)
        assert len(codes) % 2 == 0


def test_no_color_without_a_screen_that_has_it(record, draw):
    assert "\x1b" not in draw(record, "table", Style(width=80))


@pytest.mark.parametrize(
    ("matrix", "code"), [("0.5", "33"), ("2", "31"), ("1", "32"), ("0 1; 0 0", "33"), ("1 1; 0 1", "31")]
)
def test_frame_has_the_color_of_the_verdict(draw, matrix, code):
    record = drawings.gradflow.power(matrix)
    assert draw(record, "table", Style(color=True)).startswith(f"\x1b[{code}m╭")


def test_frame_has_the_color_of_the_worst_verdict_and_words_have_their_own(draw):
    cells = ("rnn:activation=identity,init=orthogonal,gain=" + gain for gain in ("0.5", "2", "1"))
    record = drawings.gradflow.compare(*cells, hidden=3, steps=50, seeds=1)
    text = draw(record, "table", Style(color=True))
    assert record.get_verdicts() == {"vanishing", "exploding", "stable"}
    assert text.startswith("\x1b[31m╭")
    for word, code in (("vanishing", 33), ("exploding", 31), ("stable", 32)):
        assert re.search(rf"\x1b\[{code}m *{word}\x1b\[0m", text)


def test_every_verdict_has_a_style():
    assert {*REGIMES, *VERDICTS, *INSPECTION_VERDICTS} <= set(VERDICT_STYLES)


def test_a_name_that_holds_a_verdict_is_no_verdict(made_up, draw):
    text = draw(made_up("stable.npz my-stable unstable stable: x"), "table", Style(color=True))
    assert text.count("\x1b[32mstable\x1b[0m") == 1


def test_ascii_has_ascii_rules_and_sparklines(record, draw):
    assert not set("─▁▂▃▄▅▆▇█╭│") & set(draw(record, "table", Style(unicode=False)))


def test_columns_end_together(records, draw):
    lines = draw(records["exercise"], "table", Style(table="norms", rows=None)).splitlines()
    header, body = lines[1], lines[3:34]
    ends = [match.end() for match in re.finditer(r"\S+", header)]
    assert len(body) == 31
    for line in body:
        assert [match.end() for match in re.finditer(r"\S+", line)] == ends


def test_no_line_ends_with_blanks(record, draw):
    for width in (None, 40, 80):
        for details in (False, True):
            text = draw(record, "table", Style(width=width, details=details))
            assert not re.search(r"(?m)[ \t]+$", text)


@pytest.mark.parametrize("name", ["[/x]", "[red]x[/red]", ":smile:", "a[b]c", "\\[bold]"])
def test_names_are_no_markup(made_up, draw, name):
    for style in (Style(), Style(details=True), Style(width=40), Style(color=True)):
        text = CODE.sub("", draw(made_up(name), "table", style))
        assert text.count(name) >= 5


def test_hostile_text_adds_no_line(made_up, draw, hostile):
    for details in (False, True):
        text = draw(made_up(hostile), "table", Style(details=details))
        assert all(letter.isprintable() or letter == "\n" for letter in text)
        assert len(text.splitlines()) == len(draw(made_up(), "table", Style(details=details)).splitlines())


def test_missing_value_is_no_number(made_up, draw):
    lines = draw(made_up(), "table", Style(table="parts")).splitlines()
    rows = [line.split()[1:3] for line in lines if line.split()[:1] == ["plain"]]
    none = rows[0][1]
    assert not any(letter.isdigit() for letter in none)
    assert none not in ("inf", "-inf", "nan", "0")
    assert rows == [["0.5", none], ["inf", none], ["-inf", none], [none, none]]


def _hold_rows(grid, table):
    """Return whether a grid has every row of a table: by its index, as a row each, or as a column each."""
    columns = {name: [format_value(entry) for entry in table.column(name)] for name in table.columns}
    if table.meaning.index and table.meaning.across:
        return set(columns[table.meaning.index]) <= {row[0] for row in grid.rows}
    if len(grid.rows) == len(table.rows) and len(grid.header) == len(table.columns):
        return True
    return len(grid.header) == 1 + len(table.rows)


@pytest.mark.parametrize("command", drawings.MAKERS)
def test_details_of_every_format_have_every_row_of_every_table(command, draw):
    record, style = drawings.of_command(command), Style(details=True, rows=None)
    grids = {grid.name: grid for grid in make_grids(record, style)}
    texts = {name: draw(record, name, style) for name in ("table", "md", "html", "latex")}
    tables = get_tables(record)
    for name, table in tables.items():
        main = next((one for one in tables.values() if one is not table and stands_below(table, one)), table)
        assert _hold_rows(grids[main.name], table), name
        for form, text in texts.items():
            assert f"{main.name}: ".replace("_", r"\_" if form in ("latex", "md") else "_") in text, (
                form,
                name,
            )
