"""The bytes that are read, from a file or a pipe, and the limit on memory."""

import io
import math
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradflow.errors import DataError, UsageError
from gradflow.printable import describe_argument
from gradflow.readers.messages import prefix_errors, quote, report_damage

HEAD_BYTES = 16384
MAX_BYTES_VARIABLE = "GRADFLOW_MAX_BYTES"
DEFAULT_MAX_BYTES = 4 * 2**30
MAX_DIMENSIONS = 32
MAX_SHOWN_PATH = 200


@dataclass(frozen=True)
class Source:
    """Bytes with a name.

    Attributes
    ----------
    name : str
        The name in messages, on one line.
    head : bytes
        The first `HEAD_BYTES` bytes. Readers recognize their format by them.
    size : int
        Number of bytes.
    path : Path or None
        The file; None if ``contents`` holds all the bytes.
    contents : bytes
        The bytes that came from a pipe or a literal.
    """

    name: str
    head: bytes = field(repr=False)
    size: int
    path: Path | None = None
    contents: bytes = field(default=b"", repr=False)

    def open(self) -> BinaryIO:
        """Return a new binary stream over the bytes, positioned at their start."""
        return io.BytesIO(self.contents) if self.path is None else self.path.open("rb")

    def read(self, offset: int = 0, count: int | None = None) -> bytes:
        """Return ``count`` bytes from ``offset``, or all bytes from there on.

        Raises
        ------
        DataError
            If they are more than the limit, or more than there are.
        """
        wanted = self.size - offset if count is None else count
        check_byte_limit(wanted, "its content")
        self.require_bytes(offset, wanted, "its content")
        with self.open() as stream:
            stream.seek(offset)
            return stream.read(wanted)

    def map_array(
        self, dtype: DTypeLike, shape: tuple[int, ...], offset: int, order: Literal["C", "F"] = "C"
    ) -> NDArray[Any]:
        """Return the array of ``shape`` at ``offset``; it is memory-mapped if the source is a file.

        Raises
        ------
        DataError
            If the shape is impossible, or needs more bytes than there are.
        """
        kind = np.dtype(dtype)
        wanted = count_bytes(shape, kind.itemsize)
        self.require_bytes(offset, wanted, f"an array of shape {shape} and type {kind}")
        if wanted == 0:
            return np.empty(shape, kind)
        if self.path is None:
            return np.ndarray(shape, kind, self.contents, offset, order=order)
        return np.memmap(self.path, kind, "r", offset, shape, order)

    def map_bytes(self) -> bytes | mmap:
        """Return all bytes; they are memory-mapped if the source is a file."""
        if self.path is None:
            return self.contents
        with self.path.open("rb") as stream:
            return mmap(stream.fileno(), 0, access=ACCESS_READ)

    def require_bytes(self, offset: int, wanted: int, what: str) -> None:
        """Raise `DataError` unless there are ``wanted`` bytes at ``offset``."""
        if offset + wanted > self.size:
            raise report_damage(
                f"{what} takes {wanted} bytes, but only {max(self.size - offset, 0)} are there"
            )


def open_source(origin: str | os.PathLike[str]) -> Source:
    """Return the source that ``origin`` names: a file, or standard input for ``"-"``.

    Standard input and pipes such as ``/dev/fd/63`` can be neither mapped nor read twice, so they are read
    completely here.

    Raises
    ------
    UsageError
        If ``origin`` is neither text nor a path.
    DataError
        If the file does not exist, is a directory, or is unreadable or empty; if a pipe holds more bytes
        than the limit.
    """
    text = os.fspath(origin) if isinstance(origin, str | os.PathLike) else None
    if not isinstance(text, str):  # the path of a DirEntry may be bytes
        raise UsageError(
            f"{describe_argument('source', origin)}: expected the name of a file; what is in memory already "
            "needs no reading"
        )
    if text == "-":
        return _read_standard_input()
    name = text if text.isprintable() and 0 < len(text) <= MAX_SHOWN_PATH else quote(text, MAX_SHOWN_PATH)
    with prefix_errors(name):
        try:
            mode = os.stat(text).st_mode
            if stat.S_ISDIR(mode):
                raise DataError("is a directory; expected a file, name one inside it")
            with open(text, "rb") as stream:
                if not stat.S_ISREG(mode):
                    return wrap_bytes(name, _drain_pipe(stream))
                size, head = os.fstat(stream.fileno()).st_size, stream.read(HEAD_BYTES)
        except FileNotFoundError as error:
            raise DataError("no such file; check the path") from error
        except ValueError as error:
            raise DataError("the name of a file cannot hold a null character; check the path") from error
        return _check_not_empty(Source(name, head, size, Path(text)))


def as_path(origin: object) -> Path | None:
    """Return the path that ``origin`` names, or None if it is standard input or no path at all.

    Examples
    --------
    >>> as_path("-"), as_path("model.pt").name
    (None, 'model.pt')
    """
    text = os.fspath(origin) if isinstance(origin, str | os.PathLike) else None
    return Path(text) if isinstance(text, str) and text not in ("-", "") and "\0" not in text else None


def wrap_bytes(name: str, contents: bytes) -> Source:
    """Return a source for bytes that are already in memory.

    Examples
    --------
    >>> wrap_bytes("a literal", b"1 2; 3 4").size
    8
    """
    return _check_not_empty(Source(name, contents[:HEAD_BYTES], len(contents), contents=contents))


def check_byte_limit(wanted: int, what: str) -> None:
    """Raise `DataError` if ``wanted`` bytes are more than the limit.

    A few bytes of a file can declare terabytes. Whoever allocates memory because a file says so calls this
    function first.

    Raises
    ------
    DataError
        If ``wanted`` exceeds the environment variable ``GRADFLOW_MAX_BYTES``, by default 4 GiB.
    UsageError
        If ``GRADFLOW_MAX_BYTES`` is not a whole number.
    """
    setting = os.environ.get(MAX_BYTES_VARIABLE) or str(DEFAULT_MAX_BYTES)
    if not (setting.isascii() and setting.isdigit() and len(setting) <= 18):
        raise UsageError(
            f"{MAX_BYTES_VARIABLE} is {quote(setting)}; expected a number of bytes, such as 8000000000"
        )
    if wanted > int(setting):
        raise DataError(
            f"{what} takes {wanted} bytes, more than the limit of {int(setting)}; "
            f"set the environment variable {MAX_BYTES_VARIABLE} to raise it"
        )


def count_bytes(shape: Sequence[object], itemsize: int) -> int:
    """Return how many bytes an array of ``shape`` takes.

    Raises
    ------
    DataError
        If no array can have that shape: a size is not a whole number, is negative or too large, or there are
        too many dimensions.

    Examples
    --------
    >>> count_bytes((3, 4), 8)
    96
    """
    sizes = [size for size in shape if type(size) is int and size >= 0]
    # numpy refuses a shape whose other dimensions overflow even if one of them is zero.
    too_large = len(sizes) <= MAX_DIMENSIONS and math.prod(size or 1 for size in sizes) * itemsize >= 2**63
    if len(sizes) < len(shape) or len(sizes) > MAX_DIMENSIONS or too_large:
        raise report_damage(
            f"claims the impossible shape {quote(str(tuple(shape)), 100)[1:-1]}; expected at most "
            f"{MAX_DIMENSIONS} whole numbers, none negative"
        )
    return math.prod(sizes) * itemsize


def _read_standard_input() -> Source:
    with prefix_errors("standard input"):
        if sys.stdin is None:
            raise DataError("is closed; expected data: pipe them in, or name a file")
        return wrap_bytes("standard input", _drain_pipe(sys.stdin.buffer))


def _drain_pipe(stream: BinaryIO) -> bytes:
    """Return all bytes of a pipe, or stop at the limit."""
    parts = []
    size = 0
    while part := stream.read(2**20):
        parts.append(part)
        size += len(part)
        check_byte_limit(size, "the content of the pipe")
    return b"".join(parts)


def _check_not_empty(source: Source) -> Source:
    if source.size == 0:
        raise DataError("is empty; expected data, check what should have written it")
    return source
