"""The summary of a trained gate: its recurrent matrix, bias, values, and units that do not respond."""

import math
from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.gates import GATE_EDGE, at_end, step_quantiles, time_constants
from gradflow.analysis.shared.quantiles import SHOWN_QUANTILES
from gradflow.cells.base import Array, Gate, GateValues
from gradflow.cells.base import Layer as LayerCell
from gradflow.linalg.norms import spectral_norm, spectral_radius
from gradflow.linalg.scaled import Scaled


class GateRow(NamedTuple):
    """One gate of one layer; triples are the 5 %, 50 % and 95 % quantiles."""

    gate: str
    spectral_radius: float | None
    norm: float | None
    bias: tuple[float, ...]  # over units
    values: tuple[float, ...]  # over units and steps
    saturated: float
    shut: tuple[int, ...]  # units, from 0
    opened: tuple[int, ...]
    mean: Array  # of every unit
    time_constants: Array | None  # of every unit, in steps
    steps: Array | None  # (T, 3), over units and sequences at every step, if requested


def gate_rows(cell: LayerCell, activity: list[GateValues], *, every_step: bool = False) -> list[GateRow]:
    """Return a row for each gate over all sequences; for a cell without gates, one row for its state.

    The values of a gate have shape (sequences, T, units).
    """
    return [_row(cell, values, every_step) for values in activity]


def norm(matrix: Array) -> float:
    """Return the spectral norm of a matrix (m, n)."""
    return spectral_norm(Scaled.of(matrix)).value()


def _row(cell: LayerCell, activity: GateValues, every_step: bool) -> GateRow:
    _, name, gate, every_value = activity
    values = every_value.reshape(-1, every_value.shape[-1])  # of all sequences and steps
    own = name in cell.blocks  # false for a fixed gate, and for one minus another gate
    recurrent = cell.recurrent(name) if own else None
    shut, opened = _find_dead_units(gate, values) if own else ((), ())  # a fixed gate has no dead units
    return GateRow(
        gate=name,
        spectral_radius=None if recurrent is None else spectral_radius(recurrent),
        norm=None if recurrent is None else norm(recurrent),
        bias=_quantiles(cell.bias[cell.blocks[name]]) if own else (math.nan,) * 3,
        values=_quantiles(values),
        saturated=float(at_end(gate, values).mean()),
        shut=shut,
        opened=opened,
        mean=values.mean(axis=0),
        time_constants=time_constants(values, over=0) if gate.retains else None,
        steps=step_quantiles(_lay_side_by_side(every_value)) if every_step else None,
    )


def _lay_side_by_side(values: Array) -> Array:
    """Return (sequences, T, units) as (T, sequences · units)."""
    return values.swapaxes(0, 1).reshape(values.shape[1], -1)


def _find_dead_units(gate: Gate, values: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the units in the lowest tenth of the range at every step, and those in the highest tenth.

    For an infinite range, such as that of a relu, the end itself counts instead of a tenth.
    """
    span = gate.high - gate.low
    reach = GATE_EDGE * span if math.isfinite(span) else 0.0
    low, high = values.max(axis=0) <= gate.low + reach, values.min(axis=0) >= gate.high - reach
    return _list_indices(low), _list_indices(high)


def _list_indices(marked: Array) -> tuple[int, ...]:
    return tuple(int(k) for k in np.flatnonzero(marked))


def _quantiles(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, SHOWN_QUANTILES))
