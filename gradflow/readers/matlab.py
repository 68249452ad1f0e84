"""MATLAB .mat of versions 5 to 7.2: numeric, logical and sparse variables.

This reader does not use `scipy.io.loadmat`, where one wrong byte can end the process (a segmentation fault in
the compiled reader of scipy 1.17). The format: MathWorks, "MAT-File Format", chapter 1, Level 5.

A file is a header of 128 bytes followed by elements. An element is a tag (type, byte count) and data. A
variable is an element of type 14 whose data are elements again: flags, dimensions, name, real part,
imaginary part. An element of type 15 is a variable compressed by zlib.
"""

import math
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.source import Source, check_byte_limit, count_bytes
from gradflow.readers.stored_array import StoredArray

MAT_SIGNATURE = b"MATLAB 5.0 MAT-file"
MAT_HEADER_BYTES = 128
# Enough for 32 dimensions and a name of 63 characters, the most that MATLAB writes.
VARIABLE_HEADER_BYTES = 4096
_VARIABLE_ELEMENT, _COMPRESSED_ELEMENT = 14, 15
_SPARSE_CLASS = 5
_COMPLEX_FLAG, _LOGICAL_FLAG = 0x800, 0x200
# Class of a variable → its type. The other classes (cells, structs, characters) are not numeric.
_CLASS_DTYPES = dict(
    enumerate(("f8", "f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), _SPARSE_CLASS)
)
# Type of an element → the stored type of its entries, which may be narrower than that of the class.
_ELEMENT_DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


class _ElementSpan(NamedTuple):
    """The position of an element's data in the file."""

    kind: int
    offset: int
    length: int


class _VariableHeader(NamedTuple):
    """The header of a variable, which precedes its numbers."""

    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str

    @property
    def dtype(self) -> str:
        if self.flags & _LOGICAL_FLAG:
            return "bool"
        plain = np.dtype(_CLASS_DTYPES[self.kind])
        return str(np.result_type(plain, np.complex64) if self.flags & _COMPLEX_FLAG else plain)


class _ElementReader:
    """Reads the elements of a variable one after the other."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data = memoryview(data)
        self._order = order
        self._position = 0

    def read_word(self) -> int:
        """Return the next unsigned 32-bit integer."""
        return int(np.frombuffer(self._take_bytes(4), f"{self._order}u4")[0])

    def read_entries(self) -> NDArray[Any]:
        """Return the entries of the next element."""
        first = self.read_word()
        # Four bytes or fewer are stored in the tag itself. Its upper half then holds their count.
        kind, count = (first & 0xFFFF, first >> 16) if first >> 16 else (first, self.read_word())
        if kind not in _ELEMENT_DTYPES:
            raise report_damage(f"has an element of type {kind}; expected numbers")
        dtype = np.dtype(self._order + _ELEMENT_DTYPES[kind])
        data = self._take_bytes(count)
        self._position += -self._position % 8
        if count % dtype.itemsize:
            raise report_damage(f"has {count} bytes for entries of {dtype.itemsize} bytes each")
        return np.frombuffer(data, dtype)

    def read_integers(self) -> NDArray[np.int64]:
        """Return the entries of the next element, which must be whole numbers."""
        entries = self.read_entries()
        if entries.dtype.kind not in "iu":
            raise report_damage(f"has entries of type {entries.dtype}; expected whole numbers")
        return entries.astype(np.int64)

    def read_header(self) -> _VariableHeader | None:
        """Return the header of the variable, or None if the variable is not numeric."""
        flags = self.read_entries()
        if len(flags) != 2 or flags.dtype.kind != "u":
            raise report_damage("has no flags")
        kind = int(flags[0]) & 0xFF
        if kind not in _CLASS_DTYPES:
            return None
        shape = tuple(int(size) for size in self.read_integers())
        count_bytes(shape, 1)
        return _VariableHeader(kind, int(flags[0]), shape, self.read_entries().tobytes().decode("latin-1"))

    def _take_bytes(self, count: int) -> memoryview:
        data = self._data[self._position : self._position + count]
        if len(data) < count:
            raise report_damage("ends in the middle of an element")
        self._position += count
        return data


def recognizes(source: Source) -> bool:
    """Return whether ``source`` has the signature and the byte order mark of a Level 5 file."""
    return source.head.startswith(MAT_SIGNATURE) and source.head[126:MAT_HEADER_BYTES] in (b"IM", b"MI")


def read(source: Source) -> FileContents:
    """Return the numeric variables of a .mat file; cells, structs and text are left out.

    Raises
    ------
    DataError
        If the file is damaged, or holds two variables of the same name.
    """
    order = "<" if source.head[126:MAT_HEADER_BYTES] == b"IM" else ">"
    arrays: dict[str, StoredArray] = {}
    for element in _list_variables(source, order):
        header = _ElementReader(
            _read_content(source, element, order, VARIABLE_HEADER_BYTES), order
        ).read_header()
        # A variable without a name is the workspace of function handles.
        if header is None or not header.name:
            continue
        if header.name in arrays:
            raise DataError(f"holds two variables named {quote(header.name)}; expected each name once")
        load = partial(_load_variable, source, element, order)
        arrays[header.name] = StoredArray(source.name, header.name, header.shape, header.dtype, load)
    return FileContents(arrays)


def _list_variables(source: Source, order: str) -> Iterator[_ElementSpan]:
    offset = MAT_HEADER_BYTES
    while offset < source.size:
        kind, count = (int(word) for word in np.frombuffer(source.read(offset, 8), f"{order}u4"))
        source.require_bytes(offset + 8, count, f"the variable at byte {offset}")
        if kind not in (_VARIABLE_ELEMENT, _COMPRESSED_ELEMENT):
            raise report_damage(f"has type {kind} at byte {offset}; expected a variable (14 or 15)")
        yield _ElementSpan(kind, offset + 8, count)
        offset += 8 + count


def _read_content(source: Source, element: _ElementSpan, order: str, most: int | None = None) -> bytes:
    """Return the data of a variable or their first ``most`` bytes, inflated to at most the declared size."""
    count = element.length if most is None else min(element.length, most)
    data = source.read(element.offset, count)
    if element.kind == _VARIABLE_ELEMENT:
        return data
    inflater = zlib.decompressobj()
    try:
        kind, declared = np.frombuffer(inflater.decompress(data, 8), f"{order}u4")
        wanted = int(declared) if most is None else min(int(declared), most)
        check_byte_limit(wanted, "an inflated variable")
        # Asking for one byte more than declared shows whether there are too many, and makes zlib compare its
        # checksum.
        content = inflater.decompress(inflater.unconsumed_tail, wanted + 1)
    except (zlib.error, ValueError) as error:
        raise report_damage(
            f"the compressed data at byte {element.offset} are unreadable ({error})"
        ) from error
    if kind != _VARIABLE_ELEMENT or (most is None and (len(content) != wanted or not inflater.eof)):
        raise report_damage(f"the compressed data at byte {element.offset} are not what the file declares")
    return content


def _load_variable(source: Source, element: _ElementSpan, order: str) -> NDArray[Any]:
    elements = _ElementReader(_read_content(source, element, order), order)
    header = elements.read_header()
    if header is None:
        raise DataError("changed while it was being read; try again")
    if header.kind == _SPARSE_CLASS:
        return _build_dense(elements, header)
    count = math.prod(header.shape)
    values = _read_values(elements, header)
    if len(values) != count:
        raise report_damage(f"holds {len(values)} numbers; expected {count} for its shape {header.shape}")
    return values.reshape(header.shape, order="F")


def _read_values(elements: _ElementReader, header: _VariableHeader) -> NDArray[Any]:
    """Return the numbers of a variable from one element, or from two for the real and imaginary parts."""
    values = elements.read_entries()
    if not header.flags & _COMPLEX_FLAG:
        return values
    imaginary = elements.read_entries()
    if len(values) != len(imaginary):
        raise report_damage(f"holds {len(values)} real and {len(imaginary)} imaginary parts")
    numbers = np.empty(len(values), np.complex128)
    numbers.real, numbers.imag = values, imaginary
    return numbers


def _build_dense(elements: _ElementReader, header: _VariableHeader) -> NDArray[Any]:
    """Return a sparse matrix as a dense one.

    It is stored by columns: the row of each value, the index at which each column starts, the values.
    """
    rows, starts = elements.read_integers(), elements.read_integers()
    values = _read_values(elements, header)
    if len(header.shape) != 2 or len(starts) != header.shape[1] + 1:
        raise report_damage(f"has {len(starts)} column starts for shape {header.shape}")
    counts = np.diff(starts)
    # The file may reserve room for more values than there are.
    stored = int(starts[-1])
    if starts[0] != 0 or (counts < 0).any() or stored > min(len(rows), len(values)):
        raise report_damage("has column starts that run backwards or past the end")
    rows = rows[:stored]
    if ((rows < 0) | (rows >= header.shape[0])).any():
        raise report_damage(f"has a row index outside shape {header.shape}")
    matrix_type = np.result_type(values, np.float64)
    check_byte_limit(
        count_bytes(header.shape, matrix_type.itemsize), f"a dense matrix of shape {header.shape}"
    )
    matrix = np.zeros(header.shape, matrix_type)
    np.add.at(matrix, (rows, np.repeat(np.arange(header.shape[1]), counts)), values[:stored])
    return matrix
