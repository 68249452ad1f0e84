"""What a reader finds in a file: the arrays, and remarks on what it did not read."""

from typing import NamedTuple

from gradflow.errors import DataError
from gradflow.readers.stored_array import StoredArray

MAX_ARRAYS = 100_000
MAX_PLAIN_NAMES_LENGTH = 1_000_000
MAX_NAMES_LENGTH_PER_BYTE = 4


class FileContents(NamedTuple):
    """The contents of a file.

    Attributes
    ----------
    arrays : dict of str to StoredArray
        The arrays by name.
    remarks : tuple of str
        What the reader left out or did to the arrays, for people. Sentences without a period.
    """

    arrays: dict[str, StoredArray]
    remarks: tuple[str, ...] = ()


def check_array_count(count: int) -> None:
    """Refuse more arrays than any model has: a small file could describe so many that memory runs out.

    Raises
    ------
    DataError
        If there are more than `MAX_ARRAYS`.
    """
    if count > MAX_ARRAYS:
        raise DataError(f"holds more than {MAX_ARRAYS} arrays; expected a model, split the file")


def check_names_length(total: int, file_bytes: int) -> None:
    """Refuse names that repeat their first parts so often that they are much longer than their file.

    ``total`` is the length of all names so far, which take memory and time many times over.

    Raises
    ------
    DataError
        If it exceeds `MAX_PLAIN_NAMES_LENGTH` plus `MAX_NAMES_LENGTH_PER_BYTE` times the file.
    """
    if total > MAX_PLAIN_NAMES_LENGTH + MAX_NAMES_LENGTH_PER_BYTE * file_bytes:
        raise DataError(
            f"the names of its arrays are longer together than {MAX_NAMES_LENGTH_PER_BYTE} times the file; "
            "expected a model"
        )
