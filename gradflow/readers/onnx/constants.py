"""The constants of an ONNX graph: each ``TensorProto`` and each ``Constant`` node → numbers."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.readers.entry_types import ENTRY_TYPES, refuse_entry_type
from gradflow.readers.messages import report_damage
from gradflow.readers.onnx.external import locate_external_entries
from gradflow.readers.source import count_bytes

# Values of TensorProto.DataType and TensorProto.DataLocation.
_ONNX_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
}
_UNDEFINED_TYPE, STRING_TYPE = 0, 8
_EXTERNAL_LOCATION = 1
# Type → the field that holds its entries if they are not raw bytes, and their type there. Types that are not
# listed are in int32_data.
_ENTRY_FIELDS = {
    "float32": ("float_data", "float32"),
    "complex64": ("float_data", "float32"),
    "float64": ("double_data", "float64"),
    "complex128": ("double_data", "float64"),
    "int64": ("int64_data", "int64"),
    "uint32": ("uint64_data", "uint32"),
    "uint64": ("uint64_data", "uint64"),
    "int32": ("int32_data", "int32"),
    "float16": ("int32_data", "uint16"),
    "bfloat16": ("int32_data", "uint16"),
}
# Attribute of a Constant node → the field of the attribute, and its type.
_CONSTANT_FIELDS = {
    "value_float": ("f", "float32"),
    "value_floats": ("floats", "float32"),
    "value_int": ("i", "int64"),
    "value_ints": ("ints", "int64"),
}


class OnnxConstant(NamedTuple):
    """A tensor whose entries are in the file; ``load`` and ``decode`` are those of a `StoredArray`."""

    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], NDArray[Any]]
    decode: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray


def is_float_type(data_type: int) -> bool:
    """Return whether a type of ONNX holds real numbers."""
    return _ONNX_TYPES.get(data_type, "").startswith(("float", "bfloat"))


def name_type(data_type: int) -> str:
    """Return the name of a type of ONNX."""
    return _ONNX_TYPES.get(data_type, f"ONNX type {data_type}")


def list_constants(initializers: Any, nodes: Any, folder: Path | None) -> Iterator[tuple[str, OnnxConstant]]:
    """Yield the name and value of each initializer and ``Constant`` node of a graph, except text.

    ``folder`` is that of the model's file; None if the model does not come from a file.

    Raises
    ------
    DataError
        If the entries of a tensor are in another file that is not beside the model, or if its shape is
        impossible.
    """
    for tensor in initializers:
        yield from _list_tensor(tensor.name, tensor, folder)
    for node in nodes:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            for attribute in node.attribute:
                for constant in list_attribute_constants(attribute, node.output[0], folder):
                    yield node.output[0], constant


def list_attribute_constants(attribute: Any, name: str, folder: Path | None) -> Iterator[OnnxConstant]:
    """Yield the value of an attribute that is a constant called ``name``: none or one."""
    if attribute.name == "value" and attribute.HasField("t"):
        for _, constant in _list_tensor(name, attribute.t, folder):
            yield constant
    elif attribute.name in _CONSTANT_FIELDS:
        field, dtype = _CONSTANT_FIELDS[attribute.name]
        array = np.array(getattr(attribute, field), dtype)
        yield OnnxConstant(array.shape, dtype, partial(np.asarray, array))


def _list_tensor(name: str, tensor: Any, folder: Path | None) -> Iterator[tuple[str, OnnxConstant]]:
    if tensor.data_type in (_UNDEFINED_TYPE, STRING_TYPE):
        return
    shape = tuple(tensor.dims)
    count_bytes(shape, 1)
    if tensor.data_type in _ONNX_TYPES:
        dtype = _ONNX_TYPES[tensor.data_type]
        if tensor.data_location == _EXTERNAL_LOCATION:
            kind = ENTRY_TYPES[dtype].make_dtype()
            load = locate_external_entries(name, tensor, folder, kind)
        else:
            load = partial(_load_entries, tensor, dtype)
        yield name, OnnxConstant(shape, dtype, load, ENTRY_TYPES[dtype].decode)
    else:
        dtype = f"ONNX type {tensor.data_type}"
        yield name, OnnxConstant(shape, dtype, partial(refuse_entry_type, dtype))


def _load_entries(tensor: Any, dtype: str) -> NDArray[Any]:
    """Return the entries of a tensor; their number must be that of its shape."""
    kind = ENTRY_TYPES[dtype].make_dtype()
    if tensor.HasField("raw_data"):
        data = tensor.raw_data
    else:
        field, written = _ENTRY_FIELDS.get(dtype, ("int32_data", "int32"))
        values = np.array(getattr(tensor, field), written)
        # Integers narrower than the field are converted; the field holds the bits of other types.
        data = (values.astype(kind) if written == "int32" else values).tobytes()
    shape = tuple(tensor.dims)
    expected = count_bytes(shape, kind.itemsize)
    if len(data) != expected:
        raise report_damage(f"has {len(data)} bytes; expected {expected} for shape {shape} and type {dtype}")
    return np.frombuffer(data, kind).reshape(shape)
