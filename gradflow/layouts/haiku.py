"""Haiku: the parameters of a module, under the module's name. I is the input size, H the number of units.

LSTM:       ``linear/w`` (I + H, 4H), ``linear/b``; gates i, g, f, o; Haiku adds 1 to f at run time
GRU:        ``w_i`` (I, 3H), ``w_h`` (H, 3H), ``b``; gates z, r, a; reset before; z is 1 − torch's z
VanillaRNN: ``linear/w`` (I, H), ``linear_1/w`` (H, H), both with ``b``; relu
"""

import re
from collections.abc import Iterator
from functools import partial

from gradflow.cells.base import Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.layouts.assumptions import Assumptions, LayerAssumptions
from gradflow.layouts.names import NamedArrays, group_by_path, split_path
from gradflow.layouts.network import Levels, MisfitError, NetworkClaim, NetworkLayer, describe_shapes
from gradflow.layouts.weights import get_matrix_shape, identify_cell, read_bias, read_weights, reorder_gates

HAIKU_FORGET_BIAS = 1.0
# Haiku's default names of modules. Under another name an LSTM looks like any linear layer.
_LSTM_MODULE, _RNN_MODULE = re.compile(r"lstm(?:_\d+)?"), re.compile(r"vanilla_rnn(?:_\d+)?")


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:
    """Yield GRUs by their arrays; LSTMs and RNNs, which are plain linear layers, by Haiku's module names."""
    for path, members in group_by_path(arrays, r"w_i|w_h|b|(?:linear|linear_1)[./][wb]").items():
        form = _identify_form(path, set(members))
        if form is not None:
            names = frozenset(array.name for array in members.values())
            yield NetworkClaim(path, names, partial(_build_levels, form, members, assumptions))


def _identify_form(path: str, keys: set[str]) -> str | None:
    module = (split_path(path) or [""])[-1].lower()
    if {"w_i", "w_h"} <= keys:
        return "gru"
    if _LSTM_MODULE.fullmatch(module) and "linear.w" in keys and "linear_1.w" not in keys:
        return "lstm"
    return "rnn" if _RNN_MODULE.fullmatch(module) and {"linear.w", "linear_1.w"} <= keys else None


def _build_levels(form: str, members: NamedArrays, assumptions: Assumptions) -> Levels:
    options = assumptions.start_layer()
    cell = {"lstm": _build_lstm, "gru": _build_gru, "rnn": _build_rnn}[form](members, options)
    stored, inverted = tuple(members.values()), "z" if form == "gru" else ""
    return ((NetworkLayer(cell, "haiku", stored, assumed=tuple(options.assumed), inverted_gates=inverted),),)


def _build_lstm(members: NamedArrays, options: LayerAssumptions) -> Cell:
    rows, columns = get_matrix_shape(members["linear.w"])
    size = columns // 4
    identify_cell(columns, size, list(members.values()))
    if not size < rows:
        raise MisfitError(
            f"{describe_shapes(list(members.values()))}: expected rows for inputs and state, I + H"
        )
    weights = read_weights(members["linear.w"], (rows, columns)).T
    bias = read_bias(members.get("linear.b"), (columns,))
    weights, bias = reorder_gates(weights, "igfo", "ifgo"), reorder_gates(bias, "igfo", "ifgo")
    bias[size : 2 * size] += options.choose_number("forget_bias", HAIKU_FORGET_BIAS)
    return LSTM(weights[:, : rows - size], weights[:, rows - size :], bias)


def _build_gru(members: NamedArrays, options: LayerAssumptions) -> Cell:  # noqa: ARG001 - nothing is left open
    size, columns = get_matrix_shape(members["w_h"])
    if columns != 3 * size:
        raise MisfitError(f"{describe_shapes(list(members.values()))}: expected the 3 gates of a GRU")
    weight_ih = read_weights(members["w_i"], (get_matrix_shape(members["w_i"])[0], columns)).T
    weight_hh = read_weights(members["w_h"], (size, columns)).T
    bias = read_bias(members.get("b"), (columns,))
    weight_ih, weight_hh, bias = (reorder_gates(rows, "zrn", "rzn") for rows in (weight_ih, weight_hh, bias))
    for rows in (weight_ih, weight_hh, bias):  # σ(−x) = 1 − σ(x)
        rows[size : 2 * size] *= -1.0
    return GRU(weight_ih, weight_hh, bias, reset="before")


def _build_rnn(members: NamedArrays, options: LayerAssumptions) -> Cell:
    size, _ = get_matrix_shape(members["linear_1.w"])
    weight_ih = read_weights(members["linear.w"], (get_matrix_shape(members["linear.w"])[0], size)).T
    weight_hh = read_weights(members["linear_1.w"], (size, size)).T
    biases = [read_bias(members.get(f"{layer}.b"), (size,)) for layer in ("linear", "linear_1")]
    return RNN(weight_ih, weight_hh, biases[0] + biases[1], options.choose("activation", "relu"))
