"""Equinox: ``weight_ih``, ``weight_hh``, one ``bias``; in a GRU also ``bias_n`` behind the reset gate.

The gates are in torch's order: i, f, g, o and r, z, n.
"""

from collections.abc import Iterator
from functools import partial

from gradflow.cells.base import Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.layouts.assumptions import Assumptions
from gradflow.layouts.names import NamedArrays, group_by_path
from gradflow.layouts.network import Levels, NetworkClaim, NetworkLayer
from gradflow.layouts.weights import get_matrix_shape, identify_cell, read_weights


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:  # noqa: ARG001 - nothing is left open
    """Yield every cell with recurrent weights and one bias; the names of a cell without bias are torch's."""
    for path, members in group_by_path(arrays, r"weight_ih|weight_hh|bias|bias_n").items():
        if is_equinox_cell(members):
            names = frozenset(array.name for array in members.values())
            yield NetworkClaim(path, names, partial(build_levels, members))


def is_equinox_cell(members: NamedArrays) -> bool:
    """Return whether the arrays of a module are those of an LSTM of Equinox, or of a GRU with both biases.

    The gates of any other cell with these names are unknown.
    """
    if not {"weight_ih", "weight_hh", "bias"} <= set(members):
        return False
    rows, size = (*members["weight_hh"].shape, 0, 0)[:2]
    return rows == 4 * size or (rows == 3 * size and "bias_n" in members)


def build_levels(members: NamedArrays) -> Levels:
    """Return the only level of a network: the cell that ``members`` form."""
    return ((NetworkLayer(_build_cell(members), "equinox", tuple(members.values())),),)


def _build_cell(members: NamedArrays) -> Cell:
    rows, size = get_matrix_shape(members["weight_hh"])
    kind = identify_cell(rows, size, list(members.values()))
    weight_ih = read_weights(members["weight_ih"], (rows, get_matrix_shape(members["weight_ih"])[1]))
    weight_hh = read_weights(members["weight_hh"], (rows, size))
    bias = read_weights(members["bias"], (rows,))
    if kind == "lstm":
        return LSTM(weight_ih, weight_hh, bias)
    return GRU(weight_ih, weight_hh, bias, read_weights(members["bias_n"], (size,)))
