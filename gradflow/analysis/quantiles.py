"""Quantiles over seeds, of numbers among which −inf stands for the logarithm of an exact 0."""

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
    """
    every = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore"):
        found = np.quantile(every, QUANTILES, axis=0)
    # Between an infinite number and another any weight gives the infinite one, where the formula gives nan.
    low = np.where(np.isneginf(every).any(axis=0), -np.inf, np.inf)
    mended = np.where(np.isinf(every).any(axis=0), low, np.nan)
    return np.where(np.isnan(every).any(axis=0), np.nan, np.where(np.isnan(found), mended, found))


def median(values: Sequence[ArrayLike] | ArrayLike) -> NDArray[np.float64]:
    """Return the median over the first axis."""
    return np.asarray(quantiles(values)[1])
