"""What a cell is: parameters, a step, its linearization, and its gates.

Axes: weights may have leading axes, one draw of weights after the other. Vectors then have shape
(..., points, n): for each draw several points, at each of which the same formula is evaluated. A step along
a trajectory is one point; the Jacobians of a whole trajectory are taken at all its points in one call.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gradflow.cells.factor import Array as Array
from gradflow.cells.factor import StepFactor
from gradflow.cells.knob import Knob, make_bias_knob, make_gain_knob
from gradflow.errors import DataError
from gradflow.linalg.products import transposed

Index = slice | NDArray[np.intp]


class Gate(NamedTuple):
    """What a gate does, and the range that it can take.

    ``retains``: it multiplies what was before. ``bias_option``: the option of the cell that sets its bias.
    ``counterpart``: the gate that retains while this one lets in, so that their biases are opposites under
    chrono initialization.
    """

    role: str
    low: float
    high: float
    retains: bool = False
    bias_option: str = ""
    counterpart: str = ""


class GateValues(NamedTuple):
    """The values of one gate of one layer (counted from 1) along a trajectory, shape (..., T, H)."""

    layer: int
    name: str
    gate: Gate
    values: Array


class Use(NamedTuple):
    """How some rows of a parameter enter the pre-activations z of a step: ∂⁺s_k/∂W without its zeros.

    With the error signal δ = ∂L/∂z the gradient of these rows is Σ_k δ_k v_kᵀ, v being what they multiply;
    of a parameter that multiplies unit by unit (a bias, a peephole) it is Σ_k δ_k⊙v_k.
    """

    gates: tuple[str, ...]  # whose rows they are, each as many
    rows: slice  # of the error signals
    seen: Array | None  # v: (..., points, columns), or (..., points, rows) unit by unit; None: 1
    scale: Array | None = None  # (..., points, rows), multiplies δ first
    unitwise: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns; a parameter that multiplies unit by unit has one column."""
        columns = 1 if self.unitwise or self.seen is None else self.seen.shape[-1]
        return self.rows.stop - self.rows.start, columns

    def only(self, gate: str) -> "Use":
        """Return the rows of one gate alone."""
        size = self.shape[0] // len(self.gates)
        own = slice(self.gates.index(gate) * size, (self.gates.index(gate) + 1) * size)
        return Use(
            (gate,),
            slice(self.rows.start + own.start, self.rows.start + own.stop),
            self.seen[..., own] if self.unitwise and self.seen is not None else self.seen,
            None if self.scale is None else self.scale[..., own],
            self.unitwise,
        )


class CellPaths(NamedTuple):
    """What ∂c_t/∂c_{t−1} is the sum of, for t = 2 … T.

    They are diag(direct) and, for each gate, diag(into) (weight diag(delta) + diag(peephole)).

    δ = o_{t−1}⊙sech²c_{t−1} is what c_{t−1} does to h_{t−1}, with o_{t−1} held fixed.
    """

    direct: Array  # (..., T − 1, H)
    delta: Array  # (..., T − 1, H)
    into: dict[str, Array]  # (..., T − 1, H) by gate
    weight: dict[str, Array]  # (..., H, H) by gate
    peephole: dict[str, Array]  # (..., H) by gate, where there are any


class Cell(ABC):
    """A recurrent cell with its weights; its state s is one vector, whatever it is made of.

    A cell is a dataclass whose arrays are its weights, made of given ones by its constructor, or of fresh
    ones by ``random(hidden_size, input_size, generator, **options)``, whose keyword-only parameters are what
    a person may give after the cell's name.
    """

    random: ClassVar[Callable[..., "Cell"]]
    gate_kinds: ClassVar[Mapping[str, Gate]] = {}  # what each gate does; empty without gates

    @classmethod
    def choose_knob(cls, options: Mapping[str, Any]) -> Knob:
        """Return the option that `init` tunes: the bias of the gate that has one, else the gain.

        ``options`` are those that a person gave after the cell's name.
        """
        named = [gate.bias_option for gate in cls.gate_kinds.values() if gate.bias_option]
        return make_bias_knob(named[0], options) if named else make_gain_knob(options)

    def __post_init__(self) -> None:
        for name, weight in self.weights().items():
            wrong = np.argwhere(~np.isfinite(weight))
            if len(wrong):
                place = tuple(int(k) for k in wrong[0])
                raise DataError(
                    f"{type(self).__name__}: {name}{list(place)} is {weight[place]} in {weight.dtype}; "
                    "expected finite weights"
                )

    def weights(self) -> dict[str, Array]:
        """Return the arrays that the cell is made of, by name."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def with_weights(self, change: Callable[[Sequence[Array]], Array], others: Sequence[Self] = ()) -> Self:
        """Return a cell whose every weight ``change`` makes of that weight of this and other cells."""
        made = {
            name: change([weight, *(getattr(other, name) for other in others)])
            for name, weight in self.weights().items()
        }
        return replace(self, **made)  # type: ignore[type-var]

    def astype(self, dtype: np.dtype[Any]) -> Self:
        """Return the same cell with weights of another type."""
        with np.errstate(over="ignore"):  # what is out of range is refused with its place
            return self.with_weights(lambda weights: weights[0].astype(dtype))

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Index]:
        """Where the parts stand in the state: ``h``, the output, and ``c``, the cell state, if any."""

    @property
    @abstractmethod
    def state_size(self) -> int:
        """Numbers in the whole state."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Numbers in what a layer above gets to see."""

    @property
    def output(self) -> slice:
        """Where that stands in the state."""
        return slice(0, self.output_size)

    @property
    @abstractmethod
    def input_size(self) -> int:
        """Features of an input."""

    @abstractmethod
    def drive(self, inputs: Array) -> Array:
        """Return what inputs (..., points, input_size) add to the pre-activations, biases and all."""

    @abstractmethod
    def step(self, state: Array, drive: Array) -> Array:
        """Return the next state, shape (..., points, state_size), like ``state``."""

    @abstractmethod
    def linearize(self, states: Array, inputs: Array) -> StepFactor:
        """Return the Jacobians of all steps of a trajectory as one factor with an axis of points.

        Parameters
        ----------
        states : array (..., T + 1, state_size)
            As `run` returns them.
        inputs : array (..., T, input_size)
        """

    def gates(self, states: Array, inputs: Array) -> list[GateValues]:  # noqa: ARG002 - for those who have some
        """Return the values of every gate at every step; arguments as in `linearize`."""
        return []

    def layered(self, states: Array, inputs: Array) -> list[tuple["Cell", Array, Array]]:
        """Return each layer with its own states and inputs, the lowest first; arguments as in `linearize`."""
        return [(self, states, inputs)]

    def paths(self, states: Array, inputs: Array) -> "CellPaths | None":  # noqa: ARG002
        """Return what ∂c_t/∂c_{t−1} is made of, where there is a cell state; arguments as in `linearize`."""
        return None

    @abstractmethod
    def uses(self, states: Array, inputs: Array) -> list[dict[str, list[Use]]]:
        """Return how each parameter enters each step, layer by layer; arguments as in `linearize`."""

    def step_bound(self) -> Array | None:
        """Return what ‖∂s'/∂s‖ never exceeds, shape (...); None where that is not known."""
        return None

    def run(self, inputs: Array, initial: Array | None = None) -> Array:
        """Return the states along inputs (..., T, input_size), the initial one first: (..., T + 1, n)."""
        drive = self.drive(inputs)
        states = np.zeros((*drive.shape[:-2], drive.shape[-2] + 1, self.state_size), drive.dtype)
        if initial is not None:
            states[..., 0, :] = initial
        state = states[..., :1, :]
        for t in range(drive.shape[-2]):
            state = self.step(state, drive[..., t : t + 1, :])
            states[..., t + 1 : t + 2, :] = state
        return states


class Layer(Cell):
    """A cell with weights of its own, no stack; its state is its output unless it says otherwise."""

    weight_ih: Array  # (..., rows, input_size)
    weight_hh: Array  # (..., rows, output_size)
    bias: Array  # (..., rows)

    @property
    @abstractmethod
    def gate_names(self) -> list[str]:
        """What the rows of the weights are stacked by, in their order."""

    @property
    def hidden_size(self) -> int:
        """H, the rows of one gate."""
        return int(self.weight_hh.shape[-2]) // len(self.gate_names)

    @property
    def blocks(self) -> dict[str, slice]:
        """Where the rows of each gate stand in the weights and in the bias."""
        size = self.hidden_size
        return {name: slice(k * size, (k + 1) * size) for k, name in enumerate(self.gate_names)}

    def changed(self, **arrays: Array) -> Self:
        """Return the same cell with other arrays in place of those named."""
        return replace(self, **arrays)  # type: ignore[type-var]

    def recurrent(self, gate: str) -> Array:
        """Return what a gate sees of the last step, (..., H, H)."""
        return self.weight_hh[..., self.blocks[gate], :]

    def activity(self, states: Array, inputs: Array) -> list[GateValues]:
        """Return the values of whatever saturates: the gates, or the state of a cell without any."""
        return self.gates(states, inputs)

    def slopes(self, states: Array, inputs: Array) -> Array | None:  # noqa: ARG002
        """Return φ′ of every unit at every step (..., T, H), of a cell that has one activation; else None."""
        return None

    @property
    def parts(self) -> Mapping[str, Index]:
        """All is output."""
        return {"h": slice(0, self.state_size)}

    @property
    def state_size(self) -> int:
        """As many numbers as are shown."""
        return self.output_size

    @property
    def input_size(self) -> int:
        """I."""
        return int(self.weight_ih.shape[-1])

    @property
    def output_size(self) -> int:
        """H."""
        return int(self.weight_hh.shape[-1])

    def drive(self, inputs: Array) -> Array:
        """Return W x + b, all gates' rows."""
        return affine(self.weight_ih, inputs) + self.bias[..., None, :]


def affine(weight: Array, vectors: Array) -> Array:
    """Return W v for weights (..., m, n) and vectors (..., points, n) as (..., points, m)."""
    result: Array = vectors @ transposed(weight)
    return result
