"""The one number that a cell's gradients live or die by, and the search for the one with which they live."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from scipy.optimize import brentq

from gradflow.analysis.credit import Credit
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import CellSpec
from gradflow.errors import UsageError

# log₁₀ of the norm at the horizon over that at lag 1 with which the search is content
ENOUGH = 0.25
STEPS_OF_SEARCH = 25
FARTHEST = 1e6  # decades that stand for a gradient that is exactly 0, or a state that overflows


class Knob(NamedTuple):
    """An option of a cell: where it starts, and how far it may go; ``doubled`` or else moved by steps."""

    name: str
    start: float
    low: float
    high: float
    doubled: bool


class Trial(NamedTuple):
    """A value, and what became of the gradient of the draw whose weights are written."""

    value: float
    credit: Credit


def knob_of(spec: CellSpec) -> Knob:
    """Return what is tuned: a gain, the bias of the gate that keeps the state, or how far chrono spreads it.

    Raises
    ------
    UsageError
        For init=identity with nothing to be tuned but a gain of 0.
    """
    options = spec.options
    if spec.kind is RNN or options.get("forget_gate") is False:
        return Knob("gain", _number(spec, "gain", 1.0), 1e-3, 1e3, doubled=True)
    if options.get("init") == "chrono":
        return Knob("horizon", _number(spec, "horizon", 100.0), 2.0, 1e9, doubled=True)
    name = "forget_bias" if spec.kind is LSTM else "update_bias"
    default = 1.0 if spec.kind is LSTM and options.get("init") == "keras" else 0.0
    return Knob(name, _number(spec, name, default), -40.0, 40.0, doubled=False)


def _number(spec: CellSpec, name: str, default: float) -> float:
    value = float(spec.options.get(name, default))
    if name == "gain" and value <= 0:
        raise UsageError(f"cell {spec.text!r}: gain {value:g} cannot be tuned; expected a number over 0")
    return value


def search(knob: Knob, measure: Callable[[float], Credit]) -> Iterator[Trial]:
    """Yield every value that is tried, from the start on: until the gradient is as large at the horizon.

    The ratio grows with the value, if not everywhere: from the start the value is moved up (or down) until
    the ratio crosses 1, and then the crossing is closed in on (Brent 1973, chapter 4).
    """
    tried = {knob.start: measure(knob.start)}

    def height(value: float) -> float:
        """Return decades of the ratio, far ones drawn in; 0 where it is close enough, which ends a search."""
        if value not in tried:
            tried[value] = measure(value)
        return 0.0 if close_enough(tried[value]) else math.asinh(decades_of(tried[value]))

    yield Trial(knob.start, tried[knob.start])
    before, value = knob.start, _moved(knob, knob.start, height(knob.start), 0)
    for step in range(1, STEPS_OF_SEARCH):
        if value == before or height(before) == 0:
            return
        first, last = height(before), height(value)
        yield Trial(value, tried[value])
        if first * last <= 0:
            break
        before, value = value, _moved(knob, value, last, step)
    known = len(tried)
    if first * last < 0:
        brentq(height, before, value, xtol=1e-9, maxiter=STEPS_OF_SEARCH, disp=False)
    yield from (Trial(value, credit) for value, credit in list(tried.items())[known:])


def decades_of(credit: Credit) -> float:
    """Return log₁₀ of the ratio, cut off far away; a state that overflows counts as too large."""
    if math.isnan(credit.log10_credit):
        return FARTHEST
    return min(max(credit.log10_credit, -FARTHEST), FARTHEST)


def close_enough(credit: Credit) -> bool:
    """Return whether the gradient is as large at the horizon as the search wants it."""
    return abs(decades_of(credit)) <= ENOUGH


def best(trials: list[Trial]) -> Trial:
    """Return the trial whose ratio is nearest to 1, the first of those that are close enough."""
    return min(trials, key=lambda trial: max(abs(decades_of(trial.credit)), ENOUGH))


def _moved(knob: Knob, value: float, height: float, step: int) -> float:
    """Return the next value outwards, within the knob's ends."""
    sign = -1 if height > 0 else 1
    moved = value * 2.0**sign if knob.doubled else value + sign * 2.0**step
    return min(max(moved, knob.low), knob.high)
