"""Files that are written whole or not at all."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def obstacle(target: Path) -> str:
    """Return why nothing can be written in place of the target, or nothing where it can."""
    if target.is_dir():
        return "it is a directory; expected a file name"
    if not target.parent.is_dir():
        return f"there is no directory {str(target.parent)!r}; make it first"
    return "" if os.access(target.parent, os.W_OK) else "permission denied"


def replace(target: Path, data: bytes) -> None:
    """Write a temporary file beside the target, then rename it over the target in one step."""
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
