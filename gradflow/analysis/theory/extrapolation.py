"""A measured quantity at several sizes N, extrapolated to N → ∞."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradflow.cells.base import Array

MIN_EXTRAPOLATED_SIZE = 8  # of the smallest size
EDGE_POWER = 0.5  # the smallest power that theory knows, but for logarithms: of the edge of a spectrum


class MeasuredQuantity(NamedTuple):
    """Mean of a quantity over draws, its standard error, the number of draws, and of draws that overflowed.

    The mean and the error leave out the draws that overflowed.
    """

    mean: float
    error: float
    draws: int
    lost: int = 0


class MeasurementBias(NamedTuple):
    """How a measurement at N units over some steps differs from the limit of many units and steps.

    ``power``: the difference is of the order N^−power. ``is_edge``: a slowly growing factor such as √ln N
    multiplies it, as at the edge of a spectrum. ``min_size``: at fewer units it follows no power of N.
    ``run_error``: the difference that is left at N → ∞, because the run begins in another state.
    """

    power: float = 1.0
    is_edge: bool = False
    min_size: float = MIN_EXTRAPOLATED_SIZE
    run_error: float = 0.0


# The outermost eigenvalues differ from the edge of the spectrum by about √(ln N / N).
EDGE_BIAS = MeasurementBias(power=EDGE_POWER, is_edge=True)


class ExtrapolatedQuantity(NamedTuple):
    """A quantity at N → ∞, its error, and the degrees of freedom of this error; nan if there is none."""

    value: float
    error: float
    degrees_of_freedom: float


UNKNOWN_LIMIT = ExtrapolatedQuantity(math.nan, math.nan, math.nan)


def list_sizes(hidden: int) -> list[int]:
    """Return the sizes that are measured: N, N/2 and N/4; N alone if N/4 is under `MIN_EXTRAPOLATED_SIZE`.

    Examples
    --------
    >>> list_sizes(128), list_sizes(20)
    ([128, 64, 32], [20])
    """
    sizes = [hidden, hidden // 2, hidden // 4]
    return sizes if sizes[-1] >= MIN_EXTRAPOLATED_SIZE else [hidden]


def extrapolate(
    sizes: Sequence[int], measured: Sequence[MeasuredQuantity], bias: MeasurementBias
) -> ExtrapolatedQuantity:
    """Return the intercept of the line over N^−power through the means at the two largest sizes.

    The error is the root of a sum of squares:

    - the standard error of the intercept;
    - the difference to the intercept of the least-squares line through all three sizes, because a line
      leaves out higher powers;
    - the difference to the intercept of the line over N^−½, because the power is that of large N, and a
      smaller one holds near a transition;
    - at an edge, the standard deviation of single draws at the largest size, because a line leaves out the
      slow factor. The shift of an edge and its scatter are of the same order but for logarithms (Rider &
      Sinclair 2014; Cipolloni, Erdős & Xu 2023 for entries that are not normal);
    - the error of the run.

    The coefficients of the lines depend on the sizes alone, not on measured errors, which are uncertain if
    there are few draws. So the degrees of freedom of the standard error follow from those of each size
    (Satterthwaite 1946; Welch 1947). They count for the whole error, because few draws leave the differences
    as uncertain.

    The result is nan if there are fewer than three sizes, if the smallest is under the ``min_size`` of the
    bias, if a mean or an error is not finite, or if a draw overflowed, because the others are a selection.

    Examples
    --------
    >>> means = [MeasuredQuantity(1 + 1 / size, 0.001, 10) for size in (100, 50, 25)]
    >>> limit = extrapolate([100, 50, 25], means, MeasurementBias())
    >>> [round(number, 6) for number in limit]
    [1.0, 0.014318, 13.235294]
    """
    means = np.array([one.mean for one in measured])
    errors = np.array([one.error for one in measured])
    if len(sizes) < 3 or sizes[-1] < bias.min_size or any(one.lost for one in measured):
        return UNKNOWN_LIMIT
    if not (np.isfinite(means).all() and np.isfinite(errors).all()):
        return UNKNOWN_LIMIT
    relative = np.asarray(sizes, np.float64) / sizes[0]
    outer, slow = (_fit_largest(relative**-power) for power in (bias.power, EDGE_POWER))
    line = _fit_all(relative**-bias.power)
    weights = outer**2
    if bias.is_edge:
        weights[0] += measured[0].draws
    largest = float(errors.max())
    # relative to the largest error, whose square may be out of range
    parts = weights * (errors / largest) ** 2 if largest else 0.0 * errors
    spread = float(np.sum(parts**2 / np.array([one.draws - 1 for one in measured])))
    differences = [float((outer - other) @ means) for other in (line, slow)]
    return ExtrapolatedQuantity(
        float(outer @ means),
        math.hypot(largest * math.sqrt(parts.sum()), *differences, bias.run_error),
        float(parts.sum()) ** 2 / spread if spread > 0 else math.inf,
    )


def _fit_largest(scale: Array) -> Array:
    """Return the coefficients of the means in the intercept of the line through the two largest sizes."""
    return np.asarray(np.array([scale[1], -scale[0], 0.0]) / (scale[1] - scale[0]))


def _fit_all(scale: Array) -> Array:
    """Return the coefficients of the means in the intercept of the least-squares line."""
    centered = scale - scale.mean()
    return np.asarray(1.0 / len(scale) - scale.mean() * centered / float(centered @ centered))
