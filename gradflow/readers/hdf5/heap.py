"""The heaps in which HDF5 stores text of variable length, checked before libhdf5 reads them.

libhdf5 2.0 never returns from a heap with a free space of size 0, and one wrong byte can produce it. The
format: The HDF Group, "HDF5 File Format Specification", III.E, global heap.
"""

import re
import struct

import numpy as np

from gradflow.readers.messages import report_damage
from gradflow.readers.source import Source

_HEAP_PATTERN = re.compile(rb"GCOL\x01...", re.DOTALL)
_FIRST_LENGTHS_OFFSET, _LENGTHS_OFFSET = 14, 10
_HEAP_HEADER = struct.Struct("<8xQ")
# Index (0 for free space), reference count, reserved, size.
_OBJECT_HEADER = struct.Struct("<HHIQ")


def check_heaps(source: Source) -> None:
    """Raise `DataError` unless the objects in every heap follow one another up to its end.

    Raises
    ------
    DataError
        Also if the file stores lengths in another number of bytes than 8; no library does so by default.
    """
    # The byte after the signature is the version of the header.
    lengths = source.head[_FIRST_LENGTHS_OFFSET if source.head[8:9] < b"\2" else _LENGTHS_OFFSET :][:1]
    if lengths != b"\x08":
        raise report_damage(f"stores lengths in {lengths[0] if lengths else 'no'} bytes; expected 8")
    content = source.map_array(np.uint8, (source.size,), 0).data
    # The total number of steps is bounded, because heaps inside heaps would repeat each step many times.
    steps = source.size // _OBJECT_HEADER.size
    for match in _HEAP_PATTERN.finditer(content):
        position = match.start() + _HEAP_HEADER.size
        if position > source.size:
            return
        end = min(match.start() + _HEAP_HEADER.unpack_from(content, match.start())[0], source.size)
        while position + _OBJECT_HEADER.size <= end:
            index, _, _, size = _OBJECT_HEADER.unpack_from(content, position)
            # The size of a free space includes its header. That of an object does not, but is padded to 8.
            position += size if index == 0 else _OBJECT_HEADER.size + -(-size // 8) * 8
            steps -= 1
            if (index == 0 and size < _OBJECT_HEADER.size) or position > end or steps < 0:
                raise report_damage(
                    f"has a heap at byte {match.start()} whose objects do not end where it ends"
                )
