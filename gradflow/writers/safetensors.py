"""safetensors: u64 header length, JSON header {name: {dtype, shape, data_offsets}}, data."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPE_NAMES = {"float64": "F64", "float32": "F32"}
_DATA_ALIGNMENT = 8  # The data start at a multiple of this many bytes, as the format recommends.


def encode(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the bytes of a safetensors file that holds the arrays, which are of float64 or float32.

    Examples
    --------
    >>> encode({"weight": np.ones((1, 1), np.float32)})[-4:] == np.float32(1).tobytes()
    True
    """
    header: dict[str, dict[str, Any]] = {}
    data: list[bytes] = []
    start = 0
    for name, array in arrays.items():
        data.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
        end = start + len(data[-1])
        header[name] = {
            "dtype": _DTYPE_NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _DATA_ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *data])
