"""The recurrent networks of a checkpoint: layers with a name, a direction and the assumptions made."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import NamedTuple

from gradflow.cells import name_cell
from gradflow.cells.base import Cell
from gradflow.cells.stack import Stack
from gradflow.errors import DataError, UsageError
from gradflow.layouts.feeds import Feed, UnknownFeed
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import StoredArray

LAYER_DIRECTIONS = ("forward", "backward")
MAX_SHOWN_NAME = 200


@dataclass(frozen=True, eq=False)
class NetworkLayer:
    """One recurrent layer in one direction.

    Attributes
    ----------
    cell : Cell
        The cell, with weights of float64.
    framework : str
        The framework whose names and order of gates the arrays have.
    stored : tuple of StoredArray
        The arrays from which the cell was made.
    direction : str
        ``forward``, or ``backward`` if the layer reads its inputs from the last to the first.
    assumed : tuple of str
        The assumptions, as ``option=value``, about what the file does not say.
    name : str
        The path of the layer in the file.
    sharers : int
        The number of layers that share the arrays in equal parts.
    inverted_gates : str
        The gates that the framework defines inversely: its gate is 1 − the cell's gate, and its bias is the
        negative of the cell's bias.
    """

    cell: Cell
    framework: str
    stored: tuple[StoredArray, ...]
    direction: str = LAYER_DIRECTIONS[0]
    assumed: tuple[str, ...] = ()
    name: str = ""
    sharers: int = 1
    inverted_gates: str = ""

    def __repr__(self) -> str:
        return f"NetworkLayer({self.name}: {self.kind} of {self.framework}, {self.direction})"

    def describe_assumed(self) -> str:
        """Return a sentence about the assumptions, or an empty string if there are none."""
        if not self.assumed:
            return ""
        return f"assumed, because the file does not say: {', '.join(self.assumed)} (`assume` changes it)."

    @property
    def parameters(self) -> int:
        """The number of weights that the framework trains."""
        return sum(prod(array.shape) for array in self.stored) // self.sharers

    @property
    def kind(self) -> str:
        """The name of the cell, such as ``"lstm"``."""
        return name_cell(self.cell)


# From the lowest to the highest level. A level has one layer, or one layer for each direction.
Levels = tuple[tuple[NetworkLayer, ...], ...]


@dataclass(frozen=True, eq=False)
class Network:
    """A stack of layers: each level reads the output of the level below, with its directions side by side.

    Attributes
    ----------
    name : str
        The path of the network in the file.
    levels : tuple of tuple of NetworkLayer
        The layers of each level, from the lowest level to the highest.
    feed : Feed or UnknownFeed, optional
        What the lowest level receives in its model. None if it is the model's input, or if the file does
        not say it.
    """

    name: str
    levels: Levels
    feed: Feed | UnknownFeed | None = None

    def __repr__(self) -> str:
        return f"Network({', '.join(map(str, self.layers))})"

    @property
    def layers(self) -> list[NetworkLayer]:
        """All layers, from the lowest level to the highest."""
        return [layer for level in self.levels for layer in level]

    def make_cell(self) -> Cell:
        """Return the network as one cell, whose state joins the states of all layers.

        Raises
        ------
        UsageError
            If a level has two directions: then no single state is carried from step to step.
        """
        if any(len(level) > 1 for level in self.levels):
            listed = ", ".join(layer.name for layer in self.layers)
            raise UsageError(
                f"{self.name!r} runs in both directions and so has no single state; choose a layer: {listed}"
            )
        cells = tuple(layer.cell for layer in self.layers)
        return cells[0] if len(cells) == 1 else Stack(cells)


class NetworkClaim(NamedTuple):
    """A network that a layout recognizes among the arrays.

    Attributes
    ----------
    path : str
        The path of the network in the file.
    names : frozenset of str
        The names of its arrays.
    build : callable
        Makes the levels of the network; raises `MisfitError` if the shapes do not fit together.
    remarks : tuple of str
        What was done to the arrays, for people. Sentences without a period.
    """

    path: str
    names: frozenset[str]
    build: Callable[[], Levels]
    remarks: tuple[str, ...] = ()


class MisfitError(DataError):
    """NamedArrays have the names of a recurrent layer, but not its shapes."""


def name_layers(name: str, levels: Levels) -> Network:
    """Return the network with named layers: ``P`` if it is alone, else ``P.l0``, ``P.l0_reverse``, …"""
    alone = sum(len(level) for level in levels) == 1
    return Network(
        name,
        tuple(
            tuple(
                replace(layer, name=name if alone else f"{name}.l{k}{'_reverse' if place else ''}")
                for place, layer in enumerate(level)
            )
            for k, level in enumerate(levels)
        ),
    )


def sort_networks(networks: Iterable[Network]) -> tuple[Network, ...]:
    """Return networks such that each stands after those that feed it, otherwise in the same order.

    Of networks that feed each other in a circle, the first stands last.
    """
    by_name = {network.name: network for network in networks}
    done: dict[str, Network] = {}
    waiting = [iter(by_name)]
    started: set[str] = set()
    open_names: list[str] = []
    while waiting:
        name = next(waiting[-1], None)
        if name is None:
            waiting.pop()
            if open_names:
                closed = open_names.pop()
                done[closed] = by_name[closed]
        elif name in by_name and name not in started:
            started.add(name)
            open_names.append(name)
            feed = by_name[name].feed
            waiting.append(iter(feed.sources if isinstance(feed, Feed) else ()))
    return tuple(done.values())


def check_chain(levels: Levels) -> None:
    """Refuse levels whose input size is not the output size of the level below.

    Raises
    ------
    MisfitError
        The message has both sizes.
    """
    for below, level in pairwise(levels):
        outputs = sum(layer.cell.output_size for layer in below)
        for layer in level:
            if layer.cell.input_size != outputs:
                raise MisfitError(
                    f"{describe_shapes(layer.stored)}: expected {outputs} inputs, which are the outputs of "
                    f"the layer below, not {layer.cell.input_size}"
                )


def describe_shapes(arrays: Sequence[StoredArray]) -> str:
    """Return the names and shapes of arrays for a message."""
    return ", ".join(f"{_show_name(array.name)} {array.shape}" for array in arrays)


def _show_name(name: str) -> str:
    return name if name.isprintable() and len(name) <= MAX_SHOWN_NAME else quote(name, MAX_SHOWN_NAME)
