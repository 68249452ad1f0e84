"""The interface of a cell: parameters, a step, its linearization, and its gates.

Axes: weights may have leading axes, which run over draws of the weights. Vectors then have shape
(..., points, n): several points for each draw, at each of which the same formula is evaluated. A step along
a trajectory is one point. The Jacobians of a whole trajectory are computed at all its points in one call.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gradflow.cells.factor import Array as Array
from gradflow.cells.factor import StepFactor, get_layer_field
from gradflow.cells.knob import Knob, make_bias_knob, make_gain_knob
from gradflow.errors import DataError, UsageError
from gradflow.linalg.products import transpose_matrices

Index = slice | NDArray[np.intp]


class Gate(NamedTuple):
    """The role of a gate and the range of its values.

    ``retains``: the gate multiplies the last state. ``bias_option``: the option of the cell that sets its
    bias. ``counterpart``: the gate that retains while this one lets in. Chrono initialization gives the two
    opposite biases.
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

    With the error signal δ = ∂L/∂z, the gradient of these rows is Σ_k δ_k v_kᵀ, where v is the vector that
    they multiply. For a parameter that multiplies unit by unit (a bias, a peephole) it is Σ_k δ_k⊙v_k.
    """

    gates: tuple[str, ...]  # the gates of the rows; each has the same number of rows
    rows: slice  # of the error signals
    seen: Array | None  # v: (..., points, columns), or (..., points, rows) unit by unit; None: 1
    scale: Array | None = None  # (..., points, rows), multiplies δ first
    unitwise: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns; a parameter that multiplies unit by unit has one column."""
        columns = 1 if self.unitwise or self.seen is None else self.seen.shape[-1]
        return self.rows.stop - self.rows.start, columns

    def select_gate(self, gate: str) -> "Use":
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
    """The terms of ∂c_t/∂c_{t−1} for t = 2 … T.

    They are diag(direct) and, for each gate, diag(into) (weight diag(delta) + diag(peephole)).

    δ = o_{t−1}⊙sech²c_{t−1} is ∂h_{t−1}/∂c_{t−1} with o_{t−1} held fixed.
    """

    direct: Array  # (..., T − 1, H)
    delta: Array  # (..., T − 1, H)
    into: dict[str, Array]  # (..., T − 1, H) by gate
    weight: dict[str, Array]  # (..., H, H) by gate
    peephole: dict[str, Array]  # (..., H) by gate, if there are peepholes


class Cell(ABC):
    """A recurrent cell with its weights. Its state s is one vector, whatever its parts are.

    A cell is a dataclass whose arrays are its weights. Its constructor takes given weights.
    ``random(hidden_size, input_size, generator, **options)`` draws fresh ones. The keyword-only parameters of
    ``random`` are the options that a user may give after the name of the cell.
    """

    random: ClassVar[Callable[..., "Cell"]]
    gate_kinds: ClassVar[Mapping[str, Gate]] = {}  # what each gate does; empty without gates

    @classmethod
    def choose_knob(cls, options: Mapping[str, Any]) -> Knob:
        """Return the option that `init` tunes: the bias of a gate that has such an option, else the gain.

        ``options`` are those that the user gave after the name of the cell.
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
        """Return the arrays of the cell by name."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def with_weights(self, change: Callable[[Sequence[Array]], Array], others: Sequence[Self] = ()) -> Self:
        """Return a cell in which ``change`` computes each weight from that weight of this and other cells."""
        made = {
            name: change([weight, *(getattr(other, name) for other in others)])
            for name, weight in self.weights().items()
        }
        return replace(self, **made)  # type: ignore[type-var]

    def astype(self, dtype: np.dtype[Any]) -> Self:
        """Return the same cell with weights of another type."""
        with np.errstate(over="ignore"):  # the constructor reports the place of an inf
            return self.with_weights(lambda weights: weights[0].astype(dtype))

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Index]:
        """Where the parts of the state are: ``h``, the output, and ``c``, the cell state, if there is one."""

    @property
    @abstractmethod
    def state_size(self) -> int:
        """The size of the whole state."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """The size of the output, which a layer above sees."""

    @property
    def output(self) -> slice:
        """Where the output is in the state."""
        return slice(0, self.output_size)

    @property
    @abstractmethod
    def input_size(self) -> int:
        """The number of features of an input."""

    @abstractmethod
    def drive(self, inputs: Array) -> Array:
        """Return the terms of inputs (..., points, input_size) in the pre-activations, with the biases."""

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

    def gates(self, states: Array, inputs: Array) -> list[GateValues]:  # noqa: ARG002 - cells with gates use them
        """Return the values of every gate at every step; arguments as in `linearize`."""
        return []

    def split_layers(self, states: Array, inputs: Array) -> list[tuple["Cell", Array, Array]]:
        """Return each layer with its own states and inputs, the lowest first; arguments as in `linearize`."""
        return [(self, states, inputs)]

    def paths(self, states: Array, inputs: Array) -> "CellPaths | None":  # noqa: ARG002
        """Return the terms of ∂c_t/∂c_{t−1} if there is a cell state; arguments as in `linearize`."""
        return None

    def uses(self, states: Array, inputs: Array) -> list[dict[str, list[Use]]]:  # noqa: ARG002
        """Return how each parameter enters each step, layer by layer; arguments as in `linearize`.

        Only `bptt` and `derive` need it. A parameter that does not multiply a vector by itself, such as W in
        W − Wᵀ, has no `Use`.

        Raises
        ------
        UsageError
            If the cell does not say how its weights are used.
        """
        raise UsageError(
            f"the cell {type(self).__name__} does not say how its weights are used: define its method `uses`"
        )

    def step_bound(self) -> Array | None:
        """Return an upper bound of ‖∂s'/∂s‖, shape (...), or None if none is known."""
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

    def run_perturbed(self, inputs: Array, initial: Array, draw_factors: Callable[[int], Array]) -> Array:
        """Return the states of p runs side by side whose numbers are multiplied by factors near 1.

        At every step the same factors multiply the state, and others the terms of the inputs in the
        pre-activations, as if last digits of the weights were other ones.

        Parameters
        ----------
        inputs : array (..., T, q, input_size)
            Of q runs, where q divides p: all others have the same inputs as these, in turn.
        initial : array (..., p, state_size)
        draw_factors : callable
            Returns factors (..., p, m) for m numbers.

        Returns
        -------
        array (..., T + 1, p, state_size)
        """
        *leading, steps, own, features = inputs.shape
        runs = initial.shape[-2]
        drive = self.drive(inputs.reshape(*leading, steps * own, features))
        rows = drive.shape[-1]
        drive = np.tile(drive.reshape(*leading, steps, own, rows), (runs // own, 1))
        drive *= draw_factors(rows)[..., None, :, :]
        factors = draw_factors(self.state_size)
        states = np.empty((*leading, steps + 1, runs, self.state_size), drive.dtype)
        states[..., 0, :, :] = state = initial * factors
        for t in range(steps):
            state = self.step(state, drive[..., t, :, :])
            state *= factors
            states[..., t + 1, :, :] = state
        return states


class Layer(Cell):
    """A cell with its own weights, not a stack. Its state is its output unless a subclass says otherwise.

    The sizes come from the fields ``weight_ih`` and ``weight_hh``, and `drive` needs ``bias`` as well.
    """

    weight_ih: Array  # (..., rows, input_size)
    weight_hh: Array  # (..., rows, output_size)
    bias: Array  # (..., rows)

    @property
    @abstractmethod
    def gate_names(self) -> list[str]:
        """The names of the gates in the order in which the rows of the weights are stacked."""

    @property
    def hidden_size(self) -> int:
        """H, the rows of one gate."""
        return int(get_layer_field(self, "weight_hh").shape[-2]) // len(self.gate_names)

    @property
    def blocks(self) -> dict[str, slice]:
        """The rows of each gate in the weights and in the bias."""
        size = self.hidden_size
        return {name: slice(k * size, (k + 1) * size) for k, name in enumerate(self.gate_names)}

    def replace_arrays(self, **arrays: Array) -> Self:
        """Return the same cell with the named arrays replaced."""
        return replace(self, **arrays)  # type: ignore[type-var]

    def recurrent(self, gate: str) -> Array:
        """Return the recurrent weights of a gate, (..., H, H)."""
        return self.weight_hh[..., self.blocks[gate], :]

    def activity(self, states: Array, inputs: Array) -> list[GateValues]:
        """Return the values that may saturate: those of the gates, or the state of a cell without gates."""
        return self.gates(states, inputs)

    def slopes(self, states: Array, inputs: Array) -> Array | None:  # noqa: ARG002
        """Return φ′ of every unit at every step (..., T, H) if the cell has one activation, else None."""
        return None

    @property
    def parts(self) -> Mapping[str, Index]:
        """The whole state is the output."""
        return {"h": slice(0, self.state_size)}

    @property
    def state_size(self) -> int:
        """The size of the output."""
        return self.output_size

    @property
    def input_size(self) -> int:
        """I."""
        return int(get_layer_field(self, "weight_ih").shape[-1])

    @property
    def output_size(self) -> int:
        """H."""
        return int(get_layer_field(self, "weight_hh").shape[-1])

    def drive(self, inputs: Array) -> Array:
        """Return W x + b, with the rows of all gates."""
        return (
            affine(get_layer_field(self, "weight_ih"), inputs) + get_layer_field(self, "bias")[..., None, :]
        )


def affine(weight: Array, vectors: Array) -> Array:
    """Return W v for weights (..., m, n) and vectors (..., points, n) as (..., points, m)."""
    result: Array = vectors @ transpose_matrices(weight)
    return result
