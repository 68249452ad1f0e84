"""The leading exponent of one draw from several initial states: a system may have several attractors."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gradflow.analysis.shared.exponents import RUN_STARTS, Piece, Plan, advance, pieces_of
from gradflow.analysis.shared.growth_run import GrowthRun
from gradflow.analysis.shared.orbit import CellOrbit, Orbit
from gradflow.analysis.shared.progress import ProgressCounter
from gradflow.analysis.shared.verdicts import MAX_STABLE_FACTOR

MIN_CERTAIN_HALF_WIDTHS = 3.0  # half-widths of 95 % intervals, beyond which a difference is no chance
MAX_STEPS_OF_OTHERS = 1000  # enough to tell attractors apart, at a cost that a long run does not notice
# Two states at most this relative distance apart take the same way from there on.
MAX_SAME_STATE_DISTANCE = 1e-6


class StartExponent(NamedTuple):
    """The leading exponent from one initial state: inf where the state overflows before it is measured."""

    exponent: float
    half_width: float  # of its 95 % interval; nan where it is unknown
    steps: int
    blow_up: int | None


class DrawStarts(NamedTuple):
    """The leading exponents of one draw from several initial states."""

    first: StartExponent
    others: list[StartExponent]  # those whose states did not come together with the first

    @property
    def exponents(self) -> list[float]:
        """The exponents, the first state's first."""
        return [one.exponent for one in (self.first, *self.others)]

    @property
    def difference(self) -> float:
        """How far the largest is over the smallest, nats per step."""
        return max(self.exponents) - min(self.exponents) if len(set(self.exponents)) > 1 else 0.0

    @property
    def agree(self) -> bool | None:
        """Whether the others differ by chance alone, or too little to matter; None where nobody can tell.

        What two runs differ by because of how they began is a factor of their growth, not a rate: less than
        100 over the steps is called none. Of so few steps that nothing is known of the error, nobody can.
        """
        if self.first.steps and math.isnan(self.first.half_width):
            return None
        told = [self._agrees(other) for other in self.others]
        return False if False in told else None if None in told else True

    def _agrees(self, other: StartExponent) -> bool | None:
        if (self.first.blow_up is None) != (other.blow_up is None):
            return False
        if self.first.exponent == other.exponent:
            return True
        spread = math.hypot(self.first.half_width, other.half_width)
        if math.isnan(spread):
            return None
        allowed = MIN_CERTAIN_HALF_WIDTHS * spread + math.log(MAX_STABLE_FACTOR) / min(
            self.first.steps, other.steps
        )
        return abs(self.first.exponent - other.exponent) <= allowed


def measure_starts(
    runs: Sequence[GrowthRun],
    orbit_from: Callable[[int, int], CellOrbit],
    plan: Plan,
    seed: int,
    counter: ProgressCounter,
) -> list[DrawStarts]:
    """Return the leading exponents of each draw from its other initial states, beside the run of the first.

    ``orbit_from`` makes the orbit of a draw from one of the initial states. Where its state comes together
    with that of the run nothing is measured: it is the same orbit from there on. The others are measured over
    as many steps as the run, but at most `MAX_STEPS_OF_OTHERS`. Each piece of them is counted on ``counter``.
    """
    apart = [
        [start for start in range(1, RUN_STARTS) if not _come_together(run.orbit, orbit_from(draw, start))]
        for draw, run in enumerate(runs)
    ]
    others = [
        [GrowthRun(orbit_from(draw, start), 1, np.random.default_rng([seed, draw, 3])) for start in several]
        for draw, several in enumerate(apart)
    ]
    flat = [run for several in others for run in several]
    for piece in pieces_of_others(plan):
        advance(flat, piece)
        counter.add_one()
    return [
        DrawStarts(_exponent_of(run), [_exponent_of(other) for other in several])
        for run, several in zip(runs, others, strict=True)
    ]


def pieces_of_others(plan: Plan) -> list[Piece]:
    """Return the pieces in which the other initial states are measured, beside runs of a plan."""
    return pieces_of(plan._replace(steps=min(plan.steps, MAX_STEPS_OF_OTHERS)))


def _come_together(orbit: Orbit, other: CellOrbit) -> bool:
    """Return whether the states are the same where the first piece of either orbit ends."""
    if not isinstance(orbit, CellOrbit) or orbit.after_first is None:
        return False
    reached = next(other.trajectories())
    if reached.blow_up is not None:
        return False
    distance = float(np.abs(reached.states[-1] - orbit.after_first).max())
    return distance <= MAX_SAME_STATE_DISTANCE * float(np.abs(orbit.after_first).max())


def _exponent_of(run: GrowthRun) -> StartExponent:
    if not run.steps:
        return StartExponent(math.inf, math.nan, 0, run.orbit.blow_up)
    exponents = run.exponents()
    largest = int(np.argmax(exponents))
    half_width = float(run.half_widths()[largest])
    return StartExponent(float(exponents[largest]), half_width, run.steps, run.orbit.blow_up)
