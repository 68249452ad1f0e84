"""Derivatives and states that are too small for a double, where backpropagation needs them.

A saturated unit has a derivative of e^−|z|, which is 0 as a double from |z| = 745 on, and a state that decays
is 0 in the end. Neither is 0. Where a double has lost one, it is computed in extended range; everything else
is left as it is.
"""

from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.cells.base import Array
from gradflow.cells.factor import StepFactor
from gradflow.linalg.entrywise import EXTENDED

SMALL = 2.0**-1000  # digits of a double are lost somewhat under that
SMALL_WEIGHT = 2.0**-200  # one product with it may take an entry near 1 out of the range that is watched
# Under that a state may be 0 at the next step, in extended range too.
SMALLEST_STATE = np.ldexp(EXTENDED.type(1.0), int(np.finfo(EXTENDED).minexp) + 1074)


class ExtendedTrajectory(NamedTuple):
    """The states of a trajectory and the Jacobians of its steps, with what doubles have lost of both.

    ``needed`` says whether the Jacobians ask for an extended range, ``lost`` whether even that has lost some.
    """

    states: Array  # (B, T + 1, n)
    factor: StepFactor
    needed: bool
    lost: bool


def extend_trajectory(trajectory: Trajectory) -> ExtendedTrajectory:
    """Return states and Jacobians, in extended range where one is under the range of a double."""
    raised: list[str] = []
    factor = _linearize(trajectory, raised)
    weights = trajectory.cell.weights().values()
    needed = any(((weight != 0) & (np.abs(weight) < SMALL_WEIGHT)).any() for weight in weights)
    if not raised and not trajectory.underflow:
        return ExtendedTrajectory(trajectory.states, factor, needed, lost=False)
    wide, states = _extend_states(trajectory)
    sizes = np.abs(states)
    lost = bool(((sizes > 0) & (sizes < SMALLEST_STATE)).any())
    raised.clear()
    arrays = _arrays(_linearize(wide, raised))
    merged = [_with_small_ones(*pair) for pair in zip(_arrays(factor), arrays, strict=True)]
    # a kink that the rounding of a tiny number decides: which side it is on is not known
    kinks = any(
        ((own == 0) & (np.abs(other) >= SMALL)).any()
        for own, other in zip(_arrays(factor), arrays, strict=True)
    )
    following = iter(merged)
    factor = factor.with_arrays(lambda _: next(following))
    needed = needed or any(array.dtype == EXTENDED for array in merged)
    return ExtendedTrajectory(states, factor, needed, lost or kinks or bool(raised))


def _linearize(trajectory: Trajectory, raised: list[str]) -> StepFactor:
    """Return the Jacobians of all steps, and note underflows."""
    with np.errstate(all="ignore", under="call", call=lambda kind, _: raised.append(kind)):
        return trajectory.cell.linearize(trajectory.states, trajectory.inputs)


def _extend_states(trajectory: Trajectory) -> tuple[Trajectory, Array]:
    """Return the trajectory in extended range, and its states, which are doubles where those have all."""
    cell, inputs = trajectory.cell.astype(EXTENDED), trajectory.inputs.astype(EXTENDED)
    states = trajectory.states
    if (np.abs(states[..., 1:, :]) < SMALL).any():
        with np.errstate(all="ignore"):
            run = cell.run(inputs, states[..., 0, :].astype(EXTENDED))
        states = _with_small_ones(states, run)
    return Trajectory(cell, inputs, states.astype(EXTENDED), None, underflow=False), states


def _arrays(factor: StepFactor) -> list[Array]:
    """Return the arrays of a factor that have an axis of points."""
    found: list[Array] = []

    def note(values: Array) -> Array:
        found.append(values)
        return values

    factor.with_arrays(note)
    return found


def _with_small_ones(values: Array, wide: Array) -> Array:
    """Return the values themselves, or in extended range if a small one is known better there."""
    small = (np.abs(values) < SMALL) & (np.abs(wide) < SMALL)
    if not (small & (values != wide)).any():
        return values
    return np.where(small, wide, values.astype(EXTENDED))
