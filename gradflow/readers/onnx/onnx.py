"""ONNX: the constants of all graphs by name, and the weights of each RNN, LSTM and GRU node.

Exporters put recurrent nodes into branches of ``If``, and let the graph compute their weights from pieces.
The weights of a node are therefore searched in all graphs around it, and computed if they are not constants.
"""

import itertools
from collections.abc import Container
from typing import Any

from gradflow.errors import GradflowError
from gradflow.extras import import_extra
from gradflow.readers.contents import FileContents
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.onnx.constants import OnnxConstant
from gradflow.readers.onnx.folding import ConstantFolder
from gradflow.readers.onnx.scopes import ATTRIBUTE_FIELDS, DEFAULT_DOMAINS, GraphScope, list_scopes, name_node
from gradflow.readers.source import Source
from gradflow.readers.stored_array import StoredArray

ONNX_SUFFIX = ".onnx"
# Name of a weight → its position among the inputs of a node.
_WEIGHT_INPUTS = {"W": 1, "R": 2, "B": 3, "P": 7}
_LIST_FIELDS = ("floats", "ints", "strings")
_RECURRENT_OPERATORS = ("RNN", "LSTM", "GRU")


def recognizes(source: Source) -> bool:
    """Return whether ``source`` is a file with the suffix .onnx: its content has no signature."""
    return source.path is not None and source.path.suffix.lower() == ONNX_SUFFIX


def read(source: Source) -> FileContents:
    """Return all constants by name, and ``NODE/W``, ``/R``, ``/B`` and ``/P`` of each recurrent node.

    The ``metadata`` of a node's arrays are ``op``, such as ``"LSTM"``, and ``attributes``. A node whose
    weights depend on an input of the model is left out.

    Raises
    ------
    DataError
        If the file is damaged, if onnx is not installed, or if a tensor is stored in another file.
    """
    onnx = import_extra("onnx", "reading ONNX files", "onnx")
    try:
        model = onnx.load_model_from_string(source.read())
        return FileContents(_list_arrays(source.name, list(list_scopes(model))))
    except (GradflowError, MemoryError, OSError):
        raise
    except Exception as error:
        # Errors of protobuf itself, and text that is not UTF-8.
        raise report_damage(f"the ONNX file is unreadable ({quote(str(error), 100)})") from error


def _list_arrays(source: str, scopes: list[GraphScope]) -> dict[str, StoredArray]:
    arrays: dict[str, StoredArray] = {}

    def add(name: str, constant: OnnxConstant, **metadata: Any) -> None:
        arrays[name] = StoredArray(
            source, name, constant.shape, constant.dtype, constant.load, constant.decode, metadata
        )

    for scope in scopes:
        for name, constant in scope.constants.items():
            whole = f"{scope.label}/{name}" if name in arrays and scope.label else name
            add(_choose_unused_name(whole, arrays), constant)
    folder = ConstantFolder()
    used_names = set(arrays)
    for scope in scopes:
        for node in scope.nodes:
            if node.op_type in _RECURRENT_OPERATORS and node.domain in DEFAULT_DOMAINS:
                weights = _find_weights(folder, scope, node)
                name = _choose_unused_name(
                    name_node(node), used_names, ("", *(f"/{part}" for part in _WEIGHT_INPUTS))
                )
                used_names.add(name)
                attributes = _read_attributes(scope, node)
                for part, constant in weights.items():
                    add(f"{name}/{part}", constant, op=node.op_type, attributes=attributes)
    return arrays


def _choose_unused_name(name: str, used_names: Container[str], parts: tuple[str, ...] = ("",)) -> str:
    """Return ``name``, or ``name`` with a number if the name itself, or one with its parts, is taken."""
    candidates = (f"{name}_{count}" if count else name for count in itertools.count())
    return next(
        candidate for candidate in candidates if not any(candidate + part in used_names for part in parts)
    )


def _find_weights(folder: ConstantFolder, scope: GraphScope, node: Any) -> dict[str, OnnxConstant]:
    """Return the weights of a node; no weights if it lacks one, or if one is not constant."""
    weights = {}
    for part, index in _WEIGHT_INPUTS.items():
        input_name = node.input[index] if index < len(node.input) else ""
        constant = folder.fold(scope, input_name) if input_name else None
        if constant is not None:
            weights[part] = constant
        elif input_name or part in ("W", "R"):
            return {}
    return weights


def _read_attributes(scope: GraphScope, node: Any) -> dict[str, Any]:
    """Return those attributes of a node that are numbers, text, or lists of these."""
    attributes: dict[str, Any] = {}
    for attribute in scope.resolve_attributes(node):
        if attribute.type in ATTRIBUTE_FIELDS:
            field = ATTRIBUTE_FIELDS[attribute.type]
            value = getattr(attribute, field)
            attributes[attribute.name] = (
                [_decode_value(part) for part in value] if field in _LIST_FIELDS else _decode_value(value)
            )
    return attributes


def _decode_value(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
