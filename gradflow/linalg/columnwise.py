"""Norms of Y_k = A_k ⋯ A_1 Y_0 where what decides in the end is far under the largest on the way.

Every column carries its own power of two, and its own columns of rounding (`gradflow.linalg.rounding`): a column
that nothing large feeds keeps all its digits, however large others grow before they die. It costs some six
times what the plain product costs, and takes no shortcut.
"""

from collections.abc import Callable, Iterator
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.columns import NOWHERE
from gradflow.linalg.rounding import RoundingColumns

Array = NDArray[Any]
EACH = 4  # columns of rounding for every column
EACH_CAUTION = 40.0  # the same chance as `gradflow.linalg.rounding.CAUTION`, with fewer of them
CUT_OFF = 40  # powers of two by which rounding may stand over what it is the rounding of


class ColumnwiseProduct(NamedTuple):
    """The rows measured of one product, ``block * 2**exponent``, and a bound of its rounding, scaled alike."""

    lag: int
    block: Array  # (..., rows, r), near 1 or 0
    exponent: Array  # (...,)
    rounding: Array  # (...,)


def columnwise_products(
    act: Callable[[int, Array], Array],
    steps: int,
    start: Array,
    rows: slice | Array,
    generator: np.random.Generator,
) -> Iterator[ColumnwiseProduct]:
    """Yield the rows of every product Y_k, k from 1, of a start (..., n, r)."""
    count, rounding = start.shape[-1], RoundingColumns(start.dtype, generator, EACH)
    errors = slice(count, (1 + EACH) * count)
    block = np.concatenate([start, np.zeros((*start.shape[:-1], (1 + EACH) * count), start.dtype)], axis=-1)
    exponents = np.zeros((*start.shape[:-2], block.shape[-1]), np.int64)
    block, exponents = _near(block, exponents)
    for k in range(steps):
        # of zeros no rounding comes, and the floor is no larger than what a column may have lost
        alive = (exponents[..., :count] > NOWHERE // 2)[..., None, :]
        block[..., -count:] = np.where(alive, rounding.noise(np.abs(block[..., :count])), 0.0)
        exponents[..., -count:] = exponents[..., :count]
        with np.errstate(over="ignore", invalid="ignore"):
            block = act(k, block)
        fresh = np.where(alive, np.abs(block[..., -count:]) + rounding.floor, 0.0)
        added = np.concatenate([fresh] * EACH, axis=-1)
        added = added * rounding.signs(added.shape)
        block[..., errors], exponents[..., errors] = _sum(
            block[..., errors], exponents[..., errors], added, np.tile(exponents[..., :count], EACH)
        )
        if not np.isfinite(block).all():
            yield ColumnwiseProduct(k + 1, block, exponents, np.full(start.shape[:-2], np.inf))
            return
        block, exponents = _near(block, exponents)
        yield _measurable(k + 1, block, exponents, rows, count)


def _near(block: Array, exponents: Array) -> tuple[Array, Array]:
    """Return the same columns with the largest entry of each near 1."""
    shifts = np.frexp(np.abs(block).max(axis=-2, initial=0.0))[1].astype(np.int64)
    alive = block.any(axis=-2)
    return np.ldexp(block, -shifts[..., None, :]), np.where(alive, exponents + shifts, NOWHERE)


def _sum(one: Array, exponents: Array, other: Array, others: Array) -> tuple[Array, Array]:
    """Return the sums of columns, each with its power of two."""
    top = np.maximum(exponents, others)
    return _shifted(one, exponents - top) + _shifted(other, others - top), top


def _shifted(block: Array, shifts: Array) -> Array:
    return np.asarray(np.ldexp(block, np.maximum(shifts, -5000)[..., None, :]))


def _measurable(lag: int, block: Array, exponents: Array, rows: slice | Array, count: int) -> ColumnwiseProduct:
    """Return the rows of all columns at one scale: what falls under it counts for nothing in a norm."""
    seen = block[..., rows, :]
    sizes = exponents + np.frexp(np.abs(seen).max(axis=-2, initial=0.0))[1]
    sizes = np.where(seen.any(axis=-2), sizes, NOWHERE)[..., : (1 + EACH) * count]
    top = sizes[..., :count].max(axis=-1)
    top = np.where(top > NOWHERE // 2, top, sizes.max(axis=-1))[..., None]
    # rounding far over the top is large enough where it is cut off: no digit is left
    every = exponents[..., : (1 + EACH) * count]
    shifted = _shifted(seen[..., : (1 + EACH) * count], every - top - np.maximum(sizes - top - CUT_OFF, 0))
    errors = shifted[..., count:]
    rounding = EACH_CAUTION / sqrt(EACH) * np.sqrt(np.einsum("...ij,...ij->...", errors, errors))
    return ColumnwiseProduct(lag, shifted[..., :count], top[..., 0], rounding)
