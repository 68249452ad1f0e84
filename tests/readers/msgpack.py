"""Msgpack as Flax's ``to_bytes`` writes it, for tests that run without Flax."""

import struct

import numpy as np


def sized(first, content):
    """Return content with its length in 32 bits before it."""
    return struct.pack(">BI", first, len(content)) + content


def packed(value):
    match value:
        case None | bool():
            return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
        case int():
            return bytes([value]) if 0 <= value < 128 else struct.pack(">BQ", 0xCF, value)
        case float():
            return struct.pack(">Bd", 0xCB, value)
        case str():
            content = value.encode()
            return bytes([0xA0 | len(content)]) + content if len(content) < 32 else sized(0xDB, content)
        case bytes():
            return sized(0xC6, value)
        case list() | tuple():
            start = bytes([0x90 | len(value)]) if len(value) < 16 else struct.pack(">BI", 0xDD, len(value))
            return start + b"".join(map(packed, value))
        case dict():
            start = bytes([0x80 | len(value)]) if len(value) < 16 else struct.pack(">BI", 0xDF, len(value))
            return start + b"".join(packed(part) for item in value.items() for part in item)
        case np.ndarray():
            return extension(1, packed([list(value.shape), value.dtype.name, value.tobytes()]))
    raise TypeError(value)


def extension(kind, content):
    return struct.pack(">BIB", 0xC9, len(content), kind) + content
