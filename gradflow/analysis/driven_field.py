"""Mean-field theory along inputs that are not equally strong at every step.

With input weights of variance w² the pre-activations of a step are normal over units, of variance

    q_t = σ² ⟨φ(√q_{t−1} z)²⟩ + b + w² |x_t|²,

and λ₁ is the mean over steps of ½ ln(σ² ⟨φ′(√q_t z)²⟩): `mean_field` step by step, for its fixed point is
one of equal inputs alone.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from gradflow.analysis.mean_field import LEAST, Mean, MeanField, normal_mean
from gradflow.cells.activations import Activation
from gradflow.cells.base import Array

FINE, COARSE, BEND = 0.02, 0.5, math.log(1e-4)  # steps of ln q above and under the third: φ is linear there
REACH = 4.0  # factor of σ within which a critical one is sought


class Tables(NamedTuple):
    """ln⟨φ²⟩ and ln⟨φ′²⟩ as functions of ln q, and the largest error of the latter between its points."""

    value: CubicSpline
    slope: CubicSpline
    error: float

    @classmethod
    def of(cls, activation: Activation, low: float, high: float) -> "Tables":
        """Return tables for variances from ``low`` to ``high``."""
        start, end = math.log(max(low, LEAST)) - FINE, math.log(high) + FINE
        under = np.arange(start, min(BEND, end), COARSE)
        over = np.arange(max(start, BEND), end + FINE, FINE)
        points = np.unique(np.concatenate([under, over]))
        if len(points) < 4:
            points = np.linspace(start, end, 4)

        def logs(function: object, at: Array) -> Array:
            means = [normal_mean(lambda z: np.square(function(z)), math.exp(one)).value for one in at]  # type: ignore[operator]
            return np.log(np.maximum(means, 1e-300))

        value, slope = (CubicSpline(points, logs(f, points)) for f in (activation.value, activation.slope))
        between = 0.5 * (points[:-1] + points[1:])[:: max(len(points) // 16, 1)]
        error = float(np.abs(slope(between) - logs(activation.slope, between)).max())
        return cls(value, slope, error)


class DrivenField(NamedTuple):
    """A network whose drive at each step is ``drives`` (steps, draws), the first ``transient`` left out."""

    activation: Activation
    deviation: float
    drives: Array
    transient: int

    def tables(self, reach: float = 1.0) -> Tables | None:
        """Return tables for all variances that can occur with σ up to ``reach`` times its own."""
        least, most = (
            MeanField(self.activation, self.deviation * reach, float(drive)).variance()
            for drive in (self.drives.min(), self.drives.max())
        )
        lowest = float(self.drives.min()) or LEAST
        return Tables.of(self.activation, min(least, lowest) or LEAST, most) if math.isfinite(most) else None

    def moments(self, tables: Tables, deviation: float) -> tuple[float, float]:
        """Return the mean variance and the mean exponent over steps and draws."""
        scale = 2.0 * math.log(deviation)
        q = np.maximum(self.drives.mean(axis=0), LEAST)
        variances = np.empty_like(self.drives)
        for step, drive in enumerate(self.drives):
            variances[step] = q = np.maximum(np.exp(scale + tables.value(np.log(q))) + drive, LEAST)
        late = variances[self.transient :]
        exponents = 0.5 * (scale + tables.slope(np.log(late)))
        return float(late.mean()), float(exponents.mean())

    def variance(self) -> float | None:
        """Return the mean variance, None where it grows without bound."""
        tables = self.tables()
        return None if tables is None else self.moments(tables, self.deviation)[0]

    def exponent(self) -> Mean:
        """Return λ₁ in nats per step, with the error of the quadrature and the tables."""
        tables = self.tables()
        if tables is None:  # of every scale the same
            return MeanField(self.activation, self.deviation, float(self.drives.mean())).exponent()
        return Mean(self.moments(tables, self.deviation)[1], 0.5 * tables.error)

    def critical_deviation(self, near: float | None) -> float | None:
        """Return the σ at which λ₁ is 0, sought around that of equal inputs; None where there is none."""
        if near is None:
            return None
        wide = self._replace(deviation=near).tables(REACH)
        if wide is None:  # past it the state grows without bound, to where a slope is that of every scale
            return near

        def exponent(log: float) -> float:
            return self.moments(wide, math.exp(log))[1]

        low, high = math.log(near / REACH), math.log(near * REACH)
        if exponent(low) * exponent(high) >= 0:
            return None
        return math.exp(float(brentq(exponent, low, high, xtol=1e-9)))
