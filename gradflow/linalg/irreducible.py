"""The irreducible diagonal blocks of a matrix: what its pattern of zeros says exactly of its eigenvalues."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def irreducible_blocks(matrix: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Return the index sets of the irreducible diagonal blocks, from the top down.

    In this order of rows and columns the matrix is block upper triangular. So its eigenvalues are those of
    the diagonal blocks, whatever the other entries are. The blocks are the strongly connected components of
    the graph with an edge i → j for each entry that is not 0 (Varga 2000, section 1.4). If a permutation
    makes a matrix triangular, all its blocks have one row.

    Parameters
    ----------
    matrix : array (n, n)

    Examples
    --------
    >>> irreducible_blocks(np.array([[0.5, 0.0, 0.0], [1.0, 0.0, 2.0], [1.0, 1.0, 0.0]]))
    [array([1, 2]), array([0])]
    """
    reachable = (matrix != 0) | np.eye(len(matrix), dtype=bool)
    while True:
        counts = reachable.astype(np.float32)  # sums of at most n ones: exact
        wider = counts @ counts > 0
        if np.array_equal(wider, reachable):
            break
        reachable = wider
    mutual = reachable & reachable.T
    leaders = np.argmax(mutual, axis=1)
    # A vertex that reaches another block reaches more vertices than that block does.
    order = np.lexsort((np.arange(len(matrix)), leaders, -np.count_nonzero(reachable, axis=1)))
    ends = np.flatnonzero(np.diff(leaders[order])) + 1
    return np.split(order, ends) if len(matrix) else []
