"""What the powers of a matrix do in the long run, and the sentence a teacher would say about it."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.growth import MARGIN, Growth
from gradflow.linalg.scaled import ScaledNumber
from gradflow.linalg.spectrum import Spectrum

REGIMES = ("vanishing", "exploding", "preserving", "polynomial", "nilpotent")
# Up to this many steps rounding moves a norm by far less than MARGIN (in log₁₀).
CERTAIN_STEPS = 1000


class Radius(NamedTuple):
    """The spectral radius ρ and how far rounding may have moved it."""

    value: float
    error: float


def spectral_radius(spectrum: Spectrum, exponent: int, steps: list[int], log10_norms: list[float]) -> Radius:
    """Return ρ with its error: first order in the eigenvalues, and cut by ρ ≤ ‖Wᵏ‖^(1/k), which always holds.

    Parameters
    ----------
    spectrum : Spectrum
        Of W / 2**exponent.
    steps, log10_norms : list
        Exponents k and log₁₀ ‖Wᵏ‖.
    """
    value = ScaledNumber(spectrum.radius, exponent).value()
    reach = ScaledNumber(float((np.abs(spectrum.values) + spectrum.errors).max()), exponent).value()
    own = ScaledNumber(float(spectrum.errors[0]), exponent).value()
    bound = min(
        (log / k for k, log in zip(steps, log10_norms, strict=True) if 0 < k <= CERTAIN_STEPS), default=300
    )
    return Radius(value, max(min(reach, 10.0**bound if bound < 300 else math.inf) - value, own, 0.0))


def classify(spectrum: Spectrum, radius: Radius, steps: list[int], log10_norms: list[float]) -> str:
    """Return the regime, one of `REGIMES`.

    Where the error of ρ leaves it open, a norm under 1 settles it: ρᵏ ≤ ‖Wᵏ‖ < 1.
    """
    if not spectrum.values.any() and not spectrum.errors.any():
        return "nilpotent"
    if radius.value > 1 + radius.error:
        return "exploding"
    seen = (log for k, log in zip(steps, log10_norms, strict=True) if 0 < k <= CERTAIN_STEPS)
    if radius.value < 1 - radius.error or any(log < -MARGIN for log in seen):
        return "vanishing"
    return "polynomial" if spectrum.defective[on_circle(spectrum, radius)].any() else "preserving"


def on_circle(spectrum: Spectrum, radius: Radius) -> NDArray[np.bool_]:
    """Return which eigenvalues share the largest modulus, to rounding."""
    modulus = np.abs(spectrum.values)
    return modulus >= spectrum.radius * (1 - 1e-12) - spectrum.errors - min(radius.error, 1e-6)


def conclusion(regime: str, spectrum: Spectrum, radius: Radius, growth: Growth) -> str:
    """Return what happens as n grows and which eigenvalue decides it, in words."""
    return " ".join(part for part in (SENTENCES[regime](spectrum, radius), growth.sentence()) if part)


def _leading(spectrum: Spectrum) -> str:
    """Name the deciding eigenvalue: real as it is, complex as a conjugate pair."""
    value = complex(spectrum.values[0])
    if abs(value.imag) <= spectrum.errors[0]:
        return f"λ₁ = {value.real:.6g}"
    return f"λ₁ = {value.real:.6g} {'±' if len(spectrum.values) > 1 else '+'} {abs(value.imag):.6g}i"


def _vanishing(spectrum: Spectrum, radius: Radius) -> str:
    half_life = math.log(2) / -math.log(radius.value) if 0 < radius.value < 1 else 0.0
    return (
        f"W^n vanishes: every |λ| is under 1. The largest decides, {_leading(spectrum)}: in the long run a "
        f"step multiplies by {radius.value:.6g} and the norm halves every {half_life:.3g} steps."
    )


def _exploding(spectrum: Spectrum, radius: Radius) -> str:
    below = int(np.count_nonzero(np.abs(spectrum.values) < spectrum.radius / radius.value))
    rest = f" The {below} with |λ| under 1 vanish beside it." if below else ""
    doubling = (
        f" and doubles it every {math.log(2) / math.log(radius.value):.3g} steps" if radius.value > 1 else ""
    )
    return (
        f"W^n explodes: one |λ| over 1 is enough. The largest decides, {_leading(spectrum)}: in the long run "
        f"a step multiplies the norm by {radius.value:.6g}{doubling}.{rest}"
    )


def _preserving(spectrum: Spectrum, radius: Radius) -> str:
    circle = on_circle(spectrum, radius)
    if circle.all() and np.all(np.abs(spectrum.values - 1) <= spectrum.errors + radius.error):
        return "W^n stays: every eigenvalue is 1 and W is diagonalizable, so W is the identity and so is W^n."
    if circle.all():
        return "W^n neither vanishes nor explodes: every |λ| is 1 and W is diagonalizable."
    return (
        f"W^n neither vanishes nor explodes: {_leading(spectrum)} has |λ| = 1 and decides; what lies along "
        f"the {int(np.count_nonzero(~circle))} eigenvalues with |λ| under 1 dies out."
    )


def _polynomial(spectrum: Spectrum, radius: Radius) -> str:
    circle = on_circle(spectrum, radius)
    order = int(np.count_nonzero(spectrum.defective & circle)) - 1
    same = np.all(np.abs(spectrum.values - 1) <= spectrum.errors + radius.error)
    opening = (
        "All eigenvalues are 1, and yet W is not the identity, for it is not diagonalizable"
        if same
        else f"No |λ| is over 1, but {_leading(spectrum)} on the unit circle lacks eigenvectors"
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
