"""Changes to a layer that may keep more of a gradient. Each is tried, and its effect is measured.

A trial changes the weights of the layer, runs the layer again and measures the share that is left. With
several sequences, the search for a value uses the first half, and the measurement uses all: a value that
suits one sequence may not suit another. The changes are for a new training, because they undo what was
learned.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.gradient_share import GradientShare, measure_share
from gradflow.analysis.shared.trajectory import Trajectory, follow
from gradflow.cells.base import Array
from gradflow.cells.base import Layer as LayerCell
from gradflow.cells.initialization import chrono_bias, list_counterparts, orthonormal
from gradflow.errors import DataError, NumericalError

# Gains that are tried: from a hundredth to a hundredfold, powers of two, and factors beside the best of them.
MIN_LOG_SCALE, MAX_LOG_SCALE = -math.log(100.0), math.log(100.0)
TRIED_FACTORS = (0.5, 2.0, 0.25, 4.0, 0.125, 8.0, 1 / 16, 16.0, 1 / 32, 32.0)
FINER_FACTORS = (2**0.5, 2**0.25, 2**0.125)
# Advice for a stable layer must bring the share nearer to 1 by as many decades.
MIN_STABLE_IMPROVEMENT = math.log10(2.0)
MAX_TRIED_BIAS = 40.0  # a gate with a larger bias is 1 to the last digit


class RemedyTrial(NamedTuple):
    """A change, its value, and the share that was measured with it."""

    change: str
    value: float
    share: GradientShare


class RemedyCase(NamedTuple):
    """A layer, its trajectory, and the share that is left after ``length`` steps without a change."""

    cell: LayerCell
    trajectory: Trajectory
    before: GradientShare
    length: int
    seed: int
    ends: int = 1  # ends in each run
    window: int | None = None  # lags over which the rate is measured

    def try_change(self, change: str, value: float, cell: LayerCell) -> RemedyTrial:
        """Measure a changed cell along the inputs of all runs."""
        return self._measure(change, value, follow(cell, self.trajectory.inputs))

    def try_for_search(self, change: str, value: float, cell: LayerCell) -> RemedyTrial:
        """Measure a changed cell along the inputs of the first half of the runs, to search for a value."""
        return self._measure(change, value, follow(cell, self._get_search_inputs()))

    def _get_search_inputs(self) -> Array:
        inputs = self.trajectory.inputs
        return inputs if inputs.ndim == 2 else inputs[: (len(inputs) + 1) // 2]

    def _measure(self, change: str, value: float, trajectory: Trajectory) -> RemedyTrial:
        return RemedyTrial(
            change,
            value,
            measure_share(
                trajectory,
                self.length,
                ends=self.ends,
                window=self.window,
                last_decides=self.before.last_decides,
                norms=False,
            ),
        )


def trials(case: RemedyCase) -> Iterator[RemedyTrial]:
    """Yield a trial of every change that suits the cell and the problem, unless it overflows."""
    gate = _find_retaining_gate(case.cell)
    chosen = (set_bias, chrono) if gate and case.before.is_small else (gain, orthogonal)
    for remedy in chosen:
        try:
            yield remedy(case, gate)
        except (NumericalError, DataError):  # weights or a step out of range
            continue


def choose_advised(tried: list[RemedyTrial], before: GradientShare) -> RemedyTrial | None:
    """Return the safe trial whose worst end is nearest to 1, or None.

    It counts only if it brings the median and the worst end nearer to 1 than they are without the change. If
    they are stable without it, it must bring the median nearer by a factor of 2.
    """
    needed = MIN_STABLE_IMPROVEMENT if before.is_stable else 0.0
    better = [
        trial
        for trial in tried
        if trial.share.is_safe
        and trial.share.distance < before.distance
        and trial.share.typical_distance < before.typical_distance - needed
    ]
    return min(better, key=_distance, default=None)


def set_bias(case: RemedyCase, gate: str) -> RemedyTrial:
    """Set the bias of the gate that keeps the state to a value with which its median unit keeps 1/e.

    That is over the length. The search uses the gate values of the unchanged layer. The measurement uses the
    changed layer.
    """
    held = _get_retained(case.trajectory, gate)
    held = held.reshape(-1, held.shape[-1])
    # ln(f/(1 − f)) without the present bias; with a bias b, ln f follows from this + b
    odds = np.log(np.maximum(held, 1e-300)) - np.log(np.maximum(1.0 - held, 1e-16))
    odds -= case.cell.bias[case.cell.blocks[gate]]
    low, high = -MAX_TRIED_BIAS, MAX_TRIED_BIAS
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        lost = np.median(np.logaddexp(0.0, -(odds + middle)).mean(axis=0))
        low, high = (middle, high) if lost > 1.0 / case.length else (low, middle)
    value = round(high, 1)
    name = case.cell.gate_kinds[gate].bias_option
    return case.try_change(name, value, _with_bias(case.cell, gate, lambda bias: np.full_like(bias, value)))


def chrono(case: RemedyCase, gate: str) -> RemedyTrial:
    """Draw the biases of the gate that keeps the state by chrono initialization up to ``length`` steps."""
    longest = float(max(case.length, 2))
    spread = chrono_bias(case.cell.hidden_size, longest, np.random.default_rng(case.seed))
    cell = _with_bias(case.cell, gate, lambda _: spread)
    for other in find_counterparts(case.cell):
        cell = _with_bias(cell, other, lambda _: -spread)
    return case.try_change("chrono", longest, cell)


def gain(case: RemedyCase, gate: str) -> RemedyTrial:  # noqa: ARG001 - the signature of all remedies
    """Multiply the recurrent weights by a factor with which the share is stable, or nearest to 1.

    The search tries three kinds of factors and stops at the first that is safe: the factor
    that would make the rate of a linear cell 0; powers of two, the nearest to 1 first, because a saturated
    cell keeps more with smaller weights; and smaller and smaller changes of the best factor so far. The best
    factor is the one whose worst measurement is nearest to 1.
    """
    found = _search_gain(case)
    return case.try_change("gain", found.value, _with_gain(case, found.value))


def _search_gain(case: RemedyCase) -> RemedyTrial:
    rate = case.before.rate
    first = math.exp(min(max(-rate, MIN_LOG_SCALE), MAX_LOG_SCALE)) if math.isfinite(rate) else 0.5
    found = _gain_trial(case, first)
    for value in TRIED_FACTORS:
        if found.share.is_safe:
            return found
        found = min(found, _gain_trial(case, value), key=_distance)
    for step in FINER_FACTORS:
        for value in (found.value * step, found.value / step):
            if found.share.is_safe:
                return found
            found = min(found, _gain_trial(case, value), key=_distance)
    return found


def _gain_trial(case: RemedyCase, value: float) -> RemedyTrial:
    limited = min(max(value, math.exp(MIN_LOG_SCALE)), math.exp(MAX_LOG_SCALE))
    rounded = float(f"{limited:.3g}")
    return case.try_for_search("gain", rounded, _with_gain(case, rounded))


def _with_gain(case: RemedyCase, value: float) -> LayerCell:
    return case.cell.replace_arrays(weight_hh=value * case.cell.weight_hh)


def orthogonal(case: RemedyCase, gate: str) -> RemedyTrial:  # noqa: ARG001 - the signature of all remedies
    """Replace the recurrent weights of every gate by an orthogonal matrix."""
    generator = np.random.default_rng(case.seed)
    cell = case.cell
    blocks = [
        orthonormal(cell.hidden_size, cell.output_size, 1.0, generator) for _ in range(len(cell.gate_names))
    ]
    return case.try_change("orthogonal", 1.0, cell.replace_arrays(weight_hh=np.concatenate(blocks)))


def find_counterparts(cell: LayerCell) -> list[str]:
    """Return the gates with a bias that let in new values while the retaining gate keeps old ones."""
    gate = _find_retaining_gate(cell)
    return [other for other in list_counterparts(cell.gate_kinds, gate) if gate and other in cell.blocks]


def _find_retaining_gate(cell: LayerCell) -> str:
    """Return the name of the sigmoid gate that keeps the state and has a bias, or an empty text."""
    if getattr(cell, "gate_activation", "") != "sigmoid":
        return ""
    own = [(name, gate) for name, gate in cell.gate_kinds.items() if name in cell.blocks]
    return next((name for name, gate in own if gate.retains and gate.bias_option), "")


def _get_retained(trajectory: Trajectory, gate: str) -> Array:
    return next(one.values for one in trajectory.gates() if one.name == gate)


def _with_bias(cell: LayerCell, gate: str, change: Callable[[Array], Array]) -> LayerCell:
    bias = cell.bias.copy()
    bias[cell.blocks[gate]] = change(bias[cell.blocks[gate]])
    return cell.replace_arrays(bias=bias)


def _distance(trial: RemedyTrial) -> float:
    """Return the distance of the worst measurement from 1; inf after an overflow."""
    return trial.share.distance
