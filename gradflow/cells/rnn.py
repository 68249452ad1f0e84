"""The simple recurrent network (Elman 1990): h' = φ(W h + U x + b)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradflow.cells.activations import ActivationName, parse_activation
from gradflow.cells.base import Gate, GateValues, Layer, Use, affine
from gradflow.cells.factor import Array, LayerFactor, Pull, carry_back, log_abs_product
from gradflow.cells.initialization import InitializationName, draw_fresh_weights, spread_chrono_biases
from gradflow.linalg.products import Dense, transpose_matrices


@dataclass(frozen=True, eq=False)
class RNNFactor(LayerFactor):
    """∂h'/∂h = diag(φ′) W, as y = σ(Wx) has the Jacobian diag(σ′)W."""

    slope: Array  # (..., H, 1)
    weight_hh: Array  # (..., H, H)
    weight_ih: Array  # (..., H, I)

    per_point: ClassVar[tuple[str, ...]] = ("slope",)

    def matmat(self, block: Array) -> Array:
        """Return diag(φ′) (W X)."""
        moved: Array = self.weight_hh @ block
        moved *= self.slope
        return moved

    def rmatmat(self, block: Array) -> Array:
        """Return Wᵀ (diag(φ′) Y)."""
        result: Array = transpose_matrices(self.weight_hh) @ (self.slope * block)
        return result

    def pull(self, block: Array) -> Pull:
        """Return δ = diag(φ′) Y and Wᵀ δ."""
        signal = self.slope * block
        return Pull((signal,), carry_back(signal, self.weight_hh))

    def todense(self) -> Array:
        """Return diag(φ′) W."""
        return np.asarray(self.slope * self.weight_hh)

    def log_abs_dets(self) -> Array:
        """Return Σ ln |φ′| + ln |det W|."""
        return log_abs_product(self.slope) + Dense(self.weight_hh).log_abs_det()[..., None]

    def input_matmat(self, block: Array) -> Array:
        """Return diag(φ′) (U X)."""
        return np.asarray(self.slope * (self.weight_ih @ block))

    def input_rmatmat(self, block: Array) -> Array:
        """Return Uᵀ (diag(φ′) Y)."""
        result: Array = transpose_matrices(self.weight_ih) @ (self.slope * block)
        return result


class ActivatedLayer(Layer):
    """A layer without gates, whose units take a new value φ(z), z = W h + U x + b."""

    activation: str

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_activation(self.activation)  # raises an error for an unknown name

    @property
    def gate_names(self) -> list[str]:
        """The state alone."""
        return ["h"]

    def activity(self, states: Array, inputs: Array) -> list[GateValues]:  # noqa: ARG002 - the signature of `gates`
        """Return the state after every step."""
        ends = parse_activation(self.activation)
        return [GateValues(1, "h", Gate("is the state", ends.low, ends.high), states[..., 1:, :])]

    def slopes(self, states: Array, inputs: Array) -> Array:
        """Return φ′ at every step."""
        z = affine(self.weight_hh, states[..., :-1, :]) + self.drive(inputs)
        return parse_activation(self.activation).slope(z)

    def uses(self, states: Array, inputs: Array) -> list[dict[str, list[Use]]]:
        """Return the uses of z = W h + U x + b."""
        rows = slice(0, self.hidden_size)
        return [
            {
                "weight_ih": [Use(("h",), rows, inputs)],
                "weight_hh": [Use(("h",), rows, states[..., :-1, :])],
                "bias": [Use(("h",), rows, None, unitwise=True)],
            }
        ]

    @staticmethod
    def draw_weights(
        hidden_size: int, input_size: int, generator: np.random.Generator, init: str, gain: float
    ) -> tuple[Array, Array, Array]:
        """Return fresh weight_ih, weight_hh and bias; ``gain`` multiplies the recurrent weights."""
        weights = draw_fresh_weights(init, 1, (hidden_size, hidden_size, input_size), gain, generator)
        bias = weights.bias_ih + weights.bias_hh
        if init == "chrono":
            spread_chrono_biases({"h": bias}, {}, None, generator)
        return weights.weight_ih, weights.weight_hh, bias


@dataclass(frozen=True, eq=False)
class RNN(ActivatedLayer):
    """A simple recurrent cell; its state is h, shape (H,).

    Attributes
    ----------
    weight_ih : array (..., H, I)
    weight_hh : array (..., H, H)
    bias : array (..., H)
    activation : str
        A name that `gradflow.cells.activations.parse_activation` reads.

    Examples
    --------
    >>> cell = RNN(np.zeros((1, 1)), np.array([[2.0]]), np.zeros(1))
    >>> states = cell.run(np.zeros((3, 1)), initial=np.array([0.957504024077]))
    >>> cell.linearize(states, np.zeros((3, 1))).at(0).todense().round(6)
    array([[0.166372]])
    """

    weight_ih: Array
    weight_hh: Array
    bias: Array
    activation: str = "tanh"

    def step(self, state: Array, drive: Array) -> Array:
        """Return φ(W h + U x + b)."""
        return parse_activation(self.activation).value(affine(self.weight_hh, state) + drive)

    def linearize(self, states: Array, inputs: Array) -> RNNFactor:
        """Return diag(φ′) W at every step."""
        return RNNFactor(self.slopes(states, inputs), self.weight_hh, self.weight_ih)

    def step_bound(self) -> Array:
        """Return γ σ_max(W), γ the steepest slope of the activation (Pascanu et al. 2013, section 2.1)."""
        norms = np.linalg.norm(self.weight_hh.astype(np.float64), 2, axis=(-2, -1))
        return np.asarray(parse_activation(self.activation).steepest * norms)

    @classmethod
    def random(
        cls,
        hidden_size: int,
        input_size: int,
        generator: np.random.Generator,
        *,
        activation: ActivationName = "tanh",
        init: InitializationName = "torch",
        gain: float = 1.0,
    ) -> "RNN":
        """Return a cell with fresh weights; ``gain`` multiplies the recurrent ones."""
        return cls(*cls.draw_weights(hidden_size, input_size, generator, init, gain), activation)
