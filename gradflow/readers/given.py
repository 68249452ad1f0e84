"""Arrays that a caller hands over in Python, held to the same rules as those of a file."""

from collections.abc import Collection, Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import shown
from gradflow.readers.stored import Numbers, StoredArray

MOST_LEVELS = 100


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
    _refuse_masked(values, name)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name}: {error}; expected numbers in a rectangle") from error
    return stored_array(array, name, "given array").numbers(dimensions=dimensions)


def _refuse_masked(values: object, name: str) -> None:
    """Refuse a masked array in which entries are masked: what is below a mask means nothing."""
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return
    place = [int(index) for index in np.argwhere(np.ma.getmaskarray(values))[0]]
    count = int(np.count_nonzero(np.ma.getmaskarray(values)))
    entries = "1 entry is masked" if count == 1 else f"{count} entries are masked"
    raise DataError(
        f"{name}: {entries}, the first at {place}; expected a number in every entry (fill them with "
        ".filled(value))"
    )


def stored_array(array: NDArray[Any], name: str, source: str = "state dict") -> StoredArray:
    """Return an array as one that is stored, under a name."""
    return StoredArray(source, name, array.shape, str(array.dtype), lambda: array)


def given_state(mapping: Mapping[Any, Any]) -> dict[str, StoredArray]:
    """Return the arrays of a state dict by name, those of nested mappings and lists with dots between.

    Parameters
    ----------
    mapping : mapping
        To numpy arrays, or to anything that speaks DLPack on the CPU (torch, JAX); what is neither array
        nor mapping is left out.

    Raises
    ------
    DataError
        For an array on another device, or two of the same name.

    Examples
    --------
    >>> given_state({"encoder": {"weight": np.eye(2)}, "epoch": 3})["encoder.weight"].shape
    (2, 2)
    """
    found: dict[str, StoredArray] = {}
    pending: list[tuple[str, Any, int]] = [("", mapping, 0)]
    while pending:
        path, value, level = pending.pop()
        if isinstance(value, Mapping | list | tuple):
            if level > MOST_LEVELS:
                raise DataError(f"state dict: {shown(path)} nests more than {MOST_LEVELS} deep, or in itself")
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            inner = [(f"{path}.{key}" if path else str(key), below, level + 1) for key, below in items]
            pending += reversed(inner)
            continue
        array = _array(value, path)
        if array is None:
            continue
        if path in found:
            raise DataError(f"state dict: two arrays are named {shown(path)}; expected each name once")
        found[path] = stored_array(array, path)
    return found


def _array(value: Any, name: str) -> NDArray[Any] | None:
    """Return an array, or a tensor of any library as one; None for anything else."""
    if isinstance(value, np.ndarray):
        _refuse_masked(value, f"state dict: {shown(name)}")
        # numpy has no bfloat16 of its own: one that it was lent
        return value.astype(np.float32) if value.dtype.name == "bfloat16" else value
    if not hasattr(value, "__dlpack__"):
        return None
    # a parameter in training refuses to be exported, and numpy has no bfloat16: their own words for both
    detached = value.detach() if hasattr(value, "detach") else value
    if "bfloat16" in str(getattr(detached, "dtype", "")):
        detached = detached.float() if hasattr(detached, "float") else detached.astype("float32")
    try:
        return np.from_dlpack(detached)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(
            f"state dict: {shown(name)} cannot be taken over ({shown(str(error), 100)}); move it to the CPU "
            "as float32 first"
        ) from error


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
