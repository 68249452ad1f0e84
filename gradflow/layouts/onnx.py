"""ONNX: the inputs W (D, gH, I), R (D, gH, H), B (D, 2gH) and P (D, 3H) of an RNN, LSTM or GRU node.

D is the number of directions, g the number of gates, I the input size and H the number of units. The gates of
an LSTM are in the order i, o, f, c, its peepholes i, o, f, the gates of a GRU z, r, h. The attributes of the
node say what else it computes (ONNX operators, opset 22).
"""

from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import sha256
from math import nan
from typing import Any, NamedTuple

import numpy as np

from gradflow.cells.base import Array, Cell
from gradflow.cells.gru import GRU, RESET_PLACES
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.errors import DataError
from gradflow.layouts.assumptions import Assumptions
from gradflow.layouts.names import NamedArrays, group_by_path
from gradflow.layouts.network import Levels, MisfitError, NetworkClaim, NetworkLayer, describe_shapes
from gradflow.layouts.weights import read_bias, read_weights, reorder_gates
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import StoredArray
from gradflow.registry import check_name

_LAYER_DIRECTIONS = {
    "forward": ("forward",),
    "reverse": ("backward",),
    "bidirectional": ("forward", "backward"),
}
_MAX_LISTED_CALLS = 5
_GATES_OF_OPERATORS = {"RNN": 1, "GRU": 3, "LSTM": 4}
DEFAULT_ACTIVATIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
# ONNX's name → gradflow's name, and the default values of alpha and beta that it takes; nan if ONNX has none.
ONNX_ACTIVATIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "Tanh": ("tanh", ()),
    "Sigmoid": ("sigmoid", ()),
    "Relu": ("relu", ()),
    "Affine": ("affine", (nan, nan)),
    "LeakyRelu": ("leaky_relu", (0.01,)),
    "ThresholdedRelu": ("thresholded_relu", (nan,)),
    "ScaledTanh": ("scaled_tanh", (nan, nan)),
    "HardSigmoid": ("hard_sigmoid", (0.2, 0.5)),
    "Elu": ("elu", (1.0,)),
    "Softsign": ("softsign", ()),
    "Softplus": ("softplus", ()),
}
# Upper and lower case do not matter in ONNX.
_ACTIVATIONS_BY_LOWER_CASE = {name.lower(): entry for name, entry in ONNX_ACTIVATIONS.items()}


class NodeCalls(NamedTuple):
    """The nodes that call one layer.

    Attributes
    ----------
    names : list of str
        The nodes by their paths. The layer is called after the first.
    agreeing : set of str
        Those that have the inputs of the first, and so its outputs.
    """

    names: list[str]
    agreeing: set[str]


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:
    """Yield a network for every layer whose weights are constant, and for W and R without a node.

    A layer may be called by several nodes.
    """
    nodes = group_nodes(arrays)
    inputs = sorted({name for members in nodes.values() for name in _list_read_inputs(members)})
    for path, calls in find_calls(nodes).items():
        members = nodes[path]
        names = frozenset(array.name for node in calls.names for array in nodes[node].values())
        remarks = [*members["R"].metadata["place"].remarks, *_describe_calls(calls)]
        if len(inputs) > 1:
            listed, own = ", ".join(map(quote, inputs)), _list_read_inputs(members)
            remarks += [
                f"{quote(path)} reads the input {quote(name)} of the model, which has {listed}"
                for name in own
            ]
        yield NetworkClaim(path, names, partial(_build_levels, members), tuple(remarks))
    bare = {
        name: array
        for name, array in arrays.items()
        # An initializer of a model may have such a name without being the input of such a node.
        if not array.source.lower().endswith(".onnx") and "float" in array.dtype
    }
    for path, group in group_by_path(bare, "[WRBP]").items():
        operator = _identify_operator(group)
        if operator:
            names = frozenset(array.name for array in group.values())
            yield NetworkClaim(path, names, partial(_build_bare_levels, operator, group, assumptions))


def _list_read_inputs(members: Mapping[str, StoredArray]) -> list[str]:
    """Return the model's inputs of real numbers from which the inputs of a node are computed."""
    trace = members["R"].metadata["place"].trace
    return [given.name for given in trace.inputs if given.is_float and not given.shape_only]


def group_nodes(arrays: NamedArrays) -> dict[str, dict[str, StoredArray]]:
    """Return the arrays of each recurrent node, by the path of the node."""
    operators = {
        name: array for name, array in arrays.items() if array.metadata.get("op") in _GATES_OF_OPERATORS
    }
    groups = group_by_path(operators, "[WRBP]")
    return {path: members for path, members in groups.items() if {"W", "R"} <= set(members)}


def find_calls(nodes: Mapping[str, dict[str, StoredArray]]) -> dict[str, NodeCalls]:
    """Return the layers of a graph by the path of their first node.

    Nodes call one layer if they have the same weights and attributes. The weights are the same if the graph
    makes them from the same constants. Copies are the same in two branches of one ``If``.
    """
    layers: dict[str, NodeCalls] = {}
    first_nodes: dict[Any, str] = {}
    first_copies: dict[Any, tuple[str, str]] = {}
    for path, members in nodes.items():
        place, metadata = members["R"].metadata["place"], members["R"].metadata
        what = (metadata["op"], tuple(sorted(map(repr, metadata["attributes"].items()))))
        digest = _hash_weights(members) if place.branches else b""
        copies = [((what, number, digest), branch) for number, branch in place.branches if digest]
        first = first_nodes.get((what, place.weights), "")
        for key, branch in copies:
            other_branch, candidate = first_copies.get(key, (branch, ""))
            first = first or (candidate if other_branch != branch else "")
        first = first_nodes.setdefault((what, place.weights), first or path)
        for key, branch in copies:
            first_copies.setdefault(key, (branch, first))
        calls = layers.setdefault(first, NodeCalls([], set()))
        calls.names.append(path)
        if place.call == nodes[first]["R"].metadata["place"].call:
            calls.agreeing.add(path)
    return layers


def _hash_weights(members: Mapping[str, StoredArray]) -> bytes:
    """Return bytes that arrays share only if their entries are the same; none if they cannot be read."""
    digest = sha256()
    for part, array in sorted(members.items()):
        digest.update(f"{part}{array.shape}{array.dtype}".encode())
        try:
            digest.update(np.ascontiguousarray(array.load()).tobytes())
        except DataError:  # The layer is refused when it is built.
            return b""
    return digest.digest()


def _describe_calls(calls: NodeCalls) -> Iterator[str]:
    first, *others = calls.names
    for same, inputs in ((True, "the same inputs"), (False, "other inputs, which are left out")):
        listed = [quote(name) for name in others if (name in calls.agreeing) == same]
        if listed:
            shown = ", ".join(listed[:_MAX_LISTED_CALLS])
            more = len(listed) - _MAX_LISTED_CALLS
            count = f" and {more} more" if more > 0 else ""
            yield f"{quote(first)} is one layer with {shown}{count}, which have its weights and {inputs}"


def _identify_operator(members: NamedArrays) -> str:
    """Return the operator whose W (D, gH, I) and R (D, gH, H) these are, or an empty string."""
    shapes = [members[name].shape for name in ("W", "R") if name in members]
    if len(shapes) < 2 or not all(len(shape) == 3 for shape in shapes) or shapes[0][:2] != shapes[1][:2]:
        return ""
    directions, rows, size = shapes[1]
    fitting = [name for name, gates in _GATES_OF_OPERATORS.items() if rows == gates * size > 0]
    return fitting[0] if fitting and directions in (1, 2) else ""


def _build_levels(members: NamedArrays) -> Levels:
    metadata = members["R"].metadata
    operator, attributes = metadata["op"], metadata["attributes"]
    direction = str(attributes.get("direction", "forward"))
    if direction not in _LAYER_DIRECTIONS:
        raise MisfitError(
            f"direction {quote(direction)} of a {operator}: expected {', '.join(_LAYER_DIRECTIONS)}"
        )
    if "clip" in attributes:
        raise DataError(
            f"a {operator} node with the attribute clip is not supported; expected a node without clip"
        )
    directions = _LAYER_DIRECTIONS[direction]
    functions = _name_activations(operator, attributes, len(directions))
    return _build_level(members, operator, attributes, directions, functions)


def _build_bare_levels(operator: str, members: NamedArrays, assumptions: Assumptions) -> Levels:
    """Return the level of a node of which only the arrays are there; its attributes are assumed."""
    options = assumptions.start_layer()
    gates = [] if operator == "RNN" else [options.choose("gate_activation", "sigmoid")]
    activations = [options.choose("activation", "tanh")] * (2 if operator == "LSTM" else 1)
    reset = check_name("reset", options.choose("reset", "after"), RESET_PLACES) if operator == "GRU" else ""
    directions = _LAYER_DIRECTIONS["bidirectional"][: members["R"].shape[0]]
    levels = _build_level(
        members,
        operator,
        {"linear_before_reset": int(reset == "after")},
        directions,
        [[*gates, *activations]] * len(directions),
        tuple(options.assumed),
    )
    for layer in levels[0]:
        if isinstance(layer.cell, LSTM) and not layer.cell.recurrent("f").any():
            raise MisfitError(
                f"{describe_shapes(list(members.values()))}: the forget gate has no recurrent weights, as in "
                "a node with input_forget=1; expected the .onnx file, which has the attributes of the node"
            )
    return levels


def _build_level(
    members: NamedArrays,
    operator: str,
    attributes: Mapping[str, Any],
    directions: tuple[str, ...],
    functions: list[list[str]],
    assumed: tuple[str, ...] = (),
) -> Levels:
    inputs = _read_inputs(members, _GATES_OF_OPERATORS[operator], len(directions))
    return (
        tuple(
            NetworkLayer(
                _CELL_BUILDERS[operator](
                    {name: array[k] for name, array in inputs.items()}, functions[k], attributes
                ),
                "onnx",
                tuple(members.values()),
                direction,
                assumed,
                sharers=len(directions),
                inverted_gates="f" if attributes.get("input_forget", 0) else "",
            )
            for k, direction in enumerate(directions)
        ),
    )


def _read_inputs(members: NamedArrays, blocks: int, directions: int) -> dict[str, Array]:
    """Return W, R, B and P with their axis of directions; B is zero if the node has none."""
    sizes = members["R"].shape, members["W"].shape
    if not all(len(size) == 3 for size in sizes):
        raise MisfitError(f"{describe_shapes(list(members.values()))}: expected W and R of 3 dimensions")
    size, features = sizes[0][2], sizes[1][2]
    rows = blocks * size
    inputs = {
        "W": read_weights(members["W"], (directions, rows, features)),
        "R": read_weights(members["R"], (directions, rows, size)),
        "B": read_bias(members.get("B"), (directions, 2 * rows)),
    }
    if "P" in members:
        inputs["P"] = read_weights(members["P"], (directions, 3 * size))
    return inputs


def _name_activations(operator: str, attributes: Mapping[str, Any], directions: int) -> list[list[str]]:
    """Return gradflow's names of the activations of each direction."""
    per_direction = len(DEFAULT_ACTIVATIONS[operator])
    functions = _list_attribute(attributes, "activations", str) or list(
        DEFAULT_ACTIVATIONS[operator] * directions
    )
    alphas, betas = (_list_attribute(attributes, f"activation_{name}", float) for name in ("alpha", "beta"))
    if len(functions) != per_direction * directions:
        raise MisfitError(
            f"a {operator} node has {len(functions)} activations; expected {per_direction * directions}"
        )
    names = []
    for function in functions:
        name, parameters = _ACTIVATIONS_BY_LOWER_CASE.get(str(function).lower(), ("", ()))
        if not name:
            raise DataError(
                f"activation {quote(str(function))} of a {operator} node is not known; "
                f"expected one of {', '.join(ONNX_ACTIVATIONS)}"
            )
        # Each list has a value only for the functions that take such a number.
        values = [
            f"{float(numbers.pop(0)) if numbers else default!r}"
            for numbers, default in zip((alphas, betas), parameters, strict=False)
        ]
        if "nan" in values:
            raise DataError(
                f"activation {quote(str(function))} of a {operator} node lacks alpha or beta, whose defaults "
                "differ between runtimes; expected both"
            )
        names.append(f"{name}({','.join(values)})" if values else name)
    return [names[k * per_direction : (k + 1) * per_direction] for k in range(directions)]


def _list_attribute(attributes: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    """Return an attribute that must be a list of values of ``kind``; empty if the node lacks it."""
    values = attributes.get(name, [])
    if not isinstance(values, list | tuple) or not all(isinstance(value, kind) for value in values):
        raise DataError(f"attribute {name} is {quote(str(values))}; expected a list of {kind.__name__}")
    if kind is float and not np.isfinite(values).all():
        raise DataError(f"attribute {name} is {quote(str(values))}; expected finite numbers")
    return list(values)


def _build_rnn(arrays: dict[str, Array], functions: list[str], attributes: Mapping[str, Any]) -> Cell:  # noqa: ARG001
    return RNN(arrays["W"], arrays["R"], arrays["B"].reshape(2, -1).sum(axis=0), *functions)


def _build_lstm(arrays: dict[str, Array], functions: list[str], attributes: Mapping[str, Any]) -> Cell:
    coupled = bool(attributes.get("input_forget", 0))
    # In a coupled LSTM f is 1 − i, so the negated weights of the input gate are those of a forget gate.
    gate_order, bias = "fgo" if coupled else "ifgo", arrays["B"].reshape(2, -1).sum(axis=0)
    stored_order = "foig" if coupled else "iofg"
    weight_ih, weight_hh, bias = (
        reorder_gates(rows, stored_order, gate_order) for rows in (arrays["W"], arrays["R"], bias)
    )
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
            raise DataError(
                f"a coupled LSTM node with {functions[0]} gates is not supported; expected Sigmoid"
            )
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


def _build_gru(arrays: dict[str, Array], functions: list[str], attributes: Mapping[str, Any]) -> Cell:
    after = bool(attributes.get("linear_before_reset", 0))
    size = arrays["R"].shape[1]
    bias_w, bias_r = (reorder_gates(bias, "zrn", "rzn") for bias in np.split(arrays["B"], 2))
    inside = np.array(bias_r[2 * size :])
    if after:
        bias_r[2 * size :] = 0.0
    return GRU(
        reorder_gates(arrays["W"], "zrn", "rzn"),
        reorder_gates(arrays["R"], "zrn", "rzn"),
        bias_w + bias_r,
        inside if after else None,
        "after" if after else "before",
        *functions,
    )


_CELL_BUILDERS = {"RNN": _build_rnn, "LSTM": _build_lstm, "GRU": _build_gru}
