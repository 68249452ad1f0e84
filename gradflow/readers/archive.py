"""Zip archives: their members, and a bounded part of one member's bytes.

``zipfile`` is imported only for a zip archive, so that other files do not pay for it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from gradflow.errors import DataError, GradflowError
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.source import Source

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

# The signature of a first member, or of the end of an archive that has no member.
ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED_FLAG = 1
_LOCAL_HEADER_BYTES = 30


def is_zip(source: Source) -> bool:
    """Return whether ``source`` starts like a zip archive; an empty archive is one too."""
    return source.head.startswith(ZIP_SIGNATURES)


def list_member_names(source: Source) -> list[str]:
    """Return the names of all members; an empty list if ``source`` is not a zip archive, or a damaged one."""
    if not is_zip(source):
        return []
    try:
        with open_archive(source) as archive:
            return archive.namelist()
    except GradflowError:
        return []


def index_members(archive: ZipFile) -> dict[str, ZipInfo]:
    """Return the members by name.

    Raises
    ------
    DataError
        If two members have the same name: programs differ in which of them they read.
    """
    members: dict[str, ZipInfo] = {}
    for member in archive.infolist():
        if member.filename in members:
            raise DataError(f"holds two members named {quote(member.filename)}; expected each name once")
        members[member.filename] = member
    return members


def inflate_member(archive: ZipFile, member: ZipInfo, count: int) -> bytes:
    """Return the first ``count`` bytes of ``member``, or all of them if there are fewer.

    Raises
    ------
    DataError
        If the member is encrypted, or compressed by a method whose output cannot be bounded.
    """
    _check_readable(member)
    with archive.open(member) as stream:
        # read() without a bound inflates everything first, and only then cuts to the declared size.
        return stream.read(count)


def locate_stored_member(source: Source, member: ZipInfo) -> int | None:
    """Return the offset in ``source`` of the bytes of ``member``, or None if they are compressed.

    Raises
    ------
    DataError
        If the member is encrypted, or is not where the archive says.
    """
    _check_readable(member)
    if member.compress_type != _STORED:
        return None
    if member.header_offset < 0:
        raise report_damage(f"member {quote(member.filename)} is not where the archive says")
    header = source.read(member.header_offset, _LOCAL_HEADER_BYTES)
    # The lengths of the name and the extra field may differ from those in the central directory.
    lengths = np.frombuffer(header, "<u2", 2, offset=26)
    if not header.startswith(ZIP_SIGNATURES[0]) or member.compress_size != member.file_size:
        raise report_damage(f"member {quote(member.filename)} is not where the archive says")
    offset = member.header_offset + _LOCAL_HEADER_BYTES + int(lengths.sum(dtype=np.int64))
    source.require_bytes(offset, member.file_size, f"member {quote(member.filename)}")
    return offset


@contextmanager
def open_archive(source: Source) -> Iterator[ZipFile]:
    """Open the archive for reading.

    Raises
    ------
    DataError
        If the archive is damaged, whether that shows on opening or inside the ``with`` block.
    """
    import zipfile

    try:
        with source.open() as stream, zipfile.ZipFile(stream) as archive:
            yield archive
    except (GradflowError, MemoryError):
        raise
    except Exception as error:
        # An archive that was cut short points beyond its end, and seeking there gives EINVAL. Any other
        # OSError comes from the disk.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        # A hostile archive can make zipfile raise almost anything: struct.error, zlib.error, ValueError ...
        raise report_damage(f"the zip archive is unreadable ({quote(str(error), 100)})") from error


def _check_readable(member: ZipInfo) -> None:
    if member.compress_type not in (_STORED, _DEFLATED):
        # zipfile bounds the output of these two methods only, and no framework writes another one.
        raise DataError(
            f"zip method {member.compress_type} is not read; write the file with numpy.savez_compressed"
        )
    if member.flag_bits & _ENCRYPTED_FLAG:
        raise DataError("encrypted archives are not read; save it without a password")
