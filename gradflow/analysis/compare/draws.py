"""The draws of a comparison: the weights and inputs of each, and which of them are measured together."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from gradflow.analysis.shared.checkpoints import Trained
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.subjects import Spec, draw_cell
from gradflow.analysis.shared.trajectory import Trajectory, follow
from gradflow.cells.base import Array, Cell

MAX_BATCH_ENTRIES = 2**19  # numbers in the products of one batch


class Draws(NamedTuple):
    """Source of weights and inputs, with the same seeds for every cell, so that variants share a draw."""

    hidden: int
    seed: int
    seeds: int
    inputs: Inputs
    dtype: np.dtype[Any]

    def draw_inputs(self, spec: Spec, draw: int) -> Array:
        """Return the inputs of one draw in the order in which a cell reads them."""
        inputs = self.inputs.draw(draw, self.dtype)
        return inputs[::-1] if isinstance(spec, Trained) and spec.backward else inputs

    def make_cell(self, spec: Spec, draw: int) -> Cell:
        """Return a cell with the weights of one draw, which are its own."""
        return draw_cell(spec, self.hidden, self.inputs.features, self.seed, draw).astype(self.dtype)

    def split_batches(self, spec: Spec, max_batched_state: int) -> Iterator[range]:
        """Yield the draws to measure together, as many as fit into one batch of cells up to a state size."""
        size = self.make_cell(spec, 0).state_size
        batch_size = 1
        if size <= max_batched_state:
            batch_size = max(MAX_BATCH_ENTRIES // (size * max(size, self.inputs.steps)), 1)
        draws = self.count_draws(spec)
        for first in range(0, draws, batch_size):
            yield range(first, min(first + batch_size, draws))

    def count_draws(self, spec: Spec) -> int:
        """Return the number of different draws: of a trained network at most one for each given input."""
        if not isinstance(spec, Trained) or self.inputs.kind == "normal":
            return self.seeds
        return min(self.seeds, 1 if self.inputs.data is None else len(self.inputs.data))

    def copy_data(self) -> Self:
        """Return the same draws with a copy of given inputs, which later changes of these do not reach."""
        return self._replace(inputs=self.inputs.copy_first(self.seeds))


class FollowedDraws(NamedTuple):
    """One trajectory, and how many draws it holds on a leading axis; None if it has no such axis."""

    trajectory: Trajectory
    draws: int | None

    @property
    def places(self) -> list[int | None]:
        """Where each draw is on the leading axis."""
        return [None] if self.draws is None else list(range(self.draws))


def follow_draws(
    cells: Sequence[Cell], inputs: Sequence[Array], max_batched_state: int, initial: Array | None = None
) -> Iterator[FollowedDraws]:
    """Run draws of one cell, each along its own inputs (T, features), and yield their trajectories.

    All draws start from the state ``initial``, or from 0. Draws of a cell with at most ``max_batched_state``
    numbers in its state run as one batch. If a state of the batch overflows, each draw runs alone, as far as
    its own states are finite.
    """
    if cells[0].state_size > max_batched_state:
        for cell, x in zip(cells, inputs, strict=True):
            yield FollowedDraws(follow(cell, x, initial), None)
        return
    batch = follow(cells[0].with_weights(np.stack, cells[1:]), np.stack(inputs), initial)
    if batch.blow_up is None or len(cells) == 1:
        yield FollowedDraws(batch, len(cells))
        return
    for cell, x in zip(cells, inputs, strict=True):
        yield FollowedDraws(follow(cell.with_weights(np.stack), x[None], initial), 1)
