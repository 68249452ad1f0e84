"""The sheet's network, hₜ = σ(Whₜ₋₁ + Uxₜ) with Lₜ = ½‖hₜ − yₜ‖², random, in complex numbers.

Time runs from 1 to T; h₀ is given. Every derivative here is a complex step, none a formula of the sheet's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradflow.analysis.derivations.complex_step import derivative, sigmoid, sigmoid_slope
from gradflow.analysis.derivations.line import Array


@dataclass(frozen=True, eq=False)
class SheetRNN:
    """W (n, n), U (n, n + 1), inputs (T, n + 1), targets (T, n), h₀ (n)."""

    W: Array
    U: Array
    inputs: Array
    targets: Array
    start: Array

    @classmethod
    def drawn(cls, seed: int, hidden: int, steps: int) -> "SheetRNN":
        """Return a network with recurrent weights large enough that what lies far back is seen."""
        generator = np.random.default_rng(seed)
        return cls(
            W=generator.standard_normal((hidden, hidden)) * 2.0 / np.sqrt(hidden),
            U=generator.standard_normal((hidden, hidden + 1)) / np.sqrt(hidden + 1),
            inputs=generator.standard_normal((steps, hidden + 1)),
            targets=generator.uniform(0.0, 1.0, (steps, hidden)),
            start=generator.uniform(0.0, 1.0, hidden),
        )

    @property
    def steps(self) -> int:
        """T."""
        return len(self.inputs)

    def step(self, t: int, before: Array, W: Array) -> Array:
        """Return hₜ of hₜ₋₁ and W."""
        return sigmoid(W @ before + self.U @ self.inputs[t - 1])

    def run(self, copies: Sequence[Array], first: int = 0, start: Array | None = None) -> list[Array]:
        """Return h from step ``first`` on, where it is ``start``; each step has a copy of W of its own."""
        states = [self.start if start is None else start]
        for t in range(first + 1, self.steps + 1):
            states.append(self.step(t, states[-1], copies[t - 1]))
        return states

    def loss(self, t: int, state: Array) -> Array:
        """Return Lₜ."""
        return np.asarray(((state - self.targets[t - 1]) ** 2).sum() / 2)

    @cached_property
    def h(self) -> list[Array]:
        """h₀ … h_T."""
        return self.run([self.W] * self.steps)

    def slopes(self, t: int) -> Array:
        """Return σ′(zₜ) (n), zₜ = Whₜ₋₁ + Uxₜ."""
        return sigmoid_slope(self.W @ self.h[t - 1] + self.U @ self.inputs[t - 1])

    def jacobian(self, t: int) -> Array:
        """Return diag(σ′(zₜ)) W, from its formula."""
        return np.asarray(self.slopes(t)[:, None] * self.W)

    def loss_slope(self, t: int) -> Array:
        """Return ∂Lₜ/∂hₜ (n)."""
        return derivative(lambda state: self.loss(t, state), self.h[t])

    def later(self, t: int, k: int) -> Array:
        """Return ∂hₜ/∂hₖ (n, n): k ≤ t."""
        return derivative(lambda state: self.run([self.W] * self.steps, k, state)[t - k], self.h[k])

    def loss_at(self, t: int, k: int) -> Array:
        """Return ∂Lₜ/∂hₖ (n), by way of all states between."""
        return derivative(
            lambda state: self.loss(t, self.run([self.W] * self.steps, k, state)[t - k]), self.h[k]
        )

    def immediate(self, k: int) -> Array:
        """Return ∂⁺hₖ/∂W (n, n, n), hₖ₋₁ held fixed."""
        return derivative(lambda W: self.step(k, self.h[k - 1], W), self.W)

    def total(self, t: int) -> Array:
        """Return dhₜ/dW (n, n, n), by way of all earlier states too."""
        return derivative(lambda W: self.run([W] * self.steps)[t], self.W)

    def loss_gradient(self, t: int) -> Array:
        """Return ∂Lₜ/∂W (n, n)."""
        return derivative(lambda W: self.loss(t, self.run([W] * self.steps)[t]), self.W)

    def gradient(self) -> Array:
        """Return ∂L/∂W (n, n)."""

        def loss(W: Array) -> Array:
            states = self.run([W] * self.steps)
            return np.asarray(sum(self.loss(t, states[t]) for t in range(1, self.steps + 1)))

        return derivative(loss, self.W)

    def term(self, t: int, k: int) -> Array:
        """Return what the copy of W at step k does to Lₜ (n, n): one term of the double sum."""

        def loss(W: Array) -> Array:
            copies = [self.W] * self.steps
            copies[k - 1] = W
            return self.loss(t, self.run(copies)[t])

        return derivative(loss, self.W)
