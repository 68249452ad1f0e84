"""The largest singular value of matrices that change slowly, each search starting where one ended."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.products import transposed

Array = NDArray[Any]
Product = Callable[[Array], Array]

GRAM = 48  # columns up to which the Gram matrix is quicker than any iteration
NOISE = 0.01  # relative: what lets a direction be found that the last start had nothing of
MOST = 64  # Lanczos steps after which the Gram matrix is taken instead


class Found(NamedTuple):
    """A singular value, and a bound of its relative error."""

    value: float
    error: float


class LeadingSingularValue:
    """Largest singular values of A_1, A_2, … (each m × r, r the same until `turn` says otherwise).

    Golub–Kahan–Lanczos with full reorthogonalisation (Golub & Kahan 1965; Golub & Van Loan 2013, section
    10.4), started from the last right singular vector and a little noise. It stops when the residual ρ of the
    singular pair says that the value is right: the error is at most ρ, and at most ρ²/gap (Parlett 1998,
    section 11.7). After `MOST` steps the eigenvalues of the Gram matrix answer.

    Parameters
    ----------
    generator : numpy.random.Generator
        Where the noise comes from.
    tolerance : float
        Relative error allowed.

    Examples
    --------
    >>> leading = LeadingSingularValue(np.random.default_rng(0))
    >>> round(leading.of(np.diag(np.linspace(1.0, 3.0, 40))).value, 9)
    3.0
    """

    def __init__(self, generator: np.random.Generator, tolerance: float = 1e-11) -> None:
        self.generator, self.tolerance = generator, tolerance
        self.vector: Array | None = None
        self.left: Array | None = None
        self.steps = 0

    def turn(self, matrix: Array) -> None:
        """Say that the next matrices have another basis of columns: ``matrix`` is the last one, in it."""
        if self.left is not None:
            self.vector = transposed(matrix) @ self.left
            size = float(np.sqrt(self.vector @ self.vector))
            self.vector = self.vector / size if size else None

    def of(self, matrix: Array) -> Found:
        """Return the largest singular value of a matrix (m, r) that is at hand."""
        if matrix.shape[1] <= GRAM:
            return Found(gram_norm(matrix), matrix.shape[1] * float(np.finfo(matrix.dtype).eps))
        adjoint = matrix.T
        found = self.of_operator(matrix.__matmul__, adjoint.__matmul__, matrix.shape, matrix.dtype)
        if found.error <= self.tolerance:
            return found
        return Found(gram_norm(matrix), min(matrix.shape) * float(np.finfo(matrix.dtype).eps))

    def of_operator(
        self,
        matvec: Product,
        rmatvec: Product,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        most: int = MOST,
    ) -> Found:
        """Return that of an operator known by A v and Aᵀ u alone; its error may be over the tolerance."""
        rows, columns = shape
        most = min(most, rows, columns)
        right, left = np.empty((most + 1, columns), dtype), np.empty((most, rows), dtype)
        bidiagonal = np.zeros((most, most))
        right[0] = self._start(columns, dtype)
        value, error, mixture, ending = 0.0, np.inf, np.ones(1), np.ones(1)
        due = max(1, self.steps - 2)
        for k in range(most):
            u = matvec(right[k])
            u -= left[:k].T @ (left[:k] @ u)
            alpha = float(np.sqrt(u @ u))
            bidiagonal[k, k] = alpha
            left[k] = u / alpha if alpha else u
            v = rmatvec(left[k])
            v -= right[: k + 1].T @ (right[: k + 1] @ v)
            beta = float(np.sqrt(v @ v))
            # Judging costs as much as several steps: about when the last search ended, and then now and then.
            if k >= due or k + 1 == most or beta <= self.tolerance * alpha:
                value, error, mixture, ending = self._judge(bidiagonal[: k + 1, : k + 1], beta)
                if error <= self.tolerance:
                    break
                due = k + 1 + k // 6
            if k + 1 < most:
                bidiagonal[k, k + 1] = beta
                right[k + 1] = v / beta if beta else v
        self.vector, self.left = mixture @ right[: len(mixture)], ending @ left[: len(ending)]
        self.steps = len(mixture)
        return Found(value, error)

    def _judge(self, bidiagonal: Array, beta: float) -> tuple[float, float, Array, Array]:
        """Return the largest singular value so far, its relative error, and its vectors, right and left."""
        squares, right = np.linalg.eigh(bidiagonal.T @ bidiagonal)
        top = float(np.sqrt(max(squares[-1], 0.0)))
        if not top:
            return 0.0, 0.0, right[:, -1], right[:, -1]
        left = bidiagonal @ right[:, -1] / top
        residual = beta * abs(float(left[-1]))
        gap = top - float(np.sqrt(max(squares[-2], 0.0))) if len(squares) > 1 else top
        return top, min(residual, residual**2 / gap if gap else np.inf) / top, right[:, -1], left

    def _start(self, columns: int, dtype: np.dtype[Any]) -> Array:
        noise = self.generator.standard_normal(columns)
        noise /= np.sqrt(noise @ noise)
        start = noise if self.vector is None else self.vector + NOISE * noise
        return np.asarray(start / np.sqrt(start @ start), dtype)


def gram_norm(matrix: Array) -> float:
    """Return ‖A‖₂ as the root of the smaller Gram matrix's largest eigenvalue (relative error n·eps)."""
    return float(np.sqrt(max(gram_values(matrix)[-1], 0.0)))


def gram_values(matrices: Array) -> Array:
    """Return the eigenvalues of the smaller Gram matrices of matrices (..., m, r), ascending."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    gram = transposed(matrices) @ matrices if tall else matrices @ transposed(matrices)
    return np.linalg.eigvalsh(gram)
