"""A grading of rows and columns that keeps small entries of a matrix from being lost beside large ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.enclosure import balance
from gradflow.linalg.irreducible import irreducible_blocks
from gradflow.linalg.scaled import ZERO_EXPONENT, Scaled, largest_exponents, shift_exponents

# Bits between the largest and the smallest entry. The terms of a product then stay in range, and so do their
# squares.
MAX_SPREAD_BITS = 300
GRADING_SHARES = np.linspace(0.0, 1.0, 17)  # of the full reduction, which may be too much
# Entries within `LARGEST_BITS` bits of the largest of the matrix itself stay within this many bits of the
# largest entry of the graded array. That one may be 2^-200, and doubles of full precision end at 2^-1022.
ROOM_BITS = 700
LARGEST_BITS = 100


def regrade(matrix: Scaled, max_spread: int = MAX_SPREAD_BITS) -> Scaled:
    """Return the same square matrix with the smallest spread of its entries that a grading can give.

    Within an irreducible block, rows and columns are balanced. Entries that couple one block to another are
    reduced to the size of the blocks. The reduction of each is the longest path of the exponents by which
    entries exceed that size. In a power of a Jordan block the couplings grow like nᵏ beside the diagonal,
    until the diagonal is lost, and all later powers with it.

    Parameters
    ----------
    matrix : Scaled
        Of shape (n, n).
    max_spread : int
        Bits between the largest and the smallest entry up to which the matrix does not change.

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
    gradings = [first + np.rint(share * path).astype(np.int64) for share in GRADING_SHARES]
    before = _exponents(matrix.array)
    own = np.zeros_like(first) if matrix.grading is None else matrix.grading
    allowed = [grading for grading in gradings if _keeps_largest(before, own, grading)]
    if not allowed:  # the old grading goes too far for the matrix as it is now
        taken_back = [-np.rint(share * own).astype(np.int64) for share in GRADING_SHARES]
        allowed = [grading for grading in taken_back if _keeps_largest(before, own, grading)]
    best = min(allowed, key=lambda grading: _measure_spread(before, grading))
    if not best.any():
        return matrix
    graded = matrix.with_grading(own + best)
    return Scaled.of(graded.array, graded.exponent, graded.grading)


def ungrade_vectors(vectors: NDArray[Any] | None, grading: NDArray[np.int64] | None) -> NDArray[Any] | None:
    """Return the eigenvectors (n, n) of a matrix, columns of norm 1, given those of its graded form."""
    if vectors is None or grading is None:
        return vectors
    top = largest_exponents(vectors, grading[:, None], axis=0)
    moved = shift_exponents(vectors, grading[:, None] - top)
    return np.asarray(moved / np.linalg.norm(moved, axis=0))


def _exponents(array: NDArray[np.generic]) -> NDArray[np.int64]:
    sizes = np.abs(array)
    return np.where(sizes > 0, np.frexp(sizes)[1].astype(np.int64), ZERO_EXPONENT)


def exponent_spread(array: NDArray[np.generic]) -> int:
    """Return the bits between the largest and the smallest entry that is not 0."""
    sizes = np.abs(array)
    largest, least = float(sizes.max(initial=0.0)), float(sizes.min(initial=np.inf))
    if least == 0.0:
        least = float(sizes.min(initial=np.inf, where=sizes > 0))
    return int(np.frexp(largest)[1]) - int(np.frexp(least)[1]) if largest else 0


def _measure_spread(exponents: NDArray[np.int64], grading: NDArray[np.int64]) -> int:
    """Return the bits between the largest and the smallest entry that is not 0, under a grading."""
    there = exponents > ZERO_EXPONENT
    graded = (exponents - grading[:, None] + grading)[there]
    return int(graded.max() - graded.min()) if graded.size else 0


def _keeps_largest(exponents: NDArray[np.int64], own: NDArray[np.int64], further: NDArray[np.int64]) -> bool:
    """Return whether a further grading keeps the entries that decide the norm far from the smallest double.

    These are the largest entries of the matrix without any grading. ``own`` is the grading it already has.
    """
    there = exponents > ZERO_EXPONENT
    ungraded = (exponents + own[:, None] - own)[there]
    graded = (exponents - further[:, None] + further)[there]
    deciding = graded[ungraded >= ungraded.max() - LARGEST_BITS]
    return bool(deciding.min() >= graded.max() - ROOM_BITS)


def _level(blocks: list[NDArray[np.intp]], exponents: NDArray[np.int64]) -> int:
    """Return the exponent of the largest entry within an irreducible block, 0 if all of them are 0."""
    level = ZERO_EXPONENT
    for block in blocks:
        level = max(level, int(exponents[np.ix_(block, block)].max()))
    return level if level > ZERO_EXPONENT else 0


def _longest_path(exponents: NDArray[np.int64], level: int) -> NDArray[np.int64]:
    """Return d ≥ 0 with exponents[i, j] − d[i] + d[j] ≤ level for every entry that is not 0."""
    excess = np.where(exponents > ZERO_EXPONENT, exponents - level, ZERO_EXPONENT)
    np.fill_diagonal(excess, ZERO_EXPONENT)
    path = np.zeros(len(exponents), np.int64)
    for _ in range(len(exponents)):
        longer = np.maximum(path, (excess + path).max(axis=1, initial=ZERO_EXPONENT))
        if np.array_equal(longer, path):
            break
        path = longer
    return path
