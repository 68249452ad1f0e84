"""The checkpoints in a directory, found by what the files hold and not by their suffixes alone."""

import os
from collections.abc import Iterator
from pathlib import Path

from gradflow.errors import DataError
from gradflow.readers import CHECKPOINT_SUFFIXES
from gradflow.readers.checkpoint_files import is_checkpoint, open_quietly
from gradflow.readers.file_sets import list_members, locate_file_set
from gradflow.readers.messages import quote
from gradflow.readers.source import Source
from gradflow.readers.unsupported import name_unsupported

MAX_LISTED_CHECKPOINTS = 6
MAX_WALKED_FILES = 100_000


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a directory and in those below it, sorted by path.

    Of each file only the beginning is read. A file is a checkpoint if a container of checkpoints recognizes
    its content, or if it has the suffix of one, be it damaged or not. A checkpoint in several files is one
    path. Names that start with a dot are left out, links to directories are not followed, and a file with
    several names counts once.

    Raises
    ------
    DataError
        If there is none. The message names a file that is in a format which is not read, if there is one.
    """
    sets: list[Path] = []
    members: set[Path] = set()
    single: dict[Path, Path] = {}
    foreign = ""
    for path in _walk_folder(folder):
        if path in members:
            continue
        file_set = locate_file_set(path)
        if file_set is not None:
            sets.append(file_set.path)
            members.update(list_members(file_set))
            continue
        source = open_quietly(path)
        if not is_checkpoint(path, source):
            foreign = foreign or _describe_foreign(path, source)
            continue
        # Of several names of one file, one with a suffix says more.
        real = path.resolve()
        if real not in single or not single[real].name.lower().endswith(CHECKPOINT_SUFFIXES):
            single[real] = path
    # A file of several may have another name elsewhere, as in the cache of Hugging Face.
    joined = {path.resolve() for path in members}
    found = [*sets, *(path for real, path in single.items() if real not in joined)]
    if not found:
        expected = f"expected files that end with {', '.join(CHECKPOINT_SUFFIXES)}"
        raise DataError(f"{folder}: is a directory that contains no checkpoint; {foreign or expected}")
    return sorted(found, key=os.fspath)


def choose_checkpoint(folder: Path) -> Path:
    """Return the only checkpoint in a directory.

    Raises
    ------
    DataError
        If there is none, or if there are several.
    """
    found = list_checkpoints(folder)
    if len(found) > 1:
        listed = ", ".join(quote(str(path.relative_to(folder))) for path in found[:MAX_LISTED_CHECKPOINTS])
        more = (
            f" and {len(found) - MAX_LISTED_CHECKPOINTS} more" if len(found) > MAX_LISTED_CHECKPOINTS else ""
        )
        raise DataError(f"is a directory with {len(found)} checkpoints; name one of them: {listed}{more}")
    return found[0]


def _walk_folder(folder: Path) -> Iterator[Path]:
    """Yield the files to look at, and directories that are one checkpoint in place of the files inside."""
    count = 0
    for directory, below, names in os.walk(folder):
        count += len(names)
        if count > MAX_WALKED_FILES:
            raise DataError(f"{folder}: holds more than {MAX_WALKED_FILES} files; name a folder inside it")
        here = Path(directory)
        if locate_file_set(here) is not None:
            below.clear()
            yield here
            continue
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from (here / name for name in sorted(names) if not name.startswith("."))


def _describe_foreign(path: Path, source: Source | None) -> str:
    """Return the refusal of a file in a known format that is not read; an empty text for any other file."""
    refusal = "" if source is None else name_unsupported(source)
    return f"{quote(path.name)} {refusal}" if refusal else ""
