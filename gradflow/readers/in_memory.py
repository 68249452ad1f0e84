"""Arrays that a caller passes in Python. They must meet the same rules as arrays of a file."""

from collections.abc import Collection, Mapping
from functools import partial
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradflow.errors import DataError
from gradflow.printable import format_count
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import NumberArray, StoredArray

MAX_STATE_DICT_DEPTH = 100


def convert_array(values: ArrayLike, name: str, dimensions: Collection[int] = (2,)) -> NumberArray:
    """Return ``values`` as a new float64 or complex128 array, all entries finite.

    Parameters
    ----------
    values : array-like
    name : str
        The name in messages.
    dimensions : collection of int
        The numbers of dimensions that the array may have.

    Raises
    ------
    DataError
        If an entry is not a finite number that float64 holds exactly, or if the shape does not fit.

    Examples
    --------
    >>> convert_array([[1, 2], [3, 4]], "matrix")
    array([[1., 2.],
           [3., 4.]])
    """
    _refuse_masked(values, name)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name}: {error}; expected numbers in a rectangle") from error
    return wrap_array(array, name, "given array").read_numbers(dimensions=dimensions)


def _refuse_masked(values: object, name: str) -> None:
    """Refuse a masked array in which entries are masked: what is below a mask means nothing."""
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return
    place = [int(index) for index in np.argwhere(np.ma.getmaskarray(values))[0]]
    count = int(np.count_nonzero(np.ma.getmaskarray(values)))
    entries = format_count(count, "entry is masked", "entries are masked")
    raise DataError(
        f"{name}: {entries}, the first at {place}; expected a number in every entry (fill them with "
        ".filled(value))"
    )


def wrap_array(array: NDArray[Any], name: str, source: str = "state dict") -> StoredArray:
    """Return an array in memory as a `StoredArray` with a name."""
    return StoredArray(source, name, array.shape, str(array.dtype), partial(_get_array, array))


def _get_array(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array: a function of the module, because a lambda cannot be pickled."""
    return array


def flatten_state_dict(mapping: Mapping[Any, Any]) -> dict[str, StoredArray]:
    """Return the arrays of a state dict by name; the names of nested mappings and lists are joined by dots.

    Parameters
    ----------
    mapping : mapping
        The values are numpy arrays, tensors that support DLPack on the CPU (torch, JAX), or mappings and
        lists of these. Any other value is left out.

    Raises
    ------
    DataError
        If an array is on another device, or if two arrays have the same name.

    Examples
    --------
    >>> flatten_state_dict({"encoder": {"weight": np.eye(2)}, "epoch": 3})["encoder.weight"].shape
    (2, 2)
    """
    arrays: dict[str, StoredArray] = {}
    pending: list[tuple[str, Any, int]] = [("", mapping, 0)]
    while pending:
        path, value, level = pending.pop()
        if isinstance(value, Mapping | list | tuple):
            if level > MAX_STATE_DICT_DEPTH:
                raise DataError(
                    f"state dict: {quote(path)} is nested more than {MAX_STATE_DICT_DEPTH} deep, or contains "
                    "itself; expected a mapping of names to arrays"
                )
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            inner = [(f"{path}.{key}" if path else str(key), below, level + 1) for key, below in items]
            pending += reversed(inner)
            continue
        array = _import_array(value, path)
        if array is None:
            continue
        if path in arrays:
            raise DataError(f"state dict: two arrays are named {quote(path)}; expected each name once")
        arrays[path] = wrap_array(array, path)
    return arrays


def _import_array(value: Any, name: str) -> NDArray[Any] | None:
    """Return an array, or the tensor of any library as an array; None for any other value."""
    if isinstance(value, np.ndarray):
        _refuse_masked(value, f"state dict: {quote(name)}")
        # numpy has no bfloat16 of its own. This type comes from another package.
        return value.astype(np.float32) if value.dtype.name == "bfloat16" else value
    if not hasattr(value, "__dlpack__"):
        return None
    # A parameter in training refuses to be exported, and numpy has no bfloat16. The library itself converts.
    detached = value.detach() if hasattr(value, "detach") else value
    if "bfloat16" in str(getattr(detached, "dtype", "")):
        detached = detached.float() if hasattr(detached, "float") else detached.astype("float32")
    try:
        return np.from_dlpack(detached)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(
            f"state dict: {quote(name)} cannot be converted to numpy ({quote(str(error), 100)}); move it "
            "to the CPU as float32 first"
        ) from error


def name_origin(source: str | PathLike[str] | ArrayLike | None) -> str | None:
    """Return how ``params`` name the origin of an array: the file or literal as typed, or the shape.

    Examples
    --------
    >>> name_origin("w.npy"), name_origin(np.eye(2)), name_origin(None)
    ('w.npy', 'array of shape (2, 2)', None)
    """
    if source is None or isinstance(source, str):
        return source
    return fspath(source) if isinstance(source, PathLike) else f"array of shape {np.shape(source)}"
