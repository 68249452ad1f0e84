"""Where HDF5 keeps text of any length, checked before libhdf5 reads it.

libhdf5 2.0 never returns from a heap in which free space has no size, and one wrong byte makes it so. The
format: The HDF Group, "HDF5 File Format Specification", III.E, global heap.
"""

import re
import struct

import numpy as np

from gradflow.readers.messages import damaged
from gradflow.readers.source import Source

_HEAP = re.compile(rb"GCOL\x01...", re.DOTALL)
_LENGTHS_AT_FIRST, _LENGTHS_AT = 14, 10
_HEAP_HEADER = struct.Struct("<8xQ")
# index, which is 0 for free space, references, reserved, size
_OBJECT = struct.Struct("<HHIQ")


def check_heaps(source: Source) -> None:
    """Raise `DataError` unless the objects in every heap follow one another to its end.

    Raises
    ------
    DataError
        Also if the file writes lengths in other than 8 bytes, as no library does unasked.
    """
    # the first byte behind the signature is the version of the header
    lengths = source.head[_LENGTHS_AT_FIRST if source.head[8:9] < b"\2" else _LENGTHS_AT :][:1]
    if lengths != b"\x08":
        raise damaged(f"writes lengths in {lengths[0] if lengths else 'no'} bytes; expected 8")
    content = source.mapped(np.uint8, (source.size,), 0).data
    # heaps inside heaps would have each step taken many times
    steps = source.size // _OBJECT.size
    for match in _HEAP.finditer(content):
        position = match.start() + _HEAP_HEADER.size
        if position > source.size:
            return
        end = min(match.start() + _HEAP_HEADER.unpack_from(content, match.start())[0], source.size)
        while position + _OBJECT.size <= end:
            index, _, _, size = _OBJECT.unpack_from(content, position)
            # free space counts its header and objects do not, but are padded to 8 bytes
            position += size if index == 0 else _OBJECT.size + -(-size // 8) * 8
            steps -= 1
            if (index == 0 and size < _OBJECT.size) or position > end or steps < 0:
                raise damaged(f"has a heap at byte {match.start()} whose objects do not fill it")
