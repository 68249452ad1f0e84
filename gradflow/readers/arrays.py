"""The one entry: a file, standard input or a literal → arrays of float64 or complex128."""

import os
import re
from collections.abc import Collection, Iterable

from gradflow.errors import DataError
from gradflow.readers import READERS
from gradflow.readers.messages import reading, shown
from gradflow.readers.numerals import is_number
from gradflow.readers.selection import select
from gradflow.readers.source import Source, from_bytes, open_source
from gradflow.readers.stored import Numbers, StoredArray
from gradflow.readers.unread import refusal
from gradflow.tables import lookup

# what may be typed in place of a file
LITERALS = ("json", "text")


def read_arrays(source: str | os.PathLike[str]) -> dict[str, StoredArray]:
    """Return the arrays of a file by name, none of them read yet where the format allows.

    A file is recognised by its content, as one of ``gradflow.readers.READERS``; nothing in it is executed.

    Parameters
    ----------
    source : str or path-like
        A file, or ``"-"`` for standard input.

    Returns
    -------
    dict of str to StoredArray
        Each has a ``name``, a ``shape`` and a ``dtype``; its method ``numbers`` gives the entries.

    Raises
    ------
    DataError
        If there is no such file, no reader knows it, or it is damaged.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/two.npz", a=np.eye(2), b=np.arange(3))
    ...     found = read_arrays(f"{folder}/two.npz")
    ...     {name: array.shape for name, array in found.items()}, found["b"].numbers()
    ({'a': (2, 2), 'b': (3,)}, array([0., 1., 2.]))
    """
    origin = open_source(source)
    with reading(origin.name):
        return _recognized(origin, READERS)


def read_array(
    source: str | os.PathLike[str], key: str | None = None, *, dimensions: Collection[int] = (2,)
) -> Numbers:
    """Return one array of a file: new, writable, C-contiguous, float64 or complex128, all entries finite.

    Every entry is exactly what the file holds: what float64 would round is an error.

    Parameters
    ----------
    source : str or path-like
        A file, or ``"-"`` for standard input.
    key : str, optional
        Which array, by name, or by name and numpy slices: ``"weight_hh_l0[128:256]"``. Needed only where
        there are several.
    dimensions : collection of int, optional
        How many dimensions it may have.

    Returns
    -------
    array (rows, columns) of float64 or complex128
        The entries; with other ``dimensions``, of as many.

    Raises
    ------
    DataError
        If the file cannot be read, it holds several arrays and no key says which, or the entries are not
        finite numbers that float64 holds exactly.
    UsageError
        If the key names no array, or no part of it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/two.npz", a=np.eye(2), b=np.arange(6).reshape(3, 2))
    ...     read_array(f"{folder}/two.npz", "b[1:]")
    array([[2., 3.],
           [4., 5.]])
    """
    return _read(open_source(source), key, dimensions)


def read_matrix(text: str, key: str | None = None) -> Numbers:
    """Return the matrix that ``text`` writes out, or that lies in the file of that name.

    What parses as a literal is one; ``./5`` is the file where ``5`` is the number.

    Parameters
    ----------
    text : str
        A literal (``"0.58 0.24; 0.24 0.72"``, ``"[[0.58, 0.24], [0.24, 0.72]]"``), a file, or ``"-"``.
    key : str, optional
        As for `read_array`.

    Returns
    -------
    array (rows, columns) of float64 or complex128
        As that of `read_array`.

    Raises
    ------
    DataError
        If it is neither a literal nor a readable file, and as for `read_array`.
    UsageError
        As for `read_array`.

    Examples
    --------
    >>> read_matrix("0.58 0.24; 0.24 0.72")
    array([[0.58, 0.24],
           [0.24, 0.72]])
    >>> read_matrix("0.9")
    array([[0.9]])
    """
    if text == "-":
        return read_array(text, key)
    try:
        # bytes that the system could not decode stay what they were: no literal, perhaps a file's name
        literal = from_bytes(shown(text, 40), os.fsencode(text))
        arrays = _recognized(literal, LITERALS)
    except DataError as no_literal:
        try:
            file = open_source(text)  # once: a pipe can be read but once
        except DataError as no_file:
            raise DataError(_neither(text, no_file, no_literal)) from no_literal
        return _read(file, key, (2,))
    return _selected(literal, arrays, key, (2,))


def _read(source: Source, key: str | None, dimensions: Collection[int]) -> Numbers:
    with reading(source.name):
        arrays = _recognized(source, READERS)
    return _selected(source, arrays, key, dimensions)


def _recognized(source: Source, kinds: Iterable[str]) -> dict[str, StoredArray]:
    """Return what the first of the readers that knows ``source`` finds in it."""
    for kind in kinds:
        reader = lookup(READERS, kind, "reader")
        if reader.recognizes(source):
            arrays: dict[str, StoredArray] = reader.read(source)
            return arrays
    raise DataError(refusal(source))


def _selected(
    source: Source, arrays: dict[str, StoredArray], key: str | None, dimensions: Collection[int]
) -> Numbers:
    with reading(source.name):
        stored, window = select(arrays, key)
    return stored.numbers(window, dimensions)


def _neither(text: str, no_file: DataError, no_literal: DataError) -> str:
    """Return why ``text`` is no file and, where it looks like numbers, why it is no literal."""
    if text.lstrip()[:1] in ("[", "{") or any(is_number(token) for token in re.split(r"[\s,;]+", text)):
        return f"{shown(text, 40)} as a literal: {no_literal}; as a file: {no_file}"
    return f"{no_file}; expected a file, - for standard input, or a literal such as '0.58 0.24; 0.24 0.72'"
