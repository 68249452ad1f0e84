"""The recurrent nodes of an ONNX model: their weights, and where they stand in their graph.

Besides ONNX's RNN, LSTM and GRU, onnxruntime has DynamicQuantizeLSTM (operator of com.microsoft, version 1):
its W and R are integers q with scales and zero points, and it computes with scale · (q − zero point).
"""

import itertools
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import quote
from gradflow.readers.onnx.constants import OnnxConstant
from gradflow.readers.onnx.folding import ConstantFolder
from gradflow.readers.onnx.scopes import DEFAULT_DOMAINS, GraphScope, describe_node, name_node
from gradflow.readers.onnx.tracing import ValueTrace, ValueTracer

# Name of a weight → its position among the inputs of a node.
_WEIGHT_INPUTS = {"W": 1, "R": 2, "B": 3, "P": 7}
_LENGTHS_INPUT, _STATE_INPUTS = 4, (5, 6)
_SCALE_INPUTS = {"W": (8, 9), "R": (10, 11)}  # of DynamicQuantizeLSTM: scale, zero point
_QUANTIZED_OPERATOR = ("com.microsoft", "DynamicQuantizeLSTM")
_QUANTIZER_SUFFIX = "_quant"  # onnxruntime's quantizer adds it to the name of a node
RECURRENT_OPERATORS = ("RNN", "LSTM", "GRU")
_RECURRENT_NAME = re.compile(r"LSTM|GRU|RNN", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class RecurrentNode:
    """A recurrent node: its name, its operator for the layout, and its weights if they are constant."""

    name: str
    scope: GraphScope
    proto: Any
    operator: str
    weights: dict[str, OnnxConstant]
    remark: str = ""

    @property
    def title(self) -> str:
        """The name in messages, as the layout has it."""
        return quote(self.name.strip("./"))

    @property
    def is_quantized(self) -> bool:
        """Whether the weights are stored as integers."""
        return (self.proto.domain, self.proto.op_type) == _QUANTIZED_OPERATOR

    def get_input(self, index: int) -> str:
        """Return the name of an input; empty if the node lacks it."""
        return self.proto.input[index] if index < len(self.proto.input) else ""


@dataclass(frozen=True)
class RecurrentPlace:
    """Where a recurrent node stands in its graph. It can be pickled.

    Attributes
    ----------
    trace : ValueTrace
        What stands before its input X.
    weights : tuple of int
        Nodes with the same numbers have the same weights.
    call : tuple of int
        Nodes with the same numbers have the same input X, initial states and lengths.
    branches : tuple of (int, str)
        The branches of ``If`` nodes around it, outer ones first: the number of the node, and the branch.
    initial_state : str
        From what the initial states come, for people; empty if they are zero.
    initial_layers : bool
        Whether they come from the file or from other recurrent nodes, and not from the model's inputs.
    lengths : str
        From what the lengths of its sequences come, for people; empty if it goes through all steps.
    remarks : tuple of str
        What was done to the node, for people.
    unrolled : bool
        Whether it stands for elementary nodes that receive each step alone. The trace is that of one step.
    below : str
        The layer whose outputs an unrolled layer receives unchanged; empty if there is none.
    """

    trace: ValueTrace
    weights: tuple[int, ...]
    call: tuple[int, ...]
    branches: tuple[tuple[int, str], ...]
    initial_state: str
    initial_layers: bool
    lengths: str
    remarks: tuple[str, ...]
    unrolled: bool = False
    below: str = ""


def find_recurrent_nodes(
    folder: ConstantFolder, scopes: list[GraphScope], used_names: set[str]
) -> Iterator[RecurrentNode]:
    """Yield the recurrent nodes of all scopes, under names that are not in ``used_names``."""
    parts = ("", *(f"/{part}" for part in _WEIGHT_INPUTS))
    for scope in scopes:
        for proto in scope.nodes:
            own = proto.op_type in RECURRENT_OPERATORS and proto.domain in DEFAULT_DOMAINS
            quantized = (proto.domain, proto.op_type) == _QUANTIZED_OPERATOR
            called = any(output in scope.returned for output in proto.output)
            if called or not (own or quantized or _is_other_operator(proto)):
                continue
            weights: dict[str, OnnxConstant] = {}
            remark = "which is not read; expected RNN, LSTM, GRU or DynamicQuantizeLSTM"
            if own or quantized:
                weights, remark = _find_weights(folder, scope, proto, quantized)
            name = name_node(proto)
            if quantized:
                name = name.removesuffix(_QUANTIZER_SUFFIX)
            if weights:
                name = choose_unused_name(name, used_names, parts)
                used_names.add(name)
            remark = f"left out: {describe_node(proto)}, {remark}" if remark else ""
            yield RecurrentNode(name, scope, proto, "LSTM" if quantized else proto.op_type, weights, remark)


def _is_other_operator(proto: Any) -> bool:
    return proto.domain not in DEFAULT_DOMAINS and _RECURRENT_NAME.search(proto.op_type) is not None


def choose_unused_name(name: str, used_names: Container[str], parts: tuple[str, ...] = ("",)) -> str:
    """Return ``name``, or ``name`` with a number if the name itself, or one with its parts, is taken."""
    candidates = (f"{name}_{count}" if count else name for count in itertools.count())
    return next(
        candidate for candidate in candidates if not any(candidate + part in used_names for part in parts)
    )


def _find_weights(
    folder: ConstantFolder, scope: GraphScope, proto: Any, quantized: bool
) -> tuple[dict[str, OnnxConstant], str]:
    """Return the weights of a node and an empty text; no weights and the reason if one is not constant."""
    weights = {}
    for part, index in _WEIGHT_INPUTS.items():
        input_name = proto.input[index] if index < len(proto.input) else ""
        constant = folder.fold(scope, input_name) if input_name else None
        if quantized and constant is not None and part in _SCALE_INPUTS:
            constant = _dequantize(folder, scope, proto, part, constant)
        if constant is not None:
            weights[part] = constant
        elif input_name:
            return {}, f"whose {part} is no constant"
        elif part in ("W", "R"):
            return {}, f"which lacks {part}"
    return weights, ""


def _dequantize(
    folder: ConstantFolder, scope: GraphScope, proto: Any, part: str, stored: OnnxConstant
) -> OnnxConstant | None:
    """Return scale · (q − zero point) with the axes of ONNX's LSTM; None if a part is no constant.

    q has shape (D, I, 4H) or (D, H, 4H), scale and zero point have shape (D,) or (D, 4H).
    """
    names = [proto.input[index] if index < len(proto.input) else "" for index in _SCALE_INPUTS[part]]
    scale, zero_point = (folder.fold(scope, name) if name else None for name in names)
    if scale is None or (zero_point is None and names[1]) or len(stored.shape) != 3:
        return None
    directions, size, rows = stored.shape
    for given in (scale, zero_point):
        if given is not None and given.shape not in ((directions,), (directions, rows)):
            raise DataError(
                f"{describe_node(proto)} has a scale or zero point of shape {given.shape} for its {part} "
                f"{stored.shape}; expected {(directions,)} or {(directions, rows)}"
            )
    return OnnxConstant(
        (directions, rows, size), "float64", partial(_multiply_scales, stored, scale, zero_point)
    )


def _multiply_scales(
    stored: OnnxConstant, scale: OnnxConstant, zero_point: OnnxConstant | None
) -> NDArray[np.float64]:
    numbers = stored.decode(stored.load()).astype(np.float64)
    for given, operation in ((zero_point, np.subtract), (scale, np.multiply)):
        if given is not None:
            factors = given.decode(given.load()).astype(np.float64)
            operation(numbers, factors.reshape(len(factors), 1, -1), out=numbers)
    return np.ascontiguousarray(numbers.transpose(0, 2, 1))


def place_node(
    node: RecurrentNode, folder: ConstantFolder, tracer: ValueTracer, numbers: dict[object, int]
) -> RecurrentPlace:
    """Return where a node stands. ``numbers`` are those of the ``If`` nodes met so far."""
    scope = node.scope

    def identify(*indices: int) -> tuple[int, ...]:
        names = [node.get_input(index) for index in indices]
        return tuple(folder.identify(scope, name) if name else -1 for name in names)

    states = [
        index
        for index in _STATE_INPUTS
        if node.get_input(index) and not tracer.is_zero(scope, node.get_input(index))
    ]
    initial_state, from_layers = _describe_sources(node, tracer, states)
    lengths = _describe_lengths(node, folder, tracer)
    return RecurrentPlace(
        tracer.trace(scope, node.get_input(0)),
        identify(*_WEIGHT_INPUTS.values(), *itertools.chain(*_SCALE_INPUTS.values())),
        identify(0, _LENGTHS_INPUT, *states),
        tuple((numbers.setdefault(key, len(numbers)), branch) for key, branch in scope.branches),
        initial_state,
        from_layers,
        lengths,
        tuple(_list_remarks(node, initial_state, lengths)),
    )


def _describe_lengths(node: RecurrentNode, folder: ConstantFolder, tracer: ValueTracer) -> str:
    """Return from what the lengths come; empty if there are none, or if only shapes decide them.

    Exporters compute lengths of whole sequences from the shape of the model's input.
    """
    lengths = node.get_input(_LENGTHS_INPUT)
    if not lengths:
        return ""
    is_constant = folder.fold(node.scope, lengths) is not None
    if not is_constant and not any(tracer.list_sources(node.scope, lengths)):
        return ""
    return _describe_sources(node, tracer, [_LENGTHS_INPUT])[0]


def _describe_sources(node: RecurrentNode, tracer: ValueTracer, indices: list[int]) -> tuple[str, bool]:
    """Return from what some inputs come, and whether that is not only the model's input."""
    if not indices:
        return "", False
    sources = [tracer.list_sources(node.scope, node.get_input(index)) for index in indices]
    layers = sorted({layer for found, _ in sources for layer in found})
    inputs = sorted({given for _, found in sources for given in found})
    if layers:
        return f"from {', '.join(quote(layer.strip('./')) for layer in layers)}", True
    if inputs:
        return f"from the model's input {', '.join(map(quote, inputs))}", False
    return "from numbers in the file", True


def _list_remarks(node: RecurrentNode, initial_state: str, lengths: str) -> Iterator[str]:
    if node.is_quantized:
        yield (
            f"{node.title} is quantized (DynamicQuantizeLSTM): its weights are read as scale · (q − zero "
            "point); the rounding of its inputs and states at run time is left out"
        )
    if initial_state:
        yield f"{node.title} starts from a state that comes {initial_state}; it is taken as zero"
    if lengths:
        yield (
            f"{node.title} stops at lengths of its sequences that come {lengths}, which are left out: it "
            "goes through all steps"
        )
