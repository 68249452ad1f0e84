"""How one value, one row and the names of several series are written for people."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from gradflow.printable import escape_unprintable, format_log10
from gradflow.record import ColumnMeaning
from gradflow.render.selection import TableRows

MISSING_VALUE = "-"
FULL_DIGITS = 6  # significant digits of a number
MAIN_DIGITS, SPREAD_DIGITS = 4, 3  # in the main table; there with the spread of a logarithm


def format_value(value: Any, digits: int = FULL_DIGITS) -> str:
    """Return one value as a person reads it, a number with at most ``digits`` digits.

    Examples
    --------
    >>> format_value(0.1 + 0.2), format_value(True), format_value(None), format_value(2 - 1j)
    ('0.3', 'yes', '-', '2-1j')
    >>> format_value(1 / 3), format_value(1 / 3, 4)
    ('0.333333', '0.3333')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING_VALUE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, complex):
        return f"{value:.4g}"
    return escape_unprintable(str(value))


def format_row(table: TableRows, row: Sequence[Any]) -> list[str]:
    """Return the entries of a row as a person reads them: see `format_entry`."""
    entries = dict(zip(table.columns, row, strict=True))
    return [format_entry(column, entries[name], entries) for name, column in table.columns.items()]


def format_entry(
    column: ColumnMeaning, entry: Any, entries: Mapping[str, Any], digits: int = FULL_DIGITS
) -> str:
    """Return one entry of a row, with the ``entries`` of the whole row by column.

    A number outside the range of a double is read from its logarithm. An entry below the bound of its column
    is only rounding, so the bound is shown instead.
    """
    if column.log10_in and not math.isfinite(entry) and math.isfinite(entries[column.log10_in]):
        return format_log10(entries[column.log10_in], digits)
    if column.bound and entry < entries[column.bound]:
        return f"< {format_value(entries[column.bound], digits)}"
    return format_value(entry, digits)


def format_estimate(
    column: ColumnMeaning, entry: Any, entries: Mapping[str, Any], *, unicode: bool = True
) -> str:
    """Return one entry as the main table shows it: in few digits, with its error or spread if it has one.

    A number has no digit below the second one of its error or of half its spread. A logarithm is shown as the
    number itself, with three digits if it has a spread.

    Examples
    --------
    >>> format_estimate(ColumnMeaning("rate", error="s"), -0.152307, {"s": 0.00279})
    '-0.1523 ± 0.0028'
    >>> format_estimate(ColumnMeaning("rate", low="a", high="b"), -0.771938, {"a": -0.80302, "b": -0.68968})
    '-0.772 (-0.803 to -0.690)'
    >>> format_estimate(ColumnMeaning("norm", log10=True), -20.5, {})
    '3.162e-21'
    """
    low, high = entries.get(column.low), entries.get(column.high)
    if column.log10:
        if entry is None or math.isnan(entry):
            return MISSING_VALUE
        if not (is_finite(low) and is_finite(high) and low < high):
            return format_log10(entry, MAIN_DIGITS)
        middle, first, last = (format_log10(value, SPREAD_DIGITS) for value in (entry, low, high))
        return f"{middle} ({first} to {last})"
    error = entries.get(column.error)
    if is_finite(error) and is_finite(entry):
        return f"{_round_to(entry, error)} {'±' if unicode else '+/-'} {_round_to(error, error)}"
    if is_finite(low) and is_finite(high) and is_finite(entry) and low < high:
        middle, first, last = (_round_to(value, (high - low) / 2.0) for value in (entry, low, high))
        return f"{middle} ({first} to {last})"
    return format_entry(column, entry, entries, MAIN_DIGITS)


def is_finite(value: Any) -> TypeGuard[float]:
    """Return whether a value is a finite real number."""
    return isinstance(value, float) and math.isfinite(value)


def _round_to(value: float, error: float) -> str:
    """Return a number to the second digit of its error, with at most `MAIN_DIGITS` digits."""
    if value == 0.0 or error <= 0.0:
        return format_value(value, MAIN_DIGITS)
    places = 1 - math.floor(math.log10(error))
    digits = min(math.floor(math.log10(abs(value))) + 1 + places, MAIN_DIGITS)
    if digits < 1:
        return format_value(round(value, places) + 0.0)
    return f"{value:#.{digits}g}".rstrip(".")


def label_series(keys: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return a label for each key: its first part, and every other part that differs between keys.

    Examples
    --------
    >>> label_series([("rnn", 1, "state"), ("rnn", 2, "state")])
    ['rnn 1', 'rnn 2']
    """
    varying = [0, *(k for k in range(1, len(keys[0]) if keys else 0) if len({key[k] for key in keys}) > 1)]
    return [" ".join(format_value(key[k]) for k in varying) for key in keys]
