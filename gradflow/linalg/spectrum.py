"""Eigenvalues with their condition numbers, and whether a matrix can be diagonalized at all."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.powers import matrix_power
from gradflow.linalg.scaled import Scaled

EPS = float(np.finfo(np.float64).eps)
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
    values, vectors = np.linalg.eig(matrix)
    vectors = _oriented(vectors)
    # In LAPACK's own order: a triangular W has triangular Q, and pivoting a reordered one costs its digits.
    inverse = _inverse(vectors)
    order = _order(values)
    values, vectors = values[order].astype(np.complex128), vectors[:, order]
    inverse = inverse[order] if inverse is not None else None
    count, scale = len(values), float(np.linalg.norm(matrix))
    exact = not np.tril(matrix, -1).any() or not np.triu(matrix, 1).any()
    conditions = _conditions(matrix, values, inverse)
    errors = np.zeros(count) if exact else count * EPS * scale * conditions
    defective = np.zeros(count, dtype=bool)
    for members in _clusters(values, errors):
        if not defective[members].all() and _one_defective(matrix, values[members], exact):
            mean, error = values[members].mean(), 0.0 if exact else 10 * count * EPS * scale
            values[members] = mean.real if abs(mean.imag) <= error else mean
            conditions[members], errors[members], defective[members] = np.inf, error, True
    if defective.all() and not matrix_power(Scaled(matrix), count).value.array.any():
        values[:], errors[:] = 0.0, 0.0  # nilpotent, and seen to be
    if defective.any() or inverse is None:
        return Spectrum(values, None, None, conditions, errors, defective)
    return Spectrum(values, vectors, inverse, conditions, errors, defective)


def _hermitian(matrix: NDArray[Any]) -> Spectrum:
    values, vectors = np.linalg.eigh(matrix)
    order = _order(values)
    count, vectors = len(values), _oriented(vectors[:, order])
    diagonal = np.count_nonzero(matrix - np.diag(np.diag(matrix))) == 0
    error = 0.0 if diagonal else count * EPS * float(np.abs(values).max())
    return Spectrum(
        values[order].astype(np.complex128),
        vectors,
        vectors.conj().T,
        np.ones(count),
        np.full(count, error),
        np.zeros(count, dtype=bool),
    )


def _order(values: NDArray[Any]) -> NDArray[np.intp]:
    """Largest modulus first; of equal ones the nearest to the positive axis, upper half-plane first."""
    modulus = np.abs(values)
    scale = modulus.max(initial=0.0) or 1.0
    angle = np.angle(values)
    return np.lexsort((-angle, np.abs(angle).round(9), -(modulus / scale).round(12)))


def _oriented(vectors: NDArray[Any]) -> NDArray[Any]:
    """Turn each column so that its largest entry is real and positive: the sign is free, so fix it."""
    rows = np.argmax(np.abs(vectors).round(12), axis=0)
    pivots = vectors[rows, np.arange(vectors.shape[1])]
    oriented: NDArray[Any] = vectors / (pivots / np.abs(pivots)) + 0.0  # no -0
    return oriented


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
    nulls = (_null_condition(matrix - value * np.eye(len(values))) for value in values)
    return np.array(list(nulls), dtype=np.float64)


def _null_condition(singular: NDArray[Any]) -> float:
    u, _, vh = np.linalg.svd(singular)
    cosine = float(np.abs(vh[-1] @ u[:, -1]))
    return 1.0 / cosine if cosine else np.inf


def _clusters(values: Complex, errors: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Return groups of eigenvalues that rounding may have split, the widest first, then their parts."""
    distance = np.abs(values[:, None] - values)
    # Generously, for these are only candidates: the parts of one block lie a few errors apart.
    reach = 10 * np.maximum(errors[:, None], errors)
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
        rounding = (10 * size * EPS) ** (1 / count) * float(np.linalg.norm(matrix))
        if np.abs(cluster - mean).max() > rounding:
            return False
        if _nullity(np.linalg.matrix_power(shifted / norm, count), 10 * size * EPS) < count:
            return False
    # A coupling of the block under this is rounding of an ill-conditioned basis.
    return _nullity(shifted / norm, 10 * EPS if exact else 1000 * size * EPS) < count


def _nullity(matrix: NDArray[Any], tolerance: float) -> int:
    singular = np.linalg.svd(matrix, compute_uv=False)
    return int(np.count_nonzero(singular < tolerance))
