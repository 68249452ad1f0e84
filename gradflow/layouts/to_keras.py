"""Networks as Keras layers: arrays in the order of ``layer.set_weights``, named as Keras names variables.

A level of a network is a layer, or a Bidirectional of two. The names are those that Keras 3 gives to
variables: ``{layer}/lstm_cell/kernel``, or ``{layer}/forward_lstm/lstm_cell/kernel`` in a Bidirectional.
"""

import re

import numpy as np

from gradflow.cells.base import Array
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError
from gradflow.layouts.exports import ExportedModule, Expression, WeightExporter, split_activation, write_call
from gradflow.layouts.keras_defaults import KERAS_ACTIVATIONS
from gradflow.layouts.network import Network, NetworkLayer
from gradflow.layouts.weights import reorder_gates

KERAS_KIND_NAMES = {"rnn": "simple_rnn"}
_KERAS_CLASSES = {"rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
_NAMES_OF_ACTIVATIONS = {split_activation(ours): name for name, ours in KERAS_ACTIVATIONS.items()}
# Activations that have no name in Keras.
_ACTIVATION_EXPRESSIONS = {
    "affine": "lambda z: {0!r} * z + {1!r}",
    "scaled_tanh": "lambda z: {0!r} * keras.ops.tanh({1!r} * z)",
    "hard_sigmoid": "lambda z: keras.ops.clip({0!r} * z + {1!r}, 0.0, 1.0)",
    "leaky_relu": "lambda z: keras.ops.leaky_relu(z, {0!r})",
    "thresholded_relu": "lambda z: keras.ops.where(z > {0!r}, z, 0.0)",
    "elu": "lambda z: keras.ops.elu(z, {0!r})",
    "erf": "keras.ops.erf",
    "swish": "lambda z: z * keras.ops.sigmoid({0!r} * z)",
    "selu": "lambda z: {1!r} * keras.ops.elu(z, {0!r})",
    "celu": "lambda z: keras.ops.celu(z, {0!r})",
    "clip": "lambda z: keras.ops.clip(z, {0!r}, {1!r})",
    "squareplus": "lambda z: keras.ops.squareplus(z, {0!r})",
    "gelu_tanh": "lambda z: keras.ops.gelu(z, approximate=True)",
    "shrink": "lambda z: keras.ops.where(keras.ops.abs(z) > {0!r}, z - {1!r} * keras.ops.sign(z), 0.0)",
}


def build_modules(network: Network) -> list[ExportedModule]:
    """Return a network as one Keras layer for each level: ``P``, ``P_1``, ``P_2``, ….

    All layers return sequences, which the next layer reads.

    Raises
    ------
    DataError
        If Keras has no such layer.
    """
    # The name of a Keras layer has no slash. A dot, too, would separate elements of a path.
    name = re.sub(r"[/.]", "_", network.name)
    return [_build_layer(f"{name}_{k}" if k else name, network.levels[k]) for k in range(len(network.levels))]


def _build_layer(name: str, level: tuple[NetworkLayer, ...]) -> ExportedModule:
    constructors = [_write_constructor(layer) for layer in level]
    if len(level) == 1:
        (layer,) = level
        backward = layer.direction == "backward"
        remark = f"{name}: go_backwards=True gives the outputs from the last step to the first."
        return ExportedModule(
            name,
            _write_constructor(layer, go_backwards=True) if backward else constructors[0],
            _name_weights(layer),
            level,
            (remark,) if backward else (),
        )
    sizes = [layer.cell.output_size for layer in level]
    if sizes[0] != sizes[1]:  # A layer above would expect twice the first (Keras 3.15).
        raise DataError(
            f"{name}: Keras has no Bidirectional of directions of different sizes, here {sizes[0]} and "
            f"{sizes[1]}"
        )
    options = {}
    if constructors[0] != constructors[1]:
        options["backward_layer"] = Expression(_write_constructor(level[1], go_backwards=True))
    return ExportedModule(
        name,
        write_call("keras.layers.Bidirectional", Expression(constructors[0]), **options),
        {
            f"{layer.direction}_{_name_kind(layer)}/{key}": array
            for layer in level
            for key, array in _name_weights(layer).items()
        },
        level,
    )


def _name_kind(layer: NetworkLayer) -> str:
    return KERAS_KIND_NAMES.get(layer.kind, layer.kind)


def _name_weights(layer: NetworkLayer) -> dict[str, Array]:
    """Return the arrays of one direction in Keras's order, each column a unit of a gate."""
    cell = layer.cell
    assert isinstance(cell, RNN | LSTM | GRU)
    bias, order = cell.bias, "".join(cell.gate_names)
    weights = [cell.weight_ih, cell.weight_hh]
    if isinstance(cell, GRU):
        inside = np.zeros_like(bias)
        if cell.bias_hn is not None:
            inside[cell.blocks["n"]] = cell.bias_hn
        bias = reorder_gates(bias, order, "zrn")
        if cell.reset == "after":
            bias = np.stack([bias, reorder_gates(inside, order, "zrn")])
        weights = [reorder_gates(weight, order, "zrn") for weight in weights]
    arrays = {"kernel": weights[0].T, "recurrent_kernel": weights[1].T, "bias": bias}
    return {f"{_name_kind(layer)}_cell/{key}": array for key, array in arrays.items()}


def _write_constructor(layer: NetworkLayer, *, go_backwards: bool = False) -> str:
    """Return the expression that makes the layer of one direction in Keras.

    Raises
    ------
    DataError
        If Keras has no such layer.
    """
    cell = layer.cell
    if not isinstance(cell, RNN | LSTM | GRU):
        raise DataError(f"{layer.name}: Keras has no {layer.kind} cell; expected rnn, lstm or gru")
    class_name, lacking = _KERAS_CLASSES[layer.kind], ""
    options: dict[str, object] = {"return_sequences": True}
    if cell.activation != "tanh":
        options["activation"] = _write_activation(layer, cell.activation)
    if isinstance(cell, LSTM | GRU) and cell.gate_activation != "sigmoid":
        options["recurrent_activation"] = _write_activation(layer, cell.gate_activation)
    if isinstance(cell, GRU) and cell.reset == "before":
        options["reset_after"] = False
    if isinstance(cell, LSTM):
        if cell.peephole is not None:
            lacking = "peepholes"
        elif cell.weight_hr is not None:
            lacking = "a projection"
        elif cell.coupled:
            lacking = "coupled gates"
        elif not cell.forget_gate:
            lacking = "no forget gate"
        elif split_activation(cell.activation) != split_activation(cell.output_activation):
            lacking = f"activation {cell.activation} of the candidate, but {cell.output_activation} of c"
    if lacking:
        raise DataError(f"{layer.name}: Keras has no {class_name} with {lacking}")
    if go_backwards:
        options["go_backwards"] = True
    return write_call(f"keras.layers.{class_name}", cell.hidden_size, **options)


def _write_activation(layer: NetworkLayer, activation: str) -> object:
    """Return Keras's name of an activation, or an expression that computes it."""
    family, parameters = split_activation(activation)
    if (family, parameters) in _NAMES_OF_ACTIVATIONS:
        return _NAMES_OF_ACTIVATIONS[family, parameters]
    if family not in _ACTIVATION_EXPRESSIONS:
        raise DataError(f"{layer.name}: Keras has no activation {activation}")
    return Expression(_ACTIVATION_EXPRESSIONS[family].format(*parameters))


EXPORTER = WeightExporter("Keras", ("layer", "layers"), build_modules, KERAS_KIND_NAMES)
