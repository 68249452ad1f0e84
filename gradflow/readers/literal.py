"""A matrix as a person types it in place of a file: text or JSON, with a few ways of writing of its own.

It may hold what a text file may. Besides, it may stand in brackets, as in ``[0.58, 0.24; 0.24, 0.72]``, its
entries may be fractions such as ``1/3``, and its signs may have blanks or be ``−``, as where gradflow prints
them.
"""

import math
import os
import re

from gradflow.errors import DataError
from gradflow.readers import json_text
from gradflow.readers import text as text_rows
from gradflow.readers.messages import quote
from gradflow.readers.numerals import is_number
from gradflow.readers.source import Source, wrap_bytes
from gradflow.readers.stored_array import StoredArray
from gradflow.readers.unsupported import explain_refusal

LITERAL_EXAMPLE = "0.58 0.24; 0.24 0.72"
MAX_QUOTED_LITERAL = 40

# 1 + 2i with blanks around the sign, which nothing else is.
_SPACED_COMPLEX_PATTERN = re.compile(r"(?<=[\d.])(\s+)([+-])(\s+)([\d.][\d.eE+-]*[ij])")
_FILE_NAME_PATTERN = re.compile(r"[A-Za-z_][\w.]*[/\\]|[/\\][A-Za-z_]|\.[A-Za-z]\w*$")
_DECIMAL_COMMA_PATTERN = re.compile(r"\d,\d")


def read_literal(text: str) -> tuple[Source, dict[str, StoredArray]]:
    """Return the matrix that ``text`` writes out, with the source that it is in messages.

    Raises
    ------
    DataError
        If ``text`` is not a matrix. The message has the line and character, counted from 1.

    Examples
    --------
    >>> _, arrays = read_literal("[1/2, −0.5; 0, 1 + 2i]")
    >>> [stored.read_numbers().tolist() for stored in arrays.values()]
    [[[(0.5+0j), (-0.5+0j)], [0j, (1+2j)]]]
    """
    # fsencode restores bytes that the system could not decode: they may be part of a file's name.
    source = wrap_bytes(quote(text, MAX_QUOTED_LITERAL), os.fsencode(_write_plainly(text)))
    if json_text.recognizes(source):
        return source, json_text.read(source).arrays
    if text_rows.recognizes(source):
        return source, text_rows.read(source, fractions=True).arrays
    raise DataError(explain_refusal(source))


def _write_plainly(text: str) -> str:
    """Return rows of numbers as a file has them; JSON stays as it is. Every character keeps its place."""
    inner = text.strip()
    if inner.startswith("[") and not any(mark in inner[1:-1] for mark in "[]{}"):
        if not inner.endswith("]"):
            raise DataError(
                f"the closing ] is missing; expected rows of numbers, such as [{LITERAL_EXAMPLE}]"
            )
        text = text.replace("[", " ").replace("]", " ")
    elif inner.startswith(("[", "{")):
        return text
    return _SPACED_COMPLEX_PATTERN.sub(r"\2\4\1\3", text.replace("−", "-"))


def looks_like_literal(text: str) -> bool:
    """Return whether ``text``, which could not be read, was meant as a matrix.

    Examples
    --------
    >>> [looks_like_literal(text) for text in ("1 x; 2 3", "[[1, 2", "1,O", "W.npy")]
    [True, True, True, False]
    """
    return text.lstrip()[:1] in ("[", "{") or any(
        is_number(token, fractions=True) for token in re.split(r"[\s,;]+", text)
    )


def could_be_file(text: str) -> bool:
    """Return whether ``text``, which looks like a literal, may have been meant as the name of a file.

    Examples
    --------
    >>> [could_be_file(text) for text in ("1 x; 2 3", "0.5 O.5", "5x", "run 2/W.npy")]
    [False, False, True, True]
    """
    # a semicolon or rows of entries are no name that anybody gives a file, unless it has a suffix or a folder
    if ";" in text:
        return False
    has_rows = re.search(r"\s", text.strip()) and re.search(r"\d", text)
    in_brackets = text.lstrip()[:1] in ("[", "{")
    return not (has_rows or in_brackets) or _FILE_NAME_PATTERN.search(text) is not None


def advise_square(text: str, shape: tuple[int, ...]) -> str:
    """Return what to do about a literal or a file whose matrix has a ``shape`` that is not square.

    Examples
    --------
    >>> advise_square("0.58 0.24 0.24 0.72", (1, 4))
    "separate rows with ;, as in '0.58 0.24; 0.24 0.72'"
    """
    rows, columns = shape
    if text == "-" or os.path.exists(text):
        return "pick a square block with a key, 'NAME[rows, columns]'"
    if columns == 2 * rows and "." not in text and _DECIMAL_COMMA_PATTERN.search(text):
        return f"a comma separates entries, so write decimals with a point, as in {LITERAL_EXAMPLE!r}"
    if rows == 1 and math.isqrt(columns) ** 2 == columns:
        return f"separate rows with ;, as in {LITERAL_EXAMPLE!r}"
    return f"give as many entries in each row as there are rows, as in {LITERAL_EXAMPLE!r}"
