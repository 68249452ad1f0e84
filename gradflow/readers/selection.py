"""``--key NAME[128:256, 0]``: which array of a file, and which part of it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import EllipsisType

from gradflow.errors import DataError, UsageError
from gradflow.readers.messages import shown
from gradflow.readers.stored import StoredArray, Window
from gradflow.tables import unknown

LISTED = 20

_INTEGER = r"[+-]?\d{1,18}"
_SLICE = re.compile(rf"({_INTEGER})?\s*:\s*({_INTEGER})?\s*(?::\s*({_INTEGER})?)?", re.ASCII)


def select(arrays: Mapping[str, StoredArray], key: str | None) -> tuple[StoredArray, Window]:
    """Return the array that ``key`` names, bearing the key as its name, and the part of it that is meant.

    An exact name wins, so ``"h[0]"`` is the array of that name where there is one, and the first row of
    ``"h"`` where there is none.

    Raises
    ------
    DataError
        If there is no array, or there are several and no key says which.
    UsageError
        If there is no such array, or no such part.
    """
    if not arrays:
        raise DataError("holds no numeric arrays; expected at least one")
    if key is None:
        return _only(arrays), ...
    if key in arrays:
        return arrays[key], ...
    name, bracket, inside = key.rpartition("[")
    if bracket and name in arrays:
        stored = arrays[name]
        return replace(stored, name=key), parse_window(inside, stored.shape, key)
    raise UsageError(_unknown(key, arrays))


def parse_window(inside: str, shape: tuple[int, ...], key: str) -> Window:
    """Return the numpy index that ``inside``, what follows the bracket, writes for an array of ``shape``.

    Raises
    ------
    UsageError
        If it is malformed, has more indices than ``shape``, or an integer outside it.

    Examples
    --------
    >>> parse_window("0, ::2]", (3, 4), "w[0, ::2]")
    (0, slice(None, None, 2))
    """
    about = f"--key {shown(key)} for shape {shape}"
    if not inside.endswith("]"):
        raise UsageError(f"{about}: the closing ] is missing")
    window = tuple(_index(item.strip(), about) for item in inside[:-1].split(","))
    taken = [index for index in window if index is not ...]
    if len(taken) > len(shape) or len(window) > len(taken) + 1:
        raise UsageError(f"{about}: expected at most {len(shape)} indices and one '...'")
    before = window.index(...) if ... in window else len(window)
    for position, index in enumerate(taken):
        axis = position if position < before else len(shape) - len(taken) + position
        if isinstance(index, int) and not -shape[axis] <= index < shape[axis]:
            limits = f"{-shape[axis]} to {shape[axis] - 1}"
            raise UsageError(f"{about}: index {index} is out of range; axis {axis} takes {limits}")
    return window


def _index(item: str, about: str) -> int | slice | EllipsisType:
    if item == "...":
        return ...
    if re.fullmatch(_INTEGER, item, re.ASCII):
        return int(item)
    match = _SLICE.fullmatch(item)
    if match is None:
        raise UsageError(f"{about}: {shown(item)} is no index; expected one such as 3, -1, 0:128, ::2 or ...")
    start, stop, step = (None if part is None else int(part) for part in match.groups())
    if step == 0:
        raise UsageError(f"{about}: the step of a slice cannot be 0")
    return slice(start, stop, step)


def _only(arrays: Mapping[str, StoredArray]) -> StoredArray:
    # one array may bear two names (JSON's `matrices.power` and `matrices.power.entries`)
    distinct = list(dict.fromkeys(arrays.values()))
    if len(distinct) == 1:
        return distinct[0]
    listed = [f"{shown(array.name)} {array.shape} {shown(array.dtype)[1:-1]}" for array in distinct[:LISTED]]
    more = f" and {len(distinct) - LISTED} more" if len(distinct) > LISTED else ""
    raise DataError(f"holds {len(distinct)} arrays; choose one with --key NAME: {', '.join(listed)}{more}")


def _unknown(key: str, arrays: Iterable[str]) -> str:
    names = [shown(name)[1:-1] for name in arrays]
    # the nearest stay among those shown, however many there are
    nearest = list(dict.fromkeys([*get_close_matches(key[:60], names), *names]))[:LISTED]
    message = unknown("array", key[:60], nearest)
    return message if len(nearest) == len(names) else f"{message} and {len(names) - len(nearest)} more"
