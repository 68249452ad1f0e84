"""Numbers as they stand in a formula, in the notation of `gradflow.notation`."""

import numpy as np
from numpy.typing import ArrayLike

from gradflow.notation import SUBSCRIPTS, SUPERSCRIPTS

_ABOVE, _BELOW = (
    {digit: letter for letter, digit in scripts.items() if digit.isdecimal()}
    for scripts in (SUPERSCRIPTS, SUBSCRIPTS)
)


def write_numbers(values: ArrayLike) -> str:
    """Return a number, a list of numbers, or a matrix row by row, each to six digits.

    Examples
    --------
    >>> write_numbers([[0.58, -0.24], [1e-7, 1 + 2j]])
    '[0.58, −0.24; 1e-07, 1 + 2i]'
    >>> write_numbers(0.5), write_numbers([0.9, 0.4])
    ('0.5', '0.9, 0.4')
    """
    array = np.asarray(values)
    if array.ndim == 2:
        return f"[{'; '.join(write_numbers(row) for row in array)}]"
    if array.ndim == 1:
        return ", ".join(_write_number(complex(value)) for value in array)
    return _write_number(complex(array))


def raised(base: str, power: int) -> str:
    """Return ``base`` with an exponent from 0 on.

    Examples
    --------
    >>> raised("W", 30)
    'W³⁰'
    """
    return base + "".join(_ABOVE[digit] for digit in str(power))


def lowered(base: str, index: int) -> str:
    """Return ``base`` with an index from 0 on.

    Examples
    --------
    >>> lowered("h", 10)
    'h₁₀'
    """
    return base + "".join(_BELOW[digit] for digit in str(index))


def _write_number(value: complex) -> str:
    real = _signed(f"{value.real:.6g}")
    if not value.imag:
        return real
    imaginary = f"{_signed(f'{abs(value.imag):.6g}')}i"
    if not value.real:
        return imaginary if value.imag > 0 else f"−{imaginary}"
    return f"{real} {'+' if value.imag > 0 else '−'} {imaginary}"


def _signed(digits: str) -> str:
    """Return a number with the sign that a formula has, which a power of ten keeps as it is."""
    return f"−{digits[1:]}" if digits.startswith("-") else digits
