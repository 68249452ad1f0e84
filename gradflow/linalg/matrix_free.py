"""‖A_k ⋯ A_1‖₂ at a few lags k without forming a product, for matrices that are too large to multiply.

Every step of the iteration runs along the whole chain and back. A lag k costs about k·n² and the memory of a
few vectors. The product would cost n³ for each step, and n² numbers. The remaining error is reported.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from gradflow.errors import NumericalError
from gradflow.linalg.chain import CHAIN_TOLERANCE as CHAIN_TOLERANCE
from gradflow.linalg.chain import MAX_UNSCALED_SIZE, MIN_UNSCALED_SIZE, ChainNorms, describe_overflow
from gradflow.linalg.compression import DROPPED_CAUTION
from gradflow.linalg.norms import frobenius_norm
from gradflow.linalg.products import Action, Array
from gradflow.linalg.rounding import NO_DIGIT_ERROR, ROUNDING_COLUMNS, RoundingColumns, row_sizes
from gradflow.linalg.scaled import number
from gradflow.linalg.singular import LeadingSingularValue
from gradflow.linalg.structure import draw_values_on

# Relative error. Every step is expensive, so this is enough; the error is reported.
MATRIX_FREE_TOLERANCE = 1e-7
MAX_MATRIX_FREE_STEPS = 160  # Lanczos steps, after which a norm is returned with the error it has then
HIDDEN_VALUE_CHANCE = 1e-6  # that the start of a search hides a larger singular value
SIZE_PROBES = 4  # Gaussian vectors that estimate the size of a product


def matrix_free_norms(
    act: Action,
    react: Action,
    steps: int,
    lags: Sequence[int],
    start: Array,
    *,
    rows: slice | Array = slice(None),
    generator: np.random.Generator | None = None,
    on_lag: Callable[[], object] | None = None,
) -> ChainNorms:
    """Return ‖``rows`` of Y_k‖₂ as log₁₀, Y_k = A_k ⋯ A_1 Y_0, at the given lags; nan at all others.

    Parameters
    ----------
    act, react : callable
        ``act(k, block)`` returns A_{k+1} X, ``react(k, block)`` its adjoint A_{k+1}ᵀ X.
    steps : int
        The largest possible lag.
    lags : sequence of int
        Ascending.
    start : array (n, r)
        Y_0.
    rows : slice or index array
        The rows whose norm is measured.
    generator : numpy.random.Generator, optional
        For start vectors. By default a generator with a fixed seed.
    on_lag : callable, optional
        Called after each lag but the last.

    Raises
    ------
    NumericalError
        If an entry leaves the range of a double within one step.

    Examples
    --------
    >>> half = lambda k, block: 0.5 * block
    >>> matrix_free_norms(half, half, 3, [1, 3], np.eye(40)).two.round(6).tolist()
    [-0.30103, nan, -0.90309]
    """
    generator = generator or np.random.default_rng(0)
    tolerance = max(MATRIX_FREE_TOLERANCE, CHAIN_TOLERANCE[start.dtype.itemsize])
    leading = LeadingSingularValue(generator, tolerance)
    log10_norms, bounds, error = np.full(steps, np.nan), np.zeros(steps, bool), 0.0
    shape = (len(start[:, :1][rows]), start.shape[1])
    for place, lag in enumerate(lags):
        if place and on_lag is not None:
            on_lag()
        chain = _ScaledChain(act, react, start, rows, lag, generator)
        if not start[chain.alive[0]].any():
            log10_norms[lag - 1] = -np.inf
            continue
        size, rounding = chain.set_scale(leading.rights)
        if rounding > NO_DIGIT_ERROR * size:
            # ‖A G‖ for Gaussian columns G estimates ‖A‖_F, as for the probes of dropped columns.
            bound = DROPPED_CAUTION / math.sqrt(SIZE_PROBES) * (size + rounding)
            log10_norms[lag - 1], bounds[lag - 1] = number(bound, chain.exponent).log10(), True
            leading.rights = None
            continue
        value, rest = leading.of_operator(
            chain.matvec, chain.rmatvec, shape, start.dtype, MAX_MATRIX_FREE_STEPS, chance=HIDDEN_VALUE_CHANCE
        )
        log10_norms[lag - 1] = number(value, chain.exponent).log10()
        error = max(error, rest + rounding / size)
    return ChainNorms(log10_norms, np.full(steps, np.nan), error, bounds, None, None)


class _ScaledChain:
    """The product at one lag as an operator, scaled at each factor so that random vectors stay near 1.

    Rows of the state that do not affect the lag, by the structure of the later factors, are set to 0 on the
    way. They may grow beyond all rows that do.
    """

    def __init__(
        self,
        act: Action,
        react: Action,
        start: Array,
        rows: slice | Array,
        lag: int,
        generator: np.random.Generator,
    ) -> None:
        self.act, self.react, self.start, self.rows = act, react, start, rows
        self.lag, self.generator = lag, generator
        self.exponent = 0  # the power of two by which the product is larger than what `matvec` returns
        pattern = np.zeros((len(start), 1), bool)
        pattern[rows] = True
        self.alive = [pattern[:, 0]]  # the rows of the state that affect the result, step by step
        for k in reversed(range(lag)):
            values = [draw_values_on(pattern, start.dtype, generator) for _ in range(2)]
            with np.errstate(all="ignore"):
                pattern = (react(k, np.hstack(values)) != 0).any(axis=1, keepdims=True)
            self.alive.insert(0, pattern[:, 0])

    def set_scale(self, vectors: Array | None) -> tuple[float, float]:
        """Set the scale; return the size of random vectors' images at that scale, and of their rounding.

        ``vectors`` are further vectors, as rows.
        """
        dtype, width = self.start.dtype, self.start.shape[1]
        rounding = RoundingColumns(dtype, self.generator)
        tried = self.generator.standard_normal((SIZE_PROBES, width))
        count = SIZE_PROBES if vectors is None else SIZE_PROBES + len(vectors)
        inputs = np.vstack([tried, *([] if vectors is None else [vectors])]).T.astype(dtype)
        nothing = np.zeros((len(self.start), ROUNDING_COLUMNS + 1), dtype)
        block = self._mask_rows(np.hstack([self.start @ inputs, nothing]), 0)
        for k in range(self.lag):
            block[:, -1] = rounding.noise(row_sizes(block[:, :count]))
            block = self.act(k, block)
            rounding.absorb(block[:, count:])
            if not np.isfinite(block[:, :-1]).all():
                raise NumericalError(describe_overflow(k))
            block, shift = _scale_near_one(self._mask_rows(block, k + 1))
            self.exponent += shift
        seen, shift = _scale_near_one(block[self.rows])
        self.exponent += shift
        return frobenius_norm(seen[:, :count]), rounding.size(seen[:, count:])

    def matvec(self, vector: Array) -> Array:
        """Return the rows of the scaled product times a vector."""
        block, exponent = self._mask_rows(self.start @ vector[:, None], 0), 0
        for k in range(self.lag):
            block, shift = _scale_near_one(self._mask_rows(self.act(k, block), k + 1))
            exponent += shift
        return np.asarray(np.ldexp(block[self.rows, 0], max(exponent - self.exponent, -5000)))

    def rmatvec(self, vector: Array) -> Array:
        """Return the adjoint of the rows of the scaled product times a vector."""
        block, exponent = np.zeros((len(self.start), 1), self.start.dtype), 0
        block[self.rows, 0] = vector
        for k in reversed(range(self.lag)):
            block, shift = _scale_near_one(self._mask_rows(self.react(k, block), k))
            exponent += shift
        return np.asarray(self.start.T @ np.ldexp(block, max(exponent - self.exponent, -5000)))[:, 0]

    def _mask_rows(self, block: Array, step: int) -> Array:
        """Return a block of the state after ``step`` steps, with 0 in the rows that do not matter."""
        alive = self.alive[step]
        return block if alive.all() else block * alive[:, None]


def _scale_near_one(block: Array) -> tuple[Array, int]:
    """Return a block with its largest entry near 1, and the power of two that it was divided by."""
    size = float(np.abs(block).max())
    if not MIN_UNSCALED_SIZE < size < MAX_UNSCALED_SIZE and size:
        shift = math.frexp(size)[1]
        return np.ldexp(block, -shift), shift
    return block, 0
