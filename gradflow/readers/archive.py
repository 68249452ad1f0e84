"""Zip archives: which members there are, and what lies in one of them, never more of it than was asked for.

``zipfile`` is imported once a zip was seen, so that no other file pays for it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from gradflow.errors import DataError, GradflowError
from gradflow.readers.messages import damaged, shown
from gradflow.readers.source import Source

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

# of the first member, or of the end where there is none
MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_LOCAL_HEADER = 30


def is_zip(source: Source) -> bool:
    """Return whether ``source`` starts as a zip archive does, an empty one too."""
    return source.head.startswith(MAGIC)


def member_names(source: Source) -> list[str]:
    """Return the names of all members; none if ``source`` is no zip archive, or a damaged one."""
    if not is_zip(source):
        return []
    try:
        with opened(source) as archive:
            return archive.namelist()
    except GradflowError:
        return []


def members(archive: ZipFile) -> dict[str, ZipInfo]:
    """Return the members by name.

    Raises
    ------
    DataError
        If two bear one name, of which each reader would take another.
    """
    found: dict[str, ZipInfo] = {}
    for member in archive.infolist():
        if member.filename in found:
            raise DataError(f"holds two members named {shown(member.filename)}; expected each name once")
        found[member.filename] = member
    return found


def inflated(archive: ZipFile, member: ZipInfo, count: int) -> bytes:
    """Return the first ``count`` bytes of ``member``, or all if there are fewer.

    Raises
    ------
    DataError
        If they are encrypted, or compressed in a way that cannot be bounded.
    """
    _require_readable(member)
    with archive.open(member) as stream:
        # one read with a bound: read() without one inflates first and then cuts to the declared size
        return stream.read(count)


def stored_at(source: Source, member: ZipInfo) -> int | None:
    """Return where the bytes of ``member`` lie in ``source``, or None if they are compressed.

    Raises
    ------
    DataError
        If they are encrypted, or are not where the archive says.
    """
    _require_readable(member)
    if member.compress_type != _STORED:
        return None
    header = source.read(member.header_offset, _LOCAL_HEADER)
    # the lengths of name and extra field, which may differ from those of the central directory
    lengths = np.frombuffer(header, "<u2", 2, offset=26)
    if not header.startswith(MAGIC[0]) or member.compress_size != member.file_size:
        raise damaged(f"member {shown(member.filename)} is not where the archive says")
    offset = member.header_offset + _LOCAL_HEADER + int(lengths.sum(dtype=np.int64))
    source.require(offset, member.file_size, f"member {shown(member.filename)}")
    return offset


@contextmanager
def opened(source: Source) -> Iterator[ZipFile]:
    """Open the archive for reading.

    Raises
    ------
    DataError
        If it turns out, now or inside, to be damaged.
    """
    import zipfile

    try:
        with source.open() as stream, zipfile.ZipFile(stream) as archive:
            yield archive
    except (GradflowError, MemoryError):
        raise
    except Exception as error:
        # seeking where an archive that is cut short points to is an invalid argument; any other is the disk's
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        # a hostile archive can make zipfile raise nearly anything: struct.error, zlib.error, ValueError ...
        raise damaged(f"the zip archive is unreadable ({shown(str(error), 100)})") from error


def _require_readable(member: ZipInfo) -> None:
    if member.compress_type not in (_STORED, _DEFLATED):
        # zipfile bounds what it inflates of these two only, and no framework writes another
        raise DataError(f"zip method {member.compress_type} is not read; use numpy.savez_compressed")
    if member.flag_bits & _ENCRYPTED:
        raise DataError("encrypted, which is not read; save it without a password")
