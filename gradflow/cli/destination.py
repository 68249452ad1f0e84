"""Where a result goes: stdout, or a file that is either written whole or left as it was."""

import os
import stat
import sys
from contextlib import suppress
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
        if target.is_dir():
            raise DataError(f"cannot write {self.path!r}: it is a directory; expected a file name")
        if not target.parent.is_dir():
            raise DataError(
                f"cannot write {self.path!r}: there is no directory {str(target.parent)!r}; make it first"
            )
        if not os.access(target.parent if _replaceable(target) else target, os.W_OK):
            raise DataError(f"cannot write {self.path!r}: permission denied")

    def write(self, text: str, encoding: str = "utf-8") -> None:
        """Write all of ``text``, or nothing.

        Raises
        ------
        DataError
            Where the system refuses; an older file is then still there.
        """
        data = text.encode(encoding, "replace")
        try:
            if not self.is_file:
                _write_stdout(data)
                return
            target = _target(str(self.path))
            if _replaceable(target):
                _replace(target, data)
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


def _replace(target: Path, data: bytes) -> None:
    """Write a temporary file beside the target, then rename it over the target in one step."""
    import tempfile  # here, for a start-up that writes no file should not pay for it

    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _mode(target))
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _mode(target: Path) -> int:
    """Return the permissions of the file that was there, or those that a new one gets."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
