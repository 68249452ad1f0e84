"""Which files are checkpoints, said by their content or their suffix."""

from pathlib import Path

from gradflow.errors import GradflowError
from gradflow.readers import CHECKPOINT_SUFFIXES, CONTAINERS
from gradflow.readers.source import Source, open_source
from gradflow.registry import load


def open_quietly(path: Path) -> Source | None:
    """Return a file that is not empty and can be read, else None."""
    try:
        return open_source(path) if path.is_file() else None
    except GradflowError:
        return None


def is_checkpoint(path: Path, source: Source | None) -> bool:
    """Return whether a file has the suffix of a checkpoint, or a container recognizes its content.

    ``source`` is None if the file cannot be read.
    """
    if path.name.lower().endswith(CHECKPOINT_SUFFIXES):
        return path.is_file()
    finders = (load(container.finder) for container in CONTAINERS.values() if container.finder)
    return source is not None and any(finder(source) for finder in finders)
