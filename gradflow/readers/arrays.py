"""The functions that read a file, standard input or a literal → arrays of float64 or complex128."""

import os
from collections.abc import Collection
from numbers import Integral
from typing import Any

from gradflow.errors import DataError, UsageError
from gradflow.printable import describe_argument
from gradflow.readers import READERS
from gradflow.readers.array_key import select_array
from gradflow.readers.contents import FileContents
from gradflow.readers.file_sets import locate_file_set, read_file_set
from gradflow.readers.folders import choose_checkpoint
from gradflow.readers.literal import (
    LITERAL_EXAMPLE,
    MAX_QUOTED_LITERAL,
    could_be_file,
    looks_like_literal,
    read_literal,
)
from gradflow.readers.messages import prefix_errors, quote
from gradflow.readers.source import Source, as_path, open_source
from gradflow.readers.stored_array import NumberArray, StoredArray
from gradflow.readers.unsupported import explain_refusal, explain_text
from gradflow.registry import lookup


def read_arrays(source: str | os.PathLike[str]) -> dict[str, StoredArray]:
    """Return the arrays of a file by name; where the format allows, their entries are not read yet.

    The content of the file says which of the formats in ``gradflow.readers.READERS`` it has. Nothing in the
    file is executed.

    Parameters
    ----------
    source : str or path-like
        A file, or ``"-"`` for standard input.

    Returns
    -------
    dict of str to StoredArray
        Each array has a ``name``, a ``shape`` and a ``dtype``. Its method ``read_numbers`` returns the
        entries.

    Raises
    ------
    DataError
        If the file does not exist, is damaged, or has a format that no reader knows.
    UsageError
        If ``source`` is neither text nor a path.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/two.npz", a=np.eye(2), b=np.arange(3))
    ...     arrays = read_arrays(f"{folder}/two.npz")
    ...     {name: array.shape for name, array in arrays.items()}, arrays["b"].read_numbers()
    ({'a': (2, 2), 'b': (3,)}, array([0., 1., 2.]))
    """
    return _read_contents(source).arrays


def read_named_arrays(source: str | os.PathLike[str]) -> FileContents:
    """Return the arrays of a checkpoint and remarks on it, but refuse text, which has no names for arrays.

    Raises
    ------
    DataError
        If the file is text other than JSON, and as for `read_arrays`.
    """
    return _read_contents(source, named=True)


def read_single_file(origin: Source) -> FileContents:
    """Return what the first reader that recognizes ``origin`` finds in it, but refuse text.

    Raises
    ------
    DataError
        If the file is text other than JSON, and as for `read_arrays`.
    """
    with prefix_errors(origin.name):
        if _recognize(origin) == "text":
            raise DataError(explain_text(origin))
        return _read_recognized(origin)


def _is_joined(source: str | os.PathLike[str]) -> bool:
    """Return whether ``source`` is one of several files that are read together."""
    path = as_path(source)
    return path is not None and locate_file_set(path) is not None


def _read_contents(source: str | os.PathLike[str], *, named: bool = False) -> FileContents:
    """Return the contents of a file, or of files that belong together.

    ``named``: the arrays need names, as those of a checkpoint. Then a folder stands for the only one in it.
    """
    path = as_path(source)
    file_set = None if path is None else locate_file_set(path)
    if path is not None and file_set is not None:
        with prefix_errors(str(path)):
            return read_file_set(file_set.kind, path)
    if named and path is not None and os.path.isdir(path):
        with prefix_errors(str(path)):
            return _read_contents(choose_checkpoint(path), named=named)
    origin = open_source(source)
    if named:
        return read_single_file(origin)
    with prefix_errors(origin.name):
        return _read_recognized(origin)


def read_array(
    source: str | os.PathLike[str], key: str | None = None, *, dimensions: Collection[int] = (2,)
) -> NumberArray:
    """Return one array of a file, of finite float64 or complex128 numbers.

    The array is new, writable and C-contiguous. Every entry is exactly the number in the file: a number that
    float64 would have to round is an error.

    Parameters
    ----------
    source : str or path-like
        A file, or ``"-"`` for standard input.
    key : str, optional
        The name of the array, or its name and numpy slices: ``"weight_hh_l0[128:256]"``. Needed only if
        the file holds several arrays.
    dimensions : collection of int, optional
        The numbers of dimensions that the array may have.

    Returns
    -------
    array (rows, columns) of float64 or complex128
        The entries. With other ``dimensions``, the array has that many.

    Raises
    ------
    DataError
        If the file cannot be read, if it holds several arrays and there is no key, or if an entry is not a
        finite number that float64 holds exactly.
    UsageError
        If the key does not name an array, or a part of one, or if an argument has another type.

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
    counts = _check_dimensions(dimensions)
    if not _is_joined(source):
        return _read_source(open_source(source), key, counts)
    return _read_selected(os.fspath(source), _read_contents(source).arrays, key, counts)


def read_matrix(text: str | os.PathLike[str], key: str | None = None) -> NumberArray:
    """Return the matrix that ``text`` writes out, or the matrix in the file of that name.

    Text that can be read as a literal is a literal: ``5`` is a number, ``./5`` is a file.

    Parameters
    ----------
    text : str or path-like
        A literal (``"0.58 0.24; 0.24 0.72"``, ``"[1/2, 1/3; 0, 1/4]"``, ``"[[0.58, 0.24], [0.24, 0.72]]"``),
        a file, or ``"-"``.
    key : str, optional
        As for `read_array`.

    Returns
    -------
    array (rows, columns) of float64 or complex128
        As that of `read_array`.

    Raises
    ------
    DataError
        If ``text`` is neither a literal nor a readable file, and as for `read_array`.
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
    if not isinstance(text, str) or text == "-":
        return read_array(text, key)
    try:
        literal, arrays = read_literal(text)
    except DataError as no_literal:
        if _is_joined(text):
            return read_array(text, key)
        try:
            file = open_source(text)  # A pipe can be read only once.
        except DataError as no_file:
            raise DataError(_describe_neither(text, no_file, no_literal)) from no_literal
        return _read_source(file, key, (2,))
    return _read_selected(literal.name, arrays, key, (2,))


def _check_dimensions(dimensions: Any) -> list[int]:
    """Return numbers of dimensions after a check that they are a list of integers, and not empty."""
    try:
        listed = list(dimensions)
    except TypeError:
        listed = []
    if not listed or not all(isinstance(count, Integral) for count in listed):
        raise UsageError(
            f"{describe_argument('dimensions', dimensions)}: expected a list of integers, such as [1, 2]"
        )
    return listed


def _read_source(source: Source, key: str | None, dimensions: Collection[int]) -> NumberArray:
    with prefix_errors(source.name):
        arrays = _read_recognized(source).arrays
    return _read_selected(source.name, arrays, key, dimensions)


def _read_recognized(source: Source) -> FileContents:
    """Return what the first reader that recognizes ``source`` finds in it."""
    reader = lookup(READERS, _recognize(source), "reader")
    contents: FileContents = reader.read(source)
    return contents


def _recognize(source: Source) -> str:
    """Return the name of the first reader that recognizes ``source``."""
    for kind in READERS:
        if lookup(READERS, kind, "reader").recognizes(source):
            return kind
    raise DataError(explain_refusal(source))


def _read_selected(
    origin: str, arrays: dict[str, StoredArray], key: str | None, dimensions: Collection[int]
) -> NumberArray:
    with prefix_errors(origin):
        stored, window = select_array(arrays, key)
    return stored.read_numbers(window, dimensions)


def _describe_neither(text: str, no_file: DataError, no_literal: DataError) -> str:
    """Return why ``text`` is not a file or, if it looks like numbers, why it is not a literal, or both."""
    if not looks_like_literal(text):
        return f"{no_file}; expected a file, - for standard input, or a literal such as {LITERAL_EXAMPLE!r}"
    shown = quote(text, MAX_QUOTED_LITERAL)
    if could_be_file(text):
        return f"{shown} as a literal: {no_literal}; as a file: {no_file}"
    return f"{shown}: {no_literal}"
