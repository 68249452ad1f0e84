"""The growth of orthonormal columns along the Jacobians of one orbit."""

from itertools import islice

import numpy as np

from gradflow.analysis.shared.batch_means import BatchMeans, student_quantile
from gradflow.analysis.shared.orbit import Orbit
from gradflow.analysis.shared.trajectory import STRETCH_STEPS
from gradflow.cells.base import Array
from gradflow.linalg.orthonormal import Frame

# The standard errors of a run are reliable from this many independent batches on.
MIN_INDEPENDENT_BATCHES = 10
ROUGH_ERROR_FACTOR = 10.0  # factor by which the error of a shorter run may be too small


class GrowthRun:
    """The leading ``count`` exponents of one orbit, and the mean of ln |det J| beside them.

    Attributes
    ----------
    batches : BatchMeans
        Batches of (count + 1) sums: ln r_ii of each column, and ln |det J| (nan if the orbit leaves it out).
    steps : int
        Steps measured.
    rounding : float
        Error by rounding of a sum of ln r_ii over these steps (see `Frame`).
    log_errors : array (count,)
        Error by rounding of each of these sums.
    ended : bool
        Whether the orbit has no more steps.
    """

    def __init__(self, orbit: Orbit, count: int, generator: np.random.Generator) -> None:
        self.orbit = orbit
        self.frame = Frame(orbit.size, count, generator)
        self.batches = BatchMeans()
        self.steps = 0
        self.rounding = 0.0
        self.log_errors = np.zeros(count)
        self.ended = False
        self._path = iter(orbit)
        self._generator = generator

    def skip(self, steps: int) -> None:
        """Let the columns settle over a transient that is not measured."""
        self._advance(steps)
        if len(self.frame.alive) < len(self.frame.logs):  # columns that died in the transient are replaced
            self.frame.refill(self._generator)

    def measure(self, steps: int) -> None:
        """Measure the next ``steps``, or as many as there are, as one batch."""
        before = self.frame.logs.copy()
        self.frame.rounding, self.frame.log_errors = 0.0, np.zeros_like(self.log_errors)
        taken, dets = self._advance(steps)
        if not taken:
            return
        with np.errstate(invalid="ignore"):
            grown = np.where(np.isneginf(self.frame.logs), -np.inf, self.frame.logs - before)
        self.batches.add(taken, np.append(grown, dets))
        self.steps += taken
        self.rounding += self.frame.rounding
        self.log_errors += self.frame.log_errors

    def _advance(self, steps: int) -> tuple[int, float]:
        """Return how many steps were taken, and the sum of ln |det J| over them."""
        taken, dets = 0, 0.0
        while taken < steps and not self.ended:
            wanted = min(STRETCH_STEPS, steps - taken)
            stretch = list(islice(self._path, wanted))
            self.frame.advance([step.factor for step in stretch])
            dets += sum(step.log_abs_det for step in stretch)
            taken += len(stretch)
            self.ended = len(stretch) < wanted
        return taken, dets

    def exponents(self) -> Array:
        """Return the estimates, nats per step, column by column."""
        return self.batches.means()[:-1]

    def standard_errors(self) -> Array:
        """Return the standard errors of the estimates, without rounding."""
        return self.batches.standard_errors()[:-1]

    def rounding_errors(self) -> Array:
        """Return the errors of the estimates by rounding, nats per step; 0 for an estimate of −inf."""
        return np.where(np.isneginf(self.exponents()), 0.0, self.log_errors / self.steps)

    def half_widths(self) -> Array:
        """Return half the widths of 95 % intervals: Student's t of the independent batches, and rounding."""
        chance = student_quantile(self.independent() - 1.0) * self.standard_errors()
        return np.asarray(chance + self.rounding_errors())

    def independent(self) -> Array:
        """Return the number of independent batches with the same information about each exponent."""
        return self.batches.independent()[:-1]

    def sure(self, tolerance: float) -> Array:
        """Return whether the error of each exponent is reliable enough to compare it with a tolerance.

        It is if the run has `MIN_INDEPENDENT_BATCHES`, or if `ROUGH_ERROR_FACTOR` times the error is within
        the tolerance.
        """
        long = self.independent() >= MIN_INDEPENDENT_BATCHES
        return np.asarray(long | (ROUGH_ERROR_FACTOR * self.standard_errors() <= tolerance))

    def mean_log_abs_det(self) -> float:
        """Return the mean of ln |det J| over the same steps."""
        return float(self.batches.means()[-1])
