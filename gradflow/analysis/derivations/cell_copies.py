"""A cell of gradflow that has a copy of its recurrent weights for every step, with Lₜ = ½‖hₜ − yₜ‖².

What Lₜ is to the copy of step k is one term of the gradient's double sum. It is had here twice: by complex
steps through formulas that know no Jacobian, and by the chain rule from the Jacobians of the cell itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce

import numpy as np

from gradflow.analysis.derivations.complex_cells import step
from gradflow.analysis.derivations.complex_step import derivative
from gradflow.analysis.derivations.line import Array
from gradflow.analysis.parameters import Block, chosen
from gradflow.analysis.subject import drawn
from gradflow.cells.base import Cell
from gradflow.cells.factor import StepFactor
from gradflow.cells.spec import parse_cell
from gradflow.cells.stack import layers_of

PARAMETER = "weight_hh"


@dataclass(frozen=True, eq=False)
class CellCopies:
    """A cell with inputs (T, features), targets (T, R) and a first state (n).

    W (rows, R) are the recurrent weights, those of each layer on top of the next one's.
    """

    cell: Cell
    inputs: Array
    targets: Array
    start: Array

    @classmethod
    def drawn(cls, text: str, seed: int, hidden: int, steps: int) -> "CellCopies":
        """Return a fresh cell, the same as for every command, with a state, inputs and targets for it."""
        cell = drawn(parse_cell(text), hidden, hidden + 1, seed, 0)
        generator = np.random.default_rng(seed)
        return cls(
            cell=cell,
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
        """s₀ … s_T, (T + 1, n)."""
        return self.cell.run(self.inputs, self.start)

    @cached_property
    def W(self) -> Array:
        """W (rows, R)."""
        return np.concatenate([layer.weight_hh for layer in layers_of(self.cell)])

    def _run(self, k: int, state: Array, copies: Sequence[Array]) -> list[Array]:
        """Return sₖ, sₖ₊₁ … of sₖ, as many steps on as there are copies of W, one for each."""
        states = [state]
        for place, copy in enumerate(copies, k):
            weights = np.split(copy, len(layers_of(self.cell)))
            states.append(step(self.cell, weights, states[-1], self.inputs[place]))
        return states

    def _losses(self, k: int, states: Sequence[Array]) -> Array:
        """Return Lₖ, Lₖ₊₁ … of sₖ, sₖ₊₁ …, k from 1."""
        shown = np.stack(states)[:, self.cell.output]
        return np.asarray(((shown - self.targets[k - 1 : k - 1 + len(shown)]) ** 2).sum(axis=1) / 2)

    @cached_property
    def terms(self) -> list[Array]:
        """∂Lₜ/∂Wₖ for t = k … T, by complex steps: (T − k + 1, rows, R) for each k."""

        def later(k: int, copy: Array) -> Array:
            states = self._run(k - 1, self.states[k - 1], [copy, *[self.W] * (self.steps - k)])
            return self._losses(k, states[1:])

        return [derivative(partial(later, k), self.W) for k in range(1, self.steps + 1)]

    def term(self, t: int, k: int) -> Array:
        """Return ∂Lₜ/∂Wₖ (rows, R)."""
        return np.asarray(self.terms[k - 1][t - k])

    def gradient(self) -> Array:
        """Return ∂L/∂W (rows, R), by complex steps."""

        def loss(W: Array) -> Array:
            return np.asarray(self._losses(1, self._run(0, self.start, [W] * self.steps)[1:]).sum())

        return derivative(loss, self.W)

    def between(self, t: int, k: int) -> Array:
        """Return ∂sₜ/∂sₖ (n, n), by complex steps."""
        return derivative(lambda state: self._run(k, state, [self.W] * (t - k))[-1], self.states[k])

    @cached_property
    def factors(self) -> StepFactor:
        """The cell's own Jacobians of all steps."""
        return self.cell.linearize(self.states, self.inputs)

    @cached_property
    def blocks(self) -> list[Block]:
        """W, and what its rows multiply at every step."""
        return chosen(self.cell, self.states[None], self.inputs[None], PARAMETER)

    def jacobian(self, t: int) -> Array:
        """Return ∂sₜ/∂sₜ₋₁ (n, n), the cell's own."""
        return self.factors.at(t - 1).todense()

    def immediate(self, k: int) -> Array:
        """Return ∂⁺sₖ/∂W (n, rows·R), sₖ₋₁ held fixed, the cell's own."""
        pulled = self.factors.at(k - 1).pull(np.eye(len(self.start)))
        return np.concatenate([_of_block(block, k - 1, pulled.signals) for block in self.blocks], axis=1)

    def chained(self, t: int, k: int) -> Array:
        """Return ∂Lₜ/∂sₜ ∂sₜ/∂sₖ ∂⁺sₖ/∂W (rows, R)."""
        row = np.zeros(len(self.start))
        row[self.cell.output] = self.states[t, self.cell.output] - self.targets[t - 1]
        between = reduce(np.matmul, [self.jacobian(i) for i in range(t, k, -1)], np.eye(len(row)))
        return np.asarray(row @ between @ self.immediate(k)).reshape(self.W.shape)


def _of_block(block: Block, point: int, signals: Sequence[Array]) -> Array:
    """Return ∂⁺s/∂(block) at one step, (n, numbers in it), of the signals (rows, n) of each entry of s."""
    signal = signals[block.layer][block.rows]
    if block.scale is not None:
        signal = signal * block.scale[point][:, None]
    assert block.seen is not None
    exponents = np.broadcast_to(block.exponents, len(block.seen))
    # r row, i entry of s, c column
    products = np.einsum("ri,c->irc", signal, np.ldexp(block.seen[point], exponents[point]))
    return np.asarray(products.reshape(signal.shape[1], -1))
