"""NumPy's .npy: a header that is a Python literal, then the entries."""

import io
import warnings
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.source import Source, count_bytes
from gradflow.readers.stored_array import UNNAMED_ARRAY, StoredArray

NPY_SIGNATURE = b"\x93NUMPY"
# Version (3, 0) differs only in the names of fields, and arrays with fields are not read.
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class NpyHeader(NamedTuple):
    """The header of an .npy file; the entries start at ``offset``."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: Literal["C", "F"]
    offset: int

    def count_stored_bytes(self) -> int:
        """Return the number of bytes that the header and the entries take together.

        Raises
        ------
        DataError
            If the entries are not numbers, or their shape is impossible.
        """
        if self.dtype.hasobject:
            raise DataError(
                "holds pickled Python objects; pickles are not read, because unpickling runs their code; "
                "save it with a numeric type"
            )
        if self.dtype.kind not in "biufc":
            raise DataError(f"holds {quote(str(self.dtype))}; expected plain numbers; save the numbers alone")
        return self.offset + count_bytes(self.shape, self.dtype.itemsize)


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts like an .npy file."""
    return source.head.startswith(NPY_SIGNATURE)


def read(source: Source) -> FileContents:
    """Return the array of an .npy, memory-mapped.

    Raises
    ------
    DataError
        If the header is damaged, the entries are not plain numbers, or some of their bytes are missing.
    """
    header = parse_header(source.head)
    expected = header.count_stored_bytes()
    source.require_bytes(0, expected, f"an array of shape {header.shape} and type {header.dtype}")
    if expected < source.size:
        raise DataError(
            f"{source.size - expected} bytes follow the array of shape {header.shape}; "
            "expected one array in a file; use numpy.savez for several"
        )
    load = partial(source.map_array, header.dtype, header.shape, header.offset, header.order)
    stored = StoredArray(source.name, UNNAMED_ARRAY, header.shape, str(header.dtype), load)
    return FileContents({UNNAMED_ARRAY: stored})


def parse_header(start: bytes) -> NpyHeader:
    """Return the header of the .npy file that starts with the bytes ``start``.

    Raises
    ------
    DataError
        If the header is damaged, or longer than numpy's own limit of 10000 characters.
    """
    stream = io.BytesIO(start)
    try:
        with warnings.catch_warnings():
            # numpy warns about files that Python 2 wrote.
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            shape, fortran_order, dtype = _HEADER_READERS[version](stream)
    except Exception as error:
        # numpy parses the header as Python, so a hostile header can raise almost anything.
        raise report_damage(f"the .npy header is unreadable ({quote(str(error), 100)})") from error
    return NpyHeader(shape, dtype, "F" if fortran_order else "C", stream.tell())
