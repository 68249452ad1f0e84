"""Haiku: what a module calls its parameters, under the module's name.

LSTM:       ``linear/w`` (I + H, 4H), ``linear/b``; gates i, g, f, o; 1 is added to f when it runs
GRU:        ``w_i`` (I, 3H), ``w_h`` (H, 3H), ``b``; gates z, r, a; reset before; z is 1 − torch's
VanillaRNN: ``linear/w`` (I, H), ``linear_1/w`` (H, H), both with ``b``; relu
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial

from gradflow.cells.base import Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.layouts.names import grouped, parts
from gradflow.layouts.network import Choices, Claim, Layer, Levels, MisfitError, Open, shapes
from gradflow.layouts.weights import kind_of, ordered, taken, taken_or_zeros, two
from gradflow.readers.stored import StoredArray

Arrays = dict[str, StoredArray]
FORGET_BIAS = 1.0
# Haiku's own names of modules: by another, an LSTM cannot be told from any linear layer.
_LSTM, _RNN = re.compile(r"lstm(?:_\d+)?"), re.compile(r"vanilla_rnn(?:_\d+)?")


def claims(arrays: Mapping[str, StoredArray], choices: Choices) -> Iterator[Claim]:
    """Yield the GRUs by their arrays; the others, which are mere linear layers, by Haiku's module names."""
    for path, members in grouped(arrays, r"w_i|w_h|b|(?:linear|linear_1)[./][wb]").items():
        form = _form(path, set(members))
        if form is not None:
            names = frozenset(array.name for array in members.values())
            yield Claim(path, names, partial(_levels, form, members, choices))


def _form(path: str, keys: set[str]) -> str | None:
    module = (parts(path) or [""])[-1].lower()
    if {"w_i", "w_h"} <= keys:
        return "gru"
    if _LSTM.fullmatch(module) and "linear.w" in keys and "linear_1.w" not in keys:
        return "lstm"
    return "rnn" if _RNN.fullmatch(module) and {"linear.w", "linear_1.w"} <= keys else None


def _levels(form: str, members: Arrays, choices: Choices) -> Levels:
    left = choices.open()
    cell = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}[form](members, left)
    stored, turned = tuple(members.values()), "z" if form == "gru" else ""
    return ((Layer(cell, "haiku", stored, assumed=tuple(left.assumed), turned=turned),),)


def _lstm(members: Arrays, left: Open) -> Cell:
    both, columns = two(members["linear.w"])
    size = columns // 4
    kind_of(columns, size, list(members.values()))
    if not size < both:
        raise MisfitError(f"{shapes(list(members.values()))}: expected rows for inputs and state, I + H")
    weights = taken(members["linear.w"], (both, columns)).T
    bias = taken_or_zeros(members.get("linear.b"), (columns,))
    weights, bias = ordered(weights, "igfo", "ifgo"), ordered(bias, "igfo", "ifgo")
    bias[size : 2 * size] += left.number("forget_bias", FORGET_BIAS)
    return LSTM(weights[:, : both - size], weights[:, both - size :], bias)


def _gru(members: Arrays, left: Open) -> Cell:  # noqa: ARG001 - nothing is left open
    size, columns = two(members["w_h"])
    if columns != 3 * size:
        raise MisfitError(f"{shapes(list(members.values()))}: expected the 3 gates of a GRU")
    weight_ih = taken(members["w_i"], (two(members["w_i"])[0], columns)).T
    weight_hh = taken(members["w_h"], (size, columns)).T
    bias = taken_or_zeros(members.get("b"), (columns,))
    weight_ih, weight_hh, bias = (ordered(rows, "zrn", "rzn") for rows in (weight_ih, weight_hh, bias))
    for rows in (weight_ih, weight_hh, bias):  # σ(−x) = 1 − σ(x)
        rows[size : 2 * size] *= -1.0
    return GRU(weight_ih, weight_hh, bias, reset="before")


def _rnn(members: Arrays, left: Open) -> Cell:
    size, _ = two(members["linear_1.w"])
    weight_ih = taken(members["linear.w"], (two(members["linear.w"])[0], size)).T
    weight_hh = taken(members["linear_1.w"], (size, size)).T
    biases = [taken_or_zeros(members.get(f"{layer}.b"), (size,)) for layer in ("linear", "linear_1")]
    return RNN(weight_ih, weight_hh, biases[0] + biases[1], left.choose("activation", "relu"))
