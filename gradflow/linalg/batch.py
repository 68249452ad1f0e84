"""Norms of Y_k = A_k ⋯ A_1 Y_0 for many small products at once, without any shortcut."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from gradflow.errors import NumericalError
from gradflow.linalg.chain import MAX_UNSCALED_SIZE, MIN_UNSCALED_SIZE, ChainNorms, describe_overflow
from gradflow.linalg.columnwise import columnwise_products
from gradflow.linalg.gram_norms import spectral_norms
from gradflow.linalg.products import Action, Array
from gradflow.linalg.rounding import (
    EPS_BY_BYTES,
    NO_DIGIT_ERROR,
    ROUNDING_COLUMNS,
    SUSPICIOUS_ERROR,
    RoundingColumns,
)
from gradflow.linalg.scaled import log10_of
from gradflow.linalg.structure import StructuralPattern

MAX_PENDING_ENTRIES = 2**20  # stored entries after which the norms are computed


def batch_norms(
    act: Action,
    steps: int,
    start: Array,
    *,
    rows: slice | Array = slice(None),
    wanted: Callable[[int], bool] = lambda lag: True,  # noqa: ARG005
    part: slice | Array | None = None,
    part_wanted: Callable[[int], bool] = lambda lag: True,  # noqa: ARG005
) -> "BatchNorms":
    """Return the norms of ``rows`` of every product as log₁₀, (seeds, steps): one product for each seed.

    If the rounding of the whole product could have left few digits of the norm of a part, the part is
    computed again by itself.

    Parameters
    ----------
    act : callable
        ``act(k, block)`` returns A_{k+1} X for blocks X of shape (seeds, n, m).
    steps : int
        The number of products.
    start : array (seeds, n, r)
        Y_0.
    rows : slice or index array
        The rows whose norm is measured. The product itself is computed in full.
    wanted : callable
        Whether the norms at a lag (from 1) are requested. The norms at other lags are nan.
    part : slice or index array, optional
        The columns whose Frobenius norm is requested, also at lags where other norms are not.
    part_wanted : callable
        Whether it is requested at a lag (from 1).

    Raises
    ------
    NumericalError
        If an entry leaves the range of a double within one step.

    Examples
    --------
    >>> start = np.stack([np.eye(2), 3 * np.eye(2)])
    >>> batch_norms(lambda k, block: 0.1 * block, 400, start).two[:, -1].round(4).tolist()
    [-400.0, -399.5229]
    """
    seeds, _, columns = start.shape
    has_part, part = part is not None, _find_proper_part(part, columns)

    def is_measured(lag: int) -> bool:
        return wanted(lag) or (has_part and part_wanted(lag))

    rounding = RoundingColumns(start.dtype, np.random.default_rng(0))
    nothing = np.zeros((*start.shape[:-1], ROUNDING_COLUMNS + 1), start.dtype)
    block, exponents = np.concatenate([start, nothing], axis=-1), np.zeros(seeds, np.int64)
    structure = StructuralPattern(act, start)
    norms = _BatchMeasurement(seeds, steps, columns, start.dtype, rounding, part)
    largest = _find_largest_of_rows(block[..., :columns])
    for lag in range(steps):
        block[..., -1] = rounding.noise(sqrt(columns) * largest)
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            block = act(lag, block)
        rounding.absorb(block[..., columns:])
        largest = _find_largest_of_rows(block[..., :columns])
        # Rounding counts too: it may be all that is left after the columns it came from have died.
        lost = np.abs(block[..., columns:-1]).max(axis=(1, 2))
        whole = np.maximum(largest.max(axis=1), lost)
        if not np.isfinite(whole).all():
            raise NumericalError(describe_overflow(lag))
        seen = block[:, rows]
        if is_measured(lag + 1):
            norms.gather(lag, seen, exponents, spectral=wanted(lag + 1))
            if not (largest[:, rows] > 0).any(axis=1).all():
                norms.zero[:, lag] = structure.is_zero(lag + 1, rows)
        far = _is_far(whole)
        if far.any():
            shifts = np.where(far, np.frexp(whole)[1], 0)
            block = np.ldexp(block, -shifts[:, None, None])
            largest = np.ldexp(largest, -shifts[:, None])
            exponents += shifts
    norms.measure()
    doubtful = norms.find_doubtful()
    if doubtful.any():
        first = int(np.argmax(doubtful.any(axis=0)))
        for product in columnwise_products(act, steps, start, rows, rounding.generator):
            if product.lag > first and is_measured(product.lag):
                place = product.lag - 1
                chosen = doubtful[:, : place + 1].any(axis=1)
                norms.zero[chosen, place] = product.zero[chosen]
                columnwise = (product.block[None], product.exponent[None], product.rounding[None])
                norms.write([place], *columnwise, chosen, spectral=wanted(product.lag))
    if part is None or not norms.find_doubtful_part().any():
        return norms.collect_norms()
    norms.part_rounding[:] = 0.0  # of norms that are replaced
    found = norms.collect_norms()
    nothing_else, everything = frozenset().__contains__, slice(None)
    alone = batch_norms(
        act, steps, start[..., part], rows=rows, wanted=nothing_else, part=everything, part_wanted=part_wanted
    )
    return replace(found, part=alone.part, part_bounds=alone.part_bounds, error=max(found.error, alone.error))


def _find_largest_of_rows(block: Array) -> Array:
    """Return the largest absolute value of each row."""
    return np.asarray(np.maximum(block.max(axis=-1), -block.min(axis=-1)))


def _is_far(sizes: Array) -> Array:
    """Return whether blocks of these sizes are to be scaled."""
    return np.asarray((sizes > MAX_UNSCALED_SIZE) | ((sizes < MIN_UNSCALED_SIZE) & (sizes > 0)))


def _find_proper_part(part: slice | Array | None, columns: int) -> slice | Array | None:
    """Return a part that leaves columns out, or None."""
    return part if part is not None and len(np.arange(columns)[part]) < columns else None


@dataclass(frozen=True, eq=False)
class BatchNorms(ChainNorms):
    """The norms of every product of a batch.

    ``part`` is the Frobenius norm of some of the columns, or of all if no part was named. ``part_bounds`` is
    true where rounding has left no digit of it, so that it is an upper bound.
    """

    part: Array
    part_bounds: Array  # of bool, (seeds, steps)


class _BatchMeasurement:
    """The norms of every seed at every lag, as log₁₀, and their relative rounding."""

    def __init__(
        self,
        seeds: int,
        steps: int,
        columns: int,
        dtype: np.dtype[Any],
        probes: RoundingColumns,
        part: slice | Array | None,
    ) -> None:
        self.columns, self.bytes, self.probes, self.part = columns, dtype.itemsize, probes, part
        self.part_frobenius = np.full((seeds, steps), np.nan)
        self.two, self.frobenius = np.full((seeds, steps), np.nan), np.full((seeds, steps), np.nan)
        # relative to the norms
        self.rounding, self.part_rounding = np.zeros((seeds, steps)), np.zeros((seeds, steps))
        self.zero = np.zeros((seeds, steps), bool)  # by structure
        self.pending: dict[bool, list[tuple[int, Array, Array]]] = {True: [], False: []}

    def gather(self, lag: int, seen: Array, exponents: Array, *, spectral: bool) -> None:
        """Store the measured rows of a block and its columns of rounding; measure once there are enough."""
        pending = self.pending[spectral]
        pending.append((lag, seen, exponents.copy()))
        if len(pending) * seen.size >= MAX_PENDING_ENTRIES:
            self._measure_pending(spectral=spectral)

    def measure(self) -> None:
        """Compute the norms of the stored blocks."""
        for spectral in self.pending:
            self._measure_pending(spectral=spectral)

    def _measure_pending(self, *, spectral: bool) -> None:
        """Compute the norms of the blocks that are stored with or without a request for spectral norms."""
        pending = self.pending[spectral]
        if not pending:
            return
        blocks = np.stack([block for _, block, _ in pending])
        exponents = np.stack([exponent for _, _, exponent in pending])
        lags = [lag for lag, _, _ in pending]
        pending.clear()
        near = blocks[..., : self.columns]
        # The rows may be far smaller than the whole product: near 1 their squares stay in range.
        largest = np.maximum(near.max(axis=(2, 3), initial=0.0), -near.min(axis=(2, 3), initial=0.0))
        shifts = np.where(_is_far(largest), np.frexp(largest)[1], 0)
        if shifts.any():
            near = np.ldexp(near, -shifts[..., None, None])
        with np.errstate(over="ignore"):  # inf means that no digit is left
            rounding = np.ldexp(self.probes.sizes(blocks[..., self.columns :]), -shifts)
        self.write(lags, near, exponents + shifts, rounding, spectral=spectral)

    def write(
        self,
        lags: list[int],
        blocks: Array,
        exponents: Array,
        rounding: Array,
        seeds: Any = slice(None),
        *,
        spectral: bool,
    ) -> None:
        """Store the norms of blocks (lags, seeds, rows, columns) for some of the seeds."""
        places = np.ix_(np.arange(len(self.zero))[seeds], lags)
        squares = np.einsum("lsij,lsij->lsj", blocks, blocks)
        frobenius = np.sqrt(squares.sum(axis=-1))
        largest = spectral_norms(blocks) if spectral else frobenius
        added, relative = _add_lost_digits(largest, rounding)
        if spectral:
            self.two[places] = log10_of(largest + added, exponents).T[seeds]
        self.frobenius[places] = log10_of(frobenius + added, exponents).T[seeds]
        self.rounding[places] = relative.T[seeds]
        if self.part is None:
            return
        sizes = np.sqrt(squares[..., self.part].sum(axis=-1))
        added, relative = _add_lost_digits(sizes, rounding)
        self.part_frobenius[places] = log10_of(sizes + added, exponents).T[seeds]
        self.part_rounding[places] = relative.T[seeds]

    def find_doubtful(self) -> Array:
        """Return where rounding could have left few digits, shape (seeds, steps)."""
        vanished = np.isinf(self.two) | np.isinf(self.frobenius)
        return np.asarray(((self.rounding > SUSPICIOUS_ERROR[self.bytes]) | vanished) & ~self.zero)

    def find_doubtful_part(self) -> Array:
        """Return where that is so of the norm of the part."""
        suspicious = self.part_rounding > SUSPICIOUS_ERROR[self.bytes]
        return np.asarray((suspicious | np.isinf(self.part_frobenius)) & ~self.zero)

    def collect_norms(self) -> BatchNorms:
        """Return all norms and their error."""
        two, frobenius, part = (
            np.where(self.zero, -np.inf, logs) for logs in (self.two, self.frobenius, self.part_frobenius)
        )
        bounds, part_bounds = (
            (rounding > NO_DIGIT_ERROR) & ~self.zero for rounding in (self.rounding, self.part_rounding)
        )
        if self.part is None:
            part, part_bounds = frobenius, bounds
        known = max(
            rounding[~unknown & ~self.zero].max(initial=0.0)
            for rounding, unknown in ((self.rounding, bounds), (self.part_rounding, part_bounds))
        )
        error = self.columns * EPS_BY_BYTES[self.bytes] + float(known)
        return BatchNorms(two, frobenius, error, bounds, part, part_bounds)


def _add_lost_digits(sizes: Array, rounding: Array) -> tuple[Array, Array]:
    """Return what makes norms without a digit upper bounds if it is added, and the relative rounding."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # inf: no digit is left
        relative = np.where(rounding > 0, rounding / sizes, 0.0)
    return np.where(relative > NO_DIGIT_ERROR, rounding, 0.0), relative
