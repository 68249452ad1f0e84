"""Derivatives by central differences: the slow way that needs no Jacobian, to check the quick one by."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradflow.cells.base import Array
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.norms import frobenius_norm

FIRST_DIFFERENCE_STEP, DIFFERENCE_STEP_RATIO, DIFFERENCE_LEVELS = 2.0**-5, 4.0, 8
DIFFERENCE_DIRECTIONS = 3
MAX_RESOLVED_ERROR = 1e-6  # an uncertainty, relative, over which differences decide nothing


class DerivativeEstimate(NamedTuple):
    """A derivative, how far off it may be, from what steps, and the largest |f| that was met on the way."""

    value: float
    error: float
    step: float  # the smallest of those that it is made of
    largest: float


def derivative(function: Callable[[float], float]) -> DerivativeEstimate:
    """Return f′(0) by central differences of shrinking steps, extrapolated to none (Ridders 1982).

    Examples
    --------
    >>> bool(abs(derivative(np.exp).value - 1.0) < 1e-12)
    True
    """
    best, uncertain, smallest, largest = math.nan, math.inf, FIRST_DIFFERENCE_STEP, 0.0
    before: list[float] = []
    for level in range(DIFFERENCE_LEVELS):
        step = FIRST_DIFFERENCE_STEP / DIFFERENCE_STEP_RATIO**level
        ends = function(step), function(-step)
        if ends[0] == ends[1]:
            break  # nothing is seen any more: no estimate of 0 is made of that
        high = max(map(abs, ends))
        largest, rounding = max(largest, high), DOUBLE_EPS * high / step
        row = [(ends[0] - ends[1]) / (2.0 * step)]
        for power, coarse in enumerate(before, 1):
            row.append(row[-1] + (row[-1] - coarse) / (DIFFERENCE_STEP_RATIO ** (2 * power) - 1.0))
            error = max(abs(row[-1] - row[-2]), abs(row[-1] - coarse)) + rounding
            if error <= uncertain:
                best, uncertain, smallest = row[-1], error, step
        # no sooner: where steps are still too long, the estimates leap about too
        if uncertain <= MAX_RESOLVED_ERROR * abs(best) and abs(row[-1] - before[-1]) >= 2.0 * uncertain:
            break  # rounding has taken over
        before = row
    return DerivativeEstimate(best, uncertain, smallest, largest)


def difference_error(
    function: Callable[[Array], float], gradient: Array, scale: Array, generator: np.random.Generator
) -> float:
    """Return how far a gradient is from differences in random directions, relative.

    That is nan where they decide nothing: where the loss is too rough, or rounding hides its changes.

    Parameters
    ----------
    function : callable
        Of a change (N,) of the parameter.
    gradient : array (N,)
    scale : array (N,)
        A change of each number that is large for it: weights of different size are moved by as much of each.
    generator : Generator
        Of the directions.
    """
    found = []
    for _ in range(DIFFERENCE_DIRECTIONS):
        direction = scale * generator.standard_normal(gradient.size)
        estimate = derivative(lambda step, along=direction: function(step * along))  # type: ignore[misc]
        exact = float(gradient @ direction)
        # a slope by which a step changes more than there is, no difference over that step can see
        steep = abs(exact) * estimate.step > estimate.largest
        if steep or not estimate.error <= MAX_RESOLVED_ERROR * max(abs(estimate.value), abs(exact)):
            return math.nan
        found.append((estimate.value, exact))
    pairs = np.array(found)
    # a power of two near them all: differences stay in range
    pairs = np.ldexp(pairs, -int(np.frexp(np.abs(pairs).max())[1]))
    values, exact_values = pairs.T
    gap, size = frobenius_norm(values - exact_values), frobenius_norm(values)
    return gap / size if size else math.inf if gap else math.nan
