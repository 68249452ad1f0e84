"""TensorFlow's checkpoints: ``NAME.index``, a table of arrays, and ``NAME.data-00000-of-00001``, their bytes.

``tf.train.Checkpoint`` (TensorFlow 2), ``tf.compat.v1.train.Saver`` and Keras's ``save_weights`` write them.
A SavedModel has one in its folder ``variables`` (tensorflow/core/protobuf/tensor_bundle.proto). The program
of a SavedModel is not read.
"""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents, check_array_count
from gradflow.readers.entry_types import ENTRY_TYPES, refuse_entry_type
from gradflow.readers.messages import prefix_errors, quote, report_damage
from gradflow.readers.source import Source, count_bytes, open_source
from gradflow.readers.stored_array import StoredArray
from gradflow.readers.tensorflow.object_graph import KEY_SUFFIX, name_variables
from gradflow.readers.tensorflow.protobuf import list_fields, read_varint
from gradflow.readers.tensorflow.table import is_table, list_entries

_INDEX_SUFFIX = ".index"
_DATA_PATTERN = re.compile(r"(?P<prefix>.+)\.data-\d{5}-of-\d{5}", re.ASCII | re.DOTALL)
_PROGRAM_NAMES = ("saved_model.pb", "saved_model.pbtxt")
_VARIABLES = Path("variables", "variables.index")
_KERAS_METADATA = "keras_metadata.pb"
_OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
_BIG_ENDIAN = 1
_STRING_TYPE = 7
MAX_FILES = 99_999
# tensorflow/core/framework/types.proto
_TENSORFLOW_TYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    22: "uint32",
    23: "uint64",
}


class _BundleEntry(NamedTuple):
    """Where the entries of an array are."""

    dtype: int
    shape: tuple[int, ...]
    file: int
    offset: int
    size: int
    sliced: bool


class _Bundle(NamedTuple):
    """A checkpoint: the path without the suffix, the number of its data files and their byte order."""

    prefix: Path
    files: int
    order: str


def locate(path: Path) -> Path | None:
    """Return the ``.index`` of the checkpoint to which ``path`` belongs.

    ``path`` may be the index, a data file, their name without suffixes, or a SavedModel: its folder or its
    program. A SavedModel without variables is located as its folder.
    """
    if path.name.endswith(_INDEX_SUFFIX):
        data = path.name.removesuffix(_INDEX_SUFFIX) + ".data-"
        known = path.is_file() and (_ends_as_table(path) or _has_file_with(path.parent, data))
        return path if known else None
    data_file = _DATA_PATTERN.fullmatch(path.name)
    if data_file is not None:
        return path.with_name(data_file["prefix"] + _INDEX_SUFFIX) if path.is_file() else None
    folder = path.parent if path.name in _PROGRAM_NAMES else path
    if any((folder / name).is_file() for name in _PROGRAM_NAMES):
        return folder / _VARIABLES if (folder / _VARIABLES).is_file() else folder
    index = path.with_name(path.name + _INDEX_SUFFIX) if path.name else path
    return index if not path.exists() and index.is_file() and _ends_as_table(index) else None


def list_members(whole: Path) -> list[Path]:
    """Return the index and the data files beside it."""
    start = whole.name.removesuffix(_INDEX_SUFFIX) + ".data-"
    return [whole, *(path for path in whole.parent.iterdir() if path.name.startswith(start))]


def read_files(path: Path) -> FileContents:
    """Return the arrays of a checkpoint, memory-mapped. Text, such as a vocabulary's, is left out.

    The checksums of arrays are not compared, because that would read all of them.

    Raises
    ------
    DataError
        If the table is damaged or names bytes that are not there, or there is no array in it.
    """
    index = locate(path)
    if index is None or not index.is_file():
        raise DataError(
            "is a SavedModel of TensorFlow without variables: a program, which is not run; save the weights: "
            "tf.train.Checkpoint(model=model).write(FILE)"
            if index is not None and index.is_dir()
            else "belongs to a checkpoint of TensorFlow whose index "
            f"{quote(index.name if index else '')} is not beside it; fetch all its files"
        )
    with prefix_errors(str(index)), prefix_errors("checkpoint of TensorFlow"):
        entries: dict[str, bytes] = {}
        for stored_key, value in list_entries(open_source(index)):
            if not stored_key.startswith(b"\0"):  # the parts of a sliced array
                entries[stored_key.decode("utf-8", "replace")] = value
                check_array_count(len(entries))
        bundle = _parse_header(index, entries.pop("", b""))
        described = {key: _parse_entry(value) for key, value in entries.items()}
        graph = described.get(_OBJECT_GRAPH_KEY)
        names = {} if graph is None else name_variables(_read_text(bundle, graph))
        metadata = _read_keras_metadata(index)
        arrays: dict[str, StoredArray] = {}
        for key, entry in described.items():
            if entry.dtype == _STRING_TYPE:
                continue
            name = names.get(key, key.removesuffix(KEY_SUFFIX))
            if name in arrays:
                raise DataError(f"holds two arrays named {quote(name)}; expected each name once")
            with prefix_errors(quote(name)):
                arrays[name] = _describe_array(bundle, name, entry, metadata)
        if not arrays:
            raise DataError("holds no array; check what should have written it")
    return FileContents(arrays)


def _ends_as_table(path: Path) -> bool:
    try:
        return is_table(open_source(path))
    except DataError:
        return False


def _has_file_with(folder: Path, start: str) -> bool:
    return any(other.name.startswith(start) for other in folder.iterdir())


def _parse_header(index: Path, header: bytes) -> _Bundle:
    fields = dict(list_fields(header))
    files = fields.get(1, 1)
    if not isinstance(files, int) or not 0 < files <= MAX_FILES:
        raise report_damage(f"it claims {quote(str(files))} data files")
    prefix = index.with_name(index.name.removesuffix(_INDEX_SUFFIX))
    return _Bundle(prefix, files, ">" if fields.get(2) == _BIG_ENDIAN else "<")


def _parse_entry(message: bytes) -> _BundleEntry:
    fields = dict(list_fields(message))
    shape = fields.get(2, b"")
    numbers = [fields.get(number, 0) for number in (1, 3, 4, 5)]
    if not isinstance(shape, bytes) or not all(isinstance(number, int) for number in numbers):
        raise report_damage("an entry is no description of an array")
    sizes = [
        dict(list_fields(dimension)).get(1, 0)
        for number, dimension in list_fields(shape)
        if number == 2 and isinstance(dimension, bytes)
    ]
    count_bytes(sizes, 1)
    dtype, file, offset, size = (int(number) for number in numbers)  # each is one, as was checked
    return _BundleEntry(dtype, tuple(int(one) for one in sizes), file, offset, size, 7 in fields)


def _find_data(bundle: _Bundle, entry: _BundleEntry) -> Path:
    return bundle.prefix.with_name(f"{bundle.prefix.name}.data-{entry.file:05d}-of-{bundle.files:05d}")


def _open_data(bundle: _Bundle, entry: _BundleEntry) -> Source:
    if entry.file >= bundle.files:
        raise report_damage(f"lies in data file {entry.file}, counted from 0, of {bundle.files}")
    source = open_source(_find_data(bundle, entry))
    source.require_bytes(entry.offset, entry.size, "an array")
    return source


def _describe_array(bundle: _Bundle, name: str, entry: _BundleEntry, metadata: dict[str, Any]) -> StoredArray:
    dtype = _TENSORFLOW_TYPES.get(entry.dtype, f"type {entry.dtype} of TensorFlow")
    file = str(_find_data(bundle, entry))
    if entry.sliced:
        return StoredArray(file, name, entry.shape, dtype, _refuse_slices, metadata=metadata)
    if dtype not in ENTRY_TYPES:
        return StoredArray(
            file, name, entry.shape, dtype, partial(refuse_entry_type, dtype), metadata=metadata
        )
    kind = ENTRY_TYPES[dtype]
    expected = count_bytes(entry.shape, kind.make_dtype().itemsize)
    if expected != entry.size:
        raise report_damage(
            f"shape {entry.shape} and type {dtype} take {expected} bytes; expected {entry.size}"
        )
    load = partial(_map_array, bundle, entry, kind.make_dtype(bundle.order))
    return StoredArray(file, name, entry.shape, dtype, load, kind.decode, metadata)


def _map_array(bundle: _Bundle, entry: _BundleEntry, dtype: Any) -> Any:
    return _open_data(bundle, entry).map_array(dtype, entry.shape, entry.offset)


def _refuse_slices() -> Any:
    raise DataError(
        "is stored in several slices, which are not put together; save it as one variable (no partitioner)"
    )


def _read_text(bundle: _Bundle, entry: _BundleEntry) -> bytes:
    """Return the only text of an array of texts: its length, a checksum of the length, and the text."""
    with prefix_errors(quote(_OBJECT_GRAPH_KEY)):
        content = _open_data(bundle, entry).read(entry.offset, entry.size)
        length, position = read_varint(content, 0)
        if position + 4 + length != len(content):
            raise report_damage("does not hold one text")
        return content[position + 4 :]


def _read_keras_metadata(index: Path) -> dict[str, Any]:
    """Return the configuration of the model that Keras 2 wrote beside the variables of a SavedModel."""
    file = index.parent.parent / _KERAS_METADATA
    if index.parts[-2:] != _VARIABLES.parts or not file.is_file():
        return {}
    with prefix_errors(str(file)):
        for number, node in list_fields(open_source(file).read()):
            fields = dict(list_fields(node)) if number == 1 and isinstance(node, bytes) else {}
            described = fields.get(5)
            if fields.get(3) == b"root" and isinstance(described, bytes):
                try:
                    config = json.loads(described)
                except (ValueError, RecursionError) as error:
                    raise report_damage(
                        f"Keras's configuration is unreadable ({quote(str(error), 100)})"
                    ) from error
                version = config.get("keras_version") if isinstance(config, dict) else None
                return {
                    "named": {},
                    "config": config,
                    "keras_version": version if isinstance(version, str) else None,
                }
    return {}
