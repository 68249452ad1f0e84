"""torch .pt and .pth: a zip of ``data.pkl``, which says where each tensor lies, and of their ``data/{key}``.

Read without torch, and nothing is unpickled: `gradflow.readers.unpickler` runs no code. Tensors lie anywhere
inside dicts and lists, and are named by the way there: ``model_state_dict.encoder.weight_ih_l0``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.archive import inflated, member_names, members, opened, stored_at
from gradflow.readers.kinds import KINDS, refuse
from gradflow.readers.messages import damaged, reading, shown
from gradflow.readers.source import Source, byte_count, claim
from gradflow.readers.stored import UNNAMED, StoredArray
from gradflow.readers.torch_pickle import Tensor, described

if TYPE_CHECKING:
    from zipfile import ZipInfo

_PICKLE = "/data.pkl"
_SCRIPT = ("code/", "constants.pkl")
_ORDERS = {"little": "<", "big": ">"}
# what the costliest opcode of one byte makes: an empty list, and its places on the stack and in the collector
_BYTES_PER_OPCODE = 100


class _Checkpoint(NamedTuple):
    """The archive, without what its pickle says."""

    source: Source
    root: str
    members: Mapping[str, ZipInfo]
    order: str


def recognizes(source: Source) -> bool:
    """Return whether ``source`` is a zip archive with a ``data.pkl`` in its only folder."""
    return bool(_roots(member_names(source)))


def read(source: Source) -> dict[str, StoredArray]:
    """Return the tensors of a checkpoint by the way to them, memory-mapped where they are not compressed.

    Raises
    ------
    DataError
        If the archive is damaged, is a program of TorchScript or holds pickled objects, if a tensor reaches
        beyond its storage, or two bear one name.
    """
    with opened(source) as archive:
        found = members(archive)
        root = _roots(found)[0]
        if any(name.startswith(f"{root}/{part}") for name in found for part in _SCRIPT):
            raise DataError(
                "is a TorchScript program, and programs are not run; save its weights: "
                "torch.save(torch.jit.load(FILE).state_dict(), NEW)"
            )
    pickle = found[root + _PICKLE]
    claim(_BYTES_PER_OPCODE * pickle.file_size, "what its pickle describes")
    tensors = described(_content(source, pickle).tobytes())
    byteorder = found.get(f"{root}/byteorder")
    order = "little" if byteorder is None else _content(source, byteorder).tobytes().decode("latin-1")
    if order not in _ORDERS:
        raise damaged(f"has byte order {shown(order)}, which is neither little nor big")
    return _arrays(_Checkpoint(source, root, found, _ORDERS[order]), tensors)


def _roots(names: Iterable[str]) -> list[str]:
    """Return the folders that hold a ``data.pkl``; torch writes one."""
    roots = (name.removesuffix(_PICKLE) for name in names if name.endswith(_PICKLE))
    return [root for root in roots if "/" not in root]


def _arrays(checkpoint: _Checkpoint, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, StoredArray]:
    arrays: dict[str, StoredArray] = {}
    for path, tensor in tensors:
        name = path or UNNAMED
        if name in arrays:
            raise DataError(f"holds two arrays named {shown(name)}; expected each name once")
        with reading(shown(name)):
            arrays[name] = _stored(checkpoint, name, tensor)
    return arrays


def _stored(checkpoint: _Checkpoint, name: str, tensor: Tensor) -> StoredArray:
    byte_count(tensor.shape, 1)
    label = f"{checkpoint.root}/data/{tensor.storage.key}"
    member = checkpoint.members.get(label)
    if member is None:
        raise damaged(f"its storage {shown(label)} is not in the archive")
    if tensor.dtype in KINDS:
        _check_bounds(tensor, member)
        load = partial(_load, checkpoint, tensor, member)
        decode = KINDS[tensor.dtype].decode
    else:
        load, decode = partial(refuse, tensor.dtype), np.asarray
    return StoredArray(checkpoint.source.name, name, tensor.shape, tensor.dtype, load, decode)


def _check_bounds(tensor: Tensor, member: ZipInfo) -> None:
    """Raise `DataError` unless every entry lies inside the storage, and that inside the archive."""
    if tensor.storage.byte_count != member.file_size:
        raise damaged(
            f"its storage {shown(member.filename)} takes {member.file_size} bytes; expected "
            f"{tensor.storage.byte_count}"
        )
    count = member.file_size // KINDS[tensor.dtype].dtype().itemsize
    if 0 not in tensor.shape and tensor.last >= count:
        raise damaged(
            f"shape {tensor.shape}, strides and offset reach entry {tensor.last} of its storage "
            f"{shown(member.filename)}, which has {count}"
        )


def _load(checkpoint: _Checkpoint, tensor: Tensor, member: ZipInfo) -> NDArray[Any]:
    """Return the view of the storage that the tensor is."""
    dtype = KINDS[tensor.dtype].dtype(checkpoint.order)
    if 0 in tensor.shape:
        return np.empty(tensor.shape, dtype)
    count = byte_count(tensor.shape, dtype.itemsize)
    if count > member.file_size:
        # its entries overlap, as those of an expanded tensor do
        claim(count, f"an array of shape {tensor.shape}")
    # the stride of a single entry says nothing, and may be any number
    strides = [
        stride * dtype.itemsize if size > 1 else 0
        for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    ]
    storage = _content(checkpoint.source, member)
    return np.ndarray(tensor.shape, dtype, storage, tensor.offset * dtype.itemsize, strides)


def _content(source: Source, member: ZipInfo) -> NDArray[np.uint8]:
    """Return the bytes of a member.

    Where they are not compressed their checksum is not looked at, for torch can be told to write none.
    """
    offset = stored_at(source, member)
    if offset is not None:
        return source.mapped(np.uint8, (member.file_size,), offset)
    claim(member.file_size, f"member {shown(member.filename)}")
    with opened(source) as archive:
        data = inflated(archive, member, member.file_size)
    if len(data) != member.file_size:
        raise damaged(f"member {shown(member.filename)} ends after {len(data)} of {member.file_size} bytes")
    return np.frombuffer(data, np.uint8)
