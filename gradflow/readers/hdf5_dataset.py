"""The numbers of an HDF5 dataset, taken from where libhdf5 says they lie, but not by libhdf5.

Reading a dataset, libhdf5 inflates without bound, loads code for filters that it lacks, and on one wrong byte
can end the process (segmentation faults in chunks, HDF5 2.0). What it says of place and type is checked here.
"""

import math
import zlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import damaged
from gradflow.readers.source import Source, byte_count, claim

# numbers of the filters in HDF5's own list
_DEFLATE, _SHUFFLE, _CHECKSUM = 1, 2, 3
_CHECKSUM_BYTES = 4
_REPACK = "make it plain: h5repack -f NONE -l CONTI OLD NEW"


def entries(source: Source, h5py: ModuleType, dataset: Any) -> NDArray[Any]:
    """Return the entries of a dataset, memory-mapped where they lie in one piece.

    Raises
    ------
    DataError
        If the file does not hold as many as it declares, or they are packed otherwise than by gzip.
    """
    dtype = dataset.dtype
    if dtype.kind != "V" and not dataset.id.get_type().equal(h5py.h5t.py_create(dtype)):
        raise DataError(f"has entries that are no {dtype} in numpy; save them as one")
    declared = byte_count(dataset.shape, dtype.itemsize)
    if declared == 0:
        return np.empty(dataset.shape, dtype)
    if dataset.chunks is not None:
        claim(declared, "its content")
        return _joined(source, dataset)
    offset = dataset.id.get_offset()
    if offset is None:
        raise DataError(f"has its entries nowhere, or inside its header; {_REPACK}")
    return source.mapped(dtype, dataset.shape, offset)


def _joined(source: Source, dataset: Any) -> NDArray[Any]:
    """Return the chunks of a dataset put together, each of which must be there once."""
    shape, sizes = dataset.shape, dataset.chunks
    if len(sizes) != len(shape):
        raise damaged(f"has shape {shape}, but chunks of shape {sizes}")
    claim(byte_count(sizes, dataset.dtype.itemsize), "a chunk of it")
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
    if not set(filters) <= {_DEFLATE, _SHUFFLE, _CHECKSUM}:
        raise DataError(f"is packed by HDF5's filters {filters}; expected gzip at most, {_REPACK}")
    whole = np.empty(shape, dataset.dtype)
    corners = set()
    for index in range(dataset.id.get_num_chunks()):
        chunk = dataset.id.get_chunk_info(index)
        corner = chunk.chunk_offset
        if any(start % size or start >= end for start, size, end in zip(corner, sizes, shape, strict=True)):
            raise damaged(f"has a chunk at {corner}")
        corners.add(corner)
        # at the edges a chunk reaches beyond the shape
        part = whole[tuple(slice(start, start + size) for start, size in zip(corner, sizes, strict=True))]
        block = _chunk(source, chunk, filters, sizes, dataset.dtype)
        part[...] = block[tuple(slice(size) for size in part.shape)]
    expected = math.prod(-(-end // size) for end, size in zip(shape, sizes, strict=True))
    if len(corners) != expected:
        raise damaged(f"has {len(corners)} of its {expected} chunks")
    return whole


def _chunk(
    source: Source, chunk: Any, filters: list[int], sizes: Sequence[int], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return the entries of one chunk, its filters undone; checksums are not looked at."""
    wanted = math.prod(sizes) * dtype.itemsize
    content = source.read(chunk.byte_offset, chunk.size)
    for position, packing in reversed(list(enumerate(filters))):
        # a bit for each filter that this chunk was spared
        if chunk.filter_mask >> position & 1:
            continue
        if packing == _DEFLATE:
            # one byte more would be one too many; a checksum may have been packed with the rest
            content = zlib.decompressobj().decompress(content, wanted + _CHECKSUM_BYTES + 1)
        elif packing == _SHUFFLE:
            content = _unshuffled(content, dtype.itemsize)
        else:
            content = content[:-_CHECKSUM_BYTES]
    if len(content) != wanted:
        raise damaged(f"has a chunk of {len(content)} bytes; expected {wanted}")
    return np.frombuffer(content, dtype).reshape(sizes)


def _unshuffled(content: bytes, itemsize: int) -> bytes:
    """Return the bytes entry by entry, which lay first bytes first, then all second bytes, and so on."""
    count = len(content) // itemsize
    planes = np.frombuffer(content, np.uint8, count * itemsize).reshape(itemsize, count)
    return planes.T.tobytes() + content[count * itemsize :]
