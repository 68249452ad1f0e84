"""Text: rows of numbers as a person types them, or as spreadsheets and other programs export them.

A row ends with its line or with ``;``. Commas, tabs or blanks separate the entries. In a file of several
lines with a single number between any two ``;``, the semicolons separate columns. ``#`` and ``%`` start a
comment at the beginning of a line and after a blank or a delimiter. A first line without a number is a
header. Text that could be read in two ways is refused.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from math import isfinite
from typing import NamedTuple

import numpy as np

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents
from gradflow.readers.decoding import decode_beginning, decode_text
from gradflow.readers.numerals import is_number, parse_number
from gradflow.readers.source import Source
from gradflow.readers.stored_array import UNNAMED_ARRAY, NumberArray, StoredArray

_DECIMAL_COMMA_PATTERN = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")
# A comment starts only after a blank or a delimiter: 50% is not 50.
_COMMENT_START = re.compile(r"(?:^|(?<=[\s,;]))[#%]")
# The characters with which zero can be written.
_ZERO_CHARACTERS = "+-0.eE \t"


class _TextRow(NamedTuple):
    """A row, or a piece of a line that starts ``offset`` characters into the line."""

    line: int
    offset: int
    text: str


def recognizes(source: Source) -> bool:
    """Return whether ``source`` is text."""
    return decode_beginning(source.head) is not None


def read(source: Source, *, fractions: bool = False) -> FileContents:
    """Return the one matrix of a text file. With ``fractions`` an entry may be a fraction of integers.

    Raises
    ------
    DataError
        As for `parse_text`, or if the file is not text after all.
    """
    matrix = parse_text(decode_text(source), fractions=fractions)
    stored = StoredArray(
        source.name, UNNAMED_ARRAY, matrix.shape, str(matrix.dtype), partial(np.asarray, matrix)
    )
    return FileContents({UNNAMED_ARRAY: stored})


def parse_text(text: str, *, fractions: bool = False) -> NumberArray:
    """Return the matrix (rows, columns) that ``text`` writes; it is complex if one of its entries is.

    In a file, 11/29 may be a date. With ``fractions`` it is the fraction.

    Raises
    ------
    DataError
        If a token is not a finite number that float64 can hold, an entry is missing, the rows differ in
        length, or a delimiter could mean two things. The message has the line and character, counted from 1.

    Examples
    --------
    >>> parse_text("0.58 0.24; 0.24 0.72")
    array([[0.58, 0.24],
           [0.24, 0.72]])
    >>> parse_text("1, 2; 3")
    Traceback (most recent call last):
    gradflow.errors.DataError: row 2 (line 1): expected 2 entries as in row 1, got 1; fill it up
    """
    entries: list[float | complex] = []
    width = 0
    for index, row in enumerate(_list_rows(_list_lines(text), fractions), 1):
        numbers = _parse_row(row, fractions)
        width = width or len(numbers)
        if len(numbers) != width or not numbers:
            expected = f"{width} entries as in row 1" if width else "at least 1 entry"
            raise DataError(
                f"row {index} (line {row.line}): expected {expected}, got {len(numbers)}; fill it up"
            )
        entries.extend(numbers)
    if not entries:
        raise DataError("holds no numbers; expected rows of them, such as 0.58 0.24; 0.24 0.72")
    return np.array(entries).reshape(-1, width)


def _list_lines(text: str) -> list[_TextRow]:
    """Return the lines that hold more than blanks and comments, without their comments."""
    rows = []
    for line, content in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if "#" in content or "%" in content:
            content = _COMMENT_START.split(content, maxsplit=1)[0]
        if content.strip():
            rows.append(_TextRow(line, 0, content))
    return rows


def _list_rows(lines: list[_TextRow], fractions: bool) -> Iterable[_TextRow]:
    """Return the rows of the matrix without the header, and without ``;`` unless it separates columns."""
    if len(lines) > 1 and not any(
        is_number(token, fractions=fractions) for token in re.findall(r"[^\s,;]+", lines[0].text)
    ):
        several, lines = True, lines[1:]
    else:
        several = len(lines) > 1
    if not any(";" in line.text for line in lines):
        return lines
    # A semicolon at the end of a line ends the row, as the line itself does.
    lines = [line._replace(text=line.text.rstrip().removesuffix(";")) for line in lines]
    if several:
        _refuse_decimal_commas(lines)
        if all(_is_single(piece) for line in lines for piece in line.text.split(";")):
            return lines
    return _split_rows(lines)


def _split_rows(lines: Iterable[_TextRow]) -> Iterator[_TextRow]:
    """Yield the pieces between ``;``."""
    for line in lines:
        offset = 0
        for piece in line.text.split(";"):
            yield _TextRow(line.line, offset, piece)
            offset += len(piece) + 1


def _is_single(piece: str) -> bool:
    return len(piece.split()) <= 1 and "," not in piece


def _refuse_decimal_commas(lines: Iterable[_TextRow]) -> None:
    for line in lines:
        pieces = line.text.split(";")
        if len(pieces) > 1 and any(map(_DECIMAL_COMMA_PATTERN.fullmatch, pieces)):
            raise DataError(
                f"line {line.line} has ',' and ';' between digits, and either could separate entries; "
                "write decimals with a point, or each row on its own line without ';'"
            )


def _parse_row(row: _TextRow, fractions: bool) -> Sequence[float | complex]:
    """Return the numbers of a row."""
    delimiter = next((mark for mark in ";," if mark in row.text), None)
    fields = row.text.split(delimiter)
    # Python also accepts 1_000 and the digits of other scripts.
    if row.text.isascii() and "_" not in row.text:
        try:
            values = list(map(float, fields))
        except ValueError:
            pass  # A complex number or an error: parse_number() decides.
        else:
            zeros = (field for value, field in zip(values, fields, strict=True) if value == 0)
            if (
                values
                and all(map(isfinite, values))
                and not any(field.strip(_ZERO_CHARACTERS) for field in zeros)
            ):
                return values
    return [
        _parse_entry(row, start, field, delimiter, fractions)
        for start, field in _locate_fields(row.text, delimiter)
    ]


def _locate_fields(text: str, delimiter: str | None) -> Iterator[tuple[int, str]]:
    """Yield the start and text of each field; two delimiters in a row enclose an empty one, blanks do not."""
    pattern = r"\S+" if delimiter is None else f"(?:^|(?<={delimiter}))[^{delimiter}]*"
    for match in re.finditer(pattern, text):
        yield match.start(), match[0]


def _parse_entry(
    row: _TextRow, start: int, field: str, delimiter: str | None, fractions: bool
) -> float | complex:
    tokens = field.split()
    leading = len(field) - len(field.lstrip())
    place = f"line {row.line}, character {row.offset + start + leading + 1}"
    if not tokens:
        raise DataError(f"{place}: an entry is missing; write every entry, also a 0")
    if len(tokens) > 1:
        has_decimal_commas = all(map(_DECIMAL_COMMA_PATTERN.fullmatch, row.text.split()))
        point = ", and write decimals with a point" if has_decimal_commas else ""
        raise DataError(
            f"{place}: a blank separates entries here, and {delimiter!r} separates others; "
            f"use one of them{point}"
        )
    try:
        return parse_number(tokens[0], fractions=fractions)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
