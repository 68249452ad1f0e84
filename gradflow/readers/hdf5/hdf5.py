"""HDF5 (Keras .h5 and .weights.h5), and Keras's .keras, a zip archive with an HDF5 file inside.

libhdf5 would follow links into other files and read numbers there. Therefore only hard links are followed,
and a dataset is checked before it is read.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError, GradflowError
from gradflow.extras import import_extra
from gradflow.readers.archive import index_members, inflate_member, list_member_names, open_archive
from gradflow.readers.contents import FileContents
from gradflow.readers.entry_types import ENTRY_TYPES
from gradflow.readers.hdf5.dataset import read_entries
from gradflow.readers.hdf5.heap import check_heaps
from gradflow.readers.messages import prefix_errors, quote, report_damage
from gradflow.readers.source import Source, check_byte_limit, count_bytes, wrap_bytes
from gradflow.readers.stored_array import StoredArray

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CONFIG_MEMBER, _METADATA_MEMBER, _WEIGHTS_MEMBER = "config.json", "metadata.json", "model.weights.h5"
_MAX_LABEL_BYTES = 10_000
_BFLOAT16 = "bfloat16"


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts like HDF5, or is a zip archive with the members that Keras writes."""
    return source.head.startswith(HDF5_SIGNATURE) or {_CONFIG_MEMBER, _WEIGHTS_MEMBER} <= set(
        list_member_names(source)
    )


def read(source: Source) -> FileContents:
    """Return the numeric datasets by their paths; soft and external links are left out.

    All arrays share one ``metadata``. ``named`` maps the path of each group that has an attribute ``name`` to
    that name, ``config`` is Keras's configuration of the model or None, ``keras_version`` is text or None.

    Raises
    ------
    DataError
        If the file is damaged, if h5py is not installed, or if the numbers of a dataset are in other files.
    """
    config = version = None
    if not source.head.startswith(HDF5_SIGNATURE):
        config, version, source = _unpack_keras(source)
    arrays: dict[str, StoredArray] = {}
    named: dict[str, str] = {}
    check_heaps(source)
    with _open_file(source) as (h5py, file):
        if config is None:
            config = _read_text(h5py, file, "model_config", source.size)
            version = _read_text(h5py, file, "keras_version", _MAX_LABEL_BYTES)
        parsed = None if config is None else _parse_config(config)
        metadata = {"named": named, "config": parsed, "keras_version": version}
        for path, item in _walk_objects(h5py, file):
            if isinstance(item, h5py.Group):
                label = _read_text(h5py, item, "name", _MAX_LABEL_BYTES)
                if label is not None:
                    named[path] = label
            else:
                with prefix_errors(quote(path)):
                    dtype = _find_entry_type(h5py, item)
                if dtype is not None:
                    load = partial(_load_dataset, source, path)
                    decode = _decode_opaque_bfloat16 if dtype == _BFLOAT16 else np.asarray
                    arrays[path] = StoredArray(source.name, path, item.shape, dtype, load, decode, metadata)
    return FileContents(arrays)


def _unpack_keras(source: Source) -> tuple[str, str | None, Source]:
    """Return the configuration in a .keras file, the version of Keras that it states, and its HDF5 file."""
    contents = []
    with open_archive(source) as archive:
        members = index_members(archive)
        for name in (
            (_CONFIG_MEMBER, _METADATA_MEMBER, _WEIGHTS_MEMBER)
            if _METADATA_MEMBER in members
            else (_CONFIG_MEMBER, _WEIGHTS_MEMBER)
        ):
            check_byte_limit(members[name].file_size, f"member {quote(name)}")
            contents.append(inflate_member(archive, members[name], members[name].file_size))
    config, *metadata, weights = contents
    if not weights.startswith(HDF5_SIGNATURE):
        raise report_damage(f"its member {_WEIGHTS_MEMBER} is not an HDF5 file")
    metadata_json = _parse_config(metadata[0].decode("utf-8", "replace")) if metadata else None
    version = metadata_json.get("keras_version") if isinstance(metadata_json, dict) else None
    config_text = config.decode("utf-8", "replace")
    return config_text, version if isinstance(version, str) else None, wrap_bytes(source.name, weights)


def _parse_config(config: str) -> Any:
    try:
        return json.loads(config)
    except (ValueError, RecursionError) as error:
        raise report_damage(f"Keras's configuration is unreadable ({quote(str(error), 100)})") from error


@contextmanager
def _open_file(source: Source) -> Iterator[tuple[ModuleType, Any]]:
    """Yield h5py and the open file."""
    h5py = import_extra("h5py", "reading HDF5 files", "hdf5")
    try:
        with source.open() as stream, h5py.File(stream, "r") as file:
            yield h5py, file
    except (GradflowError, MemoryError):
        raise
    except Exception as error:
        # On a damaged file h5py raises OSError, RuntimeError, ValueError, KeyError ...
        raise report_damage(f"the HDF5 file is unreadable ({quote(str(error), 100)})") from error


def _walk_objects(h5py: ModuleType, file: Any) -> Iterator[tuple[str, Any]]:
    """Yield the path and object of everything that hard links reach, each once: links may form circles.

    ``visititems`` does the same, but looks up each name twice, and may find another link the second time.
    """
    visited = set()
    waiting = [("", file)]
    while waiting:
        path, item = waiting.pop()
        address = h5py.h5o.get_info(item.id).addr
        if address in visited:
            continue
        visited.add(address)
        yield path, item
        if isinstance(item, h5py.Group):
            below = [
                (f"{path}/{name}" if path else name, child) for name, child in _list_children(h5py, item)
            ]
            waiting.extend(reversed(below))


def _list_children(h5py: ModuleType, group: Any) -> Iterator[tuple[str, Any]]:
    for name in group:
        if "/" in name or name == ".":
            raise report_damage(f"has a link named {quote(name)}")
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            child = group[name]
            if isinstance(child, h5py.Group | h5py.Dataset):
                yield name, child


def _read_text(h5py: ModuleType, owner: Any, name: str, most: int) -> str | None:
    """Return an attribute that is text, or None if there is no such attribute or it is not text."""
    if name not in owner.attrs:
        return None
    attribute = owner.attrs.get_id(name)
    if attribute.shape != () or h5py.check_string_dtype(attribute.dtype) is None:
        return None
    if attribute.get_storage_size() > most:
        raise report_damage(f"has an attribute {quote(name)} of {attribute.get_storage_size()} bytes")
    value = owner.attrs[name]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _find_entry_type(h5py: ModuleType, dataset: Any) -> str | None:
    """Return the type of a dataset's entries, or None if they are not numbers.

    Raises
    ------
    DataError
        If the entries are in other files.
    """
    if dataset.is_virtual or dataset.external:
        raise DataError("has its numbers in other files, which are not read; save it with its numbers inside")
    if dataset.shape is None:
        return None
    count_bytes(dataset.shape, 1)
    try:
        dtype = dataset.dtype
    except TypeError:
        return None  # A type that numpy lacks.
    if dtype.kind in "biufc":
        return str(dtype)
    # Keras writes bfloat16 as two opaque bytes, and states the type in an attribute.
    keras_says = _read_text(h5py, dataset, "dtype", _MAX_LABEL_BYTES)
    return _BFLOAT16 if dtype == np.dtype("V2") and keras_says == _BFLOAT16 else None


def _load_dataset(source: Source, path: str) -> NDArray[Any]:
    with _open_file(source) as (h5py, file):
        return read_entries(source, h5py, file[path])


def _decode_opaque_bfloat16(pairs: NDArray[Any]) -> NDArray[Any]:
    return ENTRY_TYPES[_BFLOAT16].decode(pairs.view("<u2"))
