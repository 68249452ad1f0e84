"""NumPy's own .npy: a header that is a Python literal, then the entries."""

import io
import warnings
from typing import Any, Literal, NamedTuple

import numpy as np

from gradflow.errors import DataError
from gradflow.readers.messages import damaged, shown
from gradflow.readers.source import Source, byte_count
from gradflow.readers.stored import UNNAMED, StoredArray

MAGIC = b"\x93NUMPY"
# (3, 0) differs only in the names of fields, and arrays with fields are not read
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Header(NamedTuple):
    """What the header says; the entries start at ``offset``."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: Literal["C", "F"]
    offset: int

    def stored_bytes(self) -> int:
        """Return how many bytes header and entries take, if the entries can be read at all.

        Raises
        ------
        DataError
            If they are no numbers or their shape is impossible.
        """
        if self.dtype.hasobject:
            raise DataError(
                "holds Python objects, which are pickled, and pickles are never unpickled, for that runs the "
                "file's code; save it with a numeric type"
            )
        if self.dtype.kind not in "biufc":
            raise DataError(
                f"holds {shown(str(self.dtype))}; expected plain numbers, save them without the rest"
            )
        return self.offset + byte_count(self.shape, self.dtype.itemsize)


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts as every .npy does."""
    return source.head.startswith(MAGIC)


def read(source: Source) -> dict[str, StoredArray]:
    """Return the array of an .npy, memory-mapped.

    Raises
    ------
    DataError
        If the header is damaged, the entries are no plain numbers, or their bytes are not all there.
    """
    header = parse_header(source.head)
    expected = header.stored_bytes()
    source.require(0, expected, f"an array of shape {header.shape} and type {header.dtype}")
    if expected < source.size:
        raise DataError(
            f"{source.size - expected} bytes follow the array of shape {header.shape}; "
            "expected one array to a file, use numpy.savez for several"
        )

    def load() -> np.ndarray[Any, Any]:
        return source.mapped(header.dtype, header.shape, header.offset, header.order)

    return {UNNAMED: StoredArray(source.name, UNNAMED, header.shape, str(header.dtype), load)}


def parse_header(start: bytes) -> Header:
    """Return the header of the .npy that begins with ``start``.

    Raises
    ------
    DataError
        If it is damaged, or longer than numpy's own bound of 10000 characters.
    """
    stream = io.BytesIO(start)
    try:
        with warnings.catch_warnings():
            # a file of Python 2 is read with a warning
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            shape, fortran_order, dtype = _HEADER_READERS[version](stream)
    except Exception as error:
        # numpy parses the header as Python, so a hostile one can raise nearly anything
        raise damaged(f"the .npy header is unreadable ({shown(str(error), 100)})") from error
    return Header(shape, dtype, "F" if fortran_order else "C", stream.tell())
