"""Powers of a small matrix with every entry enclosed: the digits of none are lost, whatever its size.

Entries are integers times powers of two, with bounds of their rounding. Such numbers have no largest and no
smallest one, and as many digits as cancellation calls for.
"""

import math
from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradflow.linalg.powers import LOG2_SMALLEST_DOUBLE, TrackedPower
from gradflow.linalg.scaled import Scaled

MAX_ENCLOSED_ROWS = 3
SETTLED_BITS = 60  # of an entry that is known well enough
SPARE_BITS = 68
DOUBLE_BITS = 53
MAX_BITS = 4096  # past which an entry that is still open is next to nothing beside the others


class EnclosedNumber(NamedTuple):
    """A number within ``radius * 2**exponent`` of ``middle * 2**exponent``, all three integers."""

    middle: int
    radius: int
    exponent: int

    @property
    def top(self) -> int:
        """An exponent of two that the modulus is under."""
        return self.exponent + max(self.middle.bit_length(), self.radius.bit_length()) + 1

    @property
    def is_zero(self) -> bool:
        """Whether it is exactly 0."""
        return not (self.middle or self.radius)

    def move_to(self, exponent: int) -> "EnclosedNumber":
        """Return the number with another exponent; what is cut off is added to the radius."""
        down = exponent - self.exponent
        if down <= 0:
            return EnclosedNumber(self.middle << -down, self.radius << -down, exponent)
        down = min(down, self.top - self.exponent)
        middle, radius = self.middle >> down, self.radius >> down
        is_exact = middle << down == self.middle and not self.radius
        return EnclosedNumber(middle, radius + (0 if is_exact else 2), exponent)

    def round_to(self, bits: int) -> "EnclosedNumber":
        """Return the number with so many bits at most."""
        return self.move_to(max(self.exponent, self.top - bits))

    def times(self, other: "EnclosedNumber") -> "EnclosedNumber":
        """Return the product."""
        radius = (
            abs(self.middle) * other.radius + abs(other.middle) * self.radius + self.radius * other.radius
        )
        return EnclosedNumber(self.middle * other.middle, radius, self.exponent + other.exponent)

    def plus(self, other: "EnclosedNumber", bits: int) -> "EnclosedNumber":
        """Return the sum, to so many bits below the larger of the two."""
        if self.is_zero or other.is_zero:
            return other if self.is_zero else self
        exponent = max(min(self.exponent, other.exponent), max(self.top, other.top) - bits)
        first, second = self.move_to(exponent), other.move_to(exponent)
        return EnclosedNumber(first.middle + second.middle, first.radius + second.radius, exponent)


class EnclosedEntry(NamedTuple):
    """A complex number by its two parts."""

    real: EnclosedNumber
    imag: EnclosedNumber

    @property
    def top(self) -> int:
        """An exponent of two that both parts are under; for 0 as well, which is under each."""
        return max((part.top for part in self if not part.is_zero), default=0)

    @property
    def is_zero(self) -> bool:
        """Whether it is exactly 0."""
        return self.real.is_zero and self.imag.is_zero

    def has_bits(self, bits: int) -> bool:
        """Return whether it is known to so many bits, or exactly."""
        error = max((part.exponent + part.radius.bit_length() for part in self if part.radius), default=None)
        size = max((part.exponent + part.middle.bit_length() for part in self if part.middle), default=None)
        return error is None or (size is not None and size - error >= bits)


ZERO, ONE = EnclosedNumber(0, 0, 0), EnclosedNumber(1, 0, 0)
_Matrix: TypeAlias = list[list[EnclosedNumber]]


def enclose_power(matrix: NDArray[Any], steps: int) -> list[list[EnclosedEntry]]:
    """Return the entries of W^steps, each with a bound of how far it may be off.

    Every entry has `SETTLED_BITS` bits or more, or is exact, or is some `MAX_BITS` bits under the largest of
    the products that it is a sum of.

    Parameters
    ----------
    matrix : array (n, n)
        W, as it is given: doubles, or pairs of them, are exact here. At most `MAX_ENCLOSED_ROWS` rows are
        fast.
    steps : int
        Exponent, 0 or more, of any size.

    Examples
    --------
    >>> ((entry,),) = enclose_power(np.array([[3.0]]), 100)
    >>> abs(entry.real.middle * 2**entry.real.exponent - 3**100) <= entry.real.radius * 2**entry.real.exponent
    True
    """
    size, real = len(matrix), _list_real_entries(matrix)
    bits = SETTLED_BITS + SPARE_BITS + 2 * steps.bit_length()
    while True:
        power = _raise(real, steps, bits)
        entries = [
            [
                EnclosedEntry(power[row][column], power[row + size][column] if len(power) > size else ZERO)
                for column in range(size)
            ]
            for row in range(size)
        ]
        if bits >= MAX_BITS or all(entry.has_bits(SETTLED_BITS) for entry in chain(*entries)):
            return entries
        bits *= 2


def _list_real_entries(matrix: NDArray[Any]) -> _Matrix:
    """Return W exactly; a complex one A + iB as [[A, −B], [B, A]], whose powers have the same form."""
    if np.iscomplexobj(matrix):
        matrix = np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])
    return [[_enclose_double(float(entry)) for entry in row] for row in matrix]


def _enclose_double(value: float) -> EnclosedNumber:
    numerator, denominator = value.as_integer_ratio()
    trailing = (numerator & -numerator).bit_length() - 1 if numerator else 0
    return EnclosedNumber(numerator >> trailing, 0, trailing - denominator.bit_length() + 1)


def _raise(matrix: _Matrix, steps: int, bits: int) -> _Matrix:
    """Return a power by squaring."""
    size = len(matrix)
    result = [[ONE if row == column else ZERO for column in range(size)] for row in range(size)]
    square, left = matrix, steps
    while left:
        if left & 1:
            result = square if left == steps == 1 else _multiply(result, square, bits)
        left >>= 1
        if left:
            square = _multiply(square, square, bits)
    return result


def _multiply(first: _Matrix, second: _Matrix, bits: int) -> _Matrix:
    columns = list(zip(*second, strict=True))
    return [[_sum_products(row, column, bits) for column in columns] for row in first]


def _sum_products(
    row: Iterable[EnclosedNumber], column: Iterable[EnclosedNumber], bits: int
) -> EnclosedNumber:
    total = ZERO
    for left, right in zip(row, column, strict=True):
        if not (left.is_zero or right.is_zero):
            total = total.plus(left.times(right), 2 * bits)
    return total.round_to(bits)


def round_power(entries: list[list[EnclosedEntry]], dtype: DTypeLike) -> TrackedPower:
    """Return an enclosed power in doubles, with its norms and a bound of how far it is off."""
    flat = [part for entry in chain(*entries) for part in entry]
    top = max((part.exponent + part.middle.bit_length() - 1 for part in flat if part.middle), default=0)
    parts = np.array([[[_to_double(part, top) for part in entry] for entry in row] for row in entries])
    array = parts[..., 0] + 1j * parts[..., 1] if np.issubdtype(dtype, np.complexfloating) else parts[..., 0]
    if all(part.is_zero for part in flat):
        return TrackedPower.measure(Scaled(array), -math.inf, -math.inf)
    # what was open before, what the rounding of each entry adds, and what underflows
    radii = [part.exponent + part.radius.bit_length() - top for part in flat if part.radius]
    still_open = [float(max(radius, -MAX_BITS)) for radius in radii]
    rounding = math.log2(np.linalg.norm(parts)) - DOUBLE_BITS + 1 if parts.any() else -math.inf
    underflow = LOG2_SMALLEST_DOUBLE + math.log2(parts.size)
    error = float(np.logaddexp2.reduce([*still_open, rounding, underflow]))
    return TrackedPower.measure(Scaled.of(array, top), error + top, underflow + top)


def _to_double(part: EnclosedNumber, top: int) -> float:
    """Return a part divided by 2**top."""
    if not part.middle:
        return 0.0
    rounded = part.round_to(DOUBLE_BITS + 10)
    return math.ldexp(float(rounded.middle), max(rounded.exponent - top, -5000))
