"""NumPy's .npz."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError

LONGEST_NAME = 1000


def encode(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the bytes of an .npz that holds the arrays.

    Raises
    ------
    DataError
        For a name that a zip archive does not carry whole.

    Examples
    --------
    >>> encoded = encode({"weight": np.eye(2)})
    >>> np.load(io.BytesIO(encoded))["weight"].shape
    (2, 2)
    """
    for name in arrays:
        if "\0" in name or len(name.encode("utf-8", "replace")) > LONGEST_NAME or not name.isprintable():
            raise DataError(
                f"{name[:60]!r} is no name for a member of an .npz; expected up to {LONGEST_NAME} printable "
                "characters, write .safetensors"
            )
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()
