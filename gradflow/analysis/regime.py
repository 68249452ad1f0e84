"""What the powers of a matrix do in the long run, and the sentence a teacher would say about it."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.growth import Growth
from gradflow.linalg.norms import frobenius_norm, spectral_norm
from gradflow.linalg.powers import Power
from gradflow.linalg.scaled import LOG10_2, Scaled, number
from gradflow.linalg.spectrum import Spectrum
from gradflow.printable import decimal

# What is nearer to 1 than this, to rounding, is on the unit circle.
CIRCLE = 1e-6
DOUBLINGS = 10


class Radius(NamedTuple):
    """The spectral radius ρ in units of 2^exponent, and the bounds that rounding leaves for it."""

    value: float
    low: float
    high: float
    exponent: int

    @property
    def error(self) -> float:
        """How far rounding may have moved ρ."""
        return max(self.high - self.value, self.value - self.low, 0.0)

    def one(self) -> float:
        """Return 1 in these units."""
        return math.ldexp(1.0, -self.exponent) if self.exponent > -1023 else math.inf

    def log10(self) -> float:
        """Return log₁₀ ρ."""
        return number(self.value, self.exponent).log10()


def spectral_radius(spectrum: Spectrum, matrix: Scaled) -> Radius:
    """Return ρ between the bounds that rounding leaves for it.

    To first order they are the eigenvalues' own errors; they are cut by what always holds of the powers
    k = 1, 2, 4 … 1024: |tr Wᵏ|/n ≤ ρᵏ ≤ ‖Wᵏ‖. So they do not hang on how many steps were asked for.

    Parameters
    ----------
    spectrum : Spectrum
    matrix : Scaled
        W, with the exponent that the eigenvalues are in units of.
    """
    moduli = np.abs(spectrum.values)
    low = max(float((moduli - spectrum.errors)[0]), 0.0)
    high = float((moduli + spectrum.errors).max())
    if spectrum.errors.any():
        power, size = Power(Scaled(matrix.array)), len(moduli)
        for doubling in range(DOUBLINGS + 1):
            steps = 1 << doubling
            norm = spectral_norm(power.value).log10()
            high = min(high, 10.0 ** (norm / steps)) if norm > -math.inf else high
            trace = abs(complex(np.trace(power.value.array)))
            if trace > 10 * size * power.error * frobenius_norm(power.value.array):
                low = max(low, 10.0 ** (number(trace / size, power.value.exponent).log10() / steps))
            power = power @ power
    # a bound that rounding itself has pushed past ρ says no more than ρ
    return Radius(spectrum.radius, min(low, spectrum.radius), max(high, spectrum.radius), matrix.exponent)


def classify(spectrum: Spectrum, radius: Radius) -> str:
    """Return the regime, one of `gradflow.analysis.REGIMES`; ``undecided`` where rounding leaves it open."""
    if not spectrum.values.any() and not spectrum.errors.any():
        return "nilpotent"
    if radius.low > radius.one():
        return "exploding"
    if radius.high < radius.one():
        return "vanishing"
    if radius.error > CIRCLE * radius.one():
        return "undecided"
    return "polynomial" if spectrum.defective[on_circle(spectrum, radius)].any() else "preserving"


def on_circle(spectrum: Spectrum, radius: Radius) -> NDArray[np.bool_]:
    """Return which eigenvalues share the largest modulus, to rounding."""
    near = np.minimum(spectrum.errors, CIRCLE * radius.value) + min(radius.error, CIRCLE * radius.value)
    circle: NDArray[np.bool_] = np.abs(spectrum.values) >= radius.value * (1 - 1e-12) - near
    return circle


def conclusion(regime: str, spectrum: Spectrum, radius: Radius, growth: Growth) -> str:
    """Return what happens as n grows and which eigenvalue decides it, in words."""
    endless = regime in ("exploding", "polynomial")
    return f"{SENTENCES[regime](spectrum, radius)} {growth.sentence(endless)}"


def _leading(spectrum: Spectrum, radius: Radius) -> str:
    """Name the deciding eigenvalue: as it is, as a conjugate pair, or by its modulus if far out of range."""
    value = complex(spectrum.values[0])
    paired = np.any(np.abs(spectrum.values - value.conjugate()) <= 1e-12 * abs(value))
    if radius.exponent:
        return f"|λ₁| = {decimal(radius.log10())}"
    if abs(value.imag) <= spectrum.errors[0]:
        return f"λ₁ = {value.real:.6g}"
    sign = "±" if paired else "-" if value.imag < 0 else "+"
    return f"λ₁ = {value.real:.6g} {sign} {abs(value.imag):.6g}i"


def _vanishing(spectrum: Spectrum, radius: Radius) -> str:
    fall = -radius.log10()
    halving = f" and the norm halves every {LOG10_2 / fall:.3g} steps" if 0 < fall < math.inf else ""
    return (
        f"W^n vanishes: every |λ| is under 1. The largest decides, {_leading(spectrum, radius)}: in the long "
        f"run a step multiplies by {decimal(radius.log10())}{halving}."
    )


def _exploding(spectrum: Spectrum, radius: Radius) -> str:
    below = int(np.count_nonzero(np.abs(spectrum.values) < radius.one() - spectrum.errors))
    rest = (
        f" {below} of the {len(spectrum.values)} eigenvalues are under 1 and vanish beside it."
        if below
        else ""
    )
    return (
        f"W^n explodes: one |λ| over 1 is enough. The largest decides, {_leading(spectrum, radius)}: in the "
        f"long run a step multiplies the norm by {decimal(radius.log10())} and it doubles every "
        f"{LOG10_2 / radius.log10():.3g} steps.{rest}"
    )


def _preserving(spectrum: Spectrum, radius: Radius) -> str:
    circle = on_circle(spectrum, radius)
    if np.all(spectrum.values == radius.one()) and not spectrum.errors.any():
        return "W^n stays: every eigenvalue is 1 and W is diagonalizable, so W is the identity and so is W^n."
    if circle.all():
        return "To rounding every |λ| is 1, and W is diagonalizable: W^n neither vanishes nor explodes."
    return (
        f"W^n neither vanishes nor explodes: {_leading(spectrum, radius)} has |λ| = 1 to rounding and "
        f"decides; what lies along the {int(np.count_nonzero(~circle))} with |λ| under 1 dies out."
    )


def _polynomial(spectrum: Spectrum, radius: Radius) -> str:
    circle = on_circle(spectrum, radius)
    order = int(np.count_nonzero(spectrum.defective & circle)) - 1
    same = np.all(np.abs(spectrum.values - radius.one()) <= spectrum.errors + min(radius.error, CIRCLE))
    opening = (
        "All eigenvalues are 1, and yet W is not the identity, for it is not diagonalizable"
        if same
        else f"No |λ| is over 1, but {_leading(spectrum, radius)} on the unit circle lacks eigenvectors"
    )
    return f"{opening}: W^n grows like a power of n (at most n^{order}), though no eigenvalue says so."


def _nilpotent(spectrum: Spectrum, radius: Radius) -> str:  # noqa: ARG001 - one signature for all
    size = len(spectrum.values)
    return f"W is nilpotent: every eigenvalue is 0, and after at most {size} steps so is W^k."


def _undecided(spectrum: Spectrum, radius: Radius) -> str:
    low, high = (decimal(number(bound, radius.exponent).log10()) for bound in (radius.low, radius.high))
    return (
        f"Rounding leaves open what W^n does in the long run: {_leading(spectrum, radius)} is computed, but "
        f"W is so far from normal that any ρ from {low} to {high} is as good."
    )


SENTENCES = {
    "vanishing": _vanishing,
    "exploding": _exploding,
    "preserving": _preserving,
    "polynomial": _polynomial,
    "nilpotent": _nilpotent,
    "undecided": _undecided,
}
