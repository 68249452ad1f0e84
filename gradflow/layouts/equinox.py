"""Equinox: ``weight_ih``, ``weight_hh``, one ``bias``, and of a GRU ``bias_n`` inside the reset gate.

Gates stand as in torch: i, f, g, o and r, z, n.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from gradflow.cells.base import Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.layouts.names import grouped
from gradflow.layouts.network import Choices, Claim, Layer, Levels, Open
from gradflow.layouts.weights import kind_of, taken, two
from gradflow.readers.stored import StoredArray


def claims(arrays: Mapping[str, StoredArray], choices: Choices) -> Iterator[Claim]:
    """Yield every cell that has recurrent weights and one bias; without a bias its names are torch's."""
    for path, members in grouped(arrays, r"weight_ih|weight_hh|bias|bias_n").items():
        if {"weight_ih", "weight_hh", "bias"} <= set(members):
            names = frozenset(array.name for array in members.values())
            yield Claim(path, names, partial(_levels, members, choices))


def _levels(members: dict[str, StoredArray], choices: Choices) -> Levels:
    left = choices.open()
    cell = _cell(members, left)
    return ((Layer(cell, "equinox", tuple(members.values()), assumed=tuple(left.assumed)),),)


def _cell(members: dict[str, StoredArray], left: Open) -> Cell:
    rows, size = two(members["weight_hh"])
    kind = kind_of(rows, size, list(members.values()))
    weight_ih = taken(members["weight_ih"], (rows, two(members["weight_ih"])[1]))
    weight_hh = taken(members["weight_hh"], (rows, size))
    bias = taken(members["bias"], (rows,))
    if kind == "rnn":
        return RNN(weight_ih, weight_hh, bias, left.choose("activation", "tanh"))
    if kind == "lstm":
        return LSTM(weight_ih, weight_hh, bias)
    inside = members.get("bias_n")
    return GRU(weight_ih, weight_hh, bias, taken(inside, (size,)) if inside else None)
