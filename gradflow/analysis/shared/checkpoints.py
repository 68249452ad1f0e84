"""Checkpoints as a person names them: ``FILE``, ``FILE::layer``, ``FILE::layer:option=value,...``."""

import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gradflow.cells import CELLS
from gradflow.cells.base import Cell
from gradflow.errors import UsageError
from gradflow.layouts.assumptions import ASSUMABLE_OPTIONS, parse_assumptions
from gradflow.layouts.checkpoint import Checkpoint, load
from gradflow.layouts.network import Network
from gradflow.readers import CHECKPOINT_SUFFIXES

CHECKPOINT_SEPARATOR = "::"


class CheckpointName(NamedTuple):
    """A file, the layer in it that is meant (all where it is empty), and what is assumed about it."""

    file: str
    layer: str
    assume: Mapping[str, str]


class Trained(NamedTuple):
    """A network of a checkpoint in place of a cell with fresh weights: every draw has the same."""

    text: str
    network: Network

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
    return named or (name not in CELLS and os.path.isfile(text))


def read_trained(text: str) -> Trained:
    """Return the network that ``text`` names.

    Raises
    ------
    DataError
        If the file cannot be read or holds no recurrent layer.
    UsageError
        If it holds several and none is named, or none of that name.
    """
    name = parse_name(text)
    return Trained(text, one_network(load(name.file, assume=name.assume), name.layer))


def one_network(checkpoint: Checkpoint, layer: str) -> Network:
    """Return the network of that name, or the only one there is."""
    if layer:
        return checkpoint[layer]
    if len(checkpoint.networks) > 1:
        listed = ", ".join(network.name for network in checkpoint.networks)
        raise UsageError(f"{checkpoint.source}: contains several networks; choose one with ::NAME: {listed}")
    return checkpoint.networks[0]
