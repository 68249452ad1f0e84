"""NumPy's .npz."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def encode(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the bytes of an .npz that holds the arrays.

    Examples
    --------
    >>> encoded = encode({"weight": np.eye(2)})
    >>> np.load(io.BytesIO(encoded))["weight"].shape
    (2, 2)
    """
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()
