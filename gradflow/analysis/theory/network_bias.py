"""How a measurement of a simple recurrent network differs from mean-field theory, if its size is finite."""

import math
from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.exponents import Plan
from gradflow.analysis.theory.driven_field import DrivenField
from gradflow.analysis.theory.extrapolation import MIN_EXTRAPOLATED_SIZE, MeasurementBias
from gradflow.analysis.theory.mean_field import MeanField

FAR_DEVIATION_FACTOR = 2.0  # σ beyond the critical one at which a state that can grow without bound does


class NetworkBias(NamedTuple):
    """A network with random weights, measured over the steps of a plan.

    ``is_still``: its input is the same at every step. ``is_averaged``: the prediction is the limit of a long
    run; otherwise it is the mean over the very steps that are measured.
    """

    field: MeanField
    plan: Plan
    is_still: bool
    is_averaged: bool

    def find_variance_bias(self) -> MeasurementBias:
        """Return the bias of the variance: a mean over units, with a difference of the order 1/N."""
        predicted = self.field.variance()
        run = self._steady().variance() if self._has_run_error() else None
        return MeasurementBias(
            min_size=self._find_min_size(), run_error=0.0 if run is None else abs(run - predicted)
        )

    def find_exponent_bias(self) -> MeasurementBias:
        """Return the bias of the leading exponent.

        A chaotic network mixes all directions, and the difference is of the order 1/N (Engelken, Wolf &
        Abbott 2023). Otherwise the leading direction may be that of the outermost eigenvalue: the exponent
        of an equal Jacobian at every step is the logarithm of its spectral radius.
        """
        predicted = self.field.exponent().value
        is_mixing = predicted > 0 and math.isfinite(self.field.variance())
        return MeasurementBias(
            power=1.0 if is_mixing else 0.5,
            is_edge=not is_mixing,
            min_size=self._find_min_size(),
            run_error=abs(self._steady().exponent().value - predicted) if self._has_run_error() else 0.0,
        )

    def _has_run_error(self) -> bool:
        return self.is_averaged and self.field.deviation > 0

    def _steady(self) -> DrivenField:
        """Return the field over the measured steps, from the state where runs begin."""
        steps = self.plan.transient + self.plan.steps
        drives = np.full((steps, 1), self.field.drive)
        return DrivenField(self.field.activation, self.field.deviation, drives, self.plan.transient)

    def _find_min_size(self) -> float:
        """Return the N over which networks are in the phase of the limit N → ∞.

        The outermost eigenvalues of a finite network are some 1/√N beyond the edge. So a network whose gain is
        closer to a transition, relative to the gain, may be on its other side.
        """
        critical = self.field.critical_deviation()
        if self.field.deviation == 0 or critical is None:
            return MIN_EXTRAPOLATED_SIZE
        beyond = self.field._replace(deviation=FAR_DEVIATION_FACTOR * critical)
        if not self.is_still and math.isfinite(beyond.variance()):
            return MIN_EXTRAPOLATED_SIZE  # under changing inputs nothing changes abruptly
        rate = self.field.exponent().value
        distance = -rate if rate < 0 else math.log(self.field.deviation / critical)
        return max(distance**-2, MIN_EXTRAPOLATED_SIZE) if distance > 0 else math.inf
