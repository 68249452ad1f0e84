"""NumPy's .npz: a zip archive of .npy members, each read only when it is asked for."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError, GradflowError
from gradflow.readers.messages import damaged, reading, shown
from gradflow.readers.npy import Header, parse_header
from gradflow.readers.source import HEAD, Source, claim
from gradflow.readers.stored import StoredArray

SUFFIX = ".npy"
_ENCRYPTED = 1


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts as a zip archive does, an empty one too."""
    return source.head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def read(source: Source) -> dict[str, StoredArray]:
    """Return the arrays of an .npz by the names they were saved under.

    Raises
    ------
    DataError
        If the archive is damaged or encrypted, or holds no .npy.
    """
    arrays = {}
    with _opened(source) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(SUFFIX):
                continue
            name = member.filename.removesuffix(SUFFIX)
            if name in arrays:
                raise DataError(f"holds two arrays named {shown(name)}; expected each name once")
            with reading(shown(name)):
                header = parse_header(_inflated(archive, member, HEAD))
            load = partial(_load, source, member, header)
            arrays[name] = StoredArray(source.name, name, header.shape, str(header.dtype), load)
    if not arrays:
        raise DataError(
            "is a zip archive without .npy members, such as a PyTorch or Keras checkpoint; "
            "save the arrays as .npz or .safetensors"
        )
    return arrays


def _load(source: Source, member: zipfile.ZipInfo, header: Header) -> NDArray[Any]:
    expected = header.stored_bytes()
    if expected != member.file_size:
        raise damaged(
            f"shape {header.shape} and type {header.dtype} take {expected} bytes, but the archive declares "
            f"{member.file_size}"
        )
    claim(expected, "its content")
    with _opened(source) as archive:
        data = _inflated(archive, member, expected)
    if len(data) != expected:
        raise damaged(f"ends after {len(data)} of {expected} bytes")
    return np.ndarray(header.shape, header.dtype, data, header.offset, order=header.order)


def _inflated(archive: zipfile.ZipFile, member: zipfile.ZipInfo, count: int) -> bytes:
    """Return the first ``count`` bytes of ``member``, or all if there are fewer."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile bounds what it inflates of these two only, and numpy writes no other
        raise DataError(f"zip method {member.compress_type} is not read; use numpy.savez_compressed")
    if member.flag_bits & _ENCRYPTED:
        raise DataError("encrypted, which is not read; save it without a password")
    with archive.open(member) as stream:
        # one read with a bound: read() without one inflates first and then cuts to the declared size
        return stream.read(count)


@contextmanager
def _opened(source: Source) -> Iterator[zipfile.ZipFile]:
    try:
        with source.open() as stream, zipfile.ZipFile(stream) as archive:
            yield archive
    except (GradflowError, MemoryError, OSError):
        raise
    except Exception as error:
        # a hostile archive can make zipfile raise nearly anything: struct.error, zlib.error, ValueError ...
        raise damaged(f"the zip archive is unreadable ({shown(str(error), 100)})") from error
