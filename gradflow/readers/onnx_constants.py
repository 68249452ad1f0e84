"""The constants of an ONNX graph: a ``TensorProto``, or what a ``Constant`` node says → numbers."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.kinds import KINDS, refuse
from gradflow.readers.messages import damaged, shown
from gradflow.readers.source import byte_count

# TensorProto.DataType and DataLocation
_TYPES = {
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
_UNDEFINED, _STRING = 0, 8
_EXTERNAL = 1
# type → the field and type in which its entries stand where they are no raw bytes; else int32_data, as bits
_FIELDS = {
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
# attribute of a Constant node → the field of the attribute, and its type
_PLAIN = {
    "value_float": ("f", "float32"),
    "value_floats": ("floats", "float32"),
    "value_int": ("i", "int64"),
    "value_ints": ("ints", "int64"),
}


class Constant(NamedTuple):
    """A tensor whose entries the file holds; ``load`` and ``decode`` as of `StoredArray`."""

    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], NDArray[Any]]
    decode: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray


def constants(initializers: Any, nodes: Any) -> Iterator[tuple[str, Constant]]:
    """Yield names and values of a graph's initializers and ``Constant`` nodes, but of no text.

    Raises
    ------
    DataError
        If the entries of one lie in another file, or its shape is impossible.
    """
    for tensor in initializers:
        yield from _named(tensor.name, tensor)
    for node in nodes:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            for attribute in node.attribute:
                if attribute.name == "value" and attribute.HasField("t"):
                    yield from _named(node.output[0], attribute.t)
                elif attribute.name in _PLAIN:
                    field, dtype = _PLAIN[attribute.name]
                    array = np.array(getattr(attribute, field), dtype)
                    yield node.output[0], Constant(array.shape, dtype, partial(np.asarray, array))


def _named(name: str, tensor: Any) -> Iterator[tuple[str, Constant]]:
    if tensor.data_location == _EXTERNAL:
        raise DataError(
            f"{shown(name)} lies in another file, which is not followed; save the model with its weights "
            "inside: onnx.save(onnx.load(OLD), NEW)"
        )
    if tensor.data_type in (_UNDEFINED, _STRING):
        return
    shape = tuple(tensor.dims)
    byte_count(shape, 1)
    if tensor.data_type in _TYPES:
        dtype = _TYPES[tensor.data_type]
        yield name, Constant(shape, dtype, partial(_entries, tensor, dtype), KINDS[dtype].decode)
    else:
        dtype = f"ONNX type {tensor.data_type}"
        yield name, Constant(shape, dtype, partial(refuse, dtype))


def _entries(tensor: Any, dtype: str) -> NDArray[Any]:
    """Return the entries of a tensor, which must be as many as its shape says."""
    kind = KINDS[dtype].dtype()
    if tensor.HasField("raw_data"):
        data = tensor.raw_data
    else:
        field, written = _FIELDS.get(dtype, ("int32_data", "int32"))
        values = np.array(getattr(tensor, field), written)
        # integers narrower than their field are converted, other types are bits of it
        data = (values.astype(kind) if written == "int32" else values).tobytes()
    shape = tuple(tensor.dims)
    expected = byte_count(shape, kind.itemsize)
    if len(data) != expected:
        raise damaged(f"has shape {shape} and type {dtype}, so {expected} bytes, but holds {len(data)}")
    return np.frombuffer(data, kind).reshape(shape)
