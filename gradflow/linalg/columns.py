"""Columns that carry each its own power of two, so that none is lost beside the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.scaled import SLACK, Scaled

Array = NDArray[Any]
NEAR = 2.0**-SLACK, 2.0**SLACK
NO_MORE_THAN = -600  # a shift by which numbers near 1 stay far from the end of a double
# A shift to that size or under leaves less than all digits of a double; what is in its place counts, unless
# it is larger than this itself.
LOST, COUNTS = 2.0**-1022, 2.0**-960
# An error signal has entries under that, beside others near 1, where a step or two may lose them.
TINY = 2.0**-800
NOWHERE = -(2**40)  # the exponent of a column of zeros: under every other, and under sums with any other


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns ``array[:, j] * 2**exponents[j]``: array (n, m), exponents (m,) integers.

    Examples
    --------
    >>> two = Columns.of(np.array([[2.0**-900, 3.0]]))
    >>> two.array, two.exponents
    (array([[0.5, 3. ]]), array([-899,    0]))
    """

    array: Array
    exponents: NDArray[np.int64]

    @classmethod
    def of(cls, array: Array, exponents: NDArray[np.int64] | int = 0) -> "Columns":
        """Return the columns with the largest entry of each near 1 where it is far from it."""
        sizes = np.abs(array).max(axis=0, initial=0.0)
        if isinstance(exponents, int):
            exponents = np.full(len(sizes), exponents, np.int64)
        least, largest = sizes.min(initial=1.0), sizes.max(initial=1.0)
        if NEAR[0] < least and largest < NEAR[1]:
            return cls(array, exponents)
        if not least and largest < NEAR[1] and NEAR[0] < sizes[sizes > 0].min(initial=1.0):
            return cls(array, np.where(sizes > 0, exponents, NOWHERE))
        shifts = np.frexp(sizes)[1].astype(np.int64)
        shifts = np.where(np.abs(shifts) > SLACK, shifts, 0)
        return cls(np.ldexp(array, -shifts), np.where(sizes > 0, exponents + shifts, NOWHERE))

    def gathered(self, levels: "Sequence[Columns]") -> "Columns":
        """Return what a map has made of the one level that these are, near 1 again.

        Raises
        ------
        FloatingPointError
            Where an entry is so far under the largest of its column that the next step may lose it.
        """
        made = Columns.of(levels[0].array, levels[0].exponents)
        if made.has_tiny_entries():
            raise FloatingPointError("entries of a column are too far apart for one power of two")
        return made

    def levels(self) -> "list[Columns]":
        """Return these alone: a column has one power of two."""
        return [self]

    def has_tiny_entries(self) -> bool:
        """Whether an entry other than 0 is under `TINY`."""
        sizes = np.abs(self.array)
        least = sizes.min(initial=1.0)
        return bool(least < TINY and (least > 0 or ((sizes > 0) & (sizes < TINY)).any()))

    def __getitem__(self, places: slice | NDArray[np.intp]) -> "Columns":
        return Columns(self.array[:, places], self.exponents[places])

    @property
    def empty(self) -> bool:
        """Whether there are none but columns of zeros."""
        return not (self.exponents > NOWHERE // 2).any()

    def zeros(self) -> "Columns":
        """Return as many columns of zeros."""
        return Columns(np.zeros_like(self.array, order="F"), np.full_like(self.exponents, NOWHERE))

    def put(self, places: slice | NDArray[np.intp], others: "Columns") -> None:
        """Replace some columns, in place."""
        self.array[:, places], self.exponents[places] = others.array, others.exponents

    def after(self, count: int) -> "Columns":
        """Return the columns with ``count`` columns of zeros before them."""
        if not count:
            return self
        nothing = np.zeros((len(self.array), count), order="F")
        return Columns(
            np.concatenate([nothing, self.array], axis=1),
            np.concatenate([np.full(count, NOWHERE), self.exponents]),
        )

    def plus_first(self, others: "Columns") -> "Columns":
        """Return the columns with others, no more than there are, added to the first of them."""
        count = len(others.exponents)
        if not count:
            return self
        added = self[:count].plus(others)
        if count == len(self.exponents):
            return added
        return Columns(
            np.concatenate([added.array, self.array[:, count:]], axis=1),
            np.concatenate([added.exponents, self.exponents[count:]]),
        )

    def plus(self, other: "Columns") -> "Columns":
        """Return the sums, column by column.

        Raises
        ------
        FloatingPointError
            Where an entry of the smaller column is lost, and nothing larger stands in its place.
        """
        if (self.exponents == other.exponents).all():
            return Columns.of(self.array + other.array, self.exponents)
        top = np.maximum(self.exponents, other.exponents)
        with np.errstate(under="ignore"):  # what stands beside something larger is no loss
            parts = [np.ldexp(one.array, np.maximum(one.exponents - top, -5000)) for one in (self, other)]
        total = parts[0] + parts[1]
        for one, part in zip((self, other), parts, strict=True):
            if (top - one.exponents).max(initial=0) > SLACK:
                lost = (np.abs(part) < LOST) & (np.abs(total) < COUNTS) & (one.array != 0)
                if lost.any():
                    raise FloatingPointError("entries of a sum are too far apart for one power of two")
        return Columns.of(total, top)


def factors(exponents: NDArray[np.int64], top: int | NDArray[np.int64]) -> Array:
    """Return 2**(exponents − top); of columns of zeros, whose size is nobody's concern, 1.

    Examples
    --------
    >>> factors(np.array([7, 5, NOWHERE, NOWHERE + 9]), 7)
    array([1.  , 0.25, 1.  , 1.  ])
    """
    shifts = np.maximum(exponents - top, -5000)
    return np.ldexp(1.0, np.where(exponents > NOWHERE // 2, shifts, 0))


@dataclass(eq=False)
class Sum:
    """A sum of arrays of one shape, each with a power of two of its own; changed in place."""

    array: Array
    exponent: int

    @classmethod
    def of(cls, first: Scaled) -> "Sum":
        """Return a sum of one."""
        return cls(first.array.copy(), first.exponent)

    def add(self, part: Scaled, sign: int = 1) -> None:
        """Add another array, or take it away where ``sign`` is −1."""
        shift = part.exponent - self.exponent
        if NO_MORE_THAN < shift < 0 and self.array.any():
            self.array += (sign * 2.0**shift) * part.array
        elif shift and part.array.any():
            if not self.array.any():
                self.exponent = part.exponent
            top = max(part.exponent, self.exponent)
            self.array *= np.ldexp(1.0, max(self.exponent - top, -5000))
            self.array += np.ldexp(sign * part.array, max(part.exponent - top, -5000))
            near = Scaled.of(self.array, top)
            self.array, self.exponent = near.array, near.exponent
        elif sign > 0:
            self.array += part.array
        else:
            self.array -= part.array
