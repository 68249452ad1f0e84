"""Sums and products as formulas mean them: vectors (n) are columns, and their transposes are rows (1, n).

Each function raises ValueError for shapes that do not fit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def check_shapes(what: str, fits: bool, *values: Array) -> None:
    """Raise a ValueError with the shapes unless they fit."""
    if not fits:
        raise ValueError(f"{what} of shapes {' and '.join(str(value.shape) for value in values)}")


def add(a: Array, b: Array) -> Array:
    """Return a sum; a number is added to each entry of a vector, as in 1 − z."""
    check_shapes("a sum", a.shape == b.shape or {a.ndim, b.ndim} == {0, 1}, a, b)
    return np.asarray(a + b)


def multiply_entries(a: Array, b: Array) -> Array:
    """Return a ⊙ b."""
    check_shapes("a product ⊙", a.shape == b.shape, a, b)
    return np.asarray(a * b)


def multiply_matrices(a: Array, b: Array) -> Array:
    """Return the product over the last axis of one array and the first axis of the other."""
    if not a.ndim or not b.ndim:
        return np.asarray(a * b)
    if a.ndim == 1:
        check_shapes("a product", b.ndim == 2 and len(b) == 1, a, b)
        return np.outer(a, b)
    check_shapes("a product", a.shape[-1] == len(b), a, b)
    return np.asarray(np.tensordot(a, b, axes=1))


def multiply_before(earlier: Array, later: Array) -> Array:
    """Return a product of ∏ with the later factor on the left; vectors are multiplied entry by entry."""
    both_vectors = later.ndim == earlier.ndim == 1
    return multiply_entries(later, earlier) if both_vectors else multiply_matrices(later, earlier)


def make_diagonal(value: Array) -> Array:
    """Return diag(v) (n, n)."""
    check_shapes("diag", value.ndim == 1, value)
    return np.diag(value)


def measure(bars: str, value: Array) -> Array:
    """Return |·| entry by entry, or the norm ‖·‖ of a matrix, a vector or a number."""
    return np.asarray(np.abs(value) if bars == "|" or not value.ndim else np.linalg.norm(value, 2))
