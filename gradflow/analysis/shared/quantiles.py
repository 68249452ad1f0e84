"""Quantiles over seeds, of numbers among which some are infinite: −inf is the logarithm of an exact 0."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

SHOWN_QUANTILES = (0.05, 0.5, 0.95)
MIN_INTERVAL_DRAWS = 6  # the fewest independent values that enclose a median with 95 % confidence
MEDIAN_INTERVALS_PER_MISS = 20  # one in as many intervals, at most, may miss the true median


def quantiles(values: Sequence[ArrayLike] | ArrayLike) -> NDArray[np.float64]:
    """Return the 5 %, 50 % and 95 % quantiles over the first axis; nan where any value is.

    Examples
    --------
    >>> quantiles([-np.inf, 0.0, 1.0]).round(9).tolist()
    [-inf, 0.0, 0.9]
    >>> quantiles([1.0, 2.0, np.inf]).round(9).tolist()
    [1.1, 2.0, inf]
    """
    every = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore"):
        found = np.quantile(every, SHOWN_QUANTILES, axis=0)
    if not np.isnan(found).any():
        return np.asarray(found)
    # Between an infinite number and another any weight but 0 gives the infinite one, and the formula nan.
    below, above = (
        np.quantile(every, SHOWN_QUANTILES, axis=0, method=method) for method in ("lower", "higher")
    )
    ends = np.where(np.isneginf(below), below, above)
    mended = np.where(np.isnan(found), np.where(below == above, below, ends), found)
    return np.where(np.isnan(every).any(axis=0), np.nan, mended)


def median(values: Sequence[ArrayLike] | ArrayLike) -> NDArray[np.float64]:
    """Return the median over the first axis."""
    return np.asarray(quantiles(values)[1])


class MedianInterval(NamedTuple):
    """Two of the values drawn, between which the median of their law lies with some confidence."""

    low: float
    high: float
    confidence: float


def median_interval(values: Sequence[float] | NDArray[np.float64]) -> MedianInterval:
    """Return the narrowest interval of order statistics that holds the median with 95 % confidence or more.

    Of n independent values, whatever their law, the k-th from either end enclose its median with the
    confidence 1 − 2 P(B < k), B binomial of n tosses (David & Nagaraja 2003, section 7.1); more where the law
    has atoms. Fewer than six values do not reach 95 %: then the interval goes from the least to the largest,
    with the confidence 1 − 2^(1−n). An interval that holds nan is nan.

    Examples
    --------
    >>> low, high, confidence = median_interval(range(1, 11))
    >>> low, high, round(confidence, 4)
    (2.0, 9.0, 0.9785)
    >>> median_interval([0.3, 0.1, 0.2])
    MedianInterval(low=0.1, high=0.3, confidence=0.75)
    """
    ranked = np.sort(np.asarray(values, np.float64))  # nan last
    count = len(ranked)
    place, outside, total = 1, 2, 2**count  # outside of either end, of all that so many tosses may show
    ways = 1
    while place < count // 2 and ranked.size:
        ways = ways * (count - place + 1) // place
        if MEDIAN_INTERVALS_PER_MISS * (outside + 2 * ways) > total:
            break
        outside += 2 * ways
        place += 1
    if np.isnan(ranked).any():
        return MedianInterval(math.nan, math.nan, 1.0 - outside / total)
    return MedianInterval(float(ranked[place - 1]), float(ranked[count - place]), 1.0 - outside / total)
