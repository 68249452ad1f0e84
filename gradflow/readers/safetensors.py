"""safetensors: u64 header length, JSON header {name: {dtype, shape, data_offsets}}, data.

Read with numpy alone: the ``safetensors`` package gives no bfloat16 without another package.
"""

import json
from functools import partial
from typing import Any

from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.json_text import without_duplicates
from gradflow.readers.kinds import KINDS
from gradflow.readers.messages import damaged, shown
from gradflow.readers.source import Source, byte_count
from gradflow.readers.stored import StoredArray

LENGTH_BYTES = 8
LONGEST_HEADER = 100_000_000


_TYPES = {
    "F64": KINDS["float64"],
    "F32": KINDS["float32"],
    "F16": KINDS["float16"],
    "BF16": KINDS["bfloat16"],
    "C64": KINDS["complex64"],
    "I64": KINDS["int64"],
    "I32": KINDS["int32"],
    "I16": KINDS["int16"],
    "I8": KINDS["int8"],
    "U64": KINDS["uint64"],
    "U32": KINDS["uint32"],
    "U16": KINDS["uint16"],
    "U8": KINDS["uint8"],
    "BOOL": KINDS["bool"],
}


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts with a plausible header length and a brace."""
    head = source.head
    return head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{" and _header_length(head) <= LONGEST_HEADER


def read(source: Source) -> dict[str, StoredArray]:
    """Return the arrays of a safetensors file, memory-mapped.

    One of a type that numpy lacks, such as F8_E4M3, is listed and refused when it is read.

    Raises
    ------
    DataError
        If the header is damaged, or claims what is not there.
    """
    length = _header_length(source.head)
    source.require(LENGTH_BYTES, length, "the header")
    try:
        header = json.loads(source.read(LENGTH_BYTES, length), object_pairs_hook=without_duplicates)
        start = LENGTH_BYTES + length
        return {
            name: _stored(source, name, entry, start)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, RecursionError) as error:
        raise damaged(f"the safetensors header is unreadable ({shown(str(error), 100)})") from error


def _stored(source: Source, name: str, entry: object, start: int) -> StoredArray:
    shape, dtype, begin, end = _fields(name, entry)
    source.require(start, end, f"array {shown(name)}")
    if dtype not in _TYPES:
        return StoredArray(source.name, name, shape, dtype, partial(_refuse, dtype))
    kind = _TYPES[dtype]
    expected = byte_count(shape, kind.dtype().itemsize)
    if expected != end - begin:
        raise damaged(
            f"array {shown(name)} of shape {shape} and type {dtype} takes {expected} bytes, but its "
            f"data_offsets span {end - begin}"
        )
    load = partial(source.mapped, kind.dtype(), shape, start + begin)
    return StoredArray(source.name, name, shape, kind.name, load, kind.decode)


def _fields(name: str, entry: object) -> tuple[tuple[int, ...], str, int, int]:
    """Return shape, dtype, begin and end of a header's entry, which may be any JSON value."""
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            byte_count(shape, 1)
            if 0 <= begin <= end:
                return tuple(shape), dtype, begin, end
    raise damaged(
        f"array {shown(name)} is described by {shown(json.dumps(entry), 120)}; expected dtype, shape and "
        "data_offsets that do not run backwards"
    )


def _refuse(dtype: str) -> NDArray[Any]:
    raise DataError(f"has type {shown(dtype)}; expected one of {', '.join(_TYPES)}, convert it")


def _header_length(head: bytes) -> int:
    return int.from_bytes(head[:LENGTH_BYTES], "little")
