"""TensorFlow 1: cells of tf.nn.rnn_cell, whose kernels see inputs and state side by side: (I + H, columns).

basic_rnn_cell              ``kernel``, ``bias``
basic_lstm_cell, lstm_cell  gates i, j, f, o; ``forget_bias``, 1 unless told, is added at run time and not
                            stored; peepholes ``w_i_diag``, ``w_f_diag``, ``w_o_diag``; ``projection/kernel``
gru_cell                    ``gates/kernel`` with r, u and ``candidate/kernel``; reset before

Layers stand under ``multi_rnn_cell/cell_0``, directions under ``fw`` and ``bw``.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from gradflow.cells.base import Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.layouts.names import grouped, parts
from gradflow.layouts.network import Choices, Claim, Layer, Levels, MisfitError, Open, shapes
from gradflow.layouts.weights import ordered, taken, taken_or_zeros, two
from gradflow.readers.stored import StoredArray

Arrays = dict[str, StoredArray]
FORGET_BIAS = 1.0
_NAMES = r"(?:kernel|bias|weights|biases)"
_LEAF = rf"{_NAMES}|w_[ifo]_diag|projection[./]{_NAMES}|(?:gates|candidate)[./]{_NAMES}|recurrent_kernel"
_WAYS = ("fw", "bw")
_LEVEL = re.compile(r"cell_\d+")
_CELL = re.compile(r"(?:basic_)?(rnn|lstm|gru)_cell(?:_\d+)?")


class _Place(NamedTuple):
    """Where a cell stands: its network's path, its level and its direction there."""

    path: str
    level: int
    backward: bool


def claims(arrays: Mapping[str, StoredArray], choices: Choices) -> Iterator[Claim]:
    """Yield every network of cells that have TensorFlow's own names."""
    found_cells: list[tuple[str, _Place, str, Arrays]] = []
    for path, found in grouped(arrays, _LEAF).items():
        # older releases said weights and biases
        members = {key.replace("weights", "kernel").replace("biases", "bias"): a for key, a in found.items()}
        kind = _CELL.fullmatch((parts(path) or [""])[-1])
        if kind and "recurrent_kernel" not in members and {"kernel", "gates.kernel"} & set(members):
            found_cells.append((path, _place(path), kind[1], members))
    places = [place for _, place, _, _ in found_cells]
    networks: dict[str, dict[_Place, tuple[str, Arrays]]] = {}
    for path, place, name, members in found_cells:
        # cells beside one another in one scope are no stack, but networks of their own
        own = place if places.count(place) == 1 else _Place(path, 0, place.backward)
        networks.setdefault(own.path, {})[own] = name, members
    for path, cells in networks.items():
        names = frozenset(array.name for _, members in cells.values() for array in members.values())
        yield Claim(path, names, partial(_levels, cells, choices))


def _place(path: str) -> _Place:
    above = parts(path)[:-1]
    numbers = [int(part.removeprefix("cell_")) for part in above if _LEVEL.fullmatch(part)]
    way = next((part for part in above if part in _WAYS), "")
    # a whole stack in each direction is two networks, which do not feed each other
    apart = bool(way and numbers) and above.index(way) < above.index(f"cell_{numbers[0]}")
    dropped = {"multi_rnn_cell", "bidirectional_rnn", *(() if apart else _WAYS)}
    kept = [part for part in above if part not in dropped and not _LEVEL.fullmatch(part)]
    return _Place("/".join(kept), numbers[0] if numbers else 0, way == "bw")


def _levels(cells: dict[_Place, tuple[str, Arrays]], choices: Choices) -> Levels:
    counted = sorted({place.level for place in cells})
    if counted != list(range(len(counted))):
        raise MisfitError(f"cells {counted} of a multi_rnn_cell: expected 0, 1, … without a gap")
    return tuple(
        tuple(
            _layer(*cells[place], place.backward, choices) for place in sorted(cells) if place.level == level
        )
        for level in counted
    )


def _layer(kind: str, members: Arrays, backward: bool, choices: Choices) -> Layer:
    left = choices.open()
    cell = {"rnn": _rnn, "lstm": _lstm, "gru": _gru}[kind](members, left)
    direction = "backward" if backward else "forward"
    return Layer(cell, "tensorflow1", tuple(members.values()), direction, tuple(left.assumed))


def _rnn(members: Arrays, left: Open) -> Cell:
    both, size = two(members["kernel"])
    weights = taken(members["kernel"], (both, size)).T
    _check(both, size, members)
    bias = taken_or_zeros(members.get("bias"), (size,))
    return RNN(
        weights[:, : both - size], weights[:, both - size :], bias, left.choose("activation", "tanh")
    )  # fmt: skip


def _lstm(members: Arrays, left: Open) -> Cell:
    both, columns = two(members["kernel"])
    size = columns // 4
    projection = members.get("projection.kernel")
    seen = two(projection)[1] if projection else size
    _check(both, seen, members)
    if 4 * size != columns:
        raise MisfitError(f"{shapes(list(members.values()))}: expected 4 gates, i, j, f, o")
    weights = ordered(taken(members["kernel"], (both, columns)).T, "igfo", "ifgo")
    bias = ordered(taken_or_zeros(members.get("bias"), (columns,)), "igfo", "ifgo")
    bias[size : 2 * size] += left.number("forget_bias", FORGET_BIAS)
    peepholes = [taken(members[name], (size,)) for name in _PEEPHOLES if name in members]
    if len(peepholes) not in (0, len(_PEEPHOLES)):
        raise MisfitError(f"{shapes(list(members.values()))}: expected {', '.join(_PEEPHOLES)}, or none")
    activation = left.choose("activation", "tanh")
    return LSTM(
        weights[:, : both - seen],
        weights[:, both - seen :],
        bias,
        np.stack(peepholes) if peepholes else None,
        taken(projection, (size, seen)).T if projection else None,
        activation=activation,
        output_activation=activation,
    )


_PEEPHOLES = ("w_i_diag", "w_f_diag", "w_o_diag")


def _gru(members: Arrays, left: Open) -> Cell:
    if not {"gates.kernel", "candidate.kernel"} <= set(members):
        raise MisfitError(f"{shapes(list(members.values()))}: expected gates and candidate of a gru_cell")
    both, size = two(members["candidate.kernel"])
    _check(both, size, members)
    gates = taken(members["gates.kernel"], (both, 2 * size)).T
    weights = np.concatenate([gates, taken(members["candidate.kernel"], (both, size)).T])
    bias = np.concatenate(
        [
            taken_or_zeros(members.get("gates.bias"), (2 * size,)),
            taken_or_zeros(members.get("candidate.bias"), (size,)),
        ]
    )
    return GRU(
        weights[:, : both - size],
        weights[:, both - size :],
        bias,
        reset="before",
        activation=left.choose("activation", "tanh"),
    )


def _check(both: int, size: int, members: Arrays) -> None:
    if not 0 < size < both:
        raise MisfitError(f"{shapes(list(members.values()))}: expected rows for inputs and state, I + H")
