"""A cell along inputs: its states as far as they go, and the Jacobians of its steps."""

from dataclasses import dataclass

import numpy as np

from gradflow.cells.base import Array, Cell, StepFactor


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Where a cell went, and how each step depends on the one before; leading axes as the cell has them."""

    cell: Cell
    inputs: Array  # (..., T, input_size)
    states: Array  # (..., T + 1, state_size)
    factor: StepFactor  # with an axis of T points
    blow_up: int | None  # the step, from 1, at which a state left the range of a double
    underflow: bool  # whether a derivative was under 1e-308 and counts as 0

    @property
    def steps(self) -> int:
        """T, the steps whose states are finite."""
        return int(self.inputs.shape[-2])


def follow(cell: Cell, inputs: Array, initial: Array | None = None) -> Trajectory:
    """Run a cell along inputs (..., T, input_size) from ``initial`` (or 0) while states are finite.

    Examples
    --------
    >>> from gradflow.cells.rnn import RNN
    >>> cell = RNN(np.ones((1, 1)), np.array([[1e200]]), np.zeros(1), "identity")
    >>> follow(cell, np.ones((9, 1))).blow_up
    3
    """
    lost: list[str] = []
    with np.errstate(over="ignore", invalid="ignore", under="call", call=lambda kind, _: lost.append(kind)):
        states = cell.run(inputs, initial)
        # finite at every step but not for every seed: the first to leave ends them all
        finite = np.isfinite(states).all(axis=(*range(states.ndim - 2), -1))
        blow_up = None if finite.all() else int(np.argmin(finite))
        if blow_up is not None:
            inputs, states = inputs[..., : blow_up - 1, :], states[..., :blow_up, :]
        factor = cell.linearize(states, inputs)
    return Trajectory(cell, inputs, states, factor, blow_up, bool(lost))
