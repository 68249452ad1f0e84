"""torch files before 0.1.11: a tar archive of the pickle, its tensors and their storages.

The members, in the order in which torch reads them (torch, ``torch/serialization.py``, ``legacy_load``):

- ``storages``: their number, then for each a pickle of (key, location, type), its number of entries in 8
  bytes, and its entries; then a pickle of the list of (key, root key, offset, size) of the parts of storages.
- ``tensors``: their number, then for each a pickle of (key, key of its storage, type), the number of
  dimensions in 4 bytes, 4 bytes that mean nothing, the shape, the strides and the offset in 8 bytes each.
- ``pickle``: the value. A persistent id is the key of a tensor or a storage.

All numbers are little-endian.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents
from gradflow.readers.entry_types import ENTRY_TYPES
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.source import Source
from gradflow.readers.torch.pickle import make_storage, read_pickle
from gradflow.readers.torch.stored import StorageBytes, make_arrays
from gradflow.readers.torch.tensors import TensorStorage, TensorView, check_whole_numbers
from gradflow.readers.torch.unpickler import PickleBytes, PickleGlobal
from gradflow.readers.torch.walk import find_tensors

_SIGNATURE_OFFSET = 257
_MEMBERS = ("storages", "tensors", "pickle")
_SIZE_BYTES = 8
_MAX_HEADERS = 100


class _TarTensors:
    """The storages and tensors of an archive by key, and where the entries of each storage are."""

    def __init__(self, data: PickleBytes, places: dict[str, tuple[int, int]]) -> None:
        self.offsets: dict[str, int] = {}
        self._data = data
        self._storages: dict[int, TensorStorage] = {}
        self._tensors: dict[int, TensorView] = {}
        self._read_storages(*places["storages"])
        self._read_tensors(*places["tensors"])

    def resolve(self, identity: Any) -> object:
        """Return the tensor, storage or class that a persistent id stands for."""
        match identity:
            case (PickleGlobal() as named, *_):
                return named
        key = _parse_key(identity)
        if key not in self._tensors and key not in self._storages:
            raise report_damage(f"its pickle names the tensor {key}, which is not in the archive")
        return self._tensors[key] if key in self._tensors else self._storages[key]

    def _read_storages(self, position: int, end: int) -> None:
        count, position = read_pickle(self._data, position)
        for _ in range(_check_count(count, end - position)):
            described, position = read_pickle(self._data, position)
            match described:
                case (key, _, PickleGlobal(name=name)):
                    key = _parse_key(key)
                case _:
                    raise report_damage("its archive has a storage without key and type")
            entries = self._read_integers(position, end, "<i8", 1)[0]
            storage = make_storage(str(key), name, entries)
            self._storages[key] = storage
            self.offsets[storage.key] = position + _SIZE_BYTES
            position += _SIZE_BYTES + storage.byte_count
            if position > end:
                raise report_damage(f"its storage {key} of {storage.byte_count} bytes ends after its member")
        parts, _ = read_pickle(self._data, position)
        for part in parts if isinstance(parts, list) else ():
            match part:
                case (key, root, int(offset), int(size)) if _parse_key(root) in self._storages:
                    whole = self._storages[_parse_key(root)]
                    itemsize = ENTRY_TYPES[whole.dtype].make_dtype().itemsize
                    if not 0 <= offset * itemsize <= (offset + size) * itemsize <= whole.byte_count:
                        raise report_damage("its archive has a part of a storage that reaches beyond it")
                    self._storages[_parse_key(key)] = replace(whole, begin=whole.begin + offset * itemsize)
                case _:
                    raise report_damage("its archive has a part of a storage without its root")

    def _read_tensors(self, position: int, end: int) -> None:
        count, position = read_pickle(self._data, position)
        for _ in range(_check_count(count, end - position)):
            described, position = read_pickle(self._data, position)
            match described:
                case (key, storage_key, PickleGlobal()) if _parse_key(storage_key) in self._storages:
                    storage = self._storages[_parse_key(storage_key)]
                case _:
                    raise report_damage("its archive has a tensor without key and storage")
            dimensions = self._read_integers(position, end, "<i4", 1)[0]
            if not 0 <= dimensions <= _MAX_HEADERS:
                raise report_damage(f"its archive has a tensor of {dimensions} dimensions")
            position += 8
            numbers = self._read_integers(position, end, "<i8", 2 * dimensions + 1)
            position += 8 * len(numbers)
            check_whole_numbers(numbers, "a tensor with a negative shape, stride or offset")
            shape, strides = tuple(numbers[:dimensions]), tuple(numbers[dimensions:-1])
            self._tensors[_parse_key(key)] = TensorView(storage, storage.dtype, numbers[-1], shape, strides)

    def _read_integers(self, position: int, end: int, kind: str, count: int) -> list[int]:
        wanted = np.dtype(kind).itemsize * count
        if position + wanted > end:
            raise report_damage(f"its archive ends at byte {end}, before a tensor is complete")
        numbers: list[int] = np.frombuffer(self._data[position : position + wanted], kind).tolist()
        return numbers


def is_tar(source: Source) -> bool:
    """Return whether ``source`` is a tar archive."""
    return source.head[_SIGNATURE_OFFSET:].startswith(b"ustar")


def read(source: Source) -> FileContents:
    """Return the tensors of a file by their paths, memory-mapped.

    Raises
    ------
    DataError
        If the archive is damaged or is not torch's, or a tensor reaches beyond its storage.
    """
    places = _locate_members(source)
    if not set(_MEMBERS) <= places.keys():
        listed = ", ".join(quote(name) for name in list(places)[:3])
        raise DataError(
            f"is a tar archive of {listed or 'no files'}; unpack it (tar -xf FILE) and name a file in it. "
            "Only the archives of torch before 0.1.11 are read as they are"
        )
    data = source.map_bytes()
    tensors = _TarTensors(data, places)
    begin, end = places["pickle"]
    value, _ = read_pickle(data, begin, persistent=tensors.resolve)
    found = find_tensors(value, end - begin)

    def find_storage(storage: TensorStorage) -> StorageBytes:
        read_bytes = partial(source.map_array, np.uint8, (storage.byte_count,), tensors.offsets[storage.key])
        return StorageBytes(storage.key, storage.byte_count, "<", read_bytes)

    return FileContents(make_arrays(source.name, found.tensors, find_storage), found.remarks)


def _locate_members(source: Source) -> dict[str, tuple[int, int]]:
    """Return the begin and the end of the first members of the archive."""
    import tarfile  # Other files need not pay for it.

    places: dict[str, tuple[int, int]] = {}
    try:
        with source.open() as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for _ in range(_MAX_HEADERS):
                member = archive.next()
                if member is None:
                    break
                if member.isreg() and member.offset_data + member.size <= source.size:
                    name = member.name.removeprefix("./")
                    places[name] = (member.offset_data, member.offset_data + member.size)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise report_damage(f"the tar archive is unreadable ({quote(str(error), 100)})") from error
    return places


def _parse_key(key: object) -> int:
    """Return the key of a tensor or storage, which is a number or its digits."""
    if isinstance(key, str) and key.isdecimal() and key.isascii() and len(key) < 20:
        return int(key)
    if isinstance(key, int):
        return key
    raise report_damage("its archive has a tensor or storage without a key")


def _check_count(count: object, limit: int) -> int:
    if not (isinstance(count, int) and 0 <= count <= limit):
        raise report_damage("its archive has no number of storages and tensors")
    return count
