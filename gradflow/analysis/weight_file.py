"""A file for fresh weights: refused before the work where it cannot be written, else written whole or not."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gradflow.atomic import replace
from gradflow.cells.base import Cell, Layer
from gradflow.cells.stack import Stack
from gradflow.errors import DataError, UsageError
from gradflow.layouts import WRITABLE
from gradflow.layouts.written import Written
from gradflow.tables import lookup
from gradflow.writers import WRITERS


class WeightFile(NamedTuple):
    """Where weights go (None: nowhere), in what container, and in whose names."""

    path: Path | None
    container: str
    layout: str

    @classmethod
    def of(cls, target: str | Path | None, layout: str) -> "WeightFile":
        """Return the file, refused where it is none that can be written.

        Raises
        ------
        UsageError
            For a suffix or a layout that there is not.
        DataError
            For a directory, or a file in a directory that is not there or not writable.
        """
        lookup(WRITABLE, layout, "layout of weights")
        if target is None:
            return cls(None, "", layout)
        name, path = os.fspath(target), Path(os.path.realpath(target))
        container = path.suffix.removeprefix(".").lower()
        if container not in WRITERS:
            wanted = " or ".join(f".{name}" for name in WRITERS)
            raise UsageError(f"{name!r}: expected a file that ends with {wanted}")
        if path.is_dir():
            raise DataError(f"cannot write {name!r}: it is a directory; expected a file name")
        if not path.parent.is_dir():
            raise DataError(
                f"cannot write {name!r}: there is no directory {str(path.parent)!r}; make it first"
            )
        if not os.access(path.parent, os.W_OK):
            raise DataError(f"cannot write {name!r}: permission denied")
        return cls(path, container, layout)

    def arranged(self, cell: Cell) -> Written | None:
        """Return the weights in the framework's names, None where no file is wanted.

        Raises
        ------
        DataError
            For a cell that the framework has not.
        """
        if self.path is None:
            return None
        layers = cell.layers if isinstance(cell, Stack) else (cell,)
        named: Written = lookup(WRITABLE, self.layout, "layout of weights")(
            [layer for layer in layers if isinstance(layer, Layer)]
        )
        arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in named.arrays.items()}
        return Written(named.constructors, arrays)

    def write(self, weights: Written) -> int:
        """Write the weights, and return the bytes written.

        Raises
        ------
        DataError
            Where the system refuses; an older file is then still there.
        """
        assert self.path is not None
        encoded: bytes = lookup(WRITERS, self.container, "container").encode(weights.arrays)
        try:
            replace(self.path, encoded)
        except OSError as error:
            raise DataError(f"cannot write {str(self.path)!r}: {error.strerror}") from error
        return len(encoded)
