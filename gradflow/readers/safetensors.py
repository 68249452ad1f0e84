"""safetensors: u64 header length, JSON header {name: {dtype, shape, data_offsets}}, data.

This reader needs numpy alone. The ``safetensors`` package cannot read bfloat16 without another package.
"""

import json
from functools import partial

from gradflow.readers.contents import FileContents
from gradflow.readers.entry_types import ENTRY_TYPES, refuse_entry_type
from gradflow.readers.json_text import collect_unique_members
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.source import Source, count_bytes
from gradflow.readers.stored_array import StoredArray

HEADER_LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000


_SAFETENSORS_TYPES = {
    "F64": ENTRY_TYPES["float64"],
    "F32": ENTRY_TYPES["float32"],
    "F16": ENTRY_TYPES["float16"],
    "BF16": ENTRY_TYPES["bfloat16"],
    "C64": ENTRY_TYPES["complex64"],
    "I64": ENTRY_TYPES["int64"],
    "I32": ENTRY_TYPES["int32"],
    "I16": ENTRY_TYPES["int16"],
    "I8": ENTRY_TYPES["int8"],
    "U64": ENTRY_TYPES["uint64"],
    "U32": ENTRY_TYPES["uint32"],
    "U16": ENTRY_TYPES["uint16"],
    "U8": ENTRY_TYPES["uint8"],
    "BOOL": ENTRY_TYPES["bool"],
}


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts with a plausible header length, followed by a brace."""
    head = source.head
    return (
        head[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + 1] == b"{"
        and _read_header_length(head) <= MAX_HEADER_BYTES
    )


def read(source: Source) -> FileContents:
    """Return the arrays of a safetensors file, memory-mapped.

    An array of a type that numpy lacks, such as F8_E4M3, is listed, and refused when it is read.

    Raises
    ------
    DataError
        If the header is damaged, or declares bytes that are not there.
    """
    length = _read_header_length(source.head)
    source.require_bytes(HEADER_LENGTH_BYTES, length, "the header")
    try:
        header = json.loads(
            source.read(HEADER_LENGTH_BYTES, length), object_pairs_hook=collect_unique_members
        )
        start = HEADER_LENGTH_BYTES + length
        arrays = {
            name: _describe_array(source, name, entry, start)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, RecursionError) as error:
        raise report_damage(f"the safetensors header is unreadable ({quote(str(error), 100)})") from error
    return FileContents(arrays)


def _describe_array(source: Source, name: str, entry: object, start: int) -> StoredArray:
    shape, dtype, begin, end = _parse_entry(name, entry)
    source.require_bytes(start, end, f"array {quote(name)}")
    if dtype not in _SAFETENSORS_TYPES:
        return StoredArray(
            source.name, name, shape, dtype, partial(refuse_entry_type, dtype, _SAFETENSORS_TYPES)
        )
    kind = _SAFETENSORS_TYPES[dtype]
    expected = count_bytes(shape, kind.make_dtype().itemsize)
    if expected != end - begin:
        raise report_damage(
            f"array {quote(name)} of shape {shape} and type {dtype} takes {expected} bytes, but its "
            f"data_offsets span {end - begin}"
        )
    load = partial(source.map_array, kind.make_dtype(), shape, start + begin)
    return StoredArray(source.name, name, shape, kind.name, load, kind.decode)


def _parse_entry(name: str, entry: object) -> tuple[tuple[int, ...], str, int, int]:
    """Return the shape, dtype, begin and end of an entry of the header, which may be any JSON value."""
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            count_bytes(shape, 1)
            if 0 <= begin <= end:
                return tuple(shape), dtype, begin, end
    raise report_damage(
        f"array {quote(name)} is described by {quote(json.dumps(entry), 120)}; expected dtype, shape and "
        "data_offsets that do not run backwards"
    )


def _read_header_length(head: bytes) -> int:
    return int.from_bytes(head[:HEADER_LENGTH_BYTES], "little")
