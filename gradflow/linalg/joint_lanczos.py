"""The largest singular values of many operators at once, each with a bound of its error."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.ritz_values import LanczosTridiagonals
from gradflow.linalg.rounding import SAFE_SQUARE_SUMS

Array = NDArray[Any]
Product = Callable[[Array], Array]

MAX_JOINT_LANCZOS_STEPS = 100
FIRST_JUDGED_STEP = 24  # the first step after which errors are checked
JUDGED_STEPS_RATIO = 8  # they are checked again after an eighth of the steps so far


class LeadingSingularValues(NamedTuple):
    """Estimates from below of the largest singular values of p operators, and their errors."""

    values: Array  # (p,)
    residuals: Array  # (p,), relative, estimated: some singular value is within this distance
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
        Map vectors (n, p), as columns, to A_p v_p and A_pᵀ u_p, in a new array.
    shape : tuple of int
        (n, p).
    tolerance : float
        The allowed relative residual.
    allowed_error : float
        The allowed relative error.
    chance : float
        The probability that the error of one operator is wrong: that its random start has too small a part
        along the leading singular vector (`LanczosTridiagonals.bound_hidden`).
    first_judged : int
        The number of steps after which residuals are first checked.

    References
    ----------
    Greenbaum, A. (1989). Behavior of slightly perturbed Lanczos and conjugate-gradient recurrences. Linear
    Algebra and its Applications 113, 7–63.

    Examples
    --------
    >>> scales = np.linspace(0.1, 2.0, 50)[:, None] * np.array([1.0, 3.0])
    >>> found = leading_singular_values(
    ...     lambda v: scales * v, lambda u: scales * u, (50, 2), np.dtype(float), 1e-7,
    ...     allowed_error=1e-3, chance=1e-6,
    ... )
    >>> found.values.round(9).tolist()
    [2.0, 6.0]
    """
    eps = float(np.finfo(dtype).eps)
    v = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    lengths = _measure_columns(v)
    part = chance / lengths
    v /= lengths
    u, beta = np.zeros_like(v), np.zeros(shape[1], dtype)
    alphas: list[Array] = []
    betas: list[Array] = []
    due, taken = first_judged, np.zeros(shape[1], np.int64)
    for step in range(1, MAX_JOINT_LANCZOS_STEPS + 1):
        taken += lengths > 0
        u *= -beta
        u += matvecs(v)
        alpha = _measure_columns(u)
        _normalize_columns(u, alpha)
        v *= -alpha
        v += rmatvecs(u)
        left = _measure_columns(v)
        # So short a rest is half rounding and would spoil later steps: this operator stops here.
        lengths = beta = np.where(left > np.sqrt(eps) * alpha, left, 0)
        _normalize_columns(v, beta)
        alphas.append(alpha)
        betas.append(left)
        if step in (due, MAX_JOINT_LANCZOS_STEPS):
            judged = _judge_bidiagonals(
                np.array(alphas, np.float64), np.array(betas, np.float64), taken, part, eps
            )
            if not np.any((judged.residuals > tolerance) | (judged.errors > allowed_error)):
                break
            due += max(due // JUDGED_STEPS_RATIO, 1)
    return judged._replace(errors=judged.errors + len(alphas) * eps)


def _judge_bidiagonals(
    alphas: Array, betas: Array, taken: Array, part: Array, eps: float
) -> LeadingSingularValues:
    """Return the singular values that bidiagonals (k, p) show; the errors leave out rounding."""
    size = np.maximum(np.maximum(alphas, betas).max(axis=0), np.finfo(np.float64).tiny)
    squares = LanczosTridiagonals.from_bidiagonals(alphas / size, betas / size)
    largest = squares.find_largest()
    hidden = squares.bound_hidden(largest, taken, part, eps)
    return LeadingSingularValues(
        np.sqrt(largest) * size,
        squares.estimate_residuals(largest),
        np.expm1(np.log1p(hidden) / 2),
    )


def _measure_columns(columns: Array) -> Array:
    """Return the norms of columns (n, p), even if their squares are out of range."""
    squares = np.einsum("ij,ij->j", columns, columns)
    low, high = SAFE_SQUARE_SUMS[columns.dtype.itemsize]
    if low < squares.min() and squares.max() < high:
        return np.asarray(np.sqrt(squares))
    largest = np.abs(columns).max(axis=0)
    scale = np.ldexp(np.ones_like(largest), np.frexp(largest)[1])
    return np.asarray(scale * np.sqrt(np.sum((columns / scale) ** 2, axis=0)))


def _normalize_columns(columns: Array, lengths: Array) -> None:
    """Bring the columns to length 1, in place; a column of length 0 becomes 0."""
    if lengths.all():
        columns /= lengths
    else:
        columns *= np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
