"""Flax, linen and nnx: one dense layer for each gate, named after its source and the gate.

An LSTM has ``ii if ig io`` from the input and ``hi hf hg ho`` from the state, a GRU has ``ir iz in`` and
``hr hz hn``, a simple cell has ``i`` and ``h``. Each has a ``kernel`` (inputs, outputs), and some have a
``bias``. nnx writes ``if_`` for ``if``. Its optimized cells have only two layers, ``dense_i`` and
``dense_h``, with the gates i, f, g, o or r, z, n side by side.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from gradflow.cells.base import Array, Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.layouts.assumptions import Assumptions, LayerAssumptions
from gradflow.layouts.names import NamedArrays, group_by_path, split_path
from gradflow.layouts.network import Levels, MisfitError, NetworkClaim, NetworkLayer, describe_shapes
from gradflow.layouts.weights import GATES_OF_CELLS, get_matrix_shape, identify_cell, read_bias, read_weights

# The dense layers of a cell, from the input and from the state, gate by gate → the cell; None if only the
# shapes tell which cell it is.
_CELL_FORMS: dict[tuple[tuple[str, ...], tuple[str, ...]], str | None] = {
    (("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho")): "lstm",
    (("ir", "iz", "in"), ("hr", "hz", "hn")): "gru",
    (("i",), ("h",)): "rnn",
    (("dense_i",), ("dense_h",)): None,
}
_FLAX_LEAF_PATTERN = r"(?:i[ifgorzn]|if_|h[ifgorzn]|i|h|dense_[ih])[./](?:kernel|bias)"


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:
    """Yield a network for every path that has all the dense layers of a cell."""
    for path, leaves in group_by_path(arrays, _FLAX_LEAF_PATTERN).items():
        members = {key.replace("if_.", "if."): array for key, array in leaves.items()}
        for form in _CELL_FORMS:
            if {f"{layer}.kernel" for half in form for layer in half} <= set(members) and _is_cell(
                form, members
            ):
                own = {
                    key: array for key, array in members.items() if key.partition(".")[0] in form[0] + form[1]
                }
                names = frozenset(array.name for array in own.values())
                yield NetworkClaim(
                    path,
                    names,
                    partial(_build_levels, own, form, "backward_rnn" in split_path(path), assumptions),
                )


def _is_cell(form: tuple[tuple[str, ...], tuple[str, ...]], members: NamedArrays) -> bool:
    """Return whether dense layers with the names of a form are a cell.

    The names i and h alone are not enough. In a cell exactly one of the two layers has a bias, and the layer
    from the state has as many outputs as the cell has units, times the number of gates.
    """
    (from_input, *others), (from_state, *_) = form
    if others:
        return True
    size, columns = (*members[f"{from_state}.kernel"].shape, 0, 0)[:2]
    one_bias = (f"{from_input}.bias" in members) != (f"{from_state}.bias" in members)
    gates = (1,) if from_state == "h" else (1, 3, 4)
    same = members[f"{from_input}.kernel"].shape[-1:] == (columns,)
    return one_bias and same and columns in [count * size for count in gates]


def _build_levels(
    own: NamedArrays, form: tuple[tuple[str, ...], tuple[str, ...]], backward: bool, assumptions: Assumptions
) -> Levels:
    options = assumptions.start_layer()
    cell = _build_cell(own, form, options)
    direction = "backward" if backward else "forward"
    return ((NetworkLayer(cell, "flax", tuple(own.values()), direction, tuple(options.assumed)),),)


def _build_cell(
    own: NamedArrays, form: tuple[tuple[str, ...], tuple[str, ...]], options: LayerAssumptions
) -> Cell:
    from_input, from_state = form
    size, width = get_matrix_shape(own[f"{from_state[0]}.kernel"])
    features = get_matrix_shape(own[f"{from_input[0]}.kernel"])[0]
    kind = _CELL_FORMS[form] or identify_cell(width, size, list(own.values()))
    columns = width if len(from_input) == 1 else size
    weight_ih, bias_ih = _stack_rows(own, from_input, (features, columns))
    weight_hh, bias_hh = _stack_rows(own, from_state, (size, columns))
    if len(weight_hh) != size * len(GATES_OF_CELLS[kind]):
        raise MisfitError(f"{describe_shapes(list(own.values()))}: expected square recurrent kernels")
    activation = options.choose("activation", "tanh")
    if kind == "rnn":
        if options.choose("residual", "off") != "off":  # h' = φ(W h + U x + b + h)
            weight_hh = weight_hh + np.eye(size)
        return RNN(weight_ih, weight_hh, bias_ih + bias_hh, activation)
    gates = options.choose("gate_activation", "sigmoid")
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


def _stack_rows(own: NamedArrays, layers: tuple[str, ...], shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return the transposed kernels and the biases of several dense layers, stacked by rows."""
    kernels = [read_weights(own[f"{layer}.kernel"], shape).T for layer in layers]
    biases = [read_bias(own.get(f"{layer}.bias"), shape[1:]) for layer in layers]
    return np.concatenate(kernels), np.concatenate(biases)
