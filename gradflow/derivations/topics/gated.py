"""Random LSTMs and GRUs, by gradflow's cells and step by step in complex numbers: each checks the other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np

from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.derivations.topics.complex_cells import Quantities, derivative, quantities
from gradflow.derivations.topics.line import Array

LAG, FAR_LAG = 5, 100  # of lines about a few steps, and about many
OPEN, SHUT = 1000.0, -1000.0  # biases at which σ is 1 and 0 to the last digit
# the sheet's letters; gradflow calls the candidate of an LSTM g, and stacks the gates as i, f, g, o
LETTERS = {"g": "C̃", "c": "C"}
INDICES = {"g": "c"}  # of a gate's weights, as in W_c


@dataclass(frozen=True, eq=False)
class GatedNetwork:
    """A cell with inputs (T, n + 1) and a first state: [h; C], or h.

    The cell state C of an LSTM, or h of a GRU, is what gradients are carried by: ``carried``.
    """

    cell: LSTM | GRU
    gates: str  # as their rows are stacked
    inputs: Array
    start: Array

    @classmethod
    def draw_lstm(cls, seed: int, hidden: int, steps: int) -> "GatedNetwork":
        """Return a random LSTM from a random state."""
        generator = np.random.default_rng(seed)
        U, W, b = _draw_weights("figo", "ifgo", hidden, generator)
        inputs = generator.standard_normal((steps, hidden + 1))
        h, C = np.tanh(generator.standard_normal(hidden)), generator.standard_normal(hidden)
        return cls(LSTM(U, W, b), "ifgo", inputs, np.concatenate([h, C]))

    @classmethod
    def draw_gru(cls, seed: int, hidden: int, steps: int) -> "GatedNetwork":
        """Return a random GRU from a random state."""
        generator = np.random.default_rng(seed)
        U, W, b = _draw_weights("rzn", "rzn", hidden, generator)
        inner = generator.standard_normal(hidden) / 2
        inputs = generator.standard_normal((steps, hidden + 1))
        return cls(GRU(U, W, b, inner), "rzn", inputs, np.tanh(generator.standard_normal(hidden)))

    @property
    def steps(self) -> int:
        """T."""
        return len(self.inputs)

    @property
    def carried(self) -> str:
        """The part of the state that gradients are carried by."""
        return "c" if "c" in self.cell.parts else "h"

    def weights(self, parameter: str = "weight_hh") -> dict[str, Array]:
        """Return the rows of a parameter by gate."""
        stacked = getattr(self.cell, parameter)
        return dict(zip(self.gates, stacked.reshape(len(self.gates), -1, *stacked.shape[1:]), strict=True))

    def with_bias(self, **biases: float) -> "GatedNetwork":
        """Return the same network with one bias for all units of a gate."""
        rows = {gate: np.full_like(row, biases.get(gate, row)) for gate, row in self.weights("bias").items()}
        return replace(self, cell=replace(self.cell, bias=np.concatenate([*rows.values()])))

    def scaled(self, recurrent: float, inputs: float = 1.0) -> "GatedNetwork":
        """Return the same network with a share of its weights."""
        W, U = recurrent * self.cell.weight_hh, inputs * self.cell.weight_ih
        return replace(self, cell=replace(self.cell, weight_hh=W, weight_ih=U))

    # By complex steps.

    def _step(self, t: int, state: Array, weight: Array | None = None) -> Quantities:
        W = self.cell.weight_hh if weight is None else weight
        return quantities(self.cell, W, state, self.inputs[t - 1])

    def _state(self, point: Quantities) -> Array:
        return np.concatenate([point[part] for part in self.cell.parts])

    def _run(self, weight: Array | None = None, steps: int | None = None) -> list[Quantities]:
        points = [{part: self.start[place] for part, place in self.cell.parts.items()}]
        for t in range(1, (self.steps if steps is None else steps) + 1):
            points.append(self._step(t, self._state(points[-1]), weight))
        return points

    @cached_property
    def points(self) -> list[Quantities]:
        """All that steps 1 … T compute; at place 0 there is the first state alone."""
        return self._run()

    def after(self, t: int, k: int, carried: Array) -> Quantities:
        """Return step t of a network that went on from C (or h) at step k, hₖ = oₖ⊙tanh(C) moving with it."""
        point = {**self.points[k], self.carried: carried}
        if self.carried == "c":
            point["h"] = point["o"] * np.tanh(carried)
        for i in range(k + 1, t + 1):
            point = self._step(i, self._state(point))
        return point

    def total(self, name: str, t: int, k: int) -> Array:
        """Return the derivative (n, n) of what step t computes by C (or h) at step k, by every way."""
        return derivative(lambda moved: self.after(t, k, moved)[name], self.points[k][self.carried])

    def partial(self, name: str, t: int, part: str) -> Array:
        """Return the derivative (n, n) of what step t computes by h or C before it, the other held fixed."""
        before = self.points[t - 1]
        return derivative(
            lambda moved: self._step(t, self._state({**before, part: moved}))[name], before[part]
        )

    def _stacked(self, gate: str, rows: Array) -> Array:
        return np.concatenate([*{**self.weights(), gate: rows}.values()])

    def by_weights(self, gate: str, t: int) -> Array:
        """Return dCₜ/dW (n, n, n) for the recurrent weights of a gate, by every way there is."""
        return derivative(
            lambda W: self._run(self._stacked(gate, W), t)[t][self.carried], self.weights()[gate]
        )

    def immediate(self, gate: str, k: int) -> Array:
        """Return ∂⁺Cₖ/∂W (n, n, n), the state before held fixed."""
        state = self._state(self.points[k - 1])
        return derivative(
            lambda W: self._step(k, state, self._stacked(gate, W))[self.carried], self.weights()[gate]
        )

    # By gradflow's own cell.

    @cached_property
    def own_states(self) -> Array:
        """The state at steps 0 … T, (T + 1, n)."""
        return self.cell.run(self.inputs, self.start)

    @cached_property
    def own(self) -> dict[str, Array]:
        """Gates at steps 1 … T, (T, n), and the parts of the state at steps 0 … T, (T + 1, n)."""
        gates = {one.name: one.values for one in self.cell.gates(self.own_states, self.inputs)}
        return gates | {part: self.own_states[:, place] for part, place in self.cell.parts.items()}

    def own_families(self, **biases: float) -> dict[str, dict[int, Array]]:
        """Return the same as symbols of formulas, fₜ and so on, of a network with these biases."""
        network = self.with_bias(**biases) if biases else self
        return families(
            {
                name: dict(enumerate(values, self.steps + 1 - len(values)))
                for name, values in network.own.items()
            }
        )

    def own_jacobian(self, t: int, k: int) -> Array:
        """Return the derivative of the whole state at step t by that at step k: a product of Jacobians."""
        factors = self.cell.linearize(self.own_states[: t + 1], self.inputs[:t])
        return reduce(np.matmul, [factors.at(i - 1).todense() for i in range(t, k, -1)])


def families(values: Mapping[str, Mapping[int, Any]]) -> dict[str, dict[int, Any]]:
    """Return families by step, each under the sheet's letter for it."""
    return {f"{LETTERS.get(name, name)}ₜ": dict(family) for name, family in values.items()}


def named_weights(network: GatedNetwork, letter: str = "W", parameter: str = "weight_hh") -> dict[str, Array]:
    """Return a parameter of every gate as a symbol, such as W_f."""
    return {f"{letter}_{INDICES.get(gate, gate)}": rows for gate, rows in network.weights(parameter).items()}


def _draw_weights(
    drawn: str, stacked: str, hidden: int, generator: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Return U (G·n, n + 1), W (G·n, n) and b (G·n): W so large that the ways through gates are seen."""
    W = {gate: generator.standard_normal((hidden, hidden)) * 1.5 / np.sqrt(hidden) for gate in drawn}
    U = {gate: generator.standard_normal((hidden, hidden + 1)) / np.sqrt(hidden + 1) for gate in drawn}
    b = {gate: generator.standard_normal(hidden) / 2 for gate in drawn}
    rows = [np.concatenate([parameter[gate] for gate in stacked]) for parameter in (U, W, b)]
    return rows[0], rows[1], rows[2]
