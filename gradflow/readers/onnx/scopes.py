"""The scopes of an ONNX model: its graph, the graphs inside nodes, and the body of each call of a function.

A graph can use the names of any graph around it. A function can use only its inputs and its own names.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gradflow.errors import DataError
from gradflow.readers.messages import quote
from gradflow.readers.onnx.constants import OnnxConstant, list_constants

MAX_GRAPH_DEPTH = 50
MAX_GRAPH_NODES = 1_000_000
MAX_PASSED_VALUES = 1000
_SCAN_OPSET = 9  # before, Scan had an axis of sequences
DEFAULT_DOMAINS = ("", "ai.onnx")
# AttributeProto.AttributeType → the field that holds the value, for numbers and text.
ATTRIBUTE_FIELDS = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
_LIST_FIELDS = ("floats", "ints", "strings")


class ValuePlace(NamedTuple):
    """Where a value is made.

    Attributes
    ----------
    scope : GraphScope
        The scope that holds it.
    name : str
        Its name there.
    maker : OnnxConstant, NodeProto or None
        The constant itself, or the node that computes it; None for an input.
    output : int
        The position among the outputs of the node.
    """

    scope: "GraphScope"
    name: str
    maker: Any
    output: int = 0


@dataclass(eq=False)
class GraphScope:
    """A graph or the body of a function call, in which each name has one meaning.

    Attributes
    ----------
    label : str
        The node whose body this is; empty for the model's graph.
    opset : int
        The version of ONNX's own operators.
    nodes : sequence of NodeProto
        The nodes of the graph or function.
    outer : GraphScope or None
        The graph around this one.
    given : mapping of str to (GraphScope, str) or None
        The inputs. Each maps to the scope and name of the value that is passed, or to None if it is unknown.
    arguments : mapping of str to AttributeProto
        The attributes of the function call.
    constants : dict of str to OnnxConstant
        The constants by name.
    makers : dict of str to NodeProto
        For every other name, the node that computes it.
    returned : dict of str to (GraphScope, str)
        For every output of a function call, the body of the function and the name there.
    states : dict of str to str
        For the body of a ``Loop`` or ``Scan``, each state that it is given, and the state that it returns.
    sequences : dict of str to str
        For the body of a ``Scan``, each value that it is given step by step, and the sequence around it.
    folder : Path or None
        The folder of the model's file.
    branches : tuple of (object, str)
        The branches of ``If`` nodes around this scope, outer ones first: something that only the node
        has, and the name of the branch.
    """

    label: str
    opset: int
    nodes: Any
    outer: "GraphScope | None" = None
    given: Mapping[str, "tuple[GraphScope, str] | None"] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    constants: dict[str, OnnxConstant] = field(default_factory=dict)
    makers: dict[str, Any] = field(default_factory=dict)
    returned: dict[str, "tuple[GraphScope, str]"] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    sequences: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    branches: tuple[tuple[Any, str], ...] = ()

    def fill(self, initializers: Any) -> None:
        """Fill ``constants`` and ``makers``."""
        self.makers.update((output, node) for node in self.nodes for output in node.output)
        self.constants.update(list_constants(initializers, self.nodes, self.folder))

    def find(self, name: str) -> ValuePlace | None:
        """Return where ``name`` is made; None if it is an input or unknown."""
        place = self.locate(name)
        return None if place is None or place.maker is None else place

    def locate(self, name: str) -> ValuePlace | None:
        """Return where ``name`` is made, with the maker None if it is an input; None if it is unknown."""
        scope: GraphScope | None = self
        for _ in range(MAX_PASSED_VALUES):  # A function may return what it is given, in circles.
            if scope is None:
                return None
            if name in scope.constants:
                return ValuePlace(scope, name, scope.constants[name])
            if name in scope.returned:
                scope, name = scope.returned[name]
            elif name in scope.makers:
                node = scope.makers[name]
                return ValuePlace(scope, name, node, list(node.output).index(name))
            elif name in scope.given:
                passed = scope.given[name]
                if passed is None:
                    return ValuePlace(scope, name, None)
                scope, name = passed
            else:
                scope = scope.outer
        return None

    def resolve_attributes(self, node: Any) -> list[Any]:
        """Return the attributes of a node; references to attributes of the function call are resolved."""
        attributes = []
        for attribute in node.attribute:
            if attribute.ref_attr_name in self.arguments:
                argument = type(attribute)()
                argument.CopyFrom(self.arguments[attribute.ref_attr_name])
                argument.name = attribute.name
                attributes.append(argument)
            elif not attribute.ref_attr_name:
                attributes.append(attribute)
        return attributes


def name_node(node: Any) -> str:
    """Return the name of a node, or the name of its first output if it has none."""
    return str(node.name or next(filter(None, node.output), node.op_type))


def describe_node(node: Any) -> str:
    """Return the operator and the name of a node, for messages."""
    domain = "" if node.domain in DEFAULT_DOMAINS else f"{node.domain}."
    return f"{quote(domain + node.op_type)[1:-1]} {quote(name_node(node))}"


def read_attributes(attributes: Iterable[Any]) -> dict[str, Any]:
    """Return the values of those attributes that are numbers, text, or lists of these, by name."""
    values: dict[str, Any] = {}
    for attribute in attributes:
        if attribute.type in ATTRIBUTE_FIELDS:
            field = ATTRIBUTE_FIELDS[attribute.type]
            value = getattr(attribute, field)
            values[attribute.name] = (
                [_decode_value(part) for part in value] if field in _LIST_FIELDS else _decode_value(value)
            )
    return values


def _decode_value(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def list_scopes(model: Any, folder: Path | None = None) -> Iterator[GraphScope]:
    """Yield the scopes of a model, outer scopes before inner ones.

    ``folder`` is that of the model's file; None if the model does not come from a file.

    Raises
    ------
    DataError
        If graphs and functions are nested too deep, or expand to too many nodes.
    """
    functions = {(function.domain, function.name): function for function in model.functions}
    top = GraphScope(
        "",
        _find_opset(model.opset_import),
        model.graph.node,
        given=dict.fromkeys(_list_names(model.graph.input)),
        folder=folder,
    )
    top.fill(model.graph.initializer)
    waiting = [(top, 0)]
    nodes = 0
    while waiting:
        scope, level = waiting.pop()
        nodes += 1 + len(scope.nodes)
        if level > MAX_GRAPH_DEPTH or nodes > MAX_GRAPH_NODES:
            raise DataError(
                f"has graphs or functions nested more than {MAX_GRAPH_DEPTH} deep, or more than "
                f"{MAX_GRAPH_NODES} nodes after all functions are expanded; expected a smaller model"
            )
        yield scope
        inner = [below for node in scope.nodes for below in _list_bodies(scope, node, functions)]
        waiting.extend((below, level + 1) for below in reversed(inner))


def _list_bodies(
    scope: GraphScope, node: Any, functions: Mapping[tuple[str, str], Any]
) -> Iterator[GraphScope]:
    """Yield the graphs inside a node, and the body of the function that it calls."""
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.HasField("g") else []
        for graph in (*graphs, *attribute.graphs):
            inputs = dict.fromkeys(_list_names(graph.input))
            body = GraphScope(name_node(node), scope.opset, graph.node, scope, inputs, scope.arguments)
            body.folder, body.branches = scope.folder, scope.branches
            if node.op_type == "If":
                body.branches += (((scope, name_node(node)), attribute.name),)
            if node.domain in DEFAULT_DOMAINS:
                _pair_states(body, node, graph)
            body.fill(graph.initializer)
            yield body
    function = functions.get((node.domain, node.op_type))
    if function is not None:
        passed = {name: (scope, actual) for name, actual in zip(function.input, node.input, strict=False)}
        defaults = {attribute.name: attribute for attribute in function.attribute_proto}
        arguments = defaults | {attribute.name: attribute for attribute in scope.resolve_attributes(node)}
        opset = _find_opset(function.opset_import, scope.opset)
        body = GraphScope(name_node(node), opset, function.node, None, passed, arguments)
        body.folder, body.branches = scope.folder, scope.branches
        body.fill(())
        scope.returned.update(
            (actual, (body, inner))
            for actual, inner in zip(node.output, function.output, strict=False)
            if actual
        )
        yield body


def _pair_states(body: GraphScope, node: Any, graph: Any) -> None:
    """Fill ``states`` of the body of a ``Loop`` or ``Scan``, and ``sequences`` if their steps come first."""
    given, returned = _list_names(graph.input), _list_names(graph.output)
    if node.op_type == "Loop":  # given: iteration, condition, states; returned: condition, states, sequences
        body.states = dict(zip(given[2:], returned[1:], strict=False))
    elif node.op_type == "Scan":
        attributes = read_attributes(node.attribute)
        count = int(attributes.get("num_scan_inputs", 0))
        body.states = dict(zip(given[: len(given) - count], returned, strict=False))
        plain = not any(attributes.get("scan_input_axes", ())) and not any(
            attributes.get("scan_input_directions", ())
        )
        if plain and body.opset >= _SCAN_OPSET and 0 < count <= len(given):
            body.sequences = dict(zip(given[-count:], node.input[-count:], strict=False))


def _list_names(values: Any) -> list[str]:
    return [value.name for value in values]


def _find_opset(imports: Any, otherwise: int = 1) -> int:
    """Return the version of ONNX's own operators."""
    return next((imported.version for imported in imports if imported.domain in DEFAULT_DOMAINS), otherwise)
