"""A checkpoint of TensorFlow written by hand, for tests without TensorFlow: its table, messages and data."""

import struct
from functools import cache

import numpy as np

# tensorflow/core/framework/types.proto
TYPES = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "bool": 10, "complex128": 18, "float16": 19}
STRING = 7


def varint(value):
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number, value):
    """Return a field of a message: an integer, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


@cache
def divided(byte):
    """Return the rest of one byte by the polynomial of CRC-32C, bit by bit."""
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = divided((value ^ byte) & 255) ^ value >> 8
    return value ^ 0xFFFFFFFF


def masked(checksum):
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def block(entries, compression=0):
    """Return a block in which every key leaves out what it shares with the one before."""
    content, last = b"", b""
    for key, value in entries:
        shared = next(
            (k for k, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), min(len(key), len(last))
        )
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return sealed(content, compression)


def sealed(content, compression=0):
    """Return the entries of a block with what follows them."""
    content += struct.pack("<II", 0, 1) + bytes([compression])
    return content + struct.pack("<I", masked(crc32c(content)))


def table(entries, per_block=3, compression=0):
    """Return a table of sorted entries."""
    entries, content, handles = sorted(entries.items()), b"", []
    for start in range(0, len(entries), per_block):
        part = entries[start : start + per_block]
        stored = block(part, compression)
        handles.append((part[-1][0], varint(len(content)) + varint(len(stored) - 5)))
        content += stored
    return closed(content, handles)


def closed(content, handles):
    """Return the blocks of a table with what follows them."""
    places = b""
    for stored in (block([]), block(handles)):
        places += varint(len(content)) + varint(len(stored) - 5)
        content += stored
    return content + places.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def entry(array, offset, file=0):
    """Return the message that describes an array."""
    shape = b"".join(field(2, field(1, size)) for size in array.shape)
    return b"".join(
        [
            field(1, TYPES[array.dtype.name]),
            field(2, shape),
            field(3, file),
            field(4, offset),
            field(5, array.nbytes),
        ]
    )


def graph_node(children=(), variables=()):
    """Return an object of the graph: its children (name, place), its variables (full name, key)."""
    parts = [field(1, field(1, place) + field(2, name.encode())) for name, place in children]
    parts += [
        field(2, field(1, b"VARIABLE_VALUE") + field(2, name.encode()) + field(3, key.encode()))
        for name, key in variables
    ]
    return field(1, b"".join(parts))


def written(folder, arrays, name="ckpt-1", graph=None, **options):
    """Write a checkpoint of arrays by their keys, and perhaps the graph of objects; return its index."""
    data, entries = b"", {b"": field(1, 1) + field(3, field(1, 1))}
    for key, array in arrays.items():
        array = np.asarray(array)
        entries[key.encode()] = entry(array, len(data))
        data += array.tobytes()
    if graph is not None:
        length = varint(len(graph))
        text = length + struct.pack("<I", masked(crc32c(length))) + graph
        described = field(1, STRING) + field(2, b"") + field(4, len(data)) + field(5, len(text))
        entries[b"_CHECKPOINTABLE_OBJECT_GRAPH"] = described
        data += text
    index = folder / f"{name}.index"
    index.write_bytes(table(entries, **options))
    (folder / f"{name}.data-00000-of-00001").write_bytes(data)
    return index
