"""NumPy's .npz: a zip archive of .npy members; each member is read only when it is asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.archive import inflate_member, is_zip, list_member_names, open_archive
from gradflow.readers.contents import FileContents
from gradflow.readers.messages import prefix_errors, quote, report_damage
from gradflow.readers.npy import NpyHeader, parse_header
from gradflow.readers.source import HEAD_BYTES, Source, check_byte_limit
from gradflow.readers.stored_array import StoredArray

if TYPE_CHECKING:
    from zipfile import ZipInfo

MEMBER_SUFFIX = ".npy"


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts like a zip archive; an empty archive is one too."""
    return is_zip(source)


def has_array_members(source: Source) -> bool:
    """Return whether ``source`` is a zip archive with an .npy member."""
    return any(name.endswith(MEMBER_SUFFIX) for name in list_member_names(source))


def read(source: Source) -> FileContents:
    """Return the arrays of an .npz by the names under which they were saved.

    Raises
    ------
    DataError
        If the archive is damaged or encrypted, or holds no .npy member.
    """
    arrays = {}
    with open_archive(source) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(MEMBER_SUFFIX):
                continue
            name = member.filename.removesuffix(MEMBER_SUFFIX)
            if name in arrays:
                raise DataError(f"holds two arrays named {quote(name)}; expected each name once")
            with prefix_errors(quote(name)):
                header = parse_header(inflate_member(archive, member, HEAD_BYTES))
            load = partial(_load_member, source, member, header)
            arrays[name] = StoredArray(source.name, name, header.shape, str(header.dtype), load)
    if not arrays:
        raise DataError(
            "is a zip archive without .npy members, and not a PyTorch or Keras checkpoint; "
            "save the arrays as .npz or .safetensors"
        )
    return FileContents(arrays)


def _load_member(source: Source, member: ZipInfo, header: NpyHeader) -> NDArray[Any]:
    expected = header.count_stored_bytes()
    if expected != member.file_size:
        raise report_damage(
            f"shape {header.shape} and type {header.dtype} take {expected} bytes, but the archive declares "
            f"{member.file_size}"
        )
    check_byte_limit(expected, "its content")
    with open_archive(source) as archive:
        data = inflate_member(archive, member, expected)
    if len(data) != expected:
        raise report_damage(f"ends after {len(data)} of {expected} bytes")
    return np.ndarray(header.shape, header.dtype, data, header.offset, order=header.order)
