"""Cells as the weights of Keras layers, in the order of ``layer.set_weights``."""

from collections.abc import Sequence

import numpy as np

from gradflow.cells import name_cell
from gradflow.cells.base import Array, Layer
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError
from gradflow.layouts.keras_defaults import KERAS_ACTIVATIONS
from gradflow.layouts.weights import ExportedLayers, reorder_gates

_KERAS_NAMES = {ours: keras for keras, ours in KERAS_ACTIVATIONS.items()} | {"elu": "elu"}


def export_layers(layers: Sequence[Layer]) -> ExportedLayers:
    """Return layers as ``lstm/kernel``, ``lstm/recurrent_kernel``, ``lstm/bias``, ``lstm_1/kernel``, ….

    Raises
    ------
    DataError
        If Keras has no such layer.
    """
    arrays: dict[str, Array] = {}
    constructors = []
    for place, layer in enumerate(layers):
        name = name_cell(layer).replace("rnn", "simple_rnn") + (f"_{place}" if place else "")
        constructors.append(_write_constructor(layer))
        arrays |= {f"{name}/{key}": array for key, array in _name_weights(layer).items()}
    return ExportedLayers(tuple(constructors), arrays)


def _name_weights(layer: Layer) -> dict[str, Array]:
    bias = layer.bias
    order = "".join(layer.gate_names)
    if isinstance(layer, GRU):
        inside = np.zeros_like(bias)
        if layer.bias_hn is not None:
            inside[layer.blocks["n"]] = layer.bias_hn
        bias = reorder_gates(bias, order, "zrn")
        if layer.reset == "after":
            bias = np.stack([bias, reorder_gates(inside, order, "zrn")])
        weights = [reorder_gates(weight, order, "zrn") for weight in (layer.weight_ih, layer.weight_hh)]
    else:
        weights = [layer.weight_ih, layer.weight_hh]
    return {"kernel": weights[0].T, "recurrent_kernel": weights[1].T, "bias": bias}


def _write_constructor(layer: Layer) -> str:
    """Return the expression that constructs the layer in Keras."""
    size = layer.hidden_size
    if isinstance(layer, RNN):
        if layer.activation not in _KERAS_NAMES:
            raise DataError(f"Keras has no layer with activation {layer.activation}")
        activation = "" if layer.activation == "tanh" else f", activation={_KERAS_NAMES[layer.activation]!r}"
        return f"keras.layers.SimpleRNN({size}{activation})"
    if not isinstance(layer, LSTM | GRU):
        raise DataError(f"Keras has no {name_cell(layer)} cell; expected rnn, lstm or gru")
    activations = [layer.gate_activation, layer.activation, getattr(layer, "output_activation", "tanh")]
    if activations != ["sigmoid", "tanh", "tanh"]:
        raise DataError(f"activations {', '.join(activations)} cannot be written; expected sigmoid and tanh")
    if isinstance(layer, LSTM):
        lacking = {
            "peepholes": layer.peephole is not None,
            "a projection": layer.weight_hr is not None,
            "coupled gates": layer.coupled,
            "no forget gate": not layer.forget_gate,
        }
        for what, there in lacking.items():
            if there:
                raise DataError(f"Keras has no LSTM with {what}")
        return f"keras.layers.LSTM({size})"
    return f"keras.layers.GRU({size}{'' if layer.reset == 'after' else ', reset_after=False'})"
