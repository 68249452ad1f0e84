"""Exponents along several orbits: from where, for how long, and piece by piece."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.checkpoints import Trained
from gradflow.analysis.shared.growth_run import GrowthRun
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.orbit import PIECE_STEPS, CellOrbit, Orbit
from gradflow.analysis.shared.progress import ProgressCounter
from gradflow.analysis.shared.subjects import Spec, draw_cell
from gradflow.errors import NumericalError, UsageError

DEFAULT_MEASURED_STEPS = 1000  # that are measured, where neither a person nor the data say how many
RUN_BATCHES = 32  # that a run is measured in
MAX_ROUNDS = 1000  # runs of that many steps, one after the other, in search of a tolerance
# Standard deviation of the first state: 0 may be a fixed point that nothing near it approaches.
INITIAL_STATE_SPREAD = 0.1
RUN_STARTS = 3  # initial states that a draw is run from: one near 0, one that is not, and its opposite
Piece = tuple[bool, int]  # whether it is measured, and its steps


class Plan(NamedTuple):
    """Steps left out, and steps measured after them."""

    transient: int
    steps: int


def plan_of(steps: int | None, transient: int | None, available: int | None) -> Plan:
    """Return how many steps to take, of as many as there are (None: of any number)."""
    if available is None:
        steps = DEFAULT_MEASURED_STEPS if steps is None else steps
        return Plan(steps // 10 if transient is None else transient, steps)
    if transient is None:
        transient = available // 10 if steps is None else max(min(steps // 10, available - steps), 0)
    if steps is None:
        steps = available - transient
    if steps < 1 or transient + steps > available:
        raise UsageError(
            f"steps {steps} after a transient of {transient}: the data have {available} steps; expected at "
            f"most {available} together, and at least 1 to measure"
        )
    return Plan(transient, steps)


def orbit_of(
    spec: Spec, hidden: int, inputs: Inputs, seed: int, draw: int, count: int | None = None, start: int = 0
) -> CellOrbit:
    """Return one draw of a cell along its inputs, from one of its `RUN_STARTS` initial states."""
    cell = draw_cell(spec, hidden, inputs.features, seed, draw)
    if start:  # a threshold between two attractors lies between opposite states, or near enough to it
        far = np.random.default_rng([seed, draw, 4]).standard_normal(cell.state_size)
        state = far if start == 1 else -far
    else:
        state = np.random.default_rng([seed, draw, 2]).normal(0.0, INITIAL_STATE_SPREAD, cell.state_size)
    if isinstance(spec, Trained) and spec.backward and inputs.data is not None:
        inputs = replace(inputs, data=inputs.data[:, ::-1])
    return CellOrbit(cell, inputs.stream(draw, PIECE_STEPS), state, dets=count in (None, cell.state_size))


def measure_exponents(
    orbits: Sequence[Orbit],
    count: int,
    plan: Plan,
    *,
    tolerance: float | None = None,
    seed: int = 0,
    counter: ProgressCounter | None = None,
) -> list[GrowthRun]:
    """Return the leading ``count`` exponents along every orbit, as far as the plan or the tolerance wants.

    Each piece of the plan is counted on ``counter``.

    Raises
    ------
    NumericalError
        Where an orbit ends before anything is measured.
    """
    runs = [
        GrowthRun(orbit, count, np.random.default_rng([seed, draw, 3])) for draw, orbit in enumerate(orbits)
    ]

    pieces = pieces_of(plan)
    rounds = pieces if tolerance is None else chain(pieces, _rounds(plan, runs, tolerance))
    for piece in rounds:
        advance(runs, piece)
        if counter is not None:
            counter.add_one()
    for run in runs:
        if not run.steps:
            raise NumericalError(
                f"the state overflows at step {run.orbit.blow_up}, within the transient of {plan.transient} "
                "steps; give a smaller transient or smaller weights"
            )
    return runs


def advance(runs: Iterable[GrowthRun], piece: Piece) -> None:
    """Let every run skip or measure the next steps."""
    measures, steps = piece
    for run in runs:
        (run.measure if measures else run.skip)(steps)


def pieces_of(plan: Plan) -> list[Piece]:
    """Return transient and steps in as many pieces as tell errors."""
    return [*((False, length) for length in _batches(plan.transient)), *_round(plan)]


def _batches(steps: int) -> list[int]:
    """Return the lengths of as many batches as there are to be, the same but for one step."""
    ends = np.linspace(0, steps, min(steps, RUN_BATCHES) + 1).round().astype(int)
    return [int(length) for length in np.diff(ends)]


def _round(plan: Plan) -> list[Piece]:
    return [(True, length) for length in _batches(plan.steps)]


def _rounds(plan: Plan, runs: Sequence[GrowthRun], tolerance: float) -> Iterator[Piece]:
    """Yield more batches until all exponents are as certain as the tolerance twice in a row, or orbits end.

    Once is not enough: who stops at the first small error stops where it is small by chance.
    """
    before = False
    for _ in range(MAX_ROUNDS - 1):
        if not all(run.steps for run in runs) or any(
            run.ended and not run.sure(tolerance).all() for run in runs
        ):
            return  # an orbit that ended can be no better known
        errors = np.sqrt(np.mean([run.standard_errors() ** 2 for run in runs], axis=0) / len(runs))
        certain = bool((errors <= tolerance).all()) and all(run.sure(tolerance).all() for run in runs)
        if (certain and before) or all(run.ended for run in runs):
            return
        before = certain
        yield from _round(plan)
