"""torch .pt and .pth: a zip archive of ``data.pkl``, which describes the tensors, and their ``data/{key}``.

This reader needs no torch and unpickles nothing: `gradflow.readers.torch.unpickler` runs no code. Tensors may
stand anywhere inside dicts and lists. Their names are the paths to them, such as
``model_state_dict.encoder.weight_ih_l0``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.archive import (
    index_members,
    inflate_member,
    list_member_names,
    locate_stored_member,
    open_archive,
)
from gradflow.readers.contents import FileContents
from gradflow.readers.entry_types import ENTRY_TYPES, refuse_entry_type
from gradflow.readers.messages import prefix_errors, quote, report_damage
from gradflow.readers.source import Source, check_byte_limit, count_bytes
from gradflow.readers.stored_array import UNNAMED_ARRAY, StoredArray
from gradflow.readers.torch.pickle import TensorView, list_tensors

if TYPE_CHECKING:
    from zipfile import ZipInfo

_PICKLE_MEMBER = "/data.pkl"
_SCRIPT_MEMBERS = ("code/", "constants.pkl")
_BYTE_ORDERS = {"little": "<", "big": ">"}
# The memory that the costliest opcode of one byte takes: an empty list, its place on the stack and in the
# garbage collector.
_BYTES_PER_OPCODE = 100


class _TorchArchive(NamedTuple):
    """The archive of a checkpoint, without the contents of its pickle."""

    source: Source
    root: str
    members: Mapping[str, ZipInfo]
    order: str


def recognizes(source: Source) -> bool:
    """Return whether ``source`` is a zip archive with a ``data.pkl`` in its top folder."""
    return bool(_find_roots(list_member_names(source)))


def read(source: Source) -> FileContents:
    """Return the tensors of a checkpoint by their paths, memory-mapped unless they are compressed.

    Raises
    ------
    DataError
        If the archive is damaged, is a TorchScript program or holds pickled objects; if a tensor reaches
        beyond its storage; if two tensors have the same name.
    """
    with open_archive(source) as archive:
        members = index_members(archive)
        root = _find_roots(members)[0]
        if any(name.startswith(f"{root}/{part}") for name in members for part in _SCRIPT_MEMBERS):
            raise DataError(
                "is a TorchScript program, which is not run; save its weights: "
                "torch.save(torch.jit.load(FILE).state_dict(), NEW)"
            )
    pickle = members[root + _PICKLE_MEMBER]
    check_byte_limit(_BYTES_PER_OPCODE * pickle.file_size, "the description in its pickle")
    tensors = list_tensors(_read_member(source, pickle).tobytes())
    byteorder = members.get(f"{root}/byteorder")
    order = "little" if byteorder is None else _read_member(source, byteorder).tobytes().decode("latin-1")
    if order not in _BYTE_ORDERS:
        raise report_damage(f"has byte order {quote(order)}; expected little or big")
    return FileContents(_list_arrays(_TorchArchive(source, root, members, _BYTE_ORDERS[order]), tensors))


def _find_roots(names: Iterable[str]) -> list[str]:
    """Return the top folders that hold a ``data.pkl``; torch writes one."""
    roots = (name.removesuffix(_PICKLE_MEMBER) for name in names if name.endswith(_PICKLE_MEMBER))
    return [root for root in roots if "/" not in root]


def _list_arrays(
    checkpoint: _TorchArchive, tensors: Iterable[tuple[str, TensorView]]
) -> dict[str, StoredArray]:
    arrays: dict[str, StoredArray] = {}
    for path, tensor in tensors:
        name = path or UNNAMED_ARRAY
        if name in arrays:
            raise DataError(f"holds two arrays named {quote(name)}; expected each name once")
        with prefix_errors(quote(name)):
            arrays[name] = _describe_tensor(checkpoint, name, tensor)
    return arrays


def _describe_tensor(checkpoint: _TorchArchive, name: str, tensor: TensorView) -> StoredArray:
    count_bytes(tensor.shape, 1)
    label = f"{checkpoint.root}/data/{tensor.storage.key}"
    member = checkpoint.members.get(label)
    if member is None:
        raise report_damage(f"its storage {quote(label)} is not in the archive")
    if tensor.dtype in ENTRY_TYPES:
        _check_bounds(tensor, member)
        load = partial(_load_tensor, checkpoint, tensor, member)
        decode = ENTRY_TYPES[tensor.dtype].decode
    else:
        load, decode = partial(refuse_entry_type, tensor.dtype), np.asarray
    return StoredArray(checkpoint.source.name, name, tensor.shape, tensor.dtype, load, decode)


def _check_bounds(tensor: TensorView, member: ZipInfo) -> None:
    """Raise `DataError` unless every entry is inside the storage, and the storage fills its member."""
    if tensor.storage.byte_count != member.file_size:
        raise report_damage(
            f"its storage {quote(member.filename)} takes {member.file_size} bytes; expected "
            f"{tensor.storage.byte_count}"
        )
    count = member.file_size // ENTRY_TYPES[tensor.dtype].make_dtype().itemsize
    if 0 not in tensor.shape and tensor.last_entry >= count:
        raise report_damage(
            f"shape {tensor.shape}, strides and offset reach entry {tensor.last_entry} of its storage "
            f"{quote(member.filename)}, which has {count}"
        )


def _load_tensor(checkpoint: _TorchArchive, tensor: TensorView, member: ZipInfo) -> NDArray[Any]:
    """Return the tensor as a view of its storage."""
    dtype = ENTRY_TYPES[tensor.dtype].make_dtype(checkpoint.order)
    if 0 in tensor.shape:
        return np.empty(tensor.shape, dtype)
    count = count_bytes(tensor.shape, dtype.itemsize)
    if count > member.file_size:
        # The entries overlap, as they do in an expanded tensor.
        check_byte_limit(count, f"an array of shape {tensor.shape}")
    # The stride along an axis of size 1 means nothing and may be any number.
    strides = [
        stride * dtype.itemsize if size > 1 else 0
        for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    ]
    storage = _read_member(checkpoint.source, member)
    return np.ndarray(tensor.shape, dtype, storage, tensor.offset * dtype.itemsize, strides)


def _read_member(source: Source, member: ZipInfo) -> NDArray[np.uint8]:
    """Return the bytes of a member.

    The checksum of an uncompressed member is not compared, because torch can be told to write none.
    """
    offset = locate_stored_member(source, member)
    if offset is not None:
        return source.map_array(np.uint8, (member.file_size,), offset)
    check_byte_limit(member.file_size, f"member {quote(member.filename)}")
    with open_archive(source) as archive:
        data = inflate_member(archive, member, member.file_size)
    if len(data) != member.file_size:
        raise report_damage(
            f"member {quote(member.filename)} ends after {len(data)} of {member.file_size} bytes"
        )
    return np.frombuffer(data, np.uint8)
