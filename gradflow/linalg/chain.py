"""Norms of Y_k = A_k ⋯ A_1 Y_0 for k = 1, 2, …: every norm along one long product of large matrices."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import NumericalError
from gradflow.linalg.columnwise import columnwise_products
from gradflow.linalg.compression import CUT_SHARE, Compressible, Sizes
from gradflow.linalg.gram_norms import spectral_norms
from gradflow.linalg.norms import frobenius_norm
from gradflow.linalg.products import Action
from gradflow.linalg.rounding import EPS_BY_BYTES, NO_DIGIT_ERROR, SUSPICIOUS_ERROR
from gradflow.linalg.scaled import log10_of, number
from gradflow.linalg.singular import (
    MAX_GRAM_COLUMNS,
    LeadingSingularValue,
    SingularValueEstimate,
)
from gradflow.linalg.structure import StructuralPattern

Array = NDArray[Any]

FIRST_COMPRESSION_LAG = 10
COMPRESSION_LAG_RATIO = 1.4  # of the lag of the next compression to that of the last
MAX_RETURNS = 3  # returns to the last full product, after which nothing is dropped any more
CUT_AFTER_RETURN = {8: 1e-3, 4: 1e-1}  # by bytes of a number: how much less is dropped after each return
MIN_UNSCALED_SIZE, MAX_UNSCALED_SIZE = 2.0**-16, 2.0**16  # a product in between is not rescaled
WINDOW_LAGS = 16  # that are measured together once few columns are left
# By bytes of a number: the sizes of products in a window, whose squares stay in range.
WINDOW_SIZES = {8: (2.0**-200, 2.0**200), 4: (2.0**-30, 2.0**30)}
# By bytes of a number: the share of a product that may be dropped. Half its square is the error.
MAX_DROPPED_SHARE = {8: 5e-6, 4: 2e-3}
MAX_PART_ERROR = {8: 1e-10, 4: 1e-4}  # relative error of the norm of a part of the columns, likewise
CHAIN_TOLERANCE = {8: 1e-11, 4: 3e-6}  # relative error of a spectral norm, by bytes of a number


@dataclass(frozen=True, eq=False)
class ChainNorms:
    """Spectral and Frobenius norms of every product as log₁₀; −inf if a product is 0 by its structure.

    ``two`` is nan at lags that are not wanted. The Frobenius norm bounds it there, and costs nothing.
    ``error`` bounds the relative error of all norms, rounding included, except where ``bounds`` is true.
    There rounding or underflow has left no digit, and both numbers are upper bounds.
    ``part`` is the Frobenius norm of the columns that were named, at the lag that was named and perhaps at
    others, and else nan. It is None if no columns were named.
    """

    two: Array
    frobenius: Array
    error: float
    bounds: Array  # of bool, (..., steps)
    part: Array | None
    part_bounds: Array | None  # of bool, (..., steps): the same of the part


def chain_norms(
    act: Action,
    steps: int,
    start: Array,
    *,
    rows: slice | Array = slice(None),
    wanted: Callable[[int], bool] = lambda lag: True,  # noqa: ARG005
    part: slice | Array | None = None,
    part_lag: int | None = None,
    exact: bool = False,
    generator: np.random.Generator | None = None,
    on_lag: Callable[[], object] | None = None,
) -> ChainNorms:
    """Return the norms of ``rows`` of every product, as log₁₀, shape (steps,).

    If rounding could have left few digits at a lag (`gradflow.linalg.rounding`), for example because the
    largest columns die, the product is computed again with a power of two for each column
    (`gradflow.linalg.columnwise`).

    Parameters
    ----------
    act : callable
        ``act(k, block)`` returns A_{k+1} X for a block X of shape (n, m).
    steps : int
        The number of products.
    start : array (n, r)
        Y_0.
    rows : slice or index array
        The rows whose norm is measured. The product itself is computed in full.
    wanted : callable
        Whether the spectral norm at a lag (from 1) is requested. The spectral norm at other lags is nan.
    part : slice or index array, optional
        Columns whose Frobenius norm is requested at ``part_lag``, by default the last one. If shortcuts or
        rounding could have left few digits of it, these columns are multiplied again by themselves.
    exact : bool
        Take no shortcut: drop nothing, and compute every norm from all singular values.
    generator : numpy.random.Generator, optional
        For start vectors and probes. By default a generator with a fixed seed.
    on_lag : callable, optional
        Called after each lag, at most once for each.

    Raises
    ------
    NumericalError
        If an entry leaves the range of a double within one step.

    Examples
    --------
    >>> halves = chain_norms(lambda k, block: 0.5 * block, 2000, np.eye(30))
    >>> float(halves.two[-1].round(6))
    -602.059991
    """
    generator = generator or np.random.default_rng(0)
    part_lag = steps if part_lag is None else part_lag
    chain = _Chain(act, steps, start, rows, wanted, part, part_lag, exact, generator, on_lag)
    norms = chain.measure_norms()
    if part is None or chain.part_is_known:
        return norms
    alone = chain_norms(
        act, steps, start[:, part], rows=rows, wanted=frozenset().__contains__, generator=generator
    )
    error = max(norms.error, alone.error)
    return replace(norms, part=alone.frobenius, part_bounds=alone.bounds, error=error)


class _Chain:
    """The loop: multiply, measure, rescale, and sometimes compress."""

    def __init__(
        self,
        act: Action,
        steps: int,
        start: Array,
        rows: slice | Array,
        wanted: Callable[[int], bool],
        part: slice | Array | None,
        part_lag: int,
        exact: bool,
        generator: np.random.Generator,
        on_lag: Callable[[], object] | None,
    ) -> None:
        self.act, self.steps, self.rows, self.wanted = act, steps, rows, wanted
        self.exact, self.generator, self.start = exact, generator, start
        self.part_is_known, self.part_lag, self.on_lag = False, part_lag, on_lag
        self.reported = 0  # lags of which ``on_lag`` knows
        self.product = Compressible.of(start, generator, part)
        self.structure = StructuralPattern(act, start)
        # Mantissas and powers of two at each lag: at the end, one call takes all logarithms.
        self.two = np.array([0.0 if wanted(lag + 1) else np.nan for lag in range(steps)])
        self.frobenius, self.exponents = np.zeros(steps), np.zeros(steps, np.int64)
        self.part: Array | None = None if part is None else np.full(steps, np.nan)
        self.bounds = np.zeros(steps, bool)
        self.error = 0.0
        self.allowed = MAX_DROPPED_SHARE[start.dtype.itemsize]
        self.cut = CUT_SHARE * self.allowed
        self.suspicious = SUSPICIOUS_ERROR[start.dtype.itemsize]
        self.leading = LeadingSingularValue(generator, CHAIN_TOLERANCE[start.dtype.itemsize])

    def measure_norms(self) -> ChainNorms:
        """Return the norms at all lags.

        If the probes show that the dropped columns matter again, the loop returns to the last full product
        and goes on from there with fewer shortcuts.
        """
        full, lag, due, returns = (0, self.product.copy()), 0, FIRST_COMPRESSION_LAG, 0
        alone_until = 0  # the lag up to which lags are measured one by one
        while lag < self.steps:
            if lag >= due and not self.exact:
                if not self.product.dropped_probes.size:
                    full = (lag, self.product.copy())
                due = self._compress(lag)
            if lag >= alone_until and self._fits_window(lag, due):
                if self._measure_window(lag):
                    lag += WINDOW_LAGS
                    self._report(lag)
                    continue
                alone_until = lag + WINDOW_LAGS
            self.product.advance(self.act, lag)
            sizes = self.product.sizes(self.rows)
            if not math.isfinite(sizes.whole):
                raise NumericalError(describe_overflow(lag))
            if sizes.whole == 0.0 and self.structure.is_zero(lag + 1):
                break
            if sizes.rounding > self.suspicious * sizes.seen and not (
                sizes.seen == sizes.dropped == 0.0 and self.structure.is_zero(lag + 1, self.rows)
            ):
                self._measure_columnwise(lag)
                break
            if sizes.dropped <= self.allowed * sizes.seen:
                self._measure(lag, sizes)
                if self.part is not None and lag + 1 == self.part_lag:
                    self.part[lag] = self._measure_part(sizes)
                lag += 1
                self._report(lag)
                if not MIN_UNSCALED_SIZE < sizes.whole < MAX_UNSCALED_SIZE:
                    self.product.rescale(sizes.whole)
                continue
            returns += 1
            self.cut *= CUT_AFTER_RETURN[self.start.dtype.itemsize]
            lag, self.product = full[0], full[1].copy()
            due = lag if returns < MAX_RETURNS else self.steps
            self.leading.rights = None
        two, frobenius = log10_of(self.two, self.exponents), log10_of(self.frobenius, self.exponents)
        part_bounds = None if self.part is None else np.zeros(self.steps, bool)
        return ChainNorms(two, frobenius, self.error, self.bounds, self.part, part_bounds)

    def _report(self, lag: int) -> None:
        """Tell ``on_lag`` of the lags that are done."""
        while self.on_lag is not None and self.reported < lag:
            self.reported += 1
            self.on_lag()

    def _fits_window(self, lag: int, due: int) -> bool:
        """Return whether the next lags can be measured together: few columns, and nothing else due."""
        end = lag + WINDOW_LAGS
        return (
            not self.exact
            and self.product.width <= MAX_GRAM_COLUMNS
            and end <= min(due, self.steps)
            and not lag < self.part_lag <= end
        )

    def _measure_window(self, lag: int) -> bool:
        """Measure the next lags together, store their norms, and return whether that was possible.

        If one of them must be measured alone, nothing changes.
        """
        before, exponent = self.product.copy(), self.product.exponent
        blocks, whole = [], np.empty(WINDOW_LAGS)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for place in range(WINDOW_LAGS):
                self.product.advance(self.act, lag + place)
                blocks.append(self.product.block[self.rows])
                whole[place] = frobenius_norm(self.product.row_norms)
            sizes = self.product.measure_blocks(np.stack(blocks))
        low, high = WINDOW_SIZES[self.start.dtype.itemsize]
        if not (
            (low < sizes.seen).all()
            and (sizes.seen < high).all()
            and (whole < high).all()
            and (sizes.dropped <= self.allowed * sizes.seen).all()
            and (sizes.rounding <= self.suspicious * sizes.seen).all()
        ):
            self.product = before
            return False
        lags = slice(lag, lag + WINDOW_LAGS)
        self.frobenius[lags], self.exponents[lags] = sizes.seen, exponent
        missing = (sizes.dropped / sizes.seen) ** 2 / 2
        errors = missing + sizes.rounding / sizes.seen
        is_wanted = ~np.isnan(self.two[lags])
        if is_wanted.any():
            kept = np.stack([block[:, : self.product.width] for block in blocks])
            two = spectral_norms(kept)
            self.two[lags] = np.where(is_wanted, two, np.nan)
            estimate = min(kept.shape[1:]) * EPS_BY_BYTES[kept.dtype.itemsize]
            errors = np.where(is_wanted, missing + sizes.rounding / two + estimate, errors)
        self.error = max(self.error, float(errors.max()))
        if not MIN_UNSCALED_SIZE < whole[-1] < MAX_UNSCALED_SIZE:
            self.product.rescale(float(whole[-1]))
        return True

    def _measure_part(self, sizes: Sizes) -> float:
        """Return log₁₀ of the norm of the part; it is known if dropped columns and rounding hide no digit."""
        size, allowed = self.product.measure_part(self.rows), MAX_PART_ERROR[self.start.dtype.itemsize]
        self.part_is_known = (
            size > 0 and sizes.dropped <= allowed * size and sizes.rounding <= self.suspicious * size
        )
        if self.part_is_known:
            self.error = max(self.error, (sizes.dropped + sizes.rounding) / size)
        return number(size, self.product.exponent).log10()

    def _compress(self, lag: int) -> int:
        """Compress the product if that saves enough columns, and return the lag at which to try again."""
        worth = self.product.compress(self.cut, self.generator)
        if worth:
            self.leading.turn(self.product.kept_columns[self.rows])
        return max(lag + 1, int(lag * (COMPRESSION_LAG_RATIO if worth else COMPRESSION_LAG_RATIO**2)))

    def _measure(self, lag: int, sizes: Sizes) -> None:
        """Store the norms at one lag."""
        size = sizes.seen
        if not size:
            return
        # The rows may be far smaller than the whole product: near 1 their squares stay in range.
        shift = 0 if MIN_UNSCALED_SIZE < size < MAX_UNSCALED_SIZE else math.frexp(size)[1]
        near = math.ldexp(size, -shift)
        self.frobenius[lag], self.exponents[lag] = near, self.product.exponent + shift
        missing, rounding = (sizes.dropped / size) ** 2 / 2, math.ldexp(sizes.rounding, -shift)
        self.error = max(self.error, missing + rounding / near)
        if self.wanted(lag + 1):
            seen = self.product.kept_columns[self.rows]
            estimate = self._measure_leading(np.ldexp(seen, -shift) if shift else seen, near)
            self.error = max(self.error, estimate.error + missing + rounding / estimate.value)
            self.two[lag] = estimate.value

    def _measure_columnwise(self, first: int) -> None:
        """Store the norms from lag ``first`` + 1 on, by a product with a power of two for each column."""
        self.leading.rights = None
        for lag, block, exponent, size, zero in columnwise_products(
            self.act, self.steps, self.start, self.rows, self.generator
        ):
            rounding = float(size)
            if not math.isfinite(rounding):
                raise NumericalError(describe_overflow(lag - 1))
            if lag <= first or zero:
                continue
            value, place = frobenius_norm(block), lag - 1
            estimate = self._measure_leading(block, value) if value and self.wanted(lag) else None
            two = estimate.value if estimate else value
            self.exponents[place], lost = int(exponent), rounding > NO_DIGIT_ERROR * two
            added = rounding if lost else 0.0
            self.bounds[place], self.frobenius[place] = lost, value + added
            if self.wanted(lag):
                self.two[place] = two + added
            if not lost:
                self.error = max(self.error, (estimate.error if estimate else 0.0) + rounding / two)

    def _measure_leading(self, seen: Array, size: float) -> SingularValueEstimate:
        """Return the spectral norm of the measured rows, whose Frobenius norm is ``size``."""
        if self.exact:
            return SingularValueEstimate(
                float(np.linalg.norm(seen, 2)), len(seen) * float(np.finfo(seen.dtype).eps)
            )
        return self.leading.of(seen, size)


def describe_overflow(lag: int) -> str:
    """Return the message for a product that overflows within one step."""
    return f"the Jacobian product overflows within the one step to lag {lag + 1}; expected smaller weights"
