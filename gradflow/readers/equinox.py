"""Equinox's ``tree_serialise_leaves``: one .npy after another, without names.

A line of JSON with the hyperparameters may come first, as the documentation of Equinox recommends. The arrays
are named by their place, ``leaves.0``, ``leaves.1``, …
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents, check_array_count
from gradflow.readers.entry_types import decode_bfloat16
from gradflow.readers.messages import prefix_errors, quote, report_damage
from gradflow.readers.npy import NPY_SIGNATURE, NpyHeader, parse_header
from gradflow.readers.source import HEAD_BYTES, Source, count_bytes
from gradflow.readers.stored_array import StoredArray

LEAF_PREFIX = "leaves."
# numpy writes the two bytes of a bfloat16 as a type without a meaning.
_BFLOAT16_DESCRIPTION = "V2"
_NAMES_ADVICE = (
    "these are leaves of Equinox, .npy after .npy, and the names of the arrays are not in the file; load the "
    "model in Equinox and save them with names: np.savez(FILE, **{jax.tree_util.keystr(path): leaf for path, "
    "leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(model, eqx.is_array))}), or read them by shape "
    "and order with `layout` equinox_leaves"
)


def recognizes(source: Source) -> bool:
    """Return whether an .npy follows another one, or a first line of JSON."""
    start = _find_start(source.head)
    if start is None:
        return False
    if start:
        return True
    try:
        header = parse_header(source.head)
        return _find_signature(source, _count_leaf_bytes(header))
    except DataError:
        return False


def read(source: Source) -> FileContents:
    """Return the arrays by their places, memory-mapped, and a remark that they have no names.

    Raises
    ------
    DataError
        If the header of an array is damaged, or some of its bytes are missing.
    """
    arrays: dict[str, StoredArray] = {}
    offset = _find_start(source.head) or 0
    guessed = False
    with source.open() as stream:
        while offset < source.size:
            name = f"{LEAF_PREFIX}{len(arrays)}"
            check_array_count(len(arrays))
            stream.seek(offset)
            start = stream.read(HEAD_BYTES)
            with prefix_errors(quote(name)):
                if not start.startswith(NPY_SIGNATURE):
                    raise report_damage(f"does not start as an .npy at byte {offset}")
                header = parse_header(start)
                size = _count_leaf_bytes(header)
                source.require_bytes(
                    offset, size, f"an array of shape {header.shape} and type {header.dtype}"
                )
            arrays[name] = _describe_leaf(source, name, header, offset + header.offset)
            guessed = guessed or arrays[name].dtype == "bfloat16"
            offset += size
    remarks = ("entries of two bytes without a type are read as bfloat16",) if guessed else ()
    return FileContents(arrays, (_NAMES_ADVICE, *remarks))


def _find_start(head: bytes) -> int | None:
    """Return the offset of the first .npy: 0, or the end of a line of JSON; None if there is none."""
    if head.startswith(NPY_SIGNATURE):
        return 0
    end = head.find(b"\n") + 1
    return end if head[:1] in (b"{", b"[") and end and head.startswith(NPY_SIGNATURE, end) else None


def _find_signature(source: Source, offset: int) -> bool:
    """Return whether an .npy starts at ``offset``."""
    if offset + len(NPY_SIGNATURE) > source.size:
        return False
    return source.read(offset, len(NPY_SIGNATURE)) == NPY_SIGNATURE


def _is_bfloat16(header: NpyHeader) -> bool:
    return header.dtype.str[1:] == _BFLOAT16_DESCRIPTION


def _count_leaf_bytes(header: NpyHeader) -> int:
    if _is_bfloat16(header):
        return header.offset + count_bytes(header.shape, header.dtype.itemsize)
    return header.count_stored_bytes()


def _describe_leaf(source: Source, name: str, header: NpyHeader, offset: int) -> StoredArray:
    bfloat16 = _is_bfloat16(header)
    stored = np.dtype("<u2") if bfloat16 else header.dtype
    load = partial(_map_leaf, source, stored, header, offset)
    decode = decode_bfloat16 if bfloat16 else np.asarray
    dtype = "bfloat16" if bfloat16 else str(header.dtype)
    return StoredArray(source.name, name, header.shape, dtype, load, decode)


def _map_leaf(source: Source, dtype: np.dtype[Any], header: NpyHeader, offset: int) -> NDArray[Any]:
    return source.map_array(dtype, header.shape, offset, header.order)
