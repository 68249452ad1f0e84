"""One line of a derivation: a formula, why it holds, and what computes each of its sides by itself."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradflow.errors import NumericalError
from gradflow.notation.evaluate import Symbols, evaluate
from gradflow.notation.formulas import halves, relation

Array = NDArray[Any]
Side = Array | np.number[Any] | float
Case = TypeVar("Case")

ROUNDING = 1e-10  # relative, up to which two sides are equal: of one unit, terms may cancel
FAR = 1e-9  # relative, from which on they are not
TINY = 1e-250  # counts as 0: a step of the derivation's own may be lost beside it
TIED = 1e-9  # relative, within which entries are equally large, so that the same one is shown everywhere


@dataclass(frozen=True)
class Line(Generic[Case]):
    """A formula in the notation of `gradflow.notation`, and the case's numbers for both of its sides.

    Attributes
    ----------
    formula : str
        With one relation: = (the sides agree to rounding), ≠ (they are far apart), ≤ or < (in every entry).
    reason : str
        Formulas in it stand between $ signs.
    sides : callable
        Left and right of one case, neither computed from the other: arrays of one shape, or a number.
    tolerance : float, optional
        Relative: the most that equal sides may differ, the least that others must.
    at : mapping, or callable, optional
        What indices, or other letters, stand for where the formula is evaluated: see `evaluate`.
    """

    formula: str
    reason: str
    sides: Callable[[Case], tuple[Side, Side]]
    tolerance: float | None = None
    at: Callable[[Case], Mapping[str, ArrayLike]] | Mapping[str, ArrayLike] | None = None


@dataclass(frozen=True)
class Topic(Generic[Case]):
    """What is asked, the lines that lead to it, the answer, and where the sheet has a slip.

    ``symbols`` are what formulas are made of, computed from the case: see `evaluate`.
    """

    exercise: str
    title: str
    statement: str
    case: Case
    lines: tuple[Line[Case], ...]
    answer: str
    slip: str | None = None
    symbols: Callable[[Case], Symbols] | None = None


class Verified(NamedTuple):
    """The numbers of a line: of arrays, those of one entry, counted from 1."""

    relation: str
    entry: str | None
    left: float | complex
    right: float | complex
    difference: float  # the largest over all entries, relative to the largest entry; of ≤ and < the least gap
    tolerance: float


def verified(
    topic: str, number: int, line: Line[Case], case: Case, symbols: Symbols | None = None
) -> Verified:
    """Return the numbers of both sides of a line, which are those of its formula where symbols are given.

    Raises
    ------
    NumericalError
        Where the line does not hold, or its formula says something else than its numbers.

    Examples
    --------
    >>> square = Line("(−x)² = x²", "signs cancel", lambda x: ((-x) * (-x), x * x))
    >>> verified("signs", 1, square, 3.0).left
    9.0
    """
    with np.errstate(over="ignore", invalid="ignore"):
        left, right = (_without_tiny(np.asarray(side)) for side in line.sides(case))
    named = f"{topic}, line {number}: {line.formula}"
    if left.shape != right.shape and left.ndim and right.ndim:
        raise NumericalError(f"{named}: the left side has shape {left.shape}, the right one {right.shape}")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise NumericalError(
            f"{named}: a side leaves the range of a double; expected numbers nearer 1, or fewer steps"
        )
    found = _compared(relation(line.formula), line.tolerance, *np.broadcast_arrays(left, right))
    if not _holds(found):
        sense = "at least" if found.relation == "≠" else "at most"
        told = {"=": "differ by", "≠": "differ by"}.get(found.relation, "are apart by")
        raise NumericalError(
            f"{named} does not hold: left {found.left:.6g}, right {found.right:.6g}"
            f"{f' at {found.entry}' if found.entry else ''} {told} {found.difference:.3g} relative; "
            f"expected {sense} {found.tolerance:.3g}"
        )
    most = line.tolerance if found.relation == "=" else None
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            both = printed(line, case, symbols)
    except ValueError as error:
        raise NumericalError(f"{named}: the formula has {error}") from None
    for which, says, value in zip(("left", "right"), both, (left, right), strict=True):
        if says is not None:
            _same(f"{named}: the formula's {which} side", _without_tiny(says), value, most)
    return found


def printed(line: Line[Case], case: Case, symbols: Symbols | None) -> tuple[Array | None, Array | None]:
    """Return the value of either side of the formula as it is printed, or None.

    None it is where a word of it has no symbol, and of an inequality, which may be about many values at once.
    Shapes that do not fit are a ValueError.
    """
    if not symbols or relation(line.formula) not in "=≠":
        return None, None
    at = line.at(case) if callable(line.at) else line.at
    left, right = (evaluate(half, symbols, at) for half in halves(line.formula))
    return left, right


def _same(named: str, told: Array, value: Array, tolerance: float | None) -> None:
    """Raise a NumericalError unless a formula's side is the number that was computed for it."""
    if told.ndim > value.ndim > 0 and [*filter(_above_1, told.shape)] == [*filter(_above_1, value.shape)]:
        told = told.reshape(value.shape)  # a gradient is a row
    if told.ndim and value.ndim and told.shape != value.shape:
        raise NumericalError(f"{named} has shape {told.shape}, its numbers {value.shape}")
    found = _compared("=", tolerance, *np.broadcast_arrays(told, value))
    if not _holds(found):
        raise NumericalError(
            f"{named} says {found.left:.6g}, its numbers {found.right:.6g}"
            f"{f' at {found.entry}' if found.entry else ''}"
        )


def _without_tiny(side: Array) -> Array:
    return np.where(np.abs(side) < TINY, 0.0, side)


def _above_1(size: int) -> bool:
    return size > 1


def decade(tolerance: float) -> float:
    """Return the power of ten that a tolerance is rounded up to, the least being that of rounding.

    Examples
    --------
    >>> decade(2.8e-9), decade(0.0)
    (1e-08, 1e-10)
    """
    return float(f"1e{math.ceil(math.log10(max(tolerance, ROUNDING)) - TIED)}")


def _compared(sign: str, tolerance: float | None, left: Array, right: Array) -> Verified:
    """Return how two sides compare, and one entry of both: where they are too far apart, or the largest."""
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
    ends = _shown(left.flat[place]), _shown(right.flat[place])
    return Verified(sign, entry, *ends, difference, most)


def _holds(found: Verified) -> bool:
    """Return whether the sides stand to each other as the relation says; a gap under 0 is none."""
    if found.relation == "=":
        return found.difference <= found.tolerance
    if found.relation == "≤":
        return found.difference >= -found.tolerance
    return found.difference > found.tolerance


def _shown(value: Any) -> float | complex:
    """Return a number as Python's own, without a part that is but rounding of the other."""
    number = complex(value) + 0.0  # no minus before a 0
    if abs(number.imag) <= ROUNDING * abs(number):
        return number.real
    return complex(0.0, number.imag) if abs(number.real) <= ROUNDING * abs(number) else number
