"""Recurrent networks with Lₜ = ½‖hₜ − yₜ‖² and a copy of their recurrent weights for every step.

What Lₜ is to the copy of step k is one term of the gradient's double sum. Time runs from 1 to T; s₀ is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from gradflow.analysis.bptt.parameters import Block, choose_blocks
from gradflow.analysis.shared.subjects import draw_cell
from gradflow.cells.base import Cell
from gradflow.cells.factor import StepFactor
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell
from gradflow.cells.stack import list_layers
from gradflow.derivations.topics.complex_cells import derivative, quantities, step
from gradflow.derivations.topics.line import Array


@dataclass(frozen=True, eq=False)
class UnrolledNetwork:
    """A cell with inputs (T, features), targets (T, R) and a first state (n).

    W (rows, R) are the recurrent weights, those of each layer on top of the next one's. Derivatives are
    complex steps through formulas that know no Jacobian, except those that are said to be the cell's own.
    """

    cell: Cell
    inputs: Array
    targets: Array
    start: Array

    @classmethod
    def draw_sheet(cls, seed: int, hidden: int, steps: int) -> "UnrolledNetwork":
        """Return hₜ = σ(Whₜ₋₁ + Uxₜ) with recurrent weights so large that what lies far back is seen."""
        generator = np.random.default_rng(seed)
        W = generator.standard_normal((hidden, hidden)) * 2.0 / np.sqrt(hidden)
        U = generator.standard_normal((hidden, hidden + 1)) / np.sqrt(hidden + 1)
        return cls(
            RNN(U, W, np.zeros(hidden), activation="sigmoid"),
            inputs=generator.standard_normal((steps, hidden + 1)),
            targets=generator.uniform(0.0, 1.0, (steps, hidden)),
            start=generator.uniform(0.0, 1.0, hidden),
        )

    @classmethod
    def draw_cell(cls, text: str, seed: int, hidden: int, steps: int) -> "UnrolledNetwork":
        """Return a fresh cell, the same as for every command, with a state, inputs and targets for it."""
        cell = draw_cell(parse_cell(text), hidden, hidden + 1, seed, 0)
        generator = np.random.default_rng(seed)
        return cls(
            cell,
            inputs=generator.standard_normal((steps, hidden + 1)),
            targets=generator.standard_normal((steps, cell.output_size)),
            start=generator.uniform(-1.0, 1.0, cell.state_size),
        )

    @property
    def steps(self) -> int:
        """T."""
        return len(self.inputs)

    @cached_property
    def states(self) -> Array:
        """s₀ … s_T, (T + 1, n), the cell's own."""
        return self.cell.run(self.inputs, self.start)

    @cached_property
    def W(self) -> Array:
        """W (rows, R)."""
        return np.concatenate([layer.weight_hh for layer in list_layers(self.cell)])

    def z(self, t: int) -> Array:
        """Return zₜ (n) of a plain network."""
        (layer,) = list_layers(self.cell)
        return quantities(layer, self.W, self.states[t - 1], self.inputs[t - 1])["z"]

    def _run(self, k: int, state: Array, copies: Sequence[Array]) -> list[Array]:
        """Return sₖ, sₖ₊₁ … of sₖ, as many steps on as there are copies of W, one for each."""
        states = [state]
        for place, copy in enumerate(copies, k):
            weights = np.split(copy, len(list_layers(self.cell)))
            states.append(step(self.cell, weights, states[-1], self.inputs[place]))
        return states

    def _losses(self, k: int, states: Sequence[Array]) -> Array:
        """Return Lₖ, Lₖ₊₁ … of sₖ, sₖ₊₁ …, k from 1."""
        shown = np.stack(states)[:, self.cell.output]
        return np.asarray(((shown - self.targets[k - 1 : k - 1 + len(shown)]) ** 2).sum(axis=1) / 2)

    @cached_property
    def _terms(self) -> list[Array]:
        """∂Lₜ/∂Wₖ for t = k … T: (T − k + 1, rows, R) for each k."""

        def later(k: int, copy: Array) -> Array:
            states = self._run(k - 1, self.states[k - 1], [copy, *[self.W] * (self.steps - k)])
            return self._losses(k, states[1:])

        return [derivative(partial(later, k), self.W) for k in range(1, self.steps + 1)]

    def term(self, t: int, k: int) -> Array:
        """Return ∂Lₜ/∂Wₖ (rows, R)."""
        return np.asarray(self._terms[k - 1][t - k])

    @cached_property
    def loss_gradients(self) -> Array:
        """∂Lₜ/∂W for t = 1 … T, by way of all earlier states, (T, rows, R)."""
        return derivative(lambda W: self._losses(1, self._run(0, self.start, [W] * self.steps)[1:]), self.W)

    def gradient(self) -> Array:
        """Return ∂L/∂W (rows, R)."""

        def loss(W: Array) -> Array:
            return np.asarray(self._losses(1, self._run(0, self.start, [W] * self.steps)[1:]).sum())

        return derivative(loss, self.W)

    def total(self, t: int) -> Array:
        """Return dsₜ/dW (n, rows, R), by way of all earlier states too."""
        return derivative(lambda W: self._run(0, self.start, [W] * t)[t], self.W)

    def immediate(self, k: int) -> Array:
        """Return ∂⁺sₖ/∂W (n, rows, R), sₖ₋₁ held fixed."""
        return derivative(lambda W: self._run(k - 1, self.states[k - 1], [W])[1], self.W)

    def later(self, t: int, k: int) -> Array:
        """Return ∂sₜ/∂sₖ (n, n)."""
        return derivative(lambda state: self._run(k, state, [self.W] * (t - k))[-1], self.states[k])

    def loss_at(self, t: int, k: int) -> Array:
        """Return ∂Lₜ/∂sₖ, a row (1, n), by way of all states between."""
        return derivative(
            lambda state: self._losses(t, self._run(k, state, [self.W] * (t - k))[-1:]), self.states[k]
        )

    @cached_property
    def _factors(self) -> StepFactor:
        return self.cell.linearize(self.states, self.inputs)

    @cached_property
    def _blocks(self) -> list[Block]:
        """W, and what its rows multiply at every step."""
        return choose_blocks(self.cell, self.states[None], self.inputs[None], "weight_hh")

    def own_jacobian(self, t: int) -> Array:
        """Return ∂sₜ/∂sₜ₋₁ (n, n), the cell's own."""
        return self._factors.at(t - 1).todense()

    def own_immediate(self, k: int) -> Array:
        """Return ∂⁺sₖ/∂W (n, rows, R), the cell's own."""
        signals = self._factors.at(k - 1).pull(np.eye(len(self.start))).signals
        blocks = [_own_block(block, k - 1, signals) for block in self._blocks]
        return np.concatenate(blocks, axis=1).reshape(-1, *self.W.shape)


def _own_block(block: Block, point: int, signals: Sequence[Array]) -> Array:
    """Return ∂⁺s/∂(block) at one step, (n, numbers in it), of the signals (rows, n) of each entry of s."""
    signal = signals[block.layer][block.rows]
    if block.scale is not None:
        signal = signal * block.scale[point][:, None]
    assert block.seen is not None
    exponents = np.broadcast_to(block.exponents, len(block.seen))
    # r row, i entry of s, c column
    products = np.einsum("ri,c->irc", signal, np.ldexp(block.seen[point], exponents[point]))
    return np.asarray(products.reshape(signal.shape[1], -1))
