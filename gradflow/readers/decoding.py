"""Bytes → characters: UTF-8 with or without a byte order mark, or UTF-16 with one (as PowerShell writes)."""

import codecs

from gradflow.errors import DataError
from gradflow.readers import READERS
from gradflow.readers.source import Source


def decode_beginning(head: bytes) -> str | None:
    r"""Return the characters in ``head``, or None if it is not text.

    Examples
    --------
    >>> decode_beginning(codecs.BOM_UTF8 + b"1 2"), decode_beginning(b"PK\x03\x04\x00")
    ('1 2', None)
    """
    try:
        # The head may end in the middle of a character. An incremental decoder ignores such a rest.
        text = codecs.getincrementaldecoder(_detect_encoding(head))().decode(head)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def decode_text(source: Source) -> str:
    """Return all characters of ``source``.

    Raises
    ------
    DataError
        If ``source`` is not text.
    """
    try:
        text = source.read().decode(_detect_encoding(source.head))
    except UnicodeDecodeError as error:
        raise DataError(describe_non_text(f"byte {error.start} is not {error.encoding}")) from error
    if "\0" in text:
        raise DataError(describe_non_text(f"character {text.index(chr(0))} is null"))
    return text


def describe_non_text(reason: str) -> str:
    """Return the message for a file that no reader recognizes, because it is not even text."""
    return f"not a text file ({reason}); gradflow reads: {', '.join(READERS)}"


def _detect_encoding(head: bytes) -> str:
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
