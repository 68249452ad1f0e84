"""Everything that is measured of one cell: along one input, for one draw of weights or many at once."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradflow.analysis.compare.pair_map import PairNorms, pair_norms
from gradflow.analysis.compare.paths import path_norms
from gradflow.analysis.shared.gates import GateSummary, step_quantiles, summarize_gate
from gradflow.analysis.shared.product_norms import (
    MAX_BATCHED_STATE,
    ProductNorms,
    StepNorms,
    View,
    product_log10_norms,
    retained_log10_norms,
    step_norms,
)
from gradflow.analysis.shared.trajectory import Trajectory, follow
from gradflow.analysis.shared.trajectory_error import TrajectoryRounding
from gradflow.cells.base import Array, Cell
from gradflow.errors import UsageError

# Relative, a step and a row of the state: bounds are rounded up, for a measured norm is rounded too.
BOUND_ROUNDING = 8 * float(np.finfo(np.float64).eps)


def log10_bounds(trajectory: Trajectory, view: View, block: str, retained: Array | None) -> dict[str, Array]:
    """Return log₁₀ of the bound of each norm that has one, shape (..., T) by lag.

    For the state of a simple recurrent network the bound is (γ σ_max(W))^k, γ the steepest slope of the
    activation (Pascanu et al. 2013, section 2.1); for the direct path of a gated cell ∏ max f. Both bound the
    spectral norm, hence the smallest singular value, and √n times them the Frobenius norm.
    """
    steps = _step_bounds(trajectory, block, retained)
    if steps is None:
        return {}
    eps = BOUND_ROUNDING * np.finfo(trajectory.states.dtype).eps / np.finfo(np.float64).eps
    size = trajectory.cell.state_size
    with np.errstate(divide="ignore"):
        logs = np.log10(steps[..., list(view.order(trajectory.steps))] * (1.0 + eps * size))
    two = np.cumsum(logs, axis=-1)
    known = {"2": two, "min": two, "fro": two + 0.5 * math.log10(size)}
    return {name: known[name] for name in view.norms if name in known}


def _step_bounds(trajectory: Trajectory, block: str, retained: Array | None) -> Array | None:
    """Return a bound of every single step, shape (..., T)."""
    if block == "direct":
        return None if retained is None else retained.max(axis=-1)
    bound = trajectory.cell.step_bound()
    if bound is None or block not in ("state", "hh"):
        return None
    shape = trajectory.inputs.shape[:-1]
    return np.broadcast_to(np.asarray(bound)[..., None], shape)


Series = tuple[str, str]  # block, norm


class ComparisonQuestion(NamedTuple):
    """What is to be measured: the view, and the tables that are not for everybody."""

    view: View
    pair_map: bool = False
    paths: bool = False
    gate_steps: bool = False

    def batchable(self, state_size: int) -> bool:
        """Return whether many draws of a cell of that size can go as one."""
        apart = self.view.exact or self.pair_map or self.paths or {"min", "cond"} & set(self.view.norms)
        return state_size <= MAX_BATCHED_STATE and not apart


class DrawMeasurement(NamedTuple):
    """One draw. Arrays (T,) run by lag, up to the last finite step; nan at lags not asked for."""

    log10_step_norms: Array
    step_norm_error: float  # a bound of the relative error of those
    log10_norms: dict[Series, Array]
    log10_bounds: dict[Series, Array]
    errors: dict[Series, float]  # bounds of what shortcuts, inverses and rounding may cost a norm, relative
    upper_bounds: dict[Series, Array]  # of bool: where rounding has left no digit, and a bound is given
    trajectory_errors: dict[Series, float]  # how far rounding of the states may move a norm, decades
    state_size: int
    block_sizes: dict[str, int]  # rows of the blocks that stand on the diagonal
    blow_up: int | None
    underflow: bool
    gates: list[GateSummary]
    gate_steps: list[Array]  # of each of the gates (T, 3): quantiles over units
    paths: list[Array]
    pairs: Array | None
    pair_bounds: Array | None  # of bool: which of the pairs are upper bounds

    @property
    def steps(self) -> int:
        """How many lags there are."""
        return len(self.log10_step_norms)


def measure(
    cells: Sequence[Cell], inputs: Sequence[Array], question: ComparisonQuestion, initial: Array | None = None
) -> list[DrawMeasurement]:
    """Run several draws of one cell, each along its own inputs (T, features), and measure them.

    All start from ``initial``, 0 unless given. Small ones go as one batch, unless a state leaves the range
    of a double: then each goes as far as it can.
    """
    if not question.batchable(cells[0].state_size):
        return [
            _measure_draw(follow(cell, x, initial), question, draw=None)
            for cell, x in zip(cells, inputs, strict=True)
        ]
    trajectory = follow(cells[0].with_weights(np.stack, cells[1:]), np.stack(inputs), initial)
    if trajectory.blow_up is not None and len(cells) > 1:
        return [measure([cell], [x], question, initial)[0] for cell, x in zip(cells, inputs, strict=True)]
    every = _measure_norms(trajectory, question)
    return [_measure_draw(trajectory, question, draw, every) for draw in range(len(cells))]


class _Norms(NamedTuple):
    """Arrays (..., T), the draws being the leading axis if there is one."""

    steps: StepNorms
    norms: dict[Series, Array]
    bounds: dict[Series, Array]
    errors: dict[Series, float]
    upper_bounds: dict[Series, Array]
    trajectory_errors: dict[Series, Array]  # (...)
    gates: list[GateSummary]
    gate_steps: list[Array]


def _measure_norms(trajectory: Trajectory, question: ComparisonQuestion) -> _Norms:
    view = question.view
    gates = trajectory.gates()
    summaries = [summarize_gate(gate) for gate in gates] if trajectory.steps else []
    courses = [step_quantiles(gate.values) for gate in gates] if summaries and question.gate_steps else []
    retaining = [gate.values for gate in gates if gate.gate.retains]
    retained = np.concatenate(retaining, axis=-1) if retaining else None
    norms: dict[Series, Array] = {}
    bounds: dict[Series, Array] = {}
    errors: dict[Series, float] = {}
    upper_bounds: dict[Series, Array] = {}
    trajectory_errors: dict[Series, Array] = {}
    rounding = TrajectoryRounding(trajectory)
    for block in view.blocks:
        if block == "direct":
            if retained is None:
                raise UsageError(
                    "block 'direct': this cell has no gate that keeps its state; expected lstm or gru"
                )
            direct = retained_log10_norms(retained, view)
            found = {
                norm: ProductNorms(logs, 0.0, np.zeros(logs.shape, bool)) for norm, logs in direct.items()
            }
        else:
            found = product_log10_norms(trajectory, view, block)
        norms |= {(block, norm): one.log10 for norm, one in found.items()}
        errors |= {(block, norm): one.error for norm, one in found.items()}
        upper_bounds |= {(block, norm): one.bounds for norm, one in found.items()}
        moved = rounding.norm_errors(view, block)
        trajectory_errors |= {(block, norm): error for norm, error in moved.items()}
        limits = log10_bounds(trajectory, view, block, retained)
        bounds |= {(block, norm): values for norm, values in limits.items()}
    steps = step_norms(trajectory, view)
    return _Norms(steps, norms, bounds, errors, upper_bounds, trajectory_errors, summaries, courses)


def _measure_draw(
    trajectory: Trajectory, question: ComparisonQuestion, draw: int | None, every: _Norms | None = None
) -> DrawMeasurement:
    """Return what one draw shows; ``draw`` is its place where the trajectory has several."""
    every = every or _measure_norms(trajectory, question)
    pairs = _pairs(trajectory, question.view) if question.pair_map else None
    place = ... if draw is None else draw
    return DrawMeasurement(
        log10_step_norms=every.steps.log10[place],
        step_norm_error=every.steps.error,
        log10_norms={series: values[place] for series, values in every.norms.items()},
        log10_bounds={series: values[place] for series, values in every.bounds.items()},
        errors=every.errors,
        upper_bounds={series: values[place] for series, values in every.upper_bounds.items()},
        trajectory_errors={series: float(error[place]) for series, error in every.trajectory_errors.items()},
        state_size=trajectory.cell.state_size,
        block_sizes=_block_sizes(trajectory.cell),
        blow_up=trajectory.blow_up,
        underflow=trajectory.underflow,
        gates=[gate.of(draw) for gate in every.gates],
        gate_steps=[course[place] for course in every.gate_steps],
        paths=path_norms(trajectory, exact=question.view.exact) if question.paths else [],
        pairs=pairs.log10 if pairs else None,
        pair_bounds=pairs.bounds if pairs else None,
    )


def _block_sizes(cell: Cell) -> dict[str, int]:
    """Return how many rows the blocks on the diagonal have; ``direct`` has those of the cell state."""
    rows = {name: len(np.arange(cell.state_size)[part]) for name, part in cell.parts.items()}
    sizes = {name * 2: count for name, count in rows.items()}
    return {**sizes, "state": cell.state_size, "direct": rows.get("c", rows["h"])}


def _pairs(trajectory: Trajectory, view: View) -> PairNorms:
    return pair_norms(trajectory, view.blocks[0], view.norms[0], exact=view.exact)
