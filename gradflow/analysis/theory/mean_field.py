"""Mean-field theory of a wide simple recurrent network with random weights: N → ∞, one layer.

The recurrent weights have the variance σ²/N, and inputs and biases add the variance s to each pre-activation.
Then the pre-activations are normal with a variance q, and

    q = σ² ⟨φ(√q z)²⟩ + s,        λ₁ = ½ ln(σ² ⟨φ′(√q z)²⟩),

where ⟨·⟩ is the mean over a unit normal z (Molgedey, Schuchhardt & Schuster 1992; Chen, Pennington &
Schoenholz 2018; in continuous time, with other formulas, Sompolinsky, Crisanti & Sommers 1988). Means are
computed by Gauss–Hermite quadrature to eleven digits.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from gradflow.cells.activations import Activation
from gradflow.cells.base import Array

QUADRATURE_ORDERS = (32, 64, 128, 256, 512, 1024)  # even: no node at 0, where φ may have a kink
MAX_NUMPY_ORDER = 256  # of Gauss–Hermite nodes: beyond, those of numpy overflow
QUADRATURE_TOLERANCE = 1e-12  # a mean is accepted if twice the order changes it by less, relative
# The stated relative error of such a mean. At a kink of f the error is larger than the change.
QUADRATURE_ERROR = 1e-11
STEEP_POINTS = (1.0, 3.0, 10.0, 30.0, 100.0)  # where activations bend and level off
MAX_QUADRATURE_DEVIATION = 4.0  # a wider normal distribution may have no node where f is steep
MAX_NORMAL_DEVIATIONS = 12.0  # in standard deviations: the density beyond is under 1e-32
MIN_VARIANCE, MAX_VARIANCE = 1e-30, 1e210  # range of the search for a fixed point
VARIANCE_STRIDE = 1e3  # factor between variances of this search
MAX_LOST_RATE = 1e-15  # nats per step: rounding error of ln near 1
CRITICAL_GAIN_RANGE = 1e-3, 1e3  # range of the search for a critical gain


class Mean(NamedTuple):
    """A mean over a normal distribution, and the relative error that the quadrature states."""

    value: float
    error: float


@cache
def _nodes(order: int) -> tuple[Array, Array]:
    if order <= MAX_NUMPY_ORDER:
        nodes, weights = hermegauss(order)
    else:
        from scipy.special import roots_hermitenorm  # here, because its import is slow

        nodes, weights = roots_hermitenorm(order)
    return nodes, weights / math.sqrt(2.0 * math.pi)


def normal_mean(function: Callable[[Array], Array], variance: float) -> Mean:
    """Return ⟨f(√variance z)⟩ by Gauss–Hermite quadrature; the order doubles until the mean stays the same.

    A wide distribution uses adaptive Gauss–Kronrod quadrature, because f changes over a scale of 1.

    Examples
    --------
    >>> round(normal_mean(np.square, 3.0).value, 12)
    3.0
    """
    deviation, before = math.sqrt(variance), math.nan
    for order in QUADRATURE_ORDERS if deviation <= MAX_QUADRATURE_DEVIATION else ():
        nodes, weights = _nodes(order)
        value = float(weights @ function(deviation * nodes))
        error = abs(value - before) / max(abs(value), 1e-300)
        if error <= QUADRATURE_TOLERANCE:
            return Mean(value, QUADRATURE_ERROR)
        before = value
    widths = (scale / deviation for scale in STEEP_POINTS if scale < MAX_NORMAL_DEVIATIONS * deviation)
    near = [side * width for width in widths for side in (-1, 1)]
    from scipy.integrate import quad  # here, because few functions need it and its import is slow

    value, error = quad(
        lambda z: float(function(np.array(deviation * z))) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
        -MAX_NORMAL_DEVIATIONS, MAX_NORMAL_DEVIATIONS, points=[0.0, *near], limit=1000, epsabs=0.0,
        epsrel=QUADRATURE_TOLERANCE,
    )  # fmt: skip
    return Mean(value, max(error / max(abs(value), 1e-300), QUADRATURE_ERROR))


class MeanField(NamedTuple):
    """A wide network with activation φ, recurrent weights of deviation σ/√N, and a drive of variance s.

    Examples
    --------
    >>> from gradflow.cells.activations import parse_activation
    >>> field = MeanField(parse_activation("tanh"), 1.5, 0.0)
    >>> round(field.exponent().value, 6), round(field.critical_deviation(), 9)
    (0.065217, 1.0)
    """

    activation: Activation
    deviation: float
    drive: float

    def variance(self) -> float:
        """Return the largest fixed point q: 0 if the state dies out, inf if it grows without bound."""
        high = max(self.drive, 1.0)
        while self._surplus(high) > 0:
            high *= VARIANCE_STRIDE
            if high > MAX_VARIANCE:
                return math.inf
        low = high
        while self._surplus(low) <= 0:
            low /= VARIANCE_STRIDE
            if low < MIN_VARIANCE:
                return 0.0
        if low == high:
            return high
        from scipy.optimize import brentq  # here, because its import is slow

        return float(brentq(self._surplus, low, high, xtol=MIN_VARIANCE, rtol=1e-14, maxiter=1000))

    def _surplus(self, variance: float) -> float:
        square = normal_mean(lambda z: np.square(self.activation.value(z)), variance).value
        return self.deviation**2 * square + self.drive - variance

    def exponent(self) -> Mean:
        """Return λ₁ in nats per step, with the absolute error of the quadrature."""
        # a kink has no slope at 0, so the smallest variance stands for 0
        variance = min(max(self.variance(), MIN_VARIANCE), MAX_VARIANCE)
        square = normal_mean(lambda z: np.square(self.activation.slope(z)), variance)
        if self.deviation == 0 or square.value == 0:
            return Mean(-math.inf, 0.0)
        value = math.log(self.deviation) + 0.5 * math.log(square.value)
        return Mean(0.0 if abs(value) < MAX_LOST_RATE else value, 0.5 * square.error)

    def critical_deviation(self) -> float | None:
        """Return the σ at which λ₁ is 0, or None if there is none.

        Without drive it is the σ at which the state 0 becomes unstable. It has a formula, because λ₁ rises
        too slowly beyond it for root finding.
        """
        if self.drive == 0 and float(self.activation.value(np.array(0.0))) == 0:
            square = normal_mean(lambda z: np.square(self.activation.slope(z)), MIN_VARIANCE).value
            return 1.0 / math.sqrt(square) if square > 0 else None

        def exponent(log: float) -> float:
            return self._replace(deviation=math.exp(log)).exponent().value

        low, high = (
            math.log(CRITICAL_GAIN_RANGE[0]),
            math.log(max(CRITICAL_GAIN_RANGE[1], 10.0 * math.sqrt(1.0 + self.drive))),
        )
        if exponent(low) * exponent(high) >= 0:
            return None
        from scipy.optimize import brentq  # here, because its import is slow

        return math.exp(float(brentq(exponent, low, high, xtol=1e-12, maxiter=1000)))
