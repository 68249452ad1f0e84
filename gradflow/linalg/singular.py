"""The largest singular value of matrices that change slowly: each search starts where the last one ended."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.largest_eigenvalue import has_cholesky_factor
from gradflow.linalg.products import transpose_matrices
from gradflow.linalg.ritz_values import LanczosTridiagonals
from gradflow.linalg.rounding import EPS_BY_BYTES

Array = NDArray[Any]
Product = Callable[[Array], Array]

MAX_GRAM_COLUMNS = 48  # for so few columns the Gram matrix is quicker than any iteration
# Weights in the start of a search: of the last three leading vectors, because the second may overtake the
# first, and of noise, so that the search can reach new directions.
START_WEIGHTS, START_NOISE = np.array([1.0, 0.3, 0.1]), 0.2
# Steps of a search from which on a Cholesky factorization is the cheaper proof: more for many columns, each
# step of which only reads the matrix.
MIN_PROOF_STEPS, COLUMNS_PER_PROOF_STEP = 24, 32
PACE_STEPS = 4  # the last ones, from which that number is estimated
PROVEN_SHARE = 0.8  # of the largest square, under which the unseen ones should be for a proof
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
    1998, section 11.7). Two proofs show that it is. The Frobenius norm, less what the search has seen, may
    leave too little for another one as large (`_find_unseen_room`). Or there is a Cholesky factorization of
    τ² − AᵀA, which exists if no singular value is above τ. If there is none, or after `MAX_LANCZOS_STEPS`
    steps, the result is computed from the eigenvalues of the Gram matrix.

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
        self.due = 1  # steps of the next search after which it is first judged
        self.start_share = 0.0  # of the noise in the start of the last search

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
        found = self._search(
            matrix.__matmul__,
            matrix.T.__matmul__,
            matrix.shape,
            matrix.dtype,
            MAX_LANCZOS_STEPS,
            lambda bidiagonal, beta: _judge_with_norm(bidiagonal, beta, frobenius, rounding),
        )
        if found.error <= self.tolerance and found.is_settled:
            return SingularValueEstimate(found.value, found.error + rounding)
        gram = smaller_gram(matrix)
        if found.error <= self.tolerance:
            # If the factorization succeeds, no eigenvalue of τ² − AᵀA is under −(n + 1)·eps times the trace,
            # which is at most n τ² (Rump 2006, theorem 2.3). The Gram matrix adds rounding of its own.
            proved = self.tolerance + (len(gram) + 1) * rounding / 2
            if _is_upper_bound(gram, found.value * (1.0 + self.tolerance)):
                return SingularValueEstimate(found.value, proved + 2 * rounding)
        return SingularValueEstimate(_root_of_largest(gram), rounding)

    def of_operator(
        self,
        matvec: Product,
        rmatvec: Product,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        most: int = MAX_LANCZOS_STEPS,
        chance: float | None = None,
    ) -> SingularValueEstimate:
        """Return the largest singular value of an operator that is given by A v and Aᵀ u alone.

        Its error may exceed the tolerance. It bounds the distance to some singular value. With ``chance`` it
        also bounds the distance to the largest one, except with that probability
        (`LanczosTridiagonals.bound_hidden`).
        """
        eps, most = EPS_BY_BYTES[dtype.itemsize], min(most, *shape)

        def judge(bidiagonal: Array, beta: float) -> _RitzPair:
            found = _judge_bidiagonal(bidiagonal, beta)
            if chance is None or (found.error > self.tolerance and len(bidiagonal) < most):
                return found
            hidden = _bound_hidden(bidiagonal, beta, found.value, chance * self.start_share, eps)
            return found._replace(error=found.error + hidden + len(bidiagonal) * eps)

        found = self._search(matvec, rmatvec, shape, dtype, most, judge)
        return SingularValueEstimate(found.value, found.error)

    def _search(
        self,
        matvec: Product,
        rmatvec: Product,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        most: int,
        judge: "Callable[[Array, float], _RitzPair]",
    ) -> "_RitzPair":
        """Return the largest Ritz value once its error is within the tolerance, or after ``most`` steps."""
        rows, columns = shape
        most = min(most, rows, columns)
        right, left = np.empty((most + 1, columns), dtype), np.empty((most, rows), dtype)
        bidiagonal = np.zeros((most, most))
        right[0], self.start_share = self._draw_start(columns, dtype)
        found = _RitzPair(0.0, np.inf, np.ones((1, 1)))
        due, max_proof_steps = self.due, max(MIN_PROOF_STEPS, columns // COLUMNS_PER_PROOF_STEP)
        for k in range(most):
            left[k], alpha = _orthogonalize(matvec(right[k]), left[:k])
            right[k + 1], beta = _orthogonalize(rmatvec(left[k]), right[: k + 1])
            bidiagonal[k, k] = alpha
            # A check costs as much as several steps, so it is rare.
            if k + 1 >= due or k + 1 == most or beta <= self.tolerance * alpha:
                found = judge(bidiagonal[: k + 1, : k + 1], beta)
                if found.error > self.tolerance:
                    due = k + 2 + k // 6
                elif found.is_settled or found.proof_steps > max_proof_steps:
                    break
                else:
                    due = max(found.proof_steps, k + 2)
            if k + 1 < most:
                bidiagonal[k, k + 1] = beta
        count = found.leading.shape[1]
        self.rights = (found.leading @ right[:count]).astype(dtype)
        self.lefts = (found.leading @ bidiagonal[:count, :count].T @ left[:count]).astype(dtype)
        self.due = self._predict_steps(found, count)
        # The image of the vector itself must agree: a bidiagonal form is no better than its bases.
        apart = abs(_length(matvec(self.rights[0])) - found.value)
        return found._replace(error=max(found.error, apart / found.value if found.value else 0.0))

    def _predict_steps(self, found: "_RitzPair", steps: int) -> int:
        """Return how many steps a search like the last needs, if each step divides the error alike."""
        fall = math.log(max(found.error, 1e-300)) / steps
        needed = math.ceil(math.log(self.tolerance) / fall) if fall < 0 else steps
        return max(min(needed, steps), found.proof_steps if found.is_settled else 0, 2)

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


class _RitzPair(NamedTuple):
    """The largest Ritz value, its relative error, and the leading vectors' coordinates as rows.

    ``is_settled`` tells whether the error needs no further proof. ``proof_steps`` are the steps after which
    the search proves it, estimated if they are not taken yet.
    """

    value: float
    error: float
    leading: Array
    is_settled: bool = True
    proof_steps: int = 0


def _judge_bidiagonal(bidiagonal: Array, beta: float) -> _RitzPair:
    """Return the largest Ritz value; the error is the distance to some singular value."""
    squares, vectors = np.linalg.eigh(bidiagonal.T @ bidiagonal)
    top = math.sqrt(max(float(squares[-1]), 0.0))
    leading = vectors[:, : -1 - len(START_WEIGHTS) : -1].T
    if not top:
        return _RitzPair(0.0, 0.0, leading)
    return _RitzPair(top, beta * abs(float(bidiagonal[-1, -1] * vectors[-1, -1])) / top**2, leading)


def _judge_with_norm(bidiagonal: Array, beta: float, frobenius: float, rounding: float) -> _RitzPair:
    """Return the largest Ritz value of a matrix whose Frobenius norm is known, or inf.

    The error is ρ²/gap. It is settled if the norm proves the gap. Otherwise the gap is that to the second
    Ritz value, divided by `LIKELY_GAP_CAUTION`.
    """
    squares, vectors = np.linalg.eigh(bidiagonal.T @ bidiagonal)
    square = max(float(squares[-1]), 0.0)
    leading = vectors[:, : -1 - len(START_WEIGHTS) : -1].T
    if not square:
        return _RitzPair(0.0, 0.0, leading)
    # ‖AᵀA y − θ² y‖ for every Ritz pair
    couplings = beta * np.abs(bidiagonal[-1, -1] * vectors[-1])
    seen = np.cumsum(np.sum(bidiagonal**2, axis=0))  # ‖A V‖_F² for the first columns of V
    total = frobenius**2 * (1.0 + 4 * rounding)
    unseen = total - float(seen[-1])
    room = _find_unseen_room(squares, couplings, unseen)
    coupling = float(couplings[-1])
    linear = coupling / square
    if room > 0:
        enough = np.append(np.flatnonzero(total - seen < PROVEN_SHARE * square) + 1, len(seen))
        error = min(linear, coupling**2 / (2 * square * room))
        return _RitzPair(math.sqrt(square), error, leading, proof_steps=int(enough[0]))
    second = float(squares[-2]) if len(squares) > 1 else square
    gap = (square - second) / LIKELY_GAP_CAUTION
    likely = coupling**2 / (2 * square * gap) if gap > coupling else np.inf
    pace = float(np.mean(np.diff(seen[-1 - PACE_STEPS :], prepend=0.0)[-PACE_STEPS:]))
    missing = (unseen - PROVEN_SHARE * square) / pace if pace else np.inf
    steps = len(seen) + math.ceil(min(max(missing, 1.0), float(MAX_LANCZOS_STEPS)))
    return _RitzPair(math.sqrt(square), min(linear, likely), leading, is_settled=False, proof_steps=steps)


def _find_unseen_room(squares: Array, couplings: Array, unseen: float) -> float:
    """Return by how much θ² exceeds all that the search has not seen; θ is the largest if that is positive.

    In the basis of the Ritz vectors and the rest of the space, AᵀA is [[Θ², C], [Cᵀ, R]], where C has the
    couplings and ‖R‖ ≤ ‖A‖_F² − Σ θ_i², the unseen. λ − AᵀA is positive definite if λ − unseen >
    Σ c_i²/(λ − θ_i²) (the Schur complement). With the room r = θ² − unseen − Σ c_i²/(θ² − θ_i²) over the
    other pairs, that holds for λ > θ² + c²/r. So the excess of the largest singular value is at most c²/2rθ.
    """
    below = squares[-1] - squares[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(couplings[:-1] > 0, couplings[:-1] ** 2 / below, 0.0)
    return float(squares[-1] - unseen - np.sum(parts))


def _bound_hidden(bidiagonal: Array, beta: float, value: float, part: float, rounding: float) -> float:
    """Return a bound of the relative excess of the largest singular value over the largest Ritz value."""
    size = max(float(np.abs(bidiagonal).max()), beta) or 1.0
    alphas, betas = np.diag(bidiagonal) / size, np.append(np.diag(bidiagonal, 1), beta) / size
    squares = LanczosTridiagonals.from_bidiagonals(alphas[:, None], betas[:, None])
    largest = np.array([(value / size) ** 2])
    taken = np.count_nonzero(np.append(1.0, betas[:-1] * alphas[:-1]))
    hidden = squares.bound_hidden(largest, np.array([taken]), np.array([part]), rounding)
    return float(np.expm1(np.log1p(hidden[0]) / 2))


def _is_upper_bound(gram: Array, value: float) -> bool:
    """Return whether value² − Gram is positive definite to rounding."""
    shifted = -gram
    shifted[np.diag_indices_from(shifted)] += value**2
    return has_cholesky_factor(shifted)


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


def smaller_gram(matrices: Array) -> Array:
    """Return AᵀA or AAᵀ, whichever is smaller, for matrices (..., m, r)."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    gram: Array = transpose_matrices(matrices) @ matrices if tall else matrices @ transpose_matrices(matrices)
    return gram
