"""The cells of Keras 1, which has an array of each gate: ``{layer}_W_i``, ``{layer}_U_i``, ``{layer}_b_i``.

With ``consume_less='gpu'`` the gates are side by side: ``{layer}_W``, ``{layer}_U``, ``{layer}_b``. Files
that do not name weights have ``param_0``, ``param_1``, … in the order of the layer's weights.
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.layouts.names import NamedArrays, normalize_name
from gradflow.readers.stored_array import StoredArray

# The gates of an LSTM and a GRU in Keras 2's order, and in the order of a layer's weights.
_JOINED_ORDERS = ("ifco", "zrh")
_LISTED_ORDERS = ("icfo", "zrh")
_NAMED_PATTERN = re.compile(r"(?:(?P<group>.*)/)?(?P<layer>[^/]+)_(?P<role>[WUb])(?:_(?P<gate>[ifcozrh]))?")
_NUMBERED_PATTERN = re.compile(r"(?:(?P<group>.*)/)?param_(?P<number>\d{1,2})")
_DIRECTION_PATTERN = re.compile(r"(forward|backward)_(.+)")
_ROLES = {"W": "kernel", "U": "recurrent_kernel", "b": "bias"}


class Keras1Cell(NamedTuple):
    """A cell of Keras 1, with its arrays joined as Keras 2 has them.

    Attributes
    ----------
    path : str
        The path of the layer.
    way : str
        ``forward`` or ``backward`` inside a Bidirectional, else empty.
    arrays : dict of str to StoredArray
        ``kernel``, ``recurrent_kernel`` and ``bias``.
    sources : tuple of StoredArray
        The arrays of the file.
    """

    path: str
    way: str
    arrays: dict[str, StoredArray]
    sources: tuple[StoredArray, ...]


def list_keras1_cells(arrays: NamedArrays) -> Iterator[Keras1Cell]:
    """Yield the cells whose arrays have the names of Keras 1."""
    named: dict[tuple[str, str], dict[str, StoredArray]] = {}
    numbered: dict[str, dict[int, StoredArray]] = {}
    for name, array in arrays.items():
        if "keras_version" not in array.metadata:  # Other programs use such names too.
            continue
        path = normalize_name(name)
        if match := _NAMED_PATTERN.fullmatch(path):
            place = (match["group"] or "", match["layer"])
            named.setdefault(place, {})[match["role"] + (match["gate"] or "")] = array
        elif match := _NUMBERED_PATTERN.fullmatch(path):
            numbered.setdefault(match["group"] or "", {})[int(match["number"])] = array
    for (group, layer), members in named.items():
        joined = _join_named(members)
        if joined:
            wrapped = _DIRECTION_PATTERN.fullmatch(layer)
            way = wrapped[1] if wrapped and group.rpartition("/")[2] != layer else ""
            # The group of a Bidirectional has the name of the wrapper.
            own = group.rpartition("/")[2] in (layer, wrapped[2] if wrapped else layer) or way
            path = group if own else f"{group}/{layer}".strip("/")
            yield Keras1Cell(path, way, joined, tuple(members.values()))
    for group, weights in numbered.items():
        roles = _name_numbered(weights)
        joined = _join_named(roles)
        if joined:
            yield Keras1Cell(group, "", joined, tuple(roles.values()))


def _join_named(members: dict[str, StoredArray]) -> dict[str, StoredArray]:
    """Return the arrays of a cell with its gates side by side; empty if they are no cell."""
    for order in ("", *_JOINED_ORDERS):
        gates = list(order) or [""]
        if set(members) == {role + gate for role in _ROLES for gate in gates}:
            parts = {role: [members[role + gate] for gate in gates] for role in _ROLES}
            if not all(_fits(parts, k) for k in range(len(gates))):
                return {}
            return {whole: _join_gates(parts[role], whole) for role, whole in _ROLES.items()}
    return {}


def _fits(parts: dict[str, list[StoredArray]], gate: int) -> bool:
    """Return whether the shapes of one gate are (I, n), (H, n) and (n,), the same as those of the first."""
    shapes = [parts[role][gate].shape for role in _ROLES]
    if [len(shape) for shape in shapes] != [2, 2, 1]:
        return False
    is_square = len(parts["U"]) == 1 or shapes[1][0] == shapes[1][1]
    same_width = len({shape[-1] for shape in shapes}) == 1
    return is_square and same_width and shapes == [parts[role][0].shape for role in _ROLES]


def _name_numbered(weights: dict[int, StoredArray]) -> dict[str, StoredArray]:
    """Return numbered weights by role and gate, if there are as many as a recurrent layer has."""
    listed = [weights[number] for number in sorted(weights)]
    orders = {len(order) * len(_ROLES): order for order in _LISTED_ORDERS} | {len(_ROLES): ""}
    if sorted(weights) != list(range(len(listed))) or len(listed) not in orders:
        return {}
    gates = list(orders[len(listed)]) or [""]
    return dict(zip([role + gate for gate in gates for role in _ROLES], listed, strict=True))


def _join_gates(parts: list[StoredArray], name: str) -> StoredArray:
    """Return the arrays of the gates side by side, as one array that is read when asked for."""
    first = parts[0]
    if len(parts) == 1:
        return first
    width = sum(part.shape[-1] for part in parts)
    return StoredArray(
        first.source, f"{first.name} … ({name})", (*first.shape[:-1], width), first.dtype,
        partial(_concatenate, tuple(parts)), metadata=first.metadata,
    )  # fmt: skip


def _concatenate(parts: tuple[StoredArray, ...]) -> NDArray[np.generic]:
    return np.concatenate([part.read() for part in parts], axis=-1)
