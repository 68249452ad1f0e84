"""One line of a derivation: a formula, why it holds, and the check of the formula as it is printed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import NumericalError
from gradflow.notation.evaluate import Each, Symbols, evaluate
from gradflow.notation.formulas import find_relation, split_sides

Array = NDArray[Any]

ROUNDING = 1e-10  # largest relative difference of equal sides; terms of a single unit may cancel
FAR = 1e-9  # smallest relative difference of unequal sides
TINY = 1e-250  # smaller numbers count as 0, because a complex step loses them
TIED = 1e-9  # relative; entries this close count as equal on every machine


@dataclass(frozen=True)
class DerivationLine:
    """A formula in the notation of `gradflow.notation`. Both sides are evaluated as they are printed.

    Attributes
    ----------
    formula : str
        Two sides and a relation: = (equal to rounding), ≠ (far apart), ≤ or < (in every entry).
    reason : str
        Why the formula holds. Formulas in it are between $ signs.
    symbols : mapping
        Symbols of this line, in addition to those of its topic: see `evaluate`.
    checks : mapping
        For a line with ≠: a formula in other symbols that equals the ``left`` side, and one that equals the
        ``right`` side. They are not printed. Without them a wrong side would go unnoticed, because it is
        unequal to the other side too.
    tolerance : float, optional
        Largest relative difference of equal sides, or smallest one of unequal sides.
    """

    formula: str
    reason: str
    symbols: Symbols = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    tolerance: float | None = None


class VerifiedLine(NamedTuple):
    """The numbers of a line. If the sides are arrays, they are those of one entry, counted from 1."""

    relation: str
    entry: str | None
    left: float | complex
    right: float | complex
    difference: float  # largest difference over the largest entry; for ≤ and < the smallest gap
    tolerance: float


def verify_line(topic: str, number: int, line: DerivationLine, symbols: Symbols) -> VerifiedLine:
    """Evaluate both sides of a line, and return their numbers.

    Raises
    ------
    NumericalError
        If the line does not hold, or a side cannot be evaluated.

    Examples
    --------
    >>> square = DerivationLine("(−x)² = x²", "signs cancel")
    >>> verify_line("signs", 1, square, {"x": np.array(3.0)}).left
    9.0
    """
    name = f"{topic}, line {number}: {line.formula}"
    sign = find_relation(line.formula)
    # the symbols of the line come first, because the order of `Each` symbols is the order of axes
    every = {**line.symbols, **symbols, **line.symbols}
    axes = sum(np.ndim(value.values) for value in every.values() if isinstance(value, Each))

    def compare(sign: str, left: str, right: str, tolerance: float | None) -> VerifiedLine:
        values = [_drop_tiny(evaluate(side, every)) for side in (left, right)]
        sides = _align(values[0], values[1], axes)
        if not all(np.isfinite(side).all() for side in sides):
            raise NumericalError(
                f"{name}: a side leaves the range of a double; expected numbers nearer 1, or fewer steps"
            )
        return _compare_sides(sign, tolerance, *sides)

    left, right = split_sides(line.formula)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            found = compare(sign, left, right, line.tolerance)
            checks = {
                side: compare("=", {"left": left, "right": right}[side], formula, None)
                for side, formula in line.checks.items()
            }
    except ValueError as error:
        raise NumericalError(f"{name}: the formula cannot be evaluated: {error}") from None
    if not _holds(found):
        sense = "at least" if sign == "≠" else "at most"
        relation = "differ by" if sign in "=≠" else "are apart by"
        raise NumericalError(
            f"{name} does not hold: left {found.left:.6g}, right {found.right:.6g}{_place(found)} {relation} "
            f"{found.difference:.3g} relative; expected {sense} {found.tolerance:.3g}"
        )
    for side, check in checks.items():
        if not _holds(check):
            raise NumericalError(
                f"{name}: the {side} side is {check.left:.6g}{_place(check)}; expected {check.right:.6g}, "
                f"the value of {line.checks[side]}"
            )
    return found


def _align(left: Array, right: Array, axes: int) -> tuple[Array, Array]:
    """Return two sides as arrays of one shape; the first ``axes`` axes are those of indices.

    A number is repeated to the shape of an array. The gradient of a number by a matrix, of shape (1, m, n),
    becomes a matrix.
    """
    sides = [left, right]
    for k, (side, other) in enumerate([(left, right), (right, left)]):
        if side.ndim == axes < other.ndim:
            sides[k] = np.broadcast_to(side.reshape(side.shape + (1,) * (other.ndim - axes)), other.shape)
        elif side.ndim == axes + 3 == other.ndim + 1 and side.shape[axes] == 1:
            sides[k] = side[(slice(None),) * axes + (0,)]
    if sides[0].shape != sides[1].shape:
        raise ValueError(f"the left side has shape {sides[0].shape}, the right one {sides[1].shape}")
    return sides[0], sides[1]


def _place(found: VerifiedLine) -> str:
    return f" at {found.entry}" if found.entry else ""


def _drop_tiny(side: Array) -> Array:
    return np.where(np.abs(side) < TINY, 0.0, side)


def round_up_to_decade(tolerance: float) -> float:
    """Return a tolerance rounded up to a power of ten, at least `ROUNDING`.

    Examples
    --------
    >>> round_up_to_decade(2.8e-9), round_up_to_decade(0.0)
    (1e-08, 1e-10)
    """
    return float(f"1e{math.ceil(math.log10(max(tolerance, ROUNDING)) - TIED)}")


def _compare_sides(sign: str, tolerance: float | None, left: Array, right: Array) -> VerifiedLine:
    """Return how two sides compare, with the entry that breaks the relation, or else the largest entry."""
    scale = float(max(np.abs(left).max(), np.abs(right).max())) or 1.0
    if sign in "=≠":
        gaps = np.abs(left - right)
        difference = float(gaps.max()) / scale
        most = (FAR if sign == "≠" else ROUNDING) if tolerance is None else tolerance
        sizes = gaps if difference > most else np.abs(left)
        place = int(np.argmax(sizes >= sizes.max() * (1 - TIED)))
    else:
        place = int(np.argmin(right - left))
        difference = float((right - left).flat[place]) / scale
        most = (0.0 if sign == "<" else ROUNDING) if tolerance is None else tolerance
    entry = f"[{','.join(str(k + 1) for k in np.unravel_index(place, left.shape))}]" if left.ndim else None
    ends = _simplify_number(left.flat[place]), _simplify_number(right.flat[place])
    return VerifiedLine(sign, entry, *ends, difference, most)


def _holds(found: VerifiedLine) -> bool:
    """Return whether the relation holds."""
    if found.relation == "=":
        return found.difference <= found.tolerance
    if found.relation == "≤":
        return found.difference >= -found.tolerance
    return found.difference > found.tolerance


def _simplify_number(value: Any) -> float | complex:
    """Return a Python number, without a real or imaginary part that is only rounding of the other part."""
    number = complex(value) + 0.0  # no minus before a 0
    if abs(number.imag) <= ROUNDING * abs(number):
        return number.real
    return complex(0.0, number.imag) if abs(number.real) <= ROUNDING * abs(number) else number
