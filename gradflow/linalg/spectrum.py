"""Eigenvalues with their condition numbers, and whether a matrix can be diagonalized at all."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.norms import frobenius_norm
from gradflow.linalg.powers import matrix_power
from gradflow.linalg.scaled import Scaled

EPS = float(np.finfo(np.float64).eps)
# Backward errors of LAPACK in units of n·eps·‖W‖, and the ratio of a row to its column worth balancing.
ROUNDING, UNEVEN = 10, 16.0
Complex = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of a matrix W of shape (n, n), largest modulus first, and what they rest on.

    Attributes
    ----------
    values : array (n,), complex
    vectors, inverse : array (n, n) or None
        Right eigenvectors Q as columns of norm 1, and Q⁻¹; None where W is not diagonalizable.
    conditions : array (n,)
        Condition number 1/|yᴴx| of each eigenvalue (Wilkinson 1965); inf where it is defective.
    errors : array (n,)
        How far rounding may have moved each eigenvalue, to first order; 0 where it was read off.
    defective : array (n,) of bool
        Which eigenvalues have fewer independent eigenvectors than their multiplicity.
    """

    values: Complex
    vectors: NDArray[Any] | None
    inverse: NDArray[Any] | None
    conditions: NDArray[np.float64]
    errors: NDArray[np.float64]
    defective: NDArray[np.bool_]

    @property
    def diagonalizable(self) -> bool:
        """Whether there is a basis of eigenvectors."""
        return self.vectors is not None

    @property
    def radius(self) -> float:
        """The spectral radius, the largest modulus."""
        return float(np.abs(self.values[0]))


def spectrum(matrix: NDArray[Any]) -> Spectrum:
    """Return the eigenvalues of a square matrix, with condition numbers and a verdict on diagonalizability.

    A triangular matrix shows its eigenvalues without rounding, so there the verdict is exact. Otherwise
    see `_one_defective`: a cluster that rounding cannot tell from one defective eigenvalue counts as one, and
    its mean, far more accurate than its members, stands for them.

    Parameters
    ----------
    matrix : array (n, n)
        Entries of about 1: see `gradflow.linalg.scaled`.

    Examples
    --------
    >>> exercise = spectrum(np.array([[0.58, 0.24], [0.24, 0.72]]))
    >>> exercise.values.real.round(12), exercise.diagonalizable
    (array([0.9, 0.4]), True)
    >>> spectrum(np.array([[1.0, 1.0], [0.0, 1.0]])).diagonalizable
    False
    """
    if np.array_equal(matrix, matrix.conj().T):
        return _hermitian(matrix)
    exact = not np.tril(matrix, -1).any() or not np.triu(matrix, 1).any()
    scales = np.ones(len(matrix)) if exact else _balancing(matrix)
    balanced = matrix * scales / scales[:, None]
    values, vectors = np.linalg.eig(balanced)
    # In LAPACK's own order: a triangular W has triangular Q, and pivoting a reordered one costs its digits.
    inverse = _inverse(vectors)
    order = _order(values)
    values, vectors = values[order].astype(np.complex128), vectors[:, order]
    inverse = inverse[order] if inverse is not None else None
    found = _judged(balanced, values, inverse, exact)
    if found.defective.any() or inverse is None:
        return found
    vectors, inverse = _unbalanced(vectors, inverse, scales)
    conditions = np.maximum(np.linalg.norm(inverse, axis=1), 1.0)
    return replace(found, vectors=vectors, inverse=inverse, conditions=conditions)


def _judged(matrix: NDArray[Any], values: Complex, inverse: NDArray[Any] | None, exact: bool) -> Spectrum:
    """Return the eigenvalues with their errors, defective clusters replaced by their means."""
    count, scale = len(values), frobenius_norm(matrix)
    conditions = _conditions(matrix, values, inverse)
    rounding = 0.0 if exact else ROUNDING * count * EPS * scale
    errors = rounding * conditions if rounding else np.zeros(count)
    defective = np.zeros(count, dtype=bool)
    for members in _clusters(values, errors):
        if not defective[members].all() and _one_defective(matrix, values[members], exact):
            mean = values[members].mean()
            values[members] = mean.real if abs(mean.imag) <= rounding else mean
            conditions[members], errors[members], defective[members] = np.inf, rounding, True
    if defective.all() and not matrix_power(Scaled(matrix), count).value.array.any():
        values[:], errors[:] = 0.0, 0.0  # nilpotent, and seen to be
    return Spectrum(values, None, None, conditions, errors, defective)


def _balancing(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Return powers of two D for which D⁻¹WD has rows and columns of like size (Parlett & Reinsch 1969)."""
    sizes = np.abs(matrix) * (1 - np.eye(len(matrix)))
    rows, columns = sizes.sum(axis=1), sizes.sum(axis=0)
    both = (rows > 0) & (columns > 0)
    ratio = rows[both] / columns[both]
    if not both.any() or (ratio.max() < UNEVEN and ratio.min() > 1 / UNEVEN):
        return np.ones(len(matrix))
    from scipy.linalg import matrix_balance  # here, for it costs more than all else and few matrices need it

    _, (scales, _) = matrix_balance(matrix, permute=False, separate=True)
    return np.asarray(scales, dtype=np.float64)


def _unbalanced(
    vectors: NDArray[Any], inverse: NDArray[Any], scales: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return Q with columns of norm 1 and a fixed sign, and Q⁻¹, in the matrix's own basis."""
    turned = scales[:, None] * vectors
    rows = np.argmax(np.abs(turned).round(12), axis=0)
    pivots = turned[rows, np.arange(len(turned))]
    # the largest entry becomes real and positive: the sign is free, so it is fixed
    factors = np.linalg.norm(turned, axis=0) * pivots / np.abs(pivots)
    return turned / factors + 0.0, factors[:, None] * inverse / scales + 0.0


def _hermitian(matrix: NDArray[Any]) -> Spectrum:
    values, vectors = np.linalg.eigh(matrix)
    order, count = _order(values), len(values)
    vectors, inverse = _unbalanced(vectors[:, order], vectors[:, order].conj().T, np.ones(count))
    diagonal = np.count_nonzero(matrix - np.diag(np.diag(matrix))) == 0
    error = 0.0 if diagonal else ROUNDING * count * EPS * float(np.abs(values).max())
    ones, none = np.ones(count), np.zeros(count, dtype=bool)
    return Spectrum(values[order].astype(np.complex128), vectors, inverse, ones, error * ones, none)


def _order(values: NDArray[Any]) -> NDArray[np.intp]:
    """Largest modulus first; of equal ones the nearest to the positive axis, upper half-plane first."""
    modulus = np.abs(values)
    scale = modulus.max(initial=0.0) or 1.0
    angle = np.angle(values)
    return np.lexsort((-angle, np.abs(angle).round(9), -(modulus / scale).round(12)))


def _inverse(vectors: NDArray[Any]) -> NDArray[Any] | None:
    """Return X⁻¹, or None where X is singular even in floating point."""
    try:
        with np.errstate(all="ignore"):
            inverse: NDArray[Any] = np.linalg.inv(vectors)
    except np.linalg.LinAlgError:
        return None
    return inverse if np.isfinite(inverse).all() else None


def _conditions(matrix: NDArray[Any], values: Complex, inverse: NDArray[Any] | None) -> NDArray[np.float64]:
    """Return 1/|yᴴx| for unit left and right eigenvectors y, x: the rows of X⁻¹ are the y over yᴴx."""
    if inverse is not None:
        largest = np.abs(inverse).max(axis=1)  # up to 1e292 next to a defective matrix: its square overflows
        return np.asarray(np.maximum(largest * np.linalg.norm(inverse / largest[:, None], axis=1), 1.0))
    # X is singular: take y and x as null vectors, one eigenvalue at a time.
    nulls = {value: _null_condition(matrix - value * np.eye(len(values))) for value in set(values.tolist())}
    return np.array([nulls[value] for value in values.tolist()], dtype=np.float64)


def _null_condition(singular: NDArray[Any]) -> float:
    u, _, vh = np.linalg.svd(singular)
    cosine = float(np.abs(vh[-1] @ u[:, -1]))
    return 1.0 / cosine if cosine else np.inf


def _clusters(values: Complex, errors: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Return groups of eigenvalues that rounding may have split, the widest first, then their parts."""
    distance = np.abs(values[:, None] - values)
    # Generously, for these are only candidates: the parts of one block lie a few errors apart.
    reach = np.maximum(errors[:, None], errors)
    pending = _components(np.arange(len(values)), distance <= reach)
    clusters = []
    while pending:
        members = pending.pop(0)
        clusters.append(members)
        within = distance[np.ix_(members, members)]
        limit, parts = within.max(), [members]
        while limit > 0 and len(parts) == 1 and len(parts[0]) == len(members):
            limit /= 2
            parts = _components(members, within <= limit)
        pending += parts if limit > 0 else []
    return clusters


def _components(members: NDArray[np.intp], near: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Return the connected components, of at least two, of the graph whose edges are ``near``."""
    label = np.arange(len(members))
    while True:
        lowest = np.where(near, label, len(members)).min(axis=1)
        if np.array_equal(lowest, label):
            break
        label = lowest
    return [members[label == k] for k in sorted(set(label.tolist())) if np.count_nonzero(label == k) > 1]


def _one_defective(matrix: NDArray[Any], cluster: Complex, exact: bool) -> bool:
    """Whether a cluster of m eigenvalues with mean μ is one eigenvalue short of eigenvectors.

    Three signs together: its radius is at most what rounding makes of one Jordan block, (n·eps)^(1/m)
    (Lidskii 1966); W − μI is nilpotent on m dimensions; and its null space has fewer than m.
    """
    size, count, mean = len(matrix), len(cluster), cluster.mean()
    shifted = matrix - mean * np.eye(size)
    norm = float(np.linalg.norm(shifted, 2))
    if norm == 0.0:
        return False
    if not exact:
        rounding = (10 * size * EPS) ** (1 / count) * frobenius_norm(matrix)
        if np.abs(cluster - mean).max() > rounding:
            return False
        if _nullity(np.linalg.matrix_power(shifted / norm, count), 10 * size * EPS) < count:
            return False
    # A coupling of the block under this is rounding of an ill-conditioned basis.
    return _nullity(shifted / norm, 10 * EPS if exact else 1000 * size * EPS) < count


def _nullity(matrix: NDArray[Any], tolerance: float) -> int:
    singular = np.linalg.svd(matrix, compute_uv=False)
    return int(np.count_nonzero(singular < tolerance))
