"""The largest eigenvalue of a Hermitian matrix without the others, and the proof that none is larger."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.floating import DOUBLE_EPS

MIN_LANCZOS_SIZE = 200  # rows up to which all eigenvalues take no longer
MAX_LEADING_STEPS, FIRST_LEADING_CHECK, LEADING_CHECKS_APART = 120, 16, 8
MAX_NUMPY_CHOLESKY_SIZE = 500  # rows up to which loading scipy costs more than its routine saves


def largest_eigenvalue(matrix: NDArray[Any]) -> float:
    """Return the largest eigenvalue of a Hermitian matrix A without negative ones, to a relative n·eps.

    Lanczos with full reorthogonalization (Golub & Van Loan 2013, section 10.3) finds an eigenvalue μ. A
    Cholesky factorization of μ(1 + n·eps) − A proves that none is larger. Where Lanczos takes long, or there
    is no factorization, all eigenvalues are computed.

    Parameters
    ----------
    matrix : array (n, n)

    Examples
    --------
    >>> largest_eigenvalue(np.diag([1.0, 2.0, 3.0]))
    3.0
    >>> round(largest_eigenvalue(np.diag(np.linspace(0.0, 7.0, 300))), 12)
    7.0
    """
    if len(matrix) > MIN_LANCZOS_SIZE:
        value = _lanczos_value(matrix)
        if value is not None:
            shifted = -matrix
            shifted[np.diag_indices_from(shifted)] += value * (1.0 + len(matrix) * DOUBLE_EPS)
            if has_cholesky_factor(shifted):
                return value
    return float(np.linalg.eigvalsh(matrix)[-1])


def _lanczos_value(matrix: NDArray[Any]) -> float | None:
    """Return an eigenvalue to rounding, most likely the largest; None after too many steps."""
    size = len(matrix)
    basis = np.empty((MAX_LEADING_STEPS, size), matrix.dtype)
    start = np.random.default_rng(0).standard_normal(size)
    vector = (start / np.linalg.norm(start)).astype(matrix.dtype)
    tridiagonal = np.zeros((MAX_LEADING_STEPS, MAX_LEADING_STEPS))  # LAPACK reads the lower half
    for step in range(MAX_LEADING_STEPS):
        basis[step], image = vector, matrix @ vector
        tridiagonal[step, step] = np.vdot(vector, image).real
        known = basis[: step + 1]
        for _ in range(2):  # twice is enough (Giraud et al. 2005)
            image = image - (known.conj() @ image) @ known
        rest = float(np.linalg.norm(image))
        if step >= FIRST_LEADING_CHECK and step % LEADING_CHECKS_APART == 0:
            values, vectors = np.linalg.eigh(tridiagonal[: step + 1, : step + 1])
            residual, gap = rest * abs(float(vectors[-1, -1])), float(values[-1] - values[-2])
            if residual**2 <= 0.5 * DOUBLE_EPS * gap * float(values[-1]):
                return float(values[-1])
        if step + 1 < MAX_LEADING_STEPS:
            if rest <= DOUBLE_EPS * size * tridiagonal[0, 0]:
                return None  # an invariant space, as of a matrix of low rank
            tridiagonal[step + 1, step] = rest
            vector = image / rest
    return None


def has_cholesky_factor(matrix: NDArray[Any]) -> bool:
    """Return whether a Hermitian matrix, which may be overwritten, is positive definite to rounding."""
    if len(matrix) > MAX_NUMPY_CHOLESKY_SIZE:
        from scipy.linalg.lapack import dpotrf, zpotrf  # in place, where numpy copies twice

        # the transpose is the conjugate, in the order of LAPACK
        factorize = zpotrf if np.iscomplexobj(matrix) else dpotrf
        return bool(factorize(matrix.T, lower=0, clean=0, overwrite_a=1)[1] == 0)
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True
