"""How far the rounding of a trajectory moves the norms of the Jacobian products along it.

Rounding moves every state a little, as if the last digits of the weights and inputs were other ones. So the
cell runs again a few times, with every number of the state and of the inputs' terms moved by one unit in the
last place, up or down at random. Another order of summation, or another processor, might have given such
states. The Jacobians of the
cell as it was given carry one random column along every run. The change of the norm of this column estimates
how far rounding moves a norm of the product.
"""

import math
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from gradflow.analysis.shared.product_norms import (
    View,
    inverse_log10_norms,
    part_of,
    retained_log10_norms,
)
from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.cells.base import Array
from gradflow.errors import NumericalError
from gradflow.linalg.scaled import log10_of
from gradflow.printable import round_up

PERTURBED_RUNS = 3  # with one run, one estimate in a hundred is too small by a factor of three or more
PERTURBED_INVERSES = 1  # only one, because every step of a run takes an elimination
UNSCALED_SQUARES = 2.0**-400, 2.0**400  # columns whose squared norms are between these are not scaled
NUMBERS_AT_ONCE = 2**20  # of states that are perturbed together, to limit the memory
NOTED_DECADES = 1e-6  # tables show six digits of a norm


def perturb_states(trajectory: Trajectory, *, same_cell: bool) -> Array:
    """Return states that other rounding might have given, of `PERTURBED_RUNS` runs on a leading axis.

    In every run each number of the state, and of the terms of the inputs, moves by a relative ε of its type,
    up or down, the same way at every step. A number 0 stays 0, because sums and products of zeros are exact.
    ``same_cell`` is that of `TrajectoryRounding`.
    """
    generator = np.random.default_rng(0)
    dtype, states, inputs = trajectory.dtype, trajectory.states, trajectory.inputs
    eps = np.finfo(dtype).eps
    # Sequences of the same cell stand beside the runs; the weights of draws have the leading axes themselves.
    sequences = states.shape[:-2] if same_cell else ()
    draws = () if same_cell else states.shape[:-2]
    count = PERTURBED_RUNS * math.prod(sequences)

    def draw_factors(size: int) -> Array:
        signs = generator.integers(0, 2, (*draws, PERTURBED_RUNS, size), np.int8) * 2 - 1
        factors = (1 + eps * signs).astype(dtype)
        return np.repeat(factors, count // PERTURBED_RUNS, axis=-2)

    def lay_beside(values: Array) -> Array:
        """Return values (*draws, *sequences, T, m) as (*draws, T, sequences, m)."""
        return np.moveaxis(values, 0, -2) if sequences else values[..., None, :]

    with np.errstate(all="ignore"):
        initial = np.tile(lay_beside(states[..., :1, :])[..., 0, :, :], (PERTURBED_RUNS, 1))
        found = trajectory.cell.run_perturbed(lay_beside(inputs), initial, draw_factors)
    apart = found.reshape(*found.shape[:-2], PERTURBED_RUNS, *sequences, found.shape[-1])
    # the runs first, the steps last but one
    return np.moveaxis(np.moveaxis(apart, len(draws) + 1, 0), len(draws) + 1, -2)


def stated_error(largest_change: float) -> float:
    """Return twice the largest change of a few runs, rounded up to one digit: other runs may change more.

    Examples
    --------
    >>> stated_error(1.23e-15), stated_error(0.25), stated_error(0.0)
    (3e-15, 0.5, 0.0)
    """
    return round_up(2 * largest_change)


def rounding_note(error: float) -> str:
    """Return a note about a trajectory error in decades."""
    return (
        f"rounding of the states changes log₁₀ of a norm by up to about {error:g} (trajectory_error). The "
        "norms are those of a nearby trajectory, and smaller digits are not reproducible."
    )


class TrajectoryRounding:
    """A trajectory, runs that other rounding might have given, and how far norms along them differ.

    Parameters
    ----------
    trajectory : Trajectory
        Of one draw, or of several on one leading axis: states (T + 1, n) or (S, T + 1, n).
    same_cell : bool
        Whether the leading axis holds sequences of one cell, whose weights have no such axis. Each perturbed
        run moves these weights once, for all sequences.
    """

    def __init__(self, trajectory: Trajectory, *, same_cell: bool = False) -> None:
        self.same_cell = same_cell
        states = np.concatenate([trajectory.states[None], perturb_states(trajectory, same_cell=same_cell)])
        # the computed run first, on a leading axis
        self.runs = Trajectory(trajectory.cell, trajectory.inputs, states, None, underflow=False)
        if trajectory.dtype != np.float64:  # the rounding of the products is another matter
            double, inputs = np.dtype(np.float64), trajectory.inputs.astype(np.float64)
            cell = trajectory.cell.astype(double)
            self.runs = Trajectory(cell, inputs, states.astype(double), None, underflow=False)

    def norm_errors(self, view: View, block: str) -> dict[str, Array]:
        """Return how far log₁₀ of each norm of a block moves, at most, over runs and requested lags.

        Each is an array of shape () or (S,), in decades. It is inf if a norm is 0 or out of range along one
        run but not along another.
        """
        if not self.runs.steps:
            return dict.fromkeys(view.norms, np.zeros(self.runs.states.shape[1:-2]))
        if block == "direct":
            retained = [gate.values for gate in self.runs.gates() if gate.gate.retains]
            direct = retained_log10_norms(np.concatenate(retained, axis=-1), view)
            return {norm: _largest_change(logs, view) for norm, logs in direct.items()}
        errors: dict[str, Array] = {}
        if set(view.norms) - {"min"}:
            change = _largest_change(self._log10_norms(view, block), view)
            errors |= {"2": change, "fro": change}
        if {"min", "cond"} & set(view.norms):
            errors["min"] = _largest_change(self._inverse_log10_norms(view), view)
            errors["cond"] = errors["min"] + errors.get("2", 0.0)
        return {norm: errors[norm] for norm in view.norms}

    def _log10_norms(self, view: View, block: str) -> Array:
        """Return log₁₀ of the norm of the column along every run, (runs, ..., lags).

        Columns of runs with the same weights stand side by side, so that one product serves them all.
        """
        runs, part = self.runs, part_of(self.runs.cell, block, view.direction)
        act = "matmat" if view.direction == "forward" else "rmatmat"
        leading = runs.states.shape[:-2]  # runs, and draws or sequences
        beside, draws = (leading, ()) if self.same_cell else (leading[:1], leading[1:])
        count = math.prod(beside)
        start = np.zeros((runs.size, 1))
        start[part.start] = self._column()[part.start]
        columns = np.broadcast_to(start, (*draws, runs.size, count))
        exponents = np.zeros((*draws, count), np.int64)
        squares, levels = [], []
        stretch = -1
        with np.errstate(all="ignore"):
            for place in view.order(runs.steps)[: max(view.lags)]:
                first, linearized = runs.stretch(place)
                if first != stretch:
                    stretch, factor = first, linearized
                    for _ in beside:  # the last axis first: columns are ordered (..., runs)
                        factor = factor.lay_side_by_side(-3 - len(draws))
                points = slice((place - first) * count, (place - first + 1) * count)
                columns = getattr(factor.each(points), act)(columns)
                sizes, columns, exponents = _scale_near_one(columns, exponents)
                level = exponents
                if block != "state":  # it may be far smaller than the whole
                    sizes, _, level = _scale_near_one(columns[..., part.rows, :], exponents)
                squares.append(sizes)
                levels.append(level)
            norms = log10_of(np.sqrt(np.stack(squares)), np.stack(levels))
        return np.swapaxes(norms.reshape(*norms.shape[:-1], *beside[::-1]), 0, -1)

    def _inverse_log10_norms(self, view: View) -> Array:
        """Return the same for the inverse of the product, along few runs: every step takes an elimination.

        It is nan from the first step whose inverse is not known.
        """
        found = np.full((1 + PERTURBED_INVERSES, self.runs.steps), np.nan)
        for place, states in enumerate(self.runs.states[: len(found)]):
            run = Trajectory(self.runs.cell, self.runs.inputs, states, None, underflow=False)
            with suppress(NumericalError):  # along a perturbed run alone, for the product has been measured
                found[place] = inverse_log10_norms(run, view, self._column())[0]
        return found

    def _column(self) -> Array:
        return np.random.default_rng(1).standard_normal((self.runs.size, 1))


def _scale_near_one(columns: Array, exponents: Array) -> tuple[Array, Array, Array]:
    """Return the squared norms of columns (..., n, m), the columns, and their powers of two.

    The columns are scaled if any square is far from 1.
    """
    squares = np.einsum("...ij,...ij->...j", columns, columns)
    if UNSCALED_SQUARES[0] < squares.min() and squares.max() < UNSCALED_SQUARES[1]:
        return squares, columns, exponents
    shifts = np.frexp(np.abs(columns).max(axis=-2))[1]
    near = np.ldexp(columns, -shifts[..., None, :])
    return np.einsum("...ij,...ij->...j", near, near), near, exponents + shifts


def state_norm_error(trajectory: Trajectory) -> float:
    """Return how far log₁₀ ‖∂s_T/∂s_{T−k}‖₂ moves at most over all lags k and runs; 0 without steps.

    The trajectory may hold several sequences of one cell on a leading axis: states (S, T + 1, n).

    Examples
    --------
    The Jacobian of a linear network does not depend on the state:

    >>> from gradflow.analysis.shared.trajectory import follow
    >>> from gradflow.cells.rnn import RNN
    >>> linear = RNN(np.ones((1, 1)), np.array([[0.9]]), np.zeros(1), "identity")
    >>> state_norm_error(follow(linear, np.ones((50, 1))))
    0.0
    """
    if not trajectory.steps:
        return 0.0
    view = View("backward", ("state",), ("2",), tuple(range(1, trajectory.steps + 1)), exact=False)
    several = trajectory.states.ndim > 2
    parts = _split_sequences(trajectory) if several else [trajectory]
    changes = [TrajectoryRounding(part, same_cell=several).norm_errors(view, "state")["2"] for part in parts]
    return stated_error(max(float(change.max()) for change in changes))


def _split_sequences(trajectory: Trajectory) -> Iterator[Trajectory]:
    """Yield parts of a trajectory (S, T + 1, n) with as many sequences as `NUMBERS_AT_ONCE` allows."""
    count = max(NUMBERS_AT_ONCE // trajectory.states[0].size, 1)
    for first in range(0, len(trajectory.states), count):
        inputs, states = (values[first : first + count] for values in (trajectory.inputs, trajectory.states))
        yield Trajectory(trajectory.cell, inputs, states, None, underflow=False)


def _largest_change(log10_norms: Array, view: View) -> Array:
    """Return the largest difference from the first run at the lags asked for, given (runs, ..., lags)."""
    asked = log10_norms[..., [lag - 1 for lag in view.lags if lag <= log10_norms.shape[-1]]]
    computed, others = asked[0], asked[1:]
    with np.errstate(invalid="ignore"):
        change = np.where(others == computed, 0.0, np.abs(others - computed))
    # without a computed number there is no error; if only another run has no number, the error is unknown
    change = np.where(np.isnan(computed), 0.0, np.where(np.isnan(change), np.inf, change))
    return np.asarray(change.max(axis=(0, -1), initial=0.0))
