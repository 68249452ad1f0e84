"""Norms of Y_k = A_k ⋯ A_1 Y_0 for many small products at once, without any shortcut."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np

from gradflow.errors import NumericalError
from gradflow.linalg.chain import MAX_UNSCALED_SIZE, MIN_UNSCALED_SIZE, ChainNorms, describe_overflow
from gradflow.linalg.columnwise import columnwise_products
from gradflow.linalg.products import Action, Array
from gradflow.linalg.rounding import (
    EPS_BY_BYTES,
    NO_DIGIT_ERROR,
    ROUNDING_COLUMNS,
    SUSPICIOUS_ERROR,
    RoundingColumns,
)
from gradflow.linalg.scaled import log10_of
from gradflow.linalg.singular import gram_values
from gradflow.linalg.structure import StructuralPattern

MAX_PENDING_ENTRIES = 2**20  # stored entries after which the norms are computed


def batch_norms(
    act: Action,
    steps: int,
    start: Array,
    *,
    rows: slice | Array = slice(None),
    wanted: Callable[[int], bool] = lambda lag: True,  # noqa: ARG005
) -> ChainNorms:
    """Return the norms of ``rows`` of every product as log₁₀, (seeds, steps): one product for each seed.

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
    rounding = RoundingColumns(start.dtype, np.random.default_rng(0))
    nothing = np.zeros((*start.shape[:-1], ROUNDING_COLUMNS + 1), start.dtype)
    block, exponents = np.concatenate([start, nothing], axis=-1), np.zeros(seeds, np.int64)
    structure = StructuralPattern(act, start)
    norms = _BatchNorms(seeds, steps, columns, start.dtype, rounding)
    for lag in range(steps):
        largest = np.abs(block[..., :columns]).max(axis=-1)
        block[..., -1] = rounding.noise(sqrt(columns) * largest)
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            block = act(lag, block)
        rounding.absorb(block[..., columns:])
        # Rounding counts too: it may be all that is left after the columns it came from have died.
        whole = np.abs(block[..., :-1]).max(axis=(1, 2))
        if not np.isfinite(whole).all():
            raise NumericalError(describe_overflow(lag))
        seen = block[:, rows]
        if wanted(lag + 1):
            norms.gather(lag, seen, exponents)
            if not seen[..., :columns].any(axis=(1, 2)).all():
                norms.zero[:, lag] = structure.is_zero(lag + 1, rows)
        far = (whole > MAX_UNSCALED_SIZE) | ((whole < MIN_UNSCALED_SIZE) & (whole > 0))
        if far.any():
            shifts = np.where(far, np.frexp(whole)[1], 0)
            block = np.ldexp(block, -shifts[:, None, None])
            exponents += shifts
    norms.measure()
    doubtful = norms.find_doubtful()
    if doubtful.any():
        first = int(np.argmax(doubtful.any(axis=0)))
        for product in columnwise_products(act, steps, start, rows, rounding.generator):
            if product.lag > first and wanted(product.lag):
                place = product.lag - 1
                chosen = doubtful[:, : place + 1].any(axis=1)
                norms.zero[chosen, place] = product.zero[chosen]
                columnwise = (product.block[None], product.exponent[None], product.rounding[None])
                norms.write([place], *columnwise, chosen)
    return norms.collect_norms()


class _BatchNorms:
    """The norms of every seed at every lag, as log₁₀, and their relative rounding."""

    def __init__(
        self, seeds: int, steps: int, columns: int, dtype: np.dtype[Any], probes: RoundingColumns
    ) -> None:
        self.columns, self.bytes, self.probes = columns, dtype.itemsize, probes
        self.two, self.frobenius = np.full((seeds, steps), np.nan), np.full((seeds, steps), np.nan)
        self.rounding = np.zeros((seeds, steps))  # relative to the spectral norm
        self.zero = np.zeros((seeds, steps), bool)  # by structure
        self.pending: list[tuple[int, Array, Array]] = []

    def gather(self, lag: int, seen: Array, exponents: Array) -> None:
        """Store the measured rows of a block and its columns of rounding; measure once there are enough."""
        self.pending.append((lag, seen, exponents.copy()))
        if len(self.pending) * seen.size >= MAX_PENDING_ENTRIES:
            self.measure()

    def measure(self) -> None:
        """Compute the norms of the stored blocks."""
        if not self.pending:
            return
        blocks = np.stack([block for _, block, _ in self.pending])
        exponents = np.stack([exponent for _, _, exponent in self.pending])
        lags = [lag for lag, _, _ in self.pending]
        self.pending.clear()
        # The rows may be far smaller than the whole product: near 1 their squares stay in range.
        shifts = np.frexp(np.abs(blocks[..., : self.columns]).max(axis=(2, 3), initial=0.0))[1]
        near = np.ldexp(blocks[..., : self.columns], -shifts[..., None, None])
        with np.errstate(over="ignore"):  # inf means that no digit is left
            rounding = np.ldexp(self.probes.sizes(blocks[..., self.columns :]), -shifts)
        self.write(lags, near, exponents + shifts, rounding)

    def write(
        self,
        lags: list[int],
        blocks: Array,
        exponents: Array,
        rounding: Array,
        seeds: Any = slice(None),
    ) -> None:
        """Store the norms of blocks (lags, seeds, rows, columns) for some of the seeds."""
        largest = np.sqrt(np.maximum(gram_values(blocks)[..., -1], 0.0))
        frobenius = np.sqrt(np.einsum("lsij,lsij->ls", blocks, blocks))
        # l lag, s seed, i row, j column
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # inf: no digit is left
            relative = np.where(rounding > 0, rounding / largest, 0.0)
        lost = relative > NO_DIGIT_ERROR
        added = np.where(lost, rounding, 0.0)
        for row, lag in enumerate(lags):
            self.two[seeds, lag] = log10_of(largest[row] + added[row], exponents[row])[seeds]
            self.frobenius[seeds, lag] = log10_of(frobenius[row] + added[row], exponents[row])[seeds]
            self.rounding[seeds, lag] = relative[row][seeds]

    def find_doubtful(self) -> Array:
        """Return where rounding could have left few digits, shape (seeds, steps)."""
        return np.asarray(((self.rounding > SUSPICIOUS_ERROR[self.bytes]) | np.isinf(self.two)) & ~self.zero)

    def collect_norms(self) -> ChainNorms:
        """Return all norms and their error."""
        two, frobenius = (np.where(self.zero, -np.inf, logs) for logs in (self.two, self.frobenius))
        bounds = (self.rounding > NO_DIGIT_ERROR) & ~self.zero
        known = self.rounding[~bounds & ~self.zero].max(initial=0.0)
        return ChainNorms(two, frobenius, self.columns * EPS_BY_BYTES[self.bytes] + float(known), bounds)
