"""Matrices that are never formed: each factor of a product only defines how it acts."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Action = Callable[[int, Array], Array]  # k from 0, block → A_{k+1} block
MAX_EVEN_SQUARE = 1e120  # rows are scaled only if a squared norm leaves this or its inverse
MIN_NORMAL_EXPONENT = {8: -1021, 4: -125}  # exponents of the smallest normal numbers, by bytes


class UnresolvedError(ArithmeticError):
    """A matrix is so close to a singular one that its inverse has no correct digit."""


class Factor(ABC):
    """A matrix J of shape (..., n, n) that acts on blocks of columns.

    A factor defines its action (`matmat` and `rmatmat`) or its entries (`todense`), whichever is cheaper.
    Each follows from the other. Leading axes, if any, run over independent matrices.
    """

    has_stages: ClassVar[bool] = False  # whether D or L of `apply_graded` is not the identity

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of rows and columns, n."""

    def matmat(self, block: Array) -> Array:
        """Return J X for a block X of shape (..., n, m)."""
        result: Array = self.todense() @ block
        return result

    def rmatmat(self, block: Array) -> Array:
        """Return Jᵀ Y for a block Y of shape (..., n, m)."""
        result: Array = transpose_matrices(self.todense()) @ block
        return result

    def todense(self) -> Array:
        """Return J itself, shape (..., n, n)."""
        return self.matmat(np.eye(self.size, dtype=self.dtype))

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """The type of the entries."""

    def apply_scale(self, block: Array) -> Array:
        """Return D X for the diagonal D of `apply_graded`."""
        return block

    def apply_graded(self, block: Array) -> Array:
        """Return Z X, where J = L Z D with det L = ±1 and L near the identity.

        Columns of J may be tiny, and its rows may differ by less than rounding. The columns of Z D keep their
        digits if D X is made orthonormal before Z is applied.
        """
        return self.matmat(block)

    def apply_mixing(self, block: Array) -> Array:
        """Return L Y for the L of `apply_graded`."""
        return block

    def log_abs_det(self) -> Array:
        """Return ln |det J|, −inf if J is singular.

        Elimination takes its pivots from the largest row down, so that rows of different size keep their
        digits.
        """
        dense = self.todense()
        with np.errstate(over="ignore", under="ignore"):
            squares = np.einsum("...ij,...ij->...i", dense, dense)
        if ((squares > MAX_EVEN_SQUARE) | (squares < 1.0 / MAX_EVEN_SQUARE)).any():
            scale, dense = self._equilibrate()
            with np.errstate(divide="ignore"):
                return np.asarray(np.linalg.slogdet(dense)[1] - np.log(scale[..., 0]).sum(axis=-1))
        return np.asarray(np.linalg.slogdet(dense)[1])

    def solve(self, block: Array) -> Array:
        """Return J⁻¹ X.

        Raises
        ------
        numpy.linalg.LinAlgError
            If J is singular.
        UnresolvedError
            If J is singular to rounding (see also `inverse_error`).
        """
        scale, even = self._equilibrate()
        return solve_matrix(even, scale * block)

    def rsolve(self, block: Array) -> Array:
        """Return J⁻ᵀ Y. Raises the errors of `solve`."""
        scale, even = self._equilibrate()
        result: Array = scale * solve_matrix(transpose_matrices(even), block)
        return result

    def inverse_error(self) -> float:
        """Return the relative error that rounding may cause in J⁻¹, once its rows have similar size."""
        return inverse_error(self._equilibrate()[1])

    def _equilibrate(self) -> tuple[Array, Array]:
        """Return D and D J, with rows near 1 by powers of two: a saturated unit cannot spoil the pivots."""
        dense = self.todense()
        largest = np.abs(dense).max(axis=-1, keepdims=True)
        scale = np.ldexp(
            np.ones_like(largest),
            -np.maximum(np.frexp(largest)[1], MIN_NORMAL_EXPONENT[largest.dtype.itemsize]),
        )
        return scale, scale * dense


@dataclass(frozen=True, eq=False)
class Dense(Factor):
    """A matrix that is given by its entries, shape (..., n, n)."""

    matrix: Array

    @property
    def size(self) -> int:
        """The number of rows, n."""
        return int(self.matrix.shape[-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the matrix."""
        return self.matrix.dtype

    def matmat(self, block: Array) -> Array:
        """Return J X."""
        result: Array = self.matrix @ block
        return result

    @property
    def has_stages(self) -> bool:  # type: ignore[override]
        """Always true: D scales the columns by powers of two."""
        return True

    def apply_scale(self, block: Array) -> Array:
        """Return D X, where D is the size of each column, or 0 for a column of zeros."""
        return self._sizes()[:, None] * block

    def apply_graded(self, block: Array) -> Array:
        """Return J D⁻¹ X."""
        sizes = self._sizes()
        result: Array = (self.matrix / np.where(sizes > 0, sizes, 1.0)) @ block
        return result

    def _sizes(self) -> Array:
        """Return the size of each column, rounded to a power of two."""
        largest = np.abs(self.matrix).max(axis=-2)
        return np.where(largest > 0, np.ldexp(1.0, np.frexp(largest)[1] - 1), 0.0)

    def todense(self) -> Array:
        """Return J itself."""
        return self.matrix


def transpose_matrices(matrix: Array) -> Array:
    """Return matrices of shape (..., m, n) as (..., n, m)."""
    return matrix.swapaxes(-1, -2)


def solve_matrix(matrix: Array, block: Array) -> Array:
    """Return A⁻¹ X for A of shape (n, n). Raises the errors of `Factor.solve`."""
    size = np.abs(matrix)
    if not (size.any(axis=0).all() and size.any(axis=1).all()):
        raise np.linalg.LinAlgError("a row or a column is 0")
    try:
        return np.linalg.solve(matrix, block)
    except np.linalg.LinAlgError:  # a pivot is 0, perhaps only by rounding
        raise UnresolvedError("singular to rounding") from None


def inverse_error(matrix: Array) -> float:
    """Return the relative error that rounding may cause in the inverse: eps times the condition number."""
    try:
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return 0.0  # `solve_matrix` raises an error for this matrix
    size = float(np.linalg.norm(matrix, 1)) * float(np.linalg.norm(inverse, 1))
    return float(np.finfo(matrix.dtype).eps) * size
