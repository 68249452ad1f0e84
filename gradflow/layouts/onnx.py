"""ONNX: the inputs W (D, gH, I), R (D, gH, H), B (D, 2gH) and P (D, 3H) of an RNN, LSTM or GRU node.

Gates of an LSTM stand i, o, f, c, peepholes i, o, f, gates of a GRU z, r, h; D is the number of directions.
What a node computes beside them is told by its attributes (ONNX operators, opset 22).
"""

from collections.abc import Iterator, Mapping
from functools import partial
from math import nan
from typing import Any

import numpy as np

from gradflow.cells.base import Array, Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError
from gradflow.layouts.names import grouped
from gradflow.layouts.network import Choices, Claim, Layer, Levels, MisfitError, shapes
from gradflow.layouts.weights import ordered, taken, taken_or_zeros
from gradflow.readers.messages import shown
from gradflow.readers.stored import StoredArray

Arrays = dict[str, StoredArray]
_DIRECTIONS = {
    "forward": ("forward",),
    "reverse": ("backward",),
    "bidirectional": ("forward", "backward"),
}
_BLOCKS = {"RNN": 1, "GRU": 3, "LSTM": 4}
_DEFAULTS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
# ONNX's name → ours, and which of alpha and beta it takes, with ONNX's own defaults, nan where it has none
_ACTIVATIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "tanh": ("tanh", ()),
    "sigmoid": ("sigmoid", ()),
    "relu": ("relu", ()),
    "affine": ("affine", (nan, nan)),
    "leakyrelu": ("leaky_relu", (0.01,)),
    "thresholdedrelu": ("thresholded_relu", (nan,)),
    "scaledtanh": ("scaled_tanh", (nan, nan)),
    "hardsigmoid": ("hard_sigmoid", (0.2, 0.5)),
    "elu": ("elu", (1.0,)),
    "softsign": ("softsign", ()),
    "softplus": ("softplus", ()),
}


def claims(arrays: Mapping[str, StoredArray], choices: Choices) -> Iterator[Claim]:  # noqa: ARG001 - told all
    """Yield every recurrent node whose weights are known."""
    operators = {name: array for name, array in arrays.items() if array.about.get("op") in _BLOCKS}
    for path, members in grouped(operators, "[WRBP]").items():
        if {"W", "R"} <= set(members):
            names = frozenset(array.name for array in members.values())
            yield Claim(path, names, partial(_levels, members))


def _levels(members: Arrays) -> Levels:
    about = members["R"].about
    operator, attributes = about["op"], about["attributes"]
    told = str(attributes.get("direction", "forward"))
    if told not in _DIRECTIONS:
        raise MisfitError(f"direction {shown(told)} of a {operator}: expected {', '.join(_DIRECTIONS)}")
    if "clip" in attributes:
        raise DataError(f"a {operator} node that clips its cell is not read: expected one without clip")
    directions = _DIRECTIONS[told]
    functions = _activations(operator, attributes, len(directions))
    every = _every(members, _BLOCKS[operator], len(directions))
    return (
        tuple(
            Layer(
                _CELLS[operator]({name: array[k] for name, array in every.items()}, functions[k], attributes),
                "onnx",
                tuple(members.values()),
                direction,
                sharers=len(directions),
                turned="f" if attributes.get("input_forget", 0) else "",
            )
            for k, direction in enumerate(directions)
        ),
    )


def _every(members: Arrays, blocks: int, directions: int) -> dict[str, Array]:
    """Return W, R, B and P with their axis of directions; B as zeros where there is none."""
    sizes = members["R"].shape, members["W"].shape
    if not all(len(size) == 3 for size in sizes):
        raise MisfitError(f"{shapes(list(members.values()))}: expected W and R of 3 dimensions")
    size, features = sizes[0][2], sizes[1][2]
    rows = blocks * size
    found = {
        "W": taken(members["W"], (directions, rows, features)),
        "R": taken(members["R"], (directions, rows, size)),
        "B": taken_or_zeros(members.get("B"), (directions, 2 * rows)),
    }
    if "P" in members:
        found["P"] = taken(members["P"], (directions, 3 * size))
    return found


def _activations(operator: str, attributes: Mapping[str, Any], directions: int) -> list[list[str]]:
    """Return our names of the functions of each direction."""
    each = len(_DEFAULTS[operator])
    told = _listed(attributes, "activations", str) or list(_DEFAULTS[operator] * directions)
    alphas, betas = (_listed(attributes, f"activation_{name}", float) for name in ("alpha", "beta"))
    if len(told) != each * directions:
        raise MisfitError(f"a {operator} node has {len(told)} activations; expected {each * directions}")
    names = []
    for function in told:
        name, parameters = _ACTIVATIONS.get(str(function).lower(), ("", ()))
        if not name:
            raise DataError(
                f"activation {shown(str(function))} of a {operator} node is not known; "
                f"expected one of {', '.join(_ACTIVATIONS)}"
            )
        # each list runs along those functions alone that take such a number
        values = [
            f"{float(given.pop(0)) if given else default!r}"
            for given, default in zip((alphas, betas), parameters, strict=False)
        ]
        if "nan" in values:
            raise DataError(
                f"activation {shown(str(function))} of a {operator} node comes without its alpha or beta, "
                "for which each runtime takes its own; expected both"
            )
        names.append(f"{name}({','.join(values)})" if values else name)
    return [names[k * each : (k + 1) * each] for k in range(directions)]


def _listed(attributes: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    """Return an attribute that has to be a list of one kind, empty where there is none."""
    values = attributes.get(name, [])
    if not isinstance(values, list | tuple) or not all(isinstance(value, kind) for value in values):
        raise DataError(f"attribute {name} is {shown(str(values))}; expected a list of {kind.__name__}")
    if kind is float and not np.isfinite(values).all():
        raise DataError(f"attribute {name} is {shown(str(values))}; expected finite numbers")
    return list(values)


def _rnn(arrays: dict[str, Array], functions: list[str], attributes: Mapping[str, Any]) -> Cell:  # noqa: ARG001
    return RNN(arrays["W"], arrays["R"], arrays["B"].reshape(2, -1).sum(axis=0), *functions)


def _lstm(arrays: dict[str, Array], functions: list[str], attributes: Mapping[str, Any]) -> Cell:
    coupled = bool(attributes.get("input_forget", 0))
    # coupled, f is 1 − i: what the input gate has, turned round, makes a forget gate of its own
    wanted, bias = "fgo" if coupled else "ifgo", arrays["B"].reshape(2, -1).sum(axis=0)
    given = "foig" if coupled else "iofg"
    weight_ih, weight_hh, bias = (ordered(rows, given, wanted) for rows in (arrays["W"], arrays["R"], bias))
    peephole = np.stack(np.split(arrays["P"], 3)) if "P" in arrays else None
    if peephole is not None:
        peephole = peephole[[0, 1]] if coupled else peephole[[0, 2, 1]]
    if coupled:
        size = arrays["R"].shape[1]
        for rows in (weight_ih, weight_hh, bias):
            rows[:size] *= -1.0
        if peephole is not None:
            peephole[0] *= -1.0
        if functions[0] != "sigmoid":
            raise DataError(f"a coupled LSTM node with {functions[0]} gates is not read; expected Sigmoid")
    return LSTM(
        weight_ih,
        weight_hh,
        bias,
        peephole=peephole,
        coupled=coupled,
        gate_activation=functions[0],
        activation=functions[1],
        output_activation=functions[2],
    )


def _gru(arrays: dict[str, Array], functions: list[str], attributes: Mapping[str, Any]) -> Cell:
    after = bool(attributes.get("linear_before_reset", 0))
    size = arrays["R"].shape[1]
    bias_w, bias_r = (ordered(bias, "zrn", "rzn") for bias in np.split(arrays["B"], 2))
    inside = np.array(bias_r[2 * size :])
    if after:
        bias_r[2 * size :] = 0.0
    return GRU(
        ordered(arrays["W"], "zrn", "rzn"),
        ordered(arrays["R"], "zrn", "rzn"),
        bias_w + bias_r,
        inside if after else None,
        "after" if after else "before",
        *functions,
    )


_CELLS = {"RNN": _rnn, "LSTM": _lstm, "GRU": _gru}
