"""Text: rows of numbers as a person types them, or as spreadsheets and other programs export them.

Rows end with the line or with ``;``; entries stand between commas, tabs or blanks. In a file of several lines
with one number between any two ``;``, these part columns. ``#`` and ``%`` after a blank begin a comment. A
first line without a single number is a header. What could be read in two ways is refused.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np

from gradflow.errors import DataError
from gradflow.readers.decoding import beginning, decode
from gradflow.readers.numerals import is_number, number
from gradflow.readers.source import Source
from gradflow.readers.stored import UNNAMED, Numbers, StoredArray

_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")
# after a blank only: 50% is no 50
_COMMENT = re.compile(r"(?:^|(?<=[\s,;]))[#%]")
# all that a zero is written with
_ZERO = "+-0.eE \t"


class _Row(NamedTuple):
    """A piece of a line, ``offset`` characters into it."""

    line: int
    offset: int
    text: str


def recognizes(source: Source) -> bool:
    """Return whether ``source`` is text of any kind."""
    return beginning(source.head) is not None


def read(source: Source) -> dict[str, StoredArray]:
    """Return the one matrix of a text file.

    Raises
    ------
    DataError
        As for `parse`, or if it turns out not to be text.
    """
    matrix = parse(decode(source))
    return {UNNAMED: StoredArray(source.name, UNNAMED, matrix.shape, str(matrix.dtype), lambda: matrix)}


def parse(text: str) -> Numbers:
    """Return the matrix that ``text`` writes, shape (rows, columns), complex if one of its entries is.

    Raises
    ------
    DataError
        If a token is no finite number that float64 can hold, an entry is missing, the rows differ in length
        or a delimiter could mean two things; with line and character, counted from 1.

    Examples
    --------
    >>> parse("0.58 0.24; 0.24 0.72")
    array([[0.58, 0.24],
           [0.24, 0.72]])
    >>> parse("1, 2; 3")
    Traceback (most recent call last):
    gradflow.errors.DataError: row 2 (line 1): entries found 1, expected 2 as in row 1; fill it up
    """
    entries: list[float | complex] = []
    width = 0
    for index, row in enumerate(_rows(_lines(text)), 1):
        found = _entries(row)
        width = width or len(found)
        if len(found) != width or not found:
            expected = f"{width} as in row 1" if width else "at least 1"
            raise DataError(
                f"row {index} (line {row.line}): entries found {len(found)}, expected {expected}; fill it up"
            )
        entries.extend(found)
    if not entries:
        raise DataError("holds no numbers; expected rows of them, such as 0.58 0.24; 0.24 0.72")
    return np.array(entries).reshape(-1, width)


def _lines(text: str) -> list[_Row]:
    """Return the lines that hold something beside blanks and comments."""
    rows = []
    for line, content in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if "#" in content or "%" in content:
            content = _COMMENT.split(content, maxsplit=1)[0]
        if content.strip():
            rows.append(_Row(line, 0, content))
    return rows


def _rows(lines: list[_Row]) -> Iterable[_Row]:
    """Return the rows of the matrix, without header, and without ``;`` unless it parts columns."""
    if len(lines) > 1 and not any(is_number(token) for token in re.findall(r"[^\s,;]+", lines[0].text)):
        several, lines = True, lines[1:]
    else:
        several = len(lines) > 1
    if not any(";" in line.text for line in lines):
        return lines
    # one at the end of a line ends the row, as the line does
    lines = [line._replace(text=line.text.rstrip().removesuffix(";")) for line in lines]
    if several:
        _refuse_decimal_commas(lines)
        if all(_is_single(piece) for line in lines for piece in line.text.split(";")):
            return lines
    return _split(lines)


def _split(lines: Iterable[_Row]) -> Iterator[_Row]:
    """Yield the pieces between ``;``."""
    for line in lines:
        offset = 0
        for piece in line.text.split(";"):
            yield _Row(line.line, offset, piece)
            offset += len(piece) + 1


def _is_single(piece: str) -> bool:
    return len(piece.split()) <= 1 and "," not in piece


def _refuse_decimal_commas(lines: Iterable[_Row]) -> None:
    for line in lines:
        pieces = line.text.split(";")
        if len(pieces) > 1 and any(map(_DECIMAL_COMMA.fullmatch, pieces)):
            raise DataError(
                f"line {line.line} has ',' and ';' between digits, and either may part entries; "
                "write decimals with a point, or each row on a line of its own without ';'"
            )


def _entries(row: _Row) -> Sequence[float | complex]:
    """Return the numbers of a row."""
    delimiter = next((mark for mark in ";," if mark in row.text), None)
    fields = row.text.split(delimiter)
    # Python reads 1_000 and digits of other scripts too
    if row.text.isascii() and "_" not in row.text:
        try:
            values = list(map(float, fields))
        except ValueError:
            pass  # complex, or wrong: number() tells
        else:
            zeros = (field for value, field in zip(values, fields, strict=True) if value == 0)
            if values and all(map(isfinite, values)) and not any(field.strip(_ZERO) for field in zeros):
                return values
    return [_entry(row, start, field, delimiter) for start, field in _positions(row.text, delimiter)]


def _positions(text: str, delimiter: str | None) -> Iterator[tuple[int, str]]:
    """Yield each field and where it starts; between two delimiters an empty one, between blanks none."""
    pattern = r"\S+" if delimiter is None else f"(?:^|(?<={delimiter}))[^{delimiter}]*"
    for match in re.finditer(pattern, text):
        yield match.start(), match[0]


def _entry(row: _Row, start: int, field: str, delimiter: str | None) -> float | complex:
    tokens = field.split()
    leading = len(field) - len(field.lstrip())
    place = f"line {row.line}, character {row.offset + start + leading + 1}"
    if not tokens:
        raise DataError(f"{place}: an entry is missing; write every entry, 0 too")
    if len(tokens) > 1:
        raise DataError(
            f"{place}: a blank parts entries here, {delimiter!r} others; use one of them throughout"
        )
    try:
        return number(tokens[0])
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
