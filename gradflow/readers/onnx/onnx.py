"""ONNX: the constants of all graphs by name, and the weights of each RNN, LSTM and GRU node.

Exporters put recurrent nodes into branches of ``If``, and let the graph compute their weights from pieces.
The weights of a node are therefore searched in all graphs around it, and computed if they are not constants.
"""

from typing import Any

from gradflow.errors import GradflowError
from gradflow.extras import import_extra
from gradflow.readers.contents import FileContents
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.onnx.constants import OnnxConstant
from gradflow.readers.onnx.elementary import ElementaryLayer, find_elementary_layers
from gradflow.readers.onnx.folding import ConstantFolder
from gradflow.readers.onnx.recurrent import (
    RecurrentPlace,
    choose_unused_name,
    find_recurrent_nodes,
    place_node,
)
from gradflow.readers.onnx.scopes import GraphScope, list_scopes, read_attributes
from gradflow.readers.onnx.skimming import read_model
from gradflow.readers.onnx.tracing import OUTPUTS_OF_LAYERS, ValueTracer
from gradflow.readers.source import Source
from gradflow.readers.stored_array import StoredArray

ONNX_SUFFIX = ".onnx"


def recognizes(source: Source) -> bool:
    """Return whether ``source`` is a file with the suffix .onnx: its content has no signature."""
    return source.path is not None and source.path.suffix.lower() == ONNX_SUFFIX


def read(source: Source) -> FileContents:
    """Return all constants by name, and ``NODE/W``, ``/R``, ``/B`` and ``/P`` of each recurrent node.

    The ``metadata`` of a node's arrays are ``op``, such as ``"LSTM"``, ``attributes``, and ``place``, a
    `RecurrentPlace`. A node whose weights depend on an input of the model is left out, with a remark.

    Raises
    ------
    DataError
        If the file is damaged, if onnx is not installed, or if a tensor is stored in a file elsewhere.
    """
    onnx = import_extra("onnx", "reading ONNX files", "onnx")
    try:
        model = onnx.load_model_from_string(read_model(source))
        folder = None if source.path is None else source.path.parent
        return _list_arrays(source.name, model, list(list_scopes(model, folder)))
    except (GradflowError, MemoryError, OSError):
        raise
    except Exception as error:
        # Errors of protobuf itself, and text that is not UTF-8.
        raise report_damage(f"the ONNX file is unreadable ({quote(str(error), 100)})") from error


def _list_arrays(source: str, model: Any, scopes: list[GraphScope]) -> FileContents:
    arrays: dict[str, StoredArray] = {}

    def add(name: str, constant: OnnxConstant, **metadata: Any) -> None:
        arrays[name] = StoredArray(
            source, name, constant.shape, constant.dtype, constant.load, constant.decode, metadata
        )

    for scope in scopes:
        for name, constant in scope.constants.items():
            whole = f"{scope.label}/{name}" if name in arrays and scope.label else name
            add(choose_unused_name(whole, arrays), constant)
    folder = ConstantFolder()
    nodes = list(find_recurrent_nodes(folder, scopes, set(arrays)))
    outputs = {
        (node.scope, output): (node.name, kind)
        for node in nodes
        for output, kind in zip(node.proto.output, OUTPUTS_OF_LAYERS, strict=False)
        if output
    }
    tracer = ValueTracer(folder, outputs, model.graph)
    numbers: dict[object, int] = {}
    for node in nodes:
        if node.weights:
            attributes = read_attributes(node.scope.resolve_attributes(node.proto))
            place = place_node(node, folder, tracer, numbers)
            for part, constant in node.weights.items():
                add(f"{node.name}/{part}", constant, op=node.operator, attributes=attributes, place=place)
    remarks = [node.remark for node in nodes if node.remark]
    layers: dict[str, ElementaryLayer] = {}
    for layer in find_elementary_layers(folder, scopes, model.graph):
        parts = ("", *(f"/{part}" for part in layer.weights))
        if layer.operator:
            layers[choose_unused_name(layer.name, {*arrays, *layers}, parts)] = layer
        else:
            remarks.append(layer.remark)
    layers_of_states = {
        (layer.scope, state): name for name, layer in layers.items() for state in layer.states
    }
    for count, (name, layer) in enumerate(layers.items()):
        place = RecurrentPlace(
            trace=tracer.trace(layer.scope, layer.given),
            weights=(-1, count),  # No other layer has these numbers.
            call=(-1, count),
            branches=(),
            initial_state="",
            initial_layers=False,
            lengths="",
            remarks=(layer.remark,),
            unrolled="layout" not in layer.attributes,
            below=layers_of_states.get((layer.scope, layer.given), ""),
        )
        for part, constant in layer.weights.items():
            add(f"{name}/{part}", constant, op=layer.operator, attributes=layer.attributes, place=place)
    return FileContents(arrays, tuple(remarks))
