"""Columns whose every entry carries its own power of two, so that none is lost beside a larger one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.columns import NOWHERE, Columns

Array = NDArray[Any]
EXTENDED = np.dtype(np.longdouble)  # 15 bits of exponent where the processor has them, else a double
# Bits between the largest and the smallest entry of a level: products with three doubles of any size stay in
# the extended range, and so do their sums.
LEVEL_SPREAD = max(200, -int(np.finfo(EXTENDED).minexp) // 2 - 1000)
# Factors that are under the range of a double themselves may take an entry out of the extended range. Levels
# that are narrow, with their largest entries at two to that, leave as much room below as there is; three of
# the largest doubles still fit above.
NARROW_SPREAD = 200
LIFT = max(0, int(np.finfo(EXTENDED).maxexp) - 3 * 1024 - 300)
FURTHEST = 40_000  # bits by which a shift makes 0 of any number in the extended range


@dataclass(frozen=True, eq=False)
class EntrywiseColumns:
    """Entries ``array * 2**exponents``, both (n, m): extended doubles in ±[½, 1) or 0, and integers.

    A linear map acts on them level by level: a level holds what is within `LEVEL_SPREAD` bits of its largest
    entry, column by column. So a map costs as many products as there are levels, one as a rule.

    Examples
    --------
    >>> apart = EntrywiseColumns.of(Columns(np.array([[1.0], [1e-300]]), np.array([0])))
    >>> for _ in range(40):
    ...     apart = apart.gathered(
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
        return columns if isinstance(columns, EntrywiseColumns) else _near(columns.array, columns.exponents)

    def gathered(self, levels: Sequence[Columns]) -> "EntrywiseColumns":
        """Return the sum of levels, entry by entry."""
        total = _near(levels[0].array, levels[0].exponents)
        for level in levels[1:]:
            total = total.plus(_near(level.array, level.exponents))
        return total

    def levels(self, spread: int = LEVEL_SPREAD, lift: int = 0) -> list[Columns]:
        """Return columns whose sum these are, each with one power of two a column; at least one.

        ``spread`` is how many bits may lie between the largest and the smallest entry of a column. The
        largest is near two to the power ``lift``.
        """
        found: list[Columns] = []
        rest = self.array != 0
        while rest.any() or not found:
            top = np.where(rest, self.exponents, NOWHERE).max(axis=0, initial=NOWHERE)
            level = rest & (self.exponents >= top - spread)
            shifts = np.where(level, self.exponents - top + lift, 0)
            found.append(Columns(np.ldexp(np.where(level, self.array, 0), shifts), top - lift))
            rest &= ~level
        return found

    def __getitem__(self, places: slice | NDArray[np.intp]) -> "EntrywiseColumns":
        return EntrywiseColumns(self.array[:, places], self.exponents[:, places])

    @property
    def empty(self) -> bool:
        """Whether there are none but columns of zeros."""
        return not self.array.any()

    def zeros(self) -> "EntrywiseColumns":
        """Return as many columns of zeros."""
        return EntrywiseColumns(np.zeros_like(self.array), np.full_like(self.exponents, NOWHERE))

    def put(self, places: slice | NDArray[np.intp], others: "EntrywiseColumns") -> None:
        """Replace some columns, in place."""
        self.array[:, places], self.exponents[:, places] = others.array, others.exponents

    def after(self, count: int) -> "EntrywiseColumns":
        """Return the columns with ``count`` columns of zeros before them."""
        before = ((0, 0), (count, 0))
        return EntrywiseColumns(
            np.pad(self.array, before), np.pad(self.exponents, before, constant_values=NOWHERE)
        )

    def plus_first(self, others: "EntrywiseColumns") -> "EntrywiseColumns":
        """Return the columns with others, no more than there are, added to the first of them."""
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
        parts = [np.ldexp(one.array, np.maximum(one.exponents - top, -FURTHEST)) for one in (self, other)]
        return _near(parts[0] + parts[1], top)


def _near(array: Array, exponents: NDArray[np.int64]) -> EntrywiseColumns:
    """Return the same entries with mantissas in ±[½, 1)."""
    mantissas, shifts = np.frexp(array.astype(EXTENDED, copy=False))
    return EntrywiseColumns(mantissas, np.where(mantissas != 0, exponents + shifts.astype(np.int64), NOWHERE))
