"""Verdicts on the share of a gradient that is left, and on a rate of growth; the half-life of a rate."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.shared.quantiles import median_interval
from gradflow.printable import format_log10, format_steps

# A rate is stable if max(T, 100) steps at that rate change a gradient by at most this factor.
MAX_STABLE_FACTOR, MIN_VERDICT_STEPS = 100.0, 100
# Beyond this many times the data, an estimate is too small beside its error to say how much data is needed.
MAX_TIMES_TO_DECIDE = 1000
# log₁₀ of the share of a gradient that is left: below VANISHING_DECADES it vanishes, between that and
# STABLE_DECADES it is borderline, above EXPLODING_DECADES it explodes. The limits are measured: of networks
# that were trained to recall the first input, nearly all with a share from 1e-2 to 100 learned it, nearly
# none with a share under 1e-4, and more than half of those in between (docs/verdicts.md).
VANISHING_DECADES, STABLE_DECADES, EXPLODING_DECADES = -4.0, -2.0, 2.0

# Values to mark in pictures of a rate, and of log₁₀ of a share, with their names.
STILL_LEVELS = {0.0: "no growth"}
SHARE_LEVELS = {
    VANISHING_DECADES: "below: vanishing",
    STABLE_DECADES: "below: borderline",
    EXPLODING_DECADES: "above: exploding",
}


def half_life(rate: float) -> float:
    """Return the steps in which a gradient halves at a rate (nats per step): inf if it never halves.

    Examples
    --------
    >>> half_life(-math.log(2) / 5), half_life(0.1), half_life(math.nan)
    (5.0, inf, nan)
    """
    if math.isnan(rate):
        return math.nan
    return math.log(2) / -rate if rate < 0 else math.inf


def stable_limit(steps: int) -> float:
    """Return the largest stable rate (nats per step) over T steps: ln(100) / max(T, 100).

    Examples
    --------
    >>> round(stable_limit(50), 6), round(stable_limit(1000), 6)
    (0.046052, 0.004605)
    """
    return math.log(MAX_STABLE_FACTOR) / max(steps, MIN_VERDICT_STEPS)


def judge_share(log10_share: float) -> str:
    """Return the verdict on the share of a gradient that is left, given its log₁₀.

    A share of nan is that of a state that overflows.

    Examples
    --------
    >>> [judge_share(log) for log in (-5.0, -3.0, 0.3, 2.5, math.nan)]
    ['vanishing', 'borderline', 'stable', 'exploding', 'exploding']
    """
    if math.isnan(log10_share) or log10_share > EXPLODING_DECADES:
        return "exploding"
    if log10_share < VANISHING_DECADES:
        return "vanishing"
    return "borderline" if log10_share < STABLE_DECADES else "stable"


def judge_shares(log10_shares: Sequence[float] | NDArray[np.float64], error: float = 0.0) -> str:
    """Return the verdict on the median of shares over all possible draws, given log₁₀ of independent ones.

    The interval of the median is that of `median_interval`, longer by ``error`` at both ends, for shares that
    are estimated. If its ends have different verdicts, the result is ``borderline``.

    Examples
    --------
    >>> judge_shares([-4.3, -4.2, -3.9]), judge_shares([-4.3, -4.2, -4.1])
    ('borderline', 'vanishing')
    """
    interval = median_interval(np.where(np.isnan(log10_shares), np.inf, log10_shares))
    return judge_range(interval.low - error, interval.high + error)


def judge_range(low: float, high: float) -> str:
    """Return the verdict that both ends of an interval of log₁₀ shares have, or ``borderline``.

    Examples
    --------
    >>> judge_range(-1.0, 1.0), judge_range(-3.0, 1.0)
    ('stable', 'borderline')
    """
    verdicts = {judge_share(low), judge_share(high)}
    return "borderline" if len(verdicts) > 1 else verdicts.pop()


def describe_share(log10_share: float, steps: int, qualifier: str = "") -> str:
    """Return how much of a gradient is left after some steps, in words with two digits.

    Examples
    --------
    >>> describe_share(-13.54, 100), describe_share(3.0, 1, "about ")
    ('2.9e-14 of a gradient is left after 100 steps', 'a gradient grows about 1e+03-fold in 1 step')
    >>> describe_share(-math.inf, 100)
    'nothing of a gradient is left after 100 steps'
    """
    factor = f"{qualifier}{format_log10(log10_share, 2)}"
    if log10_share == -math.inf:
        return f"nothing of a gradient is left after {format_steps(steps)}"
    if log10_share > 0:
        return f"a gradient grows {factor}-fold in {format_steps(steps)}"
    return f"{factor} of a gradient is left after {format_steps(steps)}"


def describe_threshold(log10_share: float, verdict: str) -> str:
    """Return the limit that decides a verdict on a median share, in words.

    Examples
    --------
    >>> describe_threshold(-9.0, "vanishing"), describe_threshold(-3.0, "borderline")
    ('vanishing is below 1e-4', 'borderline is 1e-4 to 1e-2')
    >>> describe_threshold(-4.1, "borderline")
    'not surely below 1e-4'
    """
    alone = judge_share(log10_share)
    if verdict != alone:  # the interval of the median goes beyond a limit
        level = min(SHARE_LEVELS, key=lambda level: abs(level - log10_share))
        side = "below" if log10_share < level else "above"
        return f"not surely {side} {format_decades(level)}"
    match verdict:
        case "vanishing":
            return f"vanishing is below {format_decades(VANISHING_DECADES)}"
        case "exploding":
            return f"exploding is above {format_decades(EXPLODING_DECADES)}"
        case "borderline":
            low, high = VANISHING_DECADES, STABLE_DECADES
            return f"borderline is {format_decades(low)} to {format_decades(high)}"
        case _:
            low, high = STABLE_DECADES, EXPLODING_DECADES
            return f"stable is {format_decades(low)} to {format_decades(high)}"


def format_decades(decades: float) -> str:
    """Return 10 to a whole number of decades, as people write it."""
    return f"1e{decades:.0f}" if decades < 0 else f"{10**decades:g}"


def distance_to_threshold(log10_share: float) -> float:
    """Return the distance of a share from the nearest limit of a verdict, in decades."""
    return min(abs(log10_share - level) for level in SHARE_LEVELS)


def verdict(
    rate: float,
    steps: int,
    blow_up: int | None,
    low: float | None = None,
    high: float | None = None,
) -> str | None:
    """Return the verdict on a rate over T steps. Fewer than 100 steps are judged as 100 steps at this rate.

    If the state overflows, the verdict is ``exploding`` whatever the rate. If the rate is nan and no state
    overflows, there is no verdict.

    Parameters
    ----------
    rate : float
        The estimate, nats per step.
    steps : int
        T.
    blow_up : int or None
        The step at which a state overflows.
    low, high : float, optional
        The interval that contains the true rate. The verdict is ``stable`` if every rate in it is. Otherwise
        it is ``borderline`` if 0 lies in the interval, if the estimate itself is stable, or if the ends are
        nan, which means unknown. Without an interval the estimate counts as exact.

    Examples
    --------
    >>> verdict(-0.1, 100, None), verdict(-0.01, 100, None), verdict(math.nan, 100, 7)
    ('vanishing', 'stable', 'exploding')
    >>> verdict(0.1, 100, None, -0.1, 0.3), verdict(0.1, 100, None, 0.05, 0.15)
    ('borderline', 'exploding')
    >>> verdict(0.04, 100, None, 0.03, 0.05), verdict(0.04, 100, None, 0.038, 0.042)
    ('borderline', 'stable')
    """
    if math.isnan(rate) and blow_up is None:
        return None
    if blow_up is not None:
        return "exploding"
    limit = stable_limit(steps)
    low, high = rate if low is None else low, rate if high is None else high
    if -limit <= low and high <= limit:
        return "stable"
    if not (low > 0 or high < 0) or abs(rate) <= limit:  # nan is unknown, and so here
        return "borderline"
    return "exploding" if rate > 0 else "vanishing"


def data_to_decide(amount: int, half_width: float, distance: float) -> int | None:
    """Return how much data would decide a verdict, rounded up to two digits; None if no amount would.

    The half-width of an interval falls as 1/√amount. It has to fall below ``distance``, from the estimate to
    the value that the interval must not contain, if the estimate stays the same. The result is None beyond
    `MAX_TIMES_TO_DECIDE` times the present amount.

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
