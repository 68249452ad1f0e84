"""Norms of one matrix: the spectral norm, and the distance of the matrix from normality."""

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.largest_eigenvalue import largest_eigenvalue
from gradflow.linalg.scaled import Scaled, ScaledNumber, number

# Of the squared departure from normality in ‖W‖_F², from which their difference loses two bits at most.
MIN_DEPARTURE_SHARE = 0.25
SAFE_SQUARES = 1e-30, 1e30  # a sum of squares in between has not lost digits to under- or overflow


def spectral_norm(matrix: Scaled) -> ScaledNumber:
    """Return ‖A‖₂, the largest singular value, as the root of the largest eigenvalue of the Gram matrix.

    It costs half as much as an SVD, and is as accurate: squaring costs small singular values their digits,
    but not the largest (relative error about n·eps). The shape of ``matrix.array`` is (m, n).

    Examples
    --------
    >>> spectral_norm(Scaled(np.array([[3.0, 0.0], [0.0, 4.0]]))).value()
    4.0
    """
    matrix = matrix.with_grading(None)
    array = matrix.array
    gram = array @ array.conj().T if array.shape[0] <= array.shape[1] else array.conj().T @ array
    square = largest_eigenvalue(gram)
    return number(float(np.sqrt(max(square, 0.0))), matrix.exponent)


def frobenius_norm(array: NDArray[Any]) -> float:
    """Return the root of the sum of the squared moduli of the entries, whatever their size."""
    square = float(np.vdot(array, array).real)
    if SAFE_SQUARES[0] < square < SAFE_SQUARES[1]:
        return sqrt(square)
    largest = float(np.max(np.abs(array), initial=0.0))
    return largest * float(np.linalg.norm(array / largest)) if 0 < largest < np.inf else largest


def departure_from_normality(
    matrix: NDArray[Any], values: NDArray[Any], vectors: NDArray[Any] | None
) -> float:
    """Return Henrici's departure from normality, the Frobenius norm of the strict upper Schur factor.

    √(‖W‖² − Σ|λ|²) loses digits only if W is near a normal matrix, half of them at most. Then the
    eigenvectors are well conditioned, and their QR factor gives the Schur form itself (Henrici 1962; Golub &
    Van Loan 2013, section 7.1).

    Parameters
    ----------
    matrix, values, vectors : array (n, n), (n,), (n, n) or None
        W, its eigenvalues and, if they form a basis, its eigenvectors.

    Examples
    --------
    >>> departure_from_normality(np.array([[0.0, 3.0], [0.0, 0.0]]), np.zeros(2), None)
    3.0
    """
    if np.array_equal(matrix, matrix.conj().T):
        return 0.0
    above, below = frobenius_norm(np.triu(matrix, 1)), frobenius_norm(np.tril(matrix, -1))
    if not above or not below:  # triangular: its own Schur form
        return above + below
    total = frobenius_norm(matrix)
    square = total**2 - frobenius_norm(values) ** 2
    if vectors is not None and not square > MIN_DEPARTURE_SHARE * total**2:
        basis, _ = np.linalg.qr(vectors)
        schur = basis.conj().T @ matrix @ basis
        if frobenius_norm(np.tril(schur, -1)) <= 100 * len(matrix) * np.finfo(np.float64).eps * total:
            return frobenius_norm(np.triu(schur, 1))
    return float(np.sqrt(max(square, 0.0)))


def spectral_radius(matrix: NDArray[Any]) -> float:
    """Return the largest modulus of an eigenvalue of a matrix (n, n).

    Examples
    --------
    >>> spectral_radius(np.array([[0.0, 8.0], [-2.0, 0.0]]))
    4.0
    """
    return float(np.abs(np.linalg.eigvals(matrix)).max())
