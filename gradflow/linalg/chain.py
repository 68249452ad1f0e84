"""Norms of Y_k = A_k ⋯ A_1 Y_0 for k = 1, 2, …: one long product of large matrices, every norm on the way."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import NumericalError
from gradflow.linalg.columnwise import columnwise_products
from gradflow.linalg.compression import Compressible, Sizes
from gradflow.linalg.norms import frobenius_norm
from gradflow.linalg.products import Action
from gradflow.linalg.rounding import NO_DIGIT, SUSPICIOUS
from gradflow.linalg.scaled import log10_of
from gradflow.linalg.singular import Found, LeadingSingularValue
from gradflow.linalg.structure import StructuralPattern

Array = NDArray[Any]

FIRST, RATIO = 10, 1.4  # the lag of the first compression, and each next one
RETURNS = 3  # how often what was dropped may come back before nothing is dropped any more
SMALL, LARGE = 2.0**-16, 2.0**16  # between which a product is left as it is
ALLOWED = {8: 5e-6, 4: 2e-3}  # bytes of a number → share that may be dropped: half its square is the error
TOLERANCE = {8: 8e-11, 4: 3e-6}


@dataclass(frozen=True, eq=False)
class ChainNorms:
    """``two`` and ``frobenius`` of every product, as log₁₀; −inf for what is 0 by its structure.

    ``two`` is nan at lags that are not wanted: the Frobenius norm costs nothing, and bounds it. ``error``
    bounds the relative error of all, rounding included, except where ``bounds`` is true: there rounding, or
    underflow, has left no digit, and both numbers are upper bounds.
    """

    two: Array
    frobenius: Array
    error: float
    bounds: Array  # of bool, (..., steps)


def chain_norms(
    act: Action,
    steps: int,
    start: Array,
    *,
    rows: slice | Array = slice(None),
    wanted: Callable[[int], bool] = lambda lag: True,  # noqa: ARG005
    exact: bool = False,
    generator: np.random.Generator | None = None,
) -> ChainNorms:
    """Return the norms of ``rows`` of every product.

    Where rounding could have left few digits (`gradflow.linalg.rounding`), as where what is largest dies, the
    product is taken again with a power of two for each column (`gradflow.linalg.columnwise`).

    Parameters
    ----------
    act : callable
        ``act(k, block)`` returns A_{k+1} X for a block X of shape (n, m).
    steps : int
        How many products.
    start : array (n, r)
        Y_0.
    rows : slice or index array
        The rows whose norm is meant; the product itself is carried whole.
    wanted : callable
        Whether the spectral norm at a lag, from 1, is asked for; that of others is nan.
    exact : bool
        No shortcut: nothing dropped, every norm from all singular values.
    generator : numpy.random.Generator, optional
        For start vectors and probes; a fixed one unless given.

    Raises
    ------
    NumericalError
        Where an entry leaves the range of a double within one step.

    Examples
    --------
    >>> halves = chain_norms(lambda k, block: 0.5 * block, 2000, np.eye(30))
    >>> float(halves.two[-1].round(6))
    -602.059991
    """
    return _Chain(act, steps, start, rows, wanted, exact, generator or np.random.default_rng(0)).norms()


class _Chain:
    """The loop: act, measure, rescale, and now and then compress."""

    def __init__(
        self,
        act: Action,
        steps: int,
        start: Array,
        rows: slice | Array,
        wanted: Callable[[int], bool],
        exact: bool,
        generator: np.random.Generator,
    ) -> None:
        self.act, self.steps, self.rows, self.wanted = act, steps, rows, wanted
        self.exact, self.generator, self.start = exact, generator, start
        self.product = Compressible.of(start, generator)
        self.structure = StructuralPattern(act, start)
        # mantissas and powers of two, lag by lag: logarithms are taken of all at once, in the end
        self.two = np.array([0.0 if wanted(lag + 1) else np.nan for lag in range(steps)])
        self.frobenius = np.zeros(steps)
        self.exponents = np.zeros(steps, np.int64)
        self.bounds = np.zeros(steps, bool)
        self.error = 0.0
        self.allowed = ALLOWED[start.dtype.itemsize]
        self.suspicious = SUSPICIOUS[start.dtype.itemsize]
        self.leading = LeadingSingularValue(generator, TOLERANCE[start.dtype.itemsize])

    def norms(self) -> ChainNorms:
        """Run the chain; where the probes speak, go back to the last full product and on without shortcut."""
        full, lag, due, returns = (0, self.product.copy()), 0, FIRST, 0
        while lag < self.steps:
            if lag >= due and not self.exact:
                if not self.product.dropped.size:
                    full = (lag, self.product.copy())
                due = self._compress(lag)
            self.product.advance(self.act, lag)
            sizes = self.product.sizes(self.rows)
            if not math.isfinite(sizes.whole):
                raise NumericalError(out_of_range(lag))
            if sizes.whole == 0.0 and self.structure.is_zero(lag + 1):
                break
            if sizes.rounding > self.suspicious * sizes.seen and not (
                sizes.seen == sizes.dropped == 0.0 and self.structure.is_zero(lag + 1, self.rows)
            ):
                self._measure_columnwise(lag)
                break
            if sizes.dropped <= self.allowed * sizes.seen:
                self._measure(lag, sizes)
                lag += 1
                if not SMALL < sizes.whole < LARGE:
                    self.product.rescale(sizes.whole)
                continue
            returns += 1
            due = lag + 1 if returns < RETURNS else self.steps
            lag, self.product = full[0], full[1].copy()
            self.leading.rights = None
        two, frobenius = log10_of(self.two, self.exponents), log10_of(self.frobenius, self.exponents)
        return ChainNorms(two, frobenius, self.error, self.bounds)

    def _compress(self, lag: int) -> int:
        """Compress if it is worth it, and return the lag at which to try again."""
        worth = self.product.compress(self.allowed, self.generator)
        if worth:
            self.leading.turn(self.product.kept[self.rows])
        return max(lag + 1, int(lag * (RATIO if worth else RATIO**2)))

    def _measure(self, lag: int, sizes: Sizes) -> None:
        """Note the norms at one lag."""
        size = sizes.seen
        if not size:
            return
        # A block may be far smaller than the whole: near 1 its squares neither under- nor overflow.
        shift = 0 if SMALL < size < LARGE else math.frexp(size)[1]
        near = math.ldexp(size, -shift)
        self.frobenius[lag], self.exponents[lag] = near, self.product.exponent + shift
        missing, rounding = (sizes.dropped / size) ** 2 / 2, math.ldexp(sizes.rounding, -shift)
        self.error = max(self.error, missing + rounding / near)
        if self.wanted(lag + 1):
            seen = self.product.kept[self.rows]
            found = self._leading(np.ldexp(seen, -shift) if shift else seen, near)
            self.error = max(self.error, found.error + missing + rounding / found.value)
            self.two[lag] = found.value

    def _measure_columnwise(self, first: int) -> None:
        """Note the norms from a lag on, by a product that is taken from its start on column by column."""
        self.leading.rights = None
        for lag, block, exponent, size, zero in columnwise_products(
            self.act, self.steps, self.start, self.rows, self.generator
        ):
            rounding = float(size)
            if not math.isfinite(rounding):
                raise NumericalError(out_of_range(lag - 1))
            if lag <= first or zero:
                continue
            value, place = frobenius_norm(block), lag - 1
            found = self._leading(block, value) if value and self.wanted(lag) else None
            two = found.value if found else value
            self.exponents[place], lost = int(exponent), rounding > NO_DIGIT * two
            added = rounding if lost else 0.0
            self.bounds[place], self.frobenius[place] = lost, value + added
            if self.wanted(lag):
                self.two[place] = two + added
            if not lost:
                self.error = max(self.error, (found.error if found else 0.0) + rounding / two)

    def _leading(self, seen: Array, size: float) -> Found:
        if self.exact:
            return Found(float(np.linalg.norm(seen, 2)), len(seen) * float(np.finfo(seen.dtype).eps))
        return self.leading.of(seen, size)


def out_of_range(lag: int) -> str:
    """Return what is wrong with a product that overflows within one step."""
    return f"the Jacobian product overflows within the one step to lag {lag + 1}; expected smaller weights"
