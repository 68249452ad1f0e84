"""Random networks, computed by gradflow's own cells and by complex steps, so that each checks the other.

Time runs from 1 to T; the state s₀ is given. Each step has a loss Lₜ = ½‖hₜ − yₜ‖² and its own copy of W. The
derivative of Lₜ by the copy of step k is one term of the double sum of the gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from typing import Any, cast

import numpy as np

from gradflow.analysis.shared.subjects import draw_cell
from gradflow.cells.base import Cell
from gradflow.cells.factor import StepFactor
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell
from gradflow.cells.stack import list_layers
from gradflow.derivations.topics.complex_cells import Quantities, derivative, name_symbol, step
from gradflow.derivations.topics.line import Array

LAG, FAR_LAG = 5, 100  # steps in lines about few steps, and in lines about many
OPEN, SHUT = 1000.0, -1000.0  # biases with which σ is 1 and 0 to the last digit


@dataclass(frozen=True, eq=False)
class DerivationNetwork:
    """A cell with inputs (T, features), a first state (n) and targets (T, R).

    Quantities of a step are named by their symbols, such as ``fₜ``: see `complex_cells`. ``s`` is the whole
    state, and ``L`` the loss, shape (1,). Derivatives are complex steps through formulas without Jacobians;
    the axes of the quantity come first. Only members with ``own`` in their name use gradflow's cell.
    """

    cell: Cell
    inputs: Array
    start: Array
    targets: Array

    @classmethod
    def draw_sheet(cls, seed: int, hidden: int, steps: int) -> "DerivationNetwork":
        """Return hₜ = σ(Whₜ₋₁ + Uxₜ) with large recurrent weights, so that early states matter."""
        generator = np.random.default_rng(seed)
        W = generator.standard_normal((hidden, hidden)) * 2.0 / np.sqrt(hidden)
        U = generator.standard_normal((hidden, hidden + 1)) / np.sqrt(hidden + 1)
        inputs = generator.standard_normal((steps, hidden + 1))
        targets = generator.uniform(0.0, 1.0, (steps, hidden))
        cell = RNN(U, W, np.zeros(hidden), activation="sigmoid")
        return cls(cell, inputs, generator.uniform(0.0, 1.0, hidden), targets)

    @classmethod
    def draw_fresh(cls, text: str, seed: int, hidden: int, steps: int) -> "DerivationNetwork":
        """Return the fresh cell that every command draws, with a state, inputs and targets."""
        cell = draw_cell(parse_cell(text), hidden, hidden + 1, seed, 0)
        generator = np.random.default_rng(seed)
        inputs = generator.standard_normal((steps, hidden + 1))
        targets = generator.standard_normal((steps, cell.output_size))
        return cls(cell, inputs, generator.uniform(-1.0, 1.0, cell.state_size), targets)

    @classmethod
    def draw_lstm(cls, seed: int, hidden: int, steps: int) -> "DerivationNetwork":
        """Return a random LSTM from a random state; its targets are 0."""
        generator = np.random.default_rng(seed)
        cell = LSTM(*_draw_weights("figo", "ifgo", hidden, generator))
        inputs = generator.standard_normal((steps, hidden + 1))
        h, C = np.tanh(generator.standard_normal(hidden)), generator.standard_normal(hidden)
        return cls(cell, inputs, np.concatenate([h, C]), np.zeros((steps, hidden)))

    @classmethod
    def draw_gru(cls, seed: int, hidden: int, steps: int) -> "DerivationNetwork":
        """Return a random GRU from a random state; its targets are 0."""
        generator = np.random.default_rng(seed)
        weights = _draw_weights("rzn", "rzn", hidden, generator)
        cell = GRU(*weights, generator.standard_normal(hidden) / 2)
        inputs = generator.standard_normal((steps, hidden + 1))
        return cls(cell, inputs, np.tanh(generator.standard_normal(hidden)), np.zeros((steps, hidden)))

    @property
    def steps(self) -> int:
        """T."""
        return len(self.inputs)

    @cached_property
    def W(self) -> Array:
        """W (rows, R): the recurrent weights of all layers, stacked from the lowest layer on."""
        return np.concatenate([layer.weight_hh for layer in list_layers(self.cell)])

    def name_weights(self, letter: str = "W", parameter: str = "weight_hh") -> dict[str, Array]:
        """Return the parameter of each gate of a gated cell by its symbol, such as W_f."""
        (layer,) = list_layers(self.cell)
        rows = np.split(getattr(layer, parameter), len(layer.gate_names))
        return {
            f"{letter}_{_name_index(gate)}": row for gate, row in zip(layer.gate_names, rows, strict=True)
        }

    def with_bias(self, **biases: float) -> "DerivationNetwork":
        """Return the same network with one bias for all units of a gate."""
        names = [f"b_{_name_index(gate)}" for gate in biases]
        rows = self.name_weights("b", "bias")
        rows |= {
            name: np.full_like(rows[name], bias) for name, bias in zip(names, biases.values(), strict=True)
        }
        return replace(self, cell=replace(cast(Any, self.cell), bias=np.concatenate([*rows.values()])))

    def with_share(self, recurrent: float, inputs: float = 1.0) -> "DerivationNetwork":
        """Return the same network with its weights multiplied by factors."""
        (layer,) = list_layers(self.cell)
        W, U = recurrent * layer.weight_hh, inputs * layer.weight_ih
        return replace(self, cell=replace(cast(Any, layer), weight_hh=W, weight_ih=U))

    # By complex steps.

    def _run(self, k: int, state: Array, copies: Sequence[Array]) -> list[Quantities]:
        """Return the quantities of step k and later steps, given sₖ and a copy of W for each later step."""
        parts = self.cell.parts.items()
        points = [{"s": state, **{name_symbol(part): state[place] for part, place in parts}}]
        for t, copy in enumerate(copies, k + 1):
            points.append(step(self.cell, copy, points[-1]["s"], self.inputs[t - 1]))
        for t, point in enumerate(points, k):
            if t > 0:
                shown = point["s"][self.cell.output] - self.targets[t - 1]
                point["L"] = (shown**2).sum(keepdims=True) / 2
        return points

    @cached_property
    def points(self) -> list[Quantities]:
        """The quantities of steps 1 … T; entry 0 has only the first state."""
        return self._run(0, self.start, [self.W] * self.steps)

    def name_quantities(self, *names: str) -> dict[str, Callable[[int], Array]]:
        """Return quantities as families: functions of the step."""
        return {name: partial(self._look_up, name) for name in names}

    def _look_up(self, name: str, t: int) -> Array:
        return self.points[t][name]

    def by_state(self, name: str, t: int, k: int) -> Array:
        """Return the derivative of a quantity of step t by sₖ, through all states between."""
        copies = [self.W] * self._count_steps(t, k)
        return derivative(lambda state: self._run(k, state, copies)[-1][name], self.points[k]["s"])

    def by_cell_state(self, name: str, t: int, k: int) -> Array:
        """Return the derivative of a quantity of step t of an LSTM by Cₖ, with hₖ = oₖ⊙tanh(Cₖ)."""
        copies, o = [self.W] * self._count_steps(t, k), self.points[k]["oₜ"]

        def value(C: Array) -> Array:
            return self._run(k, np.concatenate([o * np.tanh(C), C]), copies)[-1][name]

        return derivative(value, self.points[k]["Cₜ"])

    def by_copy(self, name: str, t: int, k: int) -> Array:
        """Return the derivative of a quantity of step t by the copy of W at step k, with sₖ₋₁ held fixed."""
        later, before = [self.W] * self._count_steps(t, k), self.points[k - 1]["s"]
        return derivative(lambda copy: self._run(k - 1, before, [copy, *later])[-1][name], self.W)

    def by_weights(self, name: str, t: int) -> Array:
        """Return the derivative of a quantity of step t by W, through all earlier states too."""
        return derivative(lambda W: self._run(0, self.start, [W] * t)[t][name], self.W)

    def gradient(self) -> Array:
        """Return ∂L/∂W (1, rows, R) of the sum of all losses."""

        def loss(W: Array) -> Array:
            points = self._run(0, self.start, [W] * self.steps)[1:]
            return np.asarray(np.sum([point["L"] for point in points], axis=0))

        return derivative(loss, self.W)

    def _count_steps(self, t: int, k: int) -> int:
        if not 0 <= k <= t <= self.steps:
            raise LookupError(f"no way from step {k} to step {t} of {self.steps}")
        return t - k

    # By gradflow's own cell.

    @cached_property
    def own_states(self) -> Array:
        """s₀ … s_T, (T + 1, n)."""
        return self.cell.run(self.inputs, self.start)

    @cached_property
    def own(self) -> dict[str, dict[int, Array]]:
        """Gates at steps 1 … T, and the parts of the state at steps 0 … T, each (n), as families."""
        gates = self.cell.gates(self.own_states, self.inputs)
        families = {name_symbol(gate.name): dict(enumerate(gate.values, 1)) for gate in gates}
        parts = self.cell.parts.items()
        return families | {name_symbol(part): dict(enumerate(self.own_states[:, at])) for part, at in parts}

    @cached_property
    def _factors(self) -> StepFactor:
        return self.cell.linearize(self.own_states, self.inputs)

    def own_jacobian(self, t: int, k: int) -> Array:
        """Return ∂sₜ/∂sₖ (n, n): a product of Jacobians."""
        factors = [self._factors.at(i - 1).todense() for i in range(t, t - self._count_steps(t, k), -1)]
        return reduce(np.matmul, factors, np.eye(len(self.start)))

    def own_immediate(self, k: int) -> Array:
        """Return ∂⁺sₖ/∂W (n, rows, R), with sₖ₋₁ held fixed."""
        signals = self._factors.at(k - 1).pull(np.eye(len(self.start))).signals
        uses = self.cell.uses(self.own_states[k - 1 : k + 1], self.inputs[k - 1 : k])
        rows = []
        for signal, layer in zip(signals, uses, strict=True):
            for use in layer["weight_hh"]:
                assert use.seen is not None
                scaled = signal[use.rows] if use.scale is None else signal[use.rows] * use.scale.T
                rows.append(np.einsum("ri,c->irc", scaled, use.seen[0]))
        return np.concatenate(rows, axis=1)


def _draw_weights(
    drawn: str, stacked: str, hidden: int, generator: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Return U (G·n, n + 1), W (G·n, n) and b (G·n), with a W so large that gates matter."""
    W = {gate: generator.standard_normal((hidden, hidden)) * 1.5 / np.sqrt(hidden) for gate in drawn}
    U = {gate: generator.standard_normal((hidden, hidden + 1)) / np.sqrt(hidden + 1) for gate in drawn}
    b = {gate: generator.standard_normal(hidden) / 2 for gate in drawn}
    rows = [np.concatenate([parameter[gate] for gate in stacked]) for parameter in (U, W, b)]
    return rows[0], rows[1], rows[2]


def _name_index(gate: str) -> str:
    """Return the index in the symbols of a gate: c for the candidate, which gradflow calls g, as in W_c."""
    return "c" if gate == "g" else gate
