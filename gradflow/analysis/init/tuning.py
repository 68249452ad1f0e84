"""The one number that a cell's gradients live or die by, and the search for the one with which they live."""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from scipy.optimize import brentq

from gradflow.analysis.shared.credit import Credit
from gradflow.analysis.shared.verdicts import ARRIVAL_DECADES
from gradflow.cells.knob import Knob as Knob
from gradflow.cells.spec import CellSpec, list_cell_options
from gradflow.errors import UsageError

# log₁₀ of the norm at the horizon over that at lag 1 with which the search is content
ENOUGH_DECADES = 0.25
MAX_OUTWARD_STEPS, MAX_CROSSING_STEPS, MAX_REFINING_STEPS, MAX_GAP_STEPS = (
    60,
    20,
    4,
    12,
)  # steps that are taken at most, of each kind
MAX_NEARER_STEPS = 4
MAX_STEPS_BEYOND = 6  # values that are tried past a crossing at which some sequences are not as large
# Decades within which the few sequences of a search have to stay, so that others stay within twice as many.
SAFE_DECADES = ARRIVAL_DECADES / 2
MAX_PATIENT_TRIALS = 36  # trials after which no other way of searching is begun
MISS_OF_ZERO_DECADES = 1e6  # decades that stand for a gradient that is exactly 0, or a state that overflows


Height = Callable[[float], float]


class TuningTrial(NamedTuple):
    """A value, and what became of the gradients of the weights that are written, over sequences of inputs."""

    value: float
    credit: Credit


def knob_of(spec: CellSpec) -> Knob:
    """Return the option that is tuned, which the cell itself chooses.

    Raises
    ------
    UsageError
        If the cell has no such option, or for a gain that is not over 0.
    """
    knob = spec.kind.choose_knob(spec.options)
    if knob.name not in list_cell_options(spec.kind):
        raise UsageError(
            f"cell {spec.text!r}: init has nothing to tune; it needs the bias of a gate or a gain "
            "among the options of the cell"
        )
    if knob.name == "gain" and knob.start <= 0:
        raise UsageError(f"cell {spec.text!r}: gain {knob.start:g} cannot be tuned; expected a number over 0")
    return knob


def search(knob: Knob, measure: Callable[[float], Credit]) -> Iterator[TuningTrial]:
    """Yield every value that is tried, from the start on: until the gradient is as large at the horizon.

    What counts is the median ratio over the sequences that were measured; the search goes on while there is
    one along which the gradient is far from it. The ratio grows with the value, if not everywhere: from the
    start the value is moved up (or down) until the ratio crosses 1, and the crossing is closed in on (Brent
    1973, chapter 4). Where sequences differ there, values beyond are tried. Where it never crosses, or jumps,
    values are tried ever nearer to the best, then in the widest gaps, then near the best again.
    """
    tried: dict[float, Credit] = {}

    def height(value: float) -> float:
        """Return decades of the ratio, far ones drawn in; 0 where it is close enough, which ends a search."""
        if value not in tried:
            tried[value] = measure(value)
        return 0.0 if close_enough(tried[value]) else math.asinh(decades_of(tried[value]))

    for phase in (_outwards, _beyond, _otherwise, _search_between, _apart, _search_between):
        for value in phase(knob, height, tried):
            yield TuningTrial(value, tried[value])
        if any(map(close_enough, tried.values())) or len(tried) > MAX_PATIENT_TRIALS:
            return


def _outwards(knob: Knob, height: Height, tried: Mapping[float, Credit]) -> Iterator[float]:
    """Yield values from the start on outwards until the ratio crosses 1, and then those nearer to that."""
    begun = height(knob.start)
    yield knob.start
    if begun != 0:
        yield from _walk(knob, height, tried, -1 if begun > 0 else 1)


def _beyond(knob: Knob, height: Height, tried: Mapping[float, Credit]) -> Iterator[float]:
    """Yield values past the largest where the ratio crosses 1 and sequences differ all the same.

    A gate that is open far enough keeps a gradient along any inputs.
    """
    if not any(abs(decades_of(credit)) <= ENOUGH_DECADES for credit in tried.values()):
        return
    value = max(tried)
    for step in range(MAX_STEPS_BEYOND):
        before, value = value, _move_knob(knob, value, 1, step)
        if value == before:
            return
        found = height(value)
        yield value
        if found == 0:
            yield from _nearer(knob, height, before, value)
            return


def _otherwise(knob: Knob, height: Height, tried: Mapping[float, Credit]) -> Iterator[float]:
    """Yield values the other way, unless all are alike: weights that saturate a cell are too large."""
    if len(tried) == 1 or len(set(map(height, tried))) > 1:
        yield from _walk(knob, height, tried, 1 if height(knob.start) > 0 else -1)


def _walk(knob: Knob, height: Height, tried: Mapping[float, Credit], sign: int) -> Iterator[float]:
    """Yield values one way from the start until the ratio crosses 1, stays as it is or the knob ends."""
    value, last = knob.start, height(knob.start)
    for step in range(MAX_OUTWARD_STEPS):
        before, first = value, last
        value = _move_knob(knob, before, sign, step)
        if value == before:
            return
        last = height(value)
        yield value
        if last == 0:
            yield from _nearer(knob, height, before, value)
        if first * last <= 0:
            yield from _crossing(height, tried, before, value)
            return


def _nearer(knob: Knob, height: Height, outside: float, inside: float) -> Iterator[float]:
    """Yield values that halve the way from one that is not close enough to one that is."""
    for _ in range(MAX_NEARER_STEPS):
        half = _half(knob, outside, inside)
        if height(half) == 0:
            inside = half
        else:
            outside = half
        yield half


def _half(knob: Knob, one: float, other: float) -> float:
    """Return what lies halfway between two values of the knob."""
    return math.sqrt(one * other) if knob.doubled else 0.5 * (one + other)


def _search_between(knob: Knob, height: Height, tried: Mapping[float, Credit]) -> Iterator[float]:
    """Yield values halfway from the best to neighbours that differ, until one is close enough or across."""
    for _ in range(MAX_REFINING_STEPS):
        best = min(tried, key=lambda value: abs(height(value)))
        values = sorted(tried)
        place = values.index(best)
        for neighbour in values[max(place - 1, 0) : place] + values[place + 1 : place + 2]:
            half = _half(knob, best, neighbour)
            if half in tried or height(neighbour) == height(best):
                continue
            found = height(half)
            yield half
            if found * height(best) < 0:
                yield from _crossing(height, tried, best, half)
            if any(map(close_enough, tried.values())):
                return


def _apart(knob: Knob, height: Height, tried: Mapping[float, Credit]) -> Iterator[float]:
    """Yield values amid the widest gaps next to the better half of those tried."""
    for _ in range(MAX_GAP_STEPS):
        values = sorted(tried)
        promising = median(abs(height(value)) for value in values)
        pairs = [
            (one, other)
            for one, other in pairwise(values)
            if height(one) != height(other) and min(abs(height(one)), abs(height(other))) <= promising
        ]
        if not pairs:
            return
        one, other = max(pairs, key=lambda pair: pair[1] / pair[0] if knob.doubled else pair[1] - pair[0])
        half = _half(knob, one, other)
        found = height(half)
        yield half
        if found == 0:
            return


def _crossing(height: Height, tried: Mapping[float, Credit], one: float, other: float) -> Iterator[float]:
    """Yield values between two on either side of 1 that close in on where the ratio crosses it, or jumps."""
    known = len(tried)
    if height(one) * height(other) < 0:
        brentq(height, one, other, xtol=1e-9, maxiter=MAX_CROSSING_STEPS, disp=False)
    yield from list(tried)[known:]


def decades_of(credit: Credit) -> float:
    """Return log₁₀ of the median ratio, cut off far away; a state that overflows counts as too large."""
    if math.isnan(credit.log10_norm_ratio):
        return MISS_OF_ZERO_DECADES
    return min(max(credit.log10_norm_ratio, -MISS_OF_ZERO_DECADES), MISS_OF_ZERO_DECADES)


def close_enough(credit: Credit) -> bool:
    """Return whether the gradient is as large at the horizon as the search wants it, along every sequence."""
    return abs(decades_of(credit)) <= ENOUGH_DECADES and not _unsafe(credit)


def _unsafe(credit: Credit) -> int:
    """Return along how many sequences a gradient comes nearer to a factor of 100 than is safe for others."""
    return sum(one.distance > SAFE_DECADES for one in credit.measurements)


def badness(credit: Credit) -> tuple[int, float]:
    """Return along how many sequences a gradient is not safe, and how far the median ratio is from 1."""
    return _unsafe(credit), max(abs(decades_of(credit)), ENOUGH_DECADES)


def best(trials: list[TuningTrial]) -> TuningTrial:
    """Return the trial that is safe along most sequences, and of those the one whose ratio is nearest to 1.

    Of those that are close enough it is the one nearest the start: a gate that is open farther than it has to
    be learns nothing new. The first trial is the start.
    """
    start = trials[0].value
    return min(trials, key=lambda trial: (*badness(trial.credit), abs(trial.value - start)))


def _move_knob(knob: Knob, value: float, sign: int, step: int) -> float:
    """Return the next value up or down, within the knob's ends."""
    moved = value * 2.0**sign if knob.doubled else value + sign * 2.0**step
    return min(max(moved, knob.low), knob.high)
