"""ONNX: the constants of all graphs by name, and the weights of each RNN, LSTM and GRU by its node's.

Exporters put recurrent nodes into branches of ``If`` and compute their weights from pieces, so a node's
weights are looked for in all graphs around it, and worked out where they are no constants yet.
"""

import itertools
from collections.abc import Container
from typing import Any

from gradflow.errors import GradflowError
from gradflow.extras import required
from gradflow.readers.messages import damaged, shown
from gradflow.readers.onnx_constants import Constant
from gradflow.readers.onnx_fold import Folding
from gradflow.readers.onnx_graph import DEFAULT_DOMAINS, FIELDS, Scope, label, scopes
from gradflow.readers.source import Source
from gradflow.readers.stored import StoredArray

SUFFIX = ".onnx"
# which input of a node is what
_WEIGHTS = {"W": 1, "R": 2, "B": 3, "P": 7}
_LISTS = ("floats", "ints", "strings")
_OPERATORS = ("RNN", "LSTM", "GRU")


def recognizes(source: Source) -> bool:
    """Return whether ``source`` is a file of that suffix: the content of an ONNX file gives nothing away."""
    return source.path is not None and source.path.suffix.lower() == SUFFIX


def read(source: Source) -> dict[str, StoredArray]:
    """Return all constants by name, and ``NODE/W``, ``/R``, ``/B`` and ``/P`` of each recurrent node.

    Those of a node bear, as ``about``, ``op`` (``"LSTM"``) and ``attributes``. A node whose weights depend on
    an input of the model has none.

    Raises
    ------
    DataError
        If the file is damaged, onnx is not installed, or a tensor lies in another file.
    """
    onnx = required("onnx", "reading ONNX files", "onnx")
    try:
        model = onnx.load_model_from_string(source.read())
        return _arrays(source.name, list(scopes(model)))
    except (GradflowError, MemoryError, OSError):
        raise
    except Exception as error:
        # protobuf's own errors, and text that is no UTF-8
        raise damaged(f"the ONNX file is unreadable ({shown(str(error), 100)})") from error


def _arrays(source: str, found: list[Scope]) -> dict[str, StoredArray]:
    arrays: dict[str, StoredArray] = {}

    def add(name: str, constant: Constant, **about: Any) -> None:
        arrays[name] = StoredArray(
            source, name, constant.shape, constant.dtype, constant.load, constant.decode, about
        )

    for scope in found:
        for name, constant in scope.constants.items():
            whole = f"{scope.label}/{name}" if name in arrays and scope.label else name
            add(_unused(whole, arrays), constant)
    folding = Folding()
    taken = set(arrays)
    for scope in found:
        for node in scope.nodes:
            if node.op_type in _OPERATORS and node.domain in DEFAULT_DOMAINS:
                weights = _weights(folding, scope, node)
                name = _unused(label(node), taken, ("", *(f"/{part}" for part in _WEIGHTS)))
                taken.add(name)
                attributes = _attributes(scope, node)
                for part, constant in weights.items():
                    add(f"{name}/{part}", constant, op=node.op_type, attributes=attributes)
    return arrays


def _unused(name: str, taken: Container[str], parts: tuple[str, ...] = ("",)) -> str:
    """Return ``name``, with a number behind it where it, or a part of it, is taken."""
    candidates = (f"{name}_{count}" if count else name for count in itertools.count())
    return next(found for found in candidates if not any(found + part in taken for part in parts))


def _weights(folding: Folding, scope: Scope, node: Any) -> dict[str, Constant]:
    """Return a node's weights; none if it lacks some, or one of them is no constant."""
    weights = {}
    for part, index in _WEIGHTS.items():
        given = node.input[index] if index < len(node.input) else ""
        constant = folding.constant(scope, given) if given else None
        if constant is not None:
            weights[part] = constant
        elif given or part in ("W", "R"):
            return {}
    return weights


def _attributes(scope: Scope, node: Any) -> dict[str, Any]:
    """Return the attributes of a node that are numbers, text or lists of these."""
    found: dict[str, Any] = {}
    for attribute in scope.attributes(node):
        if attribute.type in FIELDS:
            field = FIELDS[attribute.type]
            value = getattr(attribute, field)
            found[attribute.name] = [_plain(part) for part in value] if field in _LISTS else _plain(value)
    return found


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
