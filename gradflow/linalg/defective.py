"""Eigenvalues without a full set of eigenvectors, in the matrix or in one within rounding of it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.enclosure import connected_components
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.norms import frobenius_norm

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]
Places = NDArray[np.intp]

# The backward error of an orthogonal reduction, in units of n·eps of the Frobenius norm.
REDUCTION_ERROR = 2.0
MAX_CLUSTER_SPREAD = 3.0  # times the spread of one Jordan block's eigenvalues under rounding
MIN_COUPLING_RATIO = 1e3  # a coupling is at least this many times the tolerance


def candidate_clusters(values: Complex, radii: Real) -> Iterator[Places]:
    """Yield groups of eigenvalues whose discs touch: first the widest groups, then the parts of each."""
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
    """Return the number of eigenvectors of the mean of a cluster, in a matrix within rounding of this one.

    The staircase of Kågström & Ruhe (1980): let T be the Schur form on the invariant subspace of the m
    eigenvalues, and μ their mean. Orthogonal transformations reduce T − μ to a strictly block upper
    triangular form, in which μ is an m-fold eigenvalue. The entries that are set to 0 on the way are the
    distance to that matrix. They prove the cluster if they are at most the backward error of the reduction
    itself. If they are larger, the result is None.

    Parameters
    ----------
    matrix : array (n, n)
    cluster : array (m,)
        Computed eigenvalues of the matrix.
    """
    from scipy.linalg import schur  # numpy has no Schur form, and few matrices have clusters

    size, count, mean = len(matrix), len(cluster), cluster.mean()
    tolerance = REDUCTION_ERROR * size * DOUBLE_EPS * frobenius_norm(matrix)
    # m eigenvalues of one Jordan block are at most this far apart (Lidskii 1966)
    if np.abs(cluster - mean).max() > MAX_CLUSTER_SPREAD * tolerance ** (1 / count) * frobenius_norm(
        matrix
    ) ** (1 - 1 / count):
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
        if np.any((singular > tolerance) & (singular < MIN_COUPLING_RATIO * tolerance)):
            return None  # it may be a coupling or rounding
        lost += float(np.sum(singular[len(singular) - null :] ** 2))
        if not null or lost > tolerance**2:
            return None
        first = first or null
        basis = rows[::-1].conj().T  # the null space comes first
        rest = (basis.conj().T @ rest @ basis)[null:, null:]
    return first


def _components(members: Places, near: NDArray[np.bool_]) -> list[Places]:
    """Return the connected components, of at least two vertices, of the graph whose edges are ``near``."""
    label = connected_components(near)
    return [members[label == k] for k in sorted(set(label.tolist())) if np.count_nonzero(label == k) > 1]
