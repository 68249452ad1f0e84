"""torch files before 1.6: pickles in a row, then the storages in a row.

The pickles are a magic number, the version of the format, facts about the system, the saved value, and the
keys of the storages. Each storage is its number of entries, in 8 bytes, and its entries. All numbers are
little-endian on every system (torch, ``torch/csrc/serialization.cpp``).
"""

from functools import partial
from typing import Any

import numpy as np

from gradflow.readers.contents import FileContents
from gradflow.readers.entry_types import ENTRY_TYPES
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.source import Source
from gradflow.readers.torch.pickle import parse_storage, read_pickle
from gradflow.readers.torch.stored import StorageBytes, make_arrays
from gradflow.readers.torch.tensors import TensorStorage
from gradflow.readers.torch.unpickler import PickleBytes
from gradflow.readers.torch.walk import PickleFindings, find_tensors

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
# The magic number as protocols 2 and later, and 0 and 1, write it.
_MAGIC_BYTES = _MAGIC_NUMBER.to_bytes(10, "little")
_MAGIC_LINE = f"L{_MAGIC_NUMBER}L\n".encode()
# A frame and its size may stand before it.
_MAX_MAGIC_POSITION = 16
_SIZE_BYTES = 8


class LegacyFile:
    """The pickles of a file before torch 1.6, and where its storages begin.

    Attributes
    ----------
    value : object
        The saved value, in which tensors are `PickledTensor`.
    offsets : dict of str to int
        The position of the entries of each storage by its key.
    byte_count : int
        The bytes of all pickles.
    """

    def __init__(self, data: PickleBytes) -> None:
        self._storages: dict[str, TensorStorage] = {}
        magic, position = read_pickle(data)
        if magic != _MAGIC_NUMBER:
            raise report_damage("its magic number is not torch's")
        _, position = read_pickle(data, position)
        _, position = read_pickle(data, position)
        self.value, position = read_pickle(data, position, persistent=self._parse_storage)
        keys, self.byte_count = read_pickle(data, position)
        self.offsets = self._locate_storages(data, keys)

    def _parse_storage(self, identity: Any) -> object:
        parsed = parse_storage(identity)
        if isinstance(parsed, TensorStorage):
            self._storages[parsed.key] = parsed
        return parsed

    def _locate_storages(self, data: PickleBytes, keys: object) -> dict[str, int]:
        offsets: dict[str, int] = {}
        position = self.byte_count
        for key in keys if isinstance(keys, list) else ():
            storage = self._storages.get(key) if isinstance(key, str) else None
            if storage is None or key in offsets:
                raise report_damage(f"its list of storages has {quote(str(key)[:60])}, which no tensor uses")
            itemsize = ENTRY_TYPES[storage.dtype].make_dtype().itemsize
            head = data[position : position + _SIZE_BYTES]
            count = int.from_bytes(head, "little")
            offsets[key] = position + _SIZE_BYTES
            position += _SIZE_BYTES + storage.byte_count
            if position > len(data) or count * itemsize != storage.byte_count:
                raise report_damage(
                    f"its storage {quote(key)} has {count} entries of {itemsize} bytes at byte "
                    f"{offsets[key]} of {len(data)}; expected {storage.byte_count} bytes"
                )
        return offsets


def is_legacy(source: Source) -> bool:
    """Return whether ``source`` starts with the magic number of torch before 1.6."""
    start = source.head[: _MAX_MAGIC_POSITION + len(_MAGIC_BYTES)]
    return source.head.startswith(_MAGIC_LINE) or (start.startswith(b"\x80") and _MAGIC_BYTES in start)


def read(source: Source) -> FileContents:
    """Return the tensors of a file by their paths, memory-mapped.

    Raises
    ------
    DataError
        If the file is damaged, a tensor reaches beyond its storage, or two tensors have the same name.
    """
    file = LegacyFile(source.map_bytes())
    found: PickleFindings = find_tensors(file.value, file.byte_count)
    arrays = make_arrays(source.name, found.tensors, partial(_find_storage, source, file.offsets))
    return FileContents(arrays, found.remarks)


def _find_storage(source: Source, offsets: dict[str, int], storage: TensorStorage) -> StorageBytes:
    if storage.key not in offsets:
        raise report_damage(f"its storage {quote(storage.key)} is not in the file")
    read_bytes = partial(source.map_array, np.uint8, (storage.byte_count,), offsets[storage.key])
    return StorageBytes(storage.key, storage.byte_count, "<", read_bytes)
