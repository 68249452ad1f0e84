"""What the powers of a matrix do in the long run, and the sentence a teacher would say about it."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.growth import MARGIN, Growth
from gradflow.analysis.words import decimal
from gradflow.linalg.scaled import LOG10_2, number
from gradflow.linalg.spectrum import Spectrum

# Up to this many steps rounding moves a norm by far less than MARGIN (in log₁₀).
CERTAIN_STEPS = 1000


class Radius(NamedTuple):
    """The spectral radius ρ = value · 2^exponent, and in these units how far rounding may have moved it."""

    value: float
    error: float
    exponent: int

    def one(self) -> float:
        """Return 1 in these units."""
        return math.ldexp(1.0, -self.exponent) if self.exponent > -1023 else math.inf

    def log10(self) -> float:
        """Return log₁₀ ρ."""
        return number(self.value, self.exponent).log10()


def spectral_radius(spectrum: Spectrum, exponent: int, steps: list[int], log10_norms: list[float]) -> Radius:
    """Return ρ with its error: first order in the eigenvalues, and cut by ρ ≤ ‖Wᵏ‖^(1/k), which always holds.

    Parameters
    ----------
    spectrum : Spectrum
        Of W / 2**exponent.
    steps, log10_norms : list
        Exponents k and log₁₀ ‖Wᵏ‖.
    """
    bounds = [log / k for k, log in zip(steps, log10_norms, strict=True) if 0 < k <= CERTAIN_STEPS]
    bound = 10.0 ** (min(bounds) - exponent * LOG10_2) if bounds else math.inf
    reach = min(float((np.abs(spectrum.values) + spectrum.errors).max()), bound)
    return Radius(spectrum.radius, max(reach - spectrum.radius, float(spectrum.errors[0])), exponent)


def classify(spectrum: Spectrum, radius: Radius, steps: list[int], log10_norms: list[float]) -> str:
    """Return the regime, one of `gradflow.analysis.REGIMES`.

    Where the error of ρ leaves it open, a norm under 1 settles it: ρᵏ ≤ ‖Wᵏ‖ < 1.
    """
    if not spectrum.values.any() and not spectrum.errors.any():
        return "nilpotent"
    if radius.value > radius.one() + radius.error:
        return "exploding"
    seen = (log for k, log in zip(steps, log10_norms, strict=True) if 0 < k <= CERTAIN_STEPS)
    if radius.value < radius.one() - radius.error or any(log < -MARGIN for log in seen):
        return "vanishing"
    return "polynomial" if spectrum.defective[on_circle(spectrum, radius)].any() else "preserving"


def on_circle(spectrum: Spectrum, radius: Radius) -> NDArray[np.bool_]:
    """Return which eigenvalues share the largest modulus, to rounding."""
    modulus = np.abs(spectrum.values)
    return modulus >= radius.value * (1 - 1e-12) - spectrum.errors - min(radius.error, 1e-6)


def conclusion(regime: str, spectrum: Spectrum, radius: Radius, growth: Growth) -> str:
    """Return what happens as n grows and which eigenvalue decides it, in words."""
    return " ".join(part for part in (SENTENCES[regime](spectrum, radius), growth.sentence()) if part)


def _leading(spectrum: Spectrum, radius: Radius) -> str:
    """Name the deciding eigenvalue: as it is, as a conjugate pair, or by its modulus if far out of range."""
    value = complex(spectrum.values[0])
    if radius.exponent:
        return f"|λ₁| = {decimal(radius.log10())}"
    if abs(value.imag) <= spectrum.errors[0]:
        return f"λ₁ = {value.real:.6g}"
    return f"λ₁ = {value.real:.6g} {'±' if len(spectrum.values) > 1 else '+'} {abs(value.imag):.6g}i"


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
    if circle.all() and np.all(np.abs(spectrum.values - radius.one()) <= spectrum.errors + radius.error):
        return "W^n stays: every eigenvalue is 1 and W is diagonalizable, so W is the identity and so is W^n."
    if circle.all():
        return "W^n neither vanishes nor explodes: every |λ| is 1 and W is diagonalizable."
    return (
        f"W^n neither vanishes nor explodes: {_leading(spectrum, radius)} has |λ| = 1 and decides; what lies "
        f"along the {int(np.count_nonzero(~circle))} eigenvalues with |λ| under 1 dies out."
    )


def _polynomial(spectrum: Spectrum, radius: Radius) -> str:
    circle = on_circle(spectrum, radius)
    order = int(np.count_nonzero(spectrum.defective & circle)) - 1
    same = np.all(np.abs(spectrum.values - radius.one()) <= spectrum.errors + radius.error)
    opening = (
        "All eigenvalues are 1, and yet W is not the identity, for it is not diagonalizable"
        if same
        else f"No |λ| is over 1, but {_leading(spectrum, radius)} on the unit circle lacks eigenvectors"
    )
    return f"{opening}: W^n grows like a power of n (at most n^{order}), though no eigenvalue says so."


def _nilpotent(spectrum: Spectrum, radius: Radius) -> str:  # noqa: ARG001 - one signature for all
    size = len(spectrum.values)
    return f"W is nilpotent: every eigenvalue is 0, and W^k is exactly 0 at step {size} at the latest."


SENTENCES = {
    "vanishing": _vanishing,
    "exploding": _exploding,
    "preserving": _preserving,
    "polynomial": _polynomial,
    "nilpotent": _nilpotent,
}
