"""A measured quantity at several sizes N, extrapolated to N → ∞."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MIN_EXTRAPOLATED_SIZE = 8  # of the smallest size


class ExtrapolatedQuantity(NamedTuple):
    """A quantity at N → ∞ and its standard error; nan where it cannot be extrapolated."""

    value: float
    error: float


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
    sizes: Sequence[int], means: Sequence[float], errors: Sequence[float], power: float
) -> ExtrapolatedQuantity:
    """Return the intercept of the weighted least-squares line of the means over N^−power.

    The weights are the inverse squares of the standard errors. If the means are farther from the line than
    their errors allow, the error of the intercept is raised in proportion (Birge 1932). The line leaves out
    higher powers of N^−power. So the difference to the line through the two largest sizes counts as a second
    error.

    Examples
    --------
    >>> extrapolate([100, 50, 25], [1.01, 1.02, 1.04], [0.001, 0.001, 0.001], 1.0).value.__round__(12)
    1.0
    """
    values, deviations = np.asarray(means, np.float64), np.asarray(errors, np.float64)
    if len(sizes) < 3 or not (np.isfinite(values).all() and np.isfinite(deviations).all()):
        return ExtrapolatedQuantity(math.nan, math.nan)
    if not deviations.all():  # a quantity without spread, such as the radius of an orthogonal matrix
        return ExtrapolatedQuantity(float(values[0]), float(deviations[0]))
    design = np.stack([np.ones(len(sizes)), np.asarray(sizes, np.float64) ** -power], axis=1)
    covariance = np.linalg.inv((design.T / deviations**2) @ design)
    line = covariance @ (design.T @ (values / deviations**2))
    misfit = float(np.sum(((values - design @ line) / deviations) ** 2)) / (len(sizes) - 2)
    largest = np.linalg.solve(design[:2], values[:2])
    error = math.hypot(math.sqrt(covariance[0, 0] * max(misfit, 1.0)), float(largest[0] - line[0]))
    return ExtrapolatedQuantity(float(line[0]), error)
