"""Where a result goes: to stdout, or to a file that is replaced as a whole or left unchanged."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from gradflow.errors import DataError


class Destination(NamedTuple):
    """A file, or stdout if ``path`` is None or ``-``."""

    path: str | None

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.path not in (None, "-")

    def check(self) -> None:
        """Check that the destination can be written, before any other work is done.

        Raises
        ------
        DataError
            If it is a directory, or if its directory does not exist or is not writable.
        """
        if not self.is_file:
            return
        target = _resolve_target(str(self.path))
        if _is_replaceable(target) or target.is_dir():
            # imported here so that only commands that write a file load it
            reason = import_module("gradflow.atomic").find_obstacle(target)
        else:
            reason = "" if os.access(target, os.W_OK) else "permission denied"
        if reason:
            raise DataError(f"cannot write {self.path!r}: {reason}")

    def write(self, data: bytes) -> None:
        """Write all of ``data``, or nothing.

        Raises
        ------
        DataError
            If the system reports an error; a file that existed before is then unchanged.
        """
        try:
            if not self.is_file:
                _write_stdout(data)
                return
            target = _resolve_target(str(self.path))
            if _is_replaceable(target):
                # imported here so that only commands that write a file load it
                atomic = import_module("gradflow.atomic")
                atomic.replace_file(target, data)
            else:  # a device or a named pipe is written to, not replaced
                target.write_bytes(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DataError(f"cannot write {self.path or 'stdout'!r}: {error.strerror}") from error


def _write_stdout(data: bytes) -> None:
    sys.stdout.flush()
    rest = memoryview(data)
    while rest:  # an unbuffered stream may write less than it is given
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.flush()


def _resolve_target(path: str) -> Path:
    """Return the file that a path or a link leads to, but a device or a named pipe under its own name."""
    named = Path(path)
    return named.resolve() if not named.exists() or named.is_file() else named


def _is_replaceable(target: Path) -> bool:
    return not target.exists() or target.is_file()
