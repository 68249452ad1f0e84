"""Standard errors of time averages whose terms depend on one another."""

import numpy as np

from gradflow.cells.base import Array

MOST = 128  # batches; past it neighbours are merged
FEWEST = 8  # under which nothing is known of the error


class BatchMeans:
    """Sums of several quantities over batches of steps of equal length, as few as tell their errors.

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
        self._parts = 1  # of what is added, that make a batch
        self._open: list[tuple[int, Array]] = []  # of the batch that is not full yet

    def add(self, steps: int, sums: Array) -> None:
        """Add what was summed over the next ``steps``."""
        self._open.append((steps, sums))
        if len(self._open) < self._parts:
            return
        self.steps.append(sum(steps for steps, _ in self._open))
        self.sums.append(np.sum([sums for _, sums in self._open], axis=0))
        self._open = []
        if len(self.steps) == 2 * MOST:
            self.steps = [a + b for a, b in zip(self.steps[::2], self.steps[1::2], strict=True)]
            self.sums = [a + b for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
            self._parts *= 2

    def totals(self) -> tuple[Array, Array]:
        """Return after how many steps each batch ended, and the sums to there: (batches,), (batches, k)."""
        return np.cumsum(self.steps), np.cumsum(self.sums, axis=0)

    def means(self) -> Array:
        """Return the mean of each quantity a step, over all that was added."""
        steps = sum(self.steps) + sum(steps for steps, _ in self._open)
        return np.asarray(np.sum([*self.sums, *(sums for _, sums in self._open)], axis=0) / steps)

    def standard_errors(self) -> Array:
        """Return the standard error of each mean: 0 where it is −inf, nan of fewer than `FEWEST` batches."""
        sums = np.array(self.sums)
        if len(sums) < FEWEST:
            return np.where(np.isneginf(self.means()), 0.0, np.nan)
        with np.errstate(invalid="ignore"):
            rates = sums / np.array(self.steps)[:, None]
            found = standard_errors(rates)
        return np.where(np.isneginf(self.means()), 0.0, found)


def standard_errors(values: Array) -> Array:
    """Return the standard errors of the means of correlated series, (n, k) → (k,).

    s²/n (1 + 2 Σ ρ_j), the autocorrelations ρ_j being added in pairs ρ_{2j} + ρ_{2j+1}, which in a reversible
    chain are positive and fall, for as long as they do (Geyer 1992, section 3.3: the initial monotone
    sequence). Never less than if the values were independent.
    """
    count = len(values)
    deviations = values - values.mean(axis=0)
    variance = (deviations**2).mean(axis=0)
    time, last = np.zeros(values.shape[1]), np.full(values.shape[1], np.inf)
    going = variance > 0
    for lag in range(0, count - 1, 2):
        pair = _covariance(deviations, lag) + _covariance(deviations, lag + 1)
        last = np.minimum(last, pair)
        going = going & (pair > 0)
        if not going.any():
            break
        time += np.where(going, last, 0.0)
    # 2 Σ pairs − s² = s² (1 + 2 Σ ρ_j)
    inflated = np.maximum(2.0 * time - variance, variance)
    return np.asarray(np.sqrt(inflated / (count - 1)))


def _covariance(deviations: Array, lag: int) -> Array:
    count = len(deviations)
    return np.asarray((deviations[: count - lag] * deviations[lag:]).sum(axis=0) / count)
