"""A grading of rows and columns under which no entry of a matrix is lost beside the others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.enclosure import balance
from gradflow.linalg.irreducible import irreducible_blocks
from gradflow.linalg.scaled import NOTHING, Scaled, largest_exponents, shifted

# Bits between the largest and the smallest entry: terms of a product then stay in range, and so do squares of
# it.
MAX_SPREAD = 300
SHARES = np.linspace(0.0, 1.0, 17)
# Bits under the largest entry of the graded array at which every entry stays that is within `LARGEST_BITS` of
# the largest of the matrix itself: the array's largest may be 2^-200, and doubles of full precision end at
# 2^-1022.
ROOM = 700
LARGEST_BITS = 100


def regrade(matrix: Scaled, max_spread: int = MAX_SPREAD) -> Scaled:
    """Return the same square matrix with its smallest entry nearer to its largest, as far as a grading can.

    Within an irreducible block rows and columns are balanced. Entries that couple one block to another are
    brought down to the size of the blocks, by the longest path of the exponents that they exceed it by: in a
    power of a Jordan block they grow like nᵏ beside the diagonal, until the diagonal is lost, and with it all
    later powers.

    Parameters
    ----------
    matrix : Scaled
        Of shape (n, n).
    max_spread : int
        Bits between the largest and the smallest entry up to which the matrix stays as it is.

    Examples
    --------
    >>> far = Scaled(np.array([[0.0, 1e200, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1e-200]]))
    >>> bool((regrade(far) @ far).array[2, 2] > 0), bool((far @ far).array[2, 2] > 0)
    (True, False)
    """
    if exponent_spread(matrix.array) <= max_spread:
        return matrix
    blocks = irreducible_blocks(matrix.array)
    array, first = matrix.array, np.zeros(len(matrix.array), np.int64)
    if len(blocks) < len(array):
        scales = balance(array)
        array, first = array * scales / scales[:, None], np.frexp(scales)[1].astype(np.int64) - 1
    exponents = _exponents(array)
    path = _longest_path(exponents, _level(blocks, exponents))
    gradings = [first + np.rint(share * path).astype(np.int64) for share in SHARES]
    before = _exponents(matrix.array)
    own = np.zeros_like(first) if matrix.grading is None else matrix.grading
    allowed = [one for one in gradings if _keeps_largest(before, own, one)]
    if not allowed:  # the grading of before goes too far for what has become of the matrix
        taken_back = [-np.rint(share * own).astype(np.int64) for share in SHARES]
        allowed = [one for one in taken_back if _keeps_largest(before, own, one)]
    best = min(allowed, key=lambda one: _graded_spread(before, one))
    if not best.any():
        return matrix
    graded = matrix.graded_as(own + best)
    return Scaled.of(graded.array, graded.exponent, graded.grading)


def ungrade_vectors(vectors: NDArray[Any] | None, grading: NDArray[np.int64] | None) -> NDArray[Any] | None:
    """Return eigenvectors (n, n) of a graded matrix as those of the matrix itself, columns of norm 1."""
    if vectors is None or grading is None:
        return vectors
    top = largest_exponents(vectors, grading[:, None], axis=0)
    moved = shifted(vectors, grading[:, None] - top)
    return np.asarray(moved / np.linalg.norm(moved, axis=0))


def _exponents(array: NDArray[np.generic]) -> NDArray[np.int64]:
    sizes = np.abs(array)
    return np.where(sizes > 0, np.frexp(sizes)[1].astype(np.int64), NOTHING)


def exponent_spread(array: NDArray[np.generic]) -> int:
    """Return the bits between the largest and the smallest entry that is not 0."""
    return _graded_spread(_exponents(array), np.zeros(len(array), np.int64))


def _graded_spread(exponents: NDArray[np.int64], grading: NDArray[np.int64]) -> int:
    """Return the bits between the largest and the smallest entry that is not 0."""
    there = exponents > NOTHING
    graded = (exponents - grading[:, None] + grading)[there]
    return int(graded.max() - graded.min()) if graded.size else 0


def _keeps_largest(exponents: NDArray[np.int64], own: NDArray[np.int64], further: NDArray[np.int64]) -> bool:
    """Return whether a further grading leaves the entries that decide the norm far from the smallest double.

    They are the largest of the matrix without any grading; that it had before is ``own``.
    """
    there = exponents > NOTHING
    ungraded = (exponents + own[:, None] - own)[there]
    graded = (exponents - further[:, None] + further)[there]
    deciding = graded[ungraded >= ungraded.max() - LARGEST_BITS]
    return bool(deciding.min() >= graded.max() - ROOM)


def _level(blocks: list[NDArray[np.intp]], exponents: NDArray[np.int64]) -> int:
    """Return the exponent of the largest entry within an irreducible block, 0 where all of them are 0."""
    level = NOTHING
    for block in blocks:
        level = max(level, int(exponents[np.ix_(block, block)].max()))
    return level if level > NOTHING else 0


def _longest_path(exponents: NDArray[np.int64], level: int) -> NDArray[np.int64]:
    """Return d ≥ 0 with exponents[i, j] − d[i] + d[j] ≤ level for every entry that is not 0."""
    excess = np.where(exponents > NOTHING, exponents - level, NOTHING)
    np.fill_diagonal(excess, NOTHING)
    path = np.zeros(len(exponents), np.int64)
    for _ in range(len(exponents)):
        longer = np.maximum(path, (excess + path).max(axis=1, initial=NOTHING))
        if np.array_equal(longer, path):
            break
        path = longer
    return path
