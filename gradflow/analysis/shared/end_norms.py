"""Norms of Jacobian products that reach back from several ends of several runs, all measured together."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from gradflow.analysis.shared.trajectory import STRETCH_STEPS, Trajectory
from gradflow.cells.base import Array
from gradflow.cells.factor import StepFactor
from gradflow.errors import NumericalError
from gradflow.linalg.batch import batch_norms
from gradflow.linalg.chain import describe_overflow
from gradflow.linalg.scaled import log10_of
from gradflow.linalg.singular import leading_singular_values

MAX_DENSE_STATE = 128  # state sizes up to which the products themselves are carried, and nothing is estimated
SCALED_LOW, SCALED_HIGH = 2.0**-64, 2.0**64  # between which a product is left as it is
LANCZOS_TOLERANCE = 1e-3  # residual, relative, at which a norm that is estimated is taken
MAX_END_NORM_ERROR = (
    0.2  # relative error that may be stated of it: a tenth of a decade, where two decades decide
)
END_NORM_ERROR_CHANCE = 1e-6  # probability with which the error stated of one norm is wrong
# Errors are first checked after this many Lanczos steps: a step along a long chain is expensive.
FIRST_JUDGED_END_STEP = 6
MAX_HELD_NUMBERS = 2**23  # numbers of all states whose Jacobians are held; of more each pass makes them anew


def end_log10_norms(
    trajectory: Trajectory, ends: Sequence[int], lags: Sequence[int]
) -> tuple[Array, float, bool]:
    """Compute log₁₀ ‖∂s_t/∂s_{t−k}‖₂ for every end t, every lag k and every run.

    Of a small state the products are multiplied out, and the norms are right to rounding. Of a larger one
    Lanczos steps run along all chains together, and no product is formed.

    Parameters
    ----------
    trajectory : Trajectory
        Of states (T + 1, n), or (draws, T + 1, n).
    ends : sequence of int
        Steps t, each with the largest lag behind it.
    lags : sequence of int
        Lags k, ascending, from 1.

    Returns
    -------
    norms : array (lags, draws, ends)
        −inf for a product that is exactly 0.
    error : float
        A bound of the relative error of all norms. Where products are multiplied out, it includes rounding.
        Where they are not, it leaves out the rounding of the products, and the probability that one norm is
        further off is under 1e-6.
    is_bound : bool
        Whether rounding has left no digit of one of the norms, and an upper bound stands for it.

    Raises
    ------
    NumericalError
        Where an entry leaves the range of a double within one step.

    References
    ----------
    Golub & Kahan 1965; Golub & Van Loan 2013, section 10.4.

    Examples
    --------
    >>> from gradflow.analysis.shared.trajectory import follow
    >>> from gradflow.cells.rnn import RNN
    >>> halving = RNN(np.ones((1, 1)), np.array([[0.5]]), np.zeros(1), "identity")
    >>> norms, _, _ = end_log10_norms(follow(halving, np.zeros((9, 1))), [5, 9], [1, 4])
    >>> np.exp2(norms * np.log2(10)).round(9).tolist()
    [[[0.5, 0.5]], [[0.0625, 0.0625]]]
    """
    chains = _chains(trajectory, ends, max(lags))
    measure = _multiply_out if trajectory.size <= MAX_DENSE_STATE else _estimate_norms
    norms, error, is_bound = measure(chains, lags)
    return norms.reshape(len(lags), -1, len(ends)), error, is_bound


def _chains(trajectory: Trajectory, ends: Sequence[int], longest: int) -> Trajectory:
    """Return the last steps before each end as runs of one trajectory, (draws · ends, longest, ...)."""
    states = trajectory.states.reshape(-1, *trajectory.states.shape[-2:])
    inputs = trajectory.inputs.reshape(-1, *trajectory.inputs.shape[-2:])
    return Trajectory(
        trajectory.cell,
        np.stack([one[end - longest : end] for one in inputs for end in ends]),
        np.stack([one[end - longest : end + 1] for one in states for end in ends]),
        blow_up=None,
        underflow=False,
    )


def _multiply_out(chains: Trajectory, lags: Sequence[int]) -> tuple[Array, float, bool]:
    """Return the norms of products that are multiplied out, (lags, chains)."""

    def back(lag: int, block: Array) -> Array:
        return np.asarray(chains.jacobian(chains.steps - 1 - lag).rmatmat(block))

    start = np.broadcast_to(
        np.eye(chains.size, dtype=chains.dtype), (len(chains.states), *(chains.size,) * 2)
    )
    norms = batch_norms(back, max(lags), start, wanted=frozenset(lags).__contains__)
    places = [lag - 1 for lag in lags]
    return norms.two[:, places].T, norms.error, bool(norms.bounds[:, places].any())


def _estimate_norms(chains: Trajectory, lags: Sequence[int]) -> tuple[Array, float, bool]:
    """Return the norms of products that are never formed, (lags, chains), and what they may be off by."""
    operator = _ScaledProducts(chains, max(lags))
    norms, error = [], 0.0
    for lag in lags:
        leading = leading_singular_values(
            partial(operator.matmat, lag),
            partial(operator.rmatmat, lag),
            (chains.size, len(chains.states)),
            chains.dtype,
            LANCZOS_TOLERANCE,
            allowed_error=MAX_END_NORM_ERROR,
            chance=END_NORM_ERROR_CHANCE,
            first_judged=FIRST_JUDGED_END_STEP,
        )
        norms.append(log10_of(leading.values, operator.exponents(lag)))
        error = max(error, float(leading.errors.max()))
    return np.stack(norms), error, False


class _ScaledProducts:
    """The products of all chains as operators: each column of a block meets the Jacobians of its own chain.

    Factors are scaled by powers of two, as a random vector sees them, so that vectors stay near 1.
    """

    def __init__(self, chains: Trajectory, longest: int) -> None:
        self.chains = chains
        self.held: dict[int, StepFactor] | None = None
        if chains.states.size <= MAX_HELD_NUMBERS:
            self.held = {}
        block = np.random.default_rng(1).standard_normal((chains.size, len(chains.states)))
        block = block.astype(chains.dtype)
        self.shifts: list[Array | None] = []  # None where nothing need be scaled
        for lag, factor in enumerate(self._factors(range(1, longest + 1)), 1):
            block = factor.rmatmat(block)
            largest = np.abs(block).max(axis=0)
            _check_range(largest, lag)
            far = (largest > 0) & ~((largest > SCALED_LOW) & (largest < SCALED_HIGH))
            self.shifts.append(np.where(far, np.frexp(largest)[1], 0) if far.any() else None)
            block = self._scale_block(lag, block)

    def exponents(self, lag: int) -> Array:
        """Return the powers of two that the operators to a lag leave out, (chains,)."""
        taken = [shift for shift in self.shifts[:lag] if shift is not None]
        return np.asarray(sum(taken, np.zeros(len(self.chains.states), np.int64)))

    def matmat(self, lag: int, block: Array) -> Array:
        """Return J_t ⋯ J_{t−lag+1} x for each column x."""
        lags = range(lag, 0, -1)
        for k, factor in zip(lags, self._factors(lags), strict=True):
            block = self._scale_block(k, factor.matmat(block))
        return block

    def rmatmat(self, lag: int, block: Array) -> Array:
        """Return its adjoint applied to each column."""
        for k, factor in enumerate(self._factors(range(1, lag + 1)), 1):
            block = self._scale_block(k, factor.rmatmat(block))
        return block

    def _scale_block(self, lag: int, block: Array) -> Array:
        shift = self.shifts[lag - 1]
        return block if shift is None else np.asarray(np.ldexp(block, -shift))

    def _factors(self, lags: range) -> Iterator[StepFactor]:
        """Yield the factor that each lag adds."""
        count = len(self.chains.states)
        current: tuple[int, StepFactor] | None = None
        for lag in lags:
            place = self.chains.steps - lag
            first = place - place % STRETCH_STEPS
            if self.held is not None and first in self.held:
                stretch = self.held[first]
            elif current is not None and current[0] == first:
                stretch = current[1]
            else:
                last = min(first + STRETCH_STEPS, self.chains.steps)
                stretch = self.chains.linearize_steps(first, last).lay_side_by_side()
                if self.held is not None:
                    self.held[first] = stretch
            current = first, stretch
            begin = (place - first) * count
            yield stretch.each(slice(begin, begin + count))


def _check_range(largest: Array, lag: int) -> None:
    if not np.isfinite(largest).all():
        raise NumericalError(describe_overflow(lag - 1))
