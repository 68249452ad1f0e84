"""What stands before a value of an ONNX graph: the nodes between it, recurrent nodes and the model's inputs.

A trace is plain data that can be pickled. Its nodes are serialized, under names that are unique in the trace.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradflow.errors import DataError
from gradflow.readers.messages import quote
from gradflow.readers.onnx.constants import OnnxConstant, is_float_type, list_attribute_constants, name_type
from gradflow.readers.onnx.evaluation import (
    EvaluationBudget,
    EvaluationError,
    ValueArray,
    bound_node,
    evaluate_node,
    is_computable,
)
from gradflow.readers.onnx.folding import ConstantFolder, wrap_constant
from gradflow.readers.onnx.scopes import (
    ATTRIBUTE_FIELDS,
    DEFAULT_DOMAINS,
    GraphScope,
    ValuePlace,
    describe_node,
    read_attributes,
)

MAX_TRACE_NODES = 1000
MAX_FILE_TRACE_NODES = 50_000
_MIN_OPSET = 7  # before, the operators of arithmetic broadcast in another way
_DOUBLE_TYPE = 11
_CAST_TARGETS = (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16)
_SOFTMAX_OPSET = 13
_MAX_STATED_SHAPES = 10
# Operators that make zeros of zeros: Concat of all its inputs, the others of the first.
_ZERO_KEEPING_OPERATORS = {
    *("Identity", "Cast", "Expand", "Reshape", "Slice", "Transpose", "Squeeze", "Unsqueeze", "Gather"),
    *("Split", "Tile", "Flatten", "Concat"),
}
# Attributes of BatchNormalization that have no effect if they have these values; momentum never has one.
_TRAINING_ATTRIBUTES = {"momentum": 0, "spatial": 1, "training_mode": 0}
# The outputs of a recurrent node, in their order.
OUTPUTS_OF_LAYERS = ("Y", "Y_h", "Y_c")


@dataclass(frozen=True)
class GraphStep:
    """A node.

    Attributes
    ----------
    label : str
        What it is called in messages.
    operator, inputs, outputs, attributes, opset
        The parts of the node; an input or output that it lacks has an empty name.
    node : bytes
        The same as a serialized NodeProto.
    """

    label: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int
    node: bytes


@dataclass(frozen=True)
class GraphInput:
    """An input of the model.

    Attributes
    ----------
    name, value : str
        Its name in the model and in the trace.
    is_float : bool
        Whether its entries are real numbers.
    shape : tuple of int or None, optional
        The sizes that the model states, None where it states none; None if it states no shape.
    shape_only : bool
        Whether the trace uses its shape alone.
    """

    name: str
    value: str
    is_float: bool
    shape: tuple[int | None, ...] | None
    shape_only: bool


@dataclass(frozen=True)
class LayerOutput:
    """An output of a recurrent node: the name of the node, which output, and its name in the trace."""

    layer: str
    output: str
    value: str


@dataclass(frozen=True)
class ValueTrace:
    """What stands before a value.

    Attributes
    ----------
    result : str
        The name of the value in the trace.
    identity : int
        Two values with the same number are the same.
    steps : tuple of GraphStep
        The nodes in the order of their computation.
    constants : dict of str to OnnxConstant
        The constants that the nodes use.
    inputs : tuple of GraphInput
        The inputs of the model that are used.
    layers : tuple of LayerOutput
        The outputs of recurrent nodes that are used.
    obstacle : str
        The reason why the value cannot be computed, as in "because REASON"; empty if it can.
    stated_shapes : tuple of tuple
        The shapes that the model states for its inputs of real numbers, used or not.
    """

    result: str
    identity: int
    steps: tuple[GraphStep, ...] = ()
    constants: Mapping[str, OnnxConstant] = field(default_factory=dict)
    inputs: tuple[GraphInput, ...] = ()
    layers: tuple[LayerOutput, ...] = ()
    obstacle: str = ""
    stated_shapes: tuple[tuple[int | None, ...], ...] = ()

    def evaluate(self, sources: Mapping[str, ValueArray], budget: EvaluationBudget) -> ValueArray:
        """Return the value, in float64, from those of ``inputs`` and ``layers`` by their names in the trace.

        Raises
        ------
        DataError
            If a node cannot be computed, or goes over the budget.
        """
        values = dict(sources)
        uses = {self.result: 1}
        for name in (name for step in self.steps for name in step.inputs):
            uses[name] = uses.get(name, 0) + 1
        for step in self.steps:
            _run_step(step, values, self.constants, budget)
            for name in step.inputs:  # Values that no later node uses are dropped.
                uses[name] -= 1
                if not uses[name]:
                    values.pop(name, None)
        return values[self.result]


def _run_step(
    step: GraphStep,
    values: dict[str, ValueArray],
    constants: Mapping[str, OnnxConstant],
    budget: EvaluationBudget,
) -> None:
    """Compute a node, and add its outputs to ``values``."""
    given = {
        name: values[name] if name in values else _widen(constants[name]) for name in step.inputs if name
    }
    try:
        inputs = [given[name] if name else None for name in step.inputs]
        budget.spend(*bound_node(step.operator, step.attributes, inputs))
        made = evaluate_node(step.node, step.opset, given)
    except EvaluationError as error:
        raise DataError(f"{step.label} cannot be computed ({quote(str(error), 100)})") from error
    for name, value in zip(step.outputs, made, strict=True):
        if name:
            if value is None:
                raise DataError(f"{step.label} makes no numbers")
            values[name] = value


def _widen(constant: OnnxConstant) -> ValueArray:
    array = constant.decode(constant.load())
    return array.astype(np.float64) if array.dtype.kind == "f" else array


class _ObstacleError(Exception):
    """A node or value that stops a trace; the message is the reason."""


class ValueTracer:
    """Traces values of one model.

    Parameters
    ----------
    folder : ConstantFolder
        Computes the constants of the model.
    layers : mapping of (GraphScope, str) to (str, str)
        For each output of a recurrent node, the name of the node and which output it is.
    graph : GraphProto
        The model's graph, which states the types and shapes of its inputs.
    """

    def __init__(
        self, folder: ConstantFolder, layers: Mapping[tuple[GraphScope, str], tuple[str, str]], graph: Any
    ) -> None:
        self.folder = folder
        self.layers = layers
        self._types = {value.name: value.type.tensor_type for value in graph.input}
        self._nodes_left = MAX_FILE_TRACE_NODES
        shapes = [self._read_shape(name) for name in self._types if self.is_float(name)]
        self._stated_shapes = tuple(shape for shape in shapes[:_MAX_STATED_SHAPES] if shape is not None)

    def trace(self, scope: GraphScope, name: str) -> ValueTrace:
        """Return what stands before ``name`` in ``scope``."""
        walk = _TraceWalk(self)
        identity = self.folder.identify(scope, name)
        result = obstacle = ""
        try:
            result = walk.visit(scope, name)
        except _ObstacleError as error:
            obstacle = str(error)
        inputs = tuple(
            self._describe_input(place, value, place in walk.shaped) for place, value in walk.inputs.items()
        )
        return ValueTrace(
            result,
            identity,
            tuple(walk.steps),
            walk.constants,
            inputs,
            tuple(walk.layers),
            obstacle,
            self._stated_shapes,
        )

    def is_zero(self, scope: GraphScope, name: str) -> bool:
        """Return whether a value is zero, whatever its shape."""
        waiting = [(scope, name)]
        for _ in range(MAX_TRACE_NODES):
            if not waiting:
                return True
            scope, name = waiting.pop()
            place = scope.find(name)
            if place is None:
                return False
            if isinstance(place.maker, OnnxConstant):
                if np.any(place.maker.decode(place.maker.load())):
                    return False
            elif place.maker.domain in DEFAULT_DOMAINS and place.maker.op_type == "ConstantOfShape":
                try:
                    filler = _read_filler(place.scope, place.maker)
                except _ObstacleError:
                    return False
                if np.any(filler.load()):
                    return False
            elif place.maker.domain in DEFAULT_DOMAINS and place.maker.op_type in _ZERO_KEEPING_OPERATORS:
                every = place.maker.op_type == "Concat"
                waiting += [(place.scope, given) for given in place.maker.input[: None if every else 1]]
            else:
                return False
        return False

    def list_sources(self, scope: GraphScope, name: str) -> tuple[set[str], set[str]]:
        """Return the nodes and the inputs of the model from whose numbers a value is computed.

        The nodes are recurrent, or are those whose body takes a value anew in each step.
        """
        layers: set[str] = set()
        inputs: set[str] = set()
        seen: set[tuple[GraphScope, str]] = set()
        waiting = [(scope, name)]
        while waiting and len(seen) < MAX_TRACE_NODES:
            scope, name = waiting.pop()
            place = scope.locate(name)
            if place is None or (place.scope, place.name) in seen:
                continue
            seen.add((place.scope, place.name))
            if (place.scope, place.name) in self.layers:
                layers.add(self.layers[place.scope, place.name][0])
            elif place.maker is None and place.scope.label:
                layers.add(place.scope.label)
            elif place.maker is None:
                inputs.add(place.name)
            elif not isinstance(place.maker, OnnxConstant) and place.maker.op_type not in ("Shape", "Size"):
                waiting += [(place.scope, given) for given in place.maker.input if given]
        return layers, inputs

    def take_node(self) -> None:
        """Account for a node of a trace; `_ObstacleError` if there are too many in all traces."""
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise _ObstacleError(f"its graph is longer than {MAX_FILE_TRACE_NODES} nodes")

    def get_type(self, name: str) -> str:
        """Return the name of the type that the model states for an input."""
        return name_type(self._types[name].elem_type) if name in self._types else "unknown"

    def is_float(self, name: str) -> bool:
        """Return whether an input of the model holds real numbers."""
        return name in self._types and is_float_type(self._types[name].elem_type)

    def _describe_input(self, name: str, value: str, shape_only: bool) -> GraphInput:
        return GraphInput(name, value, self.is_float(name), self._read_shape(name), shape_only)

    def _read_shape(self, name: str) -> tuple[int | None, ...] | None:
        if name not in self._types or not self._types[name].HasField("shape"):
            return None
        return tuple(
            size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None
            for size in self._types[name].shape.dim
        )


class _TraceWalk:
    """One walk from a value back to its sources, depth first, without recursion."""

    def __init__(self, tracer: ValueTracer) -> None:
        self._tracer = tracer
        self._names: dict[tuple[GraphScope, str], str] = {}  # names in the trace of finished values
        self._open: set[tuple[GraphScope, str]] = set()
        self._count = 0
        self.steps: list[GraphStep] = []
        self.constants: dict[str, OnnxConstant] = {}
        self.layers: list[LayerOutput] = []
        self.inputs: dict[str, str] = {}
        self.shaped: set[str] = set()  # inputs of which the shape alone is used

    def visit(self, scope: GraphScope, name: str) -> str:
        """Return the name of a value in the trace, after all values before it."""
        end = self._resolve(scope, name)
        waiting = [(end, False)]
        while waiting:
            place, opened = waiting.pop()
            key = (place.scope, place.name)
            if key in self._names:
                continue
            if opened or not self._is_step(place):
                self._finish(place)
                continue
            if key in self._open:
                raise _ObstacleError(f"{describe_node(place.maker)} depends on its own output")
            self._open.add(key)
            self._check_node(place)
            waiting.append((place, True))
            waiting += [(self._resolve(place.scope, given), False) for given in place.maker.input if given]
        self._use_input(end, "the layer")
        return self._names[end.scope, end.name]

    def _resolve(self, scope: GraphScope, name: str) -> ValuePlace:
        """Return the place of a value; nodes that hand on their input are passed over."""
        for _ in range(MAX_TRACE_NODES):
            place = scope.locate(name)
            if place is None:
                raise _ObstacleError(f"{quote(name)} is unknown in its graph")
            if not self._is_step(place) or not _hands_on(place, self._tracer.folder):
                return place
            scope, name = place.scope, place.maker.input[0]
        raise _ObstacleError(f"{quote(name)} depends on itself")

    def _is_step(self, place: ValuePlace) -> bool:
        """Return whether a value is neither a constant, nor an input, nor the output of a layer."""
        return not (
            place.maker is None
            or isinstance(place.maker, OnnxConstant)
            or (place.scope, place.name) in self._tracer.layers
        )

    def _check_node(self, place: ValuePlace) -> None:
        self._tracer.take_node()
        if len(self.steps) >= MAX_TRACE_NODES:
            raise _ObstacleError(f"more than {MAX_TRACE_NODES} nodes stand before it")
        node = place.maker
        if node.domain not in DEFAULT_DOMAINS or not is_computable(node.op_type):
            raise _ObstacleError(f"{describe_node(node)} stands before it, which is not computed")
        if place.scope.opset < _MIN_OPSET:
            raise _ObstacleError(f"its graph has the old opset {place.scope.opset}")

    def _finish(self, place: ValuePlace) -> None:
        if not self._is_step(place):
            self._names[place.scope, place.name] = self._add_source(place)
        else:
            self._add_step(place)

    def _add_source(self, place: ValuePlace) -> str:
        key, value = (place.scope, place.name), self._name_value()
        if key in self._tracer.layers:
            self.layers.append(LayerOutput(*self._tracer.layers[key], value))
        elif isinstance(place.maker, OnnxConstant):
            self.constants[value] = place.maker
        else:
            if place.scope.label:
                raise _ObstacleError(
                    f"it stands inside {quote(place.scope.label)}, which hands it {quote(place.name)}"
                )
            self.inputs[place.name] = value
            self.shaped.add(place.name)
        return value

    def _name_value(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def _add_step(self, place: ValuePlace) -> None:
        """Append a node, with its outputs and inputs under their names in the trace."""
        node, scope = place.maker, place.scope
        label = describe_node(node)
        given = [self._resolve(scope, name) if name else None for name in node.input]
        for source in given:
            if source is not None and node.op_type not in ("Shape", "Size"):
                self._use_input(source, label)
        plain = type(node)(op_type=node.op_type)
        plain.input.extend(self._names[source.scope, source.name] if source else "" for source in given)
        _copy_attributes(scope, node, plain, label)
        attributes, opset = read_attributes(plain.attribute), scope.opset
        if node.op_type in ("Softmax", "LogSoftmax") and opset < _SOFTMAX_OPSET:
            # They joined the axes from this one on: the same as now if it is the last.
            attributes["joined_from"] = attributes.get("axis", 1)
            plain.ClearField("attribute")
            opset = _SOFTMAX_OPSET
        if node.op_type == "ConstantOfShape":  # its value is a tensor, which the evaluator would load
            filler = self._name_value()
            self.constants[filler] = _read_filler(scope, node)
            plain.op_type, opset = "Expand", max(opset, 13)
            plain.input.insert(0, filler)
        for output in node.output:
            if output:
                self._names[scope, output] = self._name_value()
            plain.output.append(self._names[scope, output] if output else "")
        if node.op_type == "BatchNormalization" and len(list(filter(None, node.output))) > 1:
            raise _ObstacleError(f"{label} stands before it in its form for training")
        self.steps.append(
            GraphStep(
                label,
                plain.op_type,
                tuple(plain.input),
                tuple(plain.output),
                attributes,
                opset,
                plain.SerializeToString(),
            )
        )

    def _use_input(self, place: ValuePlace, user: str) -> None:
        """Note that more than the shape of a value is used, if it is an input of the model."""
        if place.maker is not None or (place.scope, place.name) in self._tracer.layers:
            return
        self.shaped.discard(place.name)
        if not self._tracer.is_float(place.name):
            kind = self._tracer.get_type(place.name)
            raise _ObstacleError(f"{user} reads the model's input {quote(place.name)} of type {kind}")


def _hands_on(place: ValuePlace, folder: ConstantFolder) -> bool:
    """Return whether a value is the input of its node: that of Identity, and of Dropout outside training."""
    node = place.maker
    if node.domain not in DEFAULT_DOMAINS or not node.input or not node.input[0]:
        return False
    if node.op_type == "Identity":
        return True
    if node.op_type != "Dropout" or place.output:
        return False
    if len(node.input) > 2 and node.input[2]:
        training = folder.fold(place.scope, node.input[2])
        return training is not None and not np.any(training.load())
    return True


def _copy_attributes(scope: GraphScope, node: Any, plain: Any, label: str) -> None:
    """Copy the attributes of a node that are numbers or text; real numbers become float64."""
    for attribute in scope.resolve_attributes(node):
        if node.op_type == "ConstantOfShape":
            continue
        if node.op_type == "BatchNormalization" and attribute.name in _TRAINING_ATTRIBUTES:
            if attribute.name == "momentum" or attribute.i == _TRAINING_ATTRIBUTES[attribute.name]:
                continue
            raise _ObstacleError(f"{label} stands before it in its form for training")
        if attribute.type not in ATTRIBUTE_FIELDS:
            raise _ObstacleError(f"{label} stands before it, whose {quote(attribute.name)} is not read")
        plain.attribute.append(attribute)
        if (node.op_type, attribute.name) == ("Cast", "to"):
            if attribute.i not in _CAST_TARGETS:
                raise _ObstacleError(f"{label} stands before it, which makes no numbers")
            if is_float_type(attribute.i):
                plain.attribute[-1].i = _DOUBLE_TYPE


def _read_filler(scope: GraphScope, node: Any) -> OnnxConstant:
    for attribute in scope.resolve_attributes(node):
        for constant in list_attribute_constants(attribute, node.output[0], scope.folder):
            if constant.shape == (1,):
                return wrap_constant(constant.decode(constant.load()).reshape(()))
        raise _ObstacleError(f"{describe_node(node)} stands before it, whose value is not read")
    return wrap_constant(np.zeros(()))
