"""A large ONNX file without its large weights, which are mapped into memory when they are asked for.

An ONNX file is a protobuf message, a ModelProto. Its parser copies all weights. Here the entries of large
initializers are cut out beforehand, and each tensor says instead that they are in another file: the model
itself, where they were. The format is that of protobuf's wire
(https://protobuf.dev/programming-guides/encoding).
"""

import mmap
from collections.abc import Iterator

from gradflow.readers.source import Source

MIN_SKIMMED_BYTES = 16_000_000
_MIN_CUT_BYTES = 1_000_000
# Numbers of fields: of ModelProto, GraphProto, TensorProto and StringStringEntryProto.
_GRAPH, _INITIALIZER = 7, 5
_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 9, 13, 14
_KEY, _VALUE = 1, 2
_EXTERNAL = 1
# Types of the wire, and the number of bytes of those that have a fixed one.
_VARINT, _DELIMITED, _FIXED_BYTES = 0, 2, {1: 8, 5: 4}
_MAX_VARINT_BYTES = 10


class _WireError(Exception):
    """Bytes that are no protobuf message."""


def read_model(source: Source) -> bytes:
    """Return the model of a file; without the large entries of its initializers if it is a large file."""
    path = source.path
    if path is None or source.size < MIN_SKIMMED_BYTES or path.is_symlink():
        return source.read()
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return b"".join(_skim(content, 0, len(content), path.name.encode(), (_GRAPH, _INITIALIZER)))
        except (_WireError, UnicodeEncodeError):
            pass
    return source.read()


def _skim(content: mmap.mmap, start: int, end: int, name: bytes, path: tuple[int, ...]) -> Iterator[bytes]:
    """Yield a message in pieces, with those messages skimmed to which ``path``, numbers of fields, leads."""
    for number, wire, begin, body, stop in _list_fields(content, start, end):
        if wire == _DELIMITED and path and number == path[0]:
            inner = b"".join(_skim(content, body, stop, name, path[1:]))
            yield _write_field(number, inner)
        elif wire == _DELIMITED and not path and number == _RAW_DATA and stop - body >= _MIN_CUT_BYTES:
            for key, value in (
                (b"location", name),
                (b"offset", b"%d" % body),
                (b"length", b"%d" % (stop - body)),
            ):
                yield _write_field(_EXTERNAL_DATA, _write_field(_KEY, key) + _write_field(_VALUE, value))
            yield bytes([_DATA_LOCATION << 3 | _VARINT, _EXTERNAL])
        else:
            yield content[begin:stop]


def _list_fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield number and wire type of each field of a message, and where it begins, its value, and the rest."""
    position = start
    while position < end:
        tag, body = _read_varint(content, position, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            _, stop = _read_varint(content, body, end)
        elif wire == _DELIMITED:
            size, body = _read_varint(content, body, end)
            stop = body + size
        elif wire in _FIXED_BYTES:
            stop = body + _FIXED_BYTES[wire]
        else:
            raise _WireError
        if stop > end:
            raise _WireError
        yield number, wire, position, body, stop
        position = stop


def _read_varint(content: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """Return a number, and where it ends."""
    number = 0
    for count, byte in enumerate(content[position : min(position + _MAX_VARINT_BYTES, end)]):
        number |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return number, position + count + 1
    raise _WireError


def _write_varint(number: int) -> bytes:
    pieces = bytearray()
    while number >= 0x80:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*pieces, number])


def _write_field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | _DELIMITED]) + _write_varint(len(value)) + value
