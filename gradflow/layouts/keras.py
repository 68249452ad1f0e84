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
from gradflow.layouts.assumptions import Assumptions, LayerAssumptions
from gradflow.layouts.keras_defaults import (
    choose_default_gates,
    choose_default_reset,
    is_ambiguous_version,
    list_activations,
    name_activation,
)
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

GRU_GATE_COUNT = 3


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:
    """Yield a network for every recurrent layer, with all its directions and stacked cells."""
    for path, cell_places in find_places(arrays).items():
        names = frozenset(array.name for place in cell_places for array in place.sources)
        # Both directions of a layer have the same remarks.
        remarks = tuple(
            dict.fromkeys(remark for place in cell_places for remark in _list_remarks(place, assumptions))
        )
        yield NetworkClaim(path, names, partial(_build_levels, cell_places, assumptions), remarks)


def _list_remarks(place: KerasPlace, assumptions: Assumptions) -> Iterator[str]:
    """Yield what a file without the configuration of the model leaves open about a cell."""
    layer = f"layer {quote(place.path)}"
    if place.own_name:
        yield (
            f"{layer} has a cell named {quote(place.own_name)}, which no cell of Keras is named by default: "
            "it was read as Keras's own cell, and the numbers are wrong if it is another one; the whole "
            "model, saved as .keras, states its class"
        )
    shape = place.arrays["recurrent_kernel"].shape
    if place.config or place.fixed or not is_ambiguous_version(place.version):
        return
    gates = shape[-1] // max(shape[0], 1) if shape else 0
    if gates > 1 and "gate_activation" not in assumptions.given:
        yield (
            f"{layer} was saved by tf.keras {place.version}, which has hard_sigmoid(0.2,0.5) gates in "
            f"TensorFlow 1 and sigmoid gates in TensorFlow 2: assumed {choose_default_gates(place.version)}"
        )
    if gates == GRU_GATE_COUNT and "bias" not in place.arrays and "reset" not in assumptions.given:
        yield (
            f"{layer} was saved by tf.keras {place.version}, whose GRU has reset=before in TensorFlow 1 and "
            f"reset=after in TensorFlow 2: assumed {choose_default_reset(place.version)}"
        )


def _build_levels(cell_places: list[KerasPlace], assumptions: Assumptions) -> Levels:
    levels: dict[int, list[NetworkLayer]] = {}
    for place in assign_levels(cell_places):
        levels.setdefault(place.level, []).append(_build_layer(place, assumptions))
    return tuple(tuple(levels[level]) for level in sorted(levels))


def _build_layer(place: KerasPlace, assumptions: Assumptions) -> NetworkLayer:
    options = assumptions.start_layer()
    cell = _build_cell(place, options)
    direction = "backward" if place.backward else "forward"
    return NetworkLayer(cell, "keras", place.sources, direction, tuple(options.assumed))


def _build_cell(place: KerasPlace, options: LayerAssumptions) -> Cell:
    arrays = place.arrays
    size, columns = get_matrix_shape(arrays["recurrent_kernel"])
    kind = identify_cell(columns, size, list(arrays.values()))
    class_name = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}[kind]
    if place.unread:
        raise MisfitError(
            f"layer {quote(place.path)}: its cell {quote(place.cell)} also has "
            f"{describe_shapes(place.unread)}; expected the arrays of Keras's own {class_name} alone"
        )
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
    default_gates = "sigmoid" if place.fixed else choose_default_gates(place.version)
    gates = _find_activation(place, options, "recurrent_activation", "gate_activation", default_gates)
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
        return options.choose("reset", choose_default_reset(place.version))
    return "after" if reset_after else "before"


def _find_activation(
    place: KerasPlace, options: LayerAssumptions, option: str, name: str, default: str
) -> str:
    """Return the activation that the configuration names, or the assumed one if there is none."""
    if place.fixed:  # cuDNN has no other activations.
        return default
    # Keras 1 has another name.
    stated = place.config.get(option, place.config.get(option.replace("recurrent", "inner")))
    if stated is None and option not in place.config:
        chosen = options.choose(name, default)
        return list_activations(place.version).get(chosen, chosen)
    return name_activation(stated, place.version, f"layer {quote(place.path)}", option)


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
