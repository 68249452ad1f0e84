"""A gradient taken apart: the sweep through its lags, what windows lose, and what differences say of it."""

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gradflow.analysis.bptt.differences import difference_error
from gradflow.analysis.bptt.extended_range import extend_trajectory
from gradflow.analysis.bptt.losses import Objective
from gradflow.analysis.bptt.parameters import Block, move_weights, select_blocks, values
from gradflow.analysis.bptt.sweep import Streams, Unrolled
from gradflow.analysis.bptt.truncation import Account, Lag, Pairs
from gradflow.analysis.shared.progress import Progress, ProgressCounter
from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.analysis.shared.trajectory_error import perturb_states, stated_error
from gradflow.cells.base import Array
from gradflow.linalg.entrywise import EXTENDED_DTYPE
from gradflow.linalg.scaled import ScaledNumber, shift_exponents

SMALL_WEIGHT_SHARE, MAX_MOVED_WEIGHT = 1e-3, 1e300  # of a weight that is moved to see what the loss does


class Apart(NamedTuple):
    """A gradient and its parts."""

    blocks: Sequence[Block]
    start: Streams  # at lag 0
    account: Account
    lags: Sequence[Lag]
    pairs: Pairs | None

    @property
    def range_lost(self) -> bool:
        """Whether, up to now, a number was under the extended range and counts as 0."""
        return self.start.unrolled.watch.noticed

    def lost(self, windows: Sequence[int]) -> list[ScaledNumber]:
        """Return what is lost of the gradient, relative, where the state is detached every so many steps."""
        with np.errstate(over="ignore", under="ignore"):
            return [self.account.lost(self.start, window) for window in windows]


def take_apart(
    objective: Objective,
    parameter: str,
    pair_map: bool = False,
    progress: Progress | None = None,
) -> Apart:
    """Return every lag's part of the gradient, and the gradient itself; ``progress`` counts the lags.

    Raises
    ------
    UsageError
        For a parameter that there is not.
    """
    counter = ProgressCounter(progress)
    with np.errstate(over="ignore", under="ignore"):
        streams, blocks = _backward(objective, parameter)
        account = Account(streams)
        pairs = Pairs(account) if pair_map else None
    start = copy(streams)

    lags: list[Lag] = []
    counter.begin(objective.trajectory.steps)
    for _ in range(objective.trajectory.steps):
        with np.errstate(over="ignore", under="ignore"):
            part = streams.advance()
            if pairs is not None:
                pairs.enter(part)
            lags.append(account.enter(part.gradient()))
        counter.add_one()
    return Apart(blocks, start, account, lags, pairs)


class _Backward(NamedTuple):
    """What a sweep starts with."""

    streams: Streams  # at lag 0
    blocks: Sequence[Block]


def _backward(objective: Objective, parameter: str) -> _Backward:
    """Return the adjoint streams of a loss at lag 0, and the blocks of a parameter."""
    trajectory = objective.trajectory
    extended = extend_trajectory(trajectory)
    blocks = select_blocks(extended.uses, parameter)
    factor = extended.factor.lay_side_by_side()
    unrolled = Unrolled(factor, blocks, trajectory.steps, len(trajectory.inputs), extended.watch)
    with extended.watch.watching():
        asked = objective._replace(trajectory=replace(trajectory, states=extended.states)).asked()
    streams = Streams(
        *unrolled.without_layers_below(asked.astype(EXTENDED_DTYPE) if extended.needed else asked)
    )
    return _Backward(streams, blocks)


def trajectory_error(objective: Objective, apart: Apart, parameter: str) -> float:
    """Return an estimate of how far rounding of the states moves the gradient: ‖change‖/‖gradient‖.

    It is inf where a state leaves the range of a double, or where a gradient of 0 is no longer 0.
    """
    trajectory = objective.trajectory
    cell, inputs = trajectory.cell, trajectory.inputs
    largest = 0.0
    for states in perturb_states(trajectory, same_cell=True):
        if not np.isfinite(states).all():
            return math.inf
        moved_run = Trajectory(cell, inputs, states, None, trajectory.underflow)
        run = objective._replace(trajectory=moved_run)
        with np.errstate(over="ignore", under="ignore"):
            streams = _backward(run, parameter).streams
            largest = max(largest, apart.account.change(streams.sum_later().advance().gradient()))
    return stated_error(largest)


def gradient_error(objective: Objective, apart: Apart) -> float:
    """Return how far the sum of all lags is from central differences; nan where those decide nothing."""
    cell, blocks, kept = objective.trajectory.cell, apart.blocks, apart.account.kept
    scale = np.concatenate([np.full(block.size, _usual(values(cell, [block]))) for block in blocks])
    if scale.max() > MAX_MOVED_WEIGHT:
        return math.nan
    generator = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        return difference_error(
            lambda change: objective.value(move_weights(cell, blocks, change)),
            shift_exponents(kept.array, kept.exponent),
            scale,
            generator,
        )


def _usual(weights: Array) -> float:
    """Return the size of a weight, root mean square; of none at all, a little."""
    largest = max(float(np.abs(weights).max()), SMALL_WEIGHT_SHARE)
    return max(largest * float(np.sqrt(np.square(weights / largest).mean())), SMALL_WEIGHT_SHARE)
