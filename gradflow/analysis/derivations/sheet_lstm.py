"""The sheet's LSTM on random parameters and in complex numbers, and the same weights as a cell of gradflow.

f, i, o = σ(W h + U x + b), C̃ = tanh(W_c h + U_c x + b_c), C' = f⊙C + i⊙C̃, h' = o⊙tanh C'. The two share
nothing but the numbers, so that each is a check of the other.
"""

from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np

from gradflow.analysis.derivations.complex_step import derivative, sigmoid, tanh_slope
from gradflow.analysis.derivations.drawn_gates import drawn_gates
from gradflow.analysis.derivations.line import Array
from gradflow.cells.lstm import LSTM

GATES = "fico"  # forget, input, candidate, output
STACKED = "ifco"  # the order in which gradflow stacks them


class Point(NamedTuple):
    """All that one step computes: pre-activations and gates by name, C and h."""

    a: dict[str, Array]
    gates: dict[str, Array]
    C: Array
    h: Array


@dataclass(frozen=True, eq=False)
class SheetLSTM:
    """W (n, n), U (n, n + 1) and b (n) by gate, inputs (T, n + 1), h₀ and C₀ (n)."""

    W: dict[str, Array]
    U: dict[str, Array]
    b: dict[str, Array]
    inputs: Array
    h: Array
    C: Array

    @classmethod
    def drawn(cls, seed: int, hidden: int, steps: int) -> "SheetLSTM":
        """Return a random network from a random state."""
        generator = np.random.default_rng(seed)
        return cls(
            *drawn_gates(GATES, hidden, generator),
            inputs=generator.standard_normal((steps, hidden + 1)),
            h=np.tanh(generator.standard_normal(hidden)),
            C=generator.standard_normal(hidden),
        )

    def step(self, t: int, h: Array, C: Array) -> Point:
        """Return what step t makes of hₜ₋₁ and Cₜ₋₁."""
        a = {g: self.W[g] @ h + self.U[g] @ self.inputs[t - 1] + self.b[g] for g in GATES}
        gates = {g: np.tanh(a[g]) if g == "c" else sigmoid(a[g]) for g in GATES}
        cell = gates["f"] * C + gates["i"] * gates["c"]
        return Point(a, gates, cell, gates["o"] * np.tanh(cell))

    @cached_property
    def points(self) -> list[Point]:
        """Steps 1 … T; at place 0 there are h₀ and C₀ alone."""
        found = [Point({}, {}, self.C, self.h)]
        for t in range(1, len(self.inputs) + 1):
            found.append(self.step(t, found[-1].h, found[-1].C))
        return found

    def along(self, gate: str) -> Array:
        """Return the values of a gate at every step, (T, n)."""
        return np.stack([point.gates[gate] for point in self.points[1:]])

    def shown(self, t: int, C: Array) -> Array:
        """Return hₜ of Cₜ, with oₜ as it is: it was computed before Cₜ."""
        return np.asarray(self.points[t].gates["o"] * np.tanh(C))

    def after(self, t: int, k: int, C: Array) -> Point:
        """Return step t of a network that went on from Cₖ at step k < t."""
        point = Point({}, {}, C, self.shown(k, C))
        for i in range(k + 1, t + 1):
            point = self.step(i, point.h, point.C)
        return point

    def cell_gradient(self, t: int, k: int) -> Array:
        """Return dCₜ/dCₖ (n, n), by every way there is."""
        return derivative(lambda C: self.after(t, k, C).C, self.points[k].C)

    def delta(self, t: int) -> Array:
        """Return oₜ⊙tanh′(Cₜ) (n)."""
        return np.asarray(self.points[t].gates["o"] * tanh_slope(self.points[t].C))

    def cell(self, **biases: float) -> LSTM:
        """Return the same weights as a cell of gradflow; a gate named has that bias in place of its own."""
        bias = {g: np.full_like(self.b[g], biases[g]) if g in biases else self.b[g] for g in GATES}
        U, W, b = (np.concatenate([part[g] for g in STACKED]) for part in (self.U, self.W, bias))
        return LSTM(U, W, b)

    def states(self, cell: LSTM) -> Array:
        """Return [h; C] at every step of a cell of gradflow, (T + 1, 2n), from the same start."""
        return cell.run(self.inputs, np.concatenate([self.h, self.C]))

    def cells(self, **biases: float) -> Array:
        """Return C₁ … C_T of gradflow's cell, (T, n)."""
        return self.states(self.cell(**biases))[1:, len(self.h) :]

    def outputs(self, **biases: float) -> Array:
        """Return h₁ … h_T of gradflow's cell, (T, n)."""
        return self.states(self.cell(**biases))[1:, : len(self.h)]

    def values(self, gate: str, **biases: float) -> Array:
        """Return the values of a gate of gradflow's cell at every step, (T, n)."""
        cell = self.cell(**biases)
        return cell.gates(self.states(cell), self.inputs)[STACKED.index(gate)].values

    def jacobian(self, t: int, k: int, **biases: float) -> Array:
        """Return ∂[hₜ; Cₜ]/∂[hₖ; Cₖ] of gradflow's cell, (2n, 2n): the product of the steps between."""
        cell = self.cell(**biases)
        factors = cell.linearize(self.states(cell), self.inputs)
        steps = [factors.at(i - 1).todense() for i in range(t, k, -1)]
        return reduce(np.matmul, steps)
