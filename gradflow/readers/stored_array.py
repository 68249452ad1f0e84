"""An array in a file: its name, shape and type are known, its entries are read only when asked for."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import prefix_errors, quote
from gradflow.readers.source import check_byte_limit

# The name of the only array of a container that does not name it.
UNNAMED_ARRAY = "array"
# The entry of an array's metadata that has the activation which its module states.
NONLINEARITY_KEY = "nonlinearity"
# float64 holds every integer up to this one.
LARGEST_EXACT_INTEGER = 2**53

Window: TypeAlias = EllipsisType | tuple[int | slice | EllipsisType, ...]
# An array of float64 or complex128.
NumberArray: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class StoredArray:
    """One array of a file.

    Attributes
    ----------
    source : str
        The name of the file, for messages.
    name : str
        The name of the array in the file, unescaped.
    shape : tuple of int
        The shape of the array.
    dtype : str
        The type of its entries: numpy's name, or the file's name for a type that numpy lacks.
    load : callable
        Returns the array, memory-mapped where the format allows.
    decode : callable
        Turns the array from ``load``, after slicing, into numbers of a numpy type.
    metadata : mapping
        What the file says about the array besides its entries, such as an operator's attributes or a
        layer's configuration. Empty if it says nothing.
    """

    source: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], NDArray[Any]] = field(repr=False)
    decode: Callable[[NDArray[Any]], NDArray[Any]] = field(default=np.asarray, repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def read(self, window: Window = ...) -> NDArray[Any]:
        """Return the array, or the part in ``window``, in its stored type; the result may be read-only.

        Raises
        ------
        DataError
            If the file does not hold what it declares, or declares more bytes than the limit.
        """
        with prefix_errors(
            self.source if self.name == UNNAMED_ARRAY else f"{self.source}: {quote(self.name)}"
        ):
            return self.decode(np.asarray(self.load()[window]))

    def read_numbers(self, window: Window = ..., dimensions: Collection[int] | None = None) -> NumberArray:
        """Return the array, or the part in ``window``, as a new float64 or complex128 array in C order.

        Parameters
        ----------
        window : tuple of int, slice and Ellipsis, optional
            A numpy index. Only this part is read where the format allows.
        dimensions : collection of int, optional
            The numbers of dimensions that the result may have.

        Raises
        ------
        DataError
            If an entry is not a finite number or float64 cannot hold it exactly; if the part is empty or has
            another number of dimensions.
        """
        part = self.read(window)
        with prefix_errors(self.source):
            if dimensions is not None and part.ndim not in dimensions:
                problem = describe_dimensions(self.name, part.shape, dimensions)
                raise DataError(f"{problem}; {_suggest_key(self.name, part.ndim, dimensions)}")
            return _check_finite(_widen(part, quote(self.name)), quote(self.name))


def _widen(part: NDArray[Any], name: str) -> NumberArray:
    """Return ``part`` as float64 or complex128, with every entry exactly as it was."""
    wide = np.dtype(np.complex128 if part.dtype.kind == "c" else np.float64)
    if part.dtype.kind not in "biufc" or part.dtype.itemsize > wide.itemsize:
        raise DataError(
            f"{name} has entries of type {quote(str(part.dtype))}, which float64 and complex128 cannot "
            "hold exactly; save it as one of these"
        )
    if part.size == 0:
        raise DataError(f"{name} has shape {part.shape} and so no entries; expected at least one")
    if part.dtype.kind in "iu" and part.dtype.itemsize == 8:
        inexact = (part > LARGEST_EXACT_INTEGER) | (part < -LARGEST_EXACT_INTEGER)
        _refuse_first(inexact, part, name, "integers up to 2**53, all of which float64 holds")
    check_byte_limit(part.size * wide.itemsize, name)
    with np.errstate(invalid="ignore"):  # A signalling nan is refused later, with its position.
        return np.array(part, dtype=wide, order="C")


def _check_finite(values: NumberArray, name: str) -> NumberArray:
    _refuse_first(~np.isfinite(values), values, name, "finite numbers")
    return values


def _refuse_first(wrong: NDArray[np.bool_], values: NDArray[Any], name: str, expected: str) -> None:
    """Raise `DataError` with the first entry that is ``wrong``, if any is."""
    if wrong.any():
        position = tuple(int(index) for index in np.unravel_index(np.argmax(wrong), wrong.shape))
        raise DataError(
            f"entry {position} (counted from 0) of {name} is {values[position]}; expected {expected}; "
            "correct the program that wrote it, or choose another part"
        )


def _suggest_key(name: str, count: int, dimensions: Collection[int]) -> str:
    if count > max(dimensions):
        # The name is the key as typed and may already end in a window.
        return f"choose a part, as in `key={quote(name.partition('[')[0] + '[0]')}`"
    return "choose another array with `key`"


def describe_dimensions(name: str, shape: tuple[int, ...], dimensions: Collection[int]) -> str:
    """Return the message for an array with another number of dimensions than expected."""
    wanted = " or ".join(str(count) for count in dimensions)
    return f"{quote(name)} has shape {shape}; expected {wanted} dimensions, not {len(shape)}"
