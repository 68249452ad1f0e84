"""Layers of cells, each fed with the output of the one below; the state is that of all layers together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from gradflow.cells.base import Cell, GateValues, Layer, Use
from gradflow.cells.factor import ALL_POINTS, Array, Pull, StepFactor


@dataclass(frozen=True, eq=False)
class StackFactor(StepFactor):
    """The Jacobian of all layers: block lower triangular, because a layer changes those above at once."""

    layers: tuple[StepFactor, ...]
    outputs: tuple[int, ...]  # the size of the output of each layer, which the next one sees

    per_point: ClassVar[tuple[str, ...]] = ()

    def at(self, point: int) -> Self:
        """Return the factor at one point of a trajectory."""
        return replace(self, layers=tuple(layer.at(point) for layer in self.layers))

    def each(self, points: slice | NDArray[np.intp] = ALL_POINTS) -> Self:
        """Return a factor that acts on each column of a block by its own point."""
        return replace(self, layers=tuple(layer.each(points) for layer in self.layers))

    def lay_side_by_side(self, axis: int = -3) -> Self:
        """Return the factor of several sequences as one."""
        return replace(self, layers=tuple(layer.lay_side_by_side(axis) for layer in self.layers))

    def with_arrays(self, change: Callable[[Array], Array]) -> Self:
        """Return the factor with the arrays of every layer changed."""
        return replace(self, layers=tuple(layer.with_arrays(change) for layer in self.layers))

    def above(self, lowest: int) -> Self:
        """Return the factor of the layers from ``lowest`` (from 0) up."""
        return replace(self, layers=self.layers[lowest:], outputs=self.outputs[lowest:])

    @property
    def size(self) -> int:
        """The sum of the sizes of the layers."""
        return sum(layer.size for layer in self.layers)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the weights."""
        return self.layers[0].dtype

    def _split(self, block: Array) -> list[Array]:
        bounds = accumulate((layer.size for layer in self.layers), initial=0)
        return [block[..., low:high, :] for low, high in pairwise(bounds)]

    def matmat(self, block: Array) -> Array:
        """Return J X, from the lowest layer up."""
        moved: list[Array] = []
        for k, (layer, part) in enumerate(zip(self.layers, self._split(block), strict=True)):
            change = layer.matmat(part)
            if k:
                change = change + layer.input_matmat(moved[-1][..., : self.outputs[k - 1], :])
            moved.append(change)
        return np.concatenate(moved, axis=-2)

    @property
    def has_stages(self) -> bool:  # type: ignore[override]
        """Whether any layer has stages."""
        return any(layer.has_stages for layer in self.layers)

    def apply_scale(self, block: Array) -> Array:
        """Return D X, layer by layer."""
        parts = zip(self.layers, self._split(block), strict=True)
        return np.concatenate([layer.apply_scale(part) for layer, part in parts], axis=-2)

    def apply_graded(self, block: Array) -> Array:
        """Return the rows Z X of each layer, with the exact output of the layer below as its input."""
        rows: list[Array] = []
        shown: Array | None = None
        for layer, part, outputs in zip(
            self.layers, self._split(block), (*self.outputs[:-1], 0), strict=True
        ):
            own = layer.apply_graded(part)
            if shown is not None:
                own = own + layer.apply_input_graded(shown)
            rows.append(own)
            shown = layer.apply_mixing(own)[..., :outputs, :]
        return np.concatenate(rows, axis=-2)

    def apply_mixing(self, block: Array) -> Array:
        """Return L Y, layer by layer."""
        parts = zip(self.layers, self._split(block), strict=True)
        return np.concatenate([layer.apply_mixing(part) for layer, part in parts], axis=-2)

    def log_abs_dets(self) -> Array:
        """Return the sum over the layers, because J is block triangular."""
        return np.asarray(np.sum([layer.log_abs_dets() for layer in self.layers], axis=0))

    def rmatmat(self, block: Array) -> Array:
        """Return Jᵀ Y, from the highest layer down."""
        asked = self._collect_requests(self._split(block))
        return np.concatenate(
            [layer.rmatmat(part) for layer, part in zip(self.layers, asked, strict=True)], axis=-2
        )

    def pull(self, block: Array) -> Pull:
        """Return the signals of every layer and Jᵀ Y, from the highest layer down."""
        asked = self._collect_requests(self._split(block))
        pulls = [layer.pull(part) for layer, part in zip(self.layers, asked, strict=True)]
        signals = tuple(signal for pull in pulls for signal in pull.signals)
        return Pull(signals, np.concatenate([pull.state for pull in pulls], axis=-2))

    def _collect_requests(self, parts: Sequence[Array]) -> list[Array]:
        """Return the signal of the new state of each layer: its own, and that of the layer above."""
        asked = list(parts)
        for k in range(len(parts) - 1, 0, -1):
            below = asked[k - 1].copy()
            below[..., : self.outputs[k - 1], :] += self.layers[k].input_rmatmat(asked[k])
            asked[k - 1] = below
        return asked

    def solve(self, block: Array) -> Array:
        """Return J⁻¹ X. The new state of a layer is known, and with it the input of the layer above."""
        parts = self._split(block)
        solutions = []
        for k, (layer, part) in enumerate(zip(self.layers, parts, strict=True)):
            own = part - layer.input_matmat(parts[k - 1][..., : self.outputs[k - 1], :]) if k else part
            solutions.append(layer.solve(own))
        return np.concatenate(solutions, axis=-2)

    def rsolve(self, block: Array) -> Array:
        """Return J⁻ᵀ Y."""
        asked = [layer.rsolve(part) for layer, part in zip(self.layers, self._split(block), strict=True)]
        solutions = [part.copy() for part in asked]
        for k in range(1, len(asked)):
            solutions[k - 1][..., : self.outputs[k - 1], :] -= self.layers[k].input_rmatmat(asked[k])
        return np.concatenate(solutions, axis=-2)

    def inverse_error(self) -> float:
        """Return the sum of the errors of the layers."""
        return sum(layer.inverse_error() for layer in self.layers)

    def input_matmat(self, block: Array) -> Array:
        """Raise an error: a stack cannot be a layer of another stack."""
        raise NotImplementedError

    def input_rmatmat(self, block: Array) -> Array:
        """Raise an error, as `input_matmat` does."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Stack(Cell):
    """Layers, the lowest first; the state is [s_1; s_2; …].

    Examples
    --------
    >>> from gradflow.cells.rnn import RNN
    >>> layer = RNN(np.ones((1, 1)), np.array([[0.5]]), np.zeros(1), "identity")
    >>> pair, nothing = Stack((layer, layer)), np.zeros((1, 1))
    >>> pair.linearize(pair.run(nothing), nothing).at(0).todense()
    array([[0.5, 0. ],
           [0.5, 0.5]])
    """

    layers: tuple[Cell, ...]

    def weights(self) -> dict[str, Array]:
        """Return the weights of all layers by ``layer1.name``."""
        return {
            f"layer{k}.{name}": w
            for k, layer in enumerate(self.layers, 1)
            for name, w in layer.weights().items()
        }

    def with_weights(self, change: Callable[[Sequence[Array]], Array], others: Sequence[Self] = ()) -> Self:
        """Return a stack of layers with changed weights."""
        layers = [
            layer.with_weights(change, [o.layers[k] for o in others]) for k, layer in enumerate(self.layers)
        ]
        return replace(self, layers=tuple(layers))

    @property
    def parts(self) -> Mapping[str, NDArray[np.intp]]:
        """The parts of all layers, one layer after another."""
        names = dict.fromkeys(name for layer in self.layers for name in layer.parts)
        starts = accumulate((layer.state_size for layer in self.layers), initial=0)
        offsets = list(zip(starts, self.layers, strict=False))
        return {
            name: np.concatenate(
                [
                    start + np.arange(layer.state_size)[layer.parts[name]]
                    for start, layer in offsets
                    if name in layer.parts
                ]
            )
            for name in names
        }

    @property
    def state_size(self) -> int:
        """The sum of the state sizes of the layers."""
        return sum(layer.state_size for layer in self.layers)

    @property
    def output_size(self) -> int:
        """The output size of the highest layer."""
        return self.layers[-1].output_size

    @property
    def output(self) -> slice:
        """Where the output is in the state."""
        start = self.state_size - self.layers[-1].state_size
        return slice(start, start + self.output_size)

    @property
    def input_size(self) -> int:
        """The input size of the lowest layer."""
        return self.layers[0].input_size

    def drive(self, inputs: Array) -> Array:
        """Raise an error: only a layer can be driven, and `run` drives each layer by the one below."""
        raise NotImplementedError

    def step(self, state: Array, drive: Array) -> Array:
        """Raise an error, as `drive` does."""
        raise NotImplementedError

    def run(self, inputs: Array, initial: Array | None = None) -> Array:
        """Return the states, layer by layer: each layer runs along the whole output of the one below."""
        states: list[Array] = []
        start = 0
        for layer in self.layers:
            own = None if initial is None else initial[..., start : start + layer.state_size]
            states.append(layer.run(inputs, own))
            inputs, start = states[-1][..., 1:, : layer.output_size], start + layer.state_size
        return np.concatenate(states, axis=-1)

    def run_perturbed(self, inputs: Array, initial: Array, draw_factors: Callable[[int], Array]) -> Array:
        """Return the states of runs side by side, layer by layer as in `run`."""
        states: list[Array] = []
        start = 0
        for layer in self.layers:
            own = initial[..., start : start + layer.state_size]
            states.append(layer.run_perturbed(inputs, own, draw_factors))
            inputs, start = states[-1][..., 1:, :, : layer.output_size], start + layer.state_size
        return np.concatenate(states, axis=-1)

    def split_layers(self, states: Array, inputs: Array) -> list[tuple[Cell, Array, Array]]:
        """Return each layer with its own states, and the output of the layer below as its inputs."""
        layers: list[tuple[Cell, Array, Array]] = []
        start = 0
        for layer in self.layers:
            own = states[..., start : start + layer.state_size]
            layers.append((layer, own, inputs))
            inputs, start = own[..., 1:, : layer.output_size], start + layer.state_size
        return layers

    def linearize(self, states: Array, inputs: Array) -> StackFactor:
        """Return the Jacobians of all layers at every step."""
        layers = tuple(layer.linearize(own, fed) for layer, own, fed in self.split_layers(states, inputs))
        return StackFactor(layers, tuple(layer.output_size for layer in self.layers))

    def uses(self, states: Array, inputs: Array) -> list[dict[str, list[Use]]]:
        """Return the uses of every layer."""
        layers = self.split_layers(states, inputs)
        return [uses for layer, own, fed in layers for uses in layer.uses(own, fed)]

    def gates(self, states: Array, inputs: Array) -> list[GateValues]:
        """Return the gates of every layer."""
        return [
            gate._replace(layer=k)
            for k, (layer, own, fed) in enumerate(self.split_layers(states, inputs), 1)
            for gate in layer.gates(own, fed)
        ]


def list_layers(cell: Cell) -> list[Layer]:
    """Return the layers of a cell, the lowest first."""
    layers = cell.layers if isinstance(cell, Stack) else (cell,)
    return [layer for layer in layers if isinstance(layer, Layer)]
