"""Constants that an ONNX graph computes: what moves numbers about, worked out where all of them are known."""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError, GradflowError
from gradflow.extras import required
from gradflow.readers.kinds import KINDS
from gradflow.readers.messages import reading, shown
from gradflow.readers.onnx_constants import Constant
from gradflow.readers.onnx_graph import DEFAULT_DOMAINS, FIELDS, MOST_LEVELS, Scope, label
from gradflow.readers.source import claim

# none of which makes more numbers than it is given, but Gather, which takes some again and again
_MOVERS = {
    *("Slice", "Concat", "Unsqueeze", "Squeeze", "Transpose", "Reshape", "Flatten", "Cast", "Identity"),
    *("Gather", "DequantizeLinear"),
}
# the evaluator knows it in no earlier version, and takes of an earlier one what is meant there
_FIRST = {"DequantizeLinear": 19}
_STRING = 8
_WIDEST = 16


class Folding:
    """The computed constants of one model, each worked out once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Scope, str], NDArray[Any] | None] = {}
        self._taken = 0

    def constant(self, scope: Scope, name: str) -> Constant | None:
        """Return the constant that ``name`` is or comes to in ``scope``, or None if it depends on an input.

        Raises
        ------
        DataError
            If it cannot be computed, or that takes more memory than may be taken.
        """
        found = scope.find(name)
        if found is not None and isinstance(found[1], Constant):
            return found[1]
        value = self._value(scope, name, 0)
        return None if value is None else Constant(value.shape, str(value.dtype), lambda: value)

    def _value(self, scope: Scope, name: str, level: int) -> NDArray[Any] | None:
        found = scope.find(name)
        if found is None or level > MOST_LEVELS:
            return None
        home, maker = found
        if isinstance(maker, Constant):
            # one of a type that numpy lacks is listed, and nothing more
            with reading(shown(name)):
                return maker.decode(maker.load()) if maker.dtype in KINDS else None
        if (home, name) not in self._known:
            # a node that feeds on itself finds nothing
            self._known[home, name] = None
            self._known[home, name] = self._computed(home, maker, name, level)
        return self._known[home, name]

    def _computed(self, scope: Scope, node: Any, name: str, level: int) -> NDArray[Any] | None:
        # no mover has a tensor for an attribute, and the evaluator would fetch it even from another file
        attributes = {
            attribute.name: attribute for attribute in scope.attributes(node) if attribute.type in FIELDS
        }
        to_text = "to" in attributes and attributes["to"].i == _STRING
        if node.op_type not in _MOVERS or node.domain not in DEFAULT_DOMAINS or to_text:
            return None
        feeds = {}
        for given in filter(None, node.input):
            value = self._value(scope, given, level + 1)
            if value is None:
                return None
            feeds[given] = value
        self._taken += _WIDEST * _most_entries(node, attributes, feeds)
        claim(self._taken, "what its graph computes from constants")
        try:
            return _evaluated(scope, node, list(attributes.values()), name, feeds)
        except (GradflowError, MemoryError):
            raise
        except Exception as error:
            # the reference evaluator checks little, and raises whatever numpy does
            raise DataError(
                f"{shown(label(node))} cannot be worked out ({shown(str(error), 100)}); save the model with "
                "its weights as plain constants"
            ) from error


def _most_entries(node: Any, attributes: dict[str, Any], feeds: dict[str, NDArray[Any]]) -> int:
    """Return how many entries a node makes at most."""
    if node.op_type != "Gather":
        return sum(feeds[given].size for given in filter(None, node.input))
    data, indices = (feeds[given] for given in node.input)
    axis = attributes["axis"].i if "axis" in attributes else 0
    others = data.shape[:axis] + data.shape[axis:][1:]
    return indices.size * math.prod(others)


def _evaluated(
    scope: Scope, node: Any, attributes: list[Any], name: str, feeds: dict[str, NDArray[Any]]
) -> NDArray[Any] | None:
    """Return one output of a node, by ONNX's own reference evaluator; None if it is no array of numbers."""
    onnx = required("onnx", "reading ONNX files", "onnx")
    reference = required("onnx.reference", "reading ONNX files", "onnx")
    plain = onnx.NodeProto(op_type=node.op_type, input=node.input, output=node.output, attribute=attributes)
    opset = onnx.helper.make_opsetid("", max(scope.opset, _FIRST.get(node.op_type, 1)))
    function = onnx.helper.make_function("gradflow", "node", list(feeds), [name], [plain], [opset])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        (value,) = reference.ReferenceEvaluator(function).run([name], feeds, {})
    if not isinstance(value, np.ndarray):
        return None
    # bfloat16 and narrower floats, which numpy lacks
    value = value.astype(np.float32) if value.dtype.kind == "V" else value
    return value if value.dtype.kind in "biufc" else None
