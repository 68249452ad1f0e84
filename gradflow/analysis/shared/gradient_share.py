"""The share of a gradient that is left after many steps of one layer, measured from several ends."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.end_norms import EndNorms, measure_end_norms, measure_end_shares
from gradflow.analysis.shared.product_norms import MIN_MATRIX_FREE_STATE, View, product_log10_norms
from gradflow.analysis.shared.quantiles import MIN_INTERVAL_DRAWS, median
from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.analysis.shared.verdicts import STABLE_DECADES, judge_range, judge_share, judge_shares
from gradflow.cells.base import Array
from gradflow.linalg.floating import TRAINING_FORMATS, is_outside


class EndMeasurement(NamedTuple):
    """What is left of a gradient from one end t of one run; nan if the state overflows before.

    Norms are also nan if only shares were measured.

    With P = ∂s_t/∂s_{t−L}, a product of L Jacobians of size n × n:

    ``log10_norm`` is log₁₀ ‖P‖₂, the factor in the best direction.
    ``log10_frobenius`` is log₁₀ ‖P‖_F; nan for a large state, whose products are not formed.
    ``log10_share`` is log₁₀ of ‖∂h_t/∂s_{t−L}‖_F / √H, where h is the output, of size H. A loss reads the
    output. The share is the root mean square factor for the gradient of a loss in a random direction of h.
    ``log10_relative_share`` is log₁₀ of this share divided by its mean over the lags 1 … L.
    ``log10_norm_ratio`` is log₁₀ (‖P‖₂ / ‖∂s_t/∂s_{t−1}‖₂), the growth over the L − 1 steps before the last.
    """

    draw: int
    end: int
    log10_norm: float
    log10_frobenius: float
    log10_share: float
    log10_relative_share: float
    log10_norm_ratio: float

    @property
    def verdict(self) -> str:
        """The verdict on the share; ``exploding`` if the state overflows."""
        return judge_share(self.log10_share)

    @property
    def stable_rank(self) -> float:
        """‖P‖_F² / ‖P‖₂²; nan if the product is not formed, or is 0."""
        if not (math.isfinite(self.log10_norm) and math.isfinite(self.log10_frobenius)):
            return math.nan
        return float(10.0 ** (2.0 * (self.log10_frobenius - self.log10_norm)))

    @property
    def distance(self) -> float:
        """The distance of the share from 1, in decades; inf after an overflow."""
        return math.inf if math.isnan(self.log10_share) else abs(self.log10_share)


class GradientShare(NamedTuple):
    """What is left of gradients in one layer, measured from several ends of several runs.

    ``curve`` is log₁₀ of the share at the lags 1 … L, (L, measurements). ``rates`` has the growth over the
    second half of all lags from the last end, in nats per step, for each run. ``last_decides`` is true if the
    last end is the end of a sequence that the user gave.
    """

    measurements: tuple[EndMeasurement, ...]
    curve: Array
    rates: tuple[float, ...]
    horizon_float32: int | None
    blow_up: int | None
    error: float  # bound of the relative error of the norms
    share_error: float = 0.0  # standard error of log₁₀ of one share, in decades; 0 if nothing is estimated
    horizon_sought: bool = True  # false for a very large state, whose norms are measured at few lags
    last_decides: bool = False
    is_bound: bool = False  # true if rounding left no digit of a norm, which is then an upper bound

    @property
    def rate(self) -> float:
        """The median of the rates."""
        return float(median(self.rates))

    @property
    def log10_norm(self) -> float:
        """The median of log₁₀ of the norms."""
        return float(median(self._list_ends("log10_norm")))

    @property
    def log10_norm_range(self) -> tuple[float, float]:
        """The lowest and the highest log₁₀ of the norms."""
        return _find_range(self._list_ends("log10_norm"))

    @property
    def log10_share(self) -> float:
        """The median of log₁₀ of the shares."""
        return float(median(self._list_ends("log10_share")))

    @property
    def log10_share_range(self) -> tuple[float, float]:
        """The lowest and the highest log₁₀ of the shares."""
        return _find_range(self._list_ends("log10_share"))

    @property
    def log10_relative_share(self) -> float:
        """The median of log₁₀ of the relative shares."""
        return float(median(self._list_ends("log10_relative_share")))

    @property
    def stable_rank(self) -> float:
        """The median of ‖P‖_F² / ‖P‖₂² (Rudelson & Vershynin 2007), a lower bound of the rank.

        It is nan if products are not formed, or are 0.
        """
        return float(median(self._list_ends("stable_rank")))

    @property
    def log10_norm_ratio(self) -> float:
        """The median of log₁₀ of the norm ratios."""
        return float(median(self._list_ends("log10_norm_ratio")))

    @property
    def log10_norm_ratio_range(self) -> tuple[float, float]:
        """The lowest and the highest log₁₀ of the norm ratios."""
        return _find_range(self._list_ends("log10_norm_ratio"))

    @property
    def last(self) -> "GradientShare":
        """The measurements from the last end alone."""
        end = max(one.end for one in self.measurements)
        return self._replace(
            measurements=tuple(one for one in self.measurements if one.end == end), last_decides=False
        )

    def count_verdict(self, verdict: str) -> int:
        """Return the number of ends with this verdict."""
        return sum(one.verdict == verdict for one in self.measurements)

    @property
    def verdict(self) -> str:
        """The verdict on the median share, ``borderline`` if the interval of the median has several verdicts.

        If the user gave the sequences, the loss on the last step begins at the last ends. Their verdict then
        counts too, and the worse of both is returned.
        """
        if self.blow_up is not None:
            return "exploding"
        typical = self.typical_verdict
        if not self.last_decides or typical in ("vanishing", "exploding"):
            return typical
        last = self.last.typical_verdict
        return typical if last == "stable" else last

    @property
    def typical_verdict(self) -> str:
        """The verdict on the median share over all ends alike.

        Ends of one sequence share most of their Jacobians, so only sequences count as independent: each has
        the median over its ends. Fewer than six sequences give no interval with 95 % confidence. Then all
        ends must have the same verdict.
        """
        if self.sequences < MIN_INTERVAL_DRAWS:
            low, high = _find_range([_count_overflow(log) for log in self._list_ends("log10_share")])
            return judge_range(low - self.share_error, high + self.share_error)
        return judge_shares(self._list_sequences(), self.share_error)

    @property
    def sequences(self) -> int:
        """The number of runs, each along another sequence of inputs."""
        return len({one.draw for one in self.measurements})

    def _list_sequences(self) -> list[float]:
        """Return log₁₀ of the share of every sequence: the median over its ends; inf after an overflow."""
        ends: dict[int, list[float]] = {}
        for one in self.measurements:
            ends.setdefault(one.draw, []).append(_count_overflow(one.log10_share))
        return [float(median(logs)) for logs in ends.values()]

    @property
    def is_blocked_by_last_step(self) -> bool:
        """Whether the share is stable from the other ends, and not from the last ones of given sequences."""
        last = self.last
        others = tuple(one for one in self.measurements if one not in last.measurements)
        if self.blow_up is not None or not (self.last_decides and others):
            return False
        typical = self._replace(measurements=others).typical_verdict
        return typical == "stable" and last.log10_share < STABLE_DECADES

    @property
    def is_stable(self) -> bool:
        """Whether the verdict is stable."""
        return self.verdict == "stable"

    @property
    def is_safe(self) -> bool:
        """Whether the verdict is stable and no gradient vanishes or explodes from any end of any run."""
        far = self.count_verdict("vanishing") + self.count_verdict("exploding")
        return self.is_stable and far == 0

    @property
    def is_small(self) -> bool:
        """Whether the share is under 1, so that a change should raise it."""
        if self.blow_up is not None:
            return False
        decisive = self.last if self.last_decides and self.verdict != self.typical_verdict else self
        return decisive.log10_share < 0

    @property
    def typical_distance(self) -> float:
        """The distance of the median share from 1, in decades; inf if a state overflows.

        If the user gave the sequences, it is the larger one of all ends and of the last ends.
        """
        if self.blow_up is not None:
            return math.inf
        logs = [self.log10_share, *([self.last.log10_share] if self.last_decides else [])]
        return max(map(abs, logs))

    @property
    def distance(self) -> float:
        """The largest distance of a share from 1, in decades; inf if a state overflows."""
        return max(self._list_ends("distance"), default=math.inf)

    def _list_ends(self, name: str) -> list[float]:
        """Return one number of every end."""
        return [getattr(one, name) for one in self.measurements]


def _count_overflow(log10_share: float) -> float:
    return math.inf if math.isnan(log10_share) else log10_share


def _find_range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def measure_share(
    trajectory: Trajectory,
    length: int,
    *,
    ends: int = 1,
    window: int | None = None,
    last_decides: bool = False,
    norms: bool = True,
    rates: bool = True,
    curve: bool = True,
) -> GradientShare:
    """Return what is left of gradients ``length`` steps back from several ends of a trajectory.

    Parameters
    ----------
    trajectory : Trajectory
        Of one run or of several draws.
    length : int
        L, the steps that a gradient goes back.
    ends : int
        Number of ends in each run: the last step, and steps at equal distances before it that have at least
        ``length`` steps behind them. A short run has fewer.
    window : int, optional
        Lags over which the rate and the horizon are measured, from the last end. Default: all steps. The
        first end is this many steps before the last, or as early as ``length`` allows.
    last_decides : bool
        Whether the last end is the end of a sequence that the user gave.
    norms : bool
        Whether to measure norms. Shares alone take a fraction of the time.
    rates : bool
        Whether to measure the rates, and the horizon of the first run. They need ``norms``.
    curve : bool
        Whether shares at lags under ``length`` are needed. Without them the relative share is nan.

    Examples
    --------
    >>> from gradflow.analysis.shared.trajectory import follow
    >>> from gradflow.cells.rnn import RNN
    >>> halving = RNN(np.ones((1, 1)), np.array([[0.5]]), np.zeros(1), "identity")
    >>> share = measure_share(follow(halving, np.zeros((200, 1))), 10, ends=3)
    >>> round(share.rate, 6), round(10**share.log10_share * 1024, 6), share.horizon_float32
    (-0.693147, 1.0, 127)
    >>> [one.end for one in share.measurements], share.verdict
    ([10, 105, 200], 'borderline')
    """
    steps, draws = trajectory.steps, math.prod(trajectory.states.shape[:-2])
    if steps == 0:
        nothing = tuple(EndMeasurement(draw, length, *[math.nan] * 5) for draw in range(draws))
        return GradientShare(
            nothing, np.empty((0, draws)), (math.nan,) * draws, None, trajectory.blow_up, 0.0
        )
    reached, lags = min(length, steps), min(window or steps, steps)
    places = _ends(max(reached, steps - lags), steps, ends)
    is_cut = trajectory.blow_up is not None and reached < length
    if not norms:
        alone = measure_end_shares(trajectory, places, reached)
        return GradientShare(
            _list_measurements(alone.log10_shares, None, places, reached, is_cut=is_cut),
            alone.log10_shares.reshape(reached, -1),
            (math.nan,) * draws,
            horizon_float32=None,
            blow_up=trajectory.blow_up,
            error=alone.error,
            share_error=alone.share_error,
            last_decides=last_decides,
            is_bound=alone.is_bound,
        )
    half = lags // 2
    # one pass measures everything if the rate needs no more lags than the share
    together = rates and lags == reached
    wanted = {1, reached, half} - {0} if together else {1, reached}
    sought = rates and trajectory.size < MIN_MATRIX_FREE_STATE
    measured = measure_end_norms(trajectory, places, sorted(wanted), curve=curve, ranged=sought and together)
    error, is_bound = measured.error, measured.is_bound
    growth = np.full(draws, np.nan)
    late = measured
    if rates:
        if not together:
            late = measure_end_norms(
                trajectory, [steps], sorted({half, lags} - {0}), shares=False, ranged=sought
            )
            error, is_bound = max(error, late.error), is_bound or late.is_bound
        growth = _rates(late.log10_norms.get(half), late.log10_norms[lags], lags)
    return GradientShare(
        _list_measurements(measured.log10_shares, measured, places, reached, is_cut=is_cut),
        measured.log10_shares[:reached].reshape(reached, -1),
        tuple(float(rate) for rate in growth),
        horizon_float32=_horizon(_last_steps(trajectory, lags), *late.log10_range) if sought else None,
        blow_up=trajectory.blow_up,
        error=error,
        share_error=measured.share_error,
        horizon_sought=not rates or sought,
        last_decides=last_decides,
        is_bound=is_bound,
    )


def _list_measurements(
    log10_shares: Array, norms: EndNorms | None, places: Sequence[int], reached: int, *, is_cut: bool
) -> tuple[EndMeasurement, ...]:
    """Return the measurements of all ends; nan if the overflow of a state has cut them short."""
    curve = log10_shares[:reached]
    shares = curve[-1]
    unknown = np.full_like(shares, np.nan)
    absolute, frobenius, first = unknown, unknown, unknown
    if norms is not None:
        absolute, first = norms.log10_norms[reached], norms.log10_norms[1]
        frobenius = norms.log10_frobenius.get(reached, unknown)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(np.isneginf(absolute), -np.inf, absolute - first)
        peak = curve.max(axis=0)
        mean = peak + np.log10(np.mean(10.0 ** (curve - peak), axis=0))
        relative = np.where(np.isneginf(shares), -np.inf, shares - mean)
    columns = np.stack([absolute, frobenius, shares, relative, ratios])
    if is_cut:
        columns = np.full_like(columns, np.nan)
    return tuple(
        EndMeasurement(draw, end, *(float(number) for number in columns[:, draw, k]))
        for draw in range(shares.shape[0])
        for k, end in enumerate(places)
    )


def _ends(first: int, last: int, count: int) -> list[int]:
    """Return the ends: ``count`` steps at equal distances from ``first`` to ``last``."""
    if count == 1:
        return [last]
    return sorted({round(place) for place in np.linspace(first, last, count)})


def _rates(half: Array | None, last: Array, lags: int) -> Array:
    """Return the growth over the second half of the lags from the last end, for each run."""
    start = np.zeros(len(last)) if half is None else half[:, -1]
    end = last[:, -1]
    with np.errstate(invalid="ignore"):
        grown = np.where(np.isneginf(end), -np.inf, end - start)
    return np.asarray(grown * (math.log(10) / (lags - lags // 2)))


def _last_steps(trajectory: Trajectory, count: int) -> Trajectory:
    """Return the last steps of the first run."""
    states = trajectory.states.reshape(-1, *trajectory.states.shape[-2:])[0]
    inputs = trajectory.inputs.reshape(-1, *trajectory.inputs.shape[-2:])[0]
    first = len(inputs) - count
    return Trajectory(trajectory.cell, inputs[first:], states[first:], None, underflow=False)


def _horizon(trajectory: Trajectory, low: Array, high: Array) -> int | None:
    """Return the first lag at which the spectral norm is outside float32's normal numbers.

    ``low`` and ``high`` enclose log₁₀ of the norm at every lag, so few lags need the norm itself.
    """
    ends = TRAINING_FORMATS["float32"]
    smallest, largest = (math.log10(end) for end in ends)
    possible = np.flatnonzero((low < smallest) | (high > largest))
    if not len(possible):
        return None
    first = int(possible[0]) + 1
    certain = np.flatnonzero((high < smallest) | (low > largest))
    last = int(certain[0]) + 1 if len(certain) else trajectory.steps
    if first == last and len(certain):
        return first
    view = View("backward", ("state",), ("2",), tuple(range(first, last + 1)), exact=False)
    norms = product_log10_norms(_last_steps(trajectory, last), view, "state")["2"].log10
    return next((k for k in range(first, last + 1) if is_outside(norms[k - 1], ends)), None)
