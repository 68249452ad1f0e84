"""The scopes of an ONNX model: its graph, the graphs inside nodes, and its functions where they are called.

A name in a graph may come from any graph around it; in a function it comes from its inputs alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradflow.errors import DataError
from gradflow.readers.onnx_constants import Constant, constants

MOST_LEVELS = 50
MOST_NODES = 1_000_000
DEFAULT_DOMAINS = ("", "ai.onnx")
# AttributeProto.AttributeType → the field in which the value stands, of numbers and text
FIELDS = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}


@dataclass(eq=False)
class Scope:
    """Where names have one meaning.

    Attributes
    ----------
    label : str
        The node that it is the body of; empty for the model's graph.
    opset : int
        The version of ONNX's own operators.
    nodes : sequence of NodeProto
    outer : Scope or None
        The graph around it.
    given : mapping of str to (Scope, str) or None
        Its inputs, and what is passed for each, if that is known.
    arguments : mapping of str to AttributeProto
        The attributes that a function was called with.
    """

    label: str
    opset: int
    nodes: Any
    outer: "Scope | None" = None
    given: Mapping[str, "tuple[Scope, str] | None"] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)
    makers: dict[str, Any] = field(default_factory=dict)

    def fill(self, initializers: Any) -> None:
        """Note which names are constants, and which node makes each of the others."""
        self.makers.update((output, node) for node in self.nodes for output in node.output)
        self.constants.update(constants(initializers, self.nodes))

    def find(self, name: str) -> "tuple[Scope, Any] | None":
        """Return the constant or the node behind ``name`` and where it stands; None if it is an input."""
        scope: Scope | None = self
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

    def attributes(self, node: Any) -> list[Any]:
        """Return the attributes of a node, those that a function hands on put in their place."""
        found = []
        for attribute in node.attribute:
            if attribute.ref_attr_name in self.arguments:
                argument = type(attribute)()
                argument.CopyFrom(self.arguments[attribute.ref_attr_name])
                argument.name = attribute.name
                found.append(argument)
            elif not attribute.ref_attr_name:
                found.append(attribute)
        return found


def label(node: Any) -> str:
    """Return what a node is called: its name, or its first output's."""
    return str(node.name or next(filter(None, node.output), node.op_type))


def scopes(model: Any) -> Iterator[Scope]:
    """Yield the scopes of a model, the outer before the inner.

    Raises
    ------
    DataError
        If functions call one another too deep or too often.
    """
    functions = {(function.domain, function.name): function for function in model.functions}
    top = Scope(
        "", _opset(model.opset_import), model.graph.node, given=dict.fromkeys(_names(model.graph.input))
    )
    top.fill(model.graph.initializer)
    waiting = [(top, 0)]
    nodes = 0
    while waiting:
        scope, level = waiting.pop()
        nodes += 1 + len(scope.nodes)
        if level > MOST_LEVELS or nodes > MOST_NODES:
            raise DataError(
                f"has graphs or functions more than {MOST_LEVELS} deep, or {MOST_NODES} nodes with all "
                "functions written out; expected a smaller model"
            )
        yield scope
        inner = [below for node in scope.nodes for below in _bodies(scope, node, functions)]
        waiting.extend((below, level + 1) for below in reversed(inner))


def _bodies(scope: Scope, node: Any, functions: Mapping[tuple[str, str], Any]) -> Iterator[Scope]:
    """Yield the graphs inside a node, and the function that it calls."""
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.HasField("g") else []
        for graph in (*graphs, *attribute.graphs):
            given = dict.fromkeys(_names(graph.input))
            body = Scope(label(node), scope.opset, graph.node, scope, given, scope.arguments)
            body.fill(graph.initializer)
            yield body
    function = functions.get((node.domain, node.op_type))
    if function is not None:
        passed = {name: (scope, actual) for name, actual in zip(function.input, node.input, strict=False)}
        defaults = {attribute.name: attribute for attribute in function.attribute_proto}
        arguments = defaults | {attribute.name: attribute for attribute in scope.attributes(node)}
        opset = _opset(function.opset_import, scope.opset)
        body = Scope(label(node), opset, function.node, None, passed, arguments)
        body.fill(())
        yield body


def _names(values: Any) -> list[str]:
    return [value.name for value in values]


def _opset(imports: Any, otherwise: int = 1) -> int:
    """Return the version of ONNX's own operators."""
    return next((found.version for found in imports if found.domain in DEFAULT_DOMAINS), otherwise)
