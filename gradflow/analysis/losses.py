"""Losses of what a network shows: their value and their derivative."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradflow.analysis.trajectory import Trajectory
from gradflow.cells.base import Array, Cell
from gradflow.cells.factor import side_by_side
from gradflow.linalg.entrywise import EXTENDED
from gradflow.linalg.products import transposed


class Loss(NamedTuple):
    """A loss of outputs h (B, T, R) and of what is wanted, (B, T, R): targets y, or a readout r.

    It is the mean over the B sequences. ``slope`` is ∂L/∂h, shape (B, T, R).
    """

    value: Callable[[Array, Array], float]
    slope: Callable[[Array, Array], Array]
    targets: bool = True  # or a readout
    last_only: bool = False  # whether the last step alone counts


def _final(outputs: Array, targets: Array) -> float:
    """Return ½‖h_T − y_T‖²."""
    return float(0.5 * np.square(outputs[:, -1] - targets[:, -1]).sum() / len(outputs))


def _final_slope(outputs: Array, targets: Array) -> Array:
    slope = np.zeros_like(outputs)
    slope[:, -1] = (outputs[:, -1] - targets[:, -1]) / len(outputs)
    return slope


def _mean(outputs: Array, targets: Array) -> float:
    """Return the mean over t of ½‖h_t − y_t‖²."""
    return float(0.5 * np.square(outputs - targets).sum() / _count(outputs))


def _mean_slope(outputs: Array, targets: Array) -> Array:
    return np.asarray((outputs - targets) / _count(outputs))


def _readout(outputs: Array, readout: Array) -> float:
    """Return the mean over t of r·h_t."""
    return float((outputs * readout).sum() / _count(outputs))


def _readout_slope(outputs: Array, readout: Array) -> Array:
    return np.asarray(readout / _count(outputs))


def _count(outputs: Array) -> int:
    return int(outputs.shape[0] * outputs.shape[1])


MEAN = Loss(_mean, _mean_slope)
FINAL = Loss(_final, _final_slope, last_only=True)
RANDOM = Loss(_readout, _readout_slope, targets=False)


class Objective(NamedTuple):
    """A loss of what a cell shows along a batch of trajectories; ``wanted`` as `Loss` has it."""

    trajectory: Trajectory  # states (B, T + 1, n)
    loss: Loss
    wanted: Array

    def value(self, cell: Cell | None = None) -> float:
        """Return the loss, of another cell along the same inputs if one is given."""
        states = self.trajectory.states if cell is None else cell.run(self.trajectory.inputs)
        with np.errstate(over="ignore"):
            return self.loss.value(states[:, 1:, self.trajectory.cell.output], self.wanted)

    def asked(self) -> Array:
        """Return ∂L_t/∂s_t of all steps, the sequences of a step side by side: (n, T·B).

        In extended range where one is out of the range of a double.
        """
        states, output = self.trajectory.states[:, 1:], self.trajectory.cell.output
        try:
            with np.errstate(all="raise"):
                slope = self.loss.slope(states[..., output], self.wanted)
        except FloatingPointError:
            with np.errstate(all="ignore"):
                slope = self.loss.slope(states[..., output].astype(EXTENDED), self.wanted.astype(EXTENDED))
        asked = np.zeros(states.shape, slope.dtype)
        asked[..., output] = slope
        return transposed(side_by_side(asked))
