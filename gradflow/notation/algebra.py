"""Sums and products as formulas mean them: vectors (n) are columns, their transposes rows (1, n).

Each raises ValueError for shapes that do not fit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def fitting(what: str, fits: bool, *values: Array) -> None:
    """Raise a ValueError with the shapes, unless they fit."""
    if not fits:
        raise ValueError(f"{what} of shapes {' and '.join(str(value.shape) for value in values)}")


def added(a: Array, b: Array) -> Array:
    """Return a sum; a number is added to each entry of a vector, as in 1 − z."""
    fitting("a sum", a.shape == b.shape or {a.ndim, b.ndim} == {0, 1}, a, b)
    return np.asarray(a + b)


def entrywise(a: Array, b: Array) -> Array:
    """Return a ⊙ b."""
    fitting("a product ⊙", a.shape == b.shape, a, b)
    return np.asarray(a * b)


def multiplied(a: Array, b: Array) -> Array:
    """Return a matrix product, over the last axis of one and the first of the other."""
    if not a.ndim or not b.ndim:
        return np.asarray(a * b)
    if a.ndim == 1:
        fitting("a product", b.ndim == 2 and len(b) == 1, a, b)
        return np.outer(a, b)
    fitting("a product", a.shape[-1] == len(b), a, b)
    return np.asarray(np.tensordot(a, b, axes=1))


def after(earlier: Array, later: Array) -> Array:
    """Return a product of ∏, the later factor on the left; vectors are multiplied entry by entry."""
    return entrywise(later, earlier) if later.ndim == earlier.ndim == 1 else multiplied(later, earlier)


def diagonal(value: Array) -> Array:
    """Return diag(v) (n, n)."""
    fitting("diag", value.ndim == 1, value)
    return np.diag(value)


def power(value: Array, exponent: int) -> Array:
    """Return a power of a square matrix, or of a number; the inverse is a symbol of its own."""
    square = value.ndim == 2 and value.shape[0] == value.shape[1]
    fitting("a power", exponent >= 0 and (square or not value.ndim), value)
    return np.linalg.matrix_power(value, exponent) if square else np.asarray(value**exponent)
