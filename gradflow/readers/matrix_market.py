"""Matrix Market .mtx: a banner, the sizes, then the entries; coordinates become a dense matrix.

Read without `scipy.io.mmread`, which ends the process on a matrix of no rows (SIGFPE, scipy 1.17), takes
``1,5`` for 1 and ``1e400`` for infinity. The format: Boisvert, Pozo, Remington, NISTIR 5935 (1996).
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.decoding import decode
from gradflow.readers.messages import shown
from gradflow.readers.numerals import real
from gradflow.readers.source import Source, byte_count, claim
from gradflow.readers.stored import UNNAMED, Numbers, StoredArray

BANNER = "%%MatrixMarket"
# field → how many numbers write one value
_FIELDS = {"real": 1, "double": 1, "integer": 1, "unsigned-integer": 1, "complex": 2, "pattern": 0}
# symmetry → what stands across the diagonal from a value
_MIRRORS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "symmetric": np.positive,
    "skew-symmetric": np.negative,
    "hermitian": np.conjugate,
}


class _Line(NamedTuple):
    number: int
    text: str


class _Layout(NamedTuple):
    coordinate: bool
    field: str
    symmetry: str

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.complex128 if self.field == "complex" else np.float64)

    @property
    def first_below(self) -> int:
        """The nearest stored diagonal: a skew-symmetric matrix stores no main one."""
        return 1 if self.symmetry == "skew-symmetric" else 0


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts with the banner."""
    return source.head[: len(BANNER)].lower() == BANNER.lower().encode()


def read(source: Source) -> dict[str, StoredArray]:
    """Return the one matrix of a Matrix Market file; repeated coordinates add up.

    Raises
    ------
    DataError
        If banner or sizes are damaged, or the file holds more or fewer entries than they promise.
    """
    first, *others = re.split(r"\r\n|\r|\n", decode(source))
    layout = _layout(first)
    lines = [
        _Line(number, line)
        for number, line in enumerate(others, 2)
        if line.strip() and not line.startswith("%")
    ]
    if not lines:
        raise DataError("ends before its sizes; expected a line such as '3 3' after the banner")
    sizes, *entries = lines
    shape, count = _sizes(sizes, layout)
    byte_count(shape, layout.dtype.itemsize)
    if len(entries) != count:
        raise DataError(
            f"promises {count} entries on line {sizes.number}, but {len(entries)} lines follow; "
            "expected one entry to a line, write the file again"
        )
    load = partial(_dense, layout, shape, entries)
    return {UNNAMED: StoredArray(source.name, UNNAMED, shape, str(layout.dtype), load)}


def _layout(banner: str) -> _Layout:
    words = banner.lower().split()
    match words[1:]:
        case ["matrix", "coordinate" | "array" as form, field, symmetry] if (
            field in _FIELDS and symmetry in {"general", *_MIRRORS} and (form, field) != ("array", "pattern")
        ):
            return _Layout(form == "coordinate", field, symmetry)
    raise DataError(
        f"banner {shown(banner)} is not read; expected {BANNER} matrix, then coordinate or array, then one "
        f"of {', '.join(_FIELDS)} (pattern in coordinates only), then general or one of {', '.join(_MIRRORS)}"
    )


def _sizes(line: _Line, layout: _Layout) -> tuple[tuple[int, int], int]:
    """Return the shape, and how many entries are stored."""
    wanted = 3 if layout.coordinate else 2
    tokens = line.text.split()
    if len(tokens) != wanted or not all(re.fullmatch("[0-9]{1,18}", token) for token in tokens):
        raise DataError(f"line {line.number} is {shown(line.text)}; expected {wanted} sizes")
    rows, columns, *stored = map(int, tokens)
    if layout.symmetry != "general" and rows != columns:
        raise DataError(f"is {layout.symmetry} of shape {(rows, columns)}; expected a square shape")
    if layout.coordinate:
        return (rows, columns), stored[0]
    if layout.symmetry == "general":
        return (rows, columns), rows * columns
    side = rows - layout.first_below
    return (rows, columns), side * (side + 1) // 2


def _dense(layout: _Layout, shape: tuple[int, int], entries: list[_Line]) -> Numbers:
    claim(byte_count(shape, layout.dtype.itemsize), f"a dense matrix of shape {shape}")
    values = np.array([_value(line, layout) for line in entries], layout.dtype)
    if layout.coordinate:
        rows, columns = np.array([_position(line, layout, shape) for line in entries], int).reshape(-1, 2).T
    elif layout.symmetry == "general":
        columns, rows = np.divmod(np.arange(len(entries)), max(shape[0], 1))
    else:
        # the lower triangle column by column is the upper one row by row
        columns, rows = np.triu_indices(shape[0], layout.first_below)
    matrix = np.zeros(shape, layout.dtype)
    np.add.at(matrix, (rows, columns), values)
    if layout.symmetry != "general":
        below = rows != columns
        np.add.at(matrix, (columns[below], rows[below]), _MIRRORS[layout.symmetry](values[below]))
    return matrix


def _value(line: _Line, layout: _Layout) -> float | complex:
    indices, numbers = 2 if layout.coordinate else 0, _FIELDS[layout.field]
    tokens = line.text.split()
    if len(tokens) != indices + numbers:
        raise DataError(
            f"line {line.number} is {shown(line.text)}; expected {indices} indices and {numbers} "
            f"numbers, as for {layout.field} entries"
        )
    try:
        parts = [real(token) for token in tokens[indices:]]
    except DataError as error:
        raise DataError(f"line {line.number}: {error}") from error
    return complex(*parts) if numbers == 2 else (parts or [1.0])[0]


def _position(line: _Line, layout: _Layout, shape: tuple[int, int]) -> tuple[int, int]:
    """Return row and column, counted from 0."""
    tokens = line.text.split()[:2]
    for token, size in zip(tokens, shape, strict=True):
        if not (re.fullmatch("[0-9]{1,18}", token) and 1 <= int(token) <= size):
            raise DataError(f"line {line.number}: index {shown(token)} is out of range; expected 1 to {size}")
    row, column = (int(token) - 1 for token in tokens)
    if layout.symmetry != "general" and row - column < layout.first_below:
        raise DataError(
            f"line {line.number}: entry {row + 1} {column + 1} of a {layout.symmetry} matrix is not below "
            "the diagonal, where alone they are stored; write the file again"
        )
    return row, column
