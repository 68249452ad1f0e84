"""Standard errors of time averages whose terms depend on one another."""

import numpy as np

from gradflow.cells.base import Array

MAX_BATCHES = 128  # twice as many are merged in pairs
MEAN_ROUNDING = 1e-12
INTERVAL_CONFIDENCE = 0.95  # of an interval around an estimate, from both sides
MIN_BATCHES = 8  # fewer batches give no error


class BatchMeans:
    """Sums of several quantities over batches of steps of equal length.

    Neighbouring batches are merged when there are many, so that the memory does not grow with the steps.

    Examples
    --------
    >>> batches = BatchMeans()
    >>> for toss in np.random.default_rng(0).standard_normal((1000, 50)).sum(axis=1):
    ...     batches.add(50, np.array([toss]))
    >>> bool(0.7 < batches.standard_errors()[0] * 50000**0.5 < 1.4)
    True
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.sums: list[Array] = []
        self._parts = 1  # additions that make one batch
        self._open: list[tuple[int, Array]] = []  # the additions of the unfinished batch

    def add(self, steps: int, sums: Array) -> None:
        """Add the sums over the next ``steps``."""
        self._open.append((steps, sums))
        if len(self._open) < self._parts:
            return
        self.steps.append(sum(steps for steps, _ in self._open))
        self.sums.append(np.sum([sums for _, sums in self._open], axis=0))
        self._open = []
        if len(self.steps) == 2 * MAX_BATCHES:
            self.steps = [a + b for a, b in zip(self.steps[::2], self.steps[1::2], strict=True)]
            self.sums = [a + b for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
            self._parts *= 2

    def totals(self) -> tuple[Array, Array]:
        """Return the step at which each batch ended, and the sums up to it: (batches,), (batches, k)."""
        return np.cumsum(self.steps), np.cumsum(self.sums, axis=0)

    def means(self) -> Array:
        """Return the mean of each quantity per step, over all additions."""
        steps = sum(self.steps) + sum(steps for steps, _ in self._open)
        return np.asarray(np.sum([*self.sums, *(sums for _, sums in self._open)], axis=0) / steps)

    def standard_errors(self) -> Array:
        """Return the standard error of each mean: 0 if the mean is −inf, nan below `MIN_BATCHES` batches."""
        return self._judge_batches()[0]

    def independent(self) -> Array:
        """Return the number of independent batches that tell as much about each mean; inf for −inf."""
        return self._judge_batches()[1]

    def _judge_batches(self) -> tuple[Array, Array]:
        sums, dead = np.array(self.sums), np.isneginf(self.means())
        if len(sums) < MIN_BATCHES:
            return np.where(dead, 0.0, np.nan), np.where(dead, np.inf, 0.0)
        with np.errstate(invalid="ignore"):
            errors, counts = standard_errors(sums / np.array(self.steps)[:, None])
        return np.where(dead, 0.0, errors), np.where(dead, np.inf, counts)


def standard_errors(values: Array) -> tuple[Array, Array]:
    """Return the standard errors of the means of correlated series, (n, k) → (k,), and n/(1 + 2 Σ ρ_j).

    The variance of a mean is s²/n (1 + 2 Σ ρ_j). The sum of the autocorrelations ρ_j is the larger of two
    estimates. The first adds pairs ρ_{2j} + ρ_{2j+1} while they are positive and fall, as they do in a
    reversible chain (Geyer 1992, section 3.3: the initial monotone sequence). The second is that of a
    first-order autoregression with the same ρ_1, corrected for its bias (Marriott & Pope 1954); it is larger
    for a short record of a long memory. s² has a factor m/(m − 1) for m independent values.
    """
    count = len(values)
    deviations = values - values.mean(axis=0)
    variance = (deviations**2).mean(axis=0)
    # values that differ only by rounding are constant
    varies = variance > (MEAN_ROUNDING * np.abs(values).max(axis=0, initial=0.0)) ** 2
    safe = np.where(varies, variance, 1.0)
    first = _covariance(deviations, 1) / safe
    first = np.clip(first + (1.0 + 3.0 * first) / count, 0.0, 1.0 - 1.0 / count)
    # 1 + 2 Σ ρ_j, never less than if the values were independent
    times = np.maximum(geyer(deviations, variance) / safe, (1.0 + first) / (1.0 - first))
    times = np.where(varies, times, 1.0)
    independent = np.maximum(count / times, 1.5)
    return np.sqrt(variance * times / count * independent / (independent - 1.0)), independent


def student_quantile(freedom: Array) -> Array:
    """Return half the width of a 95 % interval in standard errors: 1.96 for infinite ``freedom``.

    Examples
    --------
    >>> student_quantile(np.array([7.0, np.inf])).round(3).tolist()
    [2.365, 1.96]
    """
    from scipy.special import stdtrit  # here, because its import is slow

    # past 1e9 degrees of freedom the quantile is that of the normal distribution in all digits of a double
    return np.asarray(stdtrit(np.clip(freedom, 0.5, 1e9), 0.5 + INTERVAL_CONFIDENCE / 2.0))


def geyer(deviations: Array, variance: Array) -> Array:
    """Return s² (1 + 2 Σ ρ_j) by the initial monotone sequence."""
    pairs, last = np.zeros_like(variance), np.full_like(variance, np.inf)
    going = variance > 0
    for lag in range(0, len(deviations) - 1, 2):
        pair = _covariance(deviations, lag) + _covariance(deviations, lag + 1)
        last = np.minimum(last, pair)
        going = going & (pair > 0)
        if not going.any():
            break
        pairs += np.where(going, last, 0.0)
    return np.asarray(2.0 * pairs - variance)


def _covariance(deviations: Array, lag: int) -> Array:
    count = len(deviations)
    return np.asarray((deviations[: count - lag] * deviations[lag:]).sum(axis=0) / count)
