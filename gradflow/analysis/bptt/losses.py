"""Losses of what a network shows: their value, their derivative, and the targets that they compare with."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis.shared.arguments import refuse_without_effect
from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.cells.base import Array, Cell
from gradflow.cells.factor import lay_side_by_side
from gradflow.errors import DataError
from gradflow.linalg.entrywise import EXTENDED_DTYPE
from gradflow.linalg.products import transpose_matrices
from gradflow.printable import escape_unprintable
from gradflow.readers.arrays import read_array
from gradflow.readers.in_memory import convert_array


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


MEAN_LOSS = Loss(_mean, _mean_slope)
FINAL_LOSS = Loss(_final, _final_slope, last_only=True)
RANDOM_LOSS = Loss(_readout, _readout_slope, targets=False)


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
            # an underflow in extended range is for whoever watches
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                slope = self.loss.slope(
                    states[..., output].astype(EXTENDED_DTYPE), self.wanted.astype(EXTENDED_DTYPE)
                )
        asked = np.zeros(states.shape, slope.dtype)
        asked[..., output] = slope
        return transpose_matrices(lay_side_by_side(asked))


class Wanted(NamedTuple):
    """What is wanted of the outputs, (B, T, R), and what to know of it."""

    values: Array
    told: tuple[str, ...] = ()


def draw_targets(loss: Loss, shape: tuple[int, int, int], seed: int) -> Wanted:
    """Return normal draws of what a loss wants, (B, T, R): of a readout the same at every step."""
    sequences, steps, outputs = shape
    if not loss.targets:
        readout = np.random.default_rng([seed, 0, 4]).standard_normal(outputs)
        return Wanted(np.broadcast_to(readout, shape))
    draws = [np.random.default_rng([seed, k, 4]).standard_normal((steps, outputs)) for k in range(sequences)]
    return Wanted(np.stack(draws))


def read_targets(
    source: str | Path | ArrayLike, key: str | None, shape: tuple[int, int, int], *, last_only: bool
) -> Wanted:
    """Return somebody's targets; of more sequences or steps than there are, the first.

    Parameters
    ----------
    source : str, path or array-like
        (T, R) or (B, T, R), a step a row; for the final step alone (R,), (1, R) or (B, 1, R) will do.
    key : str, optional
        Which array of a file with several.
    shape : tuple
        (B, T, R) of the outputs.
    last_only : bool
        Whether the last step alone counts.

    Raises
    ------
    DataError
        For targets that cannot be read, are complex, or have another shape.
    """
    name, found = _read(source, key)
    if np.iscomplexobj(found):
        raise DataError(f"{name}the targets are complex: expected real numbers, a step a row")
    sequences, steps, outputs = shape
    targets = found.reshape((1,) * (3 - found.ndim) + found.shape)
    one = last_only and targets.shape[1] == 1
    if len(targets) < sequences or not (one or targets.shape[1] >= steps) or targets.shape[2] != outputs:
        raise DataError(
            f"{name}targets of shape {_sizes(found.shape)}: expected {_describe_expected(shape, last_only)}, "
            f"a row for the output of {'the last' if last_only else 'every'} step, which is the state h, "
            "before any head"
        )
    used = targets[:sequences, : 1 if one else steps]
    told = (f"Of targets of shape {_sizes(found.shape)} the first {_sizes(used.shape)} are used.",)
    return Wanted(np.broadcast_to(used, shape), () if used.size == targets.size else told)


def _read(source: str | Path | ArrayLike, key: str | None) -> tuple[str, Array]:
    """Return how messages name the source, and what it holds."""
    if not isinstance(source, str | Path):
        refuse_without_effect({"targets_key": key}, "on an array: it picks one of a file")
        return "", convert_array(source, "targets", (1, 2, 3))
    try:
        found = read_array(source, key, dimensions=(1, 2, 3))
    except DataError as error:  # key is the input's
        raise DataError(str(error).replace("`key", "`targets_key")) from None
    return "standard input: " if source == "-" else f"{escape_unprintable(str(source))}: ", found


def _sizes(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _describe_expected(shape: tuple[int, int, int], last_only: bool) -> str:
    """Return the shapes that would do."""
    sequences, steps, outputs = shape
    whole = shape if sequences > 1 else shape[1:]
    last = (sequences, 1, outputs) if sequences > 1 else (1, outputs)
    return f"{_sizes(whole)}{f' or {_sizes(last)}' if last_only and steps > 1 else ''}"
