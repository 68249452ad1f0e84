"""Norms of Y_k = A_k ⋯ A_1 Y_0 whose final size is far below the largest size on the way.

Each column has its own power of two, its own columns of rounding (`gradflow.linalg.rounding`) and its own
structure: the entries that could be other than 0 (`gradflow.linalg.structure`). A column that no large
column feeds keeps all its digits, however large other columns grow before they die. This costs about seven
times as much as the plain product, and takes no shortcut.
"""

from collections.abc import Iterator
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.products import Action
from gradflow.linalg.rounding import RoundingColumns
from gradflow.linalg.scaled import ZERO_EXPONENT
from gradflow.linalg.structure import draw_values_on

Array = NDArray[Any]
ROUNDING_COLUMNS_EACH = 4  # columns of rounding for each column
# Fails with the same chance as `gradflow.linalg.rounding.ROUNDING_CAUTION`, with fewer columns.
COLUMNWISE_CAUTION = 40.0
MAX_ROUNDING_BITS = 40  # by which the rounding of a column may exceed the column; more is cut off


class ColumnwiseProduct(NamedTuple):
    """Measured rows of a product, ``block * 2**exponent``, and a bound of their rounding at that scale."""

    lag: int
    block: Array  # (..., rows, r), near 1 or 0
    exponent: Array  # (...,)
    rounding: Array  # (...,), inf where a step overflows
    zero: Array  # (...,) whether the rows are 0 by their structure


def columnwise_products(
    act: Action,
    steps: int,
    start: Array,
    rows: slice | Array,
    generator: np.random.Generator,
) -> Iterator[ColumnwiseProduct]:
    """Yield the rows of every product Y_k, for k from 1, of a start (..., n, r)."""
    rounding = RoundingColumns(start.dtype, generator, ROUNDING_COLUMNS_EACH)
    product, exponents = _scale_near_one(start, np.zeros((*start.shape[:-2], start.shape[-1]), np.int64))
    errors, sizes = (
        np.concatenate([np.zeros_like(start)] * ROUNDING_COLUMNS_EACH, axis=-1),
        np.tile(exponents, ROUNDING_COLUMNS_EACH),
    )
    pattern, parts = (
        start != 0,
        start.shape[-1] * np.array([1, 1 + ROUNDING_COLUMNS_EACH, 2 + ROUNDING_COLUMNS_EACH]),
    )
    for k in range(steps):
        noise = np.where(pattern, rounding.noise(np.abs(product)), 0.0).astype(start.dtype)
        values = draw_values_on(pattern, start.dtype, generator)
        with np.errstate(over="ignore", invalid="ignore"):
            moved = act(k, np.concatenate([product, errors, noise, values], axis=-1))
        product, errors, noise, values = np.split(moved, parts, axis=-1)
        pattern = values != 0
        fresh = np.concatenate([noise + rounding.floor * pattern] * ROUNDING_COLUMNS_EACH, axis=-1)
        fresh = (fresh * rounding.signs(fresh.shape)).astype(start.dtype)
        errors, sizes = _add_columns(errors, sizes, fresh, np.tile(exponents, ROUNDING_COLUMNS_EACH))
        if not (np.isfinite(product).all() and np.isfinite(errors).all()):
            zero = np.zeros(start.shape[:-2], bool)
            yield ColumnwiseProduct(k + 1, product, exponents, np.full(start.shape[:-2], np.inf), zero)
            return
        (errors, sizes), (product, moved_to) = (
            _scale_near_one(errors, sizes),
            _scale_near_one(product, exponents),
        )
        # A column that is computed as 0, but is not 0 by its structure, keeps its scale and its rounding.
        exponents = np.where(pattern.any(axis=-2) & (moved_to == ZERO_EXPONENT), exponents, moved_to)
        zero = ~pattern[..., rows, :].any(axis=(-2, -1))
        seen = _align_columns(product[..., rows, :], exponents, errors[..., rows, :], sizes)
        yield ColumnwiseProduct(k + 1, *seen, zero)


def _scale_near_one(block: Array, exponents: Array) -> tuple[Array, Array]:
    """Return the same columns, scaled so that the largest entry of each is near 1."""
    sizes = np.abs(block).max(axis=-2, initial=0.0)
    shifts = np.frexp(sizes)[1].astype(np.int64)
    return np.ldexp(block, -shifts[..., None, :]), np.where(sizes > 0, exponents + shifts, ZERO_EXPONENT)


def _add_columns(first: Array, exponents: Array, second: Array, others: Array) -> tuple[Array, Array]:
    """Return the sums of columns that have powers of two."""
    top = np.maximum(exponents, others)
    return _shift_columns(first, exponents - top) + _shift_columns(second, others - top), top


def _shift_columns(block: Array, shifts: Array) -> Array:
    return np.asarray(np.ldexp(block, np.maximum(shifts, -5000)[..., None, :]))


def _align_columns(block: Array, exponents: Array, errors: Array, sizes: Array) -> tuple[Array, Array, Array]:
    """Return columns at one scale, that scale, and a bound of their rounding.

    Entries that are too small at that scale become 0: they do not matter to a norm.
    """
    tops, error_tops = _top_exponents(block, exponents), _top_exponents(errors, sizes)
    top = tops.max(axis=-1)
    top = np.where(top > ZERO_EXPONENT // 2, top, error_tops.max(axis=-1))[..., None]
    # Rounding far above the scale may be cut off: no digit is left either way.
    shifted = _shift_columns(errors, sizes - top - np.maximum(error_tops - top - MAX_ROUNDING_BITS, 0))
    rounding = (
        COLUMNWISE_CAUTION
        / sqrt(ROUNDING_COLUMNS_EACH)
        * np.sqrt(np.einsum("...ij,...ij->...", shifted, shifted))
    )
    return _shift_columns(block, exponents - top), top[..., 0], rounding


def _top_exponents(block: Array, exponents: Array) -> Array:
    """Return the exponent of the largest entry of each column; `ZERO_EXPONENT` for a column of zeros."""
    sizes = np.abs(block).max(axis=-2, initial=0.0)
    return np.where(sizes > 0, exponents + np.frexp(sizes)[1], ZERO_EXPONENT)
