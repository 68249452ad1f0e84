"""Messages of Protocol Buffers, field by field: https://protobuf.dev/programming-guides/encoding/."""

from collections.abc import Iterator

from gradflow.readers.messages import report_damage

MAX_VARINT_BYTES = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the variable-length integer at ``position``, and the position after it.

    Raises
    ------
    DataError
        If the data end inside the integer, or it is too long.

    Examples
    --------
    >>> read_varint(bytes([0xAC, 0x02]), 0)
    (300, 2)
    """
    value = 0
    for count, byte in enumerate(data[position : position + MAX_VARINT_BYTES]):
        value |= (byte & 127) << (7 * count)
        if byte < 128:
            return value, position + count + 1
    raise report_damage("a number of variable length does not end")


def list_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of every field: an integer, or the bytes of a text or message.

    Raises
    ------
    DataError
        If the message is damaged.

    Examples
    --------
    >>> list(list_fields(bytes([0x08, 0x96, 0x01, 0x12, 0x02]) + b"hi"))
    [(1, 150), (2, b'hi')]
    """
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = read_varint(message, position)
            yield number, value
            continue
        length = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            length, position = read_varint(message, position)
        if length is None or position + length > len(message):
            raise report_damage("a message is cut short, or is none")
        content = message[position : position + length]
        position += length
        yield number, content if kind == _BYTES else int.from_bytes(content, "little")
