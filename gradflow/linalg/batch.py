"""Norms of Y_k = A_k ⋯ A_1 Y_0 for many small products at once, without any shortcut."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np

from gradflow.errors import NumericalError
from gradflow.linalg.chain import LARGE, SMALL, ChainNorms, out_of_range
from gradflow.linalg.columnwise import columnwise_products
from gradflow.linalg.products import Action, Array
from gradflow.linalg.rounding import COLUMNS, EPS, NO_DIGIT, SUSPICIOUS, RoundingColumns
from gradflow.linalg.scaled import log10_of
from gradflow.linalg.singular import gram_values
from gradflow.linalg.structure import StructuralPattern

AT_ONCE = 2**20  # numbers whose Gram matrices are gathered before their eigenvalues are taken


def batch_norms(
    act: Action,
    steps: int,
    start: Array,
    *,
    rows: slice | Array = slice(None),
    wanted: Callable[[int], bool] = lambda lag: True,  # noqa: ARG005
) -> ChainNorms:
    """Return the norms of ``rows`` of every product, shape (seeds, steps); one seed each.

    Parameters
    ----------
    act : callable
        ``act(k, block)`` returns A_{k+1} X for blocks X of shape (seeds, n, m).
    steps : int
        How many products.
    start : array (seeds, n, r)
        Y_0.
    rows : slice or index array
        The rows whose norm is meant; the product itself is carried whole.
    wanted : callable
        Whether the norms at a lag, from 1, are asked for; those of others are nan.

    Raises
    ------
    NumericalError
        Where an entry leaves the range of a double within one step.

    Examples
    --------
    >>> start = np.stack([np.eye(2), 3 * np.eye(2)])
    >>> batch_norms(lambda k, block: 0.1 * block, 400, start).two[:, -1].round(4).tolist()
    [-400.0, -399.5229]
    """
    seeds, _, columns = start.shape
    rounding = RoundingColumns(start.dtype, np.random.default_rng(0))
    nothing = np.zeros((*start.shape[:-1], COLUMNS + 1), start.dtype)
    block, exponents = np.concatenate([start, nothing], axis=-1), np.zeros(seeds, np.int64)
    structure = StructuralPattern(act, start)
    norms = _BatchNorms(seeds, steps, columns, start.dtype, rounding)
    for lag in range(steps):
        largest = np.abs(block[..., :columns]).max(axis=-1)
        block[..., -1] = rounding.noise(sqrt(columns) * largest)
        with np.errstate(over="ignore", invalid="ignore"):  # refused by its name below
            block = act(lag, block)
        rounding.absorb(block[..., columns:])
        # rounding counts: it may be left alone where what it came from has died
        whole = np.abs(block[..., :-1]).max(axis=(1, 2))
        if not np.isfinite(whole).all():
            raise NumericalError(out_of_range(lag))
        seen = block[:, rows]
        if wanted(lag + 1):
            norms.gather(lag, seen, exponents)
            if not seen[..., :columns].any(axis=(1, 2)).all():
                norms.zero[:, lag] = structure.is_zero(lag + 1, rows)
        far = (whole > LARGE) | ((whole < SMALL) & (whole > 0))
        if far.any():
            shifts = np.where(far, np.frexp(whole)[1], 0)
            block = np.ldexp(block, -shifts[:, None, None])
            exponents += shifts
    norms.measure()
    doubtful = norms.doubtful()
    if doubtful.any():
        first = int(np.argmax(doubtful.any(axis=0)))
        for product in columnwise_products(act, steps, start, rows, rounding.generator):
            if product.lag > first and wanted(product.lag):
                place = product.lag - 1
                chosen = doubtful[:, : place + 1].any(axis=1)
                norms.zero[chosen, place] = product.zero[chosen]
                one = (product.block[None], product.exponent[None], product.rounding[None])
                norms.write([place], *one, chosen)
    return norms.norms()


class _BatchNorms:
    """What has been measured of every seed at every lag: norms as log₁₀, and their relative rounding."""

    def __init__(
        self, seeds: int, steps: int, columns: int, dtype: np.dtype[Any], probes: RoundingColumns
    ) -> None:
        self.columns, self.bytes, self.probes = columns, dtype.itemsize, probes
        self.two, self.frobenius = np.full((seeds, steps), np.nan), np.full((seeds, steps), np.nan)
        self.rounding = np.zeros((seeds, steps))  # relative to the spectral norm
        self.zero = np.zeros((seeds, steps), bool)  # by structure
        self.pending: list[tuple[int, Array, Array]] = []

    def gather(self, lag: int, seen: Array, exponents: Array) -> None:
        """Take in the rows seen of a block and the columns of rounding; measure once there are many."""
        self.pending.append((lag, seen, exponents.copy()))
        if len(self.pending) * seen.size >= AT_ONCE:
            self.measure()

    def measure(self) -> None:
        """Write down the norms of the blocks that have gathered."""
        if not self.pending:
            return
        blocks = np.stack([block for _, block, _ in self.pending])
        exponents = np.stack([exponent for _, _, exponent in self.pending])
        lags = [lag for lag, _, _ in self.pending]
        self.pending.clear()
        # A block may be far smaller than the whole: near 1 its squares neither under- nor overflow.
        shifts = np.frexp(np.abs(blocks[..., : self.columns]).max(axis=(2, 3), initial=0.0))[1]
        near = np.ldexp(blocks[..., : self.columns], -shifts[..., None, None])
        with np.errstate(over="ignore"):  # inf stands for no digit
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
        """Write down the norms of blocks (lags, seeds, rows, columns), of some of the seeds."""
        largest = np.sqrt(np.maximum(gram_values(blocks)[..., -1], 0.0))
        frobenius = np.sqrt(np.einsum("lsij,lsij->ls", blocks, blocks))
        # l lag, s seed, i row, j column
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # inf stands for no digit
            relative = np.where(rounding > 0, rounding / largest, 0.0)
        lost = relative > NO_DIGIT
        added = np.where(lost, rounding, 0.0)
        for row, lag in enumerate(lags):
            self.two[seeds, lag] = log10_of(largest[row] + added[row], exponents[row])[seeds]
            self.frobenius[seeds, lag] = log10_of(frobenius[row] + added[row], exponents[row])[seeds]
            self.rounding[seeds, lag] = relative[row][seeds]

    def doubtful(self) -> Array:
        """Return where rounding could have left few digits, (seeds, steps)."""
        return np.asarray(((self.rounding > SUSPICIOUS[self.bytes]) | np.isinf(self.two)) & ~self.zero)

    def norms(self) -> ChainNorms:
        """Return all of it."""
        two, frobenius = (np.where(self.zero, -np.inf, logs) for logs in (self.two, self.frobenius))
        bounds = (self.rounding > NO_DIGIT) & ~self.zero
        known = self.rounding[~bounds & ~self.zero].max(initial=0.0)
        return ChainNorms(two, frobenius, self.columns * EPS[self.bytes] + float(known), bounds)
