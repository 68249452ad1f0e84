"""Matrices that are never formed: each factor of a product only knows how to act."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Action = Callable[[int, Array], Array]  # k from 0, block → A_{k+1} block
SAFE = 1e120  # between it and its inverse the square of a row is no reason to even out rows
LEAST = {8: -1021, 4: -125}  # exponents of the smallest normal numbers, by bytes


class UnresolvedError(ArithmeticError):
    """A matrix is so near a singular one that its inverse has no digit right."""


class Factor(ABC):
    """A matrix J of shape (..., n, n) that acts on blocks of columns.

    A factor defines its action (`matmat` and `rmatmat`) or its entries (`todense`), whichever is cheaper;
    each follows from the other. Leading axes, if any, run over independent matrices.
    """

    staged: ClassVar[bool] = False  # whether D or L of `graded` is another than the identity

    @property
    @abstractmethod
    def size(self) -> int:
        """Rows and columns n."""

    def matmat(self, block: Array) -> Array:
        """Return J X for a block X of shape (..., n, m)."""
        result: Array = self.todense() @ block
        return result

    def rmatmat(self, block: Array) -> Array:
        """Return Jᵀ Y for a block Y of shape (..., n, m)."""
        result: Array = transposed(self.todense()) @ block
        return result

    def todense(self) -> Array:
        """Return J itself, shape (..., n, n)."""
        return self.matmat(np.eye(self.size, dtype=self.dtype))

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Of the entries."""

    def scaled(self, block: Array) -> Array:
        """Return D X, D diagonal, as in `graded`."""
        return block

    def graded(self, block: Array) -> Array:
        """Return Z X, where J = L Z D with det L = ±1 and L near the identity.

        Columns of J may be tiny, and rows differ by less than rounding takes; those of Z D keep their digits
        if Z is applied to orthonormal columns once D X has been made so.
        """
        return self.matmat(block)

    def mixed(self, block: Array) -> Array:
        """Return L Y, L as in `graded`."""
        return block

    def log_abs_det(self) -> Array:
        """Return ln |det J|, −inf where J is singular.

        By elimination with pivots from the largest row down: rows of different size keep their digits.
        """
        dense = self.todense()
        with np.errstate(over="ignore", under="ignore"):
            squares = np.einsum("...ij,...ij->...i", dense, dense)
        if ((squares > SAFE) | (squares < 1.0 / SAFE)).any():
            scale, dense = self._equilibrated()
            with np.errstate(divide="ignore"):
                return np.asarray(np.linalg.slogdet(dense)[1] - np.log(scale[..., 0]).sum(axis=-1))
        return np.asarray(np.linalg.slogdet(dense)[1])

    def solve(self, block: Array) -> Array:
        """Return J⁻¹ X.

        Raises
        ------
        numpy.linalg.LinAlgError
            Where J is singular.
        UnresolvedError
            Where J is singular to rounding (see `inverse_error` too).
        """
        scale, even = self._equilibrated()
        return solved(even, scale * block)

    def rsolve(self, block: Array) -> Array:
        """Return J⁻ᵀ Y; raises as `solve` does."""
        scale, even = self._equilibrated()
        result: Array = scale * solved(transposed(even), block)
        return result

    def inverse_error(self) -> float:
        """Return the relative error that rounding may give J⁻¹, rows having been evened out."""
        return inverse_error(self._equilibrated()[1])

    def _equilibrated(self) -> tuple[Array, Array]:
        """Return D and D J, rows near 1 by powers of two: a saturated unit must not spoil the pivots."""
        dense = self.todense()
        largest = np.abs(dense).max(axis=-1, keepdims=True)
        scale = np.ldexp(
            np.ones_like(largest), -np.maximum(np.frexp(largest)[1], LEAST[largest.dtype.itemsize])
        )
        return scale, scale * dense


@dataclass(frozen=True, eq=False)
class Dense(Factor):
    """A matrix as it is, shape (..., n, n)."""

    matrix: Array

    @property
    def size(self) -> int:
        """Rows n."""
        return int(self.matrix.shape[-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the matrix."""
        return self.matrix.dtype

    def matmat(self, block: Array) -> Array:
        """Return J X."""
        result: Array = self.matrix @ block
        return result

    @property
    def staged(self) -> bool:  # type: ignore[override]
        """Always: columns are evened out by powers of two."""
        return True

    def scaled(self, block: Array) -> Array:
        """Return D X, D the size of each column, 0 for one of zeros."""
        return self._sizes()[:, None] * block

    def graded(self, block: Array) -> Array:
        """Return J D⁻¹ X."""
        sizes = self._sizes()
        result: Array = (self.matrix / np.where(sizes > 0, sizes, 1.0)) @ block
        return result

    def _sizes(self) -> Array:
        """Return powers of two of the size of each column."""
        largest = np.abs(self.matrix).max(axis=-2)
        return np.where(largest > 0, np.ldexp(1.0, np.frexp(largest)[1] - 1), 0.0)

    def todense(self) -> Array:
        """Return J itself."""
        return self.matrix


def transposed(matrix: Array) -> Array:
    """Return the matrices of shape (..., m, n) as (..., n, m)."""
    return matrix.swapaxes(-1, -2)


def solved(matrix: Array, block: Array) -> Array:
    """Return A⁻¹ X for A of shape (n, n); raises as `Factor.solve` does."""
    size = np.abs(matrix)
    if not (size.any(axis=0).all() and size.any(axis=1).all()):
        raise np.linalg.LinAlgError("a row or a column is 0")
    try:
        return np.linalg.solve(matrix, block)
    except np.linalg.LinAlgError:  # a pivot is 0, but whether it was before rounding nobody knows
        raise UnresolvedError("singular to rounding") from None


def inverse_error(matrix: Array) -> float:
    """Return the relative error that rounding may give the inverse: eps times the condition number."""
    try:
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return 0.0  # which `solved` says more of
    size = float(np.linalg.norm(matrix, 1)) * float(np.linalg.norm(inverse, 1))
    return float(np.finfo(matrix.dtype).eps) * size
