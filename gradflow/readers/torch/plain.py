"""Pickles of arrays: what ``pickle.dump`` writes of numpy arrays and of torch's tensors, protocols 2 to 5.

As in all files, no class is imported and no function is called. A tensor that is pickled without
``torch.save`` holds a file of torch before 1.6 as bytes, which is read in the same way.
"""

from dataclasses import replace
from typing import Any

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents
from gradflow.readers.messages import report_damage
from gradflow.readers.source import Source
from gradflow.readers.torch.legacy import LegacyFile
from gradflow.readers.torch.pickle import read_pickle
from gradflow.readers.torch.stored import StorageBytes, make_arrays
from gradflow.readers.torch.tensors import TensorStorage
from gradflow.readers.torch.unpickler import PickleGlobal, PickleObject
from gradflow.readers.torch.walk import find_tensors

_STARTS = tuple(b"\x80" + bytes([protocol]) for protocol in (2, 3, 4, 5))
_STORAGE_FUNCTION = ("torch.storage", "_load_from_bytes")


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts like a pickle of protocol 2 or later."""
    return source.head.startswith(_STARTS)


def read(source: Source) -> FileContents:
    """Return the arrays in a pickle by their paths, memory-mapped where it holds their bytes.

    Raises
    ------
    DataError
        If the pickle is damaged, holds no array, or two arrays have the same name.
    """
    data = source.map_bytes()
    embedded = _EmbeddedStorages()
    function = ".".join(_STORAGE_FUNCTION)
    value, end = read_pickle(data, persistent=_refuse_identity, more_calls={function: embedded.parse})
    found = find_tensors(value, end)
    if not found.tensors:
        remarks = f" ({'; '.join(found.remarks)})" if found.remarks else ""
        raise DataError(
            f"is a pickle in which no array of numbers is found{remarks}; nothing in it is run. Save the "
            "arrays as .npy or .safetensors"
        )
    return FileContents(make_arrays(source.name, found.tensors, _refuse_storage), found.remarks)


class _EmbeddedStorages:
    """The storages that stand in a pickle as files of torch, each parsed once."""

    def __init__(self) -> None:
        self._parsed: dict[int, tuple[object, TensorStorage]] = {}

    def parse(self, arguments: tuple[Any, ...]) -> object:
        """Return the storage that ``_load_from_bytes`` would load."""
        match arguments:
            case (memoryview() as content,):
                pass
            case (
                PickleObject(called=PickleGlobal(name="_codecs.encode"), arguments=(str(content), "latin1")),
            ):
                pass  # Protocol 2 writes bytes as characters.
            case _:
                return PickleObject(PickleGlobal(*_STORAGE_FUNCTION), arguments)
        if id(content) not in self._parsed:
            # The content is kept, so that no other object gets its id.
            self._parsed[id(content)] = (content, _parse_storage_file(content, len(self._parsed)))
        return self._parsed[id(content)][1]


def _parse_storage_file(content: memoryview | str, number: int) -> TensorStorage:
    data = bytes(content) if isinstance(content, memoryview) else content.encode("latin-1")
    file = LegacyFile(data)
    storage = file.value
    if not (isinstance(storage, TensorStorage) and storage.key in file.offsets):
        raise report_damage("its pickle has bytes of torch that are no storage")
    begin = file.offsets[storage.key]
    contents = memoryview(data)[begin : begin + storage.byte_count]
    return replace(storage, key=f"{storage.key} of {number}", contents=contents)


def _refuse_identity(_: object) -> object:
    raise report_damage("its pickle refers to values outside of it")


def _refuse_storage(_: TensorStorage) -> StorageBytes:
    raise report_damage("its pickle has a tensor without a storage")
