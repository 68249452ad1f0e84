"""Arrays that a caller hands over in Python, held to the same rules as those of a file."""

from collections.abc import Collection
from os import PathLike, fspath

import numpy as np
from numpy.typing import ArrayLike

from gradflow.errors import DataError
from gradflow.readers.stored import Numbers, StoredArray


def given_array(values: ArrayLike, name: str, dimensions: Collection[int] = (2,)) -> Numbers:
    """Return ``values`` as a new float64 or complex128 array, all entries finite.

    Parameters
    ----------
    values : array-like
    name : str
        What to call it in a message.
    dimensions : collection of int
        How many dimensions it may have.

    Raises
    ------
    DataError
        If the entries are no finite numbers that float64 holds, or the shape does not fit.

    Examples
    --------
    >>> given_array([[1, 2], [3, 4]], "matrix")
    array([[1., 2.],
           [3., 4.]])
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name}: {error}; expected numbers in a rectangle") from error
    stored = StoredArray("given array", name, array.shape, str(array.dtype), lambda: array)
    return stored.numbers(dimensions=dimensions)


def told(source: str | PathLike[str] | ArrayLike | None) -> str | None:
    """Return how ``params`` tell where an array came from: a file or literal as typed, or its shape.

    Examples
    --------
    >>> told("w.npy"), told(np.eye(2)), told(None)
    ('w.npy', 'array of shape (2, 2)', None)
    """
    if source is None or isinstance(source, str):
        return source
    return fspath(source) if isinstance(source, PathLike) else f"array of shape {np.shape(source)}"
