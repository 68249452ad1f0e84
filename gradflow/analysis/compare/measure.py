"""Measurements of one cell for one or several draws of its weights: norms, bounds, gates and paths."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gradflow.analysis.compare.draws import FollowedDraws, follow_draws
from gradflow.analysis.compare.pair_map import measure_pairs
from gradflow.analysis.compare.paths import measure_paths
from gradflow.analysis.shared.gates import GateSummary, step_quantiles, summarize_gate
from gradflow.analysis.shared.product_norms import (
    MAX_BATCHED_STATE,
    ProductNorms,
    View,
    output_log10_shares,
    product_log10_norms,
    retained_log10_norms,
    scale_to_share,
)
from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.analysis.shared.trajectory_error import TrajectoryRounding
from gradflow.cells.base import Array, Cell
from gradflow.errors import UsageError

# Bounds are raised by this share for each step and each row of the state, because measured norms are rounded.
BOUND_ROUNDING = 8 * float(np.finfo(np.float64).eps)


def log10_bounds(trajectory: Trajectory, view: View, block: str, retained: Array | None) -> dict[str, Array]:
    """Return log₁₀ of an upper bound of each norm that has one, shape (..., T) by lag.

    For the state of a simple recurrent network the bound is (γ σ_max(W))^k, where γ is the largest slope of
    the activation (Pascanu et al. 2013, section 2.1). For the direct path of a gated cell it is ∏ max f. Both
    are bounds of the spectral norm, and so of the smallest singular value. Times √n they are bounds of the
    Frobenius norm.
    """
    steps = _step_bounds(trajectory, block, retained)
    if steps is None:
        return {}
    eps = BOUND_ROUNDING * np.finfo(trajectory.states.dtype).eps / np.finfo(np.float64).eps
    size = trajectory.cell.state_size
    with np.errstate(divide="ignore"):
        logs = np.log10(steps[..., list(view.order(trajectory.steps))] * (1.0 + eps * size))
    spectral = np.cumsum(logs, axis=-1)
    bounds = {"2": spectral, "min": spectral, "fro": spectral + 0.5 * math.log10(size)}
    return {name: bounds[name] for name in view.norms if name in bounds}


def _step_bounds(trajectory: Trajectory, block: str, retained: Array | None) -> Array | None:
    """Return a bound of the norm of each single step, shape (..., T); None if no bound is known."""
    if block == "direct":
        return None if retained is None else retained.max(axis=-1)
    bound = trajectory.cell.step_bound()
    if bound is None or block not in ("state", "hh"):
        return None
    shape = trajectory.inputs.shape[:-1]
    return np.broadcast_to(np.asarray(bound)[..., None], shape)


Series = tuple[str, str]  # block, norm


class ComparisonQuestion(NamedTuple):
    """What to measure: the view, and whether to add the optional tables."""

    view: View
    pair_map: bool = False
    paths: bool = False
    gate_steps: bool = False

    @property
    def max_batched_state(self) -> int:
        """The state size up to which draws of a cell are measured as one batch; 0 for none."""
        needs_single_draws = (
            self.view.exact or self.pair_map or self.paths or {"min", "cond"} & set(self.view.norms)
        )
        return 0 if needs_single_draws else MAX_BATCHED_STATE


class DrawMeasurement(NamedTuple):
    """The measurements of one draw. Arrays (T,) are by lag, up to the last finite step; nan at other lags."""

    steps: int  # the number of lags, T
    log10_norms: dict[Series, Array]
    log10_shares: dict[str, Array]  # of each block at the last lag; nan at others and if no product is formed
    log10_bounds: dict[Series, Array]
    errors: dict[Series, float]  # bounds of the relative error by shortcuts, inverses and rounding
    upper_bounds: dict[
        Series, Array
    ]  # bool: where rounding leaves no digit, so that the norm is an upper bound
    trajectory_errors: dict[Series, float]  # how far rounding of the states may move a norm, in decades
    state_size: int
    block_sizes: dict[str, int]  # columns of each block
    blow_up: int | None
    underflow: bool
    gates: list[GateSummary]
    gate_steps: list[Array]  # for each gate (T, 3): quantiles over units
    paths: list[Array]
    pairs: Array | None
    pair_bounds: Array | None  # bool: where the norm in pairs is an upper bound


def measure(
    cells: Sequence[Cell],
    inputs: Sequence[Array],
    question: ComparisonQuestion,
    initial: Array | None = None,
    on_lag: Callable[[], object] | None = None,
) -> list[DrawMeasurement]:
    """Run draws of one cell and return their measurements; arguments as for `follow_draws`.

    ``on_lag`` is called after lags of the products of draws that are not measured together.
    """
    return [
        draw
        for followed in follow_draws(cells, inputs, question.max_batched_state, initial)
        for draw in _measure_draws(followed, question, on_lag)
    ]


def _measure_draws(
    followed: FollowedDraws, question: ComparisonQuestion, on_lag: Callable[[], object] | None
) -> Iterator[DrawMeasurement]:
    """Yield the measurements of the draws of one trajectory."""
    norms = _measure_norms(followed.trajectory, question, on_lag)
    for place in followed.places:
        yield _measure_draw(followed.trajectory, question, place, norms)


class _TrajectoryNorms(NamedTuple):
    """The norms of one trajectory. Arrays are (..., T); a leading axis, if there is one, holds the draws."""

    norms: dict[Series, Array]
    shares: dict[str, Array]
    bounds: dict[Series, Array]
    errors: dict[Series, float]
    upper_bounds: dict[Series, Array]
    trajectory_errors: dict[Series, Array]  # (...)
    gates: list[GateSummary]
    gate_steps: list[Array]


def _measure_norms(
    trajectory: Trajectory, question: ComparisonQuestion, on_lag: Callable[[], object] | None
) -> _TrajectoryNorms:
    view = question.view
    gates = trajectory.gates()
    summaries = [summarize_gate(gate) for gate in gates] if trajectory.steps else []
    gate_steps = [step_quantiles(gate.values) for gate in gates] if summaries and question.gate_steps else []
    retaining = [gate.values for gate in gates if gate.gate.retains]
    retained = np.concatenate(retaining, axis=-1) if retaining else None
    norms: dict[Series, Array] = {}
    shares: dict[str, Array] = {}
    sizes = _block_sizes(trajectory.cell)
    bounds: dict[Series, Array] = {}
    errors: dict[Series, float] = {}
    upper_bounds: dict[Series, Array] = {}
    trajectory_errors: dict[Series, Array] = {}
    rounding = TrajectoryRounding(trajectory)
    for block in view.blocks:
        if block == "direct":
            if retained is None:
                raise UsageError(
                    "block 'direct': this cell has no gate that multiplies its state; expected lstm or gru"
                )
            direct = retained_log10_norms(retained, view._replace(norms=tuple({*view.norms, "fro"})))
            products = {
                norm: ProductNorms(logs, 0.0, np.zeros(logs.shape, bool)) for norm, logs in direct.items()
            }
        else:
            products = product_log10_norms(trajectory, view, block, on_lag)
        if "fro" in products:  # with the smallest singular value alone there is no verdict, and so no share
            if block == "state" and trajectory.cell.output_size < sizes["state"]:
                output = products.get("output")
                shares[block] = (
                    scale_to_share(output.log10, trajectory.cell)
                    if output
                    else output_log10_shares(trajectory, view)
                )
            else:
                shares[block] = products["fro"].log10 - 0.5 * math.log10(sizes[block])
        products = {norm: products[norm] for norm in view.norms}
        norms |= {(block, norm): product.log10 for norm, product in products.items()}
        errors |= {(block, norm): product.error for norm, product in products.items()}
        upper_bounds |= {(block, norm): product.bounds for norm, product in products.items()}
        trajectory_changes = rounding.norm_errors(view, block)
        trajectory_errors |= {(block, norm): error for norm, error in trajectory_changes.items()}
        theory = log10_bounds(trajectory, view, block, retained)
        bounds |= {(block, norm): values for norm, values in theory.items()}
    return _TrajectoryNorms(
        norms, shares, bounds, errors, upper_bounds, trajectory_errors, summaries, gate_steps
    )


def _measure_draw(
    trajectory: Trajectory,
    question: ComparisonQuestion,
    draw: int | None,
    norms: _TrajectoryNorms,
) -> DrawMeasurement:
    """Return the measurements of one draw; ``draw`` is its place on the leading axis, None without one."""
    view, pairs = question.view, None
    if question.pair_map:
        pairs = measure_pairs(trajectory, view.blocks[0], view.norms[0], exact=view.exact)
    place = ... if draw is None else draw
    return DrawMeasurement(
        steps=trajectory.steps,
        log10_norms={series: values[place] for series, values in norms.norms.items()},
        log10_shares={block: values[place] for block, values in norms.shares.items()},
        log10_bounds={series: values[place] for series, values in norms.bounds.items()},
        errors=norms.errors,
        upper_bounds={series: values[place] for series, values in norms.upper_bounds.items()},
        trajectory_errors={series: float(error[place]) for series, error in norms.trajectory_errors.items()},
        state_size=trajectory.cell.state_size,
        block_sizes=_block_sizes(trajectory.cell),
        blow_up=trajectory.blow_up,
        underflow=trajectory.underflow,
        gates=[gate.of(draw) for gate in norms.gates],
        gate_steps=[course[place] for course in norms.gate_steps],
        paths=measure_paths(trajectory, exact=view.exact) if question.paths else [],
        pairs=pairs.log10 if pairs else None,
        pair_bounds=pairs.bounds if pairs else None,
    )


def _block_sizes(cell: Cell) -> dict[str, int]:
    """Return the number of rows of each block; ``direct`` has those of the cell state."""
    rows = {name: len(np.arange(cell.state_size)[part]) for name, part in cell.parts.items()}
    sizes = {to + of: count for to, count in rows.items() for of in rows}
    return {**sizes, "state": cell.state_size, "direct": rows.get("c", rows["h"])}
