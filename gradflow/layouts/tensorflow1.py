"""TensorFlow 1: cells of tf.nn.rnn_cell, whose kernels (I + H, columns) take inputs and state side by side.

basic_rnn_cell              ``kernel``, ``bias``
basic_lstm_cell, lstm_cell  gates i, j, f, o; ``forget_bias``, by default 1, is added at run time and not
                            stored; peepholes ``w_i_diag``, ``w_f_diag``, ``w_o_diag``; ``projection/kernel``
gru_cell                    ``gates/kernel`` with r, u and ``candidate/kernel``; reset before

Levels are under ``multi_rnn_cell/cell_0``, ``cell_1``, …, directions under ``fw`` and ``bw``.
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from gradflow.cells.base import Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.layouts.assumptions import Assumptions, LayerAssumptions
from gradflow.layouts.names import NamedArrays, group_by_path, split_path
from gradflow.layouts.network import Levels, MisfitError, NetworkClaim, NetworkLayer, describe_shapes
from gradflow.layouts.weights import get_matrix_shape, read_bias, read_weights, reorder_gates

TENSORFLOW1_FORGET_BIAS = 1.0
_WEIGHT_NAMES = r"(?:kernel|bias|weights|biases)"
_TENSORFLOW1_LEAF_PATTERN = (
    rf"(?:(?:projection|gates|candidate)[./])?{_WEIGHT_NAMES}|w_[ifo]_diag|recurrent_kernel"
)
_DIRECTION_NAMES = ("fw", "bw")
_LEVEL_PATTERN = re.compile(r"cell_\d+")
_TENSORFLOW1_CELL_PATTERN = re.compile(r"(?:basic_)?(rnn|lstm|gru)_cell(?:_\d+)?")


class _CellPlace(NamedTuple):
    """The place of a cell: the path of its network, and its level and direction in the network."""

    path: str
    level: int
    backward: bool


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:
    """Yield every network of cells with TensorFlow's own names."""
    cell_list: list[tuple[str, _CellPlace, str, NamedArrays]] = []
    members: NamedArrays
    for path, leaves in group_by_path(arrays, _TENSORFLOW1_LEAF_PATTERN).items():
        # Older releases wrote weights and biases.
        members = {key.replace("weights", "kernel").replace("biases", "bias"): a for key, a in leaves.items()}
        kind = _TENSORFLOW1_CELL_PATTERN.fullmatch((split_path(path) or [""])[-1])
        if kind and "recurrent_kernel" not in members and {"kernel", "gates.kernel"} & set(members):
            cell_list.append((path, _locate_cell(path), kind[1], members))
    places = [place for _, place, _, _ in cell_list]
    networks: dict[str, dict[_CellPlace, tuple[str, NamedArrays]]] = {}
    for path, place, name, members in cell_list:
        # Several cells in one scope are not a stack: each is a network of its own.
        own = place if places.count(place) == 1 else _CellPlace(path, 0, place.backward)
        networks.setdefault(own.path, {})[own] = name, members
    for path, cells in networks.items():
        names = frozenset(array.name for _, members in cells.values() for array in members.values())
        yield NetworkClaim(path, names, partial(_build_levels, cells, assumptions))


def _locate_cell(path: str) -> _CellPlace:
    above = split_path(path)[:-1]
    numbers = [int(part.removeprefix("cell_")) for part in above if _LEVEL_PATTERN.fullmatch(part)]
    way = next((part for part in above if part in _DIRECTION_NAMES), "")
    # One whole stack for each direction makes two networks that do not feed each other.
    apart = bool(way and numbers) and above.index(way) < above.index(f"cell_{numbers[0]}")
    dropped = {"multi_rnn_cell", "bidirectional_rnn", *(() if apart else _DIRECTION_NAMES)}
    kept = [part for part in above if part not in dropped and not _LEVEL_PATTERN.fullmatch(part)]
    return _CellPlace("/".join(kept), numbers[0] if numbers else 0, way == "bw")


def _build_levels(cells: dict[_CellPlace, tuple[str, NamedArrays]], assumptions: Assumptions) -> Levels:
    counted = sorted({place.level for place in cells})
    if counted != list(range(len(counted))):
        raise MisfitError(f"cells {counted} of a multi_rnn_cell: expected 0, 1, … without a gap")
    return tuple(
        tuple(
            _build_layer(*cells[place], place.backward, assumptions)
            for place in sorted(cells)
            if place.level == level
        )
        for level in counted
    )


def _build_layer(kind: str, members: NamedArrays, backward: bool, assumptions: Assumptions) -> NetworkLayer:
    options = assumptions.start_layer()
    cell = {"rnn": _build_rnn, "lstm": _build_lstm, "gru": _build_gru}[kind](members, options)
    direction = "backward" if backward else "forward"
    return NetworkLayer(cell, "tensorflow1", tuple(members.values()), direction, tuple(options.assumed))


def _build_rnn(members: NamedArrays, options: LayerAssumptions) -> Cell:
    rows, size = get_matrix_shape(members["kernel"])
    weights = read_weights(members["kernel"], (rows, size)).T
    _check_rows(rows, size, members)
    bias = read_bias(members.get("bias"), (size,))
    return RNN(
        weights[:, : rows - size], weights[:, rows - size :], bias, options.choose("activation", "tanh")
    )  # fmt: skip


def _build_lstm(members: NamedArrays, options: LayerAssumptions) -> Cell:
    rows, columns = get_matrix_shape(members["kernel"])
    size = columns // 4
    projection = members.get("projection.kernel")
    outputs = get_matrix_shape(projection)[1] if projection else size
    _check_rows(rows, outputs, members)
    if 4 * size != columns:
        raise MisfitError(f"{describe_shapes(list(members.values()))}: expected 4 gates, i, j, f, o")
    weights = reorder_gates(read_weights(members["kernel"], (rows, columns)).T, "igfo", "ifgo")
    bias = reorder_gates(read_bias(members.get("bias"), (columns,)), "igfo", "ifgo")
    bias[size : 2 * size] += options.choose_number("forget_bias", TENSORFLOW1_FORGET_BIAS)
    peepholes = [read_weights(members[name], (size,)) for name in _PEEPHOLE_NAMES if name in members]
    if len(peepholes) not in (0, len(_PEEPHOLE_NAMES)):
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected {', '.join(_PEEPHOLE_NAMES)}, or none"
        )
    activation = options.choose("activation", "tanh")
    return LSTM(
        weights[:, : rows - outputs],
        weights[:, rows - outputs :],
        bias,
        np.stack(peepholes) if peepholes else None,
        read_weights(projection, (size, outputs)).T if projection else None,
        activation=activation,
        output_activation=activation,
    )


_PEEPHOLE_NAMES = ("w_i_diag", "w_f_diag", "w_o_diag")


def _build_gru(members: NamedArrays, options: LayerAssumptions) -> Cell:
    if not {"gates.kernel", "candidate.kernel"} <= set(members):
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected gates and candidate of a gru_cell"
        )
    rows, size = get_matrix_shape(members["candidate.kernel"])
    _check_rows(rows, size, members)
    gates = read_weights(members["gates.kernel"], (rows, 2 * size)).T
    weights = np.concatenate([gates, read_weights(members["candidate.kernel"], (rows, size)).T])
    bias = np.concatenate(
        [
            read_bias(members.get("gates.bias"), (2 * size,)),
            read_bias(members.get("candidate.bias"), (size,)),
        ]
    )
    return GRU(
        weights[:, : rows - size],
        weights[:, rows - size :],
        bias,
        reset="before",
        activation=options.choose("activation", "tanh"),
    )


def _check_rows(rows: int, size: int, members: NamedArrays) -> None:
    if not 0 < size < rows:
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected rows for inputs and state, I + H"
        )
