"""torch .pt and .pth: a zip archive of ``data.pkl``, which describes the tensors, and their ``data/{key}``.

This reader needs no torch and unpickles nothing: `gradflow.readers.torch.unpickler` runs no code. Tensors may
stand anywhere inside dicts, lists, modules and other objects. Their names are the paths to them, such as
``model_state_dict.encoder.weight_ih_l0``. A TorchScript archive holds its program too, which is not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

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
from gradflow.readers.messages import quote, report_damage
from gradflow.readers.source import Source, check_byte_limit, wrap_bytes
from gradflow.readers.torch import legacy, tar
from gradflow.readers.torch.pickle import read_pickle
from gradflow.readers.torch.script import ScriptCode
from gradflow.readers.torch.stored import StorageBytes, make_arrays
from gradflow.readers.torch.tensors import TensorStorage
from gradflow.readers.torch.walk import find_tensors

if TYPE_CHECKING:
    from zipfile import ZipInfo

_PICKLE_MEMBER = "/data.pkl"
# torch does not compress a pickle. One that was compressed later may grow so many times, plus a free part.
MAX_INFLATION = 20
_FREE_PICKLE_BYTES = 5000
_CONSTANTS_MEMBER = "/constants.pkl"
_BYTE_ORDERS = {"little": "<", "big": ">"}
# stable-baselines3 writes an archive of these files; the others hold the state of training.
_POLICY_MEMBER = "policy.pth"
_CHECKPOINT_SUFFIXES = (".pth", ".pt")
# The end of a member's name → what the archive is. None of them has a data.pkl in its top folder.
_OTHER_ARCHIVES = {
    "archive_format": "a program that torch.export wrote; save its weights: "
    "torch.save(torch.export.load(FILE).state_dict, NEW)",
    ".data/extern_modules": "a torch.package; save the weights of the model inside: "
    "torch.save(torch.package.PackageImporter(FILE).load_pickle(PACKAGE, NAME).state_dict(), NEW)",
    "/model.json": "a TorchScript program of torch before 1.4; save its weights: "
    "torch.save(torch.jit.load(FILE).state_dict(), NEW)",
}


class _TorchArchive(NamedTuple):
    """The archive of a checkpoint, without the contents of its pickle."""

    source: Source
    root: str
    members: Mapping[str, ZipInfo]
    order: str


def recognizes(source: Source) -> bool:
    """Return whether ``source`` was written by torch: an archive with a ``data.pkl``, or an older form."""
    if legacy.is_legacy(source) or tar.is_tar(source):
        return True
    names = list_member_names(source)
    return bool(_find_roots(names) or _find_checkpoints(names) or _find_other_archive(names))


def read(source: Source) -> FileContents:
    """Return the tensors of a checkpoint by their paths, memory-mapped unless they are compressed.

    Raises
    ------
    DataError
        If the archive is damaged; if a tensor reaches beyond its storage; if two tensors have the same name.
    """
    if legacy.is_legacy(source):
        return legacy.read(source)
    if tar.is_tar(source):
        return tar.read(source)
    with open_archive(source) as archive:
        members = index_members(archive)
    roots = _find_roots(members)
    if not roots:
        return _read_checkpoint_inside(source, members)
    byteorder = members.get(f"{roots[0]}/byteorder")
    order = "little" if byteorder is None else _read_member(source, byteorder).tobytes().decode("latin-1")
    if order not in _BYTE_ORDERS:
        raise report_damage(f"has byte order {quote(order)}; expected little or big")
    checkpoint = _TorchArchive(source, roots[0], members, _BYTE_ORDERS[order])
    contents = _read_pickle_member(checkpoint, _PICKLE_MEMBER, "data")
    if roots[0] + _CONSTANTS_MEMBER not in members:
        return contents
    return _read_script(checkpoint, contents)


def _find_roots(names: Iterable[str]) -> list[str]:
    """Return the top folders that hold a ``data.pkl``; torch writes one."""
    roots = (name.removesuffix(_PICKLE_MEMBER) for name in names if name.endswith(_PICKLE_MEMBER))
    return [root for root in roots if "/" not in root]


def _find_checkpoints(names: Iterable[str]) -> list[str]:
    """Return the members that are checkpoints themselves."""
    return [name for name in names if name.endswith(_CHECKPOINT_SUFFIXES)]


def _find_other_archive(names: Iterable[str]) -> str | None:
    """Return what the archive is if it is another one of torch."""
    listed = list(names)
    for ending, description in _OTHER_ARCHIVES.items():
        if any(name.endswith(ending) for name in listed):
            return description
    return None


def _read_checkpoint_inside(source: Source, members: Mapping[str, ZipInfo]) -> FileContents:
    """Return the contents of the one checkpoint in an archive."""
    other, inside = _find_other_archive(members), _find_checkpoints(members)
    if other:
        raise DataError(f"is {other}")
    if len(inside) > 1 and _POLICY_MEMBER not in inside:
        listed = ", ".join(quote(name) for name in inside[:3])
        raise DataError(f"is a zip archive of {len(inside)} checkpoints ({listed}); unpack it and name one")
    name = _POLICY_MEMBER if _POLICY_MEMBER in inside else inside[0]
    inner = wrap_bytes(source.name, _read_member(source, members[name]).tobytes())
    if not (_find_roots(list_member_names(inner)) or legacy.is_legacy(inner)):
        raise DataError(
            f"holds {quote(name)}, which is no checkpoint of torch; unpack it and name a file in it"
        )
    arrays, remarks = read(inner)
    others = [quote(other)[1:-1] for other in inside if other != name]
    left_out = f"; not read: {', '.join(others[:3])}" if others else ""
    return FileContents(
        arrays, (*remarks, f"the arrays are those of {quote(name)[1:-1]} in the archive{left_out}")
    )


def _read_pickle_member(checkpoint: _TorchArchive, name: str, folder: str) -> FileContents:
    """Return the tensors that a member describes, whose storages are in ``folder``."""
    member = checkpoint.members[checkpoint.root + name]
    if member.file_size > MAX_INFLATION * (member.compress_size + _FREE_PICKLE_BYTES):
        raise report_damage(
            f"its member {quote(member.filename)} inflates from {member.compress_size} to {member.file_size} "
            "bytes"
        )
    data = _read_member(checkpoint.source, member).tobytes()
    found = find_tensors(read_pickle(data).value, len(data), ScriptCode(partial(_read_code, checkpoint)))
    arrays = make_arrays(checkpoint.source.name, found.tensors, partial(_find_storage, checkpoint, folder))
    return FileContents(arrays, found.remarks)


def _find_storage(checkpoint: _TorchArchive, folder: str, storage: TensorStorage) -> StorageBytes:
    label = f"{checkpoint.root}/{folder}/{storage.key}"
    member = checkpoint.members.get(label)
    if member is None:
        raise report_damage(f"its storage {quote(label)} is not in the archive")
    return StorageBytes(
        label, member.file_size, checkpoint.order, partial(_read_member, checkpoint.source, member)
    )


def _read_script(checkpoint: _TorchArchive, contents: FileContents) -> FileContents:
    """Return the contents of a TorchScript program: its tensors, and the constants in its code."""
    constants = _read_pickle_member(checkpoint, _CONSTANTS_MEMBER, "constants")
    arrays = dict(contents.arrays)
    for array in constants.arrays.values():
        name = f"constants.{array.name}"
        arrays.setdefault(name, replace(array, name=name))
    remark = "a TorchScript program: its arrays are read, and the program is not run"
    if constants.arrays and not contents.arrays:
        remark += "; it is frozen, so its weights have no names: save them before torch.jit.freeze"
    return FileContents(arrays, (*contents.remarks, *constants.remarks, remark))


def _read_code(checkpoint: _TorchArchive, name: str) -> str | None:
    """Return the text of a module of a program, if there is one."""
    member = checkpoint.members.get(f"{checkpoint.root}/code/{name}")
    return (
        None
        if member is None
        else _read_member(checkpoint.source, member).tobytes().decode("utf-8", "replace")
    )


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
