"""An array as it lies in a file: known by name, shape and type, read only when asked."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.messages import reading, shown
from gradflow.readers.source import claim

# what a container that does not name its only array calls it
UNNAMED = "array"
# up to here, and not beyond, every integer is a float64
LARGEST_EXACT = 2**53

Window: TypeAlias = EllipsisType | tuple[int | slice | EllipsisType, ...]
# float64 or complex128
Numbers: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class StoredArray:
    """One array of a file.

    Attributes
    ----------
    source : str
        The file, for messages.
    name : str
        Its name in the file, unescaped.
    shape : tuple of int
    dtype : str
        The type of its entries in numpy's words, or in the file's where numpy has none.
    load : callable
        Returns the array, memory-mapped where the format allows.
    decode : callable
        Turns what ``load`` returned, after slicing, into numbers that numpy knows.
    about : mapping
        What the file says of the array's owner beside the numbers: an operator's attributes, a layer's
        configuration; empty where it says nothing.
    """

    source: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], NDArray[Any]] = field(repr=False)
    decode: Callable[[NDArray[Any]], NDArray[Any]] = field(default=np.asarray, repr=False)
    about: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def read(self, window: Window = ...) -> NDArray[Any]:
        """Return the array, or the part in ``window``, in the type it is stored in; it may be read-only.

        Raises
        ------
        DataError
            If the file does not hold what it claims to, or that is more than may be taken.
        """
        with reading(self.source if self.name == UNNAMED else f"{self.source}: {shown(self.name)}"):
            return self.decode(np.asarray(self.load()[window]))

    def numbers(self, window: Window = ..., dimensions: Collection[int] | None = None) -> Numbers:
        """Return the array, or the part in ``window``, as a new float64 or complex128 array in C order.

        Parameters
        ----------
        window : tuple of int, slice and Ellipsis, optional
            A numpy index; only that part is read where the format allows.
        dimensions : collection of int, optional
            How many dimensions the result may have.

        Raises
        ------
        DataError
            If the entries are no numbers, do not fit float64 exactly or are not finite, or if the part is
            empty or has another number of dimensions.
        """
        part = self.read(window)
        with reading(self.source):
            if dimensions is not None and part.ndim not in dimensions:
                raise DataError(_wrong_dimensions(self.name, part.shape, dimensions))
            return _finite(_widened(part, shown(self.name)), shown(self.name))


def _widened(part: NDArray[Any], name: str) -> Numbers:
    """Return ``part`` as float64 or complex128, every entry being exactly what it was."""
    wide = np.dtype(np.complex128 if part.dtype.kind == "c" else np.float64)
    if part.dtype.kind not in "biufc" or part.dtype.itemsize > wide.itemsize:
        raise DataError(
            f"{name} holds {shown(str(part.dtype))}, which is no number that fits float64 or complex128 "
            "exactly; save it as one of these"
        )
    if part.size == 0:
        raise DataError(f"{name} has shape {part.shape}, so no entries; expected at least one")
    if part.dtype.kind in "iu" and part.dtype.itemsize == 8:
        inexact = (part > LARGEST_EXACT) | (part < -LARGEST_EXACT)
        _refuse(inexact, part, name, "integers up to 2**53, all of which float64 holds")
    claim(part.size * wide.itemsize, name)
    with np.errstate(invalid="ignore"):  # a signalling nan, which is refused with its place
        return np.array(part, dtype=wide, order="C")


def _finite(values: Numbers, name: str) -> Numbers:
    _refuse(~np.isfinite(values), values, name, "finite numbers")
    return values


def _refuse(wrong: NDArray[np.bool_], values: NDArray[Any], name: str, expected: str) -> None:
    """Raise `DataError` with the first entry that is ``wrong``, if any is."""
    if wrong.any():
        position = tuple(int(index) for index in np.unravel_index(np.argmax(wrong), wrong.shape))
        raise DataError(
            f"entry {position} (counted from 0) of {name} is {values[position]}; expected {expected}; "
            "mend what wrote it, or choose another part"
        )


def _wrong_dimensions(name: str, shape: tuple[int, ...], dimensions: Collection[int]) -> str:
    wanted = " or ".join(str(count) for count in dimensions)
    message = f"{shown(name)} has shape {shape}; expected {wanted} dimensions, not {len(shape)}"
    if len(shape) > max(dimensions):
        # the name is the key as typed, which may end in a window already
        return f"{message}; choose a part, as in --key {shown(name.partition('[')[0] + '[0]')}"
    return f"{message}; choose another array with --key"
