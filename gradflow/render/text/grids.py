"""The titled grids of text that people are shown, whatever format they are written in."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from gradflow.printable import escape_unprintable, format_log10
from gradflow.record import Matrix, MatrixMeaning, Record, ScalarMeaning, describe_fields, to_builtin
from gradflow.render.selection import SUMMARY_NAME, TableRows, get_matrices, get_tables, select_table
from gradflow.render.style import Style
from gradflow.render.text.chapters import get_chapter_view
from gradflow.render.text.sparkline import draw_sparkline
from gradflow.render.thinning import choose_rows
from gradflow.render.values import MISSING_VALUE, format_row, format_value, label_series

MAX_UNTHINNED_ROWS = 50  # of a table without a curve
MAX_SIDE_BY_SIDE = 8  # series without an index
MIN_SPARKLINE_RANGE = 0.01  # a curve that moves less is drawn as a flat line


class TextGrid(NamedTuple):
    """A titled grid of text.

    ``rules`` are the rows that have a line above them, ``text_columns`` the columns that hold text and not
    numbers. ``remark`` stands below the grid.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    rules: frozenset[int] = frozenset()
    text_columns: frozenset[int] = frozenset({0})
    remark: str = ""


def make_grids(record: Record, style: Style) -> list[TextGrid]:
    """Return the grids of a record: summary, tables and matrices, or only the one that the style names."""
    if style.table is not None:
        selected = select_table(record, style.table)
        if isinstance(selected, Matrix):
            return [_make_matrix_grid(style.table, get_matrices(record)[style.table][0], selected)]
        if style.table == SUMMARY_NAME:
            return [_make_summary_grid(record)]
        if selected.meaning.chapters:
            return []
        if _stands_side_by_side(selected):
            return [_make_side_by_side_grid(selected, [], style)]
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
        below = [other for other in pending if other.meaning.across == table.meaning.across]
        pending = [other for other in pending if other not in below]
        grids.append(_make_side_by_side_grid(table, below, style))
    matrices = get_matrices(record).items()
    return grids + [_make_matrix_grid(name, meaning, matrix) for name, (meaning, matrix) in matrices]


def get_sentences(record: Record) -> list[str]:
    """Return the sentences of the summary; none beside an answer alone."""
    if get_chapter_view(record).answer:
        return []
    values = [value for meaning, value in describe_fields(record, ScalarMeaning).values() if meaning.prose]
    sentences = [part for value in values for part in (value if isinstance(value, tuple) else [value])]
    return [escape_unprintable(str(sentence)) for sentence in sentences if sentence]


def _get_grid_tables(record: Record) -> list[TableRows]:
    """Return the tables that are shown as grids: all that are neither chapters nor their lines."""
    tables = get_tables(record)
    shown_as_chapters = [
        (table.name, table.meaning.chapters.table) for table in tables.values() if table.meaning.chapters
    ]
    return [table for name, table in tables.items() if not any(name in names for names in shown_as_chapters)]


def _stands_side_by_side(table: TableRows) -> bool:
    """Return whether each series of the table is a column: if it has an index, or if there are few."""
    meaning = table.meaning
    return bool(meaning.across and (meaning.index or len(set(_get_keys(table))) <= MAX_SIDE_BY_SIDE))


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
    return TextGrid(f"gradflow {record.command}", ["", "", ""], rows, text_columns=frozenset({0, 2}))


def _make_table_grid(table: TableRows, style: Style) -> TextGrid:
    values = [table.column(table.meaning.value)] if table.meaning.value else []
    levels = table.columns[table.meaning.value].levels if table.meaning.value else ()
    max_rows = style.rows if values or len(table.rows) > MAX_UNTHINNED_ROWS else None
    places = choose_rows(len(table.rows), max_rows, values, levels)
    text_columns = [
        k
        for k, name in enumerate(table.columns)
        if any(isinstance(entry, str) for entry in table.column(name))
    ]
    return TextGrid(
        f"{table.name}: {table.meaning.description}",
        list(table.columns),
        [format_row(table, table.rows[place]) for place in places],
        text_columns=frozenset(text_columns),
        remark=_describe_omission(len(places), len(table.rows)),
    )


def _make_side_by_side_grid(main: TableRows, below: Sequence[TableRows], style: Style) -> TextGrid:
    """Return a grid with a column for each series: its curve, its values by index, then its other fields."""
    meaning = main.meaning
    keys = list(dict.fromkeys(_get_keys(main)))
    rows: list[list[str]] = []
    remark = ""
    if meaning.index:
        series = _get_series(main, keys)
        index = list(dict.fromkeys(main.column(meaning.index)))
        value = main.columns[meaning.value]
        curves = [[values.get(place, math.nan) for place in index] for values in series]
        places = choose_rows(len(index), style.rows, curves, value.levels)
        low, high = min(map(_find_low, curves), default=0.0), max(map(_find_high, curves), default=0.0)
        ends = (low, max(high, low + MIN_SPARKLINE_RANGE))
        sparklines = [draw_sparkline(list(values.values()), ends, unicode=style.unicode) for values in series]
        rows.append(["", *sparklines])
        form = format_log10 if value.log10 else format_value
        rows += [
            [
                str(index[place]),
                *(MISSING_VALUE if math.isnan(curve[place]) else form(curve[place]) for curve in curves),
            ]
            for place in places
        ]
        remark = _describe_omission(len(places), len(index))
    else:
        below = [main, *below]
    start = len(rows)
    for table in below:
        rows += _make_field_rows(table, keys)
    rules = frozenset({start} if 0 < start < len(rows) else ())
    header = [meaning.index, *label_series(keys)]
    return TextGrid(f"{main.name}: {meaning.description}", header, rows, rules, remark=remark)


def _get_keys(table: TableRows) -> list[tuple[Any, ...]]:
    """Return the key of each row: the values that tell which series it belongs to."""
    return list(zip(*(table.column(name) for name in table.meaning.across), strict=True))


def _get_series(table: TableRows, keys: Sequence[tuple[Any, ...]]) -> list[dict[Any, float]]:
    """Return the values of each series by index; the series may differ in length."""
    series: dict[tuple[Any, ...], dict[Any, float]] = {key: {} for key in keys}
    columns = _get_keys(table), table.column(table.meaning.index), table.column(table.meaning.value)
    for key, index, value in zip(*columns, strict=True):
        series[key][index] = value
    return list(series.values())


def _make_field_rows(table: TableRows, keys: Sequence[tuple[Any, ...]]) -> list[list[str]]:
    """Return each column of a table as a row with an entry for each series, without rows that are empty."""
    table_keys = _get_keys(table)
    order = [table_keys.index(key) if key in table_keys else None for key in keys]
    rows = [
        [
            f"{name} [{column.unit}]" if column.unit else name,
            *(MISSING_VALUE if place is None else format_value(table.column(name)[place]) for place in order),
        ]
        for name, column in table.columns.items()
        if name not in table.meaning.across
    ]
    return [row for row in rows if set(row[1:]) != {MISSING_VALUE}]


def _make_matrix_grid(name: str, meaning: MatrixMeaning, matrix: Matrix) -> TextGrid:
    factor = f" × 2^{matrix.exponent2}" if matrix.exponent2 else ""
    rows = [[format_value(to_builtin(entry)) for entry in row] for row in matrix.entries]
    header = [""] * matrix.entries.shape[1]
    return TextGrid(f"{name}{factor}: {meaning.description}", header, rows, text_columns=frozenset())


def _describe_omission(shown: int, count: int) -> str:
    return f"{shown} of {count} rows; --all-rows shows every one" if shown < count else ""


def _find_low(values: Sequence[float]) -> float:
    return min((value for value in values if math.isfinite(value)), default=0.0)


def _find_high(values: Sequence[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=0.0)
