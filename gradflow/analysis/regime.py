"""What the powers of a matrix do in the long run, and the sentence a teacher would say about it."""

import math

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.growth import Growth
from gradflow.linalg.scaled import LOG10_2
from gradflow.linalg.spectral_radius import Radius
from gradflow.linalg.spectrum import Spectrum
from gradflow.printable import format_log10

# How much of ρ may be open, relative to 1, where W is said to have |λ| = 1 to rounding: of a matrix with good
# eigenvectors some 1e-13 is; two equal eigenvalues that share one eigenvector leave the root of rounding.
ON_CIRCLE, DEFECTIVE_ON_CIRCLE = 1e-10, 1e-6
GOOD_CONDITION = 1e4  # of Q; next to a defective matrix it is the root of 1/eps and more
NEAR_ONE = 1e-3  # a distance from 1 that six digits would hide
PRINTED = 1e-6  # the relative error of ρ up to which its six printed digits are right


def classify(spectrum: Spectrum, radius: Radius) -> str:
    """Return the regime, one of `gradflow.analysis.REGIMES`, as the bounds of ρ prove it.

    Both bounds of ρ over 1, or both under it, decide. Where they are 1 exactly, or nearer to it than rounding
    can tell, it depends on whether the eigenvalues on the unit circle lack eigenvectors.
    """
    if not spectrum.values.any() and not spectrum.errors.any():
        return "nilpotent"
    one = radius.one()
    if radius.low > one:
        return "exploding"
    if radius.high < one:
        return "vanishing"
    circle = on_circle(spectrum, radius)
    if spectrum.defective[circle].any():
        return "polynomial" if radius.error <= DEFECTIVE_ON_CIRCLE * one else "undecided"
    sound = spectrum.diagonalizable or spectrum.semisimple[circle].all() or _has_good_basis(spectrum)
    return "preserving" if sound and radius.error <= ON_CIRCLE * one else "undecided"


def _has_good_basis(spectrum: Spectrum) -> bool:
    """Return whether W is, to rounding, QΛQ⁻¹ with a Q that is far from singular."""
    if spectrum.vectors is None or spectrum.perturbation > ON_CIRCLE:
        return False
    return bool(np.linalg.cond(spectrum.vectors) < GOOD_CONDITION)


def on_circle(spectrum: Spectrum, radius: Radius) -> NDArray[np.bool_]:
    """Return which eigenvalues may share the largest modulus."""
    circle: NDArray[np.bool_] = np.abs(spectrum.values) + spectrum.errors >= radius.low * (1 - 1e-12)
    return circle


def conclusion(regime: str, spectrum: Spectrum, radius: Radius, growth: Growth) -> str:
    """Return what happens as n grows and which eigenvalue decides it, in words."""
    endless = regime in ("exploding", "polynomial")
    return f"{SENTENCES[regime](spectrum, radius)} {growth.sentence(endless)}"


def _leading(spectrum: Spectrum, radius: Radius) -> str:
    """Name the deciding eigenvalue: as it is, as a conjugate pair, or by its modulus if far out of range."""
    if radius.exponent or radius.error > PRINTED * radius.value:
        return f"|λ₁| = {_modulus(radius)}"
    return _named(complex(spectrum.values[0]), spectrum, radius)


def _named(value: complex, spectrum: Spectrum, radius: Radius) -> str:
    """Name an eigenvalue with its rank by modulus."""
    place = int(np.argmax(spectrum.values == value))
    name = "λ" + "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(place + 1))
    if radius.exponent:
        return f"|{name}| = {_modulus(radius)}"
    paired = np.any(np.abs(spectrum.values - value.conjugate()) <= 1e-12 * abs(value))
    if abs(value.imag) <= spectrum.errors[place]:
        return f"{name} = {value.real:.6g}"
    sign = "±" if paired else "-" if value.imag < 0 else "+"
    return f"{name} = {value.real:.6g} {sign} {abs(value.imag):.6g}i"


def _modulus(radius: Radius) -> str:
    """Return ρ in as many digits as it has, else with the bounds that it lies between."""
    if radius.error <= PRINTED * radius.value:
        return format_log10(radius.log10())
    return f"{format_log10(radius.log10())} ({_range(radius)})"


def _range(radius: Radius) -> str:
    """Return the bounds of ρ in words, those next to 1 by their distance from it."""
    low, high = ((bound - radius.one()) / radius.one() for bound in (radius.low, radius.high))
    if max(abs(low), abs(high)) < NEAR_ONE:
        ends = (f"1 {'-' if end < 0 else '+'} {abs(end):.1e}" if end else "1" for end in (low, high))
        return "between " + " and ".join(ends)
    return f"between {format_log10(radius.log10_low())} and {format_log10(radius.log10_high())}"


def _vanishing(spectrum: Spectrum, radius: Radius) -> str:
    slowest, fastest = (
        LOG10_2 / -log if log else math.inf for log in (radius.log10_high(), radius.log10_low())
    )
    largest = _leading(spectrum, radius)
    opening = f"W^n vanishes: every |λ| is under 1. The largest decides, {largest}: in the long run"
    if radius.error > PRINTED * radius.value:
        return f"{opening} the norm halves every {fastest:.2g} to {slowest:.2g} steps."
    halving = f" and the norm halves every {LOG10_2 / -radius.log10():.3g} steps" if radius.value else ""
    return f"{opening} a step multiplies by {format_log10(radius.log10())}{halving}."


def _exploding(spectrum: Spectrum, radius: Radius) -> str:
    below = int(np.count_nonzero(np.abs(spectrum.values) + spectrum.errors < radius.one()))
    rest = (
        f" {below} of the {len(spectrum.values)} eigenvalues are under 1 and vanish beside it."
        if below
        else ""
    )
    largest = _leading(spectrum, radius)
    opening = f"W^n explodes: one |λ| over 1 is enough. The largest decides, {largest}: in the long run"
    if radius.error > PRINTED * radius.value:
        fastest, slowest = LOG10_2 / radius.log10_high(), LOG10_2 / radius.log10_low()
        return f"{opening} the norm doubles every {fastest:.2g} to {slowest:.2g} steps.{rest}"
    return (
        f"{opening} a step multiplies the norm by {format_log10(radius.log10())} and it doubles every "
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
    values = spectrum.values[spectrum.defective & circle]
    # eigenvalues that differ have blocks of their own
    order = max(int(np.count_nonzero(values == value)) for value in values) - 1
    exact = not spectrum.errors[circle].any()
    if np.all(np.abs(spectrum.values - radius.one()) <= spectrum.errors):
        all_one = "All eigenvalues are 1" if exact else "To rounding all eigenvalues are 1"
        opening = f"{all_one}, and yet W is not the identity, for it is not diagonalizable"
    else:
        none = "No |λ| is over 1" if exact else "To rounding no |λ| is over 1"
        name = _named(complex(values[0]), spectrum, radius)
        opening = f"{none}, but {name} on the unit circle lacks eigenvectors"
    return f"{opening}: W^n grows like a power of n (at most n^{order}), though no eigenvalue says so."


def _nilpotent(spectrum: Spectrum, radius: Radius) -> str:  # noqa: ARG001 - one signature for all
    size = len(spectrum.values)
    return f"W is nilpotent: every eigenvalue is 0, and after at most {size} steps so is W^k."


def _undecided(spectrum: Spectrum, radius: Radius) -> str:  # noqa: ARG001 - one signature for all
    if radius.low == radius.high:
        return (
            f"What W^n does in the long run is left open: ρ is {format_log10(radius.log10())}, but whether "
            "eigenvectors are missing is not known."
        )
    return (
        f"Rounding leaves open what W^n does in the long run: ρ lies {_range(radius)}; whether it is "
        "over 1 is not known."
    )


SENTENCES = {
    "vanishing": _vanishing,
    "exploding": _exploding,
    "preserving": _preserving,
    "polynomial": _polynomial,
    "nilpotent": _nilpotent,
    "undecided": _undecided,
}
