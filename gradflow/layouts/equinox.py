"""Equinox: ``weight_ih``, ``weight_hh``, one ``bias``, and of a GRU ``bias_n`` inside the reset gate.

Gates stand as in torch: i, f, g, o and r, z, n.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from gradflow.cells.base import Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.layouts.names import grouped
from gradflow.layouts.network import Choices, Claim, Layer, Levels
from gradflow.layouts.weights import kind_of, taken, two
from gradflow.readers.stored import StoredArray


def claims(arrays: Mapping[str, StoredArray], choices: Choices) -> Iterator[Claim]:  # noqa: ARG001 - told all
    """Yield every cell that has recurrent weights and one bias; without a bias its names are torch's."""
    for path, members in grouped(arrays, r"weight_ih|weight_hh|bias|bias_n").items():
        rows, size = (*members["weight_hh"].shape, 0, 0)[:2] if "weight_hh" in members else (0, 0)
        # what Equinox writes: an LSTM, or a GRU with its second bias; another cell's gates nobody knows
        whole = rows == 4 * size or (rows == 3 * size and "bias_n" in members)
        if whole and {"weight_ih", "weight_hh", "bias"} <= set(members):
            names = frozenset(array.name for array in members.values())
            yield Claim(path, names, partial(_levels, members))


def _levels(members: dict[str, StoredArray]) -> Levels:
    return ((Layer(_cell(members), "equinox", tuple(members.values())),),)


def _cell(members: dict[str, StoredArray]) -> Cell:
    rows, size = two(members["weight_hh"])
    kind = kind_of(rows, size, list(members.values()))
    weight_ih = taken(members["weight_ih"], (rows, two(members["weight_ih"])[1]))
    weight_hh = taken(members["weight_hh"], (rows, size))
    bias = taken(members["bias"], (rows,))
    if kind == "lstm":
        return LSTM(weight_ih, weight_hh, bias)
    return GRU(weight_ih, weight_hh, bias, taken(members["bias_n"], (size,)))
