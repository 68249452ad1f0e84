"""What a rate of growth amounts to: a half-life, and a verdict."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.shared.quantiles import MedianInterval, median, median_interval

# Stable is a rate at which a gradient changes by less than this factor over T steps, at least 100.
STABLE, LEAST_STEPS = 100.0, 100
# Times as much data, past which an estimate is so far under its error that it tells nothing of its size.
MAX_TIMES_TO_DECIDE = 1000
# Credit arrives where a gradient neither shrinks nor grows by more than this on its way, as log₁₀.
ARRIVES = 2.0

# What a reader must not miss of a rate, and of the log₁₀ of credit: value and name.
STILL = {0.0: "no growth"}
ARRIVING = {-ARRIVES: "below: lost", ARRIVES: "above: inflated"}


def half_life(rate: float) -> float:
    """Return the steps in which a rate (nats per step) halves a gradient: inf where it never does.

    Examples
    --------
    >>> half_life(-math.log(2) / 5), half_life(0.1), half_life(math.nan)
    (5.0, inf, nan)
    """
    if math.isnan(rate):
        return math.nan
    return math.log(2) / -rate if rate < 0 else math.inf


def stable_limit(steps: int) -> float:
    """Return the rate (nats per step) up to which T steps count as stable: ln 100 over max(T, 100).

    Examples
    --------
    >>> round(stable_limit(50), 6), round(stable_limit(1000), 6)
    (0.046052, 0.004605)
    """
    return math.log(STABLE) / max(steps, LEAST_STEPS)


def verdict(
    rate: float,
    steps: int,
    blow_up: int | None,
    low: float | None = None,
    high: float | None = None,
) -> str | None:
    """Return the verdict on a rate over T steps; short runs are judged as if they went on to 100 steps.

    A state that overflows explodes, whatever the rate before it; without either there is no verdict.

    Parameters
    ----------
    rate : float
        The estimate, nats per step.
    steps : int
        T.
    blow_up : int or None
        The step at which a state overflows.
    low, high : float, optional
        The interval in which the true rate lies. The verdict is ``stable`` where all of it is, and
        ``undecided`` where 0 lies in it otherwise, or where its ends are nan: unknown. Without an interval
        the estimate is taken as exact.

    Examples
    --------
    >>> verdict(-0.1, 100, None), verdict(-0.01, 100, None), verdict(math.nan, 100, 7)
    ('vanishing', 'stable', 'exploding')
    >>> verdict(0.1, 100, None, -0.1, 0.3), verdict(0.1, 100, None, 0.05, 0.15)
    ('undecided', 'exploding')
    """
    if math.isnan(rate) and blow_up is None:
        return None
    if blow_up is not None:
        return "exploding"
    limit = stable_limit(steps)
    low, high = rate if low is None else low, rate if high is None else high
    if not (low > 0 or high < 0 or (-limit <= low and high <= limit)):  # nan is unknown, and so here
        return "undecided"
    if abs(rate) <= limit:
        return "stable"
    return "exploding" if rate > 0 else "vanishing"


class MedianVerdict(NamedTuple):
    """The verdict on the median of all draws that there may be, and what it rests on."""

    verdict: str | None
    median: float
    interval: MedianInterval | None  # None of one draw: then it is about that one


def judge_median(rates: Sequence[float] | NDArray[np.float64], steps: int) -> MedianVerdict:
    """Return the verdict on the median rate over T steps of the draws that there may be, given some.

    A draw whose state overflows has the rate inf: it is above any other.

    Examples
    --------
    >>> judge_median([-0.1, 0.2, 0.3], 100).verdict, judge_median([0.1, 0.2, 0.3], 100).verdict
    ('undecided', 'exploding')
    """
    middle = float(median(rates))
    interval = median_interval(rates) if len(rates) > 1 else None
    ends = (None, None) if interval is None else (interval.low, interval.high)
    return MedianVerdict(verdict(middle, steps, None, *ends), middle, interval)


def data_to_decide(amount: int, half_width: float, distance: float) -> int | None:
    """Return how much data would decide a verdict, to two digits, rounded up; None where none would.

    The half-width of an interval falls as 1/√amount; it has to come under the ``distance`` from the estimate
    to what it is not to reach, if the estimate stays. None is told past `MAX_TIMES_TO_DECIDE` times as much.

    Examples
    --------
    >>> data_to_decide(1000, 0.044, 0.0146), data_to_decide(1000, 0.044, 1e-9)
    (9100, None)
    """
    if not (0 < distance < math.inf and math.isfinite(half_width)):
        return None
    needed = amount * (half_width / distance) ** 2
    if not needed <= MAX_TIMES_TO_DECIDE * amount:
        return None
    unit: int = 10 ** max(math.floor(math.log10(max(needed, 1.0))) - 1, 0)
    return max(math.ceil(needed / unit) * unit, amount + 1)
