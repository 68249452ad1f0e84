"""HDF5 (Keras .h5 and .weights.h5), and the zip with one inside that Keras calls .keras.

libhdf5 follows links into other files, and takes numbers from there; so only hard links are followed, and a
dataset is looked at before it is read.
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
from gradflow.extras import required
from gradflow.readers.archive import inflated, member_names, members, opened
from gradflow.readers.hdf5_dataset import entries
from gradflow.readers.hdf5_heap import check_heaps
from gradflow.readers.kinds import KINDS
from gradflow.readers.messages import damaged, reading, shown
from gradflow.readers.source import Source, byte_count, claim, from_bytes
from gradflow.readers.stored import StoredArray

MAGIC = b"\x89HDF\r\n\x1a\n"
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_LONGEST_LABEL = 10_000
_BFLOAT16 = "bfloat16"


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts as HDF5 does, or is a zip archive as Keras writes it."""
    return source.head.startswith(MAGIC) or {_CONFIG, _WEIGHTS} <= set(member_names(source))


def read(source: Source) -> dict[str, StoredArray]:
    """Return the numeric datasets by their paths; soft and external links are left out.

    Each bears, as ``about``, ``named``: the attribute ``name`` of each group that has one, by the group's
    path; ``config``: what Keras says of the model's layers, or None; and ``keras_version``, or None.

    Raises
    ------
    DataError
        If the file is damaged, h5py is not installed, or a dataset lies in other files.
    """
    config = version = None
    if not source.head.startswith(MAGIC):
        config, version, source = _unpacked(source)
    arrays: dict[str, StoredArray] = {}
    named: dict[str, str] = {}
    check_heaps(source)
    with _opened(source) as (h5py, file):
        if config is None:
            config = _text(h5py, file, "model_config", source.size)
            version = _text(h5py, file, "keras_version", _LONGEST_LABEL)
        parsed = None if config is None else _parsed(config)
        about = {"named": named, "config": parsed, "keras_version": version}
        for path, found in _walk(h5py, file):
            if isinstance(found, h5py.Group):
                label = _text(h5py, found, "name", _LONGEST_LABEL)
                if label is not None:
                    named[path] = label
            else:
                with reading(shown(path)):
                    dtype = _numeric(h5py, found)
                if dtype is not None:
                    load = partial(_load, source, path)
                    decode = _from_opaque if dtype == _BFLOAT16 else np.asarray
                    arrays[path] = StoredArray(source.name, path, found.shape, dtype, load, decode, about)
    return arrays


def _unpacked(source: Source) -> tuple[str, str | None, Source]:
    """Return the configuration in a .keras, the version of Keras that it tells, and its HDF5 file."""
    contents = []
    with opened(source) as archive:
        found = members(archive)
        for name in (_CONFIG, _METADATA, _WEIGHTS) if _METADATA in found else (_CONFIG, _WEIGHTS):
            claim(found[name].file_size, f"member {shown(name)}")
            contents.append(inflated(archive, found[name], found[name].file_size))
    config, *metadata, weights = contents
    if not weights.startswith(MAGIC):
        raise damaged(f"its member {_WEIGHTS} is no HDF5 file")
    told = _parsed(metadata[0].decode("utf-8", "replace")) if metadata else None
    version = told.get("keras_version") if isinstance(told, dict) else None
    config_text = config.decode("utf-8", "replace")
    return config_text, version if isinstance(version, str) else None, from_bytes(source.name, weights)


def _parsed(config: str) -> Any:
    try:
        return json.loads(config)
    except (ValueError, RecursionError) as error:
        raise damaged(f"Keras's configuration is unreadable ({shown(str(error), 100)})") from error


@contextmanager
def _opened(source: Source) -> Iterator[tuple[ModuleType, Any]]:
    """Yield h5py and the open file."""
    h5py = required("h5py", "reading HDF5 files", "hdf5")
    try:
        with source.open() as stream, h5py.File(stream, "r") as file:
            yield h5py, file
    except (GradflowError, MemoryError):
        raise
    except Exception as error:
        # whatever libhdf5 stumbles over becomes OSError, RuntimeError, ValueError, KeyError ...
        raise damaged(f"the HDF5 file is unreadable ({shown(str(error), 100)})") from error


def _walk(h5py: ModuleType, file: Any) -> Iterator[tuple[str, Any]]:
    """Yield path and object for all that hard links lead to, each once, for they may lead in circles.

    ``visititems`` does so too, but looks a name up twice, and may find another link the second time.
    """
    seen = set()
    waiting = [("", file)]
    while waiting:
        path, found = waiting.pop()
        address = h5py.h5o.get_info(found.id).addr
        if address in seen:
            continue
        seen.add(address)
        yield path, found
        if isinstance(found, h5py.Group):
            below = [(f"{path}/{name}" if path else name, child) for name, child in _children(h5py, found)]
            waiting.extend(reversed(below))


def _children(h5py: ModuleType, group: Any) -> Iterator[tuple[str, Any]]:
    for name in group:
        if "/" in name or name == ".":
            raise damaged(f"has a link named {shown(name)}")
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            child = group[name]
            if isinstance(child, h5py.Group | h5py.Dataset):
                yield name, child


def _text(h5py: ModuleType, owner: Any, name: str, most: int) -> str | None:
    """Return an attribute, or None if there is none or it is no text."""
    if name not in owner.attrs:
        return None
    attribute = owner.attrs.get_id(name)
    if attribute.shape != () or h5py.check_string_dtype(attribute.dtype) is None:
        return None
    if attribute.get_storage_size() > most:
        raise damaged(f"has an attribute {shown(name)} of {attribute.get_storage_size()} bytes")
    value = owner.attrs[name]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _numeric(h5py: ModuleType, dataset: Any) -> str | None:
    """Return the type of a dataset's entries, or None if they are no numbers.

    Raises
    ------
    DataError
        If the entries lie in other files.
    """
    if dataset.is_virtual or dataset.external:
        raise DataError("has its numbers in other files, which are not followed; save it with them inside")
    if dataset.shape is None:
        return None
    byte_count(dataset.shape, 1)
    try:
        dtype = dataset.dtype
    except TypeError:
        return None  # numpy has no such type
    if dtype.kind in "biufc":
        return str(dtype)
    # Keras writes bfloat16 as two bytes without meaning, and says in an attribute what they are
    keras_says = _text(h5py, dataset, "dtype", _LONGEST_LABEL)
    return _BFLOAT16 if dtype == np.dtype("V2") and keras_says == _BFLOAT16 else None


def _load(source: Source, path: str) -> NDArray[Any]:
    with _opened(source) as (h5py, file):
        return entries(source, h5py, file[path])


def _from_opaque(pairs: NDArray[Any]) -> NDArray[Any]:
    return KINDS[_BFLOAT16].decode(pairs.view("<u2"))
