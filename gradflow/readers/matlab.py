"""MATLAB .mat of versions 5 to 7.2: numeric, logical and sparse variables.

Read without `scipy.io.loadmat`, in which one wrong byte can end the process (a segmentation fault in scipy
1.17's compiled reader). The format: MathWorks, "MAT-File Format", chapter 1, Level 5.

A file is a header of 128 bytes, then elements: a tag (type, byte count) and data. A variable is an element
of type 14 whose data are elements again: flags, dimensions, name, real part, imaginary part. An element of
type 15 is a variable under zlib.
"""

import math
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import damaged, shown
from gradflow.readers.source import Source, byte_count, claim
from gradflow.readers.stored import StoredArray

MAGIC = b"MATLAB 5.0 MAT-file"
HEADER_BYTES = 128
# enough for 32 dimensions and a name of 63 characters, the most that MATLAB writes
PREVIEW = 4096
_VARIABLE, _COMPRESSED = 14, 15
_SPARSE = 5
_COMPLEX_FLAG, _LOGICAL_FLAG = 0x800, 0x200
# class of a variable → its type; the other classes (cells, structs, characters) are no numbers
_CLASSES = dict(enumerate(("f8", "f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), _SPARSE))
# type of an element → how its entries lie there, often narrower than the class
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


class _Element(NamedTuple):
    """Where the data of an element lie in the file."""

    kind: int
    offset: int
    length: int


class _Header(NamedTuple):
    """What a variable says before its numbers."""

    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str

    @property
    def dtype(self) -> str:
        if self.flags & _LOGICAL_FLAG:
            return "bool"
        plain = np.dtype(_CLASSES[self.kind])
        return str(np.result_type(plain, np.complex64) if self.flags & _COMPLEX_FLAG else plain)


class _Elements:
    """The elements inside a variable, taken one after the other."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data = memoryview(data)
        self._order = order
        self._position = 0

    def word(self) -> int:
        """Return the next unsigned 32-bit integer."""
        return int(np.frombuffer(self._bytes(4), f"{self._order}u4")[0])

    def take(self) -> NDArray[Any]:
        """Return the entries of the next element."""
        first = self.word()
        # four bytes or fewer stand in the tag itself, which then has their count in its upper half
        kind, count = (first & 0xFFFF, first >> 16) if first >> 16 else (first, self.word())
        if kind not in _TYPES:
            raise damaged(f"has an element of type {kind}; expected numbers")
        dtype = np.dtype(self._order + _TYPES[kind])
        data = self._bytes(count)
        self._position += -self._position % 8
        if count % dtype.itemsize:
            raise damaged(f"has {count} bytes of {dtype.itemsize}-byte entries")
        return np.frombuffer(data, dtype)

    def integers(self) -> NDArray[np.int64]:
        """Return the entries of the next element, which must be whole numbers."""
        entries = self.take()
        if entries.dtype.kind not in "iu":
            raise damaged(f"has {entries.dtype} where whole numbers belong")
        return entries.astype(np.int64)

    def header(self) -> _Header | None:
        """Return the variable's header, or None if it holds no numbers."""
        flags = self.take()
        if len(flags) != 2 or flags.dtype.kind != "u":
            raise damaged("has no flags")
        kind = int(flags[0]) & 0xFF
        if kind not in _CLASSES:
            return None
        shape = tuple(int(size) for size in self.integers())
        byte_count(shape, 1)
        return _Header(kind, int(flags[0]), shape, self.take().tobytes().decode("latin-1"))

    def _bytes(self, count: int) -> memoryview:
        found = self._data[self._position : self._position + count]
        if len(found) < count:
            raise damaged("ends in the middle of an element")
        self._position += count
        return found


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts with the text and the byte order mark of a Level 5 file."""
    return source.head.startswith(MAGIC) and source.head[126:HEADER_BYTES] in (b"IM", b"MI")


def read(source: Source) -> dict[str, StoredArray]:
    """Return the numeric variables of a .mat file; cells, structs and text are left out.

    Raises
    ------
    DataError
        If the file is damaged, or holds two variables of one name.
    """
    order = "<" if source.head[126:HEADER_BYTES] == b"IM" else ">"
    arrays: dict[str, StoredArray] = {}
    for element in _top_level(source, order):
        header = _Elements(_content(source, element, order, PREVIEW), order).header()
        # a variable without a name is the workspace of function handles
        if header is None or not header.name:
            continue
        if header.name in arrays:
            raise DataError(f"holds two variables named {shown(header.name)}; expected each name once")
        load = partial(_load, source, element, order)
        arrays[header.name] = StoredArray(source.name, header.name, header.shape, header.dtype, load)
    return arrays


def _top_level(source: Source, order: str) -> Iterator[_Element]:
    offset = HEADER_BYTES
    while offset < source.size:
        kind, count = (int(word) for word in np.frombuffer(source.read(offset, 8), f"{order}u4"))
        source.require(offset + 8, count, f"the variable at byte {offset}")
        if kind not in (_VARIABLE, _COMPRESSED):
            raise damaged(f"has type {kind} at byte {offset}; expected a variable (14 or 15)")
        yield _Element(kind, offset + 8, count)
        offset += 8 + count


def _content(source: Source, element: _Element, order: str, most: int | None = None) -> bytes:
    """Return the data of a variable, or their first ``most`` bytes, inflated to what it declares at most."""
    count = element.length if most is None else min(element.length, most)
    data = source.read(element.offset, count)
    if element.kind == _VARIABLE:
        return data
    inflater = zlib.decompressobj()
    try:
        kind, declared = np.frombuffer(inflater.decompress(data, 8), f"{order}u4")
        wanted = int(declared) if most is None else min(int(declared), most)
        claim(wanted, "an inflated variable")
        # one byte more would be one too many, and asking for it makes zlib compare its checksum
        content = inflater.decompress(inflater.unconsumed_tail, wanted + 1)
    except (zlib.error, ValueError) as error:
        raise damaged(f"damaged compression at byte {element.offset} ({error})") from error
    if kind != _VARIABLE or (most is None and (len(content) != wanted or not inflater.eof)):
        raise damaged(f"what is compressed at byte {element.offset} is not what it declares")
    return content


def _load(source: Source, element: _Element, order: str) -> NDArray[Any]:
    elements = _Elements(_content(source, element, order), order)
    header = elements.header()
    if header is None:
        raise DataError("changed while it was being read; try again")
    if header.kind == _SPARSE:
        return _dense(elements, header)
    count = math.prod(header.shape)
    values = _values(elements, header)
    if len(values) != count:
        raise damaged(f"holds {len(values)} numbers where its shape {header.shape} has {count}")
    return values.reshape(header.shape, order="F")


def _values(elements: _Elements, header: _Header) -> NDArray[Any]:
    """Return the numbers of a variable, from one element or from one for each part."""
    values = elements.take()
    if not header.flags & _COMPLEX_FLAG:
        return values
    imaginary = elements.take()
    if len(values) != len(imaginary):
        raise damaged(f"holds {len(values)} real and {len(imaginary)} imaginary parts")
    both = np.empty(len(values), np.complex128)
    both.real, both.imag = values, imaginary
    return both


def _dense(elements: _Elements, header: _Header) -> NDArray[Any]:
    """Return a matrix stored by columns: the row of each value, where each column starts, the values."""
    rows, starts = elements.integers(), elements.integers()
    values = _values(elements, header)
    if len(header.shape) != 2 or len(starts) != header.shape[1] + 1:
        raise damaged(f"has {len(starts)} column starts for shape {header.shape}")
    counts = np.diff(starts)
    # there may be room for more values than there are
    stored = int(starts[-1])
    if starts[0] != 0 or (counts < 0).any() or stored > min(len(rows), len(values)):
        raise damaged("has column starts that run backwards or past the end")
    rows = rows[:stored]
    if ((rows < 0) | (rows >= header.shape[0])).any():
        raise damaged(f"has a row index outside shape {header.shape}")
    matrix_type = np.result_type(values, np.float64)
    claim(byte_count(header.shape, matrix_type.itemsize), f"a dense matrix of shape {header.shape}")
    matrix = np.zeros(header.shape, matrix_type)
    np.add.at(matrix, (rows, np.repeat(np.arange(header.shape[1]), counts)), values[:stored])
    return matrix
