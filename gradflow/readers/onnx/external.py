"""The entries of ONNX tensors that lie in another file, which must be in the folder of the model."""

import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.source import count_bytes


def locate_external_entries(
    name: str, tensor: Any, folder: Path | None, kind: np.dtype[Any]
) -> Callable[[], NDArray[Any]]:
    """Return what maps the entries of a tensor into memory.

    Raises
    ------
    DataError
        If the file is not a plain file inside ``folder``, or has too few bytes.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location, shape = entries.get("location", ""), tuple(tensor.dims)
    path = _find_file(location, folder)
    if path is None:
        raise DataError(
            f"{quote(name)} is stored in another file, {quote(location)}, which is not a file in the folder "
            "of the model; put it there, or save the model with its weights inside: "
            "onnx.save(onnx.load(OLD), NEW)"
        )
    expected = count_bytes(shape, kind.itemsize)
    offset, length = (
        _read_number(entries.get(key) or str(otherwise))
        for key, otherwise in (("offset", 0), ("length", expected))
    )
    size = path.stat().st_size
    if length != expected or offset + length > size:
        raise report_damage(
            f"{quote(name)} has {length} bytes at {offset} of {quote(location)}, which has {size}; expected "
            f"{expected} bytes for shape {shape}"
        )
    return partial(_map_entries, path, kind, shape, offset)


def _find_file(location: str, folder: Path | None) -> Path | None:
    """Return the file at a relative path; None unless it is a plain file that really lies in ``folder``."""
    parts = PurePosixPath(location).parts
    plain = location.isprintable() and not PureWindowsPath(location).drive and "\\" not in location
    if folder is None or not parts or not plain or ".." in parts or parts[0] == "/":
        return None
    try:
        path = (folder / location).resolve(strict=True)
        inside = path.is_relative_to(folder.resolve(strict=True))
        return path if inside and stat.S_ISREG(path.stat().st_mode) else None
    except (OSError, RuntimeError, ValueError):  # no such file; a circle of links
        return None


def _read_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise report_damage(f"has the external offset or length {quote(text)}; expected a number of bytes")
    return int(text)


def _map_entries(path: Path, kind: np.dtype[Any], shape: tuple[int, ...], offset: int) -> NDArray[Any]:
    return np.memmap(path, kind, "r", offset, shape) if np.prod(shape) else np.empty(shape, kind)
