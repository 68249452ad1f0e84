"""The cells of gradflow once more, step by step from their papers' formulas, in complex numbers.

They share no line with `gradflow.cells` and know no derivative: a step along the imaginary axis gives it
(Squire & Trapp 1998). f(x + ih) = f(x) + ih f′(x) + O(h²), and with h = 1e-30 nothing is left of the rest:
Im f(x + ih)/h is f′(x) to the last digit, for there is no difference that could cancel. f must be analytic:
it may take no modulus, no transpose with a conjugate, no maximum.
"""

from collections.abc import Callable
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
Quantities = dict[str, Array]  # the quantities of one step by symbol; a_f is the pre-activation of fₜ
SHEET_LETTERS = {"c": "C", "g": "C̃"}  # symbols of the sheet for names of gradflow


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


def step(cell: Cell, weights: Array, state: Array, inputs: Array) -> Quantities:
    """Return the quantities of a step from a state (n): those of the last layer, and s, the next state (n).

    ``weights`` (rows, R) are the recurrent weights of all layers, stacked from the lowest layer on.
    """
    states, start, row = [], 0, 0
    for layer in list_layers(cell):
        own, rows = state[start : start + layer.state_size], weights[row : row + len(layer.weight_hh)]
        found = _step_layer(layer, rows, own, layer.weight_ih @ inputs + layer.bias)
        states.append(np.concatenate([found[name_symbol(part)] for part in layer.parts]))
        inputs, start, row = states[-1][: layer.output_size], start + len(own), row + len(rows)
    return {**found, "s": np.concatenate(states)}


def name_symbol(name: str) -> str:
    """Return the symbol of a gate, or of a part of the state, at step t.

    Examples
    --------
    >>> name_symbol("f"), name_symbol("c")
    ('fₜ', 'Cₜ')
    """
    return f"{SHEET_LETTERS.get(name, name)}ₜ"


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
    return {"zₜ": z, "hₜ": ANALYTIC[layer.activation](z)}


@_step_layer.register
def _leaky(layer: LeakyRNN, weight: Array, h: Array, driven: Array) -> Quantities:
    """H' = h + a⊙(φ(W h + U x + b) − h)."""
    z = driven + weight @ h
    return {"zₜ": z, "hₜ": h + layer.a * (ANALYTIC[layer.activation](z) - h)}


@_step_layer.register
def _lstm(layer: LSTM, weight: Array, state: Array, driven: Array) -> Quantities:
    """C' = f⊙C + i⊙C̃ and h' = P(o⊙tanh C'); 1 − σ(a) is σ(−a), which keeps its digits."""
    h, C = state[: layer.output_size], state[layer.output_size :]
    names = layer.gate_names
    a = dict(zip(names, (driven + weight @ h).reshape(len(names), -1), strict=True))
    holes = [] if layer.peephole is None else [name for name in names if name != "g"]
    peephole = dict(zip(holes, layer.peephole if layer.peephole is not None else [], strict=True))
    for name in ("i", "f"):
        if name in peephole:
            a[name] = a[name] + peephole[name] * C
    f = sigmoid(a["f"]) if "f" in a else np.ones_like(C)
    i = sigmoid(a["i"]) if "i" in a else sigmoid(-a["f"])
    candidate = np.tanh(a["g"])
    kept, let_in = f * C, i * candidate
    C = kept + let_in
    a["o"] = a["o"] + peephole.get("o", 0.0) * C
    o = sigmoid(a["o"])
    shown = o * np.tanh(C)
    h = shown if layer.weight_hr is None else layer.weight_hr @ shown
    return {
        **{f"a_{name}": value for name, value in a.items()}, "a_c": a["g"],
        "fₜ": f, "iₜ": i, "C̃ₜ": candidate, "oₜ": o, "Cₜ": C, "hₜ": h,
        "(fₜ ⊙ Cₜ₋₁)": kept, "(iₜ ⊙ C̃ₜ)": let_in,
    }  # fmt: skip


@_step_layer.register
def _gru(layer: GRU, weight: Array, h: Array, driven: Array) -> Quantities:
    """H' = (1 − z)⊙n + z⊙h; v = W_n h + b_hn."""
    W_r, W_z, W_n = np.split(weight, 3)
    a_r, a_z, a_n = np.split(driven, 3)
    a_r, a_z = a_r + W_r @ h, a_z + W_z @ h
    r, z = sigmoid(a_r), sigmoid(a_z)
    v = W_n @ h + (0.0 if layer.bias_hn is None else layer.bias_hn)
    a_n = a_n + (W_n @ (r * h) if layer.reset == "before" else r * v)
    n = np.tanh(a_n)
    replaced, kept = sigmoid(-a_z) * n, z * h
    return {
        "a_r": a_r, "a_z": a_z, "a_n": a_n, "rₜ": r, "zₜ": z, "nₜ": n, "v": v, "hₜ": replaced + kept,
        "(rₜ ⊙ v)": r * v, "((1 − zₜ) ⊙ nₜ)": replaced, "(zₜ ⊙ hₜ₋₁)": kept,
    }  # fmt: skip
