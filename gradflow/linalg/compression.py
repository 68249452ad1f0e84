"""A long product in fewer columns: columns of negligible size are dropped, and watched from then on.

Norms see Y (n × r) only up to an orthogonal matrix on the right. The eigenvectors of YᵀY bring Y into a form
whose columns decay like the singular values. For a large Y, QR with column pivoting of Yᵀ does so (Golub &
Van Loan 2013, section 5.4.2). The columns below a share of the whole are dropped. Dropping columns E
changes Y Yᵀ by E Eᵀ, so a norm changes by the *square* of what was dropped. If ‖E‖ ≤ δ‖Y‖ in the Frobenius
norm, the relative error of that norm is at most δ²/2, and the spectral norm has at most the same absolute
error. The caution factor below covers that up to ranks of a thousand.

The dropped columns may grow again beside the kept ones if the leading directions die later. So a few
Gaussian combinations E G go through all later factors. ‖E G‖ estimates ‖E‖. It is too small by the factor
`DROPPED_CAUTION` with a probability below 1e-6 (for a fixed E, χ² with `PROBE_COUNT` degrees of freedom).
"""

from dataclasses import dataclass, replace
from math import hypot, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.norms import frobenius_norm
from gradflow.linalg.products import Action
from gradflow.linalg.rounding import ROUNDING_COLUMNS, RoundingColumns, row_sizes

Array = NDArray[Any]

PROBE_COUNT = 4
DROPPED_CAUTION = 40.0
CUT_SHARE = 3e-3  # of the allowed share, so that the dropped columns have room to grow
SQUARED_CUT = {8: 1e-8, 4: 1e-4}  # by bytes of a number: the share below which squares are only rounding
# By bytes of a number: the share below which columns are dropped if a part of the columns is measured too.
# Its norm changes by what was dropped itself, not by the square, because dropped and kept columns are mixed.
PART_CUT_SHARE = {8: 1e-13, 4: 1e-6}
# Up to this many rows or columns, eigenvectors are as cheap as a pivoted QR, and leave fewer columns.
MAX_EIGENVECTOR_SIZE = 256
MAX_KEPT_SHARE = 0.9  # of the columns: dropping fewer of them is not worth it


class BlockSizes(NamedTuple):
    """Frobenius norms of the measured rows of several products, and bounds of their errors, (k,) each."""

    seen: Array
    dropped: Array
    rounding: Array


class Sizes(NamedTuple):
    """Frobenius norms of the whole product and of its measured rows, and bounds of their errors."""

    whole: float
    seen: float
    dropped: float
    rounding: float


@dataclass
class Compressible:
    """The kept columns, probes of the dropped ones, and columns of rounding, as one block (n, width + …)."""

    block: Array
    width: int
    rounding: RoundingColumns
    row_norms: Array  # of the kept columns, (n,)
    part: slice | Array | None = None  # columns of the start whose norm `measure_part` returns
    part_turn: Array | None = None  # (width, m): the kept columns times it have the norm of the part
    exponent: int = 0

    @classmethod
    def of(
        cls, start: Array, generator: np.random.Generator, part: slice | Array | None = None
    ) -> "Compressible":
        """Return a product with all its columns, (n, r): nothing is dropped yet."""
        rounding = RoundingColumns(start.dtype, generator)
        nothing = np.zeros((len(start), ROUNDING_COLUMNS + 1), start.dtype)
        return cls(np.hstack([start, nothing]), start.shape[1], rounding, row_sizes(start), part)

    @property
    def kept_columns(self) -> Array:
        """The kept columns, shape (n, width)."""
        return self.block[:, : self.width]

    @property
    def dropped_probes(self) -> Array:
        """Gaussian combinations of the dropped columns, (n, PROBE_COUNT), or (n, 0) if there are none."""
        return self.block[:, self.width : -ROUNDING_COLUMNS - 1]

    @property
    def rounding_columns(self) -> Array:
        """The columns of `RoundingColumns`, shape (n, ROUNDING_COLUMNS + 1)."""
        return self.block[:, -ROUNDING_COLUMNS - 1 :]

    def copy(self) -> "Compressible":
        """Return a copy that may change."""
        return replace(self, block=self.block.copy())

    def advance(self, act: Action, k: int) -> None:
        """Multiply by A_{k+1}."""
        self.block[:, -1] = self.rounding.noise(self.row_norms)
        self.block = act(k, self.block)
        self.rounding.absorb(self.rounding_columns)
        self.row_norms = row_sizes(self.kept_columns)

    def rescale(self, size: float) -> None:
        """Divide by the power of two that is nearest above ``size``, and add it to the exponent."""
        shift = int(np.frexp(size)[1])
        self.block, self.row_norms = np.ldexp(self.block, -shift), np.ldexp(self.row_norms, -shift)
        self.exponent += shift

    def compress(self, cut: float, generator: np.random.Generator) -> bool:
        """Drop columns down to a share ``cut`` of the whole; return whether that saved enough columns."""
        if self.part is not None:
            cut = min(cut, PART_CUT_SHARE[self.block.dtype.itemsize])
        is_sharp = cut < SQUARED_CUT[self.block.dtype.itemsize]
        ordered, rotation = _order_columns(self.kept_columns, rotated=self.part is not None, sharp=is_sharp)
        squares = np.asarray(np.sum(ordered**2, axis=0, dtype=np.float64))
        tails = np.sqrt(np.cumsum(squares[::-1])[::-1])
        width = int(np.count_nonzero(tails > cut * tails[0]))
        if width > MAX_KEPT_SHARE * self.width:
            return False
        dropped = ordered[:, width:]
        noise = generator.standard_normal((dropped.shape[1], PROBE_COUNT)).astype(dropped.dtype)
        probes = dropped @ noise
        probes = probes + self.dropped_probes if self.dropped_probes.size else probes
        self.block = np.hstack([ordered[:, :width], probes, self.rounding_columns])
        self.width = width
        if self.part is not None and rotation is not None:
            kept = rotation[:, :width]
            turn = kept[self.part].T if self.part_turn is None else kept.T @ self.part_turn
            self.part_turn = np.linalg.qr(turn.T)[1].T  # the same norms with fewer columns
        return True

    def measure_part(self, rows: slice | Array) -> float:
        """Return the Frobenius norm of rows of the columns of the part, which later rotations have mixed."""
        seen = self.kept_columns[rows]
        return frobenius_norm(seen[:, self.part] if self.part_turn is None else seen @ self.part_turn)

    def measure_blocks(self, blocks: Array) -> BlockSizes:
        """Return the sizes of the measured rows of earlier blocks, (k, rows, columns), with the same columns.

        They are those of `sizes`, if no square is out of range.
        """
        squares = np.einsum("kij,kij->kj", blocks, blocks)
        probes = squares[:, self.width : -ROUNDING_COLUMNS - 1].sum(axis=1)
        return BlockSizes(
            np.sqrt(squares[:, : self.width].sum(axis=1)),
            DROPPED_CAUTION / sqrt(PROBE_COUNT) * np.sqrt(probes),
            self.rounding.sizes(blocks[..., -ROUNDING_COLUMNS - 1 :]),
        )

    def sizes(self, rows: slice | Array) -> Sizes:
        """Return the size of the product, of its measured rows, and of their errors."""
        everything = isinstance(rows, slice) and rows == slice(None)
        kept = seen = frobenius_norm(self.row_norms)
        dropped = lost = frobenius_norm(self.dropped_probes) if self.dropped_probes.size else 0.0
        if not everything:
            seen = frobenius_norm(self.row_norms[rows])
            lost = frobenius_norm(self.dropped_probes[rows]) if self.dropped_probes.size else 0.0
        rounding = self.rounding.size(self.rounding_columns[rows])
        return Sizes(hypot(kept, dropped), seen, DROPPED_CAUTION * lost / sqrt(PROBE_COUNT), rounding)


def _order_columns(columns: Array, *, rotated: bool, sharp: bool) -> tuple[Array, Array | None]:
    """Return Y Q for an orthogonal Q such that its columns decay like the singular values, and Q if asked.

    ``sharp`` tells that columns of less than `SQUARED_CUT` of the whole must be in order, too.
    """
    if min(columns.shape) <= MAX_EIGENVECTOR_SIZE and not (rotated or sharp):
        # Squaring mixes directions below 1e-8 of the whole, but they are all dropped together.
        _, vectors = np.linalg.eigh(columns.T @ columns)
        return np.asarray(columns @ vectors[:, ::-1]), None
    # Imported here: smaller products need no scipy, whose import takes as long as such a product.
    from scipy.linalg import qr

    *rotation, triangle, order = qr(
        columns.T, mode="economic" if rotated else "r", pivoting=True, check_finite=False
    )
    result = np.empty((len(columns), len(triangle)), columns.dtype)
    result[order] = triangle.T
    return result, rotation[0] if rotated else None
