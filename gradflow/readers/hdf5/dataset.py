"""The numbers of an HDF5 dataset: libhdf5 says where they are, and numpy reads them.

When libhdf5 itself reads a dataset, it inflates without bound, loads code for filters that it lacks, and may
end the process on one wrong byte (segmentation faults in chunks, HDF5 2.0). The positions and types that it
reports are checked here.
"""

import math
import zlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import report_damage
from gradflow.readers.source import Source, check_byte_limit, count_bytes

# The numbers of HDF5's own filters.
_DEFLATE_FILTER, _SHUFFLE_FILTER, _CHECKSUM_FILTER = 1, 2, 3
_CHECKSUM_BYTES = 4
_REPACK_ADVICE = "convert it: h5repack -f NONE -l CONTI OLD NEW"


def read_entries(source: Source, h5py: ModuleType, dataset: Any) -> NDArray[Any]:
    """Return the entries of a dataset, memory-mapped if they are contiguous.

    Raises
    ------
    DataError
        If the file holds fewer entries than it declares, or if they are compressed otherwise than by gzip.
    """
    dtype = dataset.dtype
    if dtype.kind != "V" and not dataset.id.get_type().equal(h5py.h5t.py_create(dtype)):
        raise DataError(f"has entries that numpy's {dtype} does not represent exactly; save them as {dtype}")
    declared = count_bytes(dataset.shape, dtype.itemsize)
    if declared == 0:
        return np.empty(dataset.shape, dtype)
    if dataset.chunks is not None:
        check_byte_limit(declared, "its content")
        return _join_chunks(source, dataset)
    offset = dataset.id.get_offset()
    if offset is None:
        raise DataError(f"has no entries in the file, or has them inside its header; {_REPACK_ADVICE}")
    return source.map_array(dtype, dataset.shape, offset)


def _join_chunks(source: Source, dataset: Any) -> NDArray[Any]:
    """Return the joined chunks of a dataset; every chunk must be there once."""
    shape, sizes = dataset.shape, dataset.chunks
    if len(sizes) != len(shape):
        raise report_damage(f"has shape {shape}, but chunks of shape {sizes}")
    check_byte_limit(count_bytes(sizes, dataset.dtype.itemsize), "a chunk of it")
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
    if not set(filters) <= {_DEFLATE_FILTER, _SHUFFLE_FILTER, _CHECKSUM_FILTER}:
        raise DataError(f"is compressed by HDF5's filters {filters}; expected gzip at most; {_REPACK_ADVICE}")
    whole = np.empty(shape, dataset.dtype)
    corners = set()
    for index in range(dataset.id.get_num_chunks()):
        chunk = dataset.id.get_chunk_info(index)
        corner = chunk.chunk_offset
        if any(start % size or start >= end for start, size, end in zip(corner, sizes, shape, strict=True)):
            raise report_damage(f"has a chunk at {corner}")
        corners.add(corner)
        # A chunk at the edge reaches beyond the shape.
        part = whole[tuple(slice(start, start + size) for start, size in zip(corner, sizes, strict=True))]
        block = _read_chunk(source, chunk, filters, sizes, dataset.dtype)
        part[...] = block[tuple(slice(size) for size in part.shape)]
    expected = math.prod(-(-end // size) for end, size in zip(shape, sizes, strict=True))
    if len(corners) != expected:
        raise report_damage(f"has {len(corners)} of its {expected} chunks")
    return whole


def _read_chunk(
    source: Source, chunk: Any, filters: list[int], sizes: Sequence[int], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return the entries of one chunk with its filters undone; checksums are not compared."""
    wanted = math.prod(sizes) * dtype.itemsize
    content = source.read(chunk.byte_offset, chunk.size)
    for position, packing in reversed(list(enumerate(filters))):
        # Each bit of the mask stands for a filter that was not applied to this chunk.
        if chunk.filter_mask >> position & 1:
            continue
        if packing == _DEFLATE_FILTER:
            # Asking for one byte more than wanted shows whether there are too many. A checksum may be
            # compressed with the rest.
            content = zlib.decompressobj().decompress(content, wanted + _CHECKSUM_BYTES + 1)
        elif packing == _SHUFFLE_FILTER:
            content = _unshuffle(content, dtype.itemsize)
        else:
            content = content[:-_CHECKSUM_BYTES]
    if len(content) != wanted:
        raise report_damage(f"has a chunk of {len(content)} bytes; expected {wanted}")
    return np.frombuffer(content, dtype).reshape(sizes)


def _unshuffle(content: bytes, itemsize: int) -> bytes:
    """Return the bytes entry by entry; stored are all first bytes, then all second bytes, and so on."""
    count = len(content) // itemsize
    planes = np.frombuffer(content, np.uint8, count * itemsize).reshape(itemsize, count)
    return planes.T.tobytes() + content[count * itemsize :]
