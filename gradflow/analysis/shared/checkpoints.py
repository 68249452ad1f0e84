"""Checkpoints as a person gives them: files by name, ``FILE[::layer[:option=value,...]]``, and objects.

An object is what `gradflow.load` returned or one of its networks, a state dict, or a module that has one.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

import numpy as np

from gradflow.analysis.shared.arguments import READ_ALREADY, refuse_without_effect
from gradflow.cells import CELLS
from gradflow.cells.base import Cell
from gradflow.errors import UsageError
from gradflow.layouts.assumptions import (
    ASSUMABLE_OPTIONS,
    check_assumptions,
    check_left_open,
    parse_assumptions,
)
from gradflow.layouts.checkpoint import Checkpoint, find_networks, read_checkpoint
from gradflow.layouts.feeds import Feed, UnknownFeed
from gradflow.layouts.network import Network
from gradflow.printable import describe_argument
from gradflow.readers import CHECKPOINT_SUFFIXES

CHECKPOINT_SEPARATOR = "::"


@runtime_checkable
class Module(Protocol):
    """A model in memory that gives its arrays by name, as those of torch do."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return the arrays by name."""


# A trained model that is no file.
Model = Checkpoint | Network | Mapping[str, Any] | Module


class CheckpointName(NamedTuple):
    """A file, the layer in it that is meant (all where it is empty), and what is assumed about it."""

    file: str
    layer: str
    assume: Mapping[str, str]


class Trained(NamedTuple):
    """A network of a checkpoint in place of a cell with fresh weights: every draw has the same."""

    text: str
    network: Network
    remarks: tuple[str, ...] = ()  # of its checkpoint

    def list_caveats(self) -> Iterator[str]:
        """Yield what to know of the network: what was assumed, what was not read, what its model feeds it."""
        yield from (layer.describe_assumed() for layer in self.network.layers if layer.describe_assumed())
        yield from (f"{remark}." for remark in self.remarks)
        feed = self.network.feed
        if isinstance(feed, Feed):
            yield (
                f"in its model {self.network.name} receives {feed.describe()}; here it receives the inputs "
                "of this call (inspect feeds it as its model does)."
            )
        elif isinstance(feed, UnknownFeed):
            yield f"the inputs of {self.network.name} in its model are not known: {feed.reason}."

    def make(self, hidden_size: int, input_size: int, generator: np.random.Generator) -> Cell:  # noqa: ARG002
        """Return the network's cell.

        Raises
        ------
        UsageError
            If the network takes inputs of another width.
        """
        cell = self.network.make_cell()
        if cell.input_size != input_size:
            raise UsageError(
                f"cell {self.text!r}: expected inputs with {cell.input_size} features, but the input has "
                f"{input_size}; give another input"
            )
        return cell

    @property
    def backward(self) -> bool:
        """Whether it goes through its inputs from the last to the first."""
        return self.network.layers[0].direction == "backward"


def parse_name(text: str) -> CheckpointName:
    """Read ``FILE[::layer[:option=value,...]]``; a file with exactly this name takes precedence.

    Raises
    ------
    UsageError
        If an option has no value.

    Examples
    --------
    >>> parse_name("model.pt::encoder.rnn:activation=relu")
    CheckpointName(file='model.pt', layer='encoder.rnn', assume={'activation': 'relu'})
    """
    if CHECKPOINT_SEPARATOR not in text or os.path.exists(text):
        file = text.rpartition(":")[0]
        if not os.path.exists(text) and os.path.isfile(file):
            raise UsageError(
                f"{text!r}: options of a checkpoint follow its layer; write {file}::LAYER:OPTION=VALUE"
            )
        return CheckpointName(text, "", {})
    file, _, rest = text.partition(CHECKPOINT_SEPARATOR)
    layer, _, options = rest.rpartition(":")
    if "=" not in options and options not in ASSUMABLE_OPTIONS:  # a name may hold a colon
        return CheckpointName(file, rest, {})
    return CheckpointName(file, layer, parse_assumptions(options))


def is_checkpoint(text: str) -> bool:
    """Return whether a cell's name is that of a file: by its form, or because there is one.

    Examples
    --------
    >>> is_checkpoint("model.pt::lstm"), is_checkpoint("model.pt"), is_checkpoint("lstm:forget_bias=1.5")
    (True, True, False)
    """
    name = text.partition(":")[0]
    named = CHECKPOINT_SEPARATOR in text or name.lower().endswith(CHECKPOINT_SUFFIXES)
    return named or (name not in CELLS and os.path.exists(text))


def is_model(source: object) -> TypeGuard[Model]:
    """Return whether an object is a trained model in memory.

    Examples
    --------
    >>> is_model({"weight_ih_l0": [[1.0]]}), is_model("model.pt"), is_model(dict)
    (True, False, False)
    """
    return isinstance(source, Checkpoint | Network | Mapping | Module) and not isinstance(source, type)


def is_read(source: object) -> bool:
    """Return whether the networks were found already, so that nothing can be assumed about them any more."""
    return isinstance(source, Checkpoint | Network)


def open_model(
    model: Model, layout: str | None = None, assume: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Return the networks of a model in memory. It is named after its class, unless it has a name.

    Raises
    ------
    DataError
        If it holds no recurrent layer, or an array that cannot be read.
    UsageError
        If what a module returns as its state dict is no mapping.
    """
    if isinstance(model, Checkpoint):
        return model
    if isinstance(model, Network):
        return Checkpoint(model.name, (model,))
    if isinstance(model, Mapping):
        return find_networks(model, "state dict", layout, assume)
    name, arrays = type(model).__name__, model.state_dict()
    if not isinstance(arrays, Mapping):
        raise UsageError(
            f"{name}: state_dict() returns a {type(arrays).__name__}; expected a mapping of names to arrays"
        )
    return find_networks(arrays, name, layout, assume, _read_nonlinearities(model))


class OpenedSource(NamedTuple):
    """A checkpoint, and the layer or network of it that the user named; empty if it is the whole."""

    checkpoint: Checkpoint
    layer: str
    is_named: bool


def open_source(
    source: str | os.PathLike[str] | Model, layout: str | None, assume: Mapping[str, Any] | None
) -> OpenedSource:
    """Return the checkpoint that ``FILE[::layer]`` names, or a model in memory.

    Raises
    ------
    DataError
        If it cannot be read or has no recurrent layer.
    UsageError
        If it is something else, or if an option has no effect on it.
    """
    if is_model(source):
        if is_read(source):
            refuse_without_effect({"layout": layout, "assume": assume or None}, READ_ALREADY)
        checkpoint = open_model(source, layout, assume)
        if not is_read(source):
            check_left_open(assume, checkpoint.left_open, checkpoint.source)
        return OpenedSource(checkpoint, "", isinstance(source, Network))
    if not isinstance(source, str | os.PathLike):
        raise UsageError(
            f"{describe_argument('source', source)}: expected a file, a state dict, or a module that has one"
        )
    name = parse_name(os.fspath(source))
    stated = {**check_assumptions(assume), **name.assume}
    checkpoint = read_checkpoint(name.file, layout, stated)
    check_left_open(stated, checkpoint.left_open, name.file)
    return OpenedSource(checkpoint, name.layer, bool(name.layer))


def _read_nonlinearities(model: Module) -> dict[str, str]:
    """Return the activations that submodules state, by path: torch's RNN has ``nonlinearity``."""
    list_modules = getattr(model, "named_modules", None)
    submodules = list_modules() if callable(list_modules) else ()
    stated = ((path, getattr(submodule, "nonlinearity", None)) for path, submodule in submodules)
    return {path: name for path, name in stated if isinstance(name, str)}


def choose_network(checkpoint: Checkpoint, layer: str, choice: str) -> Network:
    """Return the network of that name, or the only one there is.

    Raises
    ------
    UsageError
        If there is none of that name, or if there are several and none is named. The message lists the names
        after ``choice``, which says how to choose one.
    """
    if layer:
        return checkpoint[layer]
    if len(checkpoint.networks) > 1:
        listed = ", ".join(network.name for network in checkpoint.networks)
        raise UsageError(f"{checkpoint.source}: contains several networks; {choice}: {listed}")
    return checkpoint.networks[0]
