"""Constants that an ONNX graph computes: operators that only move numbers, applied to known constants."""

from functools import partial
from typing import Any

import numpy as np

from gradflow.errors import DataError
from gradflow.readers.entry_types import ENTRY_TYPES
from gradflow.readers.messages import prefix_errors, quote
from gradflow.readers.onnx.constants import STRING_TYPE, OnnxConstant
from gradflow.readers.onnx.evaluation import (
    MOVING_OPERATORS,
    EvaluationError,
    ValueArray,
    bound_node,
    evaluate_node,
)
from gradflow.readers.onnx.scopes import (
    ATTRIBUTE_FIELDS,
    DEFAULT_DOMAINS,
    MAX_GRAPH_DEPTH,
    GraphScope,
    describe_node,
    read_attributes,
)
from gradflow.readers.source import check_byte_limit

_WIDEST_ENTRY_BYTES = 16


class ConstantFolder:
    """Computes the constants of one model, each of them once."""

    def __init__(self) -> None:
        self._known: dict[tuple[GraphScope, str], ValueArray | None] = {}
        self._identities: dict[Any, int] = {}
        self._identified: dict[tuple[GraphScope, str], int] = {}
        self._taken = 0

    def fold(self, scope: GraphScope, name: str) -> OnnxConstant | None:
        """Return the constant behind ``name`` in ``scope``, or None if it depends on an input.

        Raises
        ------
        DataError
            If it cannot be computed, or if that takes more memory than the limit.
        """
        place = scope.find(name)
        if place is not None and isinstance(place.maker, OnnxConstant):
            return place.maker
        value = self._evaluate_name(scope, name, 0)
        return None if value is None else wrap_constant(value)

    def identify(self, scope: GraphScope, name: str, level: int = 0) -> int:
        """Return a number that two values share if the same operators make them from the same constants."""
        place = scope.locate(name)
        if place is None or level > MAX_GRAPH_DEPTH:
            return self._number((scope, name))
        here = (place.scope, place.name)
        if here not in self._identified:
            self._identified[here] = self._number(here)  # A node that depends on itself finds this.
            node = place.maker
            moves = node is not None and not isinstance(node, OnnxConstant) and node.domain in DEFAULT_DOMAINS
            if moves and node.op_type in MOVING_OPERATORS:
                inputs = tuple(
                    self.identify(place.scope, given, level + 1) if given else None for given in node.input
                )
                attributes = tuple(
                    sorted(
                        attribute.SerializeToString(deterministic=True)
                        for attribute in place.scope.resolve_attributes(node)
                    )
                )
                number = self._number((node.op_type, attributes, inputs, place.output))
                copied = inputs[0] if node.op_type == "Identity" and inputs else None
                self._identified[here] = number if copied is None else copied
        return self._identified[here]

    def _number(self, key: Any) -> int:
        return self._identities.setdefault(key, len(self._identities))

    def _evaluate_name(self, scope: GraphScope, name: str, level: int) -> ValueArray | None:
        place = scope.find(name)
        if place is None or level > MAX_GRAPH_DEPTH:
            return None
        if isinstance(place.maker, OnnxConstant):
            # A constant of a type that numpy lacks is listed, but cannot be computed with.
            constant = place.maker
            with prefix_errors(quote(name)):
                return constant.decode(constant.load()) if constant.dtype in ENTRY_TYPES else None
        here = (place.scope, place.name)
        if here not in self._known:
            # A node that depends on itself finds None here.
            self._known[here] = None
            self._known[here] = self._compute_node(place.scope, place.maker, place.output, level)
        return self._known[here]

    def _compute_node(self, scope: GraphScope, node: Any, output: int, level: int) -> ValueArray | None:
        # The evaluator would load an attribute that is a tensor even from another file. No moving operator
        # has such an attribute.
        attributes = [
            attribute for attribute in scope.resolve_attributes(node) if attribute.type in ATTRIBUTE_FIELDS
        ]
        to_text = any(attribute.name == "to" and attribute.i == STRING_TYPE for attribute in attributes)
        if node.op_type not in MOVING_OPERATORS or node.domain not in DEFAULT_DOMAINS or to_text:
            return None
        values = {}
        for input_name in filter(None, node.input):
            value = self._evaluate_name(scope, input_name, level + 1)
            if value is None:
                return None
            values[input_name] = value
        try:
            inputs = [values.get(given) for given in node.input]
            entries, _ = bound_node(node.op_type, read_attributes(attributes), inputs)
            self._taken += _WIDEST_ENTRY_BYTES * entries
            check_byte_limit(self._taken, "the computation of constants in its graph")
            plain = type(node)(
                op_type=node.op_type, input=node.input, output=node.output, attribute=attributes
            )
            return evaluate_node(plain.SerializeToString(), scope.opset, values)[output]
        except EvaluationError as error:
            raise DataError(
                f"{describe_node(node)} cannot be computed ({quote(str(error), 100)}); save the model "
                "with its weights as plain constants"
            ) from error


def wrap_constant(value: ValueArray) -> OnnxConstant:
    """Return a constant that is already in memory."""
    return OnnxConstant(value.shape, str(value.dtype), partial(np.asarray, value))
