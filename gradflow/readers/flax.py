"""Flax's ``to_bytes``: msgpack of nested dicts of arrays.

An array is an extension of type 1: a msgpack of its shape, its type and its bytes. One of over 1 GiB is a
dict of chunks. The names of nested dicts are joined by dots.

This is a reader of our own, because the ``msgpack`` package builds everything in memory before it returns:
all arrays of a large file, and 60 bytes for each byte of a hostile one. The format is described at
https://github.com/msgpack/msgpack/blob/master/spec.md.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents, check_array_count, check_names_length
from gradflow.readers.entry_types import ENTRY_TYPES, refuse_entry_type
from gradflow.readers.messages import prefix_errors, quote, report_damage
from gradflow.readers.source import Source, check_byte_limit, count_bytes
from gradflow.readers.stored_array import StoredArray

MAX_MSGPACK_DEPTH = 100
MAX_MSGPACK_VALUES = 100_000  # more than any model has; each takes microseconds
MAX_KEY_BYTES = 1000
MAX_NAME_CHARACTERS = 2000
# Extensions with an array: an array, and a scalar of numpy, which is an array without dimensions.
_ARRAY_EXTENSIONS = {1, 3}
_CHUNKED_MARK = "__msgpack_chunked_array__"
_CHUNK_SHAPE, _CHUNKS = "shape", "chunks"
_FIX_TEXT, _NIL = 0xA0, 0xC0

# First byte → the kind of the value, and how many bytes hold its length or count.
_SIZED_KINDS = {
    **{0xC4 + k: ("bytes", 2**k) for k in range(3)},
    **{0xC7 + k: ("extension", 2**k) for k in range(3)},
    **{0xD9 + k: ("text", 2**k) for k in range(3)},
    **{0xDC + k: ("list", 2 << k) for k in range(2)},
    **{0xDE + k: ("dict", 2 << k) for k in range(2)},
}
# First byte → the bytes of a number, and whether it is a whole number with a sign.
_NUMBER_BYTES = {0xCA: 4, 0xCB: 8, **{0xCC + k: 2**k for k in range(4)}, **{0xD0 + k: 2**k for k in range(4)}}
_FIXED_EXTENSION_BYTES = {0xD4 + k: 2**k for k in range(5)}

_Path: TypeAlias = tuple[str, ...]


class _MsgpackValue(NamedTuple):
    """A value at ``start``: its kind, and where its content starts and ends.

    ``number`` is the number of items of a list or dict, the value of a whole number, or the type of an
    extension.
    """

    kind: str
    start: int
    end: int
    number: int = 0


class _FlaxArray(NamedTuple):
    """The shape and type of an array, and where its bytes are."""

    shape: tuple[int, ...]
    dtype: str
    offset: int
    size: int


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts with a dict whose first name is printable text."""
    head = memoryview(source.head)
    try:
        first = _parse_value(head, 0)
        if first.kind != "dict" or not first.number:
            return False
        name = _parse_value(head, first.end)
        return name.kind == "text" and _decode_key(head, name).isprintable()
    except DataError:
        return False


def read(source: Source) -> FileContents:
    """Return the arrays by their dotted paths, memory-mapped. Other values are left out.

    Raises
    ------
    DataError
        If the file is damaged or holds no array of Flax, or if two arrays have the same name.
    """
    data = source.map_array(np.uint8, (source.size,), 0).data
    arrays: dict[str, StoredArray] = {}
    for path, parts in _collect_arrays(data).items():
        name = ".".join(path)
        if name in arrays:
            raise DataError(f"holds two arrays named {quote(name)}; expected each name once")
        with prefix_errors(quote(name)):
            arrays[name] = _describe_array(source, name, *parts)
    if not arrays:
        raise DataError(
            "is a msgpack file that holds no array of Flax; expected what flax.serialization.to_bytes writes"
        )
    return FileContents(arrays)


def _collect_arrays(data: memoryview) -> dict[_Path, tuple[tuple[int, ...], list[_FlaxArray]]]:
    """Return the shape and the parts of every array by its path."""
    whole: dict[_Path, tuple[tuple[int, ...], list[_FlaxArray]]] = {}
    chunked: set[_Path] = set()
    sizes: dict[_Path, int] = {}
    names_length = 0
    for path, value in _walk_values(data):
        if path[-1:] == (_CHUNKED_MARK,):
            chunked.add(path[:-1])
        elif value.kind == "integer" and path[-2:-1] == (_CHUNK_SHAPE,):
            sizes[path] = value.number
        elif value.kind == "extension" and value.number in _ARRAY_EXTENSIONS:
            array = _parse_array(data, value)
            if path in whole:
                raise DataError(f"holds two arrays named {quote('.'.join(path))}; expected each name once")
            whole[path] = array.shape, [array]
        else:
            continue
        length = sum(map(len, path)) + len(path)
        if length > MAX_NAME_CHARACTERS:
            raise report_damage(f"an array has a name of over {MAX_NAME_CHARACTERS} characters")
        names_length += length
        check_names_length(names_length, len(data))
        check_array_count(len(whole) + len(sizes) + len(chunked))
    for path in chunked:
        shape = _take_numbered(sizes, (*path, _CHUNK_SHAPE))
        parts = [part for _, parts in _take_numbered(whole, (*path, _CHUNKS)) for part in parts]
        whole[path] = tuple(shape), parts
    return whole


def _take_numbered(values: dict[_Path, Any], path: _Path) -> list[Any]:
    """Remove and return the values below ``path`` that are numbered from 0."""
    taken: list[Any] = []
    while (*path, str(len(taken))) in values:
        taken.append(values.pop((*path, str(len(taken)))))
    return taken


def _walk_values(data: memoryview) -> Iterator[tuple[_Path, _MsgpackValue]]:
    """Yield the path and place of every value that is neither a list nor a dict.

    Raises
    ------
    DataError
        If the file is damaged, nested too deep, or has a name that is neither text nor a number.
    """
    position = 0
    # The open lists and dicts: the kind, the number of items that are left, and the number of all items.
    parents: list[list[Any]] = []
    path: list[str] = []
    for _ in range(MAX_MSGPACK_VALUES):
        if parents and parents[-1][0] == "dict":
            key = _parse_value(data, position)
            path.append(_decode_key(data, key))
            position = key.end
        elif parents:
            path.append(str(parents[-1][2] - parents[-1][1]))
        value = _parse_value(data, position)
        position = value.end
        if value.kind in ("list", "dict"):
            # Each item takes at least one byte, so a count beyond the end is damage.
            if value.number > len(data) - position or len(parents) >= MAX_MSGPACK_DEPTH:
                raise report_damage(
                    f"a {value.kind} of {value.number} items at byte {value.start} is cut short, or too deep"
                )
            if sum(map(len, path)) > MAX_NAME_CHARACTERS:
                raise report_damage(f"an array has a name of over {MAX_NAME_CHARACTERS} characters")
            parents.append([value.kind, value.number, value.number])
        else:
            yield tuple(path), value
            if path:
                path.pop()
            if parents:
                parents[-1][1] -= 1
        while parents and not parents[-1][1]:
            parents.pop()
            if path:
                path.pop()
            if parents:
                parents[-1][1] -= 1
        if not parents:
            break
    else:
        raise DataError(
            f"is msgpack with more than {MAX_MSGPACK_VALUES} values; expected the arrays of a model"
        )
    if position != len(data):
        raise report_damage(f"{len(data) - position} bytes follow the msgpack")


def _parse_value(data: memoryview, start: int) -> _MsgpackValue:
    """Return the value at ``start``. The content of a list or dict follows its end."""
    if start >= len(data):
        raise report_damage("the msgpack ends early")
    first, position = data[start], start + 1
    if first < 0x80:
        return _MsgpackValue("integer", start, position, first)
    if first < _FIX_TEXT:
        return _MsgpackValue("dict" if first < 0x90 else "list", start, position, first & 15)
    if first < _NIL:
        return _check_end(data, _MsgpackValue("text", position, position + (first & 31)))
    if first in _SIZED_KINDS:
        kind, width = _SIZED_KINDS[first]
        length = _read_integer(data, position, width)
        position += width
        if kind in ("list", "dict"):
            return _MsgpackValue(kind, start, position, length)
        if kind == "extension":
            return _parse_extension(data, position, length)
        return _check_end(data, _MsgpackValue(kind, position, position + length))
    if first in _NUMBER_BYTES:
        width = _NUMBER_BYTES[first]
        whole = 0xCC <= first <= 0xCF
        number = _read_integer(data, position, width)
        return _MsgpackValue("integer" if whole else "other", start, position + width, number)
    if first in _FIXED_EXTENSION_BYTES:
        return _parse_extension(data, position, _FIXED_EXTENSION_BYTES[first])
    if first == 0xC1:
        raise report_damage(f"byte {start} starts no value of msgpack")
    return _MsgpackValue("other", start, position)  # nil, a truth value or a small negative number


def _parse_extension(data: memoryview, position: int, length: int) -> _MsgpackValue:
    kind = _read_integer(data, position, 1)
    return _check_end(data, _MsgpackValue("extension", position + 1, position + 1 + length, kind))


def _check_end(data: memoryview, value: _MsgpackValue) -> _MsgpackValue:
    if value.end > len(data):
        raise report_damage(
            f"a value at byte {value.start} needs {value.end - value.start} bytes, more than there are"
        )
    return value


def _read_integer(data: memoryview, position: int, width: int) -> int:
    if position + width > len(data):
        raise report_damage("the msgpack ends early")
    return int.from_bytes(data[position : position + width], "big")


def _decode_key(data: memoryview, key: _MsgpackValue) -> str:
    if key.kind == "integer":
        return str(key.number)
    if key.kind != "text" or key.end - key.start > MAX_KEY_BYTES:
        raise DataError(
            f"is msgpack with a name at byte {key.start} that is no short text; expected what "
            "flax.serialization.to_bytes writes"
        )
    try:
        return bytes(data[key.start : key.end]).decode()
    except UnicodeDecodeError as error:
        raise report_damage(f"a name at byte {key.start} is not UTF-8") from error


def _parse_array(data: memoryview, extension: _MsgpackValue) -> _FlaxArray:
    """Return the array in an extension: a msgpack of its shape, its type and its bytes."""
    inner = data[extension.start : extension.end]
    outer = _parse_value(inner, 0)
    shape_list = _parse_value(inner, outer.end)
    if (outer.kind, outer.number, shape_list.kind) != ("list", 3, "list"):
        raise report_damage(f"the extension at byte {extension.start} is not an array of Flax")
    shape, position = [], shape_list.end
    for _ in range(shape_list.number):
        size = _parse_value(inner, position)
        position = size.end
        shape.append(size.number if size.kind == "integer" else -1)
    count_bytes(shape, 1)
    dtype = _parse_value(inner, position)
    content = _parse_value(inner, dtype.end)
    if content.kind not in ("bytes", "text") or content.end != len(inner):
        raise report_damage(f"the array at byte {extension.start} does not end with its bytes")
    offset = extension.start + content.start
    return _FlaxArray(tuple(shape), _decode_key(inner, dtype), offset, content.end - content.start)


def _describe_array(
    source: Source, name: str, shape: tuple[int, ...], parts: list[_FlaxArray]
) -> StoredArray:
    dtypes = {part.dtype for part in parts}
    if len(dtypes) != 1:
        raise report_damage(f"its {len(parts)} chunks have {len(dtypes)} types; expected chunks of one type")
    dtype = dtypes.pop()
    if dtype not in ENTRY_TYPES:
        return StoredArray(source.name, name, shape, dtype, partial(refuse_entry_type, dtype))
    stored = ENTRY_TYPES[dtype].make_dtype()
    expected = count_bytes(shape, stored.itemsize)
    sizes = [count_bytes(part.shape, stored.itemsize) for part in parts]
    if sizes != [part.size for part in parts] or sum(sizes) != expected:
        raise report_damage(
            f"shape {shape} and type {dtype} take {expected} bytes, not {sum(part.size for part in parts)}"
        )
    load = partial(_load_parts, source, stored, shape, parts)
    return StoredArray(source.name, name, shape, dtype, load, ENTRY_TYPES[dtype].decode)


def _load_parts(
    source: Source, dtype: np.dtype[Any], shape: tuple[int, ...], parts: list[_FlaxArray]
) -> NDArray[Any]:
    if len(parts) == 1:
        return source.map_array(dtype, shape, parts[0].offset)
    check_byte_limit(math.prod(shape) * dtype.itemsize, f"an array of shape {shape}")
    flat = [source.map_array(dtype, (part.size // dtype.itemsize,), part.offset) for part in parts]
    return np.concatenate(flat).reshape(shape)
