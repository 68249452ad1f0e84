"""Constants that an ONNX graph computes: operators that only move numbers, applied to known constants."""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError, GradflowError
from gradflow.extras import import_extra
from gradflow.readers.entry_types import ENTRY_TYPES
from gradflow.readers.messages import prefix_errors, quote
from gradflow.readers.onnx.constants import STRING_TYPE, OnnxConstant
from gradflow.readers.onnx.scopes import (
    ATTRIBUTE_FIELDS,
    DEFAULT_DOMAINS,
    MAX_GRAPH_DEPTH,
    GraphScope,
    name_node,
)
from gradflow.readers.source import check_byte_limit

# None of them makes more numbers than it is given, except Gather, which may take the same ones repeatedly.
_MOVING_OPERATORS = {
    *("Slice", "Concat", "Unsqueeze", "Squeeze", "Transpose", "Reshape", "Flatten", "Cast", "Identity"),
    *("Gather", "DequantizeLinear"),
}
# The evaluator lacks earlier versions of these operators, which compute the same.
_FIRST_OPSETS = {"DequantizeLinear": 19}
_WIDEST_ENTRY_BYTES = 16


class ConstantFolder:
    """Computes the constants of one model, each of them once."""

    def __init__(self) -> None:
        self._known: dict[tuple[GraphScope, str], NDArray[Any] | None] = {}
        self._taken = 0

    def fold(self, scope: GraphScope, name: str) -> OnnxConstant | None:
        """Return the constant behind ``name`` in ``scope``, or None if it depends on an input.

        Raises
        ------
        DataError
            If it cannot be computed, or if that takes more memory than the limit.
        """
        place = scope.find(name)
        if place is not None and isinstance(place[1], OnnxConstant):
            return place[1]
        value = self._evaluate_name(scope, name, 0)
        return None if value is None else OnnxConstant(value.shape, str(value.dtype), lambda: value)

    def _evaluate_name(self, scope: GraphScope, name: str, level: int) -> NDArray[Any] | None:
        place = scope.find(name)
        if place is None or level > MAX_GRAPH_DEPTH:
            return None
        home, maker = place
        if isinstance(maker, OnnxConstant):
            # A constant of a type that numpy lacks is listed, but cannot be computed with.
            with prefix_errors(quote(name)):
                return maker.decode(maker.load()) if maker.dtype in ENTRY_TYPES else None
        if (home, name) not in self._known:
            # A node that depends on itself finds None here.
            self._known[home, name] = None
            self._known[home, name] = self._compute_node(home, maker, name, level)
        return self._known[home, name]

    def _compute_node(self, scope: GraphScope, node: Any, name: str, level: int) -> NDArray[Any] | None:
        # The evaluator would load an attribute that is a tensor even from another file. No moving operator
        # has such an attribute.
        attributes = {
            attribute.name: attribute
            for attribute in scope.resolve_attributes(node)
            if attribute.type in ATTRIBUTE_FIELDS
        }
        to_text = "to" in attributes and attributes["to"].i == STRING_TYPE
        if node.op_type not in _MOVING_OPERATORS or node.domain not in DEFAULT_DOMAINS or to_text:
            return None
        feeds = {}
        for input_name in filter(None, node.input):
            value = self._evaluate_name(scope, input_name, level + 1)
            if value is None:
                return None
            feeds[input_name] = value
        self._taken += _WIDEST_ENTRY_BYTES * _bound_entries(node, attributes, feeds)
        check_byte_limit(self._taken, "the computation of constants in its graph")
        try:
            return _evaluate_node(scope, node, list(attributes.values()), name, feeds)
        except (GradflowError, MemoryError):
            raise
        except Exception as error:
            # The reference evaluator checks little, so any error of numpy may come out of it.
            raise DataError(
                f"{quote(name_node(node))} cannot be computed ({quote(str(error), 100)}); save the model "
                "with its weights as plain constants"
            ) from error


def _bound_entries(node: Any, attributes: dict[str, Any], feeds: dict[str, NDArray[Any]]) -> int:
    """Return an upper bound on the number of entries that a node makes."""
    if node.op_type != "Gather":
        return sum(feeds[input_name].size for input_name in filter(None, node.input))
    data, indices = (feeds[input_name] for input_name in node.input)
    axis = attributes["axis"].i if "axis" in attributes else 0
    others = data.shape[:axis] + data.shape[axis:][1:]
    return indices.size * math.prod(others)


def _evaluate_node(
    scope: GraphScope, node: Any, attributes: list[Any], name: str, feeds: dict[str, NDArray[Any]]
) -> NDArray[Any] | None:
    """Return one output of a node, computed by ONNX's reference evaluator; None unless it is numeric."""
    onnx = import_extra("onnx", "reading ONNX files", "onnx")
    reference = import_extra("onnx.reference", "reading ONNX files", "onnx")
    plain = onnx.NodeProto(op_type=node.op_type, input=node.input, output=node.output, attribute=attributes)
    opset = onnx.helper.make_opsetid("", max(scope.opset, _FIRST_OPSETS.get(node.op_type, 1)))
    function = onnx.helper.make_function("gradflow", "node", list(feeds), [name], [plain], [opset])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        (value,) = reference.ReferenceEvaluator(function).run([name], feeds, {})
    if not isinstance(value, np.ndarray):
        return None
    # numpy lacks bfloat16 and narrower floats.
    value = value.astype(np.float32) if value.dtype.kind == "V" else value
    return value if value.dtype.kind in "biufc" else None
