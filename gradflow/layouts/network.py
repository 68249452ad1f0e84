"""Recurrent networks as they were found: layers with a name, a direction and what had to be assumed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import NamedTuple

from gradflow.cells.base import Cell
from gradflow.cells.stack import Stack
from gradflow.errors import DataError, UsageError
from gradflow.readers.stored import StoredArray

DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True, eq=False)
class Layer:
    """One recurrent layer in one direction.

    Attributes
    ----------
    cell : Cell
        With weights of float64.
    framework : str
        Whose names and order of gates its arrays have.
    stored : tuple of StoredArray
        The arrays that it was made of.
    direction : str
        forward, or backward: it goes through its inputs from the last to the first.
    assumed : tuple of str
        ``option=value`` for whatever the file does not say.
    name : str
        Where it stands.
    sharers : int
        How many layers lie in its arrays, each in a part as large.
    turned : str
        The gates that the framework has the other way round: its σ is 1 − the cell's, its bias the negative.
    """

    cell: Cell
    framework: str
    stored: tuple[StoredArray, ...]
    direction: str = DIRECTIONS[0]
    assumed: tuple[str, ...] = ()
    name: str = ""
    sharers: int = 1
    turned: str = ""

    def __repr__(self) -> str:
        return f"Layer({self.name}: {self.kind} of {self.framework}, {self.direction})"

    def told(self) -> str:
        """Return what was assumed as a sentence, nothing where nothing was."""
        if not self.assumed:
            return ""
        return f"the file does not say so: {', '.join(self.assumed)} is assumed (--assume sets it)."

    @property
    def parameters(self) -> int:
        """How many numbers the framework trains."""
        return sum(prod(array.shape) for array in self.stored) // self.sharers

    @property
    def kind(self) -> str:
        """The cell's name: rnn, lstm or gru."""
        return type(self.cell).__name__.lower()


# From below upwards; a level has one layer, or one for each direction.
Levels = tuple[tuple[Layer, ...], ...]


@dataclass(frozen=True, eq=False)
class Network:
    """Layers of which each level is fed the output of the one below, all its directions side by side.

    Attributes
    ----------
    name : str
        Where it stands in the file.
    levels : tuple of tuple of Layer
    """

    name: str
    levels: Levels

    def __repr__(self) -> str:
        return f"Network({', '.join(map(str, self.layers))})"

    @property
    def layers(self) -> list[Layer]:
        """All layers, from below upwards."""
        return [layer for level in self.levels for layer in level]

    def cell(self) -> Cell:
        """Return the network as one cell whose state is that of all layers.

        Raises
        ------
        UsageError
            Where a level has two directions: there is no one step of which the state depends on the last.
        """
        if any(len(level) > 1 for level in self.levels):
            listed = ", ".join(layer.name for layer in self.layers)
            raise UsageError(
                f"{self.name!r} runs in both directions, so it has no single state; choose a layer: {listed}"
            )
        cells = tuple(layer.cell for layer in self.layers)
        return cells[0] if len(cells) == 1 else Stack(cells)


class Claim(NamedTuple):
    """Arrays that a layout takes for a network at ``path``, and what makes the network of them.

    ``build`` raises `MisfitError` where shapes do not fit together.
    """

    path: str
    names: frozenset[str]
    build: Callable[[], Levels]


class MisfitError(DataError):
    """Arrays with the names of a recurrent layer do not have the shapes of one."""


def named(name: str, levels: Levels) -> Network:
    """Return the network with named layers: ``P`` where there is one, else ``P.l0``, ``P.l0_reverse``, …"""
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


def check_chain(levels: Levels) -> None:
    """Refuse levels that do not take what those below them give.

    Raises
    ------
    MisfitError
        With both sizes.
    """
    for below, level in pairwise(levels):
        given = sum(layer.cell.output_size for layer in below)
        for layer in level:
            if layer.cell.input_size != given:
                raise MisfitError(
                    f"{shapes(layer.stored)}: expected a layer of {given} inputs, which the one below gives, "
                    f"not {layer.cell.input_size}"
                )


class Choices:
    """What a person said about things that a file leaves open, and what was assumed for want of that."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = given
        self.used: set[str] = set()

    def open(self) -> "Open":
        """Return a new list of assumptions, for one layer."""
        return Open(self)


class Open:
    """The things that the file leaves open about one layer."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.assumed: list[str] = []

    def choose(self, option: str, default: str) -> str:
        """Return what was said about an option, or ``default``, which is then noted as assumed."""
        self.choices.used.add(option)
        if option in self.choices.given:
            return self.choices.given[option]
        self.assumed.append(f"{option}={default}")
        return default

    def number(self, option: str, default: float) -> float:
        """Return what was said about an option that is a number."""
        text = self.choose(option, f"{default:g}")
        try:
            return float(text)
        except ValueError:
            raise UsageError(f"{option}={text}: expected a number") from None


def shapes(arrays: Sequence[StoredArray]) -> str:
    """Return names and shapes, for a message."""
    return ", ".join(f"{array.name} {array.shape}" for array in arrays)
