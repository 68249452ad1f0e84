"""How measurements of a finite simple recurrent network differ from mean-field theory."""

import math
from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.exponents import Plan
from gradflow.analysis.theory.driven_field import DrivenField
from gradflow.analysis.theory.extrapolation import EDGE_POWER, MIN_EXTRAPOLATED_SIZE, MeasurementBias
from gradflow.analysis.theory.mean_field import MeanField, normal_mean

FAR_DEVIATION_FACTOR = 2.0  # σ beyond the critical one at which a state that can grow without bound does
MIN_SLOPE_VARIATION = 0.3  # of the squared slopes, relative: from here on a sequence of Jacobians is random


class NetworkBias(NamedTuple):
    """A network with random weights, measured over the steps of a plan.

    ``noise``: the part of the variance of pre-activations that comes from changes of the inputs.
    ``is_averaged``: the prediction is the limit of a long run. Otherwise it is the mean over the very steps
    that are measured.
    """

    field: MeanField
    noise: float
    plan: Plan
    is_averaged: bool

    def find_variance_bias(self) -> MeasurementBias:
        """Return the bias of the variance: a mean over units, with a difference of the order 1/N."""
        predicted = self.field.variance()
        run = self._steady().variance() if self._has_run_error() else None
        run_error = 0.0 if run is None else abs(run - predicted)
        return MeasurementBias(min_size=self._find_min_size(), run_error=run_error)

    def find_exponent_bias(self) -> MeasurementBias:
        """Return the bias of the leading exponent.

        Chaos or strong noise mixes all directions, and the difference is of the order 1/N (Engelken, Wolf &
        Abbott 2023). Otherwise the leading direction may be that of the outermost eigenvalue. Without changes
        of the inputs it is: the Jacobian becomes equal at every step, and the exponent is the logarithm of
        its spectral radius.
        """
        predicted = self.field.exponent().value
        is_chaotic = predicted > 0 and math.isfinite(self.field.variance())
        return MeasurementBias(
            power=1.0 if is_chaotic or self.noise > 0 else EDGE_POWER,
            is_edge=not (is_chaotic or self._vary_slopes() >= MIN_SLOPE_VARIATION),
            min_size=self._find_min_size(),
            run_error=abs(self._steady().exponent().value - predicted) if self._has_run_error() else 0.0,
        )

    def _vary_slopes(self) -> float:
        """Return the relative variance of φ′² over units, times the part of it that changes over time."""
        variance = self.field.variance()
        if not 0 < variance < math.inf:
            return 0.0
        slope = self.field.activation.slope
        square = normal_mean(lambda z: slope(z) ** 2, variance).value
        fourth = normal_mean(lambda z: slope(z) ** 4, variance).value
        return (fourth / square**2 - 1.0) * self.noise / variance if square > 0 else 0.0

    def _has_run_error(self) -> bool:
        return self.is_averaged and self.field.deviation > 0

    def _steady(self) -> DrivenField:
        """Return the field over the measured steps, from the state where runs begin."""
        steps = self.plan.transient + self.plan.steps
        drives = np.full((steps, 1), self.field.drive)
        return DrivenField(self.field.activation, self.field.deviation, drives, self.plan.transient)

    def _find_min_size(self) -> float:
        """Return the N from which on networks are in the phase of the limit N → ∞.

        The outermost eigenvalues of a finite network are about 1/√N beyond the edge. So a network that is
        closer to a transition than that, relative to its gain, may be on the other side.
        """
        critical = self.field.critical_deviation()
        if self.field.deviation == 0 or critical is None:
            return MIN_EXTRAPOLATED_SIZE
        beyond = self.field._replace(deviation=FAR_DEVIATION_FACTOR * critical)
        if self.noise > 0 and math.isfinite(beyond.variance()):
            return MIN_EXTRAPOLATED_SIZE  # under changing inputs nothing changes abruptly
        rate = self.field.exponent().value
        distance = -rate if rate < 0 else math.log(self.field.deviation / critical)
        return max(distance**-2, MIN_EXTRAPOLATED_SIZE) if distance > 0 else math.inf
