"""Test whether growth may follow a power of time. Its exponent is 0, however fast it grows at first."""

import numpy as np

from gradflow.analysis.shared.batch_means import student_quantile
from gradflow.cells.base import Array

# −2 ln of the ratio of likelihoods up to which a power of time is not ruled out: exp(−4) is 0.018.
MAX_MISFIT = 8.0


def may_be_power_of_time(growths: Array, ends: Array, before: int, rounding: Array) -> Array:
    """Return whether growth as a power of time explains a record about as well as exponential growth.

    The two models of the growth G of a logarithm over a batch of steps from t to t′ are normal laws of two
    parameters each: with mean λ (t′ − t) and variance σ² (t′ − t), or with mean p ln(t′/t) and variance
    s² ln(t′/t). A power of time is possible if its likelihood is the larger one. It is also possible if its
    likelihood is not much smaller and λ is not significant in the mean λ (t′ − t) + p ln(t′/t) under the
    second variance. Products of unipotent matrices grow like this, and critical systems decay like this.

    Parameters
    ----------
    growths : array (batches, k)
        G of k quantities; for those with −inf the answer is no.
    ends : array (batches,)
        Steps after which each batch ends, counted from the first that is in the record.
    before : int
        Steps before the record, in which the system has grown already.
    rounding : array (k,)
        What rounding may have cost a batch: no deviation counts as smaller.

    References
    ----------
    Akaike 1974 for the comparison.

    Examples
    --------
    >>> ends = np.arange(10, 330, 10)
    >>> growths = np.diff([np.log(1 + ends / 100), 0.01 * ends], axis=1, prepend=0.0).T
    >>> may_be_power_of_time(growths, ends, 99, np.full(2, 1e-15)).tolist()
    [True, False]
    """
    times = np.concatenate([[0.0], ends]) + before + 1.0
    steps, powers = np.diff(times)[:, None], np.diff(np.log(times))[:, None]
    with np.errstate(invalid="ignore"):
        worse = _misfit(growths, powers, rounding) - _misfit(growths, steps, rounding)
        open_ = (worse < MAX_MISFIT) & ~_is_rate_significant(growths, steps, powers, rounding)
        return np.asarray(open_ | (worse < 0))


def _misfit(growths: Array, lengths: Array, rounding: Array) -> Array:
    """Return −2 ln of the likelihood, but for a constant, of means and variances in proportion to lengths."""
    slopes = growths.sum(axis=0) / lengths.sum()
    squares = np.maximum((growths - slopes * lengths) ** 2, rounding**2)
    variances = (squares / lengths).mean(axis=0)
    return np.asarray(np.log(lengths).sum() + len(growths) * np.log(variances))


def _is_rate_significant(growths: Array, steps: Array, powers: Array, rounding: Array) -> Array:
    """Return whether λ is not 0, by its 95 % interval, where the mean has both terms."""
    weights = powers**-0.5
    columns, values = weights * np.hstack([steps, powers]), weights * growths
    inverse = np.linalg.inv(columns.T @ columns)
    coefficients = inverse @ (columns.T @ values)
    squares = np.maximum((values - columns @ coefficients) ** 2, (weights * rounding) ** 2)
    freedom = len(growths) - 2.0
    errors = np.sqrt(inverse[0, 0] * squares.sum(axis=0) / freedom)
    return np.asarray(np.abs(coefficients[0]) > student_quantile(np.array(freedom)) * errors)
