"""Integers as people type them: 100, 1_000_000, 1e6 or 10^6."""

import re
from collections.abc import Callable

import typer

_DIGITS = r"\d+(?:_\d+)*"
_POWER_PATTERN = re.compile(rf"({_DIGITS})(?:\^|\*\*)(\d{{1,2}})")
_DECIMAL_PATTERN = re.compile(rf"([+-]?)({_DIGITS})(?:\.(\d*))?(?:[eE]([+-]?\d{{1,2}}))?")
MAX_INTEGER_LETTERS = 40  # of the text; Python prints no integer of more than 4300 digits


def parse_integer(text: str) -> int | None:
    """Return a text as an integer, or None if it is not one.

    Examples
    --------
    >>> [parse_integer(text) for text in ("100", "-1", "1_000_000", "1e6", "1.5e3", "10^6")]
    [100, -1, 1000000, 1000000, 1500, 1000000]
    >>> [parse_integer(text) for text in ("1.5e0", "1e-3", "many", "nan")]
    [None, None, None, None]
    """
    text = text.strip()
    if len(text) > MAX_INTEGER_LETTERS:
        return None
    power = _POWER_PATTERN.fullmatch(text)
    if power:
        return int(int(power[1]) ** int(power[2]))
    found = _DECIMAL_PATTERN.fullmatch(text)
    if not found:
        return None
    sign, whole, fraction, exponent = (part or "" for part in found.groups())
    digits = int(f"{sign}{whole}{fraction}")
    shift = int(exponent or 0) - len(fraction)
    if shift >= 0:
        return int(digits * 10**shift)
    quotient, rest = divmod(digits, 10**-shift)
    return None if rest else quotient


def make_integer_parser(low: int | None) -> Callable[[str | int], int]:
    """Return a function that reads the value of an option as an integer of at least ``low``."""

    def parse(value: str | int) -> int:
        number = value if isinstance(value, int) else parse_integer(value)
        if number is None:
            raise typer.BadParameter(f"{value!r}: expected an integer such as 100, 1e6 or 10^6.")
        if low is not None and number < low:
            raise typer.BadParameter(f"{number}: expected an integer of at least {low}.")
        return number

    return parse
