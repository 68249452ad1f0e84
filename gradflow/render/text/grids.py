"""The titled grids of text that people are shown, whatever format they are written in."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gradflow.printable import escape_unprintable, format_log10
from gradflow.record import Matrix, MatrixMeaning, Record, ScalarMeaning, describe_fields
from gradflow.render.selection import SUMMARY_NAME, TableRows, get_matrices, get_tables, select_table
from gradflow.render.style import Style
from gradflow.render.text.chapters import get_chapter_view
from gradflow.render.text.sparkline import SPARKLINE_WIDTH, draw_sparkline
from gradflow.render.thinning import choose_rows
from gradflow.render.values import FULL_DIGITS, MISSING_VALUE, format_row, format_value, label_series
from gradflow.table import to_builtin

MAX_UNTHINNED_ROWS = 50  # of a table without a curve
MAX_SIDE_BY_SIDE = 8  # series without an index
MIN_SPARKLINE_RANGE = 0.01  # a curve that moves less is drawn as a flat line
MIN_SPARKLINE_WIDTH = 8
FIELD_NAME_WIDTH = 16  # of the names of fields on a narrow screen


class TextGrid(NamedTuple):
    """A titled grid of text.

    ``name`` is that of its table or matrix. ``rules`` are the rows that have a line above them,
    ``text_columns`` the columns that hold text and not numbers. ``remark`` stands below the grid.
    """

    name: str
    title: str
    header: list[str]
    rows: list[list[str]]
    rules: frozenset[int] = frozenset()
    text_columns: frozenset[int] = frozenset({0})
    remark: str = ""


def make_grids(record: Record, style: Style, screen: int | None = None) -> list[TextGrid]:
    """Return the grids of a record: summary, tables and matrices, or only the one that the style names.

    Curves are shorter if they have to fit a ``screen`` of so many columns.
    """
    if style.table is not None:
        selected = select_table(record, style.table)
        if isinstance(selected, Matrix):
            return [_make_matrix_grid(style.table, get_matrices(record)[style.table][0], selected)]
        if style.table == SUMMARY_NAME:
            return [_make_summary_grid(record)]
        if selected.meaning.chapters:
            return []
        if _stands_side_by_side(selected):
            return [_make_side_by_side_grid(selected, [], style, screen)]
        return [_make_table_grid(selected, style)]
    summary = _make_summary_grid(record)
    in_chapters = any(table.meaning.chapters for table in get_tables(record).values())
    grids = [summary] if summary.rows and not in_chapters else []  # chapters end with a sentence instead
    pending = _get_grid_tables(record)
    while pending:
        table = pending.pop(0)
        if not _stands_side_by_side(table):
            grids.append(_make_table_grid(table, style))
            continue
        below = [other for other in pending if stands_below(other, table)]
        pending = [other for other in pending if other not in below]
        grids.append(_make_side_by_side_grid(table, below, style, screen))
    matrices = get_matrices(record).items()
    return grids + [_make_matrix_grid(name, meaning, matrix) for name, (meaning, matrix) in matrices]


def get_sentences(record: Record) -> list[str]:
    """Return the lines of the texts of the summary, each a paragraph; none beside an answer alone."""
    if get_chapter_view(record).answer:
        return []
    values = [value for meaning, value in describe_fields(record, ScalarMeaning).values() if meaning.prose]
    return [escape_unprintable(line) for value in values if value for line in value.split("\n")]


def _get_grid_tables(record: Record) -> list[TableRows]:
    """Return the tables that are shown as grids: all that are neither chapters nor their lines."""
    tables = get_tables(record)
    shown_as_chapters = [
        (table.name, table.meaning.chapters.table) for table in tables.values() if table.meaning.chapters
    ]
    return [table for name, table in tables.items() if not any(name in names for names in shown_as_chapters)]


def stands_below(table: TableRows, main: TableRows) -> bool:
    """Return whether the fields of a table, a row for each series, are shown below the curves of another."""
    same_series = main.meaning.across == table.meaning.across
    return bool(main.meaning.index and main.meaning.across and same_series and not table.meaning.index)


def _stands_side_by_side(table: TableRows) -> bool:
    """Return whether each series of the table is a column: if it has an index, or if there are few."""
    meaning = table.meaning
    return bool(meaning.across and (meaning.index or len(get_keys(table)) <= MAX_SIDE_BY_SIDE))


def _make_summary_grid(record: Record) -> TextGrid:
    # Scalars that are None are left out here; JSON has them as null.
    rows = [
        [
            name,
            format_value(to_builtin(value)),
            meaning.description + (f" [{meaning.unit}]" if meaning.unit else ""),
        ]
        for name, (meaning, value) in describe_fields(record, ScalarMeaning).items()
        if value is not None and not meaning.prose
    ]
    title = f"gradflow {record.command}"
    return TextGrid(SUMMARY_NAME, title, ["", "", ""], rows, text_columns=frozenset({0, 2}))


def _make_table_grid(table: TableRows, style: Style) -> TextGrid:
    places = choose_table_rows(table, style.rows if len(table) > MAX_UNTHINNED_ROWS else None, style.rows)
    every = table.rows
    return TextGrid(
        table.name,
        make_title(table),
        list(table.columns),
        [format_row(table, every[place]) for place in places],
        text_columns=frozenset(find_text_columns(table, list(table.columns))),
        remark=describe_omission(len(places), len(table)),
    )


def make_title(table: TableRows) -> str:
    """Return the title of a table: its name and what it is."""
    return f"{table.name}: {table.meaning.description}"


def choose_table_rows(table: TableRows, plain_rows: int | None, rows: int | None) -> list[int]:
    """Return the places of the rows to show: about ``rows`` of a curve, ``plain_rows`` of other tables."""
    meaning = table.meaning
    values = [table.column(meaning.value)] if meaning.value else []
    levels = table.columns[meaning.value].levels if meaning.value else ()
    steps = table.column(meaning.index) if meaning.index else None
    return choose_rows(len(table), rows if values else plain_rows, values, levels, steps)


def find_text_columns(table: TableRows, names: Sequence[str]) -> list[int]:
    """Return the places of the columns that hold text."""
    return [
        place
        for place, name in enumerate(names)
        if any(isinstance(entry, str) for entry in table.column(name))
    ]


def _make_side_by_side_grid(
    main: TableRows, below: Sequence[TableRows], style: Style, screen: int | None
) -> TextGrid:
    """Return a grid with a column for each series: its curve, its values by index, then its other fields."""
    keys = get_keys(main)
    rows, remark = make_curve_rows(main, style, screen) if main.meaning.index else ([], "")
    start = len(rows)
    for table in below if main.meaning.index else [main, *below]:
        rows += make_field_rows(table, keys, {name: name for name in table.columns}, format_fields)
    rules = frozenset({start} if 0 < start < len(rows) else ())
    header = [main.meaning.index, *label_series(keys)]
    return TextGrid(main.name, make_title(main), header, rows, rules, remark=remark)


def make_curve_rows(
    table: TableRows, style: Style, screen: int | None, digits: int = FULL_DIGITS
) -> tuple[list[list[str]], str]:
    """Return the rows of a table with an index: the curve of each series, then its values by index.

    The second result is a remark on rows that are left out.
    """
    series = _get_series(table, get_keys(table))
    index = list(dict.fromkeys(table.column(table.meaning.index)))
    value = table.columns[table.meaning.value]
    curves = [[values.get(place, math.nan) for place in index] for values in series]
    places = choose_rows(len(index), style.rows, curves, value.levels, index)
    sparklines = make_sparklines(table, style, _choose_sparkline_width(len(series), screen))
    form = format_log10 if value.log10 else format_value
    rows = [
        [
            str(index[place]),
            *(MISSING_VALUE if math.isnan(curve[place]) else form(curve[place], digits) for curve in curves),
        ]
        for place in places
    ]
    return [["", *sparklines.values()], *rows], describe_omission(len(places), len(index))


def make_sparklines(table: TableRows, style: Style, width: int) -> dict[tuple[Any, ...], str]:
    """Return the curve of each series of a table with an index by its key, all on one scale."""
    keys = get_keys(table)
    curves = [list(values.values()) for values in _get_series(table, keys)]
    low, high = min(map(_find_low, curves), default=0.0), max(map(_find_high, curves), default=0.0)
    ends = (low, max(high, low + MIN_SPARKLINE_RANGE))
    return {
        key: draw_sparkline(curve, ends, unicode=style.unicode, width=width)
        for key, curve in zip(keys, curves, strict=True)
    }


def _choose_sparkline_width(series: int, screen: int | None) -> int:
    """Return how many marks a curve has, so that the curves of all series fit a screen if possible."""
    if screen is None:
        return SPARKLINE_WIDTH
    return max(MIN_SPARKLINE_WIDTH, min(SPARKLINE_WIDTH, (screen - FIELD_NAME_WIDTH) // series - 2))


def get_keys(table: TableRows) -> list[tuple[Any, ...]]:
    """Return the key of each series of a table, in order."""
    return list(dict.fromkeys(_get_row_keys(table)))


def _get_row_keys(table: TableRows) -> list[tuple[Any, ...]]:
    """Return the key of each row: the values that tell which series it belongs to."""
    return list(zip(*(table.column(name) for name in table.meaning.across), strict=True))


def _get_series(table: TableRows, keys: Sequence[tuple[Any, ...]]) -> list[dict[Any, float]]:
    """Return the values of each series by index; the series may differ in length."""
    series: dict[tuple[Any, ...], dict[Any, float]] = {key: {} for key in keys}
    columns = _get_row_keys(table), table.column(table.meaning.index), table.column(table.meaning.value)
    for key, index, value in zip(*columns, strict=True):
        series[key][index] = value
    return list(series.values())


def format_fields(table: TableRows, name: str) -> list[str]:
    """Return a column of a table as a person reads it."""
    return [format_value(entry) for entry in table.column(name)]


def make_field_rows(
    table: TableRows,
    keys: Sequence[tuple[Any, ...]],
    labels: Mapping[str, str],
    form: Callable[[TableRows, str], list[str]],
) -> list[list[str]]:
    """Return columns of a table as rows with an entry for each series, without rows that are empty.

    ``labels`` has what people read for each column.
    """
    row_keys = _get_row_keys(table)
    order = [row_keys.index(key) if key in row_keys else None for key in keys]
    rows = []
    for name, label in labels.items():
        if name in table.meaning.across:
            continue
        unit, entries = table.columns[name].unit, form(table, name)
        entries_by_series = [MISSING_VALUE if place is None else entries[place] for place in order]
        rows.append([f"{label} [{unit}]" if unit else label, *entries_by_series])
    return [row for row in rows if set(row[1:]) != {MISSING_VALUE}]


def _make_matrix_grid(name: str, meaning: MatrixMeaning, matrix: Matrix) -> TextGrid:
    factor = f" × 2^{matrix.exponent2}" if matrix.exponent2 else ""
    rows = [[format_value(to_builtin(entry)) for entry in row] for row in matrix.entries]
    header = [""] * matrix.entries.shape[1]
    return TextGrid(name, f"{name}{factor}: {meaning.description}", header, rows, text_columns=frozenset())


def describe_omission(shown: int, count: int) -> str:
    """Return a remark on rows that are left out, or nothing."""
    return f"{shown} of {count} rows; --all-rows shows every one" if shown < count else ""


def _find_low(values: Sequence[float]) -> float:
    return min((value for value in values if math.isfinite(value)), default=0.0)


def _find_high(values: Sequence[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=0.0)
