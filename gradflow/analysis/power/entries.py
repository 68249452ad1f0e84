"""Wⁿ of a small W as a sentence shows it: entry by entry, in a few digits, of any size."""

import math
from decimal import Context, Decimal, localcontext
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.small_powers import DOUBLE_BITS, EnclosedEntry, EnclosedNumber, enclose_power

ENTRY_DIGITS = 4
MAX_WHOLE_ENTRY = 10**7  # up to which integers are written in full
MAX_EXPONENT = 10**12  # of ten, past which no mantissa is written, as of a norm
MAX_DOUBLE_EXPONENT = 300  # of ten, up to which a number is written as a double
ROUNDED_UP_LOG10 = Decimal("2.2e-5")  # a mantissa that is 10 in four digits counts as 1
DECIMAL_DIGITS = 32  # of logarithms, so that exponents of 22 digits leave enough for a mantissa
DECIMAL_LOG10_2 = Decimal(2).log10(Context(prec=DECIMAL_DIGITS))
SHORT_BITS = 32  # of a number that stands for itself, and not for one that a double cannot hold
MAX_ROUNDING_EXPONENT = -14  # of two: more than this, relative to Wⁿ, is never called rounding


def write_power(matrix: NDArray[Any], steps: int, entries: list[list[EnclosedEntry]]) -> str:
    """Return W^n row by row; ≈0 where an entry is no more than the rounding of W itself, as 0.1 in a double.

    Parameters
    ----------
    matrix : array (n, n)
        W.
    steps : int
        n.
    entries : list of list of EnclosedEntry
        As `enclose_power` returns them.

    Examples
    --------
    >>> matrix = np.array([[0.58, 0.24], [0.24, 0.72]])
    >>> write_power(matrix, 30, enclose_power(matrix, 30))
    '[0.01526 0.02035; 0.02035 0.02713]'
    """
    whole = [[_read_integer(entry) for entry in row] for row in entries]
    if all(value is not None for value in chain(*whole)):
        texts = [[str(value) for value in row] for row in whole]
    else:
        rounding = _find_rounding(matrix, steps, entries)
        texts = [
            [
                "≈0" if is_rounding else _write_entry(entry)
                for entry, is_rounding in zip(row, flags, strict=True)
            ]
            for row, flags in zip(entries, rounding, strict=True)
        ]
    return f"[{'; '.join(' '.join(row) for row in texts)}]"


def _find_rounding(matrix: NDArray[Any], steps: int, entries: list[list[EnclosedEntry]]) -> list[list[bool]]:
    """Return which entries are no more than what half a unit in the last place of W may change.

    It changes Wⁿ by up to n units of rounding of |W|ⁿ, entry by entry. Where powers stay small that is too
    much, so that an entry must also be under n units of rounding of the largest.
    """
    unit = min(steps.bit_length() - DOUBLE_BITS, MAX_ROUNDING_EXPONENT)
    top = max((entry.top for entry in chain(*entries) if not entry.is_zero), default=0)
    small = [[not entry.is_zero and entry.top < top + unit for entry in row] for row in entries]
    is_positive = np.isrealobj(matrix) and (matrix >= 0).all()
    if is_positive or _are_short(matrix) or not any(chain(*small)):
        # an entry that stays open is next to nothing beside the others
        return [[not entry.has_bits(DOUBLE_BITS) for entry in row] for row in entries]
    majorant = enclose_power(np.abs(matrix), steps)
    return [
        [
            (is_small and entry.top < bound.top + unit) or not entry.has_bits(DOUBLE_BITS)
            for entry, is_small, bound in zip(row, flags, bounds, strict=True)
        ]
        for row, flags, bounds in zip(entries, small, majorant, strict=True)
    ]


def _are_short(matrix: NDArray[Any]) -> bool:
    """Return whether all entries are numbers such as 3 or 0.25, which a double holds as they were written."""
    mantissas = np.ldexp(np.frexp(np.stack([matrix.real, matrix.imag]))[0], SHORT_BITS)
    return bool((mantissas == np.rint(mantissas)).all())


def _read_integer(entry: EnclosedEntry) -> int | None:
    """Return the integer that an entry is, if it is one that is written in full."""
    real = entry.real
    if real.is_zero and entry.imag.is_zero:
        return 0
    if real.radius or not entry.imag.is_zero or real.exponent < 0 or real.top > DOUBLE_BITS:
        return None
    value = real.middle << real.exponent
    return value if abs(value) < MAX_WHOLE_ENTRY else None


def _write_entry(entry: EnclosedEntry) -> str:
    """Return a number in four digits, of a complex one those of its larger part."""
    with localcontext(prec=DECIMAL_DIGITS):
        logs = [_find_log10(part) for part in entry]
        largest = max((log for log in logs if log is not None), default=None)
        if largest is None:
            return "0"
        exponent = math.floor(largest)
        if abs(exponent) >= MAX_EXPONENT:
            texts = ["" if log is None else f"10^{float(log):.6g}" for log in logs]
            shift = 0
        else:
            # a double holds numbers of other sizes only without their power of ten
            shift = 0 if abs(exponent) < MAX_DOUBLE_EXPONENT else math.floor(largest + ROUNDED_UP_LOG10)
            texts = ["" if log is None else _write_digits(log, exponent, shift) for log in logs]
    real, imag = (
        "-" * bool(text and part.middle < 0) + text for text, part in zip(texts, entry, strict=True)
    )
    text = f"{real}{'+' if real and imag[0] != '-' else ''}{imag}i" if imag else real
    if not shift:
        return text
    return f"({text})e{shift:+03d}" if real and imag else f"{text}e{shift:+03d}"


def _write_digits(log10: Decimal, exponent: int, shift: int) -> str:
    """Return 10**(log10 − shift), to the place of the last digit of a number near 10**exponent."""
    digits = ENTRY_DIGITS - (exponent - math.floor(log10))
    return f"{float(Decimal(10) ** (log10 - shift)):.{digits}g}" if digits > 0 else ""


def _find_log10(part: EnclosedNumber) -> Decimal | None:
    """Return the decimal logarithm of a modulus, None of 0."""
    if not part.middle:
        return None
    rounded = part.round_to(2 * DOUBLE_BITS)
    return Decimal(abs(rounded.middle)).log10() + rounded.exponent * DECIMAL_LOG10_2
