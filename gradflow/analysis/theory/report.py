"""The record of predictions and measurements."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from gradflow.analysis.shared.verdicts import verdict
from gradflow.analysis.theory.record import Predictions, Sweep, Theory
from gradflow.analysis.theory.subjects.case import Prediction
from gradflow.analysis.theory.sweep import Asked
from gradflow.cells.base import Array
from gradflow.errors import NumericalError
from gradflow.printable import format_count

LEADING_RATES = (
    "largest_exponent",
    "exponent_1",
    "zero_state_rate",
)  # the leading rate is the first of these that a theory has
MAX_ZERO_DIFFERENCE = 1e-9  # relative difference that counts as 0
MAX_CRITICAL_RATE = 1e-12  # nats per step, below which a rate counts as 0
PHASES = {-1: "shrinking", 0: "critical", 1: "growing"}
Apply = Callable[..., Iterable[Any]]


def beside(predictions: Sequence[Prediction], draws: range, shared: Mapping[str, Any], map: Apply) -> Theory:
    """Return the record of predictions and their measurements."""
    found = measured(predictions, draws, map)
    leading = _leading(predictions)
    rate = leading.predicted
    deviations = [_deviation(one, it) for one, it in zip(predictions, found, strict=True)]
    table = Predictions(
        quantity=[one.quantity for one in predictions],
        predicted=np.array([one.predicted for one in predictions]),
        measured=np.array([it.mean for it in found]),
        standard_error=np.array([it.error for it in found]),
        deviation=np.array(deviations),
        source=[one.source for one in predictions],
    )
    place = predictions.index(leading)
    return Theory(
        **shared,
        notes=tuple(_notes(leading, found, draws, shared["hidden"])),
        rate=rate,
        verdict=_verdict(leading, shared["steps"]),
        parameter=None,
        critical_value=None,
        critical_measured=None,
        quadrature_error=leading.known.error,
        conclusion=_conclusion(leading, found[place]),
        predictions=table,
    )


def swept(
    asked: Asked,
    predicted: Callable[[float], list[Prediction]],
    draws: range,
    shared: Mapping[str, Any],
    map: Apply,
) -> Theory:
    """Return the record of a parameter's sweep, and where the leading rate crosses 0."""
    values = asked.values
    leading = [_leading(predicted(value)) for value in values]
    found = measured(leading, draws, map)
    rates = [one.predicted for one in map(_known, leading)]
    turns = [False, *((a < -MAX_CRITICAL_RATE) != (b < -MAX_CRITICAL_RATE) for a, b in pairwise(rates))]

    table = Sweep(
        value=np.array(values),
        predicted=np.array(rates),
        measured=np.array([it.mean for it in found]),
        standard_error=np.array([it.error for it in found]),
        deviation=np.array([_deviation(one, it) for one, it in zip(leading, found, strict=True)]),
        phase=[PHASES[0 if abs(one) <= MAX_CRITICAL_RATE else int(math.copysign(1, one))] for one in rates],
        critical=turns,
    )
    critical = _root(asked, predicted, rates, turns)
    means = [it.mean for it in found]
    return Theory(
        **shared,
        notes=tuple(_notes(leading[0], found, draws, shared["hidden"])),
        rate=rates[-1],
        verdict=_verdict(leading[-1], shared["steps"]),
        parameter=asked.parameter,
        critical_value=critical,
        critical_measured=_crossing(values, means),
        quadrature_error=max(one.known.error for one in leading),
        conclusion=_conclusion_of_sweep(asked, leading[0], rates, critical, _crossing(values, means)),
        sweep=table,
    )


def _verdict(leading: Prediction, steps: int) -> str:
    """Return the verdict on the leading rate, whose error is that of its quadrature."""
    rate, error = leading.known
    return str(verdict(rate, steps, None, rate - error, rate + error))


class MeasuredQuantity(NamedTuple):
    """Mean of a quantity over draws, its standard error, and the number of draws that overflowed."""

    mean: float
    error: float
    lost: int


def measured(
    predictions: Sequence[Prediction], draws: range, map: Callable[..., Iterable[Any]]
) -> list[MeasuredQuantity]:
    """Return the measurement of each prediction."""

    def answer(job: tuple[Prediction, int]) -> float:
        prediction, draw = job
        if prediction.measure is None:
            return math.nan
        try:
            return prediction.measure(draw)
        except NumericalError:
            return math.inf

    jobs = [(prediction, draw) for prediction in predictions for draw in draws]
    values = np.array(list(map(answer, jobs))).reshape(len(predictions), len(draws))
    return [_over_draws(row) for row in values]


def _over_draws(values: Array) -> MeasuredQuantity:
    held = values[~np.isposinf(values)]
    lost = len(values) - len(held)
    if not len(held):
        return MeasuredQuantity(math.nan, math.nan, lost)
    with np.errstate(invalid="ignore"):
        error = held.std(ddof=1) / math.sqrt(len(held)) if len(held) > 1 else math.nan
    return MeasuredQuantity(float(held.mean()), float(error), lost)


def _deviation(prediction: Prediction, found: MeasuredQuantity) -> float:
    """Return (measured − predicted) / standard error, or nan without a standard error."""
    difference = found.mean - prediction.predicted
    if abs(difference) <= MAX_ZERO_DIFFERENCE * max(1.0, abs(prediction.predicted)):
        return 0.0
    return difference / found.error if found.error > 0 else math.nan


def _known(prediction: Prediction) -> Prediction:
    """Compute a prediction, and return it."""
    _ = prediction.known
    return prediction


def _leading(predictions: Sequence[Prediction]) -> Prediction:
    return next(one for name in LEADING_RATES for one in predictions if one.quantity == name)


def _root(
    asked: Asked,
    predicted: Callable[[float], list[Prediction]],
    rates: Sequence[float],
    turns: Sequence[bool],
) -> float | None:
    """Return where the predicted rate first crosses 0, between two neighboring values of the range."""
    place = next((k for k, turn in enumerate(turns) if turn), None)
    if place is None:
        return None
    ends = asked.values[place - 1], asked.values[place]
    for k in (place - 1, place):
        if abs(rates[k]) <= MAX_CRITICAL_RATE:
            return asked.values[k]
    named = [one.predicted for one in predicted(ends[1]) if one.quantity == "critical_gain"]
    if asked.parameter == "gain" and named and ends[0] < named[0] < ends[1]:
        return named[0]  # from theory: beyond it the rate may rise too slowly for root finding

    def rate(value: float) -> float:
        return _leading(predicted(value)).predicted

    return float(brentq(rate, *ends, xtol=1e-12))


def _crossing(values: Sequence[float], means: Sequence[float]) -> float | None:
    """Return where the measured rates, joined by straight lines, first cross 0."""
    for (x, a), (y, b) in pairwise(zip(values, means, strict=True)):
        if math.isfinite(a) and math.isfinite(b) and (a < 0) != (b < 0):
            return x - a * (y - x) / (b - a)
    return None


def _notes(
    leading: Prediction, found: Sequence[MeasuredQuantity], draws: range, hidden: int
) -> Iterator[str]:
    """Yield warnings about finite size, dead states and overflows."""
    if draws and not leading.exact:
        yield (
            f"Predictions are for N → ∞. At N = {hidden} measurements differ by more than their standard "
            "error: by about 1/√N in a radius and 1/N in an exponent of a chaotic network (--hidden sets "
            "N)."
        )
    if any(it.mean == -math.inf for it in found):
        yield "a state of relu units becomes exactly 0, where the slope is 0: the measured value is -inf."
    lost = max(it.lost for it in found)
    if lost:
        count = format_count(len(draws), "draw", "draws")
        yield f"in {lost} of {count} a state overflows; means leave these out."


def _conclusion(leading: Prediction, found: MeasuredQuantity) -> str:
    """Return the leading rate in words."""
    beside = ""
    if math.isfinite(found.mean):
        error = f" ± {found.error:.2g}" if math.isfinite(found.error) else ""
        beside = f"; measured {found.mean:.6g}{error}"
    return f"{leading.quantity} {leading.predicted:.6g} nats per step by theory{beside}."


def _conclusion_of_sweep(
    asked: Asked, leading: Prediction, rates: Sequence[float], critical: float | None, measured: float | None
) -> str:
    """Return the critical value of the parameter, in words."""
    if critical is None:
        side = "negative" if rates[0] < -MAX_CRITICAL_RATE else "not negative"
        first, last = asked.values[0], asked.values[-1]
        return f"{leading.quantity} stays {side} from {asked.parameter} {first:g} to {last:g}."
    seen = "" if measured is None else f"; the measured rate crosses 0 at {measured:.4g}"
    return f"{leading.quantity} crosses 0 at {asked.parameter} {critical:.6g} by theory{seen}."
