"""How much of a long product is rounding: random errors that ride along in a few more columns.

A computed step is fl(A X) = A X + F, where F_ij is a sum of rounding errors of the terms A_il X_lj (Higham
2002, section 3.1), each about eps times its term and independent of the others as a rule. All later
factors act on F as they act on X. So columns E G, G Gaussian, go along in the block: before each step a
column of noise is made, as large in each row as that row of X times `TERM_ERROR` eps; the step turns it
into what the rounding of each row amounts to; and it is added to the columns with signs drawn anew for
every row. ‖E G‖ estimates ‖E‖_F, too small by the factor `CAUTION` with a probability under 1e-6 (χ² with
`COLUMNS` degrees of freedom).

That also covers what falls under the smallest number of the type: noise of `FLOOR` is added in every row.
"""

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.norms import frobenius_norm

Array = NDArray[Any]

COLUMNS = 7  # and one for the noise of the step: eight, as many as suit the processor
CAUTION = 10.0
SIGNS = 16  # arrays of random signs
TERM_ERROR = 4.0  # in eps: the rounding of a product, of its sum, and of the entries of the factor
EPS = {8: float(np.finfo(np.float64).eps), 4: float(np.finfo(np.float32).eps)}  # by bytes
# Some thousand times the smallest number there is, beside which everything lost to underflow is small.
FLOOR = {8: 2.0**-1060, 4: 2.0**-135}
# A larger relative error means that digits were lost beside something larger: worth a second look.
SUSPICIOUS = {8: 1e-4, 4: 2e-2}
SQUARES = {8: (1e-280, 1e280), 4: (1e-25, 1e30)}  # between which sums of squares have their digits
NO_DIGIT = 0.1  # a norm with a larger relative error is given as an upper bound


def row_sizes(block: Array) -> Array:
    """Return the Euclidean norm of every row of a block (n, m), whether or not its squares are in range."""
    squares = np.einsum("ij,ij->i", block, block)
    low, high = SQUARES[block.dtype.itemsize]
    sizes = np.sqrt(squares)
    if low < squares.min() and squares.max() < high:
        return np.asarray(sizes)
    apart = np.flatnonzero(~((squares > low) & (squares < high)))
    if apart.size:
        largest = np.abs(block[apart]).max(axis=1, keepdims=True, initial=0.0)
        usable = np.where((largest > 0) & (largest < np.inf), largest, 1.0)
        near = block[apart] / usable
        with np.errstate(over="ignore"):  # inf is refused by who asks
            sizes[apart] = usable[:, 0] * np.sqrt(np.einsum("ij,ij->i", near, near))
    return np.asarray(sizes)


class RoundingColumns:
    """Draws the noise, and reads what it has become; columns lie as [E G | noise of the step]."""

    def __init__(self, dtype: np.dtype[Any], generator: np.random.Generator, columns: int = COLUMNS) -> None:
        self.eps, self.floor = TERM_ERROR * EPS[dtype.itemsize], FLOOR[dtype.itemsize]
        self.generator, self.columns = generator, columns
        self._signs: Array | None = None
        self._next = 0

    def noise(self, sizes: Array) -> Array:
        """Return a column of noise for rows of these sizes (..., n)."""
        noise = self.generator.standard_normal(sizes.shape)
        noise *= self.eps * sizes + self.floor
        return noise

    def absorb(self, errors: Array) -> None:
        """Add to columns (..., n, columns + 1), in place, what the step has made of the noise in the last."""
        errors[..., :-1] += self.signs(errors[..., :-1].shape) * (errors[..., -1:] + self.floor)

    def signs(self, shape: tuple[int, ...]) -> Array:
        """Return random signs, int8: one of a few drawn once, for what they go with is random as well."""
        if self._signs is None or self._signs.shape[1:] != shape:
            self._signs = 2 * self.generator.integers(0, 2, (SIGNS, *shape), np.int8) - 1
        self._next = (self._next + 1) % SIGNS
        return np.asarray(self._signs[self._next])

    def size(self, errors: Array) -> float:
        """Return an upper bound of ‖E‖_F, given columns (n, columns + 1)."""
        return CAUTION * frobenius_norm(errors[:, :-1]) / sqrt(self.columns)

    def sizes(self, errors: Array) -> Array:
        """Return upper bounds of ‖E‖_F, given columns (..., n, columns + 1) of many products near 1.

        Where a product is 0 its rounding is 0 as well only if nothing was lost.
        """
        largest = np.abs(errors[..., :-1]).max(axis=(-2, -1), initial=0.0)
        usable = np.where(largest > 0, largest, 1.0)
        near = errors[..., :-1] / usable[..., None, None]
        norms = usable * np.sqrt(np.einsum("...ij,...ij->...", near, near))
        return np.asarray(CAUTION / sqrt(self.columns) * norms)
