"""‖A_k ⋯ A_1‖₂ at a few lags k without ever forming a product: for matrices too large to multiply.

Every step of the iteration runs along the whole chain and back: a lag k costs some k·n² and the memory of a
few vectors, where the product costs n³ a step and n² numbers. The error that is left is told.
"""

import math
from collections.abc import Sequence

import numpy as np

from gradflow.errors import NumericalError
from gradflow.linalg.chain import LARGE, SMALL, ChainNorms, out_of_range
from gradflow.linalg.chain import TOLERANCE as CHAIN_TOLERANCE
from gradflow.linalg.compression import DROPPED_CAUTION
from gradflow.linalg.norms import frobenius_norm
from gradflow.linalg.products import Action, Array
from gradflow.linalg.rounding import COLUMNS, NO_DIGIT, RoundingColumns, row_sizes
from gradflow.linalg.scaled import number
from gradflow.linalg.singular import LeadingSingularValue
from gradflow.linalg.structure import values_on

# Every step is dear: an error this small is enough, and is told.
TOLERANCE = 1e-7
MOST = 160  # Lanczos steps; what is not settled by then is given with the error that it has
CHANCE = 1e-6  # that a larger singular value is hidden from the start of a search
VECTORS = 4  # Gaussian ones that say how large a product is


def matrix_free_norms(
    act: Action,
    react: Action,
    steps: int,
    lags: Sequence[int],
    start: Array,
    *,
    rows: slice | Array = slice(None),
    generator: np.random.Generator | None = None,
) -> ChainNorms:
    """Return the spectral norm of ``rows`` of Y_k = A_k ⋯ A_1 Y_0 at the given lags; nan at all others.

    Parameters
    ----------
    act, react : callable
        ``act(k, block)`` returns A_{k+1} X, ``react(k, block)`` its adjoint A_{k+1}ᵀ X.
    steps : int
        The largest lag there could be.
    lags : sequence of int
        Ascending.
    start : array (n, r)
        Y_0.
    rows : slice or index array
        The rows whose norm is meant.
    generator : numpy.random.Generator, optional
        For start vectors; a fixed one unless given.

    Examples
    --------
    >>> half = lambda k, block: 0.5 * block
    >>> matrix_free_norms(half, half, 3, [1, 3], np.eye(40)).two.round(6).tolist()
    [-0.30103, nan, -0.90309]
    """
    generator = generator or np.random.default_rng(0)
    tolerance = max(TOLERANCE, CHAIN_TOLERANCE[start.dtype.itemsize])
    leading = LeadingSingularValue(generator, tolerance)
    found, bounds, error = np.full(steps, np.nan), np.zeros(steps, bool), 0.0
    shape = (len(start[:, :1][rows]), start.shape[1])
    for lag in lags:
        chain = _ScaledChain(act, react, start, rows, lag, generator)
        if not start[chain.alive[0]].any():
            found[lag - 1] = -np.inf
            continue
        size, rounding = chain.take_in(leading.rights)
        if rounding > NO_DIGIT * size:
            # ‖A G‖ of Gaussian columns G estimates ‖A‖_F as probes of what is dropped are judged
            bound = DROPPED_CAUTION / math.sqrt(VECTORS) * (size + rounding)
            found[lag - 1], bounds[lag - 1] = number(bound, chain.exponent).log10(), True
            leading.rights = None
            continue
        value, rest = leading.of_operator(
            chain.matvec, chain.rmatvec, shape, start.dtype, MOST, chance=CHANCE
        )
        found[lag - 1] = number(value, chain.exponent).log10()
        error = max(error, rest + rounding / size)
    return ChainNorms(found, np.full(steps, np.nan), error, bounds)


class _ScaledChain:
    """The product at one lag as an operator, scaled at each factor so that random vectors stay near 1.

    Rows of the state that mean nothing at the lag, by the structure of the later factors, are left out on the
    way: they may grow beyond all that does.
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
        self.alive = [pattern[:, 0]]  # which rows of the state mean something, step by step
        for k in reversed(range(lag)):
            values = [values_on(pattern, start.dtype, generator) for _ in range(2)]
            with np.errstate(all="ignore"):
                pattern = (react(k, np.hstack(values)) != 0).any(axis=1, keepdims=True)
            self.alive.insert(0, pattern[:, 0])

    def take_in(self, vectors: Array | None) -> tuple[float, float]:
        """Set the scale, and return the size of random vectors' images at it and of their rounding.

        ``vectors`` are further ones, as rows.
        """
        dtype, width = self.start.dtype, self.start.shape[1]
        rounding = RoundingColumns(dtype, self.generator)
        tried = self.generator.standard_normal((VECTORS, width))
        count = VECTORS if vectors is None else VECTORS + len(vectors)
        every = np.vstack([tried, *([] if vectors is None else [vectors])]).T.astype(dtype)
        nothing = np.zeros((len(self.start), COLUMNS + 1), dtype)
        block = self._masked(np.hstack([self.start @ every, nothing]), 0)
        for k in range(self.lag):
            block[:, -1] = rounding.noise(row_sizes(block[:, :count]))
            block = self.act(k, block)
            rounding.absorb(block[:, count:])
            if not np.isfinite(block[:, :-1]).all():
                raise NumericalError(out_of_range(k))
            block, shift = _near(self._masked(block, k + 1))
            self.exponent += shift
        seen, shift = _near(block[self.rows])
        self.exponent += shift
        return frobenius_norm(seen[:, :count]), rounding.size(seen[:, count:])

    def matvec(self, vector: Array) -> Array:
        """Return the rows of the scaled product times a vector."""
        block, exponent = self._masked(self.start @ vector[:, None], 0), 0
        for k in range(self.lag):
            block, shift = _near(self._masked(self.act(k, block), k + 1))
            exponent += shift
        return np.asarray(np.ldexp(block[self.rows, 0], max(exponent - self.exponent, -5000)))

    def rmatvec(self, vector: Array) -> Array:
        """Return its adjoint times a vector."""
        block, exponent = np.zeros((len(self.start), 1), self.start.dtype), 0
        block[self.rows, 0] = vector
        for k in reversed(range(self.lag)):
            block, shift = _near(self._masked(self.react(k, block), k))
            exponent += shift
        return np.asarray(self.start.T @ np.ldexp(block, max(exponent - self.exponent, -5000)))[:, 0]

    def _masked(self, block: Array, step: int) -> Array:
        """Return a block of the state after so many steps without the rows that mean nothing."""
        alive = self.alive[step]
        return block if alive.all() else block * alive[:, None]


def _near(block: Array) -> tuple[Array, int]:
    """Return a block with its largest entry near 1, and the power of two that was taken from it."""
    size = float(np.abs(block).max())
    if not SMALL < size < LARGE and size:
        shift = math.frexp(size)[1]
        return np.ldexp(block, -shift), shift
    return block, 0
