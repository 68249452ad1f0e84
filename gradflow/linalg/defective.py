"""Which eigenvalues lack eigenvectors: exactly where that can be seen, else within rounding of the matrix."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.enclosure import EPS, connected_components
from gradflow.linalg.norms import frobenius_norm

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]
Places = NDArray[np.intp]

# The backward error of an orthogonal reduction, in units of n·eps of the Frobenius norm.
REDUCTION_ERROR = 2.0
SPREAD = 3.0
COUPLING = 1e3  # times the tolerance that a coupling has to be


def candidate_clusters(values: Complex, radii: Real) -> Iterator[Places]:
    """Yield groups of eigenvalues whose discs touch: the widest first, then the parts of each."""
    distance = np.abs(values[:, None] - values)
    pending = _components(np.arange(len(values)), distance <= radii[:, None] + radii)
    while pending:
        members = pending.pop(0)
        yield members
        within = distance[np.ix_(members, members)]
        limit, parts = within.max(), [members]
        while limit > 0 and len(parts) == 1 and len(parts[0]) == len(members):
            limit /= 2
            parts = _components(members, within <= limit)
        pending += parts if limit > 0 else []


def count_eigenvectors(matrix: NDArray[Any], cluster: Complex) -> int | None:
    """Return how many eigenvectors the mean of a cluster has in a matrix within rounding of this one.

    The staircase of Kågström & Ruhe (1980): in the invariant subspace of the m eigenvalues, with their mean
    μ, T − μ is reduced by orthogonal transformations to a strictly block upper triangular form, in which μ is
    an m-fold eigenvalue. What has to be set to 0 on the way is the distance to that matrix: it proves the
    cluster where it is no more than the backward error of the reduction itself. None where it is more.

    Parameters
    ----------
    matrix : array (n, n)
    cluster : array (m,)
        Computed eigenvalues of it.
    """
    from scipy.linalg import schur  # numpy has no Schur form, and few matrices have clusters

    size, count, mean = len(matrix), len(cluster), cluster.mean()
    tolerance = REDUCTION_ERROR * size * EPS * frobenius_norm(matrix)
    # m eigenvalues of one Jordan block are at most this far apart (Lidskii 1966)
    if np.abs(cluster - mean).max() > SPREAD * tolerance ** (1 / count) * frobenius_norm(matrix) ** (
        1 - 1 / count
    ):
        return None
    triangle, _ = schur(matrix, output="complex")
    if count < size:
        distances = np.sort(np.abs(np.diag(triangle) - mean))
        middle = 0.5 * (distances[count - 1] + distances[count])
        triangle, _, sorted_count = schur(
            matrix, output="complex", sort=lambda value: abs(value - mean) <= middle
        )
        if sorted_count != count:
            return None
    rest = triangle[:count, :count] - np.diag(triangle)[:count].mean() * np.eye(count)
    first, lost = 0, 0.0
    while len(rest):
        _, singular, rows = np.linalg.svd(rest)
        null = int(np.count_nonzero(singular <= tolerance))
        if np.any((singular > tolerance) & (singular < COUPLING * tolerance)):
            return None  # no telling whether that is a coupling or rounding
        lost += float(np.sum(singular[len(singular) - null :] ** 2))
        if not null or lost > tolerance**2:
            return None
        first = first or null
        basis = rows[::-1].conj().T  # what is mapped to 0 comes first
        rest = (basis.conj().T @ rest @ basis)[null:, null:]
    return first


def _components(members: Places, near: NDArray[np.bool_]) -> list[Places]:
    """Return the connected components, of at least two, of the graph whose edges are ``near``."""
    label = connected_components(near)
    return [members[label == k] for k in sorted(set(label.tolist())) if np.count_nonzero(label == k) > 1]
