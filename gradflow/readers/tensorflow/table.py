"""Sorted tables of keys and values as LevelDB writes them: TensorFlow's ``.index`` files.

A table is a row of blocks, each followed by one byte for its compression and the masked CRC-32C of both. The
footer points to a block of pointers to the others. In a block, each key leaves out what it shares with the
one before: https://github.com/google/leveldb/blob/main/doc/table_format.md.
"""

from collections.abc import Iterator

from gradflow.errors import DataError
from gradflow.readers.contents import check_names_length
from gradflow.readers.messages import report_damage
from gradflow.readers.source import Source
from gradflow.readers.tensorflow.protobuf import read_varint

TABLE_SIGNATURE = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
FOOTER_BYTES = 48
MAX_TABLE_KEY_BYTES = 4000  # the longest of TensorFlow have some hundred
_TRAILER_BYTES = 5
_UNCOMPRESSED = 0
_CRC_POLYNOMIAL = 0x82F63B78
_CRC_MASK = 0xA282EAD8


def is_table(source: Source) -> bool:
    """Return whether ``source`` ends with the signature of a table."""
    if source.size < FOOTER_BYTES:
        return False
    return source.read(source.size - len(TABLE_SIGNATURE)) == TABLE_SIGNATURE


def list_entries(source: Source) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a table, in the order of the keys.

    Raises
    ------
    DataError
        If the table is damaged or compressed, or if its keys are longer than those of any model.
    """
    if not is_table(source):
        raise report_damage("does not end with the signature of a table of TensorFlow")
    footer = source.read(source.size - FOOTER_BYTES)
    position = read_varint(footer, read_varint(footer, 0)[1])[1]  # the handle of the metadata comes first
    end = key_bytes = 0
    last_key = None
    for _, handle in _list_block(_read_block(source, footer, position)):
        offset = read_varint(handle, 0)[0]
        if offset < end:
            raise report_damage(
                "the blocks of the table overlap"
            )  # else a small file could have endless entries
        block = _read_block(source, handle, 0)
        end = offset + len(block)
        for key, value in _list_block(block):
            if last_key is not None and key <= last_key:
                raise report_damage("the keys of the table are not in order")
            last_key = key
            key_bytes += len(key)
            check_names_length(key_bytes, source.size)
            yield key, value


def _read_block(source: Source, handle: bytes, position: int) -> bytes:
    """Return the content of the block whose offset and size are at ``position`` of ``handle``."""
    offset, position = read_varint(handle, position)
    size, _ = read_varint(handle, position)
    source.require_bytes(offset, size + _TRAILER_BYTES, "a block of the table")
    block = source.read(offset, size + _TRAILER_BYTES)
    content, compression, stored_checksum = (
        block[:size],
        block[size],
        int.from_bytes(block[size + 1 :], "little"),
    )
    checksum = compute_crc32c(block[: size + 1])
    if ((checksum >> 15 | checksum << 17) + _CRC_MASK) % 2**32 != stored_checksum:
        raise report_damage("the checksum of a block of the table is wrong")
    if compression != _UNCOMPRESSED:
        raise DataError(
            f"its table is compressed (method {compression}), which TensorFlow does not do by itself and "
            "gradflow does not read; save it again with tf.train.Checkpoint"
        )
    return content


def _list_block(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if len(block) < 4 or end < 0:
        raise report_damage("a block of the table is cut short")
    position, key = 0, b""
    while position < end:
        shared, position = read_varint(block, position)
        added, position = read_varint(block, position)
        length, position = read_varint(block, position)
        if shared > len(key) or position + added + length > end:
            raise report_damage("an entry of the table is cut short")
        if shared + added > MAX_TABLE_KEY_BYTES:
            raise DataError(
                f"a name in its table takes {shared + added} bytes; expected at most {MAX_TABLE_KEY_BYTES}"
            )
        key = key[:shared] + block[position : position + added]
        position += added
        yield key, block[position : position + length]
        position += length


def _make_crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_CRC_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_CRC_TABLE = _make_crc_table()


def compute_crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of bytes.

    Examples
    --------
    >>> hex(compute_crc32c(b"123456789"))
    '0xe3069283'
    """
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC_TABLE[(value ^ byte) & 255] ^ value >> 8
    return value ^ 0xFFFFFFFF
