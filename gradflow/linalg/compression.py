"""A long product in fewer columns: what it has lost the rank for is cut off, and watched from then on.

Y (n × r) is known up to an orthogonal matrix from the right, which no norm sees. The eigenvectors of YᵀY or,
for a large Y, QR with column pivoting of Yᵀ (Golub & Van Loan 2013, section 5.4.2) bring it into a form whose
columns fall off as the singular values do; those under ``CUT`` of the whole are dropped. Dropping columns E
changes Y Yᵀ by E Eᵀ, so a norm changes by the *square* of what was dropped: ‖E‖ ≤ δ‖Y‖ in the Frobenius norm
costs that norm a relative error of δ²/2 at most, and the spectral norm no more in absolute terms; the caution
below covers that up to ranks of a thousand.

What was dropped may grow back beside what was kept, if the leading directions die later. So a few Gaussian
combinations E G go on through all later factors: ‖E G‖ estimates ‖E‖, too small by the factor
`CAUTION` with a probability under 1e-6 (for a fixed E, χ² with `PROBES` degrees of freedom).
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.norms import frobenius_norm

Array = NDArray[Any]

PROBES = 4
CAUTION = 40.0
CUT = 3e-3  # of what is allowed, so that there is room to grow
SMALL = 256  # rows or columns up to which eigenvectors are as cheap as a pivoted QR, and keep fewer columns
WORTH = 0.9  # a form with more columns than this share is no gain


@dataclass
class Compressible:
    """The columns kept and, behind them, the probes of all those dropped: one block (n, width + probes)."""

    block: Array
    width: int
    exponent: int = 0

    @property
    def kept(self) -> Array:
        """The columns that are known, shape (n, width)."""
        return self.block[:, : self.width]

    @property
    def dropped(self) -> Array:
        """Gaussian combinations of the columns dropped, shape (n, PROBES), or (n, 0) where none were."""
        return self.block[:, self.width :]

    def copy(self) -> "Compressible":
        """Return the same product, free to be changed."""
        return Compressible(self.block, self.width, self.exponent)

    def rescale(self, size: float) -> None:
        """Divide by the power of two that is nearest above ``size``, and remember it."""
        shift = int(np.frexp(size)[1])
        self.block = np.ldexp(self.block, -shift)
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
        self.block = np.hstack([ordered[:, :width], probes + self.dropped if self.dropped.size else probes])
        self.width = width
        return True

    def sizes(self, rows: slice | Array) -> tuple[float, float, float]:
        """Return Frobenius norms: of all, of ``rows`` of what is kept, and a bound of those dropped."""
        whole = frobenius_norm(self.block)
        everything = isinstance(rows, slice) and rows == slice(None)
        lost = 0.0
        if self.width < self.block.shape[1]:
            lost = frobenius_norm(self.dropped if everything else self.dropped[rows])
        if not everything:
            kept = frobenius_norm(self.kept[rows])
        else:
            kept = whole * sqrt(max(1.0 - (lost / whole) ** 2, 0.0)) if lost else whole
        return whole, kept, CAUTION * lost / sqrt(PROBES)


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
