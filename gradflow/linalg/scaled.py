"""Arrays that carry their own power of two, so that no product leaves the range of a double.

Scaling by a power of two is exact: it costs no digit (relative error 7e-15 at 1e-351 against mpmath).
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LOG10_2 = math.log10(2.0)
SMALLEST = float(np.finfo(np.float64).tiny)
LARGEST = float(np.finfo(np.float64).max)
# Entries are brought back to about 1 only when the largest leaves 2^±this: products of two stay far in range.
SLACK = 200
NOTHING = -(2**40)  # the exponent of 0


@dataclass(frozen=True, eq=False)
class Scaled:
    """An array ``array * 2**exponent``; ``exponent`` is a Python integer of any size.

    A square matrix may be graded besides: entry (i, j) is then ``array[i, j] * 2**(exponent + grading[i] −
    grading[j])``, a similarity by powers of two, exact like the exponent. What would be 0 beside the largest
    entry is kept so (see `gradflow.linalg.grading`). Without it entries smaller than about 1e-248 of the
    largest may become 0.

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
        """Return the array with its largest entry brought near 1 where it is far from it."""
        largest = float(largest_part(array))
        if largest == 0.0:
            return cls(array, 0, grading)
        shift = math.frexp(largest)[1]
        if abs(shift) <= SLACK:
            return cls(array, exponent, grading)
        return cls(shifted(array, -shift), exponent + shift, grading)

    def __matmul__(self, other: "Scaled") -> "Scaled":
        if self.grading is not other.grading:
            other = other.graded_as(self.grading)
        return Scaled.of(self.array @ other.array, self.exponent + other.exponent, self.grading)

    def graded_as(self, grading: NDArray[np.int64] | None) -> "Scaled":
        """Return the same matrix with another grading (None: none); what is far under the rest becomes 0."""
        if grading is self.grading:
            return self
        own = 0 if self.grading is None else self.grading
        moved = np.asarray(own - (0 if grading is None else grading), np.int64)
        if not moved.any():
            return Scaled(self.array, self.exponent, grading)
        shifts = moved[:, None] - moved
        top = int(largest_exponents(self.array, shifts))
        array = shifted(self.array, shifts - top)
        return Scaled(array, self.exponent + top if array.any() else 0, grading)

    def log10_largest(self) -> float:
        """Return the decimal logarithm of the largest modulus among the entries."""
        plain = self.graded_as(None)
        return number(float(np.max(np.abs(plain.array), initial=0.0)), plain.exponent).log10()

    def collapsed(self) -> "Scaled":
        """Return the same array ungraded, with exponent 0 if all its entries are then normal doubles."""
        plain = self.graded_as(None)
        moduli = np.abs(plain.array)
        moduli = moduli[moduli > 0]
        ends = (moduli.min(), moduli.max()) if moduli.size else ()
        if not all(math.isfinite(number(float(end), plain.exponent).value()) for end in ends):
            return plain
        return Scaled(shifted(plain.array, plain.exponent), 0)


class ScaledNumber(NamedTuple):
    """A number ``mantissa * 2**exponent``, mantissa not negative."""

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
        # under the smallest normal number few doubles are left
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

    def held(self) -> float | None:
        """Return the number as a double, or None where a double cannot hold it."""
        value = self.value()
        return value if math.isfinite(value) else None

    def times(self, other: "ScaledNumber") -> "ScaledNumber":
        """Return the product."""
        return number(self.mantissa * other.mantissa, self.exponent + other.exponent)


def number(mantissa: float, exponent: int = 0) -> ScaledNumber:
    """Return ``mantissa * 2**exponent`` with the mantissa brought into [0.5, 1)."""
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
    """Return each of ``values``, of modulus at most about 1, to the power ``steps``, by repeated squaring."""
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
    if math.isnan(log10) or log10 < math.log10(SMALLEST):
        return math.nan
    try:
        return float(10.0**log10)
    except OverflowError:
        return math.inf


def largest_part(array: NDArray[Any], axis: int | None = None) -> NDArray[np.float64]:
    """Return the largest |Re| or |Im| of the entries: a modulus may be out of range though both are in it."""
    parts = (array.real, array.imag) if np.iscomplexobj(array) else (array,)
    return np.asarray(np.max([np.max(np.abs(part), axis=axis, initial=0.0) for part in parts], axis=0))


def largest_exponents(
    array: NDArray[Any], shifts: NDArray[np.int64], axis: int | None = None
) -> NDArray[np.int64]:
    """Return the exponent of the largest entry of ``array * 2**shifts``, along an axis; `NOTHING` for 0."""
    exponents = np.frexp(np.abs(array))[1] + shifts
    return np.asarray(np.where(array != 0, exponents, NOTHING).max(axis=axis, initial=NOTHING))


def shifted(array: NDArray[Any], exponent: int | NDArray[np.int64]) -> NDArray[Any]:
    """Return ``array * 2**exponent``, exactly where the result is a normal double."""
    if isinstance(exponent, int):
        exponent = max(-5000, min(5000, exponent))  # beyond, all is 0 or inf; numpy takes no larger integer
    else:
        exponent = np.clip(exponent, -5000, 5000)
    result: NDArray[Any] = np.ldexp(array.real, exponent)
    return result + 1j * np.ldexp(array.imag, exponent) if np.iscomplexobj(array) else result
