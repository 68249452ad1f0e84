"""What the powers of a matrix do in the long run, and the sentence a teacher would say about it."""

import math

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.power.growth import Growth
from gradflow.linalg.enclosure import connected_components
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.scaled import LOG10_2
from gradflow.linalg.spectral_radius import Radius
from gradflow.linalg.spectrum import Spectrum
from gradflow.printable import format_log10, format_pace, format_steps

# How much of ρ may be open, relative to 1, where W is said to have |λ| = 1 to rounding: of a matrix with good
# eigenvectors some 1e-13 is.
MAX_CIRCLE_DISTANCE = 1e-10
MAX_GOOD_CONDITION = 1e4  # of Q; next to a defective matrix it is the root of 1/eps and more
MAX_HIDDEN_DISTANCE = 1e-3  # a distance from 1 that six digits would hide
MAX_PRINTED_ERROR = 1e-6  # the relative error of ρ up to which its six printed digits are right


def classify(spectrum: Spectrum, radius: Radius) -> str:
    """Return the regime, one of `gradflow.analysis.REGIMES`, as the bounds of ρ prove it.

    Both bounds of ρ over 1, or both under it, decide. Powers grow like a power of n where ρ is 1 exactly and
    an eigenvalue on the unit circle, known exactly, lacks eigenvectors. W preserves where ρ is 1, exactly or
    to rounding, and none of them does.
    """
    if not spectrum.values.any() and not spectrum.errors.any():
        return "nilpotent"
    one = radius.one_in_units()
    if radius.low > one:
        return "exploding"
    if radius.high < one:
        return "vanishing"
    circle = on_circle(spectrum, radius)
    if spectrum.defective[circle].any():
        proved = radius.low == radius.high and _are_proved_to_grow(spectrum, radius).any()
        return "polynomial" if proved else "undecided"
    sound = spectrum.diagonalizable or spectrum.semisimple[circle].all() or _has_good_basis(spectrum)
    return "preserving" if sound and radius.error <= MAX_CIRCLE_DISTANCE * one else "undecided"


def _are_proved_to_grow(spectrum: Spectrum, radius: Radius) -> NDArray[np.bool_]:
    """Return which eigenvalues are exactly of modulus 1 and exactly known to lack eigenvectors."""
    unit = np.abs(spectrum.values) == radius.one_in_units()
    return np.asarray(spectrum.defective & (spectrum.errors == 0.0) & unit)


def _has_good_basis(spectrum: Spectrum) -> bool:
    """Return whether W is, to rounding, QΛQ⁻¹ with a Q that is far from singular."""
    if spectrum.vectors is None or spectrum.perturbation > MAX_CIRCLE_DISTANCE:
        return False
    return bool(np.linalg.cond(spectrum.vectors) < MAX_GOOD_CONDITION)


def on_circle(spectrum: Spectrum, radius: Radius) -> NDArray[np.bool_]:
    """Return which eigenvalues may share the largest modulus."""
    # The modulus of an exact eigenvalue is rounded too, unless one of its parts is 0.
    is_exact = (spectrum.errors == 0.0) & ((spectrum.values.real == 0.0) | (spectrum.values.imag == 0.0))
    low = radius.low * np.where(is_exact, 1.0, 1.0 - 4.0 * DOUBLE_EPS)
    return np.asarray(np.abs(spectrum.values) + spectrum.errors >= low)


def conclusion(regime: str, spectrum: Spectrum, radius: Radius, growth: Growth, power: str) -> str:
    """Return what happens as n grows and which eigenvalue decides it, then ``power``, Wⁿ, if it is given."""
    endless = regime in ("exploding", "polynomial")
    entries = f" W^{growth.steps} = {power}." if power else ""
    return f"{REGIME_SENTENCES[regime](spectrum, radius)} {growth.sentence(endless)}{entries}"


def _leading(spectrum: Spectrum, radius: Radius) -> str:
    """Name the deciding eigenvalue: as it is, as a conjugate pair, or by its modulus if far out of range."""
    if radius.exponent or radius.error > MAX_PRINTED_ERROR * radius.value:
        return f"|λ₁| = {_modulus(radius)}"
    # Values whose moduli agree to twelve digits stand in the order of their angles.
    return _name_eigenvalue(
        complex(spectrum.values[np.argmax(on_circle(spectrum, radius))]), spectrum, radius
    )


def _name_eigenvalue(value: complex, spectrum: Spectrum, radius: Radius) -> str:
    """Name an eigenvalue with its rank by modulus."""
    place = int(np.argmax(spectrum.values == value))
    name = "λ" + "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(place + 1))
    if radius.exponent:
        return f"|{name}| = {_modulus(radius)}"
    paired = np.any(np.abs(spectrum.values - value.conjugate()) <= 1e-12 * abs(value))
    if abs(value.imag) <= spectrum.errors[place]:
        return f"{name} = {_format_near_one(value.real, float(spectrum.errors[place]))}"
    sign = "±" if paired else "-" if value.imag < 0 else "+"
    return f"{name} = {value.real:.6g} {sign} {abs(value.imag):.6g}i"


def _format_near_one(value: float, error: float) -> str:
    """Return a number in six digits; one that they would show as ±1 by its distance from it, if known."""
    text, away = f"{value:.6g}", abs(value) - 1.0
    if text not in ("1", "-1") or abs(away) <= error:
        return text
    return f"{text} {'-' if (away < 0) == (value > 0) else '+'} {abs(away):.1e}"


def _multiplier(radius: Radius) -> str:
    """Return ρ as the number that a step multiplies by."""
    return format_log10(radius.log10()) if radius.exponent else _format_near_one(radius.value, radius.error)


def _modulus(radius: Radius) -> str:
    """Return ρ in as many digits as it has, else with the bounds that it lies between."""
    if radius.error <= MAX_PRINTED_ERROR * radius.value:
        return _multiplier(radius)
    return f"{format_log10(radius.log10())} ({_range(radius)})"


def _range(radius: Radius) -> str:
    """Return the bounds of ρ in words, those next to 1 by their distance from it."""
    low, high = (
        (bound - radius.one_in_units()) / radius.one_in_units() for bound in (radius.low, radius.high)
    )
    if max(abs(low), abs(high)) < MAX_HIDDEN_DISTANCE:
        ends = (f"1 {'-' if end < 0 else '+'} {abs(end):.1e}" if end else "1" for end in (low, high))
        return "between " + " and ".join(ends)
    return f"between {format_log10(radius.log10_low())} and {format_log10(radius.log10_high())}"


def _paces(fastest: float, slowest: float) -> str:
    """Return in how many steps something halves or doubles, between two bounds, or 0 for an unknown one."""
    if not fastest:
        return f"at least {format_pace(slowest)}"
    low, high = float(f"{fastest:.2g}"), float(f"{slowest:.2g}")
    return format_pace(low) if low == high else f"every {low:.6g} to {high:.6g} steps"


def _vanishing(spectrum: Spectrum, radius: Radius) -> str:
    slowest, fastest = (
        LOG10_2 / -log if log else math.inf for log in (radius.log10_high(), radius.log10_low())
    )
    largest = _leading(spectrum, radius)
    opening = f"W^n vanishes: every |λ| is under 1. The largest decides, {largest}: in the long run"
    if radius.error > MAX_PRINTED_ERROR * radius.value:
        return f"{opening} the norm halves {_paces(fastest, slowest)}."
    halving = f" and the norm halves {format_pace(LOG10_2 / -radius.log10())}" if radius.value else ""
    return f"{opening} a step multiplies by {_multiplier(radius)}{halving}."


def _exploding(spectrum: Spectrum, radius: Radius) -> str:
    below = int(np.count_nonzero(np.abs(spectrum.values) + spectrum.errors < radius.one_in_units()))
    verbs = "is under 1 and vanishes" if below == 1 else "are under 1 and vanish"
    rest = f" {below} of the {len(spectrum.values)} eigenvalues {verbs} beside it." if below else ""
    largest = _leading(spectrum, radius)
    opening = f"W^n explodes: one |λ| over 1 is enough. The largest decides, {largest}: in the long run"
    if radius.error > MAX_PRINTED_ERROR * radius.value:
        fastest, slowest = LOG10_2 / radius.log10_high(), LOG10_2 / radius.log10_low()
        return f"{opening} the norm doubles {_paces(fastest, slowest)}.{rest}"
    return (
        f"{opening} a step multiplies the norm by {_multiplier(radius)} and it doubles "
        f"{format_pace(LOG10_2 / radius.log10())}.{rest}"
    )


def _preserving(spectrum: Spectrum, radius: Radius) -> str:
    circle = on_circle(spectrum, radius)
    if np.all(spectrum.values == radius.one_in_units()) and not spectrum.errors.any():
        return "W^n stays: every eigenvalue is 1 and W is diagonalizable, so W is the identity and so is W^n."
    rounded = "" if radius.low == radius.high else " to rounding"
    open_radius = "" if radius.low == radius.high else f" ρ lies {_range(radius)}."
    if circle.all():
        exact = not spectrum.errors.any() and np.all(np.abs(spectrum.values) == radius.one_in_units())
        every = "Every |λ| is 1" if exact else "To rounding every |λ| is 1"
        basis = ", and W is diagonalizable" if spectrum.diagonalizable else ""
        return f"{every}{basis}: W^n neither vanishes nor explodes.{open_radius}"
    below = int(np.count_nonzero(~circle))
    rest = "one eigenvalue" if below == 1 else f"{below} eigenvalues"
    return (
        f"W^n neither vanishes nor explodes: {_leading(spectrum, radius)} has |λ| = 1{rounded} and "
        f"decides; the part of the {rest} with |λ| under 1 dies out.{open_radius}"
    )


def _polynomial(spectrum: Spectrum, radius: Radius) -> str:
    values = spectrum.values[_are_proved_to_grow(spectrum, radius)]
    if np.all(spectrum.values == radius.one_in_units()):
        opening = "All eigenvalues are 1, but W is not diagonalizable"
    else:
        name = _name_eigenvalue(complex(values[0]), spectrum, radius)
        opening = f"No |λ| is over 1, but {name} on the unit circle lacks eigenvectors"
    order = _highest_order(spectrum, on_circle(spectrum, radius))
    return f"{opening}: W^n grows like a power of n (at most n^{order}). Eigenvalues alone do not show it."


def _highest_order(spectrum: Spectrum, circle: NDArray[np.bool_]) -> int:
    """Return a power of n that ‖Wⁿ‖/ρⁿ does not outgrow: a Jordan block is as large as its discs are many."""
    doubtful = circle & ~spectrum.semisimple
    values, errors = spectrum.values[doubtful], spectrum.errors[doubtful]
    touching = np.abs(values[:, None] - values) <= errors[:, None] + errors
    label = connected_components(touching)
    return int(np.bincount(label).max()) - 1


def _nilpotent(spectrum: Spectrum, radius: Radius) -> str:  # noqa: ARG001 - one signature for all
    size = len(spectrum.values)
    return f"W is nilpotent: every eigenvalue is 0, so W^k is 0 after at most {format_steps(size)}."


def _undecided(spectrum: Spectrum, radius: Radius) -> str:
    if radius.low == radius.high:
        return (
            f"The long run of W^n is undecided: ρ is {format_log10(radius.log10())}, but it is not known "
            "whether eigenvectors are missing."
        )
    return (
        f"Rounding leaves the long run of W^n undecided: ρ lies {_range(radius)}, so it is not known "
        f"whether it is over 1.{_nearby(spectrum, radius)}"
    )


def _nearby(spectrum: Spectrum, radius: Radius) -> str:
    """Return what is known of a matrix within rounding of W whose leading eigenvalue lacks eigenvectors."""
    lacking = spectrum.values[spectrum.defective & on_circle(spectrum, radius) & (spectrum.errors > 0.0)]
    if not len(lacking):
        return ""
    name = _name_eigenvalue(complex(lacking[0]), spectrum, radius)
    return (
        f" In a matrix within rounding of W, {name} lacks eigenvectors: its powers have a factor that grows "
        "like a power of n."
    )


REGIME_SENTENCES = {
    "vanishing": _vanishing,
    "exploding": _exploding,
    "preserving": _preserving,
    "polynomial": _polynomial,
    "nilpotent": _nilpotent,
    "undecided": _undecided,
}
