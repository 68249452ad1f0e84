"""The cells of gradflow once more, step by step from their papers' formulas, in complex numbers.

They share no line with `gradflow.cells` and know no derivative: a step along the imaginary axis gives it
(Squire & Trapp 1998). f(x + ih) = f(x) + ih f′(x) + O(h²), and with h = 1e-30 nothing is left of the rest:
Im f(x + ih)/h is f′(x) to the last digit, for there is no difference that could cancel. f must be analytic:
it may take no modulus, no transpose with a conjugate, no maximum.
"""

from collections.abc import Callable, Sequence
from functools import partial, singledispatch
from importlib import import_module

import numpy as np

from gradflow.cells import name_cell
from gradflow.cells.base import Cell, Layer
from gradflow.cells.gru import GRU
from gradflow.cells.leaky import LeakyRNN
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.cells.stack import list_layers
from gradflow.derivations.topics.line import Array
from gradflow.errors import UsageError

COMPLEX_STEP = 1e-30
Quantities = dict[str, Array]  # all that one step computes, by name; a_g is the pre-activation of gate g


def derivative(function: Callable[[Array], Array], point: Array) -> Array:
    """Return ∂f/∂x by complex steps, shape (*f(x).shape, *x.shape).

    Examples
    --------
    >>> derivative(lambda x: x**3, np.array([2.0, 5.0]))
    array([[12.,  0.],
           [ 0., 75.]])
    """
    columns = []
    for place in np.ndindex(point.shape):
        moved = point.astype(np.complex128)
        moved[place] += 1j * COMPLEX_STEP
        columns.append(np.asarray(function(moved)).imag / COMPLEX_STEP)
    stacked = np.stack(columns, axis=-1)
    return stacked.reshape(*stacked.shape[:-1], *point.shape)


def slope(function: Callable[[Array], Array], point: Array) -> Array:
    """Return f′(x) entry by entry, of a function that takes each entry by itself."""
    return np.asarray(function(point + 1j * COMPLEX_STEP).imag / COMPLEX_STEP)


def sigmoid(z: Array) -> Array:
    """Return σ(z), however far out: e^−z on one side, e^z on the other, so that neither overflows."""
    tail = np.exp(np.where(z.real >= 0, -z, z))
    return np.where(z.real >= 0, 1.0, tail) / (1.0 + tail)


# symbols of formulas: slopes are complex steps, so that no formula of a derivation computes them
FUNCTIONS = {"σ": sigmoid, "σ′": partial(slope, sigmoid), "tanh": np.tanh, "tanh′": partial(slope, np.tanh)}


def _erf(z: Array) -> Array:
    # by name: whoever asks for no other activation pays for no scipy
    return np.asarray(import_module("scipy.special").erf(z))


ANALYTIC: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda z: np.where(z.real > 0, z, 0.0),
    "identity": lambda z: z,
    "erf": _erf,
}


def step(cell: Cell, weights: Sequence[Array], state: Array, inputs: Array) -> Array:
    """Return the next state (n) of a state (n) and inputs (features); ``weights`` are recurrent, by layer."""
    states, start = [], 0
    for layer, weight in zip(list_layers(cell), weights, strict=True):
        own = state[start : start + layer.state_size]
        found = quantities(layer, weight, own, inputs)
        states.append(np.concatenate([found[part] for part in layer.parts]))
        inputs, start = states[-1][: layer.output_size], start + layer.state_size
    return np.concatenate(states)


def quantities(layer: Layer, weight: Array, state: Array, inputs: Array) -> Quantities:
    """Return gates, pre-activations and the parts of the next state (h, c), each (n)."""
    return _step_layer(layer, weight, state, layer.weight_ih @ inputs + layer.bias)


@singledispatch
def _step_layer(layer: Layer, weight: Array, state: Array, driven: Array) -> Quantities:  # noqa: ARG001
    """Return the quantities of one step; each cell has a function of its own below."""
    raise UsageError(
        f"{name_cell(layer)}: no derivation of this cell is known, because its step is not written in "
        "complex numbers, which check each term; choose another cell"
    )


@_step_layer.register
def _rnn(layer: RNN, weight: Array, h: Array, driven: Array) -> Quantities:
    """H' = φ(W h + U x + b)."""
    z = driven + weight @ h
    return {"z": z, "h": ANALYTIC[layer.activation](z)}


@_step_layer.register
def _leaky(layer: LeakyRNN, weight: Array, h: Array, driven: Array) -> Quantities:
    """H' = h + a⊙(φ(W h + U x + b) − h)."""
    z = driven + weight @ h
    return {"z": z, "h": h + layer.a * (ANALYTIC[layer.activation](z) - h)}


@_step_layer.register
def _lstm(layer: LSTM, weight: Array, state: Array, driven: Array) -> Quantities:
    """C' = f⊙c + i⊙g and h' = P(o⊙tanh c'); 1 − σ(a) is σ(−a), which keeps its digits."""
    h, c = state[: layer.output_size], state[layer.output_size :]
    names = layer.gate_names
    a = dict(zip(names, (driven + weight @ h).reshape(len(names), -1), strict=True))
    holes = [] if layer.peephole is None else [name for name in names if name != "g"]
    peephole = dict(zip(holes, layer.peephole if layer.peephole is not None else [], strict=True))
    for name in ("i", "f"):
        if name in peephole:
            a[name] = a[name] + peephole[name] * c
    f = sigmoid(a["f"]) if "f" in a else np.ones_like(c)
    i = sigmoid(a["i"]) if "i" in a else sigmoid(-a["f"])
    g = np.tanh(a["g"])
    cell = f * c + i * g
    a["o"] = a["o"] + peephole.get("o", 0.0) * cell
    o = sigmoid(a["o"])
    shown = o * np.tanh(cell)
    h = shown if layer.weight_hr is None else layer.weight_hr @ shown
    return {
        **{f"a_{name}": one for name, one in a.items()},
        "f": f,
        "i": i,
        "g": g,
        "o": o,
        "c": cell,
        "h": h,
    }


@_step_layer.register
def _gru(layer: GRU, weight: Array, h: Array, driven: Array) -> Quantities:
    """H' = (1 − z)⊙n + z⊙h; v = W_n h + b_hn."""
    w_r, w_z, w_n = np.split(weight, 3)
    a_r, a_z, a_n = np.split(driven, 3)
    a_r, a_z = a_r + w_r @ h, a_z + w_z @ h
    r, z = sigmoid(a_r), sigmoid(a_z)
    v = w_n @ h + (0.0 if layer.bias_hn is None else layer.bias_hn)
    a_n = a_n + (w_n @ (r * h) if layer.reset == "before" else r * v)
    n = np.tanh(a_n)
    return {
        "a_r": a_r,
        "a_z": a_z,
        "a_n": a_n,
        "r": r,
        "z": z,
        "n": n,
        "v": v,
        "h": sigmoid(-a_z) * n + z * h,
    }
