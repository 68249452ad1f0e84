"""Types of entries that several containers know by different names, and how numpy takes each."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import shown


class Kind(NamedTuple):
    """A type of entries.

    ``stored`` is how numpy takes the bytes, without their order, and ``decode`` what makes numbers of that.
    """

    name: str
    stored: str
    decode: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray

    def dtype(self, order: str = "<") -> np.dtype[Any]:
        """Return the numpy type of the bytes as they lie in byte order ``order``."""
        return np.dtype(self.stored).newbyteorder(order)  # type: ignore[arg-type]


def from_bfloat16(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the float32 whose upper 16 bits are ``halves``: a bfloat16 is nothing else."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


_PLAIN = (
    *("float64", "float32", "float16", "complex128", "complex64", "int64", "int32", "int16", "int8"),
    *("uint64", "uint32", "uint16", "uint8", "bool"),
)
KINDS = {name: Kind(name, name) for name in _PLAIN} | {"bfloat16": Kind("bfloat16", "uint16", from_bfloat16)}


def refuse(dtype: str) -> NDArray[Any]:
    """Raise `DataError`: there are no numbers of this type to be had; for an array that is listed alone."""
    raise DataError(f"has type {shown(dtype)}; expected one of {', '.join(KINDS)}, convert it")
