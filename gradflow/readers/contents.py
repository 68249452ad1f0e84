"""What a reader finds in a file: the arrays, and remarks on what it did not read."""

from typing import NamedTuple

from gradflow.readers.stored_array import StoredArray


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
