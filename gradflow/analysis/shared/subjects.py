"""The cell that a question is about: one with fresh weights, by name, or a trained network."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradflow.analysis.shared.arguments import READ_ALREADY, check_count, refuse_without_effect
from gradflow.analysis.shared.checkpoints import (
    Model,
    Trained,
    choose_network,
    is_checkpoint,
    is_model,
    is_read,
    open_model,
    parse_name,
)
from gradflow.analysis.shared.inputs import Inputs, kind_of
from gradflow.cells import CELLS
from gradflow.cells.base import Cell, Layer
from gradflow.cells.spec import CellSpec, parse_cell
from gradflow.errors import UsageError
from gradflow.layouts.assumptions import check_assumptions, check_left_open
from gradflow.layouts.checkpoint import Checkpoint, read_checkpoint
from gradflow.printable import describe_value

DEFAULT_HIDDEN_SIZE = 32  # units of a cell, where neither a person nor a checkpoint says how many

Spec = CellSpec | Trained
Subject = str | PathLike[str] | Model


def check_named(cell: object) -> None:
    """Check that a cell is named, where only one with fresh weights has an answer.

    Raises
    ------
    UsageError
        If it is not a name.
    """
    if not isinstance(cell, str):
        raise UsageError(
            f"{describe_value(cell)} is not the name of a cell with fresh weights; expected one of "
            f"{', '.join(CELLS)}, as in 'rnn'"
        )


def read_subject(cell: Subject, assume: Mapping[str, Any] | None = None) -> Spec:
    """Return what a person named or gave, as `read_subjects` does for several."""
    (spec,) = read_subjects([cell], assume)
    return spec


def read_subjects(cells: Sequence[Subject], assume: Mapping[str, Any] | None = None) -> list[Spec]:
    """Return what a person named or gave: cells with fresh weights, and networks of files or models.

    A model in memory is called by the name of its network. Another that has this name too gets a number.

    Raises
    ------
    UsageError
        If a name or option is unknown, if a model has several networks, or if ``assume`` has no effect.
    DataError
        If a checkpoint cannot be read.
    """
    given = check_assumptions(assume)
    specs: list[Spec] = []
    read: list[Checkpoint] = []
    taken = {fspath(cell) for cell in cells if isinstance(cell, str | PathLike)}
    for cell in cells:
        if isinstance(cell, str) and not is_checkpoint(cell):
            specs.append(parse_cell(cell))
        elif isinstance(cell, str | PathLike):
            text = fspath(cell)
            name = parse_name(text)
            read.append(read_checkpoint(name.file, assume={**given, **name.assume}))
            check_left_open(name.assume, read[-1].left_open, read[-1].source)
            network = choose_network(read[-1], name.layer, "choose one with ::NAME")
            specs.append(Trained(text, network, read[-1].remarks))
        elif is_model(cell):
            checkpoint = open_model(cell, assume=given)
            read += [] if is_read(cell) else [checkpoint]
            choice = f"choose one, as in gradflow.from_state_dict(...)[{checkpoint.networks[0].name!r}]"
            network = choose_network(checkpoint, "", choice)
            unique = next(name for name in _count_names(network.name) if name not in taken)
            taken.add(unique)
            specs.append(Trained(unique, network, checkpoint.remarks))
        else:
            several = "; give each cell as an argument of its own" if isinstance(cell, list | tuple) else ""
            raise UsageError(
                f"{describe_value(cell)} is not a cell; expected a name such as 'lstm', a file, a network of "
                f"gradflow.load, a state dict, or a module that has one{several}"
            )
    if read:
        check_left_open(given, frozenset().union(*(one.left_open for one in read)), read[0].source)
    elif all(isinstance(spec, CellSpec) for spec in specs):
        refuse_without_effect({"assume": given or None}, "on a cell with fresh weights, which has options")
    else:
        refuse_without_effect({"assume": given or None}, READ_ALREADY)
    return specs


def _count_names(name: str) -> Iterator[str]:
    """Yield ``name``, ``name (2)``, ``name (3)``, …"""
    yield name
    yield from (f"{name} ({number})" for number in count(2))


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
