"""Flax, linen and nnx: a dense layer for each gate, named by where it comes from and where it goes.

An LSTM has ``ii if ig io`` from the input and ``hi hf hg ho`` from the state, a GRU ``ir iz in`` and
``hr hz hn``, a simple cell ``i`` and ``h``, each with a ``kernel`` (from, to) and some with a ``bias``. nnx
writes ``if_``, and its optimized cells have two layers alone, ``dense_i`` and ``dense_h``, with the gates
i, f, g, o or r, z, n side by side.
"""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from gradflow.cells.base import Array, Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.layouts.names import grouped, parts
from gradflow.layouts.network import Choices, Claim, Layer, Levels, MisfitError, Open, shapes
from gradflow.layouts.weights import GATES, kind_of, taken, taken_or_zeros, two
from gradflow.readers.stored import StoredArray

Arrays = dict[str, StoredArray]
# dense layers that a cell has, input then state, gate by gate → the cell, None where shapes tell
_FORMS: dict[tuple[tuple[str, ...], tuple[str, ...]], str | None] = {
    (("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho")): "lstm",
    (("ir", "iz", "in"), ("hr", "hz", "hn")): "gru",
    (("i",), ("h",)): "rnn",
    (("dense_i",), ("dense_h",)): None,
}
_LEAF = r"(?:i[ifgorzn]|if_|h[ifgorzn]|i|h|dense_[ih])[./](?:kernel|bias)"


def claims(arrays: Mapping[str, StoredArray], choices: Choices) -> Iterator[Claim]:
    """Yield every path that has all the dense layers of a cell."""
    for path, found in grouped(arrays, _LEAF).items():
        members = {key.replace("if_.", "if."): array for key, array in found.items()}
        for form in _FORMS:
            if {f"{layer}.kernel" for half in form for layer in half} <= set(members) and _is_cell(
                form, members
            ):
                own = {
                    key: array for key, array in members.items() if key.partition(".")[0] in form[0] + form[1]
                }
                names = frozenset(array.name for array in own.values())
                yield Claim(path, names, partial(_levels, own, form, "backward_rnn" in parts(path), choices))


def _is_cell(form: tuple[tuple[str, ...], tuple[str, ...]], members: Arrays) -> bool:
    """Return whether two dense layers are a cell: their names alone, i and h, say little.

    One of them has a bias, not both, and what comes from the state goes to as many units, or gates of them.
    """
    (from_input, *others), (from_state, *_) = form
    if others:
        return True
    size, columns = (*members[f"{from_state}.kernel"].shape, 0, 0)[:2]
    one_bias = (f"{from_input}.bias" in members) != (f"{from_state}.bias" in members)
    gates = (1,) if from_state == "h" else (1, 3, 4)
    same = members[f"{from_input}.kernel"].shape[-1:] == (columns,)
    return one_bias and same and columns in [count * size for count in gates]


def _levels(
    own: Arrays, form: tuple[tuple[str, ...], tuple[str, ...]], backward: bool, choices: Choices
) -> Levels:
    left = choices.open()
    cell = _cell(own, form, left)
    direction = "backward" if backward else "forward"
    return ((Layer(cell, "flax", tuple(own.values()), direction, tuple(left.assumed)),),)


def _cell(own: Arrays, form: tuple[tuple[str, ...], tuple[str, ...]], left: Open) -> Cell:
    from_input, from_state = form
    size, width = two(own[f"{from_state[0]}.kernel"])
    features = two(own[f"{from_input[0]}.kernel"])[0]
    kind = _FORMS[form] or kind_of(width, size, list(own.values()))
    columns = width if len(from_input) == 1 else size
    weight_ih, bias_ih = _rows(own, from_input, (features, columns))
    weight_hh, bias_hh = _rows(own, from_state, (size, columns))
    if len(weight_hh) != size * len(GATES[kind]):
        raise MisfitError(f"{shapes(list(own.values()))}: expected square recurrent kernels")
    activation = left.choose("activation", "tanh")
    if kind == "rnn":
        if left.choose("residual", "off") != "off":  # h' = φ(W h + U x + b + h)
            weight_hh = weight_hh + np.eye(size)
        return RNN(weight_ih, weight_hh, bias_ih + bias_hh, activation)
    gates = left.choose("gate_activation", "sigmoid")
    if kind == "lstm":
        return LSTM(
            weight_ih, weight_hh, bias_ih + bias_hh,
            gate_activation=gates, activation=activation, output_activation=activation,
        )  # fmt: skip
    inside = np.array(bias_hh[2 * size :])
    bias_hh[2 * size :] = 0.0
    return GRU(
        weight_ih, weight_hh, bias_ih + bias_hh, inside, gate_activation=gates, activation=activation
    )  # fmt: skip


def _rows(own: Arrays, layers: tuple[str, ...], shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return kernels as rows, and biases, of several dense layers one under the other."""
    kernels = [taken(own[f"{layer}.kernel"], shape).T for layer in layers]
    biases = [taken_or_zeros(own.get(f"{layer}.bias"), shape[1:]) for layer in layers]
    return np.concatenate(kernels), np.concatenate(biases)
