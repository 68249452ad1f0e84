"""Derivatives and states that are too small for a double, where backpropagation needs them.

A saturated unit has a derivative of e^−|z|, which is 0 as a double from |z| = 745 on, and a state that decays
is 0 in the end. Neither is 0. Where a double has lost one, it is computed in extended range; everything else
is left as it is.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.cells.base import Array, Use
from gradflow.cells.factor import StepFactor
from gradflow.linalg.entrywise import EXTENDED_DTYPE
from gradflow.linalg.underflow import UnderflowWatch

MIN_SAFE_ENTRY = 2.0**-1000  # digits of a double are lost somewhat under that
MIN_SAFE_WEIGHT = 2.0**-200  # one product with it may take an entry near 1 out of the range that is watched
# Under that a state may be 0 at the next step, in extended range too.
SMALLEST_STATE = np.ldexp(EXTENDED_DTYPE.type(1.0), int(np.finfo(EXTENDED_DTYPE).minexp) + 1074)


Uses = Sequence[dict[str, list[Use]]]  # layer by layer, how each parameter enters each step


class ExtendedTrajectory(NamedTuple):
    """A trajectory and the derivatives of its steps, including those that are too small for doubles.

    ``needed`` says whether the Jacobians need extended range. ``watch.noticed`` says whether a number is too
    small even for that.
    """

    states: Array  # (B, T + 1, n)
    factor: StepFactor
    uses: Uses
    needed: bool
    watch: UnderflowWatch


def extend_trajectory(trajectory: Trajectory) -> ExtendedTrajectory:
    """Return states and derivatives. Those too small for a double are computed in extended range."""
    doubles, watch = UnderflowWatch(trajectory.underflow), UnderflowWatch()
    factor, uses = _derive(trajectory, doubles)
    weights = trajectory.cell.weights().values()
    needed = any(((weight != 0) & (np.abs(weight) < MIN_SAFE_WEIGHT)).any() for weight in weights)
    if not doubles.noticed:
        return ExtendedTrajectory(trajectory.states, factor, uses, needed, watch)
    wide, states = _extend_states(trajectory, watch)
    sizes = np.abs(states)
    watch.noticed |= bool(((sizes > 0) & (sizes < SMALLEST_STATE)).any())
    wide_factor, wide_uses = _derive(wide, watch)
    pairs = list(zip(_arrays(factor), _arrays(wide_factor), strict=True))
    # Rounding decides on which side of a kink a tiny number lies, so the side is not known.
    watch.noticed |= any(((own == 0) & (np.abs(other) >= MIN_SAFE_ENTRY)).any() for own, other in pairs)
    merged = [_with_small_ones(*pair) for pair in pairs]
    following = iter(merged)
    factor = factor.with_arrays(lambda _: next(following))
    others = iter(_collect_arrays(lambda note: _change_uses(wide_uses, note)))
    uses = _change_uses(uses, lambda values: _with_small_ones(values, next(others)))
    needed = needed or any(array.dtype == EXTENDED_DTYPE for array in merged)
    return ExtendedTrajectory(states, factor, uses, needed, watch)


def _derive(trajectory: Trajectory, watch: UnderflowWatch) -> tuple[StepFactor, Uses]:
    """Return the Jacobians of all steps and how parameters enter them, under a watch."""
    with watch.watching():
        factor = trajectory.cell.linearize(trajectory.states, trajectory.inputs)
        return factor, trajectory.cell.uses(trajectory.states, trajectory.inputs)


def _extend_states(trajectory: Trajectory, watch: UnderflowWatch) -> tuple[Trajectory, Array]:
    """Return the trajectory in extended range, and its states, which are doubles where those have all."""
    cell, inputs = trajectory.cell.astype(EXTENDED_DTYPE), trajectory.inputs.astype(EXTENDED_DTYPE)
    states = trajectory.states
    if (np.abs(states[..., 1:, :]) < MIN_SAFE_ENTRY).any():
        with watch.watching():
            run = cell.run(inputs, states[..., 0, :].astype(EXTENDED_DTYPE))
        states = _with_small_ones(states, run)
    return Trajectory(cell, inputs, states.astype(EXTENDED_DTYPE), None, underflow=False), states


def _change_uses(uses: Uses, change: Callable[[Array], Array]) -> Uses:
    """Return the same uses with every array changed."""

    def changed(use: Use) -> Use:
        seen, scale = (None if values is None else change(values) for values in (use.seen, use.scale))
        return use._replace(seen=seen, scale=scale)

    return [{name: [changed(use) for use in own] for name, own in layer.items()} for layer in uses]


def _arrays(factor: StepFactor) -> list[Array]:
    """Return the arrays of a factor that have an axis of points."""
    return _collect_arrays(factor.with_arrays)


def _collect_arrays(visit: Callable[[Callable[[Array], Array]], object]) -> list[Array]:
    """Return the arrays that ``visit`` would change, in its order."""
    found: list[Array] = []

    def note(values: Array) -> Array:
        found.append(values)
        return values

    visit(note)
    return found


def _with_small_ones(values: Array, wide: Array) -> Array:
    """Return the values themselves, or in extended range if a small one is known better there."""
    small = (np.abs(values) < MIN_SAFE_ENTRY) & (np.abs(wide) < MIN_SAFE_ENTRY)
    if not (small & (values != wide)).any():
        return values
    return np.where(small, wide, values.astype(EXTENDED_DTYPE))
