"""The spectral radius of a matrix between two certified bounds."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.enclosure import COMMON_TURNS, MAX_CIRCLE_SIZE, schur_form
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.norms import frobenius_norm, spectral_norm
from gradflow.linalg.power_bounds import NORM_ERROR
from gradflow.linalg.powers import Power
from gradflow.linalg.scaled import Scaled, number
from gradflow.linalg.spectrum import Spectrum

MAX_DOUBLINGS = 20  # powers up to W^(2^20) give bounds, as long as their rounding is small
SHARP_RADIUS_ERROR = 1e-6  # relative: powers are skipped if the eigenvalues bound ρ as sharply as this
RADIUS_BISECTIONS = 60
MAX_POWER_ERROR = 0.01  # relative: a power with a larger error gives no bound
VAGUE_RADIUS_ERROR = 1e-2  # relative, from which circles around 0 are tried
RADIUS_GROWTH = 1.25


class Radius(NamedTuple):
    """The spectral radius ρ in units of 2^exponent, between two certified bounds."""

    value: float
    low: float
    high: float
    exponent: int

    @property
    def error(self) -> float:
        """The larger distance of the two bounds from the value."""
        return max(self.high - self.value, self.value - self.low, 0.0)

    def one_in_units(self) -> float:
        """Return 1 in these units."""
        return math.ldexp(1.0, -self.exponent) if self.exponent > -1023 else math.inf

    def log10(self) -> float:
        """Return log₁₀ ρ."""
        return number(self.value, self.exponent).log10()

    def log10_low(self) -> float:
        """Return log₁₀ of the lower bound."""
        return number(self.low, self.exponent).log10()

    def log10_high(self) -> float:
        """Return log₁₀ of the upper bound."""
        return number(self.high, self.exponent).log10()


def spectral_radius(spectrum: Spectrum, matrix: Scaled) -> Radius:
    """Return ρ(W) between two certified bounds.

    An eigenvalue lies within its error, so ρ is at least max(|λᵢ| − eᵢ) and at most max(|λᵢ| + eᵢ). If W is
    far from normal, the powers k = 1, 2, 4 … of each irreducible block, whose rounding is bounded, give more:
    σ_min(W) ≤ ρ, |tr Wᵏ| ≤ n ρᵏ, ρᵏ ≤ ‖Wᵏ‖, and ‖Wᵏ‖ ≤ Σ_j C(k, j) ρ^(k−j) ‖W‖_F^j, j < n (Henrici 1962). If
    the bounds still differ by more than a hundredth, circles around 0 on which W − z is regular bound ρ from
    both sides.

    Parameters
    ----------
    spectrum : Spectrum
        Of ``matrix.array``.
    matrix : Scaled
        W, with the exponent of the unit of the eigenvalues.

    Examples
    --------
    >>> from gradflow.linalg.spectrum import spectrum
    >>> W = np.array([[2.0, 1.0], [1.0, 0.0]])
    >>> radius = spectral_radius(spectrum(W), Scaled(W))
    >>> bool(radius.low <= 1 + 2**0.5 <= radius.high), radius.error < 1e-13
    (True, True)
    """
    moduli = np.abs(spectrum.values)
    # the modulus of a complex number is rounded, and so are sums
    plain = (spectrum.errors == 0.0) & ((spectrum.values.real == 0.0) | (spectrum.values.imag == 0.0))
    slack = np.where(plain, 0.0, 4 * DOUBLE_EPS)
    low = float((np.maximum(moduli - spectrum.errors, 0.0) * (1.0 - slack)).max())
    high = float(((moduli + spectrum.errors) * (1.0 + slack)).max())
    if spectrum.errors.any():
        doublings = MAX_DOUBLINGS if high - low > SHARP_RADIUS_ERROR * high else 0
        if doublings or _may_be_nearly_unitary(spectrum, matrix, low, high):
            low, high = _narrow(
                low, high, [_bounds_by_powers(block, doublings) for block in _blocks(spectrum, matrix)]
            )
        if high - low > VAGUE_RADIUS_ERROR * high:
            low, high = _narrow(low, high, [_bounds_by_circles(block) for block in _blocks(spectrum, matrix)])
    value = min(max(spectrum.radius, low), high)
    return Radius(value, low, high, matrix.exponent)


def _may_be_nearly_unitary(spectrum: Spectrum, matrix: Scaled, low: float, high: float) -> bool:
    """Return whether σ_min(W) ≤ min |λ| or ‖W‖ ≥ the longest column could bound ρ better."""
    least = float((np.abs(spectrum.values) + spectrum.errors).min())
    longest = max(float(np.linalg.norm(block, axis=0).max()) for block in _blocks(spectrum, matrix))
    return least >= low or longest <= high


def _blocks(spectrum: Spectrum, matrix: Scaled) -> Iterator[NDArray[Any]]:
    """Yield the irreducible diagonal blocks."""
    for block in spectrum.blocks:
        yield matrix.array[np.ix_(block, block)]


def _narrow(low: float, high: float, bounds: list[tuple[float, float]]) -> tuple[float, float]:
    """Return bounds of the largest of several radii, given bounds of each of them."""
    lows, highs = zip(*bounds, strict=True)
    return max(low, *lows), min(high, max(highs))


def _bounds_by_circles(block: NDArray[Any]) -> tuple[float, float]:
    """Return radii of two circles around 0: one has an eigenvalue outside it, the other holds all of them."""
    if len(block) == 1:
        return (float(abs(block[0, 0])),) * 2
    if len(block) > MAX_CIRCLE_SIZE:
        return 0.0, math.inf
    form = schur_form(block)
    largest = float(np.abs(np.diag(form.triangle)).max())
    apart = VAGUE_RADIUS_ERROR * largest
    low, high = 0.0, math.inf
    while apart < form.size and (high == math.inf or low == 0.0):
        if high == math.inf and form.is_regular((largest + apart) * COMMON_TURNS):
            high = largest + apart
        if not low and apart < largest and form.is_regular((largest - apart) * COMMON_TURNS):
            low = largest - apart
        apart *= RADIUS_GROWTH
        if apart >= largest and high < math.inf:
            break
    return low, high


def _bounds_by_powers(block: NDArray[Any], doublings: int) -> tuple[float, float]:
    """Return bounds of ρ from traces and norms of powers, as long as their rounding is below their size."""
    if len(block) == 1:
        return (float(abs(block[0, 0])),) * 2
    size, frobenius = len(block), frobenius_norm(block)
    singular = np.linalg.svd(block, compute_uv=False)
    rounding = NORM_ERROR * size * DOUBLE_EPS
    low, high = max(float(singular[-1] - rounding * singular[0]), 0.0), frobenius * (1.0 + rounding)
    largest: tuple[int, float] | None = None
    power = Power(Scaled(block))
    for doubling in range(doublings + 1):
        steps, exponent = 1 << doubling, power.value.exponent
        # relative to the exact power, and to first order
        lost = (2.0 * power.error + rounding) * frobenius_norm(power.value.array)
        norm = spectral_norm(Scaled(power.value.array)).value()
        if not power.error < MAX_POWER_ERROR or not norm or not math.isfinite(norm):
            break
        high = min(high, _root(norm + lost, exponent, steps, 1.0))
        trace = abs(complex(np.trace(power.value.array))) - math.sqrt(size) * lost
        if trace > 0.0:
            low = max(low, _root(trace / size, exponent, steps, -1.0))
        if norm > lost:
            largest = steps, number(norm - lost, exponent).log10() * math.log(10.0)
        power = power @ power
    if largest is not None:
        low = max(low, _radius_of_growth(size, frobenius, *largest))
    return low, high


def _root(mantissa: float, exponent: int, steps: int, direction: float) -> float:
    """Return a root, rounded up or down."""
    log = number(mantissa, exponent).log10() * math.log(10.0) / steps
    return math.exp(log) * (1.0 + direction * 8 * DOUBLE_EPS * (1.0 + abs(log)))


def _radius_of_growth(size: int, departure: float, steps: int, log_norm: float) -> float:
    """Return the smallest ρ for which the power ``steps`` can have this norm (Henrici 1962)."""
    terms = np.arange(min(size - 1, steps) + 1)
    rest = steps - terms
    binomials = [
        math.lgamma(steps + 1) - math.lgamma(j + 1) - math.lgamma(steps - j + 1) for j in terms.tolist()
    ]
    coupled = terms * math.log(departure)
    logs = np.array(binomials) + coupled
    # a logarithm is rounded in proportion to its size; the norm and the terms may agree in all their digits
    sizes = abs(log_norm) + 3 * math.lgamma(steps + 1) + np.abs(coupled).max() + size * len(terms)
    low, high = -800.0, math.log(departure)
    for _ in range(RADIUS_BISECTIONS):
        middle = 0.5 * (low + high)
        rounding = 16 * DOUBLE_EPS * (1.0 + sizes + steps * abs(middle))
        sum_log = np.logaddexp.reduce(logs + rest * middle)
        low, high = (middle, high) if sum_log + rounding < log_norm else (low, middle)
    return math.exp(low) * (1.0 - 1e-12)  # for the rounding of the exponential
