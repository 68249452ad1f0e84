"""‖A_k ⋯ A_1‖₂ at a few lags k without ever forming a product: for matrices too large to multiply.

Every step of the iteration runs along the whole chain and back: a lag k costs some k·n² and the memory of a
few vectors, where the product costs n³ a step and n² numbers. The error that is left is told.
"""

from collections.abc import Sequence

import numpy as np

from gradflow.errors import NumericalError
from gradflow.linalg.chain import TOLERANCE as CHAIN_TOLERANCE
from gradflow.linalg.chain import Action, Norms, out_of_range
from gradflow.linalg.products import Array
from gradflow.linalg.scaled import number
from gradflow.linalg.singular import LeadingSingularValue

# Nothing proves a gap here, and every step is dear: a residual this small is enough, and is told.
TOLERANCE = 1e-7
MOST = 120  # Lanczos steps; what is not settled by then is given with the error that it has


def matrix_free_norms(
    act: Action,
    react: Action,
    steps: int,
    lags: Sequence[int],
    start: Array,
    *,
    rows: slice | Array = slice(None),
    generator: np.random.Generator | None = None,
) -> Norms:
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
    chain = _ScaledChain(act, react, start, rows)
    leading = LeadingSingularValue(
        generator or np.random.default_rng(0), max(TOLERANCE, CHAIN_TOLERANCE[start.dtype.itemsize])
    )
    found, error = np.full(steps, np.nan), 0.0
    shape = (len(start[:, :1][rows]), start.shape[1])
    for lag in lags:
        chain.extend(lag, None if leading.rights is None else leading.rights[0])
        if chain.exhausted:
            found[lag - 1] = -np.inf
            continue
        value, rest = leading.of_operator(chain.matvec, chain.rmatvec, shape, start.dtype, MOST)
        found[lag - 1] = number(value, sum(chain.shifts) + chain.last_shift).log10()
        error = max(error, rest)
    return Norms(found, np.full(steps, np.nan), error)


class _ScaledChain:
    """The product as an operator, scaled at each factor so that its leading vector stays near 1."""

    def __init__(self, act: Action, react: Action, start: Array, rows: slice | Array) -> None:
        self.act, self.react, self.start, self.rows = act, react, start, rows
        self.shifts: list[int] = []
        self.last_shift = 0  # of the rows that are measured: they may be far smaller than the whole
        self.exhausted = False  # the product is exactly 0 from here on

    def extend(self, lag: int, vector: Array | None) -> None:
        """Take in the factors up to ``lag``, their scales as a vector sees them.

        Where the vector dies a fresh one is tried: only if that dies as well the product is taken for 0.
        """
        noise = np.random.default_rng(lag).standard_normal((2, self.start.shape[1])).astype(self.start.dtype)
        tries = [noise[0] if vector is None else vector, noise[1]]
        taken = list(self.shifts)
        for one in tries:
            self.shifts = list(taken)
            if self._taken_in(lag, one):
                return
        self.exhausted = True

    def _taken_in(self, lag: int, vector: Array) -> bool:
        """Return whether a vector survives to ``lag``, having noted the scale of every factor on the way."""
        block = self._along(vector)
        while len(self.shifts) < lag:
            block = self.act(len(self.shifts), block)
            size = float(np.abs(block).max())
            if not np.isfinite(size):
                raise NumericalError(out_of_range(len(self.shifts)))
            if size == 0.0:
                return False
            self.shifts.append(int(np.frexp(size)[1]))
            block = np.ldexp(block, -self.shifts[-1])
        self.last_shift = int(np.frexp(np.abs(block[self.rows]).max(initial=0.0))[1])
        return True

    def _along(self, vector: Array) -> Array:
        block = self.start @ vector[:, None]
        for k, shift in enumerate(self.shifts):
            block = np.ldexp(self.act(k, block), -shift)
        return block

    def matvec(self, vector: Array) -> Array:
        """Return the rows of the scaled product times a vector."""
        result: Array = np.ldexp(self._along(vector)[self.rows, 0], -self.last_shift)
        return result

    def rmatvec(self, vector: Array) -> Array:
        """Return its adjoint times a vector."""
        block = np.zeros((len(self.start), 1), self.start.dtype)
        block[self.rows, 0] = np.ldexp(vector, -self.last_shift)
        for k in reversed(range(len(self.shifts))):
            block = self.react(k, np.ldexp(block, -self.shifts[k]))
        result: Array = (self.start.T @ block)[:, 0]
        return result
