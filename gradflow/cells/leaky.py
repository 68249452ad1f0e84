"""The leaky recurrent network: h' = (1 − a)⊙h + a⊙φ(W h + U x + b), with 0 < a ≤ 1.

It is Euler's step of length dt for the continuous-time network τ dh/dt = −h + φ(W h + U x + b), with a =
dt/τ. It is also the cell of an echo-state network with the leaking rate a (Jaeger et al. 2007, eq. 3). With
a = 1 it is the simple recurrent network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradflow.cells.activations import ActivationName, parse_activation
from gradflow.cells.base import affine
from gradflow.cells.factor import Array, Pull, StepFactor
from gradflow.cells.initialization import InitializationName
from gradflow.cells.knob import Knob
from gradflow.cells.rnn import ActivatedLayer, RNNFactor
from gradflow.errors import UsageError

DEFAULT_LEAK = 0.1  # a: the time step is a tenth of the time constant


@dataclass(frozen=True, eq=False)
class LeakyFactor(RNNFactor):
    """∂h'/∂h = diag(1 − a) + diag(a φ′) W: a diagonal matrix plus that of a simple recurrent network."""

    kept: Array  # (H, 1) 1 − a, the same at every point; the slope is a φ′

    def matmat(self, block: Array) -> Array:
        """Return (1 − a)⊙X + diag(a φ′) (W X)."""
        moved = super().matmat(block)
        moved += self.kept * block
        return moved

    def rmatmat(self, block: Array) -> Array:
        """Return (1 − a)⊙Y + Wᵀ (diag(a φ′) Y)."""
        result = super().rmatmat(block)
        result += self.kept * block
        return result

    def pull(self, block: Array) -> Pull:
        """Return δ = diag(a φ′) Y, and (1 − a)⊙Y + Wᵀ δ."""
        simple = super().pull(block)
        return simple._replace(state=self.kept * block + simple.state)

    def todense(self) -> Array:
        """Return diag(1 − a) + diag(a φ′) W."""
        dense = super().todense()
        places = np.arange(self.size)
        dense[..., places, places] += self.kept[:, 0]
        return dense

    def log_abs_dets(self) -> Array:
        """Return ln |det J| of every step, from the dense matrices, because a sum has no closed form."""
        return StepFactor.log_abs_dets(self)


@dataclass(frozen=True, eq=False)
class LeakyRNN(ActivatedLayer):
    """A leaky recurrent cell; its state is h, shape (H,).

    1 − a is a constant and not a gate: it does not depend on any weight. Without recurrent weights a unit
    keeps 1/e of its state for −1/ln(1 − a) steps, which is about τ/dt.

    Attributes
    ----------
    weight_ih : array (..., H, I)
    weight_hh : array (..., H, H)
    bias : array (..., H)
    a : array (H), or one number for all units
        The share of the state that a step replaces, above 0 and at most 1. It is not a weight: it is the same
        for all draws of the weights, and `bptt` computes no gradient of it.
    activation : str
        A name that `gradflow.cells.activations.parse_activation` reads.

    Raises
    ------
    UsageError
        If an entry of ``a`` is out of range, or ``a`` has another shape.

    Examples
    --------
    Without recurrent weights, each unit keeps 1 − a of its state:

    >>> cell = LeakyRNN(np.zeros((2, 1)), np.zeros((2, 2)), np.zeros(2), a=np.array([0.25, 1.0]))
    >>> nothing = np.zeros((1, 1))
    >>> cell.linearize(cell.run(nothing), nothing).at(0).todense()
    array([[0.75, 0.  ],
           [0.  , 0.  ]])

    References
    ----------
    H. Jaeger, M. Lukoševičius, D. Popovici & U. Siewert, Optimization and applications of echo state networks
    with leaky-integrator neurons, *Neural Networks* 20, 2007.
    """

    weight_ih: Array
    weight_hh: Array
    bias: Array
    a: Array | float = DEFAULT_LEAK
    activation: str = "tanh"

    def __post_init__(self) -> None:
        given, shape = np.asarray(self.a, np.float64), (self.hidden_size,)
        if given.shape not in ((), shape):
            raise UsageError(
                f"a has the shape {given.shape}; expected a number, or one for each unit, {shape}"
            )
        stored = given.astype(self.weight_hh.dtype)
        for exact, rounded in zip(given.flat, stored.flat, strict=True):
            if not (0 < rounded <= 1 and exact <= 1):
                what = f" is 0 in {stored.dtype}" if rounded == 0 and exact > 0 else ""
                raise UsageError(f"a={float(exact)!r}{what}: expected a number over 0 and at most 1")
        object.__setattr__(self, "a", np.broadcast_to(stored, shape).copy())
        super().__post_init__()

    def weights(self) -> dict[str, Array]:
        """Return weight_ih, weight_hh and bias; a is a constant."""
        return {name: weight for name, weight in super().weights().items() if name != "a"}

    @classmethod
    def choose_knob(cls, options: Mapping[str, Any]) -> Knob:
        """Return a, which sets the time constant of every unit, like the bias of a gate."""
        return Knob("a", float(options.get("a", DEFAULT_LEAK)), 1e-6, 1.0, doubled=True)

    def step(self, state: Array, drive: Array) -> Array:
        """Return (1 − a)⊙h + a⊙φ(W h + U x + b)."""
        value = parse_activation(self.activation).value(affine(self.weight_hh, state) + drive)
        return np.asarray((1.0 - self.a) * state + self.a * value)

    def linearize(self, states: Array, inputs: Array) -> LeakyFactor | RNNFactor:
        """Return diag(1 − a) + diag(a φ′) W at every step, or diag(φ′) W if a = 1 for all units."""
        slope = self.a * self.slopes(states, inputs)
        kept = 1.0 - np.asarray(self.a)[:, None]
        if not kept.any():  # a = 1: a closed form for determinants, and the same bits as an rnn
            return RNNFactor(slope, self.weight_hh, self.weight_ih)
        return LeakyFactor(slope, self.weight_hh, self.weight_ih, kept)

    def step_bound(self) -> Array:
        """Return max(1 − a) + γ σ_max(diag(a) W), where γ is the steepest slope of the activation.

        It follows from the bound of a simple recurrent network by the triangle inequality.
        """
        replaced = np.asarray(self.a, np.float64)
        norms = np.linalg.norm(replaced[:, None] * self.weight_hh.astype(np.float64), 2, axis=(-2, -1))
        return np.asarray((1.0 - replaced).max() + parse_activation(self.activation).steepest * norms)

    @classmethod
    def random(
        cls,
        hidden_size: int,
        input_size: int,
        generator: np.random.Generator,
        *,
        a: float = DEFAULT_LEAK,
        activation: ActivationName = "tanh",
        init: InitializationName = "torch",
        gain: float = 1.0,
    ) -> "LeakyRNN":
        """Return a cell with fresh weights; ``gain`` multiplies the recurrent ones.

        ``a`` is 0.1 by default. A step of a tenth of the time constant is usual in models of neural circuits:
        it is long enough to be cheap, and short enough to differ clearly from the simple network of a = 1.
        """
        return cls(*cls.draw_weights(hidden_size, input_size, generator, init, gain), a, activation)
