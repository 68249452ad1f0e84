"""A cell along inputs: its states as far as they go, and the Jacobians of its steps."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradflow.cells.base import Array, Cell, GateValues
from gradflow.cells.factor import StepFactor
from gradflow.errors import UsageError

# This many steps are linearized at once: enough to be quick, few enough to stay in the cache.
STRETCH_STEPS = 64


@dataclass(eq=False)
class Trajectory:
    """Where a cell went, and how each step depends on the one before; leading axes as the cell has them."""

    cell: Cell
    inputs: Array  # (..., T, input_size)
    states: Array  # (..., T + 1, state_size)
    blow_up: int | None  # the step, from 1, at which a state left the range of a double
    underflow: bool  # whether a gate or a derivative was under 1e-308 and counts as 0
    _stretch: tuple[int, StepFactor] | None = field(default=None, repr=False)

    @property
    def steps(self) -> int:
        """T, the steps whose states are finite."""
        return int(self.inputs.shape[-2])

    @property
    def size(self) -> int:
        """Numbers in the state."""
        return int(self.states.shape[-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the states."""
        return self.states.dtype

    def gates(self) -> list[GateValues]:
        """Return the values of every gate of every layer, each (..., T, H)."""
        with np.errstate(over="ignore", under="ignore"):  # an open gate is open, however far
            return self.cell.gates(self.states, self.inputs)

    def jacobian(self, place: int) -> StepFactor:
        """Return ∂s_{place+1}/∂s_place as a factor, place from 0 to T − 1.

        A stretch of neighbours is linearized with it and kept until another is asked for, so that all
        Jacobians of a long trajectory never take memory together.
        """
        first, factor = self.stretch(place)
        return factor.at(place - first)

    def stretch(self, place: int) -> tuple[int, StepFactor]:
        """Return the first of the neighbours of ``place``, and their Jacobians as one factor with points."""
        first = place - place % STRETCH_STEPS
        if self._stretch is None or self._stretch[0] != first:
            self._stretch = first, self.linearize_steps(first, min(first + STRETCH_STEPS, self.steps))
        return self._stretch

    def linearize_steps(self, first: int, last: int) -> StepFactor:
        """Return the Jacobians of the steps from ``first`` to before ``last`` as one factor with points.

        Raises
        ------
        UsageError
            If the cell gives Jacobians of another size than its state.
        """
        with np.errstate(over="ignore", under="call", call=self._note_underflow):
            states, inputs = self.states[..., first : last + 1, :], self.inputs[..., first:last, :]
            factor = self.cell.linearize(states, inputs)
        if factor.size != self.size:
            raise UsageError(
                f"the Jacobians of {type(self.cell).__name__} have {factor.size} rows; expected {self.size}, "
                "the size of its state"
            )
        return factor

    def _note_underflow(self, kind: str, flag: int) -> None:  # noqa: ARG002 - as numpy.seterrcall has it
        self.underflow = True


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
    return Trajectory(cell, inputs, states, blow_up, bool(lost))
