"""Where bytes come from, a file or a pipe, and how many of them may be taken."""

import io
import math
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradflow.errors import DataError, UsageError
from gradflow.readers.messages import damaged, reading, shown

HEAD = 16384
LIMIT_VARIABLE = "GRADFLOW_MAX_BYTES"
DEFAULT_LIMIT = 4 * 2**30
MOST_DIMENSIONS = 32
LONGEST_NAME = 200


@dataclass(frozen=True)
class Source:
    """Bytes with a name.

    Attributes
    ----------
    name : str
        What messages call it; a single line.
    head : bytes
        The first `HEAD` bytes, by which readers recognise their format.
    size : int
        How many bytes there are.
    path : Path or None
        The file, or None where ``contents`` holds all bytes already.
    contents : bytes
        What was read from a pipe.
    """

    name: str
    head: bytes = field(repr=False)
    size: int
    path: Path | None = None
    contents: bytes = field(default=b"", repr=False)

    def open(self) -> BinaryIO:
        """Return a new stream over the bytes, at their start."""
        return io.BytesIO(self.contents) if self.path is None else self.path.open("rb")

    def read(self, offset: int = 0, count: int | None = None) -> bytes:
        """Return ``count`` bytes from ``offset``, or all that follow.

        Raises
        ------
        DataError
            If they are more than may be taken, or than there are.
        """
        wanted = self.size - offset if count is None else count
        claim(wanted, "its content")
        self.require(offset, wanted, "its content")
        with self.open() as stream:
            stream.seek(offset)
            return stream.read(wanted)

    def mapped(
        self, dtype: DTypeLike, shape: tuple[int, ...], offset: int, order: Literal["C", "F"] = "C"
    ) -> NDArray[Any]:
        """Return the array of ``shape`` that lies at ``offset``, memory-mapped where it is in a file.

        Raises
        ------
        DataError
            If the shape is impossible or wants more bytes than there are.
        """
        kind = np.dtype(dtype)
        wanted = byte_count(shape, kind.itemsize)
        self.require(offset, wanted, f"an array of shape {shape} and type {kind}")
        if wanted == 0:
            return np.empty(shape, kind)
        if self.path is None:
            return np.ndarray(shape, kind, self.contents, offset, order=order)
        return np.memmap(self.path, kind, "r", offset, shape, order)

    def require(self, offset: int, wanted: int, what: str) -> None:
        """Raise `DataError` unless ``wanted`` bytes lie at ``offset``."""
        if offset + wanted > self.size:
            raise damaged(f"{what} takes {wanted} bytes, but only {max(self.size - offset, 0)} are there")


def open_source(origin: str | os.PathLike[str]) -> Source:
    """Return the source that ``origin`` names: a file, or standard input if it is ``"-"``.

    A pipe such as ``/dev/fd/63``, which can be neither mapped nor read twice, is read whole, as standard
    input is.

    Raises
    ------
    DataError
        If there is no such file, or it is a directory, unreadable, empty or above the limit.
    """
    if origin == "-":
        return _from_standard_input()
    text = os.fspath(origin)
    name = text if text.isprintable() and 0 < len(text) <= LONGEST_NAME else shown(text, LONGEST_NAME)
    with reading(name):
        try:
            mode = os.stat(text).st_mode
            if stat.S_ISDIR(mode):
                raise DataError("is a directory; expected a file, name one inside it")
            with open(text, "rb") as stream:
                if not stat.S_ISREG(mode):
                    return from_bytes(name, _drained(stream))
                size, head = os.fstat(stream.fileno()).st_size, stream.read(HEAD)
        except FileNotFoundError as error:
            raise DataError("no such file; check the path") from error
        except ValueError as error:
            raise DataError("no file can have such a name (it holds a null character)") from error
        return _not_empty(Source(name, head, size, Path(text)))


def from_bytes(name: str, contents: bytes) -> Source:
    """Return bytes that are already in memory as a source.

    Examples
    --------
    >>> from_bytes("a literal", b"1 2; 3 4").size
    8
    """
    return _not_empty(Source(name, contents[:HEAD], len(contents), contents=contents))


def claim(wanted: int, what: str) -> None:
    """Raise `DataError` if ``wanted`` bytes are more than may be taken.

    A few bytes of a file can claim terabytes, so whatever allocates by a file's own word asks here first.

    Raises
    ------
    DataError
        If ``wanted`` is above ``GRADFLOW_MAX_BYTES`` (4 GiB unless it is set).
    UsageError
        If ``GRADFLOW_MAX_BYTES`` is no whole number.
    """
    setting = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT)
    if not (setting.isascii() and setting.isdigit() and len(setting) <= 18):
        raise UsageError(
            f"{LIMIT_VARIABLE} is {shown(setting)}; expected a number of bytes, such as 8000000000"
        )
    if wanted > int(setting):
        raise DataError(
            f"{what} takes {wanted} bytes, more than the limit of {int(setting)}; "
            f"set the environment variable {LIMIT_VARIABLE} to raise it"
        )


def byte_count(shape: Sequence[object], itemsize: int) -> int:
    """Return how many bytes an array takes, if there can be such an array.

    Raises
    ------
    DataError
        If a dimension is no whole number, negative or absurdly large, or there are too many.

    Examples
    --------
    >>> byte_count((3, 4), 8)
    96
    """
    sizes = [size for size in shape if type(size) is int and size >= 0]
    # numpy refuses a shape whose other dimensions overflow even where one of them is zero
    too_large = len(sizes) <= MOST_DIMENSIONS and math.prod(size or 1 for size in sizes) * itemsize >= 2**63
    if len(sizes) < len(shape) or len(sizes) > MOST_DIMENSIONS or too_large:
        raise damaged(
            f"claims the impossible shape {shown(str(tuple(shape)), 100)[1:-1]}; expected at most "
            f"{MOST_DIMENSIONS} whole numbers, none negative"
        )
    return math.prod(sizes) * itemsize


def _from_standard_input() -> Source:
    with reading("standard input"):
        if sys.stdin is None:
            raise DataError("is closed; expected data, pipe them in or name a file")
        return from_bytes("standard input", _drained(sys.stdin.buffer))


def _drained(stream: BinaryIO) -> bytes:
    """Return all that comes out of a pipe, unless it goes on for ever."""
    parts = []
    taken = 0
    while part := stream.read(2**20):
        parts.append(part)
        taken += len(part)
        claim(taken, "what comes out of the pipe")
    return b"".join(parts)


def _not_empty(source: Source) -> Source:
    if source.size == 0:
        raise DataError("is empty; expected an array, check what should have written it")
    return source
