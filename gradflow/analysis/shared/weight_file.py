"""A file of weights: refused before the work where it cannot be written, else written whole or not at all."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gradflow.atomic import find_obstacle, replace_file
from gradflow.cells.base import Array
from gradflow.errors import DataError, UsageError
from gradflow.record import column
from gradflow.registry import lookup
from gradflow.table import Table
from gradflow.writers import WRITERS


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
    """A file that can be written, as it was named, and its container."""

    name: str
    path: Path
    container: str

    @classmethod
    def of(cls, target: str | Path) -> "WeightFile":
        """Return the file after a check that it can be written.

        Raises
        ------
        UsageError
            If the suffix is unknown.
        DataError
            If it is a directory, or its directory does not exist or is not writable.
        """
        name, path = os.fspath(target), Path(os.path.realpath(target))
        container = Path(name).suffix.removeprefix(".").lower()
        if container not in WRITERS:
            wanted = " or ".join(f".{known}" for known in WRITERS)
            raise UsageError(f"{name!r}: expected a file that ends with {wanted}")
        if reason := find_obstacle(path):
            raise DataError(f"cannot write {name!r}: {reason}")
        return cls(name, path, container)

    def write(self, arrays: Mapping[str, Array]) -> int:
        """Write the arrays, and return how many bytes that took.

        Raises
        ------
        DataError
            Where the system refuses; an older file is then still there.
        """
        encoded: bytes = lookup(WRITERS, self.container, "container").encode(arrays)
        try:
            replace_file(self.path, encoded)
        except OSError as error:
            raise DataError(f"cannot write {self.name!r}: {error.strerror}") from error
        return len(encoded)
