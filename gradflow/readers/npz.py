"""NumPy's .npz: a zip archive of .npy members, each read only when it is asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.archive import inflated, is_zip, opened
from gradflow.readers.messages import damaged, reading, shown
from gradflow.readers.npy import Header, parse_header
from gradflow.readers.source import HEAD, Source, claim
from gradflow.readers.stored import StoredArray

if TYPE_CHECKING:
    from zipfile import ZipInfo

SUFFIX = ".npy"


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts as a zip archive does, an empty one too."""
    return is_zip(source)


def read(source: Source) -> dict[str, StoredArray]:
    """Return the arrays of an .npz by the names they were saved under.

    Raises
    ------
    DataError
        If the archive is damaged or encrypted, or holds no .npy.
    """
    arrays = {}
    with opened(source) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(SUFFIX):
                continue
            name = member.filename.removesuffix(SUFFIX)
            if name in arrays:
                raise DataError(f"holds two arrays named {shown(name)}; expected each name once")
            with reading(shown(name)):
                header = parse_header(inflated(archive, member, HEAD))
            load = partial(_load, source, member, header)
            arrays[name] = StoredArray(source.name, name, header.shape, str(header.dtype), load)
    if not arrays:
        raise DataError(
            "is a zip archive without .npy members, and no PyTorch or Keras checkpoint; "
            "save the arrays as .npz or .safetensors"
        )
    return arrays


def _load(source: Source, member: ZipInfo, header: Header) -> NDArray[Any]:
    expected = header.stored_bytes()
    if expected != member.file_size:
        raise damaged(
            f"shape {header.shape} and type {header.dtype} take {expected} bytes, but the archive declares "
            f"{member.file_size}"
        )
    claim(expected, "its content")
    with opened(source) as archive:
        data = inflated(archive, member, expected)
    if len(data) != expected:
        raise damaged(f"ends after {len(data)} of {expected} bytes")
    return np.ndarray(header.shape, header.dtype, data, header.offset, order=header.order)
