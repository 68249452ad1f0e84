"""A long product in fewer columns: what it has lost the rank for is cut off, and watched from then on.

Y (n × r) is known up to an orthogonal matrix from the right, which no norm sees. The eigenvectors of YᵀY or,
for a large Y, QR with column pivoting of Yᵀ (Golub & Van Loan 2013, section 5.4.2) bring it into a form whose
columns fall off as the singular values do; those under ``CUT`` of the whole are dropped. Dropping columns E
changes Y Yᵀ by E Eᵀ, so a norm changes by the *square* of what was dropped: ‖E‖ ≤ δ‖Y‖ in the Frobenius norm
costs that norm a relative error of δ²/2 at most, and the spectral norm no more in absolute terms; the caution
below covers that up to ranks of a thousand.

What was dropped may grow back beside what was kept, if the leading directions die later. So a few Gaussian
combinations E G go on through all later factors: ‖E G‖ estimates ‖E‖, too small by the factor
`DROPPED_CAUTION` with a probability under 1e-6 (for a fixed E, χ² with `PROBES` degrees of freedom).
"""

from dataclasses import dataclass
from math import hypot, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.norms import frobenius_norm
from gradflow.linalg.products import Action
from gradflow.linalg.rounding import COLUMNS, RoundingColumns, row_sizes

Array = NDArray[Any]

PROBES = 4
DROPPED_CAUTION = 40.0
CUT = 3e-3  # of what is allowed, so that there is room to grow
SMALL = 256  # rows or columns up to which eigenvectors are as cheap as a pivoted QR, and keep fewer columns
WORTH = 0.9  # a form with more columns than this share is no gain


class Sizes(NamedTuple):
    """Frobenius norms of all columns, of the rows measured of those kept, and bounds of what these miss."""

    whole: float
    seen: float
    dropped: float
    rounding: float


@dataclass
class Compressible:
    """The columns kept, the probes of all those dropped, and those of rounding: one block (n, width + …)."""

    block: Array
    width: int
    rounding: RoundingColumns
    row_norms: Array  # of the columns kept, (n,)
    exponent: int = 0

    @classmethod
    def of(cls, start: Array, generator: np.random.Generator) -> "Compressible":
        """Return a product in all its columns, (n, r), nothing of it lost so far."""
        rounding = RoundingColumns(start.dtype, generator)
        nothing = np.zeros((len(start), COLUMNS + 1), start.dtype)
        return cls(np.hstack([start, nothing]), start.shape[1], rounding, row_sizes(start))

    @property
    def kept(self) -> Array:
        """The columns that are known, shape (n, width)."""
        return self.block[:, : self.width]

    @property
    def dropped(self) -> Array:
        """Gaussian combinations of the columns dropped, shape (n, PROBES), or (n, 0) where none were."""
        return self.block[:, self.width : -COLUMNS - 1]

    @property
    def errors(self) -> Array:
        """Columns of `RoundingColumns`, shape (n, COLUMNS + 1)."""
        return self.block[:, -COLUMNS - 1 :]

    def copy(self) -> "Compressible":
        """Return the same product, free to be changed."""
        return Compressible(self.block.copy(), self.width, self.rounding, self.row_norms, self.exponent)

    def advance(self, act: Action, k: int) -> None:
        """Multiply by A_{k+1}."""
        self.block[:, -1] = self.rounding.noise(self.row_norms)
        self.block = act(k, self.block)
        self.rounding.absorb(self.errors)
        self.row_norms = row_sizes(self.kept)

    def rescale(self, size: float) -> None:
        """Divide by the power of two that is nearest above ``size``, and remember it."""
        shift = int(np.frexp(size)[1])
        self.block, self.row_norms = np.ldexp(self.block, -shift), np.ldexp(self.row_norms, -shift)
        self.exponent += shift

    def compress(self, allowed: float, generator: np.random.Generator) -> bool:
        """Drop columns down to ``CUT`` times ``allowed``; return whether that was worth it."""
        ordered = _ordered(self.kept)
        squares = np.asarray(np.sum(ordered**2, axis=0, dtype=np.float64))
        tails = np.sqrt(np.cumsum(squares[::-1])[::-1])
        width = int(np.count_nonzero(tails > CUT * allowed * tails[0]))
        if width > WORTH * self.width:
            return False
        dropped = ordered[:, width:]
        noise = generator.standard_normal((dropped.shape[1], PROBES)).astype(dropped.dtype)
        probes = dropped @ noise
        probes = probes + self.dropped if self.dropped.size else probes
        self.block = np.hstack([ordered[:, :width], probes, self.errors])
        self.width = width
        return True

    def sizes(self, rows: slice | Array) -> Sizes:
        """Return how large everything is."""
        everything = isinstance(rows, slice) and rows == slice(None)
        kept = seen = frobenius_norm(self.row_norms)
        dropped = lost = frobenius_norm(self.dropped) if self.dropped.size else 0.0
        if not everything:
            seen = frobenius_norm(self.row_norms[rows])
            lost = frobenius_norm(self.dropped[rows]) if self.dropped.size else 0.0
        rounding = self.rounding.size(self.errors[rows])
        return Sizes(hypot(kept, dropped), seen, DROPPED_CAUTION * lost / sqrt(PROBES), rounding)


def _ordered(columns: Array) -> Array:
    """Return Y Q for an orthogonal Q, so that the columns fall off as the singular values do."""
    if min(columns.shape) <= SMALL:
        # Squaring blurs directions under 1e-8 of the whole among themselves: those that are dropped together.
        _, vectors = np.linalg.eigh(columns.T @ columns)
        return np.asarray(columns @ vectors[:, ::-1])
    # Here, not above: smaller products do without scipy, whose import takes as long as one of them.
    from scipy.linalg import qr

    triangle, order = qr(columns.T, mode="r", pivoting=True, check_finite=False)
    result = np.empty((len(columns), len(triangle)), columns.dtype)
    result[order] = triangle.T
    return result
