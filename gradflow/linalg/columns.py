"""Columns with one power of two for each, so that a small column is not lost beside a large one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.floating import SMALLEST_NORMAL_DOUBLE
from gradflow.linalg.scaled import SLACK_BITS, ZERO_EXPONENT, Scaled

Array = NDArray[Any]
UNSCALED_RANGE = 2.0**-SLACK_BITS, 2.0**SLACK_BITS
MIN_SAFE_SHIFT = -600  # bits: numbers near 1 that are shifted by less stay far above the smallest double
# A shifted entry below the smallest normal double loses digits. That counts as a loss unless the sum in its
# place has at least this modulus.
MIN_COVERING_SUM = 2.0**-960
# One or two steps may lose an entry of an error signal that is smaller, beside entries near 1.
TINY_ENTRY = 2.0**-800


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
        """Return the columns, scaled so that the largest entry of each column is near 1."""
        sizes = np.abs(array).max(axis=0, initial=0.0)
        if isinstance(exponents, int):
            exponents = np.full(len(sizes), exponents, np.int64)
        least, largest = sizes.min(initial=1.0), sizes.max(initial=1.0)
        if UNSCALED_RANGE[0] < least and largest < UNSCALED_RANGE[1]:
            return cls(array, exponents)
        if (
            not least
            and largest < UNSCALED_RANGE[1]
            and UNSCALED_RANGE[0] < sizes[sizes > 0].min(initial=1.0)
        ):
            return cls(array, np.where(sizes > 0, exponents, ZERO_EXPONENT))
        shifts = np.frexp(sizes)[1].astype(np.int64)
        shifts = np.where(np.abs(shifts) > SLACK_BITS, shifts, 0)
        return cls(np.ldexp(array, -shifts), np.where(sizes > 0, exponents + shifts, ZERO_EXPONENT))

    def gather(self, levels: "Sequence[Columns]") -> "Columns":
        """Return the image of the only level, scaled so that its entries are near 1.

        Raises
        ------
        FloatingPointError
            If an entry is so much smaller than the largest of its column that the next step may lose it.
        """
        made = Columns.of(levels[0].array, levels[0].exponents)
        if made.has_tiny_entries():
            raise FloatingPointError("entries of a column are too far apart for one power of two")
        return made

    def levels(self) -> "list[Columns]":
        """Return these columns as the only level, because each has only one power of two."""
        return [self]

    def has_tiny_entries(self) -> bool:
        """Return whether an entry other than 0 is below `TINY_ENTRY`."""
        sizes = np.abs(self.array)
        least = sizes.min(initial=1.0)
        return bool(least < TINY_ENTRY and (least > 0 or ((sizes > 0) & (sizes < TINY_ENTRY)).any()))

    def __getitem__(self, places: slice | NDArray[np.intp]) -> "Columns":
        return Columns(self.array[:, places], self.exponents[places])

    @property
    def empty(self) -> bool:
        """Whether all columns are zeros."""
        return not (self.exponents > ZERO_EXPONENT // 2).any()

    def zeros(self) -> "Columns":
        """Return the same number of columns of zeros."""
        return Columns(np.zeros_like(self.array, order="F"), np.full_like(self.exponents, ZERO_EXPONENT))

    def put(self, places: slice | NDArray[np.intp], others: "Columns") -> None:
        """Replace the columns at ``places``, in place."""
        self.array[:, places], self.exponents[places] = others.array, others.exponents

    def prepend_zeros(self, count: int) -> "Columns":
        """Return the columns with ``count`` columns of zeros before them."""
        if not count:
            return self
        nothing = np.zeros((len(self.array), count), order="F")
        return Columns(
            np.concatenate([nothing, self.array], axis=1),
            np.concatenate([np.full(count, ZERO_EXPONENT), self.exponents]),
        )

    def plus_first(self, others: "Columns") -> "Columns":
        """Return the columns, with ``others`` added to the first of them. ``others`` has at most as many."""
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
            If an entry of the smaller column is lost, and the sum in its place is small as well.
        """
        if (self.exponents == other.exponents).all():
            return Columns.of(self.array + other.array, self.exponents)
        top = np.maximum(self.exponents, other.exponents)
        with np.errstate(under="ignore"):  # an entry beside a larger one is no loss
            parts = [np.ldexp(term.array, np.maximum(term.exponents - top, -5000)) for term in (self, other)]
        total = parts[0] + parts[1]
        for term, part in zip((self, other), parts, strict=True):
            if (top - term.exponents).max(initial=0) > SLACK_BITS:
                lost = (
                    (np.abs(part) < SMALLEST_NORMAL_DOUBLE)
                    & (np.abs(total) < MIN_COVERING_SUM)
                    & (term.array != 0)
                )
                if lost.any():
                    raise FloatingPointError("entries of a sum are too far apart for one power of two")
        return Columns.of(total, top)


def column_scales(exponents: NDArray[np.int64], top: int | NDArray[np.int64]) -> Array:
    """Return 2**(exponents − top), and 1 for columns of zeros.

    Examples
    --------
    >>> column_scales(np.array([7, 5, ZERO_EXPONENT, ZERO_EXPONENT + 9]), 7)
    array([1.  , 0.25, 1.  , 1.  ])
    """
    shifts = np.maximum(exponents - top, -5000)
    return np.ldexp(1.0, np.where(exponents > ZERO_EXPONENT // 2, shifts, 0))


@dataclass(eq=False)
class Sum:
    """A sum of arrays of one shape that have powers of two of their own. It changes in place."""

    array: Array
    exponent: int

    @classmethod
    def of(cls, first: Scaled) -> "Sum":
        """Return a sum with one term."""
        return cls(first.array.copy(), first.exponent)

    def add(self, part: Scaled, sign: int = 1) -> None:
        """Add another array, or subtract it if ``sign`` is −1."""
        shift = part.exponent - self.exponent
        if MIN_SAFE_SHIFT < shift < 0 and self.array.any():
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
