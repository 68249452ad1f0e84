"""A file of weights: refused before the work where it cannot be written, else written whole or not at all."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gradflow.atomic import find_obstacle, replace_file
from gradflow.cells.base import Array
from gradflow.errors import DataError, UsageError
from gradflow.layouts import EXPORTERS
from gradflow.record import column
from gradflow.registry import check_name, lookup
from gradflow.table import Table
from gradflow.writers import ARRAY_SUFFIXES, WRITERS, WRITTEN_CONTAINERS, WRITTEN_SUFFIXES

DEFAULT_WRITTEN_LAYOUT = next(iter(EXPORTERS))


@dataclass(frozen=True, eq=False, repr=False)
class WrittenArrays(Table):
    """The arrays that were written."""

    name: list[str] = column("name in the new file")
    shape: list[str] = column("rows × columns")
    dtype: list[str] = column("type of its entries")

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> "WrittenArrays":
        """Return the table of named arrays."""
        return cls(
            name=list(arrays),
            shape=["×".join(map(str, array.shape)) for array in arrays.values()],
            dtype=[str(array.dtype) for array in arrays.values()],
        )


class WeightFile(NamedTuple):
    """A file that can be written, as it was named, its container, and the function that encodes arrays."""

    name: str
    path: Path
    container: str
    encode: Callable[[Mapping[str, Array]], bytes]

    @classmethod
    def of(cls, target: str | Path, *, any_names: bool = False) -> "WeightFile":
        """Return the file after a check that it can be written; ``any_names``: with arrays of any names.

        Raises
        ------
        UsageError
            If the suffix is unknown.
        DataError
            If it is a directory, or its directory does not exist or is not writable, or if a package that
            writes it is not installed.
        """
        name, path = os.fspath(target), Path(os.path.realpath(target))
        container = _find_container(name)
        if container is None or (any_names and WRITTEN_CONTAINERS[container].layout):
            suffixes = ARRAY_SUFFIXES if any_names else WRITTEN_SUFFIXES
            raise UsageError(f"{name!r}: expected a file that ends with {suffixes}")
        if reason := find_obstacle(path):
            raise DataError(f"cannot write {name!r}: {reason}")
        return cls(name, path, container, lookup(WRITERS, container, "container").encode)

    def write(self, arrays: Mapping[str, Array]) -> int:
        """Write the arrays, and return how many bytes that took.

        Raises
        ------
        DataError
            Where the system refuses; an older file is then still there.
        """
        encoded = self.encode(arrays)
        try:
            replace_file(self.path, encoded)
        except OSError as error:
            raise DataError(f"cannot write {self.name!r}: {error.strerror}") from error
        return len(encoded)


def choose_written_layout(kind: str, layout: str | None, target: str | Path | None) -> str:
    """Return the layout of arrays to write: as asked for, or that of the file, or torch.

    Raises
    ------
    UsageError
        If there is no such layout, called ``kind`` in the message, or the file takes only the names of
        another one.
    """
    container = None if target is None else _find_container(os.fspath(target))
    own = "" if container is None else WRITTEN_CONTAINERS[container].layout
    chosen = check_name(kind, layout or own or DEFAULT_WRITTEN_LAYOUT, EXPORTERS)
    if own not in ("", chosen):
        raise UsageError(
            f"{os.fspath(target or '')!r} takes the names of {own} alone, not of {chosen}; expected a file "
            f"that ends with {ARRAY_SUFFIXES}"
        )
    return chosen


def _find_container(name: str) -> str | None:
    """Return the container that the suffix of a file names, or None; a suffix alone names no file."""
    base = os.path.basename(name).lower()
    return next((known for known in WRITERS if base.endswith(f".{known}") and base != f".{known}"), None)
