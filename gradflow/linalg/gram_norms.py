"""Spectral norms of many small matrices from powers of their Gram matrices."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.singular import smaller_gram

Array = NDArray[Any]

MAX_SQUARINGS = 5  # with more, all eigenvalues of what is left are cheaper
MIN_SQUARED_ROWS = 12  # of a Gram matrix, below which all eigenvalues are cheaper
# By bytes of a number: the relative width of the bounds at which an eigenvalue is taken.
POWER_WIDTH = {8: 2.0**-46, 4: 2.0**-20}


def spectral_norms(matrices: Array) -> Array:
    """Return ‖A‖₂ of matrices (..., m, r), with a relative error of about min(m, r)·eps.

    The Gram matrix is squared until two of its moments enclose the largest eigenvalue. H is a power with the
    trace 1, f its Frobenius norm and λ its largest eigenvalue. Then λ ≤ f, and λ ≥ (1 + √(2f² − 1))/2, as the
    squares of the others add up to at most (1 − λ)². The root of the power makes both bounds nearer. The
    eigenvalues of all Gram matrices that `MAX_SQUARINGS` do not decide are computed.

    Parameters
    ----------
    matrices : array (..., m, r)
        Entries whose fourth powers are in the range of the type.

    Examples
    --------
    >>> spectral_norms(np.array([np.diag([3.0, 4.0]), np.zeros((2, 2))])).tolist()
    [4.0, 0.0]
    """
    shape = matrices.shape[:-2]
    grams = smaller_gram(matrices).reshape(-1, *[min(matrices.shape[-2:])] * 2)
    values = np.empty(len(grams), grams.dtype)
    unknown = np.arange(len(grams))
    if grams.shape[-1] >= MIN_SQUARED_ROWS:
        traces = np.trace(grams, axis1=1, axis2=2)
        values[traces == 0] = 0.0
        unknown = np.flatnonzero(traces > 0)
        estimates = traces[unknown]
        powers = grams[unknown] / estimates[:, None, None]
        for squaring in range(MAX_SQUARINGS + 1):
            sizes = np.sqrt(np.einsum("pij,pij->p", powers, powers))
            least = (1.0 + np.sqrt(np.maximum(2.0 * sizes**2 - 1.0, 0.0))) / 2.0
            root = 0.5**squaring
            estimates = estimates * sizes**root
            width = np.where(sizes**2 > 0.5, (sizes / least - 1.0) * root, np.inf)
            known = width <= POWER_WIDTH[grams.dtype.itemsize]
            values[unknown[known]] = estimates[known]
            unknown, estimates = unknown[~known], estimates[~known]
            if squaring == MAX_SQUARINGS or not unknown.size:
                break
            powers = powers[~known]
            powers = powers @ powers / (sizes[~known] ** 2)[:, None, None]
    if unknown.size:
        values[unknown] = np.maximum(np.linalg.eigvalsh(grams[unknown])[:, -1], 0.0)
    return np.sqrt(values).reshape(shape)
