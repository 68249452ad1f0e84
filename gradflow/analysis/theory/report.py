"""The record of predictions and measurements."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np

from gradflow.analysis.shared.progress import ProgressCounter
from gradflow.analysis.shared.tasks import TaskExecutor, run_tasks
from gradflow.analysis.shared.verdicts import verdict
from gradflow.analysis.theory.deviation import compute_deviation
from gradflow.analysis.theory.extrapolation import (
    UNKNOWN_LIMIT,
    ExtrapolatedQuantity,
    MeasuredQuantity,
    MeasurementBias,
    extrapolate,
    list_sizes,
)
from gradflow.analysis.theory.record import Predictions, Sweep, Theory
from gradflow.analysis.theory.subjects.case import (
    DrawMeasure,
    EvaluatedPrediction,
    Prediction,
    TheoryCase,
)
from gradflow.analysis.theory.sweep import Asked
from gradflow.cells.base import Array
from gradflow.errors import NumericalError
from gradflow.printable import format_count, format_with_error

LEADING_RATES = (
    "largest_exponent",
    "exponent_1",
    "zero_state_rate",
)  # the leading rate is the first of these that a theory has
MAX_ZERO_DIFFERENCE = 1e-9  # relative difference that counts as 0
MAX_CRITICAL_RATE = 1e-12  # nats per step, below which a rate counts as 0
PHASES = {-1: "shrinking", 0: "critical", 1: "growing"}
AnyPrediction = TypeVar("AnyPrediction", Prediction, EvaluatedPrediction)
Predict = Callable[[TheoryCase], list[Prediction]]


def report_case(
    predict: Predict,
    case: TheoryCase,
    draws: range,
    shared: Mapping[str, Any],
    executor: TaskExecutor | None,
    counter: ProgressCounter,
) -> Theory:
    """Return the record of all predictions of a case and their measurements; each draw is counted."""
    asked = predict(case)
    predictions = [one.evaluate() for one in asked]
    asymptotic = any(not one.exact for one in predictions)
    sizes = list_sizes(case.hidden) if draws and asymptotic else [case.hidden]
    counter.begin(len(draws) * len(sizes))
    cases = [case, *(case._replace(hidden=size) for size in sizes[1:])]
    points = [(case, predictions), *((one, _list_asymptotic(predict, one)) for one in cases[1:])]
    found, *smaller = measure_predictions(points, draws, executor, counter)
    leading = _leading(predictions)
    rate = leading.predicted
    differences_by_size = [
        {
            one.quantity: it._replace(mean=it.mean - one.predicted)
            for one, it in zip(of_size, values, strict=True)
        }
        for (_, of_size), values in zip(points, [found, *smaller], strict=True)
    ]
    biases = [one.find_bias() if draws and not one.exact else MeasurementBias() for one in asked]
    limits = [
        UNKNOWN_LIMIT
        if one.exact
        else _extrapolate_quantity(
            one, sizes, [by_name[one.quantity] for by_name in differences_by_size], bias
        )
        for one, bias in zip(predictions, biases, strict=True)
    ]
    deviations = [
        _deviation(one, it, limit) for one, it, limit in zip(predictions, found, limits, strict=True)
    ]
    table = Predictions(
        quantity=[one.quantity for one in predictions],
        predicted=np.array([one.predicted for one in predictions]),
        measured=np.array([it.mean for it in found]),
        standard_error=np.array([it.error for it in found]),
        extrapolated=np.array([limit.value for limit in limits]),
        extrapolation_error=np.array([limit.error for limit in limits]),
        deviation=np.array(deviations),
        source=[one.source for one in predictions],
    )
    place = predictions.index(leading)
    return Theory(
        **shared,
        notes=tuple(
            _notes(predictions, found, draws, "" if leading.exact else _find_cause(sizes, biases[place]))
        ),
        rate=rate,
        verdict=_verdict(leading, shared["steps"]),
        parameter=None,
        critical_value=None,
        critical_measured=None,
        quadrature_error=leading.error,
        conclusion=_conclusion(leading, found[place], limits[place], deviations[place], shared["hidden"]),
        predictions=table,
    )


def report_sweep(
    asked: Asked,
    predict: Predict,
    case_at: Callable[[float], TheoryCase],
    draws: range,
    shared: Mapping[str, Any],
    executor: TaskExecutor | None,
    counter: ProgressCounter,
) -> Theory:
    """Return the record of a parameter's sweep, and where the leading rate crosses 0.

    Each value's prediction and each of its draws is counted.
    """
    values = asked.values
    counter.begin(len(values) * (1 + len(draws)))
    cases = [case_at(value) for value in values]
    leading = run_tasks(partial(evaluate_leading, predict), cases, executor, counter)
    points = [(case, [one]) for case, one in zip(cases, leading, strict=True)]
    found = [one for (one,) in measure_predictions(points, draws, executor, counter)]
    rates = [one.predicted for one in leading]
    turns = [False, *((a < -MAX_CRITICAL_RATE) != (b < -MAX_CRITICAL_RATE) for a, b in pairwise(rates))]

    table = Sweep(
        value=np.array(values),
        predicted=np.array(rates),
        measured=np.array([it.mean for it in found]),
        standard_error=np.array([it.error for it in found]),
        phase=[PHASES[0 if abs(one) <= MAX_CRITICAL_RATE else int(math.copysign(1, one))] for one in rates],
        critical=turns,
    )
    critical = _root(asked, lambda value: predict(case_at(value)), rates, turns)
    means = [it.mean for it in found]
    return Theory(
        **shared,
        notes=tuple(_notes(leading, found, draws, f"a range is measured at N = {shared['hidden']} alone")),
        rate=rates[-1],
        verdict=_verdict(leading[-1], shared["steps"]),
        parameter=asked.parameter,
        critical_value=critical,
        critical_measured=_crossing(values, means),
        quadrature_error=max(one.error for one in leading),
        conclusion=_conclusion_of_sweep(asked, leading[0], rates, critical, _crossing(values, means)),
        sweep=table,
    )


def _verdict(leading: EvaluatedPrediction, steps: int) -> str:
    """Return the verdict on the leading rate, whose error is that of its quadrature."""
    rate, error = leading.predicted, leading.error
    return str(verdict(rate, steps, None, rate - error, rate + error))


class DrawTask(NamedTuple):
    """One draw of a case, and what is measured of it."""

    case: TheoryCase
    measures: tuple[DrawMeasure, ...]
    draw: int


def measure_draw(task: DrawTask) -> list[float | Array]:
    """Return what is measured of one draw, inf where a state overflows: a task for any thread or process."""
    values: list[float | Array] = []
    for measure in task.measures:
        try:
            values.append(measure(task.case, task.draw))
        except NumericalError:
            values.append(math.inf)
    return values


def evaluate_leading(predict: Predict, case: TheoryCase) -> EvaluatedPrediction:
    """Return the leading rate of a case by theory: a task for any thread or process."""
    return _leading(predict(case)).evaluate()


def measure_predictions(
    points: Sequence[tuple[TheoryCase, Sequence[EvaluatedPrediction]]],
    draws: range,
    executor: TaskExecutor | None,
    counter: ProgressCounter,
) -> list[list[MeasuredQuantity]]:
    """Return the measurements of the predictions of each case.

    What several predictions need, such as a run that gives all exponents, is measured once for each draw.
    """
    measures = [
        tuple(dict.fromkeys(one.measure for one in predictions if one.measure)) for _, predictions in points
    ]
    tasks = [
        DrawTask(case, several, draw)
        for (case, _), several in zip(points, measures, strict=True)
        for draw in draws
    ]
    values = iter(run_tasks(measure_draw, tasks, executor, counter))
    measured = []
    for (_, predictions), several in zip(points, measures, strict=True):
        of_draws = [dict(zip(several, next(values), strict=True)) for _ in draws]
        measured.append(
            [_over_draws(np.array([_pick(one, draw) for draw in of_draws])) for one in predictions]
        )
    return measured


def _pick(prediction: EvaluatedPrediction, values: Mapping[DrawMeasure, float | Array]) -> float:
    """Return the measured value of a prediction; nan where nothing is measured."""
    if prediction.measure is None:
        return math.nan
    value = values[prediction.measure]
    return float(value[prediction.entry]) if isinstance(value, np.ndarray) else value


def _over_draws(values: Array) -> MeasuredQuantity:
    held = values[~np.isposinf(values)]
    lost = len(values) - len(held)
    if not len(held):
        return MeasuredQuantity(math.nan, math.nan, 0, lost)
    scale = float(np.abs(held).max()) or 1.0  # squares of numbers near 1 stay in range
    with np.errstate(invalid="ignore"):
        near = held / scale
        error = scale * near.std(ddof=1) / math.sqrt(len(near)) if len(near) > 1 else math.nan
        mean = scale * near.mean()
    return MeasuredQuantity(float(mean), float(error), len(held), lost)


def _list_asymptotic(predict: Predict, case: TheoryCase) -> list[EvaluatedPrediction]:
    """Return the predictions of a case that hold only as N → ∞."""
    return [one for one in (prediction.evaluate() for prediction in predict(case)) if not one.exact]


def _extrapolate_quantity(
    prediction: EvaluatedPrediction,
    sizes: Sequence[int],
    differences: Sequence[MeasuredQuantity],
    bias: MeasurementBias,
) -> ExtrapolatedQuantity:
    """Return the prediction and the limit of what measurements differ from it at each size.

    The differences are extrapolated because a prediction itself may depend on N: an initialization can scale
    the weights of the inputs by the number of units.
    """
    limit = extrapolate(sizes, differences, bias)
    return limit._replace(value=prediction.predicted + limit.value)


def _deviation(
    prediction: EvaluatedPrediction, found: MeasuredQuantity, limit: ExtrapolatedQuantity
) -> float:
    """Return how many standard errors a measurement is from its prediction.

    A prediction for N → ∞ is compared with the extrapolated measurement. The result is nan for a bound, and
    without an error.
    """
    measured = ExtrapolatedQuantity(found.mean, found.error, found.draws - 1) if prediction.exact else limit
    difference = measured.value - prediction.predicted
    if prediction.is_bound or math.isnan(difference):
        return math.nan
    if abs(difference) <= MAX_ZERO_DIFFERENCE * max(1.0, abs(prediction.predicted)):
        return 0.0
    return compute_deviation(difference, *measured[1:]) if measured.error > 0 else math.nan


def _leading(predictions: Sequence[AnyPrediction]) -> AnyPrediction:
    return next(one for name in LEADING_RATES for one in predictions if one.quantity == name)


def _root(
    asked: Asked,
    predict: Callable[[float], list[Prediction]],
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
    named = [one.evaluate().predicted for one in predict(ends[1]) if one.quantity == "critical_gain"]
    if asked.parameter == "gain" and named and ends[0] < named[0] < ends[1]:
        return named[0]  # from theory: beyond it the rate may rise too slowly for root finding

    def rate(value: float) -> float:
        return _leading(predict(value)).evaluate().predicted

    from scipy.optimize import brentq  # here, because its import is slow

    return float(brentq(rate, *ends, xtol=1e-12))


def _crossing(values: Sequence[float], means: Sequence[float]) -> float | None:
    """Return where the measured rates, joined by straight lines, first cross 0."""
    for (x, a), (y, b) in pairwise(zip(values, means, strict=True)):
        if math.isfinite(a) and math.isfinite(b) and (a < 0) != (b < 0):
            return x - a * (y - x) / (b - a)
    return None


def _find_cause(sizes: Sequence[int], bias: MeasurementBias) -> str:
    """Return why measurements of these sizes are not extrapolated; empty if they are."""
    if len(sizes) == 1:
        return f"N = {sizes[0]} is too small to extrapolate measurements (`hidden` sets N)"
    if sizes[-1] >= bias.min_size:
        return ""
    enough = f"`hidden` {4 * math.ceil(bias.min_size):g}" if math.isfinite(bias.min_size) else "no size"
    return (
        f"so close to the transition a network of N/4 = {sizes[-1]} units may be on its other side: "
        f"measurements are not extrapolated ({enough} would do)"
    )


def _notes(
    predictions: Sequence[EvaluatedPrediction],
    found: Sequence[MeasuredQuantity],
    draws: range,
    cause: str = "",
) -> Iterator[str]:
    """Yield warnings: why measurements are not extrapolated (``cause``), products of 0, overflows."""
    if draws and cause:
        yield (
            f"Predictions are for N → ∞, and {cause}. Measurements differ by about 1/√N in a radius and 1/N "
            "in an exponent of a chaotic network."
        )
    zero = [one.quantity for one, it in zip(predictions, found, strict=True) if it.mean == -math.inf]
    if zero:
        names = ", ".join(dict.fromkeys(zero))
        yield f"{names}: a product of Jacobians is exactly 0, so that the measured value is -inf."
    lost = max(it.lost for it in found)
    if lost:
        count = format_count(len(draws), "draw", "draws")
        yield f"in {lost} of {count} a state overflows; means leave these out."


def _conclusion(
    leading: EvaluatedPrediction,
    found: MeasuredQuantity,
    limit: ExtrapolatedQuantity,
    deviation: float,
    hidden: int,
) -> str:
    """Return the leading rate in words."""
    beside = ""
    if math.isfinite(found.mean):
        beside = f"; measured at N = {hidden}: {format_with_error(found.mean, found.error)}"
    if math.isfinite(limit.value):
        beside += f", extrapolated to N → ∞: {format_with_error(limit.value, limit.error)}"
    if math.isfinite(deviation):
        beside += f", {abs(deviation):.2g} standard errors {'above' if deviation > 0 else 'below'} theory"
    return f"{_name_in_words(leading)} is {leading.predicted:.6g} nats per step by theory{beside}."


def _name_in_words(prediction: EvaluatedPrediction) -> str:
    """Return the name of a quantity as the subject of a sentence."""
    words = prediction.quantity.replace("_", " ")
    return words.capitalize() if words[-1].isdigit() else f"The {words}"


def _conclusion_of_sweep(
    asked: Asked,
    leading: EvaluatedPrediction,
    rates: Sequence[float],
    critical: float | None,
    measured: float | None,
) -> str:
    """Return the critical value of the parameter, in words."""
    if critical is None:
        side = "negative" if rates[0] < -MAX_CRITICAL_RATE else "not negative"
        first, last = asked.values[0], asked.values[-1]
        return f"{_name_in_words(leading)} stays {side} from {asked.parameter} {first:g} to {last:g}."
    seen = "" if measured is None else f"; the measured rate crosses 0 at {measured:.4g}"
    return f"{_name_in_words(leading)} crosses 0 at {asked.parameter} {critical:.6g} by theory{seen}."
