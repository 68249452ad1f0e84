"""The norms of all powers up to Wⁿ between certified bounds, in agreement with the spectral radius."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.shared.progress import ProgressCounter
from gradflow.errors import NumericalError
from gradflow.linalg.exact_rank import is_zero_power
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.grading import regrade
from gradflow.linalg.norms import frobenius_norm
from gradflow.linalg.power_bounds import ModalBound, NormBounds, SchurBound, bound_norms
from gradflow.linalg.powers import TrackedPower, successive_powers, table_steps
from gradflow.linalg.scaled import LOG10_2, Scaled, ScaledNumber, number, shift_exponents
from gradflow.linalg.small_powers import MAX_ENCLOSED_ROWS, EnclosedEntry, enclose_power, round_power
from gradflow.linalg.spectral_radius import Radius
from gradflow.linalg.spectrum import Spectrum
from gradflow.printable import format_log10

# Decades between the bounds of a norm up to which it is given, and what the logarithm of a huge one has
# besides.
MAX_BOUND_WIDTH, RELATIVE_BOUND_WIDTH = 1.0, 1e-12
MAX_CERTAIN_LOG2_ERROR = (
    -30.0
)  # log₂ of the relative error of a power up to which the powers of |W| need not tell it better
MAX_BOUND_CONDITION = 1e12  # κ(Q) past which its computed value is no bound
MAX_CONTRADICTION = 1e-9  # decades a step by which two bounds of ρ may be apart the wrong way round
MAX_ENTRY_EXPONENT = 480  # of an entry, so that squares stay in range
ROUNDED_UP_FACTOR = 1.0 + 1e-13  # a sum of squares that is to be a bound
MIN_WIDE_BITS = 1000  # bits between the entries of a matrix, from which not all of them fit in near 1


class PowerNorms(NamedTuple):
    """Steps 0 … n, the bounds of their norms, Wⁿ itself, and the first step whose power is exactly 0."""

    steps: list[int]
    norms: list[ScaledNumber]  # as computed
    bounds: NormBounds
    last: Scaled
    zero_from: int | None
    entries: list[list[EnclosedEntry]] | None  # of Wⁿ, where W is small

    @property
    def log10_growth(self) -> float:
        """log₁₀ of a lower bound of the largest norm."""
        return float(self.bounds.low.max())

    @property
    def relative_error(self) -> float | None:
        """How far rounding may have moved Wⁿ, relative to it; None where that is as much as itself."""
        if self.bounds.computed[-1] == -math.inf:
            return 0.0
        log10 = float(self.bounds.moved[-1]) - float(self.bounds.computed[-1])
        return 10.0**log10 if log10 < 0.0 else None


class ComputedPowers(NamedTuple):
    """The powers of W at the listed steps without their matrices, Wⁿ, and its entries if W is small."""

    steps: list[int]
    rows: list[TrackedPower]
    last: Scaled
    entries: list[list[EnclosedEntry]] | None


def compute_powers(
    square: NDArray[Any], graded: Scaled, steps: int, counter: ProgressCounter
) -> ComputedPowers:
    """Return the powers of W up to ``steps``, those of `table_steps`.

    Parameters
    ----------
    square : array (n, n)
        W as it was given.
    graded : Scaled
        The same, with rows and columns graded.
    steps : int
    counter : ProgressCounter
        Counts the powers as they are computed.
    """
    listed = table_steps(steps)
    rows: list[TrackedPower] = []
    counter.begin(len(listed))
    for power in successive_powers(graded, listed):
        last = power.value
        rows.append(power._replace(value=Scaled(np.empty((0, 0)))))  # a row needs no matrix
        counter.add_one()
    entries = None
    if len(square) <= MAX_ENCLOSED_ROWS:
        entries = enclose_power(square, steps)
        rows[-1] = round_power(entries, square.dtype)
        last = rows[-1].value
    return ComputedPowers(listed, rows, last, entries)


def bound_power_norms(
    powers: ComputedPowers, square: NDArray[Any], graded: Scaled, eigen: Spectrum, radius: Radius
) -> PowerNorms:
    """Return the norms of the powers of W, each between bounds that hold.

    Parameters
    ----------
    powers : ComputedPowers
    square, graded : array (n, n), Scaled
        W, as for `compute_powers`.
    eigen, radius : Spectrum, Radius
        Of ``graded``.
    """
    listed, rows = powers.steps, powers.rows
    norms = np.array([row.log2_norm for row in rows])
    errors = np.array([row.log2_error for row in rows])
    underflows = np.array([row.log2_underflow for row in rows])
    bounds = bound_norms(
        listed,
        norms,
        errors,
        underflows,
        _majorants(graded, listed, norms, errors),
        len(square),
        _modal_bound(eigen, graded),
        _schur_bound(square, eigen, radius),
        radius.log10_low(),
    )
    zero = _first_zero(square, eigen, listed, norms)
    for k, step in enumerate(listed):
        if zero is not None and step >= zero:
            for array in bounds:
                array[k] = -np.inf
        elif _is_known(*(float(array[k]) for array in bounds[:3])):
            bounds.computed[k] = rows[k].norm.log10()
        else:
            bounds.computed[k] = np.nan
    return PowerNorms(listed, [row.norm for row in rows], bounds, powers.last, zero, powers.entries)


def agree_on_radius(norms: PowerNorms, radius: Radius) -> tuple[Radius, tuple[str, ...]]:
    """Return ρ with the upper bounds ‖Wᵏ‖^(1/k) of all powers taken in, and a note where they contradict it.

    The bounds of both are proved, so they cannot contradict each other unless a certificate fails: then only
    the powers count, and nothing that rests on an eigenvalue decides.
    """
    known = [
        float(high) / step
        for step, high in zip(norms.steps, norms.bounds.high, strict=True)
        if step and high > -np.inf
    ]
    if not known:
        return radius, ()
    high = min(known)
    contradicted = high < radius.log10_low() - MAX_CONTRADICTION
    log10_unit = high - radius.exponent * LOG10_2
    rounded_up = 1.0 + 16 * DOUBLE_EPS * (1.0 + abs(high) + abs(radius.exponent))
    unit = 10.0 ** min(log10_unit, 300.0) * rounded_up
    if contradicted:
        low, high = 0.0, unit
        note = (
            f"The eigenvalues say that ρ is at least {format_log10(radius.log10_low())}, the norms of the "
            f"powers that it is at most {format_log10(min(known))}: only the powers are used. Please "
            "report the matrix."
        )
        return Radius(unit, low, high, radius.exponent), (note,)
    high = max(min(radius.high, unit), radius.low)
    return Radius(min(radius.value, high), radius.low, high, radius.exponent), ()


def describe_unknown_norms(norms: PowerNorms) -> Iterator[str]:
    """Yield what is left open: norms of which no digit is known."""
    places = np.flatnonzero(np.isnan(norms.bounds.computed))
    if not len(places):
        return
    first, last = int(places[0]), int(places[-1])
    low, high = float(norms.bounds.low[first]), float(norms.bounds.high[first])
    least = "0" if low == -math.inf else format_log10(low)
    step = norms.steps[first]
    between = f"it lies between {least} and {format_log10(high)}"
    if first == last:
        yield f"At step {step} rounding leaves no digit of ‖W^k‖: {between}."
        return
    whole = last - first + 1 == len(places)
    if whole and last == len(norms.steps) - 1:
        where = f"From step {step} on"
    else:
        some = "all" if whole else f"{len(places)} of the {last - first + 1}"
        where = f"At {some} steps listed from {step} to {norms.steps[last]}"
    yield (
        f"{where} rounding leaves no digit of ‖W^k‖: {between} at step {step}, and between log10_norm_low "
        "and log10_norm_high at the others."
    )


def grade(square: NDArray[Any]) -> Scaled:
    """Return W with rows and columns graded where its entries differ by more than products can hold.

    Raises
    ------
    NumericalError
        Where no grading brings all entries into the range of a double at once.
    """
    matrix = regrade(Scaled(square))
    exponents = np.frexp(np.abs(matrix.array[matrix.array != 0]))[1]
    if exponents.size and exponents.max() - exponents.min() > MIN_WIDE_BITS:
        shift = int(exponents.max()) - MAX_ENTRY_EXPONENT
        kept = shift_exponents(matrix.array, -shift)
        if np.count_nonzero(kept) < np.count_nonzero(matrix.array):
            raise NumericalError(
                f"entries from 2^{exponents.min()} to 2^{exponents.max()}: no product holds both; expected "
                "them within a factor of 2^1500 of each other"
            )
        return Scaled(kept, matrix.exponent + shift, matrix.grading)
    return Scaled.of(matrix.array, matrix.exponent, matrix.grading)


def _majorants(
    graded: Scaled, listed: list[int], norms: NDArray[np.float64], errors: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return log₂ ‖|W|ᵏ‖ where the powers' own errors say too little; None where they say enough."""
    if not np.any(errors > norms + MAX_CERTAIN_LOG2_ERROR):
        return None
    if np.isrealobj(graded.array) and (graded.array >= 0).all():
        return norms
    majorant = Scaled(np.abs(graded.array), graded.exponent, graded.grading)
    powers = successive_powers(majorant, listed)
    return np.array([np.logaddexp2(power.log2_norm, power.log2_underflow) for power in powers])


def _modal_bound(eigen: Spectrum, graded: Scaled) -> ModalBound | None:
    """Return κ(Q) and a bound of |Λ|, where Q is known to be a basis."""
    if eigen.vectors is None or not math.isfinite(eigen.perturbation) or graded.grading is not None:
        return None
    condition = eigen.vector_condition
    condition *= (
        1.0 + 10 * len(eigen.values) * DOUBLE_EPS * condition
    )  # how far its computed value may be off
    largest = eigen.radius + eigen.perturbation
    if not condition < MAX_BOUND_CONDITION or not largest:
        return None
    return ModalBound(math.log10(condition), math.log10(largest) + graded.exponent * LOG10_2)


def _schur_bound(square: NDArray[Any], eigen: Spectrum, radius: Radius) -> SchurBound:
    """Return ρ and the departure from normality, both from above."""
    whole = Scaled.of(square)
    if len(eigen.blocks) == len(square):  # triangular in some order: its own Schur form
        departure = frobenius_norm(whole.array - np.diag(np.diag(whole.array))) * ROUNDED_UP_FACTOR
    else:
        unit = radius.exponent - whole.exponent
        moduli = shift_exponents(np.maximum(np.abs(eigen.values) - eigen.errors, 0.0), unit)
        total = (frobenius_norm(whole.array) * ROUNDED_UP_FACTOR) ** 2
        departure = math.sqrt(max(total - float(np.sum(moduli**2)) * (2.0 - ROUNDED_UP_FACTOR), 0.0))
    log10 = number(departure, whole.exponent).log10()
    return SchurBound(radius.log10_high(), log10, len(square))


def _first_zero(
    square: NDArray[Any], eigen: Spectrum, listed: list[int], norms: NDArray[np.float64]
) -> int | None:
    """Return the first listed step whose power is exactly 0, as proved without rounding."""
    nilpotent = not eigen.values.any() and not eigen.errors.any()
    candidates = (
        listed if nilpotent else [step for step, norm in zip(listed, norms, strict=True) if norm == -np.inf]
    )
    low, high = 0, len(candidates)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_zero_power(square, candidates[middle]) else (middle + 1, high)
    return candidates[low] if low < len(candidates) else None


def _is_known(computed: float, low: float, high: float) -> bool:
    """Return whether a norm has a digit: its bounds are near each other, and it lies between them."""
    width = MAX_BOUND_WIDTH + RELATIVE_BOUND_WIDTH * abs(computed)
    return math.isfinite(computed) and high - low <= width and low - width <= computed <= high + width
