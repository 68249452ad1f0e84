"""What a rate of growth amounts to: a half-life, and a verdict."""

import math

# Stable is a rate at which a gradient changes by less than this factor over T steps, at least 100.
STABLE, LEAST_STEPS = 100.0, 100
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


def verdict(rate: float, steps: int, blow_up: int | None) -> str | None:
    """Return the verdict on a rate over T steps; short runs are judged as if they went on to 100 steps.

    A state that overflows explodes, whatever the rate before it; without either there is no verdict.

    Examples
    --------
    >>> verdict(-0.1, 100, None), verdict(-0.01, 100, None), verdict(math.nan, 100, 7)
    ('vanishing', 'stable', 'exploding')
    """
    if math.isnan(rate) and blow_up is None:
        return None
    limit = math.log(STABLE) / max(steps, LEAST_STEPS)
    if blow_up is not None or rate > limit:
        return "exploding"
    return "vanishing" if rate < -limit else "stable"
