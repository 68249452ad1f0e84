"""The parameter whose gradient is asked for: by name, by gate and by layer, and as one vector of numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradflow.cells.base import Array, Cell, Use
from gradflow.cells.factor import lay_side_by_side
from gradflow.cells.stack import Stack, list_layers
from gradflow.errors import UsageError
from gradflow.linalg.columns import Columns
from gradflow.registry import describe_unknown

ALL_PARAMETERS = "all"


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of one parameter of one layer, at all points of a batch of trajectories side by side.

    Its gradient is Σ_p δ_p v_pᵀ, or Σ_p δ_p⊙v_p where ``unitwise``, over the points p, δ being error signals.
    Each v has a power of two of its own, for a state may decay or grow as far as a signal does.
    """

    layer: int
    parameter: str
    start: int  # of its numbers among those of the whole parameter
    rows: slice  # of the signals of its layer
    seen: Array | None  # (points, columns), v_p is seen[p] * 2**exponents[p]; None: 1
    exponents: NDArray[np.int64] | int  # (points,)
    scale: Array | None  # (points, rows), multiplies δ first
    unitwise: bool
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        """Numbers in it."""
        return self.shape[0] * self.shape[1]

    def add_exponents(self, exponents: NDArray[np.int64], points: slice) -> NDArray[np.int64]:
        """Return the powers of two of δ_p v_pᵀ at some points, of those of the signals there."""
        own = self.exponents if isinstance(self.exponents, int) else self.exponents[points]
        return exponents + own


def choose_blocks(cell: Cell, states: Array, inputs: Array, text: str) -> list[Block]:
    """Return the blocks that ``text`` names, with what they multiply along a batch of trajectories.

    Parameters
    ----------
    cell : Cell
    states : array (B, T + 1, state_size)
    inputs : array (B, T, input_size)
    text : str
        ``weight_hh``, ``weight_hh.f`` (the rows of one gate), ``layer2.weight_hh`` or ``all``; several with
        commas. Without a layer it is that of all layers.

    Raises
    ------
    UsageError
        For a name that there is not.
    """
    return select_blocks(cell.uses(states, inputs), text)


def select_blocks(layers: Sequence[dict[str, list[Use]]], text: str) -> list[Block]:
    """Return the blocks that ``text`` names of how the parameters of each layer enter its steps.

    Raises
    ------
    UsageError
        For a name that there is not.
    """
    found: dict[tuple[int, str, int, int], Block] = {}
    for name in (part.strip() for part in text.split(",")):
        matching = [block for number, uses in enumerate(layers) for block in _matching(number, uses, name)]
        if not matching:
            raise UsageError(describe_unknown("parameter", name, _names(layers)))
        found |= {(block.layer, block.parameter, block.start, block.size): block for block in matching}
    return _without_parts(list(found.values()))


def _matching(number: int, layer: dict[str, list[Use]], name: str) -> Iterator[Block]:
    """Yield the blocks of one layer that a name stands for."""
    prefix = f"layer{number + 1}."
    own = name.removeprefix(prefix)
    for parameter, uses in layer.items():
        start = 0
        for use in uses:
            size = use.shape[0] // len(use.gates) * use.shape[1]
            if own in (ALL_PARAMETERS, parameter):
                yield _block(number, parameter, start, use)
            for place, gate in enumerate(use.gates):
                if own == f"{parameter}.{gate}":
                    yield _block(number, parameter, start + place * size, use.select_gate(gate))
            start += size * len(use.gates)


def _block(number: int, parameter: str, start: int, use: Use) -> Block:
    scale = None if use.scale is None else lay_side_by_side(use.scale)
    seen, exponents = _by_point(use.seen)
    return Block(number, parameter, start, use.rows, seen, exponents, scale, use.unitwise, use.shape)


def _by_point(seen: Array | None) -> tuple[Array | None, NDArray[np.int64] | int]:
    """Return v with a power of two of its own at every point."""
    if seen is None:
        return None, 0
    columns = Columns.of(lay_side_by_side(seen).T)
    return np.ascontiguousarray(columns.array.T), columns.exponents


def _without_parts(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks without those that lie in another: nobody counts a gate twice."""

    def within(block: Block, other: Block) -> bool:
        same = (block.layer, block.parameter) == (other.layer, other.parameter)
        ends = block.start + block.size, other.start + other.size
        return same and block is not other and other.start <= block.start and ends[0] <= ends[1]

    return [block for block in blocks if not any(within(block, other) for other in blocks)]


def _names(layers: Sequence[dict[str, list[Use]]]) -> list[str]:
    """Return every name that there is."""
    own = [list(_names_of(layer)) for layer in layers]
    shared = list(dict.fromkeys(name for names in own for name in names))
    if len(layers) == 1:
        return [*shared, ALL_PARAMETERS]
    return [
        *shared,
        *(f"layer{k}.{name}" for k, names in enumerate(own, 1) for name in names),
        ALL_PARAMETERS,
    ]


def _names_of(layer: dict[str, list[Use]]) -> Iterator[str]:
    for parameter, uses in layer.items():
        yield parameter
        gates = [gate for use in uses for gate in use.gates]
        yield from (f"{parameter}.{gate}" for gate in gates if len(gates) > 1)


def values(cell: Cell, blocks: Sequence[Block]) -> Array:
    """Return the numbers of the blocks as one vector."""
    layers = list_layers(cell)
    parts = [
        getattr(layers[block.layer], block.parameter).ravel()[block.start : block.start + block.size]
        for block in blocks
    ]
    return np.concatenate(parts)


def move_weights(cell: Cell, blocks: Sequence[Block], change: Array) -> Cell:
    """Return the cell with ``change``, one number for each of `values`, added to the blocks."""
    layers = list_layers(cell)
    start = 0
    for block in blocks:
        layer = layers[block.layer]
        weight = getattr(layer, block.parameter).copy()
        flat = weight.reshape(-1)
        flat[block.start : block.start + block.size] += change[start : start + block.size]
        layers[block.layer] = layer.replace_arrays(**{block.parameter: weight})
        start += block.size
    return layers[0] if len(layers) == 1 else Stack(tuple(layers))
