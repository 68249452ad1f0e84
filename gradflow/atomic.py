"""Write a file completely or not at all."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def find_obstacle(target: Path) -> str:
    """Return the reason why ``target`` cannot be written, or an empty string if it can be."""
    if target.is_dir():
        return "it is a directory; expected a file name"
    if not target.parent.is_dir():
        return f"there is no directory {str(target.parent)!r}; make it first"
    return "" if os.access(target.parent, os.W_OK) else "permission denied"


def replace_file(target: Path, data: bytes) -> None:
    """Write ``data`` to a temporary file beside ``target``, then rename it to ``target`` in one step."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _choose_mode(target))
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _choose_mode(target: Path) -> int:
    """Return the permissions of the existing file, or those that a new file would get."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
