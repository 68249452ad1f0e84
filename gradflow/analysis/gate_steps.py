"""Where the units of a gate stand at every step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.gates import GateSummary
from gradflow.analysis.quantiles import QUANTILES, median
from gradflow.cells.base import Array
from gradflow.drawing import CurveDrawing, DrawnColumn
from gradflow.record import column


@dataclass(frozen=True, eq=False)
class GateSteps:
    """Every gate at every step, in the order in which the layer takes the steps."""

    cell: list[str] = column("the cell, as it was asked for; of a checkpoint rnn, lstm or gru")
    layer: list[int] | list[str] = column("the layer, from 1; of a checkpoint its name")
    gate: list[str] = column("the gate's letter; h: the state of an rnn")
    step: list[int] = column("the step t, from 1", unit="step")
    low: NDArray[np.float64] = column("5 % quantile over units")
    median: NDArray[np.float64] = column("median over units")
    high: NDArray[np.float64] = column("95 % quantile over units")


def bands(*apart: str) -> CurveDrawing:
    """Return the picture of such a table, a panel a gate; the columns ``apart`` tell its curves apart."""
    median = DrawnColumn("median", low="low", high="high")
    return CurveDrawing(
        "step", (median,), apart, panels=("gate",), label="value of the gate: median, 5 to 95 %"
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
    return np.moveaxis(np.quantile(values, QUANTILES, axis=-1), 0, -1)


def gate_step_table(courses: Sequence[Course]) -> GateSteps | None:
    """Return a row for each step of each gate, None where there is no gate."""
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
    """Return the medians over draws of the quantiles (T, 3) of each gate, as far as every draw goes."""
    found = []
    for gate, several in zip(gates, zip(*draws, strict=True), strict=True):
        last = min(map(len, several))
        found.append(Course(cell, gate.layer, gate.name, median([one[:last] for one in several])))
    return found
