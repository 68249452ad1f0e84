"""The largest singular value of matrices that change slowly: each search starts where the last one ended."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.products import transpose_matrices
from gradflow.linalg.rounding import EPS_BY_BYTES

Array = NDArray[Any]
Product = Callable[[Array], Array]

MAX_GRAM_COLUMNS = 48  # for so few columns the Gram matrix is quicker than any iteration
# Weights in the start of a search: of the last three leading vectors, because the second may overtake the
# first, and of noise, so that the search can reach new directions.
START_WEIGHTS, START_NOISE = np.array([1.0, 0.3, 0.1]), 0.2
MAX_JOINT_LANCZOS_STEPS = 100  # for many operators at once
FIRST_JUDGED_STEP = 24  # of those: the first one after which errors are checked
MAX_LANCZOS_STEPS = 64  # for one operator, after which the Gram matrix is used instead


class SingularValueEstimate(NamedTuple):
    """A singular value and a bound of its relative error."""

    value: float
    error: float


class LeadingSingularValue:
    """Largest singular values of A_1, A_2, … (each m × r, with the same r unless `turn` is called).

    Golub–Kahan–Lanczos with full reorthogonalisation (Golub & Kahan 1965; Golub & Van Loan 2013, section
    10.4), started from the last leading singular vectors and a little noise. It stops when the residual ρ of
    the singular pair is small: some singular value is within ρ of the computed one. A separate proof shows
    that this is the largest. Either the Frobenius norm shows that no other singular value can be as large,
    and how far below they are. Then the error is at most ρ²/gap (Parlett 1998, section 11.7). Or there is a
    Cholesky factorization of τ² − AᵀA, which exists if no singular value is above τ. If there is none, or
    after `MAX_LANCZOS_STEPS` steps, the result is computed from the eigenvalues of the Gram matrix.

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
            matrix.__matmul__, matrix.T.__matmul__, shape, dtype, MAX_LANCZOS_STEPS, frobenius
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
    ) -> SingularValueEstimate:
        """Return the largest singular value of an operator that is given by A v and Aᵀ u alone.

        Its error may exceed the tolerance. It bounds the distance to some singular value, unless
        ``frobenius`` proves more. With ``chance`` it also bounds the distance to the largest one, except with
        that probability (`_hidden_excess`).
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
                value, error, ritz = _judge_bidiagonal(known, beta, frobenius)
                if chance is not None and error <= self.tolerance:
                    squares = np.linalg.eigvalsh(known.T @ known)
                    beside = np.diag(known) * np.append(np.diag(known, 1), beta)
                    excess = _hidden_excess(
                        squares, beside, taken, chance * least, EPS_BY_BYTES[dtype.itemsize]
                    )
                    error += float(excess) + (k + 1) * EPS_BY_BYTES[dtype.itemsize]
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


def _judge_bidiagonal(bidiagonal: Array, beta: float, frobenius: float) -> tuple[float, float, Array]:
    """Return the largest Ritz value, its relative error, and the leading vectors' coordinates as rows."""
    squares, vectors = np.linalg.eigh(bidiagonal.T @ bidiagonal)
    leading = vectors[:, : -1 - len(START_WEIGHTS) : -1].T
    top = float(np.sqrt(max(squares[-1], 0.0)))
    if not top:
        return 0.0, 0.0, leading
    residual = beta * abs(float(bidiagonal[-1, -1] * vectors[-1, -1])) / top
    others = max(frobenius**2 - top**2, 0.0)  # a bound of the square of every other singular value
    gap = top - float(np.sqrt(others)) if others < top**2 else 0.0
    return top, min(residual, residual**2 / gap if gap > residual else np.inf) / top, leading


def _hidden_excess(
    squares: Array, beside: Array, taken: Array | int, part: Array | float, eps: float
) -> Array:
    """Return a bound of the relative excess of the largest singular value over the largest Ritz value.

    It holds if the start had at least ``part`` along the singular vector. The steps so far fix the first
    moments of the spectral measure of the start, with orthonormal polynomials p_0 … p_k. A point x above all
    Ritz values has at most the mass 1/Σ p_j(x)² (Chebyshev, Markov & Stieltjes; Szegő 1975, section 3.41). So
    part² Σ p_j(x)² ≤ 1. Only the term p_k(x) = ∏(x − θ_i²)/∏ e_i is used.

    Parameters
    ----------
    squares : array (..., k)
        θ_i², the eigenvalues of BᵀB for the bidiagonal B of the iteration, ascending.
    beside : array (..., k)
        e_i, the entries beside the diagonal of BᵀB. The last one belongs to the step that was not taken.
    taken : array (...) or int
        The number of steps, at most k, after which nothing of the start was left: later entries are 0.
    part : array (...) or float
    eps : float
        The rounding of the iteration.
    """
    count = squares.shape[-1]
    places, taken = np.arange(count), np.asarray(taken)[..., None]
    top = squares[..., -1:]
    with np.errstate(divide="ignore", invalid="ignore"):  # for an operator that is 0 the excess is 0
        others = np.maximum((top - squares) / top, 0.0)
        # a rest that is only rounding may be as large as eps
        rests = np.log(np.maximum(beside / top, eps))
    level = np.sum(np.where(places < taken, rests, 0.0), axis=-1) - np.log(part)
    low, high = np.full(level.shape, -100.0), np.full(level.shape, 100.0)  # of ln((x − top)/top)
    for _ in range(50):
        middle = (low + high) / 2
        growth = np.where(places >= count - taken, np.log(others + np.exp(middle)[..., None]), 0.0)
        reached = growth.sum(axis=-1) >= level
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.where(top[..., 0] > 0, np.expm1(np.log1p(np.exp(high)) / 2), 0.0)


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


class LeadingSingularValues(NamedTuple):
    """Estimates from below of the largest singular values of p operators, and their errors."""

    values: Array  # (p,)
    residuals: Array  # (p,), relative: some singular value is within this distance
    errors: Array  # (p,), relative bounds, each wrong with the allowed probability


def leading_singular_values(
    matvecs: Product,
    rmatvecs: Product,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    tolerance: float,
    *,
    allowed_error: float,
    chance: float,
    first_judged: int = FIRST_JUDGED_STEP,
) -> LeadingSingularValues:
    """Return the largest singular values of p operators on n numbers at once.

    Golub–Kahan–Lanczos on all of them in step, without reorthogonalisation. The loss of orthogonality repeats
    Ritz values that have converged, and leaves them right (Paige 1980). The coefficients are those of an
    exact iteration whose start has the same weights, spread over points within rounding of the true ones
    (Greenbaum 1989). The iteration ends once all residuals are within ``tolerance`` and all errors within
    ``allowed_error``, or after `MAX_JOINT_LANCZOS_STEPS` steps.

    Parameters
    ----------
    matvecs, rmatvecs : callable
        Map vectors (n, p), as columns, to A_p v_p and A_pᵀ u_p.
    shape : tuple of int
        (n, p).
    tolerance : float
        The allowed relative residual.
    allowed_error : float
        The allowed relative error.
    chance : float
        The probability that the error of one operator is wrong: that its random start has too small a part
        along the leading singular vector (`_hidden_excess`).
    first_judged : int
        The number of steps after which residuals are first checked.

    References
    ----------
    Greenbaum, A. (1989). Behavior of slightly perturbed Lanczos and conjugate-gradient recurrences. Linear
    Algebra and its Applications 113, 7–63.
    """
    eps = float(np.finfo(dtype).eps)
    v = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    part = chance / _column_lengths(v)
    v /= _column_lengths(v)
    u, beta = np.zeros_like(v), np.zeros(shape[1], dtype)
    alphas: list[Array] = []
    betas: list[Array] = []
    due, taken = first_judged, np.zeros(shape[1], np.int64)
    for step in range(1, MAX_JOINT_LANCZOS_STEPS + 1):
        taken += v.any(axis=0)
        u = matvecs(v) - beta * u
        alpha = _column_lengths(u)
        u = _normalize_columns(u, alpha)
        w = rmatvecs(u) - alpha * v
        left = _column_lengths(w)
        # So short a rest is half rounding and would spoil later steps: this operator stops here.
        beta = np.where(left > np.sqrt(eps) * alpha, left, 0)
        v = _normalize_columns(w, beta)
        alphas.append(alpha)
        betas.append(left)
        if step in (due, MAX_JOINT_LANCZOS_STEPS):
            judged = _judge_bidiagonals(
                np.array(alphas, np.float64), np.array(betas, np.float64), taken, part, eps
            )
            if not np.any((judged.residuals > tolerance) | (judged.errors > allowed_error)):
                break
            due += due // 3
    return judged._replace(errors=judged.errors + len(alphas) * eps)


def _judge_bidiagonals(
    alphas: Array, betas: Array, taken: Array, part: Array, eps: float
) -> LeadingSingularValues:
    """Return the singular values that bidiagonals (k, p) show; the errors leave out rounding."""
    size = np.maximum(np.maximum(alphas, betas).max(axis=0), np.finfo(np.float64).tiny)
    alphas, betas = (alphas / size).T, (betas / size).T  # p, k
    count = alphas.shape[1]
    places = np.arange(count)
    bidiagonal = np.zeros((len(alphas), count, count))
    bidiagonal[:, places, places] = alphas
    bidiagonal[:, places[:-1], places[1:]] = betas[:, :-1]
    squares, right = np.linalg.eigh(transpose_matrices(bidiagonal) @ bidiagonal)
    top = np.sqrt(np.maximum(squares[:, -1], 0.0))
    rest = betas[:, -1] * alphas[:, -1] * np.abs(right[:, -1, -1])
    residuals = np.divide(rest, top**2, out=np.zeros_like(top), where=top > 0)
    return LeadingSingularValues(
        top * size, residuals, _hidden_excess(squares, alphas * betas, taken, part, eps)
    )


def _column_lengths(columns: Array) -> Array:
    """Return the norms of columns (n, p) whose squares may under- or overflow."""
    largest = np.abs(columns).max(axis=0)
    scale = np.ldexp(np.ones_like(largest), np.frexp(largest)[1])
    return np.asarray(scale * np.sqrt(np.sum((columns / scale) ** 2, axis=0)))


def _normalize_columns(columns: Array, lengths: Array) -> Array:
    """Return the columns at length 1. A column of zeros does not change."""
    return np.asarray(np.divide(columns, lengths, out=np.zeros_like(columns), where=lengths > 0))
