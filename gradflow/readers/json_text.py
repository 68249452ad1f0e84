"""JSON: rows of numbers, rows on lines of their own, or an object with such arrays anywhere inside.

What gradflow itself writes is read back: ``matrices.power`` is the grid ``entries`` times 2**``exponent2``.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.decoding import beginning, decode
from gradflow.readers.messages import shown
from gradflow.readers.numerals import real
from gradflow.readers.source import MOST_DIMENSIONS, Source
from gradflow.readers.stored import UNNAMED, Numbers, StoredArray


class _Refused(str):
    """Why a number of the file is none here; said with its position if it turns out to be wanted."""


def recognizes(source: Source) -> bool:
    """Return whether ``source`` is text that opens with a bracket or a brace."""
    return (beginning(source.head) or "").lstrip()[:1] in ("[", "{")


def read(source: Source) -> dict[str, StoredArray]:
    """Return the numeric arrays of a JSON document by their dotted paths.

    Raises
    ------
    DataError
        If it is no JSON, names one path twice, or is nested too deep.
    """
    arrays: dict[str, StoredArray] = {}
    try:
        for name, array in _arrays(source.name, "", _document(decode(source))):
            if name in arrays:
                raise DataError(f"holds two arrays named {shown(name)}; expected each name once")
            arrays[name] = array
    except RecursionError as error:
        raise DataError("nested too deep; expected rows of numbers, such as [[1, 2], [3, 4]]") from error
    return arrays


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's members, each name once; for ``json``'s ``object_pairs_hook``.

    Raises
    ------
    ValueError
        If a name occurs twice, of which ``json`` would silently keep the last.
    """
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"two members named {shown(name)}")
        members[name] = value
    return members


def _number(token: str) -> float | _Refused:
    try:
        return real(token)
    except DataError as error:
        return _Refused(error)


_DECODER = json.JSONDecoder(
    object_pairs_hook=without_duplicates, parse_float=_number, parse_int=_number, parse_constant=_number
)


# where the next value begins, or the text ends
_BEGINNING = re.compile(r"\S|\Z")


def _document(text: str) -> Any:
    """Return the JSON value, or of several on lines of their own the list."""
    values: list[Any] = []
    position = next(_BEGINNING.finditer(text)).start()
    try:
        while position < len(text):
            value, end = _DECODER.raw_decode(text, position)
            values.append(value)
            position = next(_BEGINNING.finditer(text, end)).start()
            if position < len(text) and not (isinstance(value, list) and "\n" in text[end:position]):
                raise json.JSONDecodeError(
                    "more than one value, and no row on a line of its own", text, position
                )
    except json.JSONDecodeError as error:
        raise DataError(
            f"not JSON at line {error.lineno}, character {error.colno}: {error.msg}; "
            "expected rows of numbers, such as [[1, 2], [3, 4]]"
        ) from error
    except ValueError as error:
        raise DataError(f"ambiguous JSON: {error}; expected each name once") from error
    if len(values) > 1 or (values and _is_row(values[0])):
        return values
    return values[0]


def _is_row(value: Any) -> bool:
    """Return whether a whole document is one row, which is a matrix as it is in text."""
    return isinstance(value, list) and all(_is_number(entry) or _is_complex(entry) for entry in value)


def _arrays(source: str, path: str, node: Any) -> Iterator[tuple[str, StoredArray]]:
    """Yield name and array for every numeric array at or below ``node``."""
    if _is_complex(node):
        if not path:
            yield UNNAMED, StoredArray(source, UNNAMED, (1, 1), "complex128", partial(_grid, (1, 1), [node]))
    elif isinstance(node, dict) and isinstance(node.get("entries"), list) and "exponent2" in node:
        yield from _scaled(source, path, node)
    elif isinstance(node, dict):
        for name, child in node.items():
            yield from _arrays(source, f"{path}.{name}" if path else name, child)
    elif isinstance(node, list) and any(_is_number(leaf) for leaf in _leaves(node)):
        yield path or UNNAMED, _stored(source, path or UNNAMED, node)


def _scaled(source: str, path: str, node: dict[str, Any]) -> Iterator[tuple[str, StoredArray]]:
    """Yield ``entries`` times 2**``exponent2``, under the name of ``entries`` too if that is the same."""
    exponent = node["exponent2"]
    for name, array in _arrays(source, f"{path}.entries" if path else "entries", node["entries"]):
        whole = path or UNNAMED
        load = partial(_times_power_of_two, array.load, exponent)
        scaled = StoredArray(source, whole, array.shape, array.dtype, load)
        yield whole, scaled
        if exponent == 0:
            yield name, scaled


def _stored(source: str, name: str, node: list[Any]) -> StoredArray:
    try:
        shape, leaves = _rectangle(node)
    except DataError as error:
        return StoredArray(source, name, (len(node),), "unreadable", partial(_refuse, error))
    dtype = "complex128" if any(map(_is_complex, leaves)) else "float64"
    return StoredArray(source, name, shape, dtype, partial(_grid, shape, leaves))


def _rectangle(node: list[Any]) -> tuple[tuple[int, ...], list[Any]]:
    """Return the shape of nested lists, and their leaves in C order."""
    shape: tuple[int, ...] = (len(node),)
    level = node
    while any(isinstance(item, list) for item in level):
        if len(shape) == MOST_DIMENSIONS:
            raise DataError(f"lists nested deeper than {MOST_DIMENSIONS}; expected rows of numbers")
        lengths = [len(item) if isinstance(item, list) else None for item in level]
        for index, length in enumerate(lengths):
            if length != lengths[0]:
                row, found, expected = _position(index, shape), _extent(length), _extent(lengths[0])
                raise DataError(f"row {row} is {found}, expected {expected} as the first is; fill it up")
        level = [entry for row in level for entry in row]
        shape = (*shape, lengths[0] or 0)
    return shape, level


def _grid(shape: tuple[int, ...], leaves: list[Any]) -> Numbers:
    """Return the leaves as an array, or refuse the first that is no number."""
    numbers: list[float | complex] = []
    for index, leaf in enumerate(leaves):
        if type(leaf) is float:
            numbers.append(leaf)
        elif _is_complex(leaf) and type(leaf["re"]) is type(leaf["im"]) is float:
            numbers.append(complex(leaf["re"], leaf["im"]))
        else:
            raise DataError(f"entry {_position(index, shape)}: {_reason(leaf)}")
    return np.array(numbers).reshape(shape)


def _reason(leaf: Any) -> str:
    """Return why a leaf is no number."""
    parts = [leaf["re"], leaf["im"]] if _is_complex(leaf) else [leaf]
    wrong = next(part for part in parts if type(part) is not float)
    return wrong if isinstance(wrong, _Refused) else f"{_told(wrong)} is not a number"


def _told(value: object) -> str:
    return "an object or list" if isinstance(value, dict | list) else shown(json.dumps(value))


def _extent(length: int | None) -> str:
    return "a single value" if length is None else f"a list of {length}"


def _position(index: int, shape: tuple[int, ...]) -> str:
    return f"{tuple(int(axis) for axis in np.unravel_index(index, shape))} (counted from 0)"


def _times_power_of_two(load: Any, exponent: object) -> Numbers:
    if not (isinstance(exponent, float) and exponent.is_integer()):
        raise DataError(f"exponent2 is {_told(exponent)}; expected a whole number")
    grid: Numbers = load()
    # no float64 but zero survives a shift by 10000
    shift = int(max(-10_000, min(exponent, 10_000)))
    parts = grid.view(np.float64)
    with np.errstate(all="ignore"):
        scaled = np.ldexp(parts, shift)
        exact = np.array_equal(np.ldexp(scaled, -shift), parts)
    if not exact:
        raise DataError(
            f"the entries times 2**{exponent:g} are beyond float64's range; "
            "there is no such matrix in float64, ask for a lower power"
        )
    return scaled.view(grid.dtype)


def _refuse(error: DataError) -> NDArray[Any]:
    raise error


def _leaves(node: list[Any]) -> Iterator[Any]:
    for item in node:
        if isinstance(item, list):
            yield from _leaves(item)
        else:
            yield item


def _is_number(leaf: object) -> bool:
    return isinstance(leaf, float | _Refused) or _is_complex(leaf)


def _is_complex(node: object) -> bool:
    return isinstance(node, dict) and node.keys() == {"re", "im"}
