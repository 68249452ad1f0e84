"""Norms of Y_k = A_k ⋯ A_1 Y_0 where what decides in the end is far under the largest on the way.

Every column carries its own power of two, its own columns of rounding (`gradflow.linalg.rounding`) and its
own structure, which of its entries could be other than 0 (`gradflow.linalg.structure`). A column that
nothing large feeds keeps all its digits, however large others grow before they die. It costs some seven
times what the plain product costs, and takes no shortcut.
"""

from collections.abc import Iterator
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.columns import NOWHERE
from gradflow.linalg.products import Action
from gradflow.linalg.rounding import RoundingColumns
from gradflow.linalg.structure import values_on

Array = NDArray[Any]
EACH = 4  # columns of rounding for every column
EACH_CAUTION = 40.0  # the same chance as `gradflow.linalg.rounding.CAUTION`, with fewer of them
CUT_OFF = 40  # powers of two by which rounding may stand over what it is the rounding of


class ColumnwiseProduct(NamedTuple):
    """The rows measured of a product, ``block * 2**exponent``, and a bound of its rounding at that scale."""

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
    """Yield the rows of every product Y_k, k from 1, of a start (..., n, r)."""
    rounding = RoundingColumns(start.dtype, generator, EACH)
    product, exponents = _near(start, np.zeros((*start.shape[:-2], start.shape[-1]), np.int64))
    errors, sizes = np.concatenate([np.zeros_like(start)] * EACH, axis=-1), np.tile(exponents, EACH)
    pattern, parts = start != 0, start.shape[-1] * np.array([1, 1 + EACH, 2 + EACH])
    for k in range(steps):
        noise = np.where(pattern, rounding.noise(np.abs(product)), 0.0).astype(start.dtype)
        values = values_on(pattern, start.dtype, generator)
        with np.errstate(over="ignore", invalid="ignore"):
            moved = act(k, np.concatenate([product, errors, noise, values], axis=-1))
        product, errors, noise, values = np.split(moved, parts, axis=-1)
        pattern = values != 0
        fresh = np.concatenate([noise + rounding.floor * pattern] * EACH, axis=-1)
        fresh = (fresh * rounding.signs(fresh.shape)).astype(start.dtype)
        errors, sizes = _sum(errors, sizes, fresh, np.tile(exponents, EACH))
        if not (np.isfinite(product).all() and np.isfinite(errors).all()):
            zero = np.zeros(start.shape[:-2], bool)
            yield ColumnwiseProduct(k + 1, product, exponents, np.full(start.shape[:-2], np.inf), zero)
            return
        (errors, sizes), (product, moved_to) = _near(errors, sizes), _near(product, exponents)
        # a column that reads 0, though it need not be, goes on at its scale, and its rounding with it
        exponents = np.where(pattern.any(axis=-2) & (moved_to == NOWHERE), exponents, moved_to)
        zero = ~pattern[..., rows, :].any(axis=(-2, -1))
        seen = _aligned(product[..., rows, :], exponents, errors[..., rows, :], sizes)
        yield ColumnwiseProduct(k + 1, *seen, zero)


def _near(block: Array, exponents: Array) -> tuple[Array, Array]:
    """Return the same columns with the largest entry of each near 1."""
    sizes = np.abs(block).max(axis=-2, initial=0.0)
    shifts = np.frexp(sizes)[1].astype(np.int64)
    return np.ldexp(block, -shifts[..., None, :]), np.where(sizes > 0, exponents + shifts, NOWHERE)


def _sum(one: Array, exponents: Array, other: Array, others: Array) -> tuple[Array, Array]:
    """Return the sums of columns, each with its power of two."""
    top = np.maximum(exponents, others)
    return _shifted(one, exponents - top) + _shifted(other, others - top), top


def _shifted(block: Array, shifts: Array) -> Array:
    return np.asarray(np.ldexp(block, np.maximum(shifts, -5000)[..., None, :]))


def _aligned(block: Array, exponents: Array, errors: Array, sizes: Array) -> tuple[Array, Array, Array]:
    """Return columns at one scale, that scale, and a bound of their rounding.

    What falls under the scale counts for nothing in a norm.
    """
    tops, error_tops = _tops(block, exponents), _tops(errors, sizes)
    top = tops.max(axis=-1)
    top = np.where(top > NOWHERE // 2, top, error_tops.max(axis=-1))[..., None]
    # rounding far over the scale is large enough where it is cut off: no digit is left
    shifted = _shifted(errors, sizes - top - np.maximum(error_tops - top - CUT_OFF, 0))
    rounding = EACH_CAUTION / sqrt(EACH) * np.sqrt(np.einsum("...ij,...ij->...", shifted, shifted))
    return _shifted(block, exponents - top), top[..., 0], rounding


def _tops(block: Array, exponents: Array) -> Array:
    """Return the exponents of the largest entries of columns, `NOWHERE` for zeros."""
    sizes = np.abs(block).max(axis=-2, initial=0.0)
    return np.where(sizes > 0, exponents + np.frexp(sizes)[1], NOWHERE)
