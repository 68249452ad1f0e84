"""Bytes → characters: UTF-8 with or without a byte order mark, UTF-16 with one (as PowerShell writes)."""

import codecs

from gradflow.errors import DataError
from gradflow.readers import READERS
from gradflow.readers.source import Source


def beginning(head: bytes) -> str | None:
    r"""Return the characters that ``head`` begins with, or None if it is not text.

    Examples
    --------
    >>> beginning(codecs.BOM_UTF8 + b"1 2"), beginning(b"PK\x03\x04\x00")
    ('1 2', None)
    """
    try:
        # the head may end in the middle of a character, which this decoder waits for
        text = codecs.getincrementaldecoder(_encoding(head))().decode(head)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def decode(source: Source) -> str:
    """Return all characters of ``source``.

    Raises
    ------
    DataError
        If it is not text.
    """
    try:
        text = source.read().decode(_encoding(source.head))
    except UnicodeDecodeError as error:
        raise DataError(not_text(f"byte {error.start} is not {error.encoding}")) from error
    if "\0" in text:
        raise DataError(not_text(f"character {text.index(chr(0))} is null"))
    return text


def not_text(reason: str) -> str:
    """Return the message for bytes that no reader knows."""
    return f"not a text file ({reason}); gradflow reads: {', '.join(READERS)}"


def _encoding(head: bytes) -> str:
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
