"""The Jacobians of a product, one after the other as they are needed: a cell's, or a given stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.trajectory import STRETCH_STEPS, Trajectory, follow
from gradflow.cells.base import Array, Cell
from gradflow.linalg.products import Dense, Factor

PIECE_STEPS = 8 * STRETCH_STEPS  # steps of a cell that are held in memory together


class OrbitStep(NamedTuple):
    """One Jacobian, and ln |det| of it, nan where that was not asked for."""

    factor: Factor
    log_abs_det: float


@dataclass(eq=False)
class CellOrbit:
    """A cell along a stream of inputs (steps, features) from a first state, as far as both go."""

    cell: Cell
    stream: Iterator[Array]
    state: Array
    dets: bool = True
    blow_up: int | None = field(default=None, init=False)  # step, from 1, at which a state overflows
    underflow: bool = field(
        default=False, init=False
    )  # whether a derivative was under 1e-308 and counts as 0
    after_first: Array | None = field(default=None, init=False)  # state after the first piece of the stream

    @property
    def size(self) -> int:
        """Numbers in the state."""
        return self.cell.state_size

    def trajectories(self) -> Iterator[Trajectory]:
        """Yield the way piece by piece, the last piece ending where a state overflows."""
        before = 0
        for inputs in self.stream:
            trajectory = follow(self.cell, inputs, self.state)
            if not before and trajectory.blow_up is None:
                self.after_first = trajectory.states[-1]
            yield trajectory
            self.underflow |= trajectory.underflow
            if trajectory.blow_up is not None:
                self.blow_up = before + trajectory.blow_up
                return
            self.state = trajectory.states[-1]
            before += len(inputs)

    def __iter__(self) -> Iterator[OrbitStep]:
        for trajectory in self.trajectories():
            for first in range(0, trajectory.steps, STRETCH_STEPS):
                _, factor = trajectory.stretch(first)
                count = min(STRETCH_STEPS, trajectory.steps - first)
                dets = factor.log_abs_dets().tolist() if self.dets else [np.nan] * count
                yield from (OrbitStep(factor.at(place), dets[place]) for place in range(count))


@dataclass(eq=False)
class StackOrbit:
    """Given Jacobians (T, n, n), the first of which is applied first."""

    jacobians: Array
    dets: bool = True
    blow_up: int | None = field(default=None, init=False)
    underflow: bool = field(default=False, init=False)

    @property
    def size(self) -> int:
        """Rows of a Jacobian."""
        return int(self.jacobians.shape[-1])

    def __iter__(self) -> Iterator[OrbitStep]:
        for first in range(0, len(self.jacobians), STRETCH_STEPS):
            stretch = self.jacobians[first : first + STRETCH_STEPS]
            dets = Dense(stretch).log_abs_det() if self.dets else np.full(len(stretch), np.nan)
            yield from (
                OrbitStep(Dense(matrix), float(det)) for matrix, det in zip(stretch, dets, strict=True)
            )


@dataclass(eq=False)
class StreamOrbit:
    """Matrices (size, size) that ``draw`` makes, one after the other without end."""

    size: int
    draw: Callable[[], Array]
    blow_up: int | None = field(default=None, init=False)
    underflow: bool = field(default=False, init=False)

    def __iter__(self) -> Iterator[OrbitStep]:
        while True:
            yield OrbitStep(Dense(self.draw()), np.nan)


Orbit = CellOrbit | StackOrbit | StreamOrbit
