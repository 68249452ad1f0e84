"""Cells as the weights of Keras layers, in the order in which ``layer.set_weights`` takes them."""

from collections.abc import Sequence

import numpy as np

from gradflow.cells.base import Array, Layer
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError
from gradflow.layouts.keras import ACTIVATIONS
from gradflow.layouts.weights import ordered
from gradflow.layouts.written import Written

_KERAS = {ours: keras for keras, ours in ACTIVATIONS.items()} | {"elu": "elu"}


def written(layers: Sequence[Layer]) -> Written:
    """Return layers as ``lstm/kernel``, ``lstm/recurrent_kernel``, ``lstm/bias``, ``lstm_1/kernel``, ….

    Raises
    ------
    DataError
        For a cell that Keras has not.
    """
    arrays: dict[str, Array] = {}
    constructors = []
    for place, layer in enumerate(layers):
        name = type(layer).__name__.lower().replace("rnn", "simple_rnn") + (f"_{place}" if place else "")
        constructors.append(_constructor(layer))
        arrays |= {f"{name}/{key}": array for key, array in _arrays(layer).items()}
    return Written(tuple(constructors), arrays)


def _arrays(layer: Layer) -> dict[str, Array]:
    bias = layer.bias
    order = "".join(layer.gate_names)
    if isinstance(layer, GRU):
        inside = np.zeros_like(bias)
        if layer.bias_hn is not None:
            inside[layer.blocks["n"]] = layer.bias_hn
        bias = ordered(bias, order, "zrn")
        if layer.reset == "after":
            bias = np.stack([bias, ordered(inside, order, "zrn")])
        weights = [ordered(weight, order, "zrn") for weight in (layer.weight_ih, layer.weight_hh)]
    else:
        weights = [layer.weight_ih, layer.weight_hh]
    return {"kernel": weights[0].T, "recurrent_kernel": weights[1].T, "bias": bias}


def _constructor(layer: Layer) -> str:
    """Return how the layer is made in Keras."""
    size = layer.hidden_size
    if isinstance(layer, RNN):
        if layer.activation not in _KERAS:
            raise DataError(f"Keras has no layer with activation {layer.activation}")
        told = "" if layer.activation == "tanh" else f", activation={_KERAS[layer.activation]!r}"
        return f"keras.layers.SimpleRNN({size}{told})"
    assert isinstance(layer, LSTM | GRU)
    activations = [layer.gate_activation, layer.activation, getattr(layer, "output_activation", "tanh")]
    if activations != ["sigmoid", "tanh", "tanh"]:
        raise DataError(f"activations {', '.join(activations)} are not written; expected sigmoid and tanh")
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
