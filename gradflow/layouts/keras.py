"""Keras: ``kernel`` (I, gH), ``recurrent_kernel`` (H, gH) and ``bias``, gates side by side.

Gates of an LSTM stand i, f, c, o, those of a GRU z, r, h. A GRU with reset_after has a bias (2, 3H), one
without (3H). Keras 2's CuDNNLSTM and CuDNNGRU keep both of cuDNN's biases, flat, each recurrent block
transposed, and each input block in cuDNN's order. Where the arrays lie in a file is `keras_places`.
"""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from gradflow.cells.base import Array, Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError
from gradflow.layouts.keras_places import Place, leveled, places
from gradflow.layouts.network import Choices, Claim, Layer, Levels, MisfitError, Open, shapes
from gradflow.layouts.weights import kind_of, ordered, taken, two
from gradflow.readers.messages import shown
from gradflow.readers.stored import StoredArray

Arrays = Mapping[str, StoredArray]
# Keras' name → ours; what is not here is refused
ACTIVATIONS = {
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
# of Keras 2, where it is another function
_ACTIVATIONS_2 = {**ACTIVATIONS, "hard_sigmoid": "hard_sigmoid(0.2,0.5)"}


def claims(arrays: Arrays, choices: Choices) -> Iterator[Claim]:
    """Yield every recurrent layer, its directions and stacked cells together."""
    for path, found in places(arrays).items():
        names = frozenset(array.name for place in found for array in place.arrays.values())
        yield Claim(path, names, partial(_levels, found, choices))


def _levels(found: list[Place], choices: Choices) -> Levels:
    levels: dict[int, list[Layer]] = {}
    for place in leveled(found):
        levels.setdefault(place.level, []).append(_layer(place, choices))
    return tuple(tuple(levels[level]) for level in sorted(levels))


def _layer(place: Place, choices: Choices) -> Layer:
    left = choices.open()
    cell = _cell(place, left)
    direction = "backward" if place.backward else "forward"
    return Layer(cell, "keras", tuple(place.arrays.values()), direction, tuple(left.assumed))


def _cell(place: Place, left: Open) -> Cell:
    arrays = place.arrays
    size, columns = two(arrays["recurrent_kernel"])
    kind = kind_of(columns, size, list(arrays.values()))
    known = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}[kind]
    if place.kind.removesuffix("Cell").removeprefix("CuDNN") not in (known, ""):
        raise MisfitError(f"layer {shown(place.path)} is a {shown(place.kind)}; expected Keras' own {known}")
    weight_ih = taken(arrays["kernel"], (two(arrays["kernel"])[0], columns)).T
    weight_hh = taken(arrays["recurrent_kernel"], (size, columns)).T
    bias = arrays.get("bias")
    activation = _activation(place, left, "activation", "activation", "tanh")
    if kind == "rnn":
        return RNN(weight_ih, weight_hh, np.zeros(size) if bias is None else taken(bias, (size,)), activation)
    gates = _activation(place, left, "recurrent_activation", "gate_activation", "sigmoid")
    cudnn = bias is not None and bias.shape == (2 * columns,)
    if cudnn:
        weight_ih, weight_hh = _from_cudnn(weight_ih, weight_hh, size)
    if kind == "lstm":
        return LSTM(
            weight_ih, weight_hh, _lstm_bias(bias, columns),
            gate_activation=gates, activation=activation, output_activation=activation,
        )  # fmt: skip
    return _gru(place, weight_ih, weight_hh, left, gates, activation)


def _lstm_bias(bias: StoredArray | None, columns: int) -> Array:
    if bias is None:
        return np.zeros(columns)
    if bias.shape == (2 * columns,):
        return np.asarray(taken(bias, bias.shape).reshape(2, columns).sum(axis=0))
    return taken(bias, (columns,))


def _gru(
    place: Place, weight_ih: Array, weight_hh: Array, left: Open, gates: str, activation: str
) -> Cell:  # fmt: skip
    size, columns = weight_hh.shape[1], len(weight_hh)
    bias = place.arrays.get("bias")
    inside = np.zeros(columns)
    if bias is None:
        outside, reset = np.zeros(columns), _reset(place, left)
    elif bias.shape == (columns,):
        outside, reset = taken(bias, (columns,)), "before"
    elif bias.shape in ((2, columns), (2 * columns,)):
        outside, inside = taken(bias, bias.shape).reshape(2, columns)
        reset = "after"
    else:
        raise MisfitError(
            f"{shapes(list(place.arrays.values()))}: expected a bias of {columns} or twice that"
        )
    outside, inside = ordered(outside, "zrn", "rzn"), ordered(inside, "zrn", "rzn")
    outside[: 2 * size] += inside[: 2 * size]
    return GRU(
        ordered(weight_ih, "zrn", "rzn"),
        ordered(weight_hh, "zrn", "rzn"),
        outside,
        inside[2 * size :].copy() if reset == "after" else None,
        reset,
        gate_activation=gates,
        activation=activation,
    )


def _reset(place: Place, left: Open) -> str:
    """Return where the reset gate stands in a layer without bias, whose shapes do not tell."""
    told = place.config.get("reset_after")
    if told is None:
        return left.choose("reset", "after")
    return "after" if told else "before"


def _activation(place: Place, left: Open, option: str, ours: str, default: str) -> str:
    """Return the activation that the configuration names, or, where there is none, what is assumed."""
    if place.fixed:  # cuDNN has no others
        return default
    if option not in place.config:
        return left.choose(ours, default)
    told = place.config[option]
    known = _ACTIVATIONS_2 if place.version.startswith("2") else ACTIVATIONS
    if not isinstance(told, str) or told not in known:
        raise DataError(
            f"{option} {shown(str(told))} of layer {shown(place.path)} is not known; expected one of "
            f"{', '.join(known)}"
        )
    return known[told]


def _from_cudnn(weight_ih: Array, weight_hh: Array, size: int) -> tuple[Array, Array]:
    """Return cuDNN's weights, as Keras 2 stores them, as rows of gates.

    An input block k (I, H) of Keras is ``stored.T.reshape(stored.shape, order="F")``, a recurrent block
    the transposed one (keras/saving/legacy/hdf5_format.py, preprocess_weights_for_loading).
    """
    gates = len(weight_ih) // size
    # rows are the transposed blocks: block.T of the stored (I, H) is what stands here
    inputs = [block.reshape(block.shape[::-1], order="F").T for block in np.split(weight_ih, gates)]
    recurrent = [block.T for block in np.split(weight_hh, gates)]
    return np.concatenate(inputs), np.concatenate(recurrent)
