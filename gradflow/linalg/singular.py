"""The largest singular value of matrices that change slowly: each search starts where the last one ended."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.products import transpose_matrices
from gradflow.linalg.ritz_values import LanczosTridiagonals
from gradflow.linalg.rounding import EPS_BY_BYTES

Array = NDArray[Any]
Product = Callable[[Array], Array]

MAX_GRAM_COLUMNS = 48  # for so few columns the Gram matrix is quicker than any iteration
# Weights in the start of a search: of the last three leading vectors, because the second may overtake the
# first, and of noise, so that the search can reach new directions.
START_WEIGHTS, START_NOISE = np.array([1.0, 0.3, 0.1]), 0.2
LIKELY_GAP_CAUTION = 10.0  # by which a gap that is not proved is divided
MAX_LANCZOS_STEPS = 64  # for one operator, after which the Gram matrix is used instead


class SingularValueEstimate(NamedTuple):
    """A singular value and a bound of its relative error."""

    value: float
    error: float


class LeadingSingularValue:
    """Largest singular values of A_1, A_2, … (each m × r, with the same r unless `turn` is called).

    Golub–Kahan–Lanczos with full reorthogonalisation (Golub & Kahan 1965; Golub & Van Loan 2013, section
    10.4), started from the last leading singular vectors and a little noise. It stops when the residual ρ of
    the singular pair is small: the error is at most ρ²/gap if the largest singular value is alone (Parlett
    1998, section 11.7). The Frobenius norm may show that no other singular value can be as large, and how far
    below they are. Otherwise the gap to the second value of the search is taken, and a Cholesky factorization
    of τ² − AᵀA proves the value: it exists if no singular value is above τ. If there is none, or after
    `MAX_LANCZOS_STEPS` steps, the result is computed from the eigenvalues of the Gram matrix.

    Parameters
    ----------
    generator : numpy.random.Generator
        The source of the noise.
    tolerance : float
        The allowed relative error.

    Examples
    --------
    >>> leading = LeadingSingularValue(np.random.default_rng(0))
    >>> round(leading.of(np.diag(np.linspace(1.0, 3.0, 60))).value, 9)
    3.0
    """

    def __init__(self, generator: np.random.Generator, tolerance: float = 8e-11) -> None:
        self.generator, self.tolerance = generator, tolerance
        self.rights: Array | None = None  # the last leading singular vectors, as rows
        self.lefts: Array | None = None
        self.steps = 0

    def turn(self, matrix: Array) -> None:
        """Turn the last singular vectors to a new basis of columns; ``matrix`` is the last one in it."""
        if self.lefts is not None:
            self.rights = self.lefts @ matrix

    def of(self, matrix: Array, frobenius: float = np.inf) -> SingularValueEstimate:
        """Return the largest singular value of a matrix (m, r) whose entries are near 1.

        ``frobenius`` is its Frobenius norm, if that is known.
        """
        rounding = min(matrix.shape) * EPS_BY_BYTES[matrix.dtype.itemsize]
        if min(matrix.shape) <= MAX_GRAM_COLUMNS:
            return SingularValueEstimate(gram_norm(matrix), rounding)
        shape, dtype = matrix.shape, matrix.dtype
        estimate = self.of_operator(
            matrix.__matmul__, matrix.T.__matmul__, shape, dtype, MAX_LANCZOS_STEPS, frobenius, likely=True
        )
        if estimate.error <= self.tolerance and _is_alone(estimate.value, estimate.error, frobenius):
            return estimate
        gram = smaller_gram(matrix)
        if estimate.error <= self.tolerance:
            error = self.tolerance + rounding
            if _is_upper_bound(gram, estimate.value * (1.0 + error)):
                return SingularValueEstimate(estimate.value, error + rounding)
        return SingularValueEstimate(_root_of_largest(gram), rounding)

    def of_operator(
        self,
        matvec: Product,
        rmatvec: Product,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        most: int = MAX_LANCZOS_STEPS,
        frobenius: float = np.inf,
        chance: float | None = None,
        *,
        likely: bool = False,
    ) -> SingularValueEstimate:
        """Return the largest singular value of an operator that is given by A v and Aᵀ u alone.

        Its error may exceed the tolerance. It bounds the distance to some singular value, unless
        ``frobenius`` proves more. With ``likely``, and without such a proof, it is what the error would be if
        the search had seen the second singular value. With ``chance`` it also bounds the distance to the largest one, except with
        that probability (`LanczosTridiagonals.bound_hidden`).
        """
        rows, columns = shape
        most = min(most, rows, columns)
        right, left = np.empty((most + 1, columns), dtype), np.empty((most, rows), dtype)
        bidiagonal = np.zeros((most, most))
        right[0], least = self._draw_start(columns, dtype)
        value, error, ritz = 0.0, np.inf, np.ones((1, 1))
        due, taken = max(1, self.steps - 2), 0
        for k in range(most):
            left[k], alpha = _orthogonalize(matvec(right[k]), left[:k])
            right[k + 1], beta = _orthogonalize(rmatvec(left[k]), right[: k + 1])
            taken += bool(right[k].any())
            bidiagonal[k, k] = alpha
            # A check costs as much as several steps, so it is rare. The first is when the last search ended.
            if k >= due or k + 1 == most or beta <= self.tolerance * alpha:
                known = bidiagonal[: k + 1, : k + 1]
                value, error, ritz = _judge_bidiagonal(known, beta, frobenius, likely=likely)
                if chance is not None and error <= self.tolerance:
                    rounding = EPS_BY_BYTES[dtype.itemsize]
                    error += _bound_hidden(known, beta, value, taken, chance * least, rounding)
                    error += (k + 1) * rounding
                if error <= self.tolerance:
                    break
                due = k + 1 + k // 6
            if k + 1 < most:
                bidiagonal[k, k + 1] = beta
        count = ritz.shape[1]
        self.rights = (ritz @ right[:count]).astype(dtype)
        self.lefts = (ritz @ bidiagonal[:count, :count].T @ left[:count]).astype(dtype)
        self.steps = count
        # The image of the vector itself must agree: a bidiagonal form is no better than its bases.
        apart = abs(_length(matvec(self.rights[0])) - value)
        return SingularValueEstimate(value, max(error, apart / value if value else 0.0))

    def _draw_start(self, columns: int, dtype: np.dtype[Any]) -> tuple[Array, float]:
        """Return a unit vector and s: its part along a direction is below p·s with a probability below p."""
        noise = self.generator.standard_normal(columns)
        share = START_NOISE / _length(noise)
        start = share * noise
        if self.rights is not None:
            lengths = np.sqrt(np.sum(self.rights**2, axis=1))
            weights = START_WEIGHTS[: len(lengths)] / np.where(lengths > 0, lengths, 1.0)
            start += weights @ self.rights
        length = _length(start)
        # A normal number with any mean is in an interval of width 2p with a probability of at most 0.8 p.
        return np.asarray(start / length, dtype), share / length


def _judge_bidiagonal(
    bidiagonal: Array, beta: float, frobenius: float, *, likely: bool
) -> tuple[float, float, Array]:
    """Return the largest Ritz value, its relative error, and the leading vectors' coordinates as rows."""
    squares, vectors = np.linalg.eigh(bidiagonal.T @ bidiagonal)
    leading = vectors[:, : -1 - len(START_WEIGHTS) : -1].T
    top = float(np.sqrt(max(squares[-1], 0.0)))
    if not top:
        return 0.0, 0.0, leading
    residual = beta * abs(float(bidiagonal[-1, -1] * vectors[-1, -1])) / top
    others = max(frobenius**2 - top**2, 0.0)  # a bound of the square of every other singular value
    gap = 0.0
    if others < top**2:
        gap = top - math.sqrt(others)
    elif likely and len(squares) > 1:
        gap = (top - math.sqrt(max(float(squares[-2]), 0.0))) / LIKELY_GAP_CAUTION
    return top, min(residual, residual**2 / gap if gap > residual else np.inf) / top, leading


def _bound_hidden(
    bidiagonal: Array, beta: float, value: float, taken: int, part: float, rounding: float
) -> float:
    """Return a bound of the relative excess of the largest singular value over the largest Ritz value."""
    size = max(float(np.abs(bidiagonal).max()), beta) or 1.0
    alphas, betas = np.diag(bidiagonal) / size, np.append(np.diag(bidiagonal, 1), beta) / size
    squares = LanczosTridiagonals.from_bidiagonals(alphas[:, None], betas[:, None])
    largest = np.array([(value / size) ** 2])
    hidden = squares.bound_hidden(largest, np.array([taken]), np.array([part]), rounding)
    return float(np.expm1(np.log1p(hidden[0]) / 2))


def _is_alone(value: float, error: float, frobenius: float) -> bool:
    """Return whether no singular value but the one within ``error`` of ``value`` can be as large."""
    least = value * (1.0 - error)
    return frobenius**2 - least**2 < least**2


def _is_upper_bound(gram: Array, value: float) -> bool:
    """Return whether value² − Gram is positive up to rounding: then no singular value is above ``value``."""
    shifted = -gram
    shifted[np.diag_indices_from(shifted)] += value**2
    try:
        np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        return False
    return True


def _orthogonalize(vector: Array, basis: Array) -> tuple[Array, float]:
    """Return the part of a vector that is orthogonal to the rows of a basis, at length 1, and its length.

    One pass is not enough if most of the vector is removed (Daniel et al. 1976): the rest is rounding, which
    points anywhere. If passes keep removing most of the rest, nothing is left, and the result is 0.
    """
    for _ in range(4):
        within = basis @ vector
        vector = vector - within @ basis
        length = _length(vector)
        if within @ within <= length**2:
            return vector / length if length else vector, length
    return np.zeros_like(vector), 0.0


def _length(vector: Array) -> float:
    return math.sqrt(float(vector @ vector))


def gram_norm(matrix: Array) -> float:
    """Return ‖A‖₂ as the root of the largest eigenvalue of the smaller Gram matrix (relative error n·eps)."""
    return _root_of_largest(smaller_gram(matrix))


def _root_of_largest(gram: Array) -> float:
    return math.sqrt(max(float(np.linalg.eigvalsh(gram)[-1]), 0.0))


def gram_values(matrices: Array) -> Array:
    """Return the eigenvalues of the smaller Gram matrices of matrices (..., m, r), ascending."""
    return np.linalg.eigvalsh(smaller_gram(matrices))


def smaller_gram(matrices: Array) -> Array:
    """Return AᵀA or AAᵀ, whichever is smaller, for matrices (..., m, r)."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    gram: Array = transpose_matrices(matrices) @ matrices if tall else matrices @ transpose_matrices(matrices)
    return gram
