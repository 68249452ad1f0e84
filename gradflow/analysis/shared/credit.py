"""How much of a gradient is left after many steps of one layer, measured from several ends."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.end_norms import end_log10_norms
from gradflow.analysis.shared.product_norms import (
    MIN_MATRIX_FREE_STATE,
    ProductNorms,
    View,
    product_log10_norms,
)
from gradflow.analysis.shared.trajectory import Trajectory, follow
from gradflow.analysis.shared.verdicts import ARRIVAL_DECADES
from gradflow.cells.base import Array
from gradflow.layouts.network import Network, NetworkLayer
from gradflow.linalg.floating import TRAINING_FORMATS, is_outside

CLEAR_MAJORITY = 7 / 8  # share of the measurements in which a gradient has to arrive for it to "arrive"


class Measurement(NamedTuple):
    """The gradient norms from one end of one run; nan if the state overflows before.

    ``log10_norm`` is log₁₀ ‖∂s_t/∂s_{t−L}‖₂, the norm of a product of exactly L Jacobians.
    ``log10_norm_ratio`` is log₁₀ of this norm divided by ‖∂s_t/∂s_{t−1}‖₂: the growth over the L − 1 steps
    before the last.
    """

    draw: int
    end: int
    log10_norm: float
    log10_norm_ratio: float

    @property
    def arrival(self) -> str:
        """Whether the gradient arrives: the norm decides, or the ratio if the norm is from 1e-2 to 1e2.

        The norm comes first because the ratio divides by the norm of the last step. If that step passes
        little, the ratio is large although the gradient is lost.
        """
        if math.isnan(self.log10_norm):  # the state overflows
            return "inflated"
        decisive = self.log10_norm if abs(self.log10_norm) > ARRIVAL_DECADES else self.log10_norm_ratio
        return (
            "lost" if decisive < -ARRIVAL_DECADES else "inflated" if decisive > ARRIVAL_DECADES else "arrives"
        )

    @property
    def distance(self) -> float:
        """The larger distance from 1, of the norm or of the ratio, in decades; inf after an overflow."""
        farther = max(abs(self.log10_norm), abs(self.log10_norm_ratio))
        return math.inf if math.isnan(farther) else farther


class Credit(NamedTuple):
    """The gradient norms of one layer, measured from several ends of several runs.

    ``rates`` has the growth over the second half of all lags from the last end, in nats per step, for each
    run. ``last_decides`` is true if the last end is the end of a sequence that the user gave.
    """

    measurements: tuple[Measurement, ...]
    rates: tuple[float, ...]
    horizon_float32: int | None
    blow_up: int | None
    error: float
    horizon_sought: bool = True  # false for a very large state, whose norms are measured at few lags
    last_decides: bool = False
    is_bound: bool = False  # true if rounding left no digit of a norm, which is then an upper bound

    @property
    def rate(self) -> float:
        """The median of the rates."""
        return _median(self.rates)

    @property
    def log10_credit(self) -> float:
        """The median of log₁₀ of the norms."""
        return _median([one.log10_norm for one in self.measurements])

    @property
    def log10_credit_range(self) -> tuple[float, float]:
        """The lowest and the highest log₁₀ of the norms."""
        logs = [one.log10_norm for one in self.measurements]
        return min(logs), max(logs)

    @property
    def log10_norm_ratio(self) -> float:
        """The median of log₁₀ of the ratios."""
        return _median([one.log10_norm_ratio for one in self.measurements])

    @property
    def log10_norm_ratio_range(self) -> tuple[float, float]:
        """The lowest and the highest log₁₀ of the ratios."""
        logs = [one.log10_norm_ratio for one in self.measurements]
        return min(logs), max(logs)

    @property
    def last(self) -> "Credit":
        """The measurements from the last end alone."""
        end = max(one.end for one in self.measurements)
        return self._replace(measurements=tuple(one for one in self.measurements if one.end == end))

    def count_arrivals(self, arrival: str) -> int:
        """Return the number of ends from which the gradient has this arrival."""
        return sum(one.arrival == arrival for one in self.measurements)

    @property
    def arrival(self) -> str:
        """One of `ARRIVALS`, or ``undecided``.

        A gradient is ``lost`` (or ``inflated``) if it is so from more than half of the ends, or from more
        than half of the last ends of given sequences, where a loss on the last step begins. It ``arrives`` if
        it arrives from at least seven eighths of the ends, and of the last ends. Otherwise the ends disagree.
        """
        if self.blow_up is not None:
            return "inflated"
        judged = [self.last, self] if self.last_decides else [self]
        for credit in judged:
            for word in ("lost", "inflated"):
                if credit.count_arrivals(word) > len(credit.measurements) / 2:
                    return word
        clear = all(one.count_arrivals("arrives") >= CLEAR_MAJORITY * len(one.measurements) for one in judged)
        return "arrives" if clear else "undecided"

    @property
    def arrives(self) -> bool:
        """Whether the gradient arrives from a clear majority of ends."""
        return self.arrival == "arrives"

    @property
    def arrives_from_all(self) -> bool:
        """Whether the gradient arrives from every end of every run."""
        return self.blow_up is None and self.count_arrivals("arrives") == len(self.measurements)

    @property
    def vanishes(self) -> bool:
        """Whether the gradient does not arrive because too little of it is left."""
        few, many = self.count_arrivals("lost"), self.count_arrivals("inflated")
        return self.arrival == "lost" or (self.arrival == "undecided" and few >= many)

    @property
    def distance(self) -> float:
        """The largest distance of a measurement from 1, in decades; inf if a state overflows."""
        return max((one.distance for one in self.measurements), default=math.inf)


def credit(
    trajectory: Trajectory,
    length: int,
    *,
    ends: int = 1,
    window: int | None = None,
    last_decides: bool = False,
    horizon: bool = True,
    rated: bool = True,
) -> Credit:
    """Return the gradient norms ``length`` steps back from several ends of a trajectory.

    Parameters
    ----------
    trajectory : Trajectory
        Of one run or of several draws.
    length : int
        L, the steps over which credit is asked for.
    ends : int
        Number of ends in each run: the last step, and steps at equal distances before it that have at least
        ``length`` steps behind them. A short run has fewer.
    window : int, optional
        Lags over which the rate and the horizon are measured, from the last end. Default: all steps. The
        first end is this many steps before the last, or as early as ``length`` allows.
    last_decides : bool
        Whether the last end is the end of a sequence that the user gave.
    horizon, rated : bool
        Whether to measure the horizon (of the first run), and the rates.

    Examples
    --------
    >>> from gradflow.cells.rnn import RNN
    >>> halving = RNN(np.ones((1, 1)), np.array([[0.5]]), np.zeros(1), "identity")
    >>> found = credit(follow(halving, np.zeros((200, 1))), 10, ends=3)
    >>> round(found.rate, 6), round(10**found.log10_credit * 1024, 6), found.horizon_float32
    (-0.693147, 1.0, 127)
    >>> [one.end for one in found.measurements], found.arrival
    ([10, 105, 200], 'lost')
    """
    steps, draws = trajectory.steps, math.prod(trajectory.states.shape[:-2])
    if steps == 0:
        nothing = tuple(Measurement(draw, length, math.nan, math.nan) for draw in range(draws))
        return Credit(nothing, (math.nan,) * draws, None, trajectory.blow_up, 0.0)
    reached, lags = min(length, steps), min(window or steps, steps)
    half = lags // 2
    places = _ends(max(reached, steps - lags), steps, ends)
    # one pass measures everything if the rate needs no more lags than the credit
    together = rated and lags == reached
    wanted = {1, reached, half} - {0} if together else {1, reached}
    norms, error, is_bound = _norms(trajectory, places, wanted)
    absolute = norms[reached]
    if trajectory.blow_up is not None and reached < length:
        absolute = np.full_like(absolute, np.nan)
    with np.errstate(invalid="ignore"):
        ratios = np.where(np.isneginf(absolute), -np.inf, absolute - norms[1])
    rates = np.full(draws, np.nan)
    if rated:
        late, inexact, unknown = norms, error, is_bound
        if not together:
            late, inexact, unknown = _norms(trajectory, [steps], {half, lags} - {0})
        rates = _rates(late.get(half), late[lags], lags)
        error, is_bound = max(error, inexact), is_bound or unknown
    bounds = None
    if horizon and trajectory.size < MIN_MATRIX_FREE_STATE:
        first = _last_steps(trajectory, lags)
        frobenius = _frobenius(first)
        bounds, error = frobenius.log10, max(error, frobenius.error)
    return Credit(
        tuple(
            Measurement(draw, end, float(absolute[draw, k]), float(ratios[draw, k]))
            for draw in range(draws)
            for k, end in enumerate(places)
        ),
        tuple(float(rate) for rate in rates),
        horizon_float32=None if bounds is None else _horizon(first, bounds),
        blow_up=trajectory.blow_up,
        error=error,
        horizon_sought=not horizon or bounds is not None,
        last_decides=last_decides,
        is_bound=is_bound,
    )


def trajectories(network: Network, inputs: Array) -> Iterator[tuple[NetworkLayer, Trajectory, bool]]:
    """Yield each layer of a network, its trajectory, and whether its inputs are those of the network.

    Inputs have shape (T, features), or (draws, T, features). The inputs of a level are the outputs of the
    level below, all directions side by side. If a state below overflows, the inputs are unit normal instead.
    """
    genuine = True
    for level in network.levels:
        outputs, whole = [], True
        for layer in level:
            backward = layer.direction == "backward"
            trajectory = follow(layer.cell, inputs[..., ::-1, :] if backward else inputs)
            shown = trajectory.states[..., 1:, : layer.cell.output_size]
            outputs.append(shown[..., ::-1, :] if backward else shown)
            whole &= trajectory.blow_up is None
            yield layer, trajectory, genuine
        genuine &= whole
        if genuine:
            inputs = np.concatenate(outputs, axis=-1)
        else:
            width = sum(layer.cell.output_size for layer in level)
            inputs = np.random.default_rng(0).standard_normal((*inputs.shape[:-1], width))


def _median(values: Sequence[float]) -> float:
    """Return the median; the median of two infinities of the same sign is that infinity, not nan."""
    ordered = sorted(values)
    if not ordered or any(math.isnan(value) for value in ordered):
        return math.nan
    below, above = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return below if below == above else 0.5 * (below + above)


def _ends(first: int, last: int, count: int) -> list[int]:
    """Return the ends: ``count`` steps at equal distances from ``first`` to ``last``."""
    if count == 1:
        return [last]
    return sorted({round(place) for place in np.linspace(first, last, count)})


def _norms(
    trajectory: Trajectory, ends: Sequence[int], lags: set[int]
) -> tuple[dict[int, Array], float, bool]:
    """Return log₁₀ of the norms at each lag, (draws, ends), their error, and whether one is only a bound."""
    norms, error, is_bound = end_log10_norms(trajectory, ends, sorted(lags))
    return dict(zip(sorted(lags), norms, strict=True)), error, is_bound


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


def _frobenius(trajectory: Trajectory) -> ProductNorms:
    """Return log₁₀ of the Frobenius norms at every lag."""
    view = View("backward", ("state",), ("fro",), (), exact=False)
    return product_log10_norms(trajectory, view, "state")["fro"]


def _horizon(trajectory: Trajectory, bounds: Array) -> int | None:
    """Return the first lag at which the spectral norm is outside float32's normal numbers.

    The Frobenius norm is between one and √n times the spectral norm, so few lags need the spectral norm.
    """
    ends = TRAINING_FORMATS["float32"]
    slack = 0.5 * math.log10(trajectory.size)
    lags = range(1, trajectory.steps + 1)
    first = next(
        (k for k in lags if is_outside(bounds[k - 1] - slack, ends) or is_outside(bounds[k - 1], ends)), None
    )
    if first is None:
        return None
    low, high = (math.log10(end) for end in ends)
    certain = (k for k in lags if bounds[k - 1] < low or bounds[k - 1] - slack > high)
    last = next(certain, trajectory.steps)
    view = View("backward", ("state",), ("2",), tuple(range(first, last + 1)), exact=False)
    norms = product_log10_norms(_last_steps(trajectory, last), view, "state")["2"].log10
    return next((k for k in range(first, last + 1) if is_outside(norms[k - 1], ends)), None)
