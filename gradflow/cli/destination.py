"""Where a result goes: stdout, or a file that is either written whole or left as it was."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from gradflow.errors import DataError


class Destination(NamedTuple):
    """A file, or stdout where ``path`` is None or ``-``."""

    path: str | None

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.path not in (None, "-")

    def check(self) -> None:
        """Refuse what cannot be written before the work is done for it.

        Raises
        ------
        DataError
            For a directory, or a file in a directory that is not there or not writable.
        """
        if not self.is_file:
            return
        target = _target(str(self.path))
        if _replaceable(target) or target.is_dir():
            # here, for a start-up that writes no file should not pay for it
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
            Where the system refuses; an older file is then still there.
        """
        try:
            if not self.is_file:
                _write_stdout(data)
                return
            target = _target(str(self.path))
            if _replaceable(target):
                # here, for a start-up that writes no file should not pay for it
                atomic = import_module("gradflow.atomic")
                atomic.replace_file(target, data)
            else:  # a device or a pipe is written to, never replaced
                target.write_bytes(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DataError(f"cannot write {self.path or 'stdout'!r}: {error.strerror}") from error


def _write_stdout(data: bytes) -> None:
    sys.stdout.flush()
    rest = memoryview(data)
    while rest:  # an unbuffered stream may take less than it is given
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.flush()


def _target(path: str) -> Path:
    """Return the file itself where ``path`` is a link to one; a device or a pipe as it was named."""
    named = Path(path)
    return named.resolve() if not named.exists() or named.is_file() else named


def _replaceable(target: Path) -> bool:
    return not target.exists() or target.is_file()
