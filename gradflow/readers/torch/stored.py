"""What a pickle says about a tensor → an array that is read when it is asked for."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.entry_types import ENTRY_TYPES, refuse_entry_type
from gradflow.readers.messages import prefix_errors, quote, report_damage
from gradflow.readers.source import check_byte_limit, count_bytes
from gradflow.readers.stored_array import UNNAMED_ARRAY, StoredArray
from gradflow.readers.torch.numpy_objects import load_numpy_array
from gradflow.readers.torch.tensors import (
    MissingTensor,
    NumpyArray,
    PickledTensor,
    QuantizedTensor,
    SparseTensor,
    TensorStorage,
    TensorView,
)
from gradflow.readers.torch.walk import FoundTensor

# What a file describes without storing it may take this many bytes in float64, for all arrays together.
_MAX_REPEATED_BYTES = 100_000_000
# These are not counted: as many entries of a sparse tensor for each that is stored, and as many arrays that
# share a storage, as tied weights do.
_MAX_ENTRIES_PER_STORED = 16
_MAX_USES_OF_STORAGE = 16


class StorageBytes(NamedTuple):
    """Where a storage is: its name in messages, its bytes, their order, and how to read them."""

    label: str
    size: int
    order: str
    read: Callable[[], NDArray[np.uint8]]


# Returns the bytes of a storage in a container, or raises `DataError` if it is not there.
StorageFinder: TypeAlias = Callable[[TensorStorage], StorageBytes]


def make_arrays(
    source_name: str, tensors: Iterable[FoundTensor], find_storage: StorageFinder
) -> dict[str, StoredArray]:
    """Return the tensors as arrays by name.

    Raises
    ------
    DataError
        If a storage is not there, or a tensor reaches beyond its storage.
    """
    arrays = {}
    repetitions = _RepetitionCount()
    for path, tensor, metadata in tensors:
        name = path or UNNAMED_ARRAY
        with prefix_errors(quote(name)):
            count_bytes(tensor.shape, 1)
            dtype, load, decode = _describe_tensor(tensor, find_storage)
        reason = repetitions.find_excess(tensor)
        if reason:
            load, decode = partial(_refuse_missing, MissingTensor(tensor.shape, dtype, reason)), np.asarray
        arrays[name] = StoredArray(source_name, name, tensor.shape, dtype, load, decode, metadata)
    return arrays


class _RepetitionCount:
    """The entries of all arrays that a file describes without storing them, up to a limit.

    A few bytes can describe many large arrays: expanded tensors, sparse ones, and names for the same numbers.
    Each array may be below the limit of one array, and all of them together far above what a file may take.
    """

    def __init__(self) -> None:
        self._entries = 0
        self._uses: dict[str, int] = {}

    def find_excess(self, tensor: PickledTensor) -> str | None:
        """Return why an array is not read, if it repeats too many entries, else count its entries."""
        view = tensor.integers if isinstance(tensor, QuantizedTensor) else tensor
        if isinstance(view, SparseTensor):
            view, factor, help_text = (
                view.values,
                _MAX_ENTRIES_PER_STORED,
                "is sparse; save it as .to_dense()",
            )
        else:
            factor, help_text = 1, "is expanded; save it as .contiguous()"
        if not isinstance(view, TensorView) or view.dtype not in ENTRY_TYPES:
            return None
        storage, entries = view.storage, math.prod(tensor.shape)
        size = (storage.byte_count - storage.begin) // ENTRY_TYPES[view.dtype].make_dtype().itemsize
        stored = min(math.prod(view.shape), size)
        used = self._uses.get(storage.key, 0) + stored
        expanded = max(0, entries - factor * stored)
        shared = min(stored, max(0, used - _MAX_USES_OF_STORAGE * size))
        if 8 * (self._entries + expanded + shared) > _MAX_REPEATED_BYTES:
            if shared > expanded:
                return f"shares its {entries} entries with many other arrays; save it as .clone()"
            return f"has {entries} entries, but only {stored} are stored: it {help_text}"
        self._entries += expanded + shared
        self._uses[storage.key] = used
        return None


def _describe_tensor(
    tensor: PickledTensor, find_storage: StorageFinder
) -> tuple[str, Callable[[], NDArray[Any]], Callable[[NDArray[Any]], NDArray[Any]]]:
    """Return the type of a tensor, how its array is read, and how that is decoded."""
    match tensor:
        case TensorView():
            return _describe_view(tensor, find_storage)
        case QuantizedTensor():
            loads = [
                _prepare(part, find_storage) for part in (tensor.integers, tensor.scale, tensor.zero_point)
            ]
            return "float32", partial(_load_quantized, tensor, *loads), np.asarray
        case SparseTensor():
            loads = [_prepare(part, find_storage) for part in (tensor.values, *tensor.indices)]
            return tensor.values.dtype, partial(_load_sparse, tensor, *loads), np.asarray
        case MissingTensor():
            return tensor.dtype, partial(_refuse_missing, tensor), np.asarray
        case NumpyArray():
            return np.dtype(tensor.dtype).name, partial(load_numpy_array, tensor), np.asarray


def _refuse_missing(tensor: MissingTensor) -> NDArray[Any]:
    raise DataError(tensor.reason)


def _prepare(part: Any, find_storage: StorageFinder) -> Callable[[], NDArray[Any]]:
    """Return a function that reads a part of a tensor, which is a view or a number, as numbers."""
    if not isinstance(part, TensorView):
        return partial(np.asarray, part)
    count_bytes(part.shape, 1)
    _, load, decode = _describe_view(part, find_storage)
    return partial(_load_numbers, load, decode)


def _load_numbers(
    load: Callable[[], NDArray[Any]], decode: Callable[[NDArray[Any]], NDArray[Any]]
) -> NDArray[Any]:
    return decode(load())


def _describe_view(
    view: TensorView, find_storage: StorageFinder
) -> tuple[str, Callable[[], NDArray[Any]], Callable[[NDArray[Any]], NDArray[Any]]]:
    storage = view.storage
    if storage.contents is None:
        place = find_storage(storage)
    else:
        place = StorageBytes("in the pickle", len(storage.contents), "<", storage.read_contents)
    if view.dtype not in ENTRY_TYPES:
        return view.dtype, partial(refuse_entry_type, view.dtype), np.asarray
    _check_bounds(view, place)
    return view.dtype, partial(_load_view, view, place), ENTRY_TYPES[view.dtype].decode


def _check_bounds(view: TensorView, place: StorageBytes) -> None:
    """Raise `DataError` unless every entry is inside the storage, and the storage fills its place."""
    storage = view.storage
    if storage.byte_count != place.size:
        raise report_damage(
            f"its storage {quote(place.label)} takes {place.size} bytes; expected {storage.byte_count}"
        )
    count = (place.size - storage.begin) // ENTRY_TYPES[view.dtype].make_dtype().itemsize
    if 0 not in view.shape and view.last_entry >= count:
        raise report_damage(
            f"shape {view.shape}, strides and offset reach entry {view.last_entry} of its storage "
            f"{quote(place.label)}, which has {count}"
        )


def _load_view(view: TensorView, place: StorageBytes) -> NDArray[Any]:
    """Return the tensor as a view of its storage."""
    if view.pending:
        raise DataError("has a pending negation or conjugation; save its .resolve_neg().resolve_conj()")
    dtype = ENTRY_TYPES[view.dtype].make_dtype(place.order)
    if 0 in view.shape:
        return np.empty(view.shape, dtype)
    count = count_bytes(view.shape, dtype.itemsize)
    if count > place.size:
        # The entries overlap, as they do in an expanded tensor.
        check_byte_limit(count, f"an array of shape {view.shape}")
    # The stride along an axis of size 1 means nothing and may be any number.
    strides = [
        stride * dtype.itemsize if size > 1 else 0
        for size, stride in zip(view.shape, view.strides, strict=True)
    ]
    begin = view.storage.begin + view.offset * dtype.itemsize
    return np.ndarray(view.shape, dtype, place.read(), begin, strides)


def _load_quantized(
    tensor: QuantizedTensor,
    load_integers: Callable[[], NDArray[Any]],
    load_scale: Callable[[], NDArray[Any]],
    load_zero_point: Callable[[], NDArray[Any]],
) -> NDArray[np.float32]:
    """Return scale · (q − zero point) in float32, rounded as torch rounds it.

    torch takes one scale in float32, and scales along an axis in float64.
    """
    check_byte_limit(count_bytes(tensor.shape, 4), f"an array of shape {tensor.shape}")
    scale, zero_point = load_scale(), load_zero_point()
    if tensor.axis is None:
        scale = scale.astype(np.float32).astype(np.float64)
    if tensor.axis is not None:
        length = tensor.shape[tensor.axis]
        if scale.shape != (length,) or zero_point.shape != (length,):
            raise report_damage(
                f"its scales have shape {scale.shape}; expected one for each of {length} indices"
            )
        column = [1] * len(tensor.shape)
        column[tensor.axis] = length
        scale, zero_point = scale.reshape(column), zero_point.reshape(column)
    with np.errstate(all="ignore"):
        return np.asarray(((load_integers() - zero_point.astype(np.float64)) * scale).astype(np.float32))


def _load_sparse(
    tensor: SparseTensor,
    load_values: Callable[[], NDArray[Any]],
    *load_indices: Callable[[], NDArray[Any]],
) -> NDArray[Any]:
    """Return a sparse tensor with all its entries."""
    values, indices = load_values(), [load() for load in load_indices]
    check_byte_limit(count_bytes(tensor.shape, values.dtype.itemsize), f"an array of shape {tensor.shape}")
    if any(part.dtype.kind != "i" for part in indices):
        raise report_damage("its sparse tensor has indices that are not integers")
    if tensor.layout == "coo":
        return _place_entries(tensor, indices[0], values)
    return _place_compressed(tensor, indices[0], indices[1], values)


def _place_entries(tensor: SparseTensor, indices: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Return the dense form of entries at indices (sparse dimensions, entries); equal indices add up."""
    if indices.ndim != 2 or len(indices) > len(tensor.shape):
        raise report_damage(f"its sparse tensor has indices of shape {indices.shape}")
    sizes = tensor.shape[: len(indices)]
    if values.shape != (indices.shape[1], *tensor.shape[len(indices) :]):
        raise report_damage(f"its sparse tensor has values of shape {values.shape}")
    if ((indices < 0) | (indices >= np.array(sizes).reshape(-1, 1))).any():
        raise report_damage(f"its sparse tensor has an index outside of shape {tensor.shape}")
    dense = np.zeros(tensor.shape, values.dtype.newbyteorder("="))
    np.add.at(dense, tuple(indices), values)
    return dense


def _place_compressed(
    tensor: SparseTensor, compressed: NDArray[Any], plain: NDArray[Any], values: NDArray[Any]
) -> NDArray[Any]:
    """Return the dense form of compressed rows or columns, of single entries or of blocks."""
    if len(tensor.shape) != 2 or compressed.ndim != 1 or plain.ndim != 1:
        raise DataError("is a batch of sparse tensors; save it as .to_dense()")
    block = values.shape[1:] if tensor.layout in ("bsr", "bsc") else (1, 1)
    counts = np.diff(compressed)
    is_damaged = len(block) != 2 or 0 in block or values.size != len(plain) * math.prod(block)
    ends = compressed[[0, -1]].tolist() if compressed.size else []
    if is_damaged or ends != [0, len(plain)] or (counts < 0).any():
        raise report_damage("its sparse tensor has compressed indices that do not fit its entries")
    along = np.repeat(np.arange(len(counts)), counts)
    rows, columns = (along, plain) if tensor.layout in ("csr", "bsr") else (plain, along)
    grid = [size // length for size, length in zip(tensor.shape, block, strict=True)]
    outside = (rows < 0) | (rows >= grid[0]) | (columns < 0) | (columns >= grid[1])
    if outside.any() or any(size % length for size, length in zip(tensor.shape, block, strict=True)):
        raise report_damage(f"its sparse tensor has an index outside of shape {tensor.shape}")
    dense = np.zeros((grid[0], block[0], grid[1], block[1]), values.dtype.newbyteorder("="))
    index: Any = (rows, slice(None), columns)
    np.add.at(dense, index, values.reshape(len(plain), *block))
    return dense.reshape(tensor.shape)
