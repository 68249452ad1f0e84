"""The cells of gradflow once more, step by step from their papers' formulas, in complex numbers.

They share no line with `gradflow.cells` and know no derivative, so that a complex step through them checks
every Jacobian there. What is 1 − σ(a) is σ(−a), which keeps its digits where a gate is shut.
"""

from collections.abc import Callable, Sequence
from importlib import import_module

import numpy as np

from gradflow.analysis.derivations.line import Array
from gradflow.cells.base import Cell, Layer
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.cells.stack import layers_of
from gradflow.errors import UsageError


def sigmoid(z: Array) -> Array:
    """Return σ(z), however far out: e^−z on one side, e^z on the other, so that neither overflows."""
    tail = np.exp(np.where(z.real >= 0, -z, z))
    return np.where(z.real >= 0, 1.0, tail) / (1.0 + tail)


def erf(z: Array) -> Array:
    """Return the error function of z."""
    # by name: whoever asks for no other activation pays for no scipy
    return np.asarray(import_module("scipy.special").erf(z))


ANALYTIC: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda z: np.where(z.real > 0, z, 0.0),
    "identity": lambda z: z,
    "erf": erf,
}


def step(cell: Cell, weights: Sequence[Array], state: Array, inputs: Array) -> Array:
    """Return the next state (n) of a state (n) and inputs (features); ``weights`` are recurrent, by layer."""
    found, start = [], 0
    for layer, weight in zip(layers_of(cell), weights, strict=True):
        own = state[start : start + layer.state_size]
        found.append(_stepped(layer, weight, own, inputs))
        inputs, start = found[-1][: layer.output_size], start + layer.state_size
    return np.concatenate(found)


def _stepped(layer: Layer, weight: Array, state: Array, inputs: Array) -> Array:
    driven = layer.weight_ih @ inputs + layer.bias
    if isinstance(layer, LSTM):
        return _lstm(layer, weight, state, driven)
    if isinstance(layer, GRU):
        return _gru(layer, weight, state, driven)
    if isinstance(layer, RNN):
        return ANALYTIC[layer.activation](driven + weight @ state)
    raise UsageError(
        f"{type(layer).__name__}: its step is not written in complex numbers, which check a derivation; "
        "expected rnn, lstm or gru"
    )


def _lstm(layer: LSTM, weight: Array, state: Array, driven: Array) -> Array:
    """Return [h'; c'] with c' = f⊙c + i⊙g and h' = P(o⊙tanh c')."""
    h, c = state[: layer.output_size], state[layer.output_size :]
    names = layer.gate_names
    a = dict(zip(names, np.split(driven + weight @ h, len(names)), strict=True))
    holes = [] if layer.peephole is None else [name for name in names if name != "g"]
    peephole = dict(zip(holes, layer.peephole if layer.peephole is not None else [], strict=True))
    for name in ("i", "f"):
        if name in peephole:
            a[name] = a[name] + peephole[name] * c
    f = sigmoid(a["f"]) if "f" in a else np.ones_like(c)
    i = sigmoid(a["i"]) if "i" in a else sigmoid(-a["f"])
    cell = f * c + i * np.tanh(a["g"])
    shown = sigmoid(a["o"] + peephole.get("o", 0.0) * cell) * np.tanh(cell)
    return np.concatenate([shown if layer.weight_hr is None else layer.weight_hr @ shown, cell])


def _gru(layer: GRU, weight: Array, h: Array, driven: Array) -> Array:
    """Return (1 − z)⊙n + z⊙h."""
    w_r, w_z, w_n = np.split(weight, 3)
    a_r, a_z, a_n = np.split(driven, 3)
    r = sigmoid(a_r + w_r @ h)
    if layer.reset == "before":
        a_n = a_n + w_n @ (r * h)
    else:
        inner = 0.0 if layer.bias_hn is None else layer.bias_hn
        a_n = a_n + r * (w_n @ h + inner)
    a_z = a_z + w_z @ h
    return np.asarray(sigmoid(-a_z) * np.tanh(a_n) + sigmoid(a_z) * h)
