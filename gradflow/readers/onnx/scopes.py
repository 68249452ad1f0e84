"""The scopes of an ONNX model: its graph, the graphs inside nodes, and the body of each call of a function.

A graph can use the names of any graph around it. A function can use only its inputs and its own names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradflow.errors import DataError
from gradflow.readers.onnx.constants import OnnxConstant, list_constants

MAX_GRAPH_DEPTH = 50
MAX_GRAPH_NODES = 1_000_000
DEFAULT_DOMAINS = ("", "ai.onnx")
# AttributeProto.AttributeType → the field that holds the value, for numbers and text.
ATTRIBUTE_FIELDS = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}


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
    """

    label: str
    opset: int
    nodes: Any
    outer: "GraphScope | None" = None
    given: Mapping[str, "tuple[GraphScope, str] | None"] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    constants: dict[str, OnnxConstant] = field(default_factory=dict)
    makers: dict[str, Any] = field(default_factory=dict)

    def fill(self, initializers: Any) -> None:
        """Fill ``constants`` and ``makers``."""
        self.makers.update((output, node) for node in self.nodes for output in node.output)
        self.constants.update(list_constants(initializers, self.nodes))

    def find(self, name: str) -> "tuple[GraphScope, Any] | None":
        """Return the constant or node behind ``name`` and the scope that holds it; None if it is an input."""
        scope: GraphScope | None = self
        while scope is not None:
            if name in scope.constants:
                return scope, scope.constants[name]
            if name in scope.makers:
                return scope, scope.makers[name]
            if name in scope.given:
                passed = scope.given[name]
                if passed is None:
                    return None
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


def list_scopes(model: Any) -> Iterator[GraphScope]:
    """Yield the scopes of a model, outer scopes before inner ones.

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
            body.fill(graph.initializer)
            yield body
    function = functions.get((node.domain, node.op_type))
    if function is not None:
        passed = {name: (scope, actual) for name, actual in zip(function.input, node.input, strict=False)}
        defaults = {attribute.name: attribute for attribute in function.attribute_proto}
        arguments = defaults | {attribute.name: attribute for attribute in scope.resolve_attributes(node)}
        opset = _find_opset(function.opset_import, scope.opset)
        body = GraphScope(name_node(node), opset, function.node, None, passed, arguments)
        body.fill(())
        yield body


def _list_names(values: Any) -> list[str]:
    return [value.name for value in values]


def _find_opset(imports: Any, otherwise: int = 1) -> int:
    """Return the version of ONNX's own operators."""
    return next((imported.version for imported in imports if imported.domain in DEFAULT_DOMAINS), otherwise)
