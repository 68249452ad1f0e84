"""Norms of Jacobian products that reach back from several ends of several runs, all measured together."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

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
SHARE_PROBES = 4  # random vectors that estimate the share of each chain
# Largest standard error of log₁₀ of a share from so many: of a product of rank 1, ‖P z‖² is χ² of one degree.
SHARE_PROBE_ERROR = 0.5 * math.log10(math.e) * math.sqrt(2.0 / SHARE_PROBES)
MAX_HELD_NUMBERS = 2**23  # numbers of all states whose Jacobians are held; of more each pass makes them anew


class EndNorms(NamedTuple):
    """The norms of the products P_k = ∂s_t/∂s_{t−k} behind each end t of every run, as log₁₀.

    ``log10_norms`` maps each lag k that was asked for to log₁₀ ‖P_k‖₂, (draws, ends); −inf for a product that
    is exactly 0. ``log10_frobenius`` has log₁₀ ‖P_k‖_F at the same lags if products are multiplied out, and
    is empty otherwise. ``log10_shares`` is log₁₀ of the share ‖∂h_t/∂s_{t−k}‖_F / √H at every lag from 1,
    (lags, draws, ends), or empty; h is the output, of size H. ``error`` is a bound of the relative error of
    all norms. Where products are multiplied out, it includes rounding. Where they are not, it leaves out the
    rounding of the products, and the probability that one norm is further off is under 1e-6. ``share_error``
    is the largest standard error of one log₁₀ share, in decades; 0 where products are multiplied out.
    ``is_bound`` tells whether rounding has left no digit of one of the norms, so that an upper bound stands
    for it.
    """

    log10_norms: dict[int, Array]
    log10_frobenius: dict[int, Array]
    log10_shares: Array
    error: float
    share_error: float
    is_bound: bool


def measure_end_norms(
    trajectory: Trajectory, ends: Sequence[int], lags: Sequence[int], *, shares: bool = True
) -> EndNorms:
    """Compute ‖∂s_t/∂s_{t−k}‖ for every end t, every lag k and every run.

    Of a small state the products are multiplied out, and the norms are right to rounding. Of a larger one
    Lanczos steps run along all chains together, and no product is formed. The shares are then estimated
    from random vectors: E ‖Pᵀz‖² = ‖P‖_F² for z of independent unit normal entries (Hutchinson 1989).

    Parameters
    ----------
    trajectory : Trajectory
        Of states (T + 1, n), or (draws, T + 1, n).
    ends : sequence of int
        Steps t, each with the largest lag behind it.
    lags : sequence of int
        Lags k, ascending, from 1.
    shares : bool
        Whether to measure the shares, at every lag up to the largest.

    Raises
    ------
    NumericalError
        Where an entry leaves the range of a double within one step.

    References
    ----------
    Golub & Kahan 1965; Golub & Van Loan 2013, section 10.4; Hutchinson 1989.

    Examples
    --------
    >>> from gradflow.analysis.shared.trajectory import follow
    >>> from gradflow.cells.rnn import RNN
    >>> halving = RNN(np.ones((1, 1)), np.array([[0.5]]), np.zeros(1), "identity")
    >>> norms = measure_end_norms(follow(halving, np.zeros((9, 1))), [5, 9], [1, 4])
    >>> np.exp2(norms.log10_norms[4] * np.log2(10)).round(9).tolist()
    [[0.0625, 0.0625]]
    """
    chains = _chains(trajectory, ends, max(lags))
    measure = _multiply_out if trajectory.size <= MAX_DENSE_STATE else _estimate_norms
    norms = measure(chains, lags, shares=shares)
    shape = (-1, len(ends))
    return norms._replace(
        log10_norms={lag: logs.reshape(shape) for lag, logs in norms.log10_norms.items()},
        log10_frobenius={lag: logs.reshape(shape) for lag, logs in norms.log10_frobenius.items()},
        log10_shares=norms.log10_shares.reshape(len(norms.log10_shares), *shape)
        if len(norms.log10_shares)
        else norms.log10_shares,
    )


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


def _multiply_out(chains: Trajectory, lags: Sequence[int], *, shares: bool) -> EndNorms:
    """Return the norms of products that are multiplied out; arrays are (chains,)."""

    def back(lag: int, block: Array) -> Array:
        return np.asarray(chains.jacobian(chains.steps - 1 - lag).rmatmat(block))

    start = np.broadcast_to(
        np.eye(chains.size, dtype=chains.dtype), (len(chains.states), *(chains.size,) * 2)
    )
    wanted = frozenset(lags).__contains__
    norms = batch_norms(back, max(lags), start, wanted=wanted, part=chains.cell.output if shares else None)
    places = [lag - 1 for lag in lags]
    return EndNorms(
        dict(zip(lags, norms.two[:, places].T, strict=True)),
        dict(zip(lags, norms.frobenius[:, places].T, strict=True)),
        norms.part.T - 0.5 * math.log10(chains.cell.output_size) if shares else np.empty(0),
        norms.error,
        0.0,
        bool(norms.bounds[:, places].any() or (shares and norms.part_bounds.any())),
    )


def _estimate_norms(chains: Trajectory, lags: Sequence[int], *, shares: bool) -> EndNorms:
    """Return the norms of products that are never formed; arrays are (chains,)."""
    operator = _ScaledProducts(chains, max(lags), SHARE_PROBES if shares else 1)
    norms, error = {}, 0.0
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
        norms[lag] = log10_of(leading.values, operator.exponents[lag - 1])
        error = max(error, float(leading.errors.max()))
    if not shares:
        return EndNorms(norms, {}, np.empty(0), error, 0.0, False)
    logs = np.stack(operator.log10_shares)
    for lag, two in norms.items():  # a share is at most ‖P‖₂
        logs[lag - 1] = np.minimum(logs[lag - 1], two)
    return EndNorms(norms, {}, logs, error, SHARE_PROBE_ERROR, False)


class _ScaledProducts:
    """The products of all chains as operators: each column of a block meets the Jacobians of its own chain.

    Factors are scaled by powers of two, as a random vector sees them, so that vectors stay near 1.
    """

    def __init__(self, chains: Trajectory, longest: int, probes: int) -> None:
        self.chains = chains
        self.held: dict[int, StepFactor] | None = None
        if chains.states.size <= MAX_HELD_NUMBERS:
            self.held = {}
        blocks = np.random.default_rng(1).standard_normal((probes, chains.size, len(chains.states)))
        blocks = blocks.astype(chains.dtype)
        self.shifts: list[Array | None] = []  # None where nothing need be scaled
        # At every lag, (chains,): powers of two that the operators leave out, and estimates of the share.
        self.exponents: list[Array] = []
        self.log10_shares: list[Array] = []
        if probes > 1:  # a share is that of gradients of the output
            rest = np.ones(chains.size, bool)
            rest[chains.cell.output] = False
            blocks[:, rest] = 0.0
        exponents = np.zeros(len(chains.states), np.int64)
        for lag, factor in enumerate(self._factors(range(1, longest + 1)), 1):
            blocks = np.stack([factor.rmatmat(block) for block in blocks])
            largest = np.abs(blocks).max(axis=(0, 1))
            _check_range(largest, lag)
            far = (largest > 0) & ~((largest > SCALED_LOW) & (largest < SCALED_HIGH))
            self.shifts.append(np.where(far, np.frexp(largest)[1], 0) if far.any() else None)
            blocks = np.stack([self._scale_block(lag, block) for block in blocks])
            exponents = exponents + (0 if self.shifts[-1] is None else self.shifts[-1])
            self.exponents.append(exponents)
            sizes = np.sqrt(np.square(blocks).sum(axis=(0, 1)) / (probes * chains.cell.output_size))
            self.log10_shares.append(log10_of(sizes, exponents))

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
