"""The types of array entries that the readers support, and how numpy reads each type.

Containers call these types by different names. Each reader maps its own names to `ENTRY_TYPES`.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import quote


class EntryType(NamedTuple):
    """A type of array entries.

    ``stored`` is the numpy type of the bytes in the file, and ``decode`` turns an array of that type into
    numbers.
    """

    name: str
    stored: str
    decode: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray

    def make_dtype(self, order: str = "<") -> np.dtype[Any]:
        """Return the numpy type of the bytes in byte order ``order``."""
        return np.dtype(self.stored).newbyteorder(order)  # type: ignore[arg-type]


def decode_bfloat16(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return bfloat16 numbers as float32: a bfloat16 is the upper 16 bits of a float32."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


_NUMPY_TYPES = (
    *("float64", "float32", "float16", "complex128", "complex64", "int64", "int32", "int16", "int8"),
    *("uint64", "uint32", "uint16", "uint8", "bool"),
)
ENTRY_TYPES = {name: EntryType(name, name) for name in _NUMPY_TYPES} | {
    "bfloat16": EntryType("bfloat16", "uint16", decode_bfloat16)
}


def refuse_entry_type(dtype: str, supported: Iterable[str] = tuple(ENTRY_TYPES)) -> NDArray[Any]:
    """Raise the error for a type that numpy lacks.

    This is the ``load`` of a `StoredArray` of such a type: the array is listed, and refused when it is read.

    Raises
    ------
    DataError
        Always. The message lists the ``supported`` types by the container's names.
    """
    raise DataError(f"has type {quote(dtype)}; expected one of {', '.join(supported)}, convert it")
