"""Arrays with a power of two of their own, so that no product leaves the range of a double.

Scaling by a power of two is exact: it costs no digit (relative error 7e-15 at 1e-351 against mpmath).
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.floating import SMALLEST_NORMAL_DOUBLE

LOG10_2 = math.log10(2.0)
# An array is scaled only if its largest entry leaves 2^±SLACK_BITS: a product of two stays in range.
SLACK_BITS = 200
ZERO_EXPONENT = -(2**40)  # the exponent of 0: far below every other, even if one is added to it


@dataclass(frozen=True, eq=False)
class Scaled:
    """An array ``array * 2**exponent``; ``exponent`` is a Python integer of any size.

    A square matrix may also be graded. Then entry (i, j) is ``array[i, j] * 2**(exponent + grading[i] −
    grading[j])``. This is a similarity by powers of two, which is exact too. It keeps entries that would be 0
    beside the largest one (see `gradflow.linalg.grading`). Without a grading, entries smaller than about
    1e-248 of the largest may become 0.

    Examples
    --------
    >>> half = Scaled.of(np.array([[0.5]]))
    >>> product = half
    >>> for _ in range(12):
    ...     product = product @ product
    >>> round(product.log10_largest(), 6)
    -1233.018862
    """

    array: NDArray[Any]
    exponent: int = 0
    grading: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, array: NDArray[Any], exponent: int = 0, grading: NDArray[np.int64] | None = None) -> "Scaled":
        """Return the array, scaled so that its largest entry is near 1 if it was far from 1."""
        largest = float(largest_part(array))
        if largest == 0.0:
            return cls(array, 0, grading)
        shift = math.frexp(largest)[1]
        if abs(shift) <= SLACK_BITS:
            return cls(array, exponent, grading)
        return cls(shift_exponents(array, -shift), exponent + shift, grading)

    def __matmul__(self, other: "Scaled") -> "Scaled":
        if self.grading is not other.grading:
            other = other.with_grading(self.grading)
        return Scaled.of(self.array @ other.array, self.exponent + other.exponent, self.grading)

    def with_grading(self, grading: NDArray[np.int64] | None) -> "Scaled":
        """Return the same matrix with another grading (or None). Entries far below the largest become 0."""
        if grading is self.grading:
            return self
        own = 0 if self.grading is None else self.grading
        moved = np.asarray(own - (0 if grading is None else grading), np.int64)
        if not moved.any():
            return Scaled(self.array, self.exponent, grading)
        shifts = moved[:, None] - moved
        top = int(largest_exponents(self.array, shifts))
        array = shift_exponents(self.array, shifts - top)
        return Scaled(array, self.exponent + top if array.any() else 0, grading)

    def log10_largest(self) -> float:
        """Return the decimal logarithm of the largest modulus among the entries."""
        plain = self.with_grading(None)
        return number(float(np.max(np.abs(plain.array), initial=0.0)), plain.exponent).log10()

    def collapse(self) -> "Scaled":
        """Return the same array ungraded, with exponent 0 if all its entries are then normal doubles."""
        plain = self.with_grading(None)
        moduli = np.abs(plain.array)
        moduli = moduli[moduli > 0]
        ends = (moduli.min(), moduli.max()) if moduli.size else ()
        if not all(math.isfinite(number(float(end), plain.exponent).value()) for end in ends):
            return plain
        return Scaled(shift_exponents(plain.array, plain.exponent), 0)


class ScaledNumber(NamedTuple):
    """A number ``mantissa * 2**exponent``; the mantissa is not negative."""

    mantissa: float
    exponent: int = 0

    def value(self) -> float:
        """Return the number as a double: inf if it is too large, nan if it is too small for its digits."""
        if self.mantissa == 0.0:
            return 0.0
        fraction, shift = math.frexp(self.mantissa)
        if shift + self.exponent > 1024:
            return math.inf
        value = math.ldexp(fraction, shift + self.exponent)
        # below the smallest normal number doubles have fewer digits
        return value if math.frexp(value) == (fraction, shift + self.exponent) else math.nan

    def log10(self) -> float:
        """Return the decimal logarithm, -inf for an exact 0; finite for every other number."""
        value = self.value()
        if value == 0.0:
            return -math.inf
        if math.isfinite(value):
            return math.log10(value)
        return math.log10(self.mantissa) + self.exponent * LOG10_2

    def log2(self) -> float:
        """Return the binary logarithm, -inf for an exact 0; finite for every other number."""
        return math.log2(self.mantissa) + self.exponent if self.mantissa else -math.inf

    def value_or_none(self) -> float | None:
        """Return the number as a double, or None if it is outside the range of a double."""
        value = self.value()
        return value if math.isfinite(value) else None

    def times(self, other: "ScaledNumber") -> "ScaledNumber":
        """Return the product."""
        return number(self.mantissa * other.mantissa, self.exponent + other.exponent)


def number(mantissa: float, exponent: int = 0) -> ScaledNumber:
    """Return ``mantissa * 2**exponent`` with a mantissa in [0.5, 1)."""
    fraction, shift = math.frexp(mantissa)
    return ScaledNumber(fraction, exponent + shift if fraction else 0)


def number_power(base: float, steps: int) -> ScaledNumber:
    """Return ``base**steps`` for a base that is not negative, by repeated squaring.

    Examples
    --------
    >>> number_power(2.0, 10**18).log10() / 10**18 == LOG10_2
    True
    """
    result, square = ScaledNumber(1.0), number(base)
    while steps:
        if steps & 1:
            result = result.times(square)
        square, steps = square.times(square), steps >> 1
    return result


def elementwise_power(values: NDArray[Any], steps: int) -> NDArray[Any]:
    """Return the power ``steps`` of each of ``values``, of modulus at most about 1, by repeated squaring."""
    result, square = np.ones_like(values), values
    while steps:
        if steps & 1:
            result = result * square
        square, steps = square * square, steps >> 1
    return result


def log10_of(mantissas: NDArray[Any], exponents: NDArray[Any] | int = 0) -> NDArray[np.float64]:
    """Return log₁₀ of ``mantissas * 2**exponents``, elementwise; −inf for an exact 0.

    Examples
    --------
    >>> log10_of(np.array([1.0, 0.5, 0.0]), np.array([0, -1999, 7])).round(6).tolist()
    [0.0, -602.059991, -inf]
    """
    mantissas = np.asarray(mantissas, np.float64)
    fractions, shifts = np.frexp(mantissas)
    shifts = shifts + np.asarray(exponents, np.int64)
    inside = (shifts > -1021) & (shifts <= 1024)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        whole = np.log10(np.ldexp(fractions, np.clip(shifts, -1021, 1024)))
        apart = np.log10(fractions) + shifts * LOG10_2
    return np.asarray(np.where(inside | (fractions == 0), whole, apart))


def from_log10(log10: float) -> float:
    """Return 10**log10 as a double: inf if it is too large, nan if it is too small but not 0.

    Examples
    --------
    >>> from_log10(2.0), from_log10(-400.0), from_log10(-math.inf)
    (100.0, nan, 0.0)
    """
    if log10 == -math.inf:
        return 0.0
    if math.isnan(log10) or log10 < math.log10(SMALLEST_NORMAL_DOUBLE):
        return math.nan
    try:
        return float(10.0**log10)
    except OverflowError:
        return math.inf


def largest_part(array: NDArray[Any], axis: int | None = None) -> NDArray[np.float64]:
    """Return the largest |Re| or |Im| of the entries: a modulus may overflow even if both are in range."""
    parts = (array.real, array.imag) if np.iscomplexobj(array) else (array,)
    return np.asarray(np.max([np.max(np.abs(part), axis=axis, initial=0.0) for part in parts], axis=0))


def largest_exponents(
    array: NDArray[Any], shifts: NDArray[np.int64], axis: int | None = None
) -> NDArray[np.int64]:
    """Return the exponents of the largest entries of ``array * 2**shifts`` along an axis.

    The exponent of 0 is `ZERO_EXPONENT`.
    """
    exponents = np.frexp(np.abs(array))[1] + shifts
    return np.asarray(np.where(array != 0, exponents, ZERO_EXPONENT).max(axis=axis, initial=ZERO_EXPONENT))


def shift_exponents(array: NDArray[Any], exponent: int | NDArray[np.int64]) -> NDArray[Any]:
    """Return ``array * 2**exponent``, which is exact if the result is a normal double."""
    if isinstance(exponent, int):
        exponent = max(-5000, min(5000, exponent))  # beyond, all is 0 or inf
    else:
        exponent = np.clip(exponent, -5000, 5000)
    result: NDArray[Any] = np.ldexp(array.real, exponent)
    return result + 1j * np.ldexp(array.imag, exponent) if np.iscomplexobj(array) else result
