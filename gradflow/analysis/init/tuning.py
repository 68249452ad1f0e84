"""The search for the value of one option with which gradients survive."""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from gradflow.analysis.shared.gradient_share import EndMeasurement, GradientShare
from gradflow.analysis.shared.verdicts import EXPLODING_DECADES
from gradflow.cells.knob import Knob as Knob
from gradflow.cells.spec import CellSpec, list_cell_options
from gradflow.errors import UsageError

# The search ends when |log₁₀| of the ratio, the norm at the horizon over that at lag 1, is at most this.
ENOUGH_DECADES = 0.25
# Largest numbers of steps of each phase of the search.
MAX_OUTWARD_STEPS = 60
MAX_CROSSING_STEPS = 20
MAX_REFINING_STEPS = 4
MAX_GAP_STEPS = 12
MAX_NEARER_STEPS = 4
MAX_STEPS_BEYOND = 6
# The sequences of the search have to stay within these decades, so that others stay within twice as many.
SAFE_DECADES = EXPLODING_DECADES / 2
SAFE_SHARE_DECADES = 1.75  # of log₁₀ of the share of such a sequence: the verdict is stable up to 2
MAX_PATIENT_TRIALS = 36  # no other phase begins after this many trials
MISS_OF_ZERO_DECADES = 1e6  # used instead of an infinite number of decades

Height = Callable[[float], float]


class TuningTrial(NamedTuple):
    """A value of the tuned option, and the share of the written weights over sequences of inputs."""

    value: float
    share: GradientShare


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


def search(knob: Knob, measure: Callable[[float], GradientShare]) -> Iterator[TuningTrial]:
    """Yield a trial of every value that the search measures, from the start value on.

    The search ends at a value with which the median ratio over the sequences is close to 1 and no sequence is
    far from it. The ratio mostly grows with the value. So the value moves up (or down) from the start until
    the ratio crosses 1, and root finding locates the crossing (Brent 1973, chapter 4). If sequences disagree
    at the crossing, larger values are tried. If the ratio never crosses 1, or jumps over it, values near the
    best one are tried, then values in the widest gaps, then values near the best one again.
    """
    tried: dict[float, GradientShare] = {}

    def height(value: float) -> float:
        """Return asinh of the decades of the ratio, or 0, which ends the search, if it is close enough."""
        if value not in tried:
            tried[value] = measure(value)
        return 0.0 if close_enough(tried[value]) else math.asinh(decades_of(tried[value]))

    for phase in (_outwards, _beyond, _otherwise, _search_between, _apart, _search_between):
        for value in phase(knob, height, tried):
            yield TuningTrial(value, tried[value])
        if any(map(close_enough, tried.values())) or len(tried) > MAX_PATIENT_TRIALS:
            return


def _outwards(knob: Knob, height: Height, tried: Mapping[float, GradientShare]) -> Iterator[float]:
    """Yield values from the start outwards until the ratio crosses 1, then values near the crossing."""
    begun = height(knob.start)
    yield knob.start
    if begun != 0:
        yield from _walk(knob, height, tried, -1 if begun > 0 else 1)


def _beyond(knob: Knob, height: Height, tried: Mapping[float, GradientShare]) -> Iterator[float]:
    """Yield values above the largest one, if the ratio crosses 1 but sequences disagree.

    A gate that is open far enough keeps a gradient along all inputs.
    """
    if not any(abs(decades_of(share)) <= ENOUGH_DECADES for share in tried.values()):
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


def _otherwise(knob: Knob, height: Height, tried: Mapping[float, GradientShare]) -> Iterator[float]:
    """Yield values in the other direction, unless all values so far have the same ratio."""
    if len(tried) == 1 or len(set(map(height, tried))) > 1:
        yield from _walk(knob, height, tried, 1 if height(knob.start) > 0 else -1)


def _walk(knob: Knob, height: Height, tried: Mapping[float, GradientShare], sign: int) -> Iterator[float]:
    """Yield values in one direction from the start until the ratio crosses 1 or the range ends."""
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
    """Yield values by bisection between a value that is not close enough and one that is."""
    for _ in range(MAX_NEARER_STEPS):
        half = _half(knob, outside, inside)
        if height(half) == 0:
            inside = half
        else:
            outside = half
        yield half


def _half(knob: Knob, one: float, other: float) -> float:
    """Return the middle of two values: the geometric mean for a knob that doubles, else the mean."""
    return math.sqrt(one * other) if knob.doubled else 0.5 * (one + other)


def _search_between(knob: Knob, height: Height, tried: Mapping[float, GradientShare]) -> Iterator[float]:
    """Yield values halfway between the best value and its neighbours, until one is close enough."""
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


def _apart(knob: Knob, height: Height, tried: Mapping[float, GradientShare]) -> Iterator[float]:
    """Yield values in the middle of the widest gaps beside the better half of the values."""
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


def _crossing(
    height: Height, tried: Mapping[float, GradientShare], one: float, other: float
) -> Iterator[float]:
    """Yield values that root finding measures between two values, one on either side of the crossing."""
    known = len(tried)
    if height(one) * height(other) < 0:
        from scipy.optimize import brentq  # here, because its import is slow

        brentq(height, one, other, xtol=1e-9, maxiter=MAX_CROSSING_STEPS, disp=False)
    yield from list(tried)[known:]


def decades_of(share: GradientShare) -> float:
    """Return log₁₀ of the median ratio, within ±`MISS_OF_ZERO_DECADES`; an overflow is too large."""
    if math.isnan(share.log10_norm_ratio):
        return MISS_OF_ZERO_DECADES
    return min(max(share.log10_norm_ratio, -MISS_OF_ZERO_DECADES), MISS_OF_ZERO_DECADES)


def close_enough(share: GradientShare) -> bool:
    """Return whether the median ratio is close to 1 and all sequences are safe, which ends the search."""
    return abs(decades_of(share)) <= ENOUGH_DECADES and not _unsafe(share)


def _unsafe(share: GradientShare) -> int:
    """Return the number of sequences whose norm or ratio is farther from 1 than `SAFE_DECADES`."""
    return sum(not _is_safe(one) for one in share.measurements)


def _is_safe(one: EndMeasurement) -> bool:
    """Return whether one sequence is so far from the limits of its verdict that others stay within them."""
    return _measure_distance(one) <= SAFE_DECADES and one.distance <= SAFE_SHARE_DECADES


def _measure_distance(one: EndMeasurement) -> float:
    """Return the larger distance from 1, of the norm or of the ratio, in decades; inf after an overflow."""
    farther = max(abs(one.log10_norm), abs(one.log10_norm_ratio))
    return math.inf if math.isnan(farther) else farther


def badness(share: GradientShare) -> tuple[int, float]:
    """Return the number of unsafe sequences, and the distance of the median ratio from 1 in decades."""
    return _unsafe(share), max(abs(decades_of(share)), ENOUGH_DECADES)


def best(trials: list[TuningTrial]) -> TuningTrial:
    """Return the trial with the fewest unsafe sequences; among equals the one whose ratio is nearest to 1.

    Among trials that are close enough it returns the one nearest to the start, the value of the first trial.
    A gate that is open farther than necessary takes in less.
    """
    start = trials[0].value
    return min(trials, key=lambda trial: (*badness(trial.share), abs(trial.value - start)))


def _move_knob(knob: Knob, value: float, sign: int, step: int) -> float:
    """Return the next value up or down, within the range of the knob."""
    moved = value * 2.0**sign if knob.doubled else value + sign * 2.0**step
    return min(max(moved, knob.low), knob.high)
