"""Columns in which every entry has its own power of two, so that no entry is lost beside a larger one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.columns import Columns
from gradflow.linalg.scaled import ZERO_EXPONENT

Array = NDArray[Any]
EXTENDED_DTYPE = np.dtype(np.longdouble)  # 15 bits of exponent if the processor has them, else a double
# Bits between the largest and the smallest entry of a level. Products with three doubles of any size stay in
# the extended range, and so do their sums.
LEVEL_SPREAD_BITS = max(200, -int(np.finfo(EXTENDED_DTYPE).minexp) // 2 - 1000)
# Factors below the range of a double may take an entry out of the extended range. Narrow levels, whose
# largest entries are near 2**LIFT_BITS, leave as much room below as possible. Three of the largest doubles
# still fit above.
NARROW_SPREAD_BITS = 200
LIFT_BITS = max(0, int(np.finfo(EXTENDED_DTYPE).maxexp) - 3 * 1024 - 300)
MAX_SHIFT_BITS = 40_000  # a shift by this many bits turns any extended number into 0


@dataclass(frozen=True, eq=False)
class EntrywiseColumns:
    """Entries ``array * 2**exponents``, both (n, m): extended doubles in ±[½, 1) or 0, and integers.

    A linear map acts on them level by level. A level holds the entries within `LEVEL_SPREAD_BITS` bits of the
    largest one in their column. So a map costs as many products as there are levels, usually one.

    Examples
    --------
    >>> apart = EntrywiseColumns.of(Columns(np.array([[1.0], [1e-300]]), np.array([0])))
    >>> for _ in range(40):
    ...     apart = apart.gather(
    ...         [Columns(level.array * [[1.0], [1e-300]], level.exponents) for level in apart.levels()]
    ...     )
    >>> len(apart.levels()), (apart.exponents[:, 0] * np.log10(2.0)).round().tolist()
    (2, [0.0, -12300.0])
    """

    array: Array
    exponents: NDArray[np.int64]

    @classmethod
    def of(cls, columns: "Columns | EntrywiseColumns") -> "EntrywiseColumns":
        """Return columns with a power of two for every entry."""
        return (
            columns
            if isinstance(columns, EntrywiseColumns)
            else _normalize_entries(columns.array, columns.exponents)
        )

    def gather(self, levels: Sequence[Columns]) -> "EntrywiseColumns":
        """Return the sum of levels, entry by entry."""
        total = _normalize_entries(levels[0].array, levels[0].exponents)
        for level in levels[1:]:
            total = total.plus(_normalize_entries(level.array, level.exponents))
        return total

    def levels(self, spread: int = LEVEL_SPREAD_BITS, lift: int = 0) -> list[Columns]:
        """Return columns with one power of two each whose sum is these columns. There is at least one level.

        ``spread`` is the largest number of bits between the largest and the smallest entry of a column. The
        largest entry is near two to the power ``lift``.
        """
        levels: list[Columns] = []
        rest = self.array != 0
        while rest.any() or not levels:
            top = np.where(rest, self.exponents, ZERO_EXPONENT).max(axis=0, initial=ZERO_EXPONENT)
            level = rest & (self.exponents >= top - spread)
            shifts = np.where(level, self.exponents - top + lift, 0)
            levels.append(Columns(np.ldexp(np.where(level, self.array, 0), shifts), top - lift))
            rest &= ~level
        return levels

    def __getitem__(self, places: slice | NDArray[np.intp]) -> "EntrywiseColumns":
        return EntrywiseColumns(self.array[:, places], self.exponents[:, places])

    @property
    def empty(self) -> bool:
        """Whether all columns are zeros."""
        return not self.array.any()

    def zeros(self) -> "EntrywiseColumns":
        """Return the same number of columns of zeros."""
        return EntrywiseColumns(np.zeros_like(self.array), np.full_like(self.exponents, ZERO_EXPONENT))

    def put(self, places: slice | NDArray[np.intp], others: "EntrywiseColumns") -> None:
        """Replace the columns at ``places``, in place."""
        self.array[:, places], self.exponents[:, places] = others.array, others.exponents

    def prepend_zeros(self, count: int) -> "EntrywiseColumns":
        """Return the columns with ``count`` columns of zeros before them."""
        before = ((0, 0), (count, 0))
        return EntrywiseColumns(
            np.pad(self.array, before), np.pad(self.exponents, before, constant_values=ZERO_EXPONENT)
        )

    def plus_first(self, others: "EntrywiseColumns") -> "EntrywiseColumns":
        """Return the columns, with ``others`` added to the first of them. ``others`` has at most as many."""
        count = others.array.shape[1]
        if not count:
            return self
        added = self[:count].plus(others)
        return EntrywiseColumns(
            np.concatenate([added.array, self.array[:, count:]], axis=1),
            np.concatenate([added.exponents, self.exponents[:, count:]], axis=1),
        )

    def plus(self, other: "EntrywiseColumns") -> "EntrywiseColumns":
        """Return the sums, entry by entry."""
        top = np.maximum(self.exponents, other.exponents)
        parts = [
            np.ldexp(term.array, np.maximum(term.exponents - top, -MAX_SHIFT_BITS)) for term in (self, other)
        ]
        return _normalize_entries(parts[0] + parts[1], top)


def _normalize_entries(array: Array, exponents: NDArray[np.int64]) -> EntrywiseColumns:
    """Return the same entries with mantissas in ±[½, 1)."""
    mantissas, shifts = np.frexp(array.astype(EXTENDED_DTYPE, copy=False))
    return EntrywiseColumns(
        mantissas, np.where(mantissas != 0, exponents + shifts.astype(np.int64), ZERO_EXPONENT)
    )
