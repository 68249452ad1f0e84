"""Keras: ``kernel`` (I, gH), ``recurrent_kernel`` (H, gH) and ``bias``, with g gates side by side.

The gates of an LSTM are in the order i, f, c, o, those of a GRU z, r, h. A GRU with reset_after has a bias
(2, 3H), a GRU without it (3H). CuDNNLSTM and CuDNNGRU of Keras 2 keep both biases of cuDNN in one flat array,
each recurrent block transposed, and each input block in cuDNN's order. `keras_places` finds the arrays in a
file.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from gradflow.cells.base import Array, Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError
from gradflow.layouts.assumptions import Assumptions, LayerAssumptions
from gradflow.layouts.keras_places import KerasPlace, assign_levels, find_places
from gradflow.layouts.names import NamedArrays
from gradflow.layouts.network import (
    Levels,
    MisfitError,
    NetworkClaim,
    NetworkLayer,
    describe_shapes,
)
from gradflow.layouts.weights import get_matrix_shape, identify_cell, read_weights, reorder_gates
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import StoredArray

# Keras's name → gradflow's name. Other activations are refused.
KERAS_ACTIVATIONS = {
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "linear": "identity",
    "softsign": "softsign",
    "softplus": "softplus",
    "elu": "elu(1)",
    "leaky_relu": "leaky_relu(0.2)",
    "hard_sigmoid": f"hard_sigmoid({1 / 6!r},0.5)",
}
# In Keras 2 hard_sigmoid is another function.
_KERAS_2_ACTIVATIONS = {**KERAS_ACTIVATIONS, "hard_sigmoid": "hard_sigmoid(0.2,0.5)"}


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:
    """Yield a network for every recurrent layer, with all its directions and stacked cells."""
    for path, cell_places in find_places(arrays).items():
        names = frozenset(array.name for place in cell_places for array in place.arrays.values())
        yield NetworkClaim(path, names, partial(_build_levels, cell_places, assumptions))


def _build_levels(cell_places: list[KerasPlace], assumptions: Assumptions) -> Levels:
    levels: dict[int, list[NetworkLayer]] = {}
    for place in assign_levels(cell_places):
        levels.setdefault(place.level, []).append(_build_layer(place, assumptions))
    return tuple(tuple(levels[level]) for level in sorted(levels))


def _build_layer(place: KerasPlace, assumptions: Assumptions) -> NetworkLayer:
    options = assumptions.start_layer()
    cell = _build_cell(place, options)
    direction = "backward" if place.backward else "forward"
    return NetworkLayer(cell, "keras", tuple(place.arrays.values()), direction, tuple(options.assumed))


def _build_cell(place: KerasPlace, options: LayerAssumptions) -> Cell:
    arrays = place.arrays
    size, columns = get_matrix_shape(arrays["recurrent_kernel"])
    kind = identify_cell(columns, size, list(arrays.values()))
    class_name = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}[kind]
    if place.kind.removesuffix("Cell").removeprefix("CuDNN") not in (class_name, ""):
        raise MisfitError(
            f"layer {quote(place.path)} is a {quote(place.kind)}; expected Keras's own {class_name}"
        )
    weight_ih = read_weights(arrays["kernel"], (get_matrix_shape(arrays["kernel"])[0], columns)).T
    weight_hh = read_weights(arrays["recurrent_kernel"], (size, columns)).T
    bias = arrays.get("bias")
    activation = _find_activation(place, options, "activation", "activation", "tanh")
    if kind == "rnn":
        return RNN(
            weight_ih, weight_hh, np.zeros(size) if bias is None else read_weights(bias, (size,)), activation
        )
    gates = _find_activation(place, options, "recurrent_activation", "gate_activation", "sigmoid")
    cudnn = bias is not None and bias.shape == (2 * columns,)
    if cudnn:
        weight_ih, weight_hh = _convert_cudnn_weights(weight_ih, weight_hh, size)
    if kind == "lstm":
        return LSTM(
            weight_ih, weight_hh, _read_lstm_bias(bias, columns),
            gate_activation=gates, activation=activation, output_activation=activation,
        )  # fmt: skip
    return _build_gru(place, weight_ih, weight_hh, options, gates, activation)


def _read_lstm_bias(bias: StoredArray | None, columns: int) -> Array:
    if bias is None:
        return np.zeros(columns)
    if bias.shape == (2 * columns,):
        return np.asarray(read_weights(bias, bias.shape).reshape(2, columns).sum(axis=0))
    return read_weights(bias, (columns,))


def _build_gru(
    place: KerasPlace,
    weight_ih: Array,
    weight_hh: Array,
    options: LayerAssumptions,
    gates: str,
    activation: str,
) -> Cell:
    size, columns = weight_hh.shape[1], len(weight_hh)
    bias = place.arrays.get("bias")
    inside = np.zeros(columns)
    if bias is None:
        outside, reset = np.zeros(columns), _find_reset(place, options)
    elif bias.shape == (columns,):
        outside, reset = read_weights(bias, (columns,)), "before"
    elif bias.shape in ((2, columns), (2 * columns,)):
        outside, inside = read_weights(bias, bias.shape).reshape(2, columns)
        reset = "after"
    else:
        raise MisfitError(
            f"{describe_shapes(list(place.arrays.values()))}: expected a bias of {columns} or twice that"
        )
    outside, inside = reorder_gates(outside, "zrn", "rzn"), reorder_gates(inside, "zrn", "rzn")
    outside[: 2 * size] += inside[: 2 * size]
    return GRU(
        reorder_gates(weight_ih, "zrn", "rzn"),
        reorder_gates(weight_hh, "zrn", "rzn"),
        outside,
        inside[2 * size :].copy() if reset == "after" else None,
        reset,
        gate_activation=gates,
        activation=activation,
    )


def _find_reset(place: KerasPlace, options: LayerAssumptions) -> str:
    """Return the place of the reset gate in a layer without bias, whose shapes do not show it."""
    reset_after = place.config.get("reset_after")
    if reset_after is None:
        return options.choose("reset", "after")
    return "after" if reset_after else "before"


def _find_activation(
    place: KerasPlace, options: LayerAssumptions, option: str, name: str, default: str
) -> str:
    """Return the activation that the configuration names, or the assumed one if there is none."""
    if place.fixed:  # cuDNN has no other activations.
        return default
    if option not in place.config:
        return options.choose(name, default)
    activation = place.config[option]
    activations = _KERAS_2_ACTIVATIONS if place.version.startswith("2") else KERAS_ACTIVATIONS
    if not isinstance(activation, str) or activation not in activations:
        raise DataError(
            f"{option} {quote(str(activation))} of layer {quote(place.path)} is not known; expected one "
            f"of {', '.join(activations)}"
        )
    return activations[activation]


def _convert_cudnn_weights(weight_ih: Array, weight_hh: Array, size: int) -> tuple[Array, Array]:
    """Return the weights of cuDNN, as Keras 2 stores them, as rows of gates.

    Keras's input block (I, H) is ``stored.T.reshape(stored.shape, order="F")``, and its recurrent block is
    the transposed stored block (keras/saving/legacy/hdf5_format.py, preprocess_weights_for_loading).
    """
    gates = len(weight_ih) // size
    # The rows here are the transposed blocks: each is block.T of the stored block (I, H).
    inputs = [block.reshape(block.shape[::-1], order="F").T for block in np.split(weight_ih, gates)]
    recurrent = [block.T for block in np.split(weight_hh, gates)]
    return np.concatenate(inputs), np.concatenate(recurrent)
