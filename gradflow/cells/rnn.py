"""The simple recurrent network (Elman 1990): h' = φ(W h + U x + b)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradflow.cells.activations import ACTIVATIONS
from gradflow.cells.base import Cell
from gradflow.cells.initialization import fresh_weights
from gradflow.errors import UsageError
from gradflow.tables import unknown

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RNNFactor:
    """∂h'/∂h = diag(φ′) W (exercise 5-1a: y = σ(Wx) has the Jacobian diag(σ′)W)."""

    slope: Array  # (H,)
    weight_hh: Array  # (H, H)

    @property
    def size(self) -> int:
        """H."""
        return len(self.slope)

    def matmat(self, block: Array) -> Array:
        """Return diag(φ′) (W X)."""
        return self.slope[:, None] * (self.weight_hh @ block)

    def rmatmat(self, block: Array) -> Array:
        """Return Wᵀ (diag(φ′) Y)."""
        return self.weight_hh.T @ (self.slope[:, None] * block)

    def todense(self) -> Array:
        """Return diag(φ′) W."""
        return self.slope[:, None] * self.weight_hh


@dataclass(frozen=True, eq=False)
class RNN(Cell):
    """A simple recurrent cell; its state is h, shape (H,).

    Attributes
    ----------
    weight_ih : array (H, I)
    weight_hh : array (H, H)
    bias : array (H,)
    activation : str
        tanh, sigmoid, relu or identity.

    Examples
    --------
    >>> cell = RNN(np.zeros((1, 1)), np.array([[2.0]]), np.zeros(1))
    >>> state, factor = cell.step(np.array([0.957504024077]), np.zeros(1))
    >>> state.round(6), factor.todense().round(6)
    (array([0.957504]), array([[0.166372]]))
    """

    weight_ih: Array
    weight_hh: Array
    bias: Array
    activation: str = "tanh"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise UsageError(unknown("activation", self.activation, ACTIVATIONS))

    @property
    def state_size(self) -> int:
        """H."""
        return len(self.weight_hh)

    @property
    def input_size(self) -> int:
        """I."""
        return int(self.weight_ih.shape[1])

    def step(self, state: Array, x: Array) -> tuple[Array, RNNFactor]:
        """Return φ(W h + U x + b) and its Jacobian by h."""
        activation = ACTIVATIONS[self.activation]
        z = self.weight_hh @ state + self.weight_ih @ x + self.bias
        return activation.value(z), RNNFactor(activation.slope(z), self.weight_hh)

    @classmethod
    def random(
        cls,
        hidden_size: int,
        input_size: int,
        generator: np.random.Generator,
        *,
        activation: str = "tanh",
        init: str = "torch",
        gain: float = 1.0,
    ) -> "RNN":
        """Return a cell with fresh weights: ``init`` torch or orthogonal, times ``gain``."""
        weights = fresh_weights(init, 1, hidden_size, input_size, gain, generator)
        return cls(weights.weight_ih, weights.weight_hh, weights.bias, activation)
