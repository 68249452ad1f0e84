"""The cell that a question is about: one with fresh weights, by name, or a trained network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis.shared.arguments import check_count, refuse_without_effect
from gradflow.analysis.shared.checkpoints import Trained, is_checkpoint, read_trained
from gradflow.analysis.shared.inputs import Inputs, kind_of
from gradflow.cells.base import Cell, Layer
from gradflow.cells.spec import CellSpec, parse_cell
from gradflow.errors import UsageError
from gradflow.layouts.network import Network

DEFAULT_HIDDEN_SIZE = 32  # units of a cell, where neither a person nor a checkpoint says how many

Spec = CellSpec | Trained


def check_named(cells: Sequence[object]) -> None:
    """Refuse what is neither a name nor a network.

    Raises
    ------
    UsageError
        With what it is.
    """
    for cell in cells:
        if not isinstance(cell, str | Network):
            raise UsageError(
                f"a {type(cell).__name__} is not the name of a cell; give names one by one, as in "
                "compare('rnn', 'lstm'), or networks of gradflow.load"
            )


def subject(cell: str | Network, name: str = "") -> Spec:
    """Return what a person named; a network is called ``name``, its own unless given.

    Raises
    ------
    UsageError
        For an unknown name or option.
    DataError
        For a checkpoint that cannot be read.
    """
    check_named([cell])
    if isinstance(cell, Network):
        return Trained(name or cell.name, cell)
    return read_trained(cell) if is_checkpoint(cell) else parse_cell(cell)


def sizes(
    specs: Sequence[Spec],
    hidden: int | None,
    features: int | None,
    source: str | Path | ArrayLike | None,
) -> tuple[int, int | None]:
    """Return the hidden size and the features that are given, else those of the first checkpoint.

    Without either, the hidden size is `DEFAULT_HIDDEN_SIZE`.

    Raises
    ------
    UsageError
        For a hidden size that is none, or a size that has no effect beside checkpoints.
    """
    known = next((spec.network.layers[0].cell for spec in specs if isinstance(spec, Trained)), None)
    if known is not None:
        refuse_without_effect({"features": features}, "with a checkpoint, which has its own")
    if not any(isinstance(spec, CellSpec) for spec in specs):
        refuse_without_effect({"hidden": hidden}, "without a fresh cell, because a checkpoint has its own")
    if hidden is None:
        hidden = known.hidden_size if isinstance(known, Layer) else DEFAULT_HIDDEN_SIZE
    if known is not None and features is None and kind_of(source) is not None:
        features = known.input_size
    check_count("hidden", hidden)
    return hidden, features


def used_sizes(specs: Sequence[Spec], hidden: int, inputs: Inputs) -> dict[str, int | None]:
    """Return hidden size and features for ``params``: None where checkpoints or data have their own."""
    trained = [spec for spec in specs if isinstance(spec, Trained)]
    return {
        "hidden": None if len(trained) == len(specs) else hidden,
        "features": None if trained or inputs.data is not None else inputs.features,
    }


def draw_cell(spec: Spec, hidden: int, features: int, seed: int, draw: int) -> Cell:
    """Return a cell with the weights of one draw: the same for whoever asks."""
    return spec.make(hidden, features, np.random.default_rng([seed, draw, 1]))
