"""One draw on its way: orthonormal columns along its Jacobians, and what is known of their growth so far."""

from itertools import islice

import numpy as np

from gradflow.analysis.shared.batch_means import BatchMeans, student_quantile
from gradflow.analysis.shared.orbit import Orbit
from gradflow.analysis.shared.trajectory import STRETCH_STEPS
from gradflow.cells.base import Array
from gradflow.linalg.orthonormal import Frame

# The standard errors of a run mean something once it holds this many independent batches.
MIN_INDEPENDENT_BATCHES = 10
ROUGH_ERROR_FACTOR = 10.0  # times by which an error of a shorter run may be wrong


class GrowthRun:
    """The leading ``count`` exponents of one orbit, and the mean of ln |det J| beside them.

    Attributes
    ----------
    batches : BatchMeans
        Of (count + 1) sums: ln r_ii by column, and ln |det J| (nan where the orbit does without).
    steps : int
        Steps measured.
    rounding : float
        What rounding may have cost a sum of ln r_ii over these steps (see `Frame`).
    log_errors : array (count,)
        What it may have cost each of these sums.
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
        if len(self.frame.alive) < len(self.frame.logs):  # what died is none of what is measured
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
        """Return theirs, without what rounding adds."""
        return self.batches.standard_errors()[:-1]

    def rounding_errors(self) -> Array:
        """Return what rounding may have cost them, nats per step: 0 where they are −inf."""
        return np.where(np.isneginf(self.exponents()), 0.0, self.log_errors / self.steps)

    def half_widths(self) -> Array:
        """Return half the widths of 95 % intervals: Student's t of the independent batches, and rounding."""
        chance = student_quantile(self.independent() - 1.0) * self.standard_errors()
        return np.asarray(chance + self.rounding_errors())

    def independent(self) -> Array:
        """Return how many independent batches would tell as much of each exponent."""
        return self.batches.independent()[:-1]

    def sure(self, tolerance: float) -> Array:
        """Return whether errors can be trusted: the run is long beside the memory of the system.

        Or they are so far under the tolerance that even an error of several times their size would be.
        """
        long = self.independent() >= MIN_INDEPENDENT_BATCHES
        return np.asarray(long | (ROUGH_ERROR_FACTOR * self.standard_errors() <= tolerance))

    def mean_log_abs_det(self) -> float:
        """Return the mean of ln |det J| over the same steps."""
        return float(self.batches.means()[-1])
