"""The share of rounding in a long product: random errors that are carried along in a few more columns.

A computed step is fl(A X) = A X + F. F_ij is a sum of rounding errors of the terms A_il X_lj (Higham 2002,
section 3.1), each about eps times its term and usually independent of the others. All later factors act on F
as they act on X. So columns E G, with Gaussian G, are carried along in the block. Before each step a column
of noise is made: each of its entries is as large as that row of X times `TERM_ERROR_UNITS` eps. The step
turns it into the size of the rounding of each row, which is added to the columns with new random signs for
every row. ‖E G‖ estimates ‖E‖_F. It is too small by the factor `ROUNDING_CAUTION` with a probability below
1e-6 (χ² with `ROUNDING_COLUMNS` degrees of freedom).

This also covers numbers below the smallest one of the type: noise of `NOISE_FLOOR` is added in every row.
"""

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.norms import frobenius_norm

Array = NDArray[Any]

ROUNDING_COLUMNS = 7  # with the noise of the step there are eight, which suits the processor
ROUNDING_CAUTION = 10.0
SIGN_ARRAYS = 16  # that are drawn once and used in turn
NOISE_NUMBERS = 2**12  # that are drawn at once: a call for few numbers takes longer than they do
TERM_ERROR_UNITS = 4.0  # in eps: the rounding of a product, of its sum, and of the entries of the factor
EPS_BY_BYTES = {8: float(np.finfo(np.float64).eps), 4: float(np.finfo(np.float32).eps)}  # by bytes
# Several thousand times the smallest number of the type: underflow loses less than this.
NOISE_FLOOR = {8: 2.0**-1060, 4: 2.0**-135}
# A larger relative error means that digits were lost beside a larger entry, so the norm is computed again.
SUSPICIOUS_ERROR = {8: 1e-4, 4: 2e-2}
SAFE_SQUARE_SUMS = {8: (1e-280, 1e280), 4: (1e-25, 1e30)}  # sums of squares in between are accurate
NO_DIGIT_ERROR = 0.1  # a norm with a larger relative error is reported as an upper bound


def row_sizes(block: Array) -> Array:
    """Return the Euclidean norm of every row of a block (n, m), even if its squares are out of range."""
    squares = np.einsum("ij,ij->i", block, block)
    low, high = SAFE_SQUARE_SUMS[block.dtype.itemsize]
    sizes = np.sqrt(squares)
    if low < squares.min() and squares.max() < high:
        return np.asarray(sizes)
    apart = np.flatnonzero(~((squares > low) & (squares < high)))
    if apart.size:
        largest = np.abs(block[apart]).max(axis=1, keepdims=True, initial=0.0)
        usable = np.where((largest > 0) & (largest < np.inf), largest, 1.0)
        near = block[apart] / usable
        with np.errstate(over="ignore"):  # the caller refuses inf
            sizes[apart] = usable[:, 0] * np.sqrt(np.einsum("ij,ij->i", near, near))
    return np.asarray(sizes)


class RoundingColumns:
    """Draws the noise and measures the columns of rounding, laid out as [E G | noise of the step]."""

    def __init__(
        self, dtype: np.dtype[Any], generator: np.random.Generator, columns: int = ROUNDING_COLUMNS
    ) -> None:
        self.eps, self.floor = TERM_ERROR_UNITS * EPS_BY_BYTES[dtype.itemsize], NOISE_FLOOR[dtype.itemsize]
        self.generator, self.columns = generator, columns
        self._signs: Array | None = None
        self._noise: list[Array] = []
        self._next = 0

    def noise(self, sizes: Array) -> Array:
        """Return a column of noise for rows of these sizes (..., n)."""
        if not self._noise or self._noise[-1].shape != sizes.shape:
            count = max(NOISE_NUMBERS // max(sizes.size, 1), 1)
            self._noise = list(self.generator.standard_normal((count, *sizes.shape)))
        noise: Array = self._noise.pop()
        noise *= self.eps * sizes + self.floor
        return noise

    def absorb(self, errors: Array) -> None:
        """Add the image of the noise (the last column) to the others (..., n, columns + 1), in place."""
        errors[..., :-1] += self.signs(errors[..., :-1].shape) * (errors[..., -1:] + self.floor)

    def signs(self, shape: tuple[int, ...]) -> Array:
        """Return random signs, int8: one of a few arrays that are drawn once. The errors are random too."""
        if self._signs is None or self._signs.shape[1:] != shape:
            self._signs = 2 * self.generator.integers(0, 2, (SIGN_ARRAYS, *shape), np.int8) - 1
        self._next = (self._next + 1) % SIGN_ARRAYS
        return np.asarray(self._signs[self._next])

    def size(self, errors: Array) -> float:
        """Return an upper bound of ‖E‖_F, given columns (n, columns + 1)."""
        return ROUNDING_CAUTION * frobenius_norm(errors[:, :-1]) / sqrt(self.columns)

    def sizes(self, errors: Array) -> Array:
        """Return upper bounds of ‖E‖_F, given columns (..., n, columns + 1) of many products near 1.

        The rounding of a product of 0 is 0 only if nothing was lost.
        """
        largest = np.abs(errors[..., :-1]).max(axis=(-2, -1), initial=0.0)
        usable = np.where(largest > 0, largest, 1.0)
        near = errors[..., :-1] / usable[..., None, None]
        norms = usable * np.sqrt(np.einsum("...ij,...ij->...", near, near))
        return np.asarray(ROUNDING_CAUTION / sqrt(self.columns) * norms)
