"""``key="NAME[128:256, 0]"``: choose an array of a file, and a part of it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import EllipsisType

from gradflow.errors import DataError, UsageError
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import StoredArray, Window
from gradflow.registry import describe_unknown

MAX_LISTED_ARRAYS = 20

_INTEGER_PATTERN = r"[+-]?\d{1,18}"
_SLICE_PATTERN = re.compile(
    rf"({_INTEGER_PATTERN})?\s*:\s*({_INTEGER_PATTERN})?\s*(?::\s*({_INTEGER_PATTERN})?)?", re.ASCII
)


def select_array(arrays: Mapping[str, StoredArray], key: str | None) -> tuple[StoredArray, Window]:
    """Return the array that ``key`` names and the index of the part that it selects.

    An exact name wins: ``"h[0]"`` is the array of that name if there is one, else the first row of ``"h"``.
    If the key selects a part, the returned array has the whole key as its name.

    Raises
    ------
    DataError
        If there is no array, or if there are several and ``key`` is None.
    UsageError
        If there is no such array, or if it has no such part.
    """
    if not arrays:
        raise DataError("holds no numeric arrays; expected at least one")
    if key is None:
        return _take_only_array(arrays), ...
    if key in arrays:
        return arrays[key], ...
    name, bracket, inside = key.rpartition("[")
    if bracket and name in arrays:
        stored = arrays[name]
        return replace(stored, name=key), parse_window(inside, stored.shape, key)
    raise UsageError(_describe_unknown_array(key, arrays))


def parse_window(inside: str, shape: tuple[int, ...], key: str) -> Window:
    """Return the numpy index that ``inside``, the text after the bracket, selects of an array of ``shape``.

    Raises
    ------
    UsageError
        If the text is malformed, has more indices than ``shape`` has dimensions, or an index out of range.

    Examples
    --------
    >>> parse_window("0, ::2]", (3, 4), "w[0, ::2]")
    (0, slice(None, None, 2))
    """
    about = f"`key={quote(key)}` for shape {shape}"
    if not inside.endswith("]"):
        raise UsageError(f"{about}: the closing ] is missing")
    window = tuple(_parse_index(item.strip(), about) for item in inside[:-1].split(","))
    indices = [index for index in window if index is not ...]
    if len(indices) > len(shape) or len(window) > len(indices) + 1:
        raise UsageError(f"{about}: expected at most {len(shape)} indices and one '...'")
    before = window.index(...) if ... in window else len(window)
    for position, index in enumerate(indices):
        axis = position if position < before else len(shape) - len(indices) + position
        if isinstance(index, int) and not -shape[axis] <= index < shape[axis]:
            limits = f"{-shape[axis]} to {shape[axis] - 1}"
            raise UsageError(f"{about}: index {index} is out of range; axis {axis} takes {limits}")
    return window


def _parse_index(item: str, about: str) -> int | slice | EllipsisType:
    if item == "...":
        return ...
    if re.fullmatch(_INTEGER_PATTERN, item, re.ASCII):
        return int(item)
    match = _SLICE_PATTERN.fullmatch(item)
    if match is None:
        raise UsageError(
            f"{about}: {quote(item)} is not an index; expected one such as 3, -1, 0:128, ::2 or ..."
        )
    start, stop, step = (None if part is None else int(part) for part in match.groups())
    if step == 0:
        raise UsageError(f"{about}: the step of a slice cannot be 0")
    return slice(start, stop, step)


def _take_only_array(arrays: Mapping[str, StoredArray]) -> StoredArray:
    # One array may have two names, as JSON's `matrices.power` and `matrices.power.entries` do.
    distinct = list(dict.fromkeys(arrays.values()))
    if len(distinct) == 1:
        return distinct[0]
    listed = [
        f"{quote(array.name)} {array.shape} {quote(array.dtype)[1:-1]}"
        for array in distinct[:MAX_LISTED_ARRAYS]
    ]
    more = f" and {len(distinct) - MAX_LISTED_ARRAYS} more" if len(distinct) > MAX_LISTED_ARRAYS else ""
    raise DataError(f"holds {len(distinct)} arrays; choose one with `key=NAME`: {', '.join(listed)}{more}")


def _describe_unknown_array(key: str, arrays: Iterable[str]) -> str:
    names = [quote(name)[1:-1] for name in arrays]
    # The nearest names come first, so that they are listed however many there are.
    nearest = list(dict.fromkeys([*get_close_matches(key[:60], names), *names]))[:MAX_LISTED_ARRAYS]
    message = describe_unknown("array", key[:60], nearest)
    return message if len(nearest) == len(names) else f"{message} and {len(names) - len(nearest)} more"
