"""What a person sees of a record at first: its main table in few columns, rows and digits."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from gradflow.record import Record
from gradflow.render.selection import SUMMARY_NAME, TableRows, get_matrices, get_tables
from gradflow.render.style import Style
from gradflow.render.text.grids import (
    TextGrid,
    choose_table_rows,
    describe_omission,
    find_text_columns,
    get_keys,
    make_curve_rows,
    make_field_rows,
    make_sparklines,
    make_title,
    stands_below,
)
from gradflow.render.values import MAIN_DIGITS, format_estimate, label_series

MAIN_SPARKLINE_WIDTH = 12
LOG10_PREFIX = "log10_"  # of the name of a column of logarithms; people are shown the numbers


def make_main_grids(record: Record, style: Style) -> list[TextGrid]:
    """Return the grids of the main table and of the tables that are shown below it."""
    tables = list(get_tables(record).values())
    return [
        _make_grid(table, [other for other in tables[1:] if stands_below(other, table)], tables, style)
        for table in tables
        if _is_shown(table, tables[0]) and not table.meaning.chapters
    ]


def _is_shown(table: TableRows, main: TableRows) -> bool:
    """Return whether people see a table without asking for it."""
    limit = table.meaning.shown_rows
    is_short = limit is None or len(table) + len(main) <= limit
    return table is main or (table.meaning.shown and is_short)


def list_further_names(record: Record) -> list[str]:
    """Return the names of what the main view leaves out, as ``--table`` takes them."""
    tables = list(get_tables(record).values())
    names = [table.name for table in tables[1:] if not _is_shown(table, tables[0])]
    summary = [SUMMARY_NAME] if record.summary else []
    return [*summary, *names, *get_matrices(record)]


def _make_grid(table: TableRows, below: list[TableRows], tables: list[TableRows], style: Style) -> TextGrid:
    """Return the grid of a table: a column for each series if it has several and an index, else its rows.

    Rows have a sparkline if another table has a curve for each of them.
    """
    if not (table.meaning.across and table.meaning.index):
        curves = [other for other in tables if stands_below(table, other)]
        return _make_row_grid(table, curves, style)
    keys = get_keys(table)
    rows, remark = make_curve_rows(table, style, style.width, MAIN_DIGITS)
    start = len(rows)
    for other in below:
        rows += make_field_rows(other, keys, _choose_columns(other), partial(_format_fields, style=style))
    rules = frozenset({start} if start < len(rows) else ())
    header = [table.meaning.index, *label_series(keys)]
    return TextGrid(table.name, make_title(table), header, rows, rules, remark=remark)


def _make_row_grid(table: TableRows, curves: list[TableRows], style: Style) -> TextGrid:
    places = choose_table_rows(table, None, style.rows)
    if not table.meaning.value and style.rows is not None:
        places = places[: style.rows]
    chosen = _choose_columns(table)
    rows = [table.get_row(place) for place in places]
    entries = [[_format_entry(table, name, row, style) for name in chosen] for row in rows]
    text_columns = {*find_text_columns(table, list(chosen))}
    for curve in curves:
        sparklines = make_sparklines(curve, style, MAIN_SPARKLINE_WIDTH)
        text_columns.add(len(entries[0]) if entries else 0)
        keys = [tuple(row[name] for name in curve.meaning.across) for row in rows]
        entries = [[*entry, sparklines.get(key, "")] for entry, key in zip(entries, keys, strict=True)]
    return TextGrid(
        table.name,
        make_title(table),
        [*chosen.values(), *(curve.name for curve in curves)],
        entries,
        text_columns=frozenset(text_columns),
        remark=describe_omission(len(places), len(table)),
    )


def _choose_columns(table: TableRows) -> dict[str, str]:
    """Return the names of the columns that people see, with their headers.

    The error and the spread of a column stand beside its entries. Of a number and its logarithm only the
    number is shown.
    """
    columns = table.columns.values()
    beside = {name for column in columns for name in (column.error, column.low, column.high, column.log10_in)}
    return {
        name: name.removeprefix(LOG10_PREFIX) if column.log10 else name
        for name, column in table.columns.items()
        if name not in beside and not column.detail
    }


def _format_fields(table: TableRows, name: str, style: Style) -> list[str]:
    return [_format_entry(table, name, table.get_row(place), style) for place in range(len(table))]


def _format_entry(table: TableRows, name: str, row: Mapping[str, Any], style: Style) -> str:
    return format_estimate(table.columns[name], row[name], row, unicode=style.unicode)
