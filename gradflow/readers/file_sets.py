"""Checkpoints in several files: which files belong together, and the reader that joins them.

A reader of several files is a module with three functions. ``locate(path)`` returns the path that stands for
the whole checkpoint if ``path`` belongs to one, else None. ``list_members(whole)`` returns the paths of its
files. ``read_files(path)`` returns the `FileContents` of the whole.
"""

from pathlib import Path
from typing import Any, NamedTuple

from gradflow.readers import FILE_SET_READERS
from gradflow.readers.contents import FileContents
from gradflow.registry import lookup


class FileSet(NamedTuple):
    """A checkpoint in several files.

    Attributes
    ----------
    kind : str
        The name of its reader in ``gradflow.readers.FILE_SET_READERS``.
    path : Path
        The path that stands for all files: an index, the first file, or a folder.
    """

    kind: str
    path: Path


def locate_file_set(path: Path) -> FileSet | None:
    """Return the checkpoint in several files to which ``path`` belongs, or None if there is none."""
    for kind in FILE_SET_READERS:
        try:
            whole = _get_reader(kind).locate(path)
        except OSError:  # a name too long, or a folder that may not be read: whoever opens the file says so
            return None
        if whole is not None:
            return FileSet(kind, whole)
    return None


def list_members(file_set: FileSet) -> list[Path]:
    """Return the paths of the files of a checkpoint."""
    members: list[Path] = _get_reader(file_set.kind).list_members(file_set.path)
    return members


def read_file_set(kind: str, path: Path) -> FileContents:
    """Return what the reader ``kind`` finds in all files of the checkpoint to which ``path`` belongs."""
    contents: FileContents = _get_reader(kind).read_files(path)
    return contents


def _get_reader(kind: str) -> Any:
    return lookup(FILE_SET_READERS, kind, "reader")
