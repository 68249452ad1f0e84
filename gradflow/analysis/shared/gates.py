"""The values of the gates of a cell: their spread, their saturation and their time constants."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.shared.quantiles import SHOWN_QUANTILES, median
from gradflow.cells.base import Array, Gate, GateValues
from gradflow.drawing import CurveDrawing, DrawnColumn
from gradflow.record import column
from gradflow.table import Table

# A value counts as saturated in this share of the range at either end (Karpathy et al. 2015, section 4.2).
GATE_EDGE = 0.1


class GateSummary(NamedTuple):
    """One gate of one layer over all units and steps; arrays have the axes of the draws, if any."""

    layer: int
    name: str
    gate: Gate
    mean: Array
    low: Array
    high: Array
    saturated: Array
    time_constant: Array

    def of(self, draw: int | None) -> "GateSummary":
        """Return the summary of one draw by its index, or the summary itself for None."""
        place = ... if draw is None else draw
        return self._replace(**{name: getattr(self, name)[place] for name in self._fields[3:]})


@dataclass(frozen=True, eq=False, repr=False)
class Gates(Table):
    """Every gate of every layer: medians over seeds of statistics over units and steps."""

    cell: list[str] = column("the cell, as it was named")
    gate: list[str] = column("the gate's letter")
    layer: list[int] = column("the layer, from 1")
    role: list[str] = column("what the gate does")
    mean: NDArray[np.float64] = column("mean over units and steps")
    low: NDArray[np.float64] = column("5 % quantile over units and steps")
    high: NDArray[np.float64] = column("95 % quantile over units and steps")
    saturated: NDArray[np.float64] = column("share of values in the lowest or highest tenth of the range")
    time_constant: NDArray[np.float64] = column(
        "memory of the gate alone, −1/mean ln f: steps after which it leaves a share of 1/e", unit="step"
    )
    range_low: list[float] = column("the smallest value it can have", detail=True)
    range_high: list[float] = column("the largest value it can have", detail=True)
    always_positive: list[bool] = column("whether all its possible values are positive", detail=True)


def summarize_gate(values: GateValues) -> GateSummary:
    """Return the summary of a gate for all draws at once."""
    layer, name, gate, every = values
    over = (-2, -1)  # steps and units
    low, _, high = np.quantile(every, SHOWN_QUANTILES, axis=over)
    return GateSummary(
        layer,
        name,
        gate,
        every.mean(axis=over),
        low,
        high,
        at_end(gate, every).mean(axis=over),
        time_constants(every, over) if gate.retains else np.full(every.shape[:-2], math.nan),
    )


def at_end(gate: Gate, values: Array) -> Array:
    """Return 1 for values in the lowest or highest tenth of the range, else 0; nan for an infinite range."""
    reach = GATE_EDGE * (gate.high - gate.low)
    if not math.isfinite(reach):
        return np.full(values.shape, math.nan)
    return ((values < gate.low + reach) | (values > gate.high - reach)).astype(float)


def time_constants(values: Array, over: int | tuple[int, ...]) -> Array:
    """Return −1/⟨ln|f|⟩, the mean over some axes: the steps after which the gate alone leaves a share of 1/e.

    It is 0 if the gate shuts completely, and inf if the gate keeps or amplifies.

    Examples
    --------
    >>> time_constants(np.array([[0.5, 1.0], [0.5, 1.0]]), over=0).round(6).tolist()
    [1.442695, inf]
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # an unbounded gate may be negative
        logs = np.log(np.abs(values)).mean(axis=over)
        return np.where(logs < 0, -1.0 / logs, np.where(np.isnan(logs), math.nan, math.inf))


def gate_table(cells: Sequence[str], summaries: Sequence[Sequence[Sequence[GateSummary]]]) -> Gates | None:
    """Return the table of the cells' gates (cell, draw, gate), or None where no cell has any."""
    rows = [
        (cell, several)
        for cell, draws in zip(cells, summaries, strict=True)
        for several in zip(*draws, strict=True)  # one gate over all draws
    ]
    if not rows:
        return None
    first = [several[0] for _, several in rows]

    def medians(name: str) -> NDArray[np.float64]:
        return np.array([median([getattr(one, name) for one in several]) for _, several in rows])

    return Gates(
        cell=[cell for cell, _ in rows],
        gate=[one.name for one in first],
        layer=[one.layer for one in first],
        role=[one.gate.role for one in first],
        range_low=[one.gate.low for one in first],
        range_high=[one.gate.high for one in first],
        always_positive=[one.gate.low >= 0 for one in first],
        mean=medians("mean"),
        low=medians("low"),
        high=medians("high"),
        saturated=medians("saturated"),
        time_constant=medians("time_constant"),
    )


@dataclass(frozen=True, eq=False, repr=False)
class GateSteps(Table):
    """Every gate at every step, in the order in which the layer takes the steps."""

    cell: list[str] = column("the cell, as it was named; for a checkpoint rnn, lstm or gru")
    layer: list[int] | list[str] = column("the layer, from 1; for a checkpoint its name")
    gate: list[str] = column("the letter of the gate; h: the state of an rnn")
    step: list[int] = column("the step t, from 1", unit="step")
    low: NDArray[np.float64] = column("5 % quantile over units")
    median: NDArray[np.float64] = column("median over units")
    high: NDArray[np.float64] = column("95 % quantile over units")


def bands(*apart: str) -> CurveDrawing:
    """Return the picture of gate steps: a panel for each gate, a curve for each value of ``apart``."""
    median = DrawnColumn("median", low="low", high="high")
    return CurveDrawing(
        "step",
        (median,),
        apart,
        panels=("gate",),
        label="value of the gate: median, 5 to 95 %",
        title="values at every step",
    )


class Course(NamedTuple):
    """One gate of one layer: its quantiles over units, (T, 3)."""

    cell: str
    layer: int | str
    gate: str
    quantiles: Array


def step_quantiles(values: Array) -> Array:
    """Return the 5 %, 50 % and 95 % quantiles over units: of values (..., T, H) an array (..., T, 3).

    Examples
    --------
    >>> step_quantiles(np.linspace(0.0, 1.0, 101)[None]).round(9).tolist()
    [[0.05, 0.5, 0.95]]
    """
    return np.moveaxis(np.quantile(values, SHOWN_QUANTILES, axis=-1), 0, -1)


def gate_step_table(courses: Sequence[Course]) -> GateSteps | None:
    """Return a table with a row for each step of each gate, or None if there is no gate."""
    if not courses:
        return None
    every = [(course, step) for course in courses for step in range(1, len(course.quantiles) + 1)]
    low, middle, high = np.concatenate([course.quantiles for course in courses]).T
    return GateSteps(
        cell=[course.cell for course, _ in every],
        layer=[course.layer for course, _ in every],  # type: ignore[arg-type]  # all of one kind
        gate=[course.gate for course, _ in every],
        step=[step for _, step in every],
        low=low,
        median=middle,
        high=high,
    )


def over_draws(cell: str, gates: Sequence[GateSummary], draws: Sequence[Sequence[Array]]) -> list[Course]:
    """Return the medians over draws of the quantiles (T, 3) of each gate, up to the last common step."""
    found = []
    for gate, several in zip(gates, zip(*draws, strict=True), strict=True):
        last = min(map(len, several))
        found.append(Course(cell, gate.layer, gate.name, median([one[:last] for one in several])))
    return found
