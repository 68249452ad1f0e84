"""Quantiles over seeds, of numbers among which some are infinite: −inf is the logarithm of an exact 0."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

QUANTILES = (0.05, 0.5, 0.95)


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
        found = np.quantile(every, QUANTILES, axis=0)
    if not np.isnan(found).any():
        return np.asarray(found)
    # Between an infinite number and another any weight but 0 gives the infinite one, and the formula nan.
    below, above = (np.quantile(every, QUANTILES, axis=0, method=method) for method in ("lower", "higher"))
    ends = np.where(np.isneginf(below), below, above)
    mended = np.where(np.isnan(found), np.where(below == above, below, ends), found)
    return np.where(np.isnan(every).any(axis=0), np.nan, mended)


def median(values: Sequence[ArrayLike] | ArrayLike) -> NDArray[np.float64]:
    """Return the median over the first axis."""
    return np.asarray(quantiles(values)[1])
