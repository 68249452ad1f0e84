"""How one value, one row and the names of several series are written for people."""

import math
from collections.abc import Sequence
from typing import Any

from gradflow.printable import escape_unprintable, format_log10
from gradflow.record import ColumnMeaning
from gradflow.render.selection import TableRows

MISSING_VALUE = "-"


def format_value(value: Any) -> str:
    """Return one value as a person reads it.

    Examples
    --------
    >>> format_value(0.1 + 0.2), format_value(True), format_value(None), format_value(2 - 1j)
    ('0.3', 'yes', '-', '2-1j')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING_VALUE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, complex):
        return f"{value:.4g}"
    return escape_unprintable(str(value))


def format_row(table: TableRows, row: Sequence[Any]) -> list[str]:
    """Return the entries of a row as a person reads them.

    A number outside the range of a double is read from its logarithm. An entry below the bound of its column
    is only rounding, so the bound is shown instead.
    """
    entries = dict(zip(table.columns, row, strict=True))

    def format_entry(column: ColumnMeaning, entry: Any) -> str:
        if column.log10_in and not math.isfinite(entry) and math.isfinite(entries[column.log10_in]):
            return format_log10(entries[column.log10_in])
        if column.bound and entry < entries[column.bound]:
            return f"< {format_value(entries[column.bound])}"
        return format_value(entry)

    return [format_entry(column, entry) for column, entry in zip(table.columns.values(), row, strict=True)]


def label_series(keys: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return a label for each key: its first part, and every other part that differs between keys.

    Examples
    --------
    >>> label_series([("rnn", 1, "state"), ("rnn", 2, "state")])
    ['rnn 1', 'rnn 2']
    """
    varying = [0, *(k for k in range(1, len(keys[0]) if keys else 0) if len({key[k] for key in keys}) > 1)]
    return [" ".join(format_value(key[k]) for k in varying) for key in keys]
