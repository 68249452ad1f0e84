"""What people are shown, whatever draws it: titled grids of text."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from gradflow.printable import escape_unprintable, format_log10
from gradflow.record import ColumnMeaning, Matrix, MatrixMeaning, Record, ScalarMeaning, described, plain
from gradflow.render.selection import SUMMARY, Rows, matrices, one, tables
from gradflow.render.sparkline import sparkline
from gradflow.render.style import Style
from gradflow.render.thinning import thinned

NONE = "-"
MOST_THINGS = 50
MOST_BESIDE = 8
FLAT = 0.01  # a curve that moves less than this is drawn as a line


class Block(NamedTuple):
    """A titled grid of text; a rule is drawn above the rows in ``rules``; ``words`` are columns of text."""

    title: str
    header: list[str]
    rows: list[list[str]]
    rules: frozenset[int] = frozenset()
    words: frozenset[int] = frozenset({0})
    remark: str = ""


def blocks(record: Record, style: Style) -> list[Block]:
    """Return what there is to show in grids: summary, tables, matrices; or only what was asked for."""
    if style.table is not None:
        chosen = one(record, style.table)
        if isinstance(chosen, Matrix):
            return [_matrix(style.table, matrices(record)[style.table][0], chosen)]
        if style.table == SUMMARY:
            return [_summary(record)]
        if chosen.meaning.chapters:
            return []
        return [_across(chosen, [], style) if _stands_beside(chosen) else _table(chosen, style)]
    summary = _summary(record)
    shown = [summary] if summary.rows else []
    pending = _grids(record)
    while pending:
        table = pending.pop(0)
        if not _stands_beside(table):
            shown.append(_table(table, style))
            continue
        beside = [other for other in pending if other.meaning.across == table.meaning.across]
        pending = [other for other in pending if other not in beside]
        shown.append(_across(table, beside, style))
    return shown + [_matrix(name, meaning, matrix) for name, (meaning, matrix) in matrices(record).items()]


def _grids(record: Record) -> list[Rows]:
    """Return the tables that are read as grids: all but numbered lines and the chapters that they are of."""
    found = tables(record)
    read = [(table.name, table.meaning.chapters.table) for table in found.values() if table.meaning.chapters]
    return [table for name, table in found.items() if not any(name in names for names in read)]


def _stands_beside(table: Rows) -> bool:
    """Return whether series stand side by side: as curves, or as things, as long as they are few."""
    meaning = table.meaning
    return bool(meaning.across and (meaning.index or len(set(_keys(table))) <= MOST_BESIDE))


def prose(record: Record) -> list[str]:
    """Return the sentences of the summary."""
    sentences = [value for meaning, value in described(record, ScalarMeaning).values() if meaning.prose]
    paragraphs = [part for value in sentences for part in (value if isinstance(value, tuple) else [value])]
    return [escape_unprintable(str(paragraph)) for paragraph in paragraphs if paragraph]


def text(value: Any) -> str:
    """Return one value as a person reads it.

    Examples
    --------
    >>> text(0.1 + 0.2), text(True), text(None), text(math.inf), text(2 - 1j)
    ('0.3', 'yes', '-', 'inf', '2-1j')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, complex):
        return f"{value:.4g}"
    return escape_unprintable(str(value))


def _summary(record: Record) -> Block:
    # What there is not, nobody misses in a table for people; JSON has it as null.
    rows = [
        [name, text(plain(value)), meaning.description + (f" [{meaning.unit}]" if meaning.unit else "")]
        for name, (meaning, value) in described(record, ScalarMeaning).items()
        if value is not None and not meaning.prose
    ]
    return Block(f"gradflow {record.command}", ["", "", ""], rows, words=frozenset({0, 2}))


def _table(table: Rows, style: Style) -> Block:
    values = [table.column(table.meaning.value)] if table.meaning.value else []
    levels = table.columns[table.meaning.value].levels if table.meaning.value else ()
    # a table of things, no curve, is shown whole as long as that is bearable
    rows = style.rows if values or len(table.rows) > MOST_THINGS else None
    places = thinned(len(table.rows), rows, values, levels)
    words = [
        k
        for k, name in enumerate(table.columns)
        if any(isinstance(entry, str) for entry in table.column(name))
    ]
    return Block(
        f"{table.name}: {table.meaning.description}",
        list(table.columns),
        [entries(table, table.rows[place]) for place in places],
        words=frozenset(words),
        remark=_left_out(len(places), len(table.rows)),
    )


def entries(table: Rows, row: Sequence[Any]) -> list[str]:
    """Return a row as a person reads it.

    A number that no double holds is read from its logarithm; of one that is but rounding, its bound is told.
    """
    known = dict(zip(table.columns, row, strict=True))

    def shown(column: ColumnMeaning, entry: Any) -> str:
        if column.log10_in and not math.isfinite(entry) and math.isfinite(known[column.log10_in]):
            return format_log10(known[column.log10_in])
        if column.bound and entry < known[column.bound]:
            return f"< {text(known[column.bound])}"
        return text(entry)

    return [shown(column, entry) for column, entry in zip(table.columns.values(), row, strict=True)]


def _across(main: Rows, beside: Sequence[Rows], style: Style) -> Block:
    """One column for each value of ``across``: the index running down, what it amounts to under it."""
    meaning = main.meaning
    keys = list(dict.fromkeys(_keys(main)))
    rows: list[list[str]] = []
    remark = ""
    if meaning.index:
        series = _series(main, keys)
        index = list(dict.fromkeys(main.column(meaning.index)))
        value = main.columns[meaning.value]
        whole = [[one.get(place, math.nan) for place in index] for one in series]
        places = thinned(len(index), style.rows, whole, value.levels)
        low, high = min(map(_low, whole), default=0.0), max(map(_high, whole), default=0.0)
        ends = (low, max(high, low + FLAT))
        rows.append(["", *(sparkline(list(one.values()), ends, unicode=style.unicode) for one in series)])
        shape = format_log10 if value.log10 else text
        rows += [
            [str(index[place]), *(NONE if math.isnan(one[place]) else shape(one[place]) for one in whole)]
            for place in places
        ]
        remark = _left_out(len(places), len(index))
    else:
        beside = [main, *beside]
    start = len(rows)
    for table in beside:
        rows += _fields(table, keys)
    rules = frozenset({start} if 0 < start < len(rows) else ())
    header = [meaning.index, *labels(keys)]
    return Block(f"{main.name}: {meaning.description}", header, rows, rules, remark=remark)


def _keys(table: Rows) -> list[tuple[Any, ...]]:
    """Return what tells the series apart, row by row."""
    return list(zip(*(table.column(name) for name in table.meaning.across), strict=True))


def labels(keys: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return a heading for each series: its name, and whatever else is not the same for all."""
    varying = [0, *(k for k in range(1, len(keys[0]) if keys else 0) if len({key[k] for key in keys}) > 1)]
    return [" ".join(text(key[k]) for k in varying) for key in keys]


def _series(table: Rows, keys: Sequence[tuple[Any, ...]]) -> list[dict[Any, float]]:
    """Return the values of each series by index; one may be shorter than another."""
    found: dict[tuple[Any, ...], dict[Any, float]] = {key: {} for key in keys}
    columns = _keys(table), table.column(table.meaning.index), table.column(table.meaning.value)
    for key, index, value in zip(*columns, strict=True):
        found[key][index] = value
    return list(found.values())


def _fields(table: Rows, keys: Sequence[tuple[Any, ...]]) -> list[list[str]]:
    """Return each column of a table as a row, one entry for each series."""
    known = _keys(table)
    order = [known.index(key) if key in known else None for key in keys]
    rows = [
        [
            f"{name} [{column.unit}]" if column.unit else name,
            *(NONE if place is None else text(table.column(name)[place]) for place in order),
        ]
        for name, column in table.columns.items()
        if name not in table.meaning.across
    ]
    return [row for row in rows if set(row[1:]) != {NONE}]  # what there is not, nobody misses here


def _matrix(name: str, meaning: MatrixMeaning, matrix: Matrix) -> Block:
    factor = f" × 2^{matrix.exponent2}" if matrix.exponent2 else ""
    rows = [[text(plain(entry)) for entry in row] for row in matrix.entries]
    return Block(
        f"{name}{factor}: {meaning.description}", [""] * matrix.entries.shape[1], rows, words=frozenset()
    )


def _left_out(shown: int, count: int) -> str:
    return f"{shown} of {count} rows; --all-rows shows every one" if shown < count else ""


def _low(values: Sequence[float]) -> float:
    return min((value for value in values if math.isfinite(value)), default=0.0)


def _high(values: Sequence[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=0.0)
