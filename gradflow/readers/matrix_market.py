"""Matrix Market .mtx: a banner, the sizes, then the entries; coordinates become a dense matrix.

This reader does not use `scipy.io.mmread`, which ends the process on a matrix without rows (SIGFPE, scipy
1.17) and reads ``1,5`` as 1 and ``1e400`` as infinity. The format: Boisvert, Pozo, Remington, NISTIR 5935
(1996).
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents
from gradflow.readers.decoding import decode_text
from gradflow.readers.messages import quote
from gradflow.readers.numerals import parse_real
from gradflow.readers.source import Source, check_byte_limit, count_bytes
from gradflow.readers.stored_array import UNNAMED_ARRAY, NumberArray, StoredArray

MATRIX_MARKET_BANNER = "%%MatrixMarket"
# Field → how many numbers write one value.
_NUMBERS_PER_FIELD = {"real": 1, "double": 1, "integer": 1, "unsigned-integer": 1, "complex": 2, "pattern": 0}
# Symmetry → the entry mirrored at the diagonal, as a function of the stored one.
_MIRRORS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "symmetric": np.positive,
    "skew-symmetric": np.negative,
    "hermitian": np.conjugate,
}


class _NumberedLine(NamedTuple):
    number: int
    text: str


class _MatrixFormat(NamedTuple):
    coordinate: bool
    field: str
    symmetry: str

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.complex128 if self.field == "complex" else np.float64)

    @property
    def first_below(self) -> int:
        """The first stored diagonal: a skew-symmetric matrix does not store its main diagonal."""
        return 1 if self.symmetry == "skew-symmetric" else 0


def recognizes(source: Source) -> bool:
    """Return whether ``source`` starts with the banner of the format."""
    return source.head[: len(MATRIX_MARKET_BANNER)].lower() == MATRIX_MARKET_BANNER.lower().encode()


def read(source: Source) -> FileContents:
    """Return the one matrix of a Matrix Market file; the values of repeated coordinates are added.

    Raises
    ------
    DataError
        If the banner or the sizes are damaged, or the number of entries differs from the declared one.
    """
    first, *others = re.split(r"\r\n|\r|\n", decode_text(source))
    layout = _parse_banner(first)
    lines = [
        _NumberedLine(number, line)
        for number, line in enumerate(others, 2)
        if line.strip() and not line.startswith("%")
    ]
    if not lines:
        raise DataError("ends before its sizes; expected a line such as '3 3' after the banner")
    sizes, *entries = lines
    shape, count = _parse_sizes(sizes, layout)
    count_bytes(shape, layout.dtype.itemsize)
    if len(entries) != count:
        raise DataError(
            f"declares {count} entries on line {sizes.number}, but {len(entries)} lines follow; "
            "expected one entry per line, write the file again"
        )
    load = partial(_build_dense, layout, shape, entries)
    stored = StoredArray(source.name, UNNAMED_ARRAY, shape, str(layout.dtype), load)
    return FileContents({UNNAMED_ARRAY: stored})


def _parse_banner(banner: str) -> _MatrixFormat:
    words = banner.lower().split()
    match words[1:]:
        case ["matrix", "coordinate" | "array" as form, field, symmetry] if (
            field in _NUMBERS_PER_FIELD
            and symmetry in {"general", *_MIRRORS}
            and (form, field) != ("array", "pattern")
        ):
            return _MatrixFormat(form == "coordinate", field, symmetry)
    raise DataError(
        f"banner {quote(banner)} is not read; expected {MATRIX_MARKET_BANNER} matrix, then coordinate or "
        f"array, then one of {', '.join(_NUMBERS_PER_FIELD)} (pattern in coordinates only), then general "
        f"or one of {', '.join(_MIRRORS)}"
    )


def _parse_sizes(line: _NumberedLine, layout: _MatrixFormat) -> tuple[tuple[int, int], int]:
    """Return the shape and the number of stored entries."""
    wanted = 3 if layout.coordinate else 2
    tokens = line.text.split()
    if len(tokens) != wanted or not all(re.fullmatch("[0-9]{1,18}", token) for token in tokens):
        raise DataError(f"line {line.number} is {quote(line.text)}; expected {wanted} sizes")
    rows, columns, *stored = map(int, tokens)
    if layout.symmetry != "general" and rows != columns:
        raise DataError(f"is {layout.symmetry} of shape {(rows, columns)}; expected a square shape")
    if layout.coordinate:
        return (rows, columns), stored[0]
    if layout.symmetry == "general":
        return (rows, columns), rows * columns
    side = rows - layout.first_below
    return (rows, columns), side * (side + 1) // 2


def _build_dense(layout: _MatrixFormat, shape: tuple[int, int], entries: list[_NumberedLine]) -> NumberArray:
    check_byte_limit(count_bytes(shape, layout.dtype.itemsize), f"a dense matrix of shape {shape}")
    values = np.array([_parse_value(line, layout) for line in entries], layout.dtype)
    if layout.coordinate:
        rows, columns = (
            np.array([_parse_position(line, layout, shape) for line in entries], int).reshape(-1, 2).T
        )
    elif layout.symmetry == "general":
        columns, rows = np.divmod(np.arange(len(entries)), max(shape[0], 1))
    else:
        # The lower triangle column by column is the upper triangle row by row.
        columns, rows = np.triu_indices(shape[0], layout.first_below)
    matrix = np.zeros(shape, layout.dtype)
    np.add.at(matrix, (rows, columns), values)
    if layout.symmetry != "general":
        below = rows != columns
        np.add.at(matrix, (columns[below], rows[below]), _MIRRORS[layout.symmetry](values[below]))
    return matrix


def _parse_value(line: _NumberedLine, layout: _MatrixFormat) -> float | complex:
    indices, numbers = 2 if layout.coordinate else 0, _NUMBERS_PER_FIELD[layout.field]
    tokens = line.text.split()
    if len(tokens) != indices + numbers:
        raise DataError(
            f"line {line.number} is {quote(line.text)}; expected {indices} indices and {numbers} "
            f"numbers, as for {layout.field} entries"
        )
    try:
        parts = [parse_real(token) for token in tokens[indices:]]
    except DataError as error:
        raise DataError(f"line {line.number}: {error}") from error
    return complex(*parts) if numbers == 2 else (parts or [1.0])[0]


def _parse_position(line: _NumberedLine, layout: _MatrixFormat, shape: tuple[int, int]) -> tuple[int, int]:
    """Return row and column, counted from 0."""
    tokens = line.text.split()[:2]
    for token, size in zip(tokens, shape, strict=True):
        if not (re.fullmatch("[0-9]{1,18}", token) and 1 <= int(token) <= size):
            raise DataError(f"line {line.number}: index {quote(token)} is out of range; expected 1 to {size}")
    row, column = (int(token) - 1 for token in tokens)
    if layout.symmetry != "general" and row - column < layout.first_below:
        raise DataError(
            f"line {line.number}: entry {row + 1} {column + 1} of a {layout.symmetry} matrix is not below "
            "the diagonal; such a file stores only the entries below it, write the file again"
        )
    return row, column
