"""What a pickle says about tensors: their storages, views of them, and the forms without plain entries."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradflow.readers.messages import report_damage

# An offset, a shape and strides have fewer numbers. A pickle can give a million to each of many tensors.
_MAX_NUMBERS = 200


@dataclass(frozen=True)
class TensorStorage:
    """A flat array of numbers.

    Attributes
    ----------
    key : str
        Its name in the container.
    dtype : str
        The type of its entries.
    byte_count : int
        The bytes that it takes in the container.
    begin : int
        The byte at which it begins, if it is a part of the storage in the container.
    contents : memoryview, bytes or None
        The bytes, if the pickle itself holds them.
    """

    key: str
    dtype: str
    byte_count: int
    begin: int = 0
    contents: "memoryview | bytes | None" = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return _copy_contents(self)

    def read_contents(self) -> NDArray[np.uint8]:
        """Return the bytes that the pickle holds."""
        return np.frombuffer(self.contents or b"", np.uint8)


@dataclass(frozen=True)
class TensorView:
    """A view of a storage. The offset and the strides count entries of type ``dtype``.

    ``pending`` says that the tensor is the conjugate or the negative of the entries in the storage.
    """

    storage: TensorStorage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    pending: bool = False

    @property
    def last_entry(self) -> int:
        """The index in the storage of the tensor's last entry, if it has entries."""
        steps = zip(self.shape, self.strides, strict=True)
        return self.offset + sum((size - 1) * stride for size, stride in steps)


@dataclass(frozen=True)
class QuantizedTensor:
    """The numbers scale · (q − zero point). The scale and the zero point are those of each index of ``axis``.

    If ``axis`` is None, the whole tensor has one scale and one zero point.
    """

    integers: TensorView
    scale: "float | TensorView"
    zero_point: "int | TensorView"
    axis: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return self.integers.shape


@dataclass(frozen=True)
class SparseTensor:
    """A tensor of which only some entries are stored.

    Attributes
    ----------
    layout : str
        ``"coo"``, ``"csr"``, ``"csc"``, ``"bsr"`` or ``"bsc"``.
    indices : tuple of TensorView
        For ``"coo"`` the indices (dimensions, entries); for others the compressed and the plain indices.
    values : TensorView
        The entries.
    shape : tuple of int
        The shape of the tensor.
    """

    layout: str
    indices: tuple[TensorView, ...]
    values: TensorView
    shape: tuple[int, ...]


@dataclass(frozen=True)
class MissingTensor:
    """A tensor whose numbers are not in the file; ``reason`` says why."""

    shape: tuple[int, ...]
    dtype: str
    reason: str


@dataclass(frozen=True)
class NumpyArray:
    """An array of numpy whose bytes stand in the pickle, perhaps as characters in an encoding."""

    shape: tuple[int, ...]
    dtype: str
    fortran_order: bool
    contents: "memoryview | bytes | str" = field(repr=False, compare=False)
    encoding: str = "latin-1"

    def __getstate__(self) -> dict[str, Any]:
        return _copy_contents(self)


def _copy_contents(part: TensorStorage | NumpyArray) -> dict[str, Any]:
    """Return the attributes for another process, to which bytes can be sent but no view of a file."""
    contents = part.contents
    return vars(part) | {"contents": bytes(contents) if isinstance(contents, memoryview) else contents}


PickledTensor: TypeAlias = TensorView | QuantizedTensor | SparseTensor | MissingTensor | NumpyArray


def check_whole_numbers(numbers: Sequence[object], what: str) -> None:
    """Raise `DataError` unless all ``numbers`` are integers of 0 or more that fit into 63 bits."""
    if len(numbers) > _MAX_NUMBERS or not all(
        type(number) is int and 0 <= number < 2**63 for number in numbers
    ):
        raise report_damage(f"its pickle has {what}")
