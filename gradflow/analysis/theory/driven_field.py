"""Mean-field theory along inputs whose strength differs from step to step.

With input weights of variance w², the pre-activations of step t are normal over units with the variance

    q_t = σ² ⟨φ(√q_{t−1} z)²⟩ + b + w² |x_t|²,

and λ₁ is the mean over steps of ½ ln(σ² ⟨φ′(√q_t z)²⟩). The fixed point of `mean_field` needs inputs of equal
strength; here the equations are iterated step by step.
"""

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gradflow.analysis.shared.exponents import INITIAL_STATE_SPREAD
from gradflow.analysis.theory.mean_field import MIN_VARIANCE, Mean, MeanField, normal_mean
from gradflow.cells.activations import Activation
from gradflow.cells.base import Array

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline

# Spacings of the table points in ln q. The functions are smooth near q = 0 and for large q.
BEND_RANGES, NODE_SPACINGS = (math.log(1e-4), 5.0, 14.0), (0.5, 0.02, 0.1, 0.5)
MAX_SIGMA_DIVISOR, MAX_SIGMA_FACTOR = 64.0, 4.0  # range of the search for a critical σ, as factors of σ


class Tables(NamedTuple):
    """ln⟨φ²⟩ and ln⟨φ′²⟩ as functions of ln q, and the largest error of the latter between its points."""

    value: "CubicSpline"
    slope: "CubicSpline"
    error: float


@cache
def tables_of(activation: Activation, low: float, high: float) -> Tables:
    """Return tables for variances from ``low`` to ``high``."""
    from scipy.interpolate import CubicSpline  # here, because its import is slow

    start, end = math.log(max(low, MIN_VARIANCE)) - 1.0, math.log(max(high, MIN_VARIANCE)) + 1.0
    edges = (-math.inf, *BEND_RANGES, math.inf)
    pieces = [
        np.arange(max(start, first), min(end, last), step)
        for step, (first, last) in zip(NODE_SPACINGS, pairwise(edges), strict=True)
        if max(start, first) < min(end, last)
    ]
    points = np.unique(np.concatenate([*pieces, [end]]))

    def logs(function: Callable[[Array], Array], at: Array) -> Array:
        means = [normal_mean(lambda z: np.square(function(z)), math.exp(one)).value for one in at]
        return np.log(np.maximum(means, 1e-300))

    value, slope = (CubicSpline(points, logs(f, points)) for f in (activation.value, activation.slope))
    between = 0.5 * (points[:-1] + points[1:])[:: max(len(points) // 16, 1)]
    error = float(np.abs(slope(between) - logs(activation.slope, between)).max())
    return Tables(value, slope, error)


class DrivenField(NamedTuple):
    """A wide network with the drive ``drives`` (steps, draws); means leave out ``transient`` steps."""

    activation: Activation
    deviation: float
    drives: Array
    transient: int

    def first(self, deviation: float) -> Array:
        """Return q of the first step, for a state with the deviation with which orbits start."""
        return np.asarray(np.maximum(deviation**2 * INITIAL_STATE_SPREAD**2 + self.drives[0], MIN_VARIANCE))

    def tables(self, lowest: float, highest: float) -> Tables | None:
        """Return tables for the variances of all σ between two values, or None if they are unbounded."""
        least, most = (
            MeanField(self.activation, deviation, float(drive)).variance()
            for deviation, drive in ((lowest, self.drives.min()), (highest, self.drives.max()))
        )
        if not math.isfinite(most):
            return None
        low = min(float(self.drives.min()), least, float(self.first(lowest).min()))
        return tables_of(self.activation, low, max(most, float(self.first(highest).max())))

    def moments(self, tables: Tables, deviation: float) -> tuple[float, float]:
        """Return the mean variance and the mean exponent over steps and draws."""
        scale = 2.0 * math.log(deviation)
        variances = np.empty_like(self.drives)
        variances[0] = q = self.first(deviation)
        for step, drive in enumerate(self.drives[1:], 1):
            variances[step] = q = np.maximum(np.exp(scale + tables.value(np.log(q))) + drive, MIN_VARIANCE)
        late = variances[self.transient :]
        exponents = 0.5 * (scale + tables.slope(np.log(late)))
        return float(late.mean()), float(exponents.mean())

    def variance(self) -> float | None:
        """Return the mean variance, or None if it grows without bound."""
        tables = self.tables(self.deviation, self.deviation)
        return None if tables is None else self.moments(tables, self.deviation)[0]

    def exponent(self) -> Mean:
        """Return λ₁ in nats per step, with the error of the quadrature and the tables."""
        tables = self.tables(self.deviation, self.deviation)
        if tables is None:  # of every scale the same
            return MeanField(self.activation, self.deviation, float(self.drives.mean())).exponent()
        return Mean(self.moments(tables, self.deviation)[1], 0.5 * tables.error)

    def critical_deviation(self, near: float | None) -> float | None:
        """Return the σ at which λ₁ is 0, sought around that of equal inputs; None where there is none."""
        if near is None:
            return None
        lowest, highest = near / MAX_SIGMA_DIVISOR, near * MAX_SIGMA_FACTOR
        wide = self.tables(lowest, highest)
        if wide is None:  # past it the state grows without bound, to where a slope is that of every scale
            return near

        def exponent(log: float) -> float:
            return self.moments(wide, math.exp(log))[1]

        low, high = math.log(lowest), math.log(highest)
        if exponent(low) * exponent(high) >= 0:
            return None
        from scipy.optimize import brentq  # here, because its import is slow

        return math.exp(float(brentq(exponent, low, high, xtol=1e-9)))
