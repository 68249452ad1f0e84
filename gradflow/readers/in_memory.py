"""Arrays that a caller passes in Python. They must meet the same rules as arrays of a file."""

import re
from collections.abc import Collection, Mapping
from functools import partial
from numbers import Number
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradflow.errors import DataError
from gradflow.printable import describe_value, format_count
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import NumberArray, StoredArray, describe_dimensions

MAX_STATE_DICT_DEPTH = 100
# Floating point types that numpy lacks, by their names in every library. float32 holds their numbers exactly.
_NARROW_TYPE = re.compile(r"bfloat16|float[468]_")


def convert_array(values: ArrayLike, name: str, dimensions: Collection[int] = (2,)) -> NumberArray:
    """Return ``values`` as a new float64 or complex128 array, all entries finite.

    Parameters
    ----------
    values : array-like
        An array, the tensor of any library, or nested lists of numbers, arrays or tensors.
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
    array = to_numpy(values, name)
    odd = [entry for entry in array.flat if not isinstance(entry, Number)] if array.dtype == object else []
    if odd:
        where = "has an entry that is" if array.ndim else "is"
        raise DataError(
            f"{name} {where} {describe_value(odd[0])}: expected an array, or nested lists of numbers"
        )
    if array.ndim not in dimensions:
        remedy = f"choose a part, such as {name}[0]" if array.ndim > max(dimensions) else "reshape it"
        raise DataError(f"given array: {describe_dimensions(name, array.shape, dimensions)}; {remedy}")
    return wrap_array(array, name, "given array").read_numbers()


def to_numpy(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return what is passed as an array as a numpy array, without a copy where the library allows that.

    Parameters
    ----------
    values : array-like
        As for `convert_array`. Tensors may require gradients, be on another device, or have a type that numpy
        lacks, such as bfloat16: they become float32, which holds their entries exactly.
    name : str
        The name in messages.

    Raises
    ------
    DataError
        If it cannot be converted, or has masked entries.

    Examples
    --------
    >>> to_numpy([[1, 2], [3, 4]], "matrix").shape
    (2, 2)
    """
    _refuse_masked(values, name)
    try:
        array = _export(values) if is_tensor(values) else np.asarray(_export_entries(values))
    except Exception as error:  # libraries of tensors raise what they like
        expected = "expected numbers in a rectangle"
        if is_tensor(values):
            expected = "move it to the CPU as a dense float32 tensor first"
        raise DataError(
            f"{name} cannot be converted to numpy ({quote(str(error), 100)}); {expected}"
        ) from error
    return array.astype(np.float32) if _NARROW_TYPE.search(array.dtype.name) else array


def is_tensor(value: object) -> bool:
    """Return whether a value is an array of any library: by what it offers, not by its class.

    Examples
    --------
    >>> is_tensor(np.eye(2)), is_tensor([1.0, 2.0]), is_tensor(np.float64(1.0))
    (True, False, False)
    """
    offers = ("__dlpack__", "__array__", "detach")
    return not isinstance(value, np.generic | type) and any(hasattr(value, name) for name in offers)


def _export(tensor: Any) -> NDArray[Any]:
    """Return the tensor of any library as an array."""
    if isinstance(tensor, np.ndarray):
        return np.asarray(tensor)
    # torch exports no tensor that requires gradients, is conjugated or negated later, or is on another device
    for method in ("detach", "resolve_conj", "resolve_neg", "cpu"):
        if hasattr(tensor, method):
            tensor = getattr(tensor, method)()
    if _NARROW_TYPE.search(str(getattr(tensor, "dtype", ""))):
        tensor = tensor.float() if hasattr(tensor, "float") else tensor.astype("float32")
    return np.from_dlpack(tensor) if hasattr(tensor, "__dlpack__") else np.asarray(tensor)


def _export_entries(values: Any) -> Any:
    """Return nested lists with tensors replaced by arrays. Lists of numbers are returned as they are."""
    if not isinstance(values, list | tuple) or not any(
        is_tensor(value) or isinstance(value, list | tuple) for value in values
    ):
        return values
    return [to_numpy(value, "entry") if is_tensor(value) else _export_entries(value) for value in values]


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
        The values are arrays or tensors of any library, or mappings and lists of these. Any other value is
        left out.

    Raises
    ------
    DataError
        If an array cannot be converted to numpy, or if two arrays have the same name.

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
        if not is_tensor(value):
            continue
        if path in arrays:
            raise DataError(f"state dict: two arrays are named {quote(path)}; expected each name once")
        arrays[path] = wrap_array(to_numpy(value, f"state dict: {quote(path)}"), path)
    return arrays


def name_origin(source: str | PathLike[str] | ArrayLike | None) -> str | None:
    """Return how ``params`` name the origin of an array: the file or literal as typed, or the shape.

    Examples
    --------
    >>> name_origin("w.npy"), name_origin(np.eye(2)), name_origin(None)
    ('w.npy', 'array of shape (2, 2)', None)
    """
    if source is None or isinstance(source, str):
        return source
    if isinstance(source, PathLike):
        return fspath(source)
    return f"array of shape {to_numpy(source, 'array').shape}"
