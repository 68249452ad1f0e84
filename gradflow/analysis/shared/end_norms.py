"""Norms of Jacobian products that reach back from several ends of several runs, all measured together."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gradflow.analysis.shared.product_norms import scale_to_share
from gradflow.analysis.shared.trajectory import STRETCH_STEPS, Trajectory
from gradflow.cells.base import Array, Index
from gradflow.cells.factor import StepFactor
from gradflow.errors import DataError, NumericalError
from gradflow.linalg.batch import BatchNorms, batch_norms
from gradflow.linalg.chain import ChainNorms, chain_norms, describe_overflow
from gradflow.linalg.joint_lanczos import LeadingSingularValues, leading_singular_values
from gradflow.linalg.scaled import log10_of

MAX_DENSE_STATE = 128  # state sizes up to which the products themselves are carried, and nothing is estimated
# State sizes up to which the product behind one end alone is multiplied out too: in the few columns that are
# left of a long product this takes less time than Lanczos steps.
MAX_LONE_STATE = 1024
SCALED_LOW, SCALED_HIGH = 2.0**-64, 2.0**64  # between which a product is left as it is
LANCZOS_TOLERANCE = 1e-3  # residual, relative, at which a norm that is estimated is taken
MAX_END_NORM_ERROR = (
    0.2  # relative error that may be stated of it: a tenth of a decade, where two decades decide
)
END_NORM_ERROR_CHANCE = 1e-6  # probability with which the error stated of one norm is wrong
# Errors are first checked after this many Lanczos steps: a step along a long chain is expensive.
FIRST_JUDGED_END_STEP = 6
SHARE_PROBES = 8  # random vectors that estimate the share of each chain
# Largest standard error of log₁₀ of a share from so many: of a product of rank 1, ‖P z‖² is χ² with as many
# degrees of freedom, whose logarithm has variance ψ₁(4) = π²/6 − 49/36. Its bias, −0.03, is included.
SHARE_PROBE_ERROR = 0.12
ROUNDING_PROBES = 2  # random vectors for each chain that measure the rounding of single precision
RANGE_PROBES = 8  # random vectors that enclose the norm of one chain at every lag
PROBE_SEED = (0x5A6E, 0x70B3)  # not a seed that anybody draws weights with
MAX_HELD_NUMBERS = 2**23  # numbers of all states whose Jacobians are held; of more each pass makes them anew


class EndNorms(NamedTuple):
    """The norms of the products P_k = ∂s_t/∂s_{t−k} behind each end t of every run, as log₁₀.

    ``log10_norms`` maps each lag k that was asked for to log₁₀ ‖P_k‖₂, (draws, ends); −inf for a product that
    is exactly 0. ``log10_frobenius`` has log₁₀ ‖P_k‖_F at the same lags if products are multiplied out, and
    is empty otherwise. ``log10_range`` has two rows between which log₁₀ ‖P_k‖₂ lies at every lag from 1 for
    the last end of the first run, (2, lags), or none. ``log10_shares`` is log₁₀ of the share
    ‖∂h_t/∂s_{t−k}‖_F / √H at every lag from 1, (lags, draws, ends), or empty; h is the output, of size H.
    ``error`` is a bound of the relative error of all norms. Where products are multiplied out, it includes
    rounding. Where they are not, it leaves out the rounding of products in double precision, and the
    probability that one norm is further off is under 2e-6. ``share_error`` is the largest standard error of
    one log₁₀ share, in decades; 0 where products are multiplied out. ``is_bound`` tells whether rounding has
    left no digit of one of the norms, so that an upper bound stands for it.
    """

    log10_norms: dict[int, Array]
    log10_frobenius: dict[int, Array]
    log10_range: Array
    log10_shares: Array
    error: float
    share_error: float
    is_bound: bool


def measure_end_norms(
    trajectory: Trajectory,
    ends: Sequence[int],
    lags: Sequence[int],
    *,
    shares: bool = True,
    curve: bool = True,
    ranged: bool = False,
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
    curve : bool
        Whether shares at other lags than those asked for are needed; they are nan where this saves time.
    ranged : bool
        Whether to enclose the norms at all these lags, for the last end of the first run.

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
    if _is_lone(chains):
        norms = _multiply_lone_out(chains, lags, shares=shares)
    else:
        one = len(ends) - 1 if ranged else None
        if trajectory.size <= MAX_DENSE_STATE:
            norms = _multiply_out(chains, lags, shares=shares, curve=curve, ranged=one)
        else:
            norms = _estimate_norms(chains, lags, shares=shares, ranged=one)
    shape = (-1, len(ends))
    return norms._replace(
        log10_norms={lag: logs.reshape(shape) for lag, logs in norms.log10_norms.items()},
        log10_frobenius={lag: logs.reshape(shape) for lag, logs in norms.log10_frobenius.items()},
        log10_shares=norms.log10_shares.reshape(len(norms.log10_shares), *shape)
        if len(norms.log10_shares)
        else norms.log10_shares,
    )


class EndShares(NamedTuple):
    """The shares ‖∂h_t/∂s_{t−k}‖_F / √H behind each end t of every run; h is the output, of size H.

    ``log10_shares`` has log₁₀ of the share at every lag k from 1, (lags, draws, ends). The other fields are
    those of `EndNorms`.
    """

    log10_shares: Array
    error: float
    share_error: float
    is_bound: bool


def measure_end_shares(trajectory: Trajectory, ends: Sequence[int], longest: int) -> EndShares:
    """Compute the shares behind every end of every run, at the lags 1 … ``longest``.

    They are those of `measure_end_norms`. This function computes no other norms and takes a fraction of the
    time: only gradients of the output are carried back.

    Raises
    ------
    NumericalError
        Where an entry leaves the range of a double within one step.

    Examples
    --------
    >>> from gradflow.analysis.shared.trajectory import follow
    >>> from gradflow.cells.rnn import RNN
    >>> halving = RNN(np.ones((1, 1)), np.array([[0.5]]), np.zeros(1), "identity")
    >>> shares = measure_end_shares(follow(halving, np.zeros((9, 1))), [5, 9], 4)
    >>> np.exp2(shares.log10_shares[3] * np.log2(10)).round(9).tolist()
    [[0.0625, 0.0625]]
    """
    shares = _measure_shares(_chains(trajectory, ends, longest), longest)
    return shares._replace(log10_shares=shares.log10_shares.reshape(longest, -1, len(ends)))


def _measure_shares(chains: Trajectory, longest: int) -> EndShares:
    """Return the shares of all chains, (lags, chains)."""
    if chains.size > MAX_DENSE_STATE:
        operator = _ScaledProducts(chains, [longest], SHARE_PROBES)
        logs, error, share_error, is_bound = operator.log10_shares, 0.0, SHARE_PROBE_ERROR, False
    else:
        norms = _multiply_back(chains, longest, chains.cell.output)
        logs = scale_to_share(norms.frobenius.T, chains.cell)
        error, share_error, is_bound = norms.error, 0.0, bool(norms.bounds.any())
    return EndShares(logs, error, share_error, is_bound)


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


def _is_lone(chains: Trajectory) -> bool:
    """Return whether there is one chain, of a large state that can still be multiplied out."""
    return len(chains.states) == 1 and MAX_DENSE_STATE < chains.size <= MAX_LONE_STATE


def _get_chain(chains: Trajectory, place: int) -> Trajectory:
    return Trajectory(chains.cell, chains.inputs[place], chains.states[place], None, underflow=False)


def _follow_product(chain: Trajectory, rows: Index = slice(None), lags: Sequence[int] = ()) -> ChainNorms:
    """Return the norms of ``rows`` of one product at every lag, spectral ones at ``lags``."""

    def back(lag: int, block: Array) -> Array:
        return np.asarray(chain.jacobian(chain.steps - 1 - lag).rmatmat(block))

    start = np.eye(chain.size, dtype=chain.dtype)[:, rows]
    return chain_norms(back, chain.steps, start, wanted=frozenset(lags).__contains__)


def _enclose_by_frobenius(norms: ChainNorms, size: int) -> Array:
    """Return the range of log₁₀ ‖P‖₂ at every lag: ‖P‖_F is between one and √n times as large."""
    return np.stack([norms.frobenius - 0.5 * math.log10(size), norms.frobenius])


def _multiply_lone_out(chains: Trajectory, lags: Sequence[int], *, shares: bool) -> EndNorms:
    """Return the norms of one product that is multiplied out; arrays are (1,)."""
    chain, places = _get_chain(chains, 0), [lag - 1 for lag in lags]
    norms = _follow_product(chain, lags=lags)
    error, is_bound, logs = norms.error, bool(norms.bounds[places].any()), np.empty(0)
    share_error = 0.0
    if shares:
        found = _measure_shares(chains, max(lags))
        # a share is at most ‖P‖₂ and ‖P‖_F / √H; the former is nan at other lags
        most = np.fmin(norms.two, scale_to_share(norms.frobenius, chain.cell))
        logs, share_error = np.minimum(found.log10_shares, most[:, None]), found.share_error
    return EndNorms(
        {lag: norms.two[lag - 1 : lag] for lag in lags},
        {lag: norms.frobenius[lag - 1 : lag] for lag in lags},
        _enclose_by_frobenius(norms, chain.size),
        logs,
        error,
        share_error,
        is_bound,
    )


def _multiply_out(
    chains: Trajectory, lags: Sequence[int], *, shares: bool, curve: bool, ranged: int | None
) -> EndNorms:
    """Return the norms of products that are multiplied out; arrays are (chains,)."""
    part = chains.cell.output if shares else None
    norms = _multiply_back(chains, max(lags), slice(None), lags=lags, part=part, curve=curve)
    places = [lag - 1 for lag in lags]
    enclosed, error = np.empty((2, 0)), norms.error
    if ranged is not None:
        one = _follow_product(_get_chain(chains, ranged))
        enclosed, error = _enclose_by_frobenius(one, chains.size), max(error, one.error)
    return EndNorms(
        dict(zip(lags, norms.two[:, places].T, strict=True)),
        dict(zip(lags, norms.frobenius[:, places].T, strict=True)),
        enclosed,
        scale_to_share(norms.part.T, chains.cell) if shares else np.empty(0),
        error,
        0.0,
        bool(norms.bounds[:, places].any() or (shares and norms.part_bounds.any())),
    )


def _multiply_back(
    chains: Trajectory,
    longest: int,
    rows: Index,
    *,
    lags: Sequence[int] = (),
    part: Index | None = None,
    curve: bool = True,
) -> BatchNorms:
    """Return the norms of ``rows`` of the products: all at ``lags``, and those of ``part`` at every lag.

    Without ``curve``, the norms of ``part`` are only computed at ``lags``. Without ``lags``, the Frobenius
    norms are computed at every lag, and no others.
    """

    def back(lag: int, block: Array) -> Array:
        return np.asarray(chains.jacobian(chains.steps - 1 - lag).rmatmat(block))

    start = np.eye(chains.size, dtype=chains.dtype)[:, rows]
    return batch_norms(
        back,
        longest,
        np.broadcast_to(start, (len(chains.states), *start.shape)),
        wanted=frozenset(lags).__contains__,
        part=part if lags else slice(None),
        part_wanted=(lambda _: True) if curve else frozenset(lags).__contains__,
    )


def _estimate_norms(chains: Trajectory, lags: Sequence[int], *, shares: bool, ranged: int | None) -> EndNorms:
    """Return the norms of products that are never formed; arrays are (chains,)."""
    operator = _ScaledProducts(chains, lags, SHARE_PROBES if shares else 0, ranged, _to_single(chains))
    norms, error = {}, 0.0
    for lag in lags:
        values, errors = operator.estimate_norms(lag)
        norms[lag] = log10_of(values, operator.exponents[lag - 1])
        error = max(error, float(errors.max()))
    if not shares:
        return EndNorms(norms, {}, operator.log10_range, np.empty(0), error, 0.0, False)
    logs = operator.log10_shares
    for lag, two in norms.items():  # a share is at most ‖P‖₂
        logs[lag - 1] = np.minimum(logs[lag - 1], two)
    return EndNorms(norms, {}, operator.log10_range, logs, error, SHARE_PROBE_ERROR, False)


def _to_single(chains: Trajectory) -> Trajectory | None:
    """Return the chains in single precision, or None if a number is out of its range."""
    single = np.dtype(np.float32)
    try:
        with np.errstate(over="ignore", under="ignore"):
            cell = chains.cell.astype(single)
            inputs, states = chains.inputs.astype(single), chains.states.astype(single)
    except DataError:
        return None
    if not (np.isfinite(inputs).all() and np.isfinite(states).all()):
        return None
    return Trajectory(cell, inputs, states, blow_up=None, underflow=False)


class _ChainFactors:
    """The Jacobians of all chains by lag, each a factor whose columns belong to chains."""

    def __init__(self, chains: Trajectory) -> None:
        self.chains = chains
        self.held: dict[int, StepFactor] | None = {} if chains.states.size <= MAX_HELD_NUMBERS else None
        self.current: tuple[int, StepFactor] | None = None

    def at(self, lag: int, owners: Array | None = None) -> StepFactor:
        """Return the factor that a lag adds, for blocks whose columns belong to the chains ``owners``.

        By default there is one column for each chain.
        """
        place, count = self.chains.steps - lag, len(self.chains.states)
        first = place - place % STRETCH_STEPS
        begin = (place - first) * count
        stretch = self._get_stretch(first)
        return stretch.each(slice(begin, begin + count) if owners is None else begin + owners)

    def _get_stretch(self, first: int) -> StepFactor:
        """Return the factor of the stretch that begins at a place."""
        if self.held is not None and first in self.held:
            return self.held[first]
        if self.current is None or self.current[0] != first:
            last = min(first + STRETCH_STEPS, self.chains.steps)
            self.current = first, self.chains.linearize_steps(first, last).lay_side_by_side()
            if self.held is not None:
                self.held[first] = self.current[1]
        return self.current[1]


class _ScaledProducts:
    """The products of all chains as operators: each column of a block meets the Jacobians of its own chain.

    Factors are scaled by powers of two, as random vectors see them, so that vectors stay near 1. The same
    vectors estimate the shares, enclose the norm of one chain, and measure how far products in single
    precision, which take half the time, are from those in double precision.

    Parameters
    ----------
    chains : Trajectory
        Of states (chains, T + 1, n).
    lags : sequence of int
        The lags of the norms; the last one is the largest of all.
    probes : int
        Random vectors for each chain that estimate the shares; 0 to measure none.
    ranged : int, optional
        The chain whose norm is enclosed.
    single : Trajectory, optional
        The chains in single precision.
    """

    def __init__(
        self,
        chains: Trajectory,
        lags: Sequence[int],
        probes: int,
        ranged: int | None = None,
        single: Trajectory | None = None,
    ) -> None:
        self.size, self.count, longest = chains.size, len(chains.states), max(lags)
        self.factors = _ChainFactors(chains)
        self.single = None if single is None else _ChainFactors(single)
        generator = np.random.default_rng(PROBE_SEED)
        # all probes of all chains side by side: a product with many columns costs little more than with few
        chosen = np.arange(self.count)
        shown, compared = np.tile(chosen, probes), np.tile(chosen, ROUNDING_PROBES if single else 0)
        watched = np.full(0 if ranged is None else RANGE_PROBES, ranged, np.intp)
        if not (probes or single):  # something must tell how to scale
            compared = chosen
        owners = np.concatenate([shown, compared, watched])
        parts = [generator.standard_normal((self.size, len(one))) for one in (shown, compared, watched)]
        block = np.hstack(parts).astype(chains.dtype)
        of_shares, of_rounding = slice(len(shown)), slice(len(shown), len(shown) + len(compared))
        of_range = slice(of_rounding.stop, len(owners))
        rest = np.ones(self.size, bool)  # a share is that of gradients of the output
        rest[chains.cell.output] = False
        block[rest, of_shares] = 0.0
        lengths = np.linalg.norm(block[:, of_range], axis=0)
        twin = block[:, of_rounding].astype(np.float32)
        self.shifts: list[Array | None] = []  # None where nothing need be scaled
        self.exponents: list[Array] = []  # powers of two that the operators leave out, (chains,) at each lag
        self.rounding: dict[int, Array] = {}  # bounds of the rounding of single precision, (chains,)
        squares = np.empty((longest, len(owners)))
        exponents = np.zeros(self.count, np.int64)
        for lag in range(1, longest + 1):
            block = self.factors.at(lag, owners).rmatmat(block)
            columns = np.maximum(block.max(axis=0), -block.min(axis=0))
            if not math.isfinite(columns.sum()):
                raise NumericalError(describe_overflow(lag - 1))
            shift = self._choose_shift(columns, owners)
            if self.single is not None:
                with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                    twin = self.single.at(lag, compared).rmatmat(twin)
                    twin = twin if shift is None else np.ldexp(twin, -shift[compared])
            if shift is not None:
                block, exponents = np.ldexp(block, -shift[owners]), exponents + shift
            self.shifts.append(shift)
            self.exponents.append(exponents)
            squares[lag - 1] = np.einsum("ij,ij->j", block, block)
            if self.single is not None and lag in lags:
                apart = np.square(block[:, of_rounding] - twin).sum(axis=0).reshape(-1, self.count)
                self.rounding[lag] = np.sqrt(
                    apart.sum(axis=0) / _find_small_square(ROUNDING_PROBES, END_NORM_ERROR_CHANCE)
                )
        powers = np.stack(self.exponents)
        self.log10_shares = np.empty(0)  # estimates of the share at every lag, (lags, chains)
        if probes:
            of_chains = squares[:, of_shares].reshape(longest, probes, self.count).sum(axis=1)
            self.log10_shares = scale_to_share(log10_of(np.sqrt(of_chains / probes), powers), chains.cell)
        self.log10_range = np.empty((2, 0))
        if ranged is not None:
            self.log10_range = _enclose_by_probes(squares[:, of_range], lengths, powers[:, ranged])

    def _choose_shift(self, columns: Array, owners: Array) -> Array | None:
        """Return powers of two that bring the largest entries of chains near 1, None if all are near it."""
        if columns.min() > SCALED_LOW and columns.max() < SCALED_HIGH:
            return None
        largest = np.zeros(self.count)
        np.maximum.at(largest, owners, columns)
        far = (largest > 0) & ~((largest > SCALED_LOW) & (largest < SCALED_HIGH))
        return np.where(far, np.frexp(largest)[1], 0) if far.any() else None

    def estimate_norms(self, lag: int) -> tuple[Array, Array]:
        """Return the norms at a lag, without the powers of two that are left out, and their relative errors.

        Products are in single precision where this leaves an error that may be stated.
        """
        if self.single is not None:
            with np.errstate(all="ignore"):
                leading = self._find_leading(self.single, lag, np.dtype(np.float32))
                errors = leading.errors + self.rounding[lag] / leading.values
            if (leading.residuals <= LANCZOS_TOLERANCE).all() and (errors <= MAX_END_NORM_ERROR).all():
                return leading.values, errors
        leading = self._find_leading(self.factors, lag, self.factors.chains.dtype)
        return leading.values, leading.errors

    def _find_leading(self, factors: _ChainFactors, lag: int, dtype: np.dtype[Any]) -> LeadingSingularValues:
        return leading_singular_values(
            partial(self._matmat, factors, lag),
            partial(self._rmatmat, factors, lag),
            (self.size, self.count),
            dtype,
            LANCZOS_TOLERANCE,
            allowed_error=MAX_END_NORM_ERROR,
            chance=END_NORM_ERROR_CHANCE,
            first_judged=FIRST_JUDGED_END_STEP,
        )

    def _matmat(self, factors: _ChainFactors, lag: int, block: Array) -> Array:
        """Return J_t ⋯ J_{t−lag+1} x for each column x."""
        for k in range(lag, 0, -1):
            block = self._scale_block(k, factors.at(k).matmat(block))
        return block

    def _rmatmat(self, factors: _ChainFactors, lag: int, block: Array) -> Array:
        """Return its adjoint applied to each column."""
        for k in range(1, lag + 1):
            block = self._scale_block(k, factors.at(k).rmatmat(block))
        return block

    def _scale_block(self, lag: int, block: Array) -> Array:
        shift = self.shifts[lag - 1]
        return block if shift is None else np.asarray(np.ldexp(block, -shift))


def _enclose_by_probes(squares: Array, lengths: Array, exponents: Array) -> Array:
    """Return the range of log₁₀ ‖P‖₂ at every lag, (2, lags), from ‖Pᵀz‖² of random vectors z, (lags, m).

    ‖P‖ is at least ‖Pᵀz‖/‖z‖ for each vector. With u the leading left singular vector, Σ ‖Pᵀz‖² is at least
    ‖P‖² Σ (u·z)², and Σ (u·z)² is χ² with m degrees of freedom. The range is wrong at any lag with a
    probability of at most `END_NORM_ERROR_CHANCE`.
    """
    lags, probes = squares.shape
    least = _find_small_square(probes, END_NORM_ERROR_CHANCE / lags)
    low, high = (np.sqrt(squares) / lengths).max(axis=1), np.sqrt(squares.sum(axis=1) / least)
    return np.stack([log10_of(low, exponents), log10_of(high, exponents)])


def _find_small_square(freedom: int, chance: float) -> float:
    """Return what a χ² variable is under with a probability of at most ``chance``.

    P(χ² < x) ≤ (x/2)^(m/2) / Γ(m/2 + 1) for m degrees of freedom, since its density without the factor
    exp(−x/2) is larger.
    """
    return float(2.0 * (math.gamma(freedom / 2 + 1) * chance) ** (2.0 / freedom))
