"""NumPy's .npz."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError

MAX_MEMBER_NAME_BYTES = 1000


def encode(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the bytes of an .npz file that holds the arrays.

    Raises
    ------
    DataError
        If a name cannot be the name of a zip member.

    Examples
    --------
    >>> encoded = encode({"weight": np.eye(2)})
    >>> np.load(io.BytesIO(encoded))["weight"].shape
    (2, 2)
    """
    for name in arrays:
        if (
            "\0" in name
            or len(name.encode("utf-8", "replace")) > MAX_MEMBER_NAME_BYTES
            or not name.isprintable()
        ):
            raise DataError(
                f"{name[:60]!r} cannot name an array in an .npz; expected at most {MAX_MEMBER_NAME_BYTES} "
                "printable characters, or write .safetensors"
            )
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()
