"""JSON: rows of numbers, one row per line, or an object that holds such arrays at any depth.

gradflow's own results can be read back: ``matrices.power`` is the matrix ``entries`` times 2**``exponent2``.
A list of layers of Keras, as RTNeural writes it, gets the names of Keras (`gradflow.readers.keras_json`).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import DataError
from gradflow.readers.contents import FileContents
from gradflow.readers.decoding import decode_beginning, decode_text
from gradflow.readers.keras_json import build_configuration, is_layer_list, list_named_weights
from gradflow.readers.messages import quote
from gradflow.readers.numerals import parse_real
from gradflow.readers.source import MAX_DIMENSIONS, Source
from gradflow.readers.stored_array import UNNAMED_ARRAY, NumberArray, StoredArray

# Weights that are at least a matrix: other lists of numbers are found in every kind of JSON.
_WEIGHTS_PATTERN = re.compile(r'"[^"]*(?:weight|kernel)[^"]*"\s*:\s*\[\s*\[')


# The members of what Keras's ``model.to_json()`` returns.
_KERAS_MODEL_MEMBERS = {
    *("class_name", "config", "keras_version", "backend", "module", "registered_name", "build_config"),
    "compile_config",
}


class _RefusedNumber(str):
    """The reason why a number is refused; an error is raised, with a position, only if the number is used."""


def recognizes(source: Source) -> bool:
    """Return whether ``source`` is text that starts with a bracket or a brace."""
    return (decode_beginning(source.head) or "").lstrip()[:1] in ("[", "{")


def has_weights(source: Source) -> bool:
    """Return whether ``source`` is JSON that begins with named weights, as in ``"weight": [[0.5``."""
    return recognizes(source) and bool(_WEIGHTS_PATTERN.search(decode_beginning(source.head) or ""))


def read(source: Source) -> FileContents:
    """Return the numeric arrays of a JSON document by their dotted paths.

    Raises
    ------
    DataError
        If the text is not JSON, has two arrays of one path, or is nested too deep.
    """
    arrays: dict[str, StoredArray] = {}
    try:
        document = _parse_document(decode_text(source))
        if is_layer_list(document):
            return FileContents(_read_layers(source.name, document))
        _refuse_description(document)
        for name, array in _find_arrays(source.name, "", document):
            if name in arrays:
                raise DataError(f"holds two arrays named {quote(name)}; expected each name once")
            arrays[name] = array
    except RecursionError as error:
        raise DataError("nested too deep; expected rows of numbers, such as [[1, 2], [3, 4]]") from error
    return FileContents(arrays)


def collect_unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object; the ``object_pairs_hook`` of ``json``.

    Raises
    ------
    ValueError
        If a name occurs twice; ``json`` itself would silently keep the last.
    """
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"two members named {quote(name)}")
        members[name] = value
    return members


def _parse_json_number(token: str) -> float | _RefusedNumber:
    try:
        return parse_real(token)
    except DataError as error:
        return _RefusedNumber(error)


_JSON_DECODER = json.JSONDecoder(
    object_pairs_hook=collect_unique_members,
    parse_float=_parse_json_number,
    parse_int=_parse_json_number,
    parse_constant=_parse_json_number,
)


# The start of the next value, or the end of the text.
_VALUE_START = re.compile(r"\S|\Z")


def _parse_document(text: str) -> Any:
    """Return the JSON value; the list of values if there are several, one per line."""
    values: list[Any] = []
    position = next(_VALUE_START.finditer(text)).start()
    try:
        while position < len(text):
            value, end = _JSON_DECODER.raw_decode(text, position)
            values.append(value)
            position = next(_VALUE_START.finditer(text, end)).start()
            if position < len(text) and not (isinstance(value, list) and "\n" in text[end:position]):
                raise json.JSONDecodeError("more than one value, but not one row per line", text, position)
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
    """Return whether a document is a single row. As in text, such a document is a matrix."""
    return isinstance(value, list) and all(_is_number(entry) or _is_complex(entry) for entry in value)


def _find_arrays(source: str, path: str, node: Any) -> Iterator[tuple[str, StoredArray]]:
    """Yield the name and the array of every numeric array at or below ``node``."""
    if _is_complex(node):
        if not path:
            yield (
                UNNAMED_ARRAY,
                StoredArray(
                    source, UNNAMED_ARRAY, (1, 1), "complex128", partial(_build_array, (1, 1), [node])
                ),
            )
    elif isinstance(node, dict) and isinstance(node.get("entries"), list) and "exponent2" in node:
        yield from _find_scaled_arrays(source, path, node)
    elif isinstance(node, dict):
        for name, child in node.items():
            yield from _find_arrays(source, f"{path}.{name}" if path else name, child)
    elif isinstance(node, list) and any(_is_number(leaf) for leaf in _walk_leaves(node)):
        yield path or UNNAMED_ARRAY, _describe_array(source, path or UNNAMED_ARRAY, node)


def _refuse_description(document: Any) -> None:
    """Refuse the description of a model whose weights are in other files.

    Raises
    ------
    DataError
        The message says which file to name.
    """
    if not isinstance(document, dict):
        return
    if "weightsManifest" in document:
        raise DataError(
            "is a model of TensorFlow.js, whose weights are in other files, which are not read; name the "
            "model from which it was converted"
        )
    if {"class_name", "config"} <= document.keys() <= _KERAS_MODEL_MEMBERS:
        raise DataError(
            "is the architecture of a Keras model without its weights; name the .weights.h5, .h5 or .keras"
        )


def _read_layers(source: str, document: Any) -> dict[str, StoredArray]:
    """Return the arrays of a list of layers under the names of Keras."""
    named = list_named_weights(document)
    metadata = {"named": {}, "config": build_configuration(document), "keras_version": None}
    return {
        name: replace(_describe_array(source, name, node), metadata=metadata) for name, node in named.items()
    }


def _find_scaled_arrays(source: str, path: str, node: dict[str, Any]) -> Iterator[tuple[str, StoredArray]]:
    """Yield ``entries`` times 2**``exponent2``; if the exponent is 0, also under the path of ``entries``."""
    exponent = node["exponent2"]
    for name, array in _find_arrays(source, f"{path}.entries" if path else "entries", node["entries"]):
        whole = path or UNNAMED_ARRAY
        load = partial(_multiply_by_power_of_two, array.load, exponent)
        scaled = StoredArray(source, whole, array.shape, array.dtype, load)
        yield whole, scaled
        if exponent == 0:
            yield name, scaled


def _describe_array(source: str, name: str, node: list[Any]) -> StoredArray:
    try:
        shape, leaves = _measure_rectangle(node)
    except DataError as error:
        return StoredArray(source, name, (len(node),), "unreadable", partial(_raise_error, error))
    dtype = "complex128" if any(map(_is_complex, leaves)) else "float64"
    return StoredArray(source, name, shape, dtype, partial(_build_array, shape, leaves))


def _measure_rectangle(node: list[Any]) -> tuple[tuple[int, ...], list[Any]]:
    """Return the shape of nested lists, and their leaves in C order."""
    shape: tuple[int, ...] = (len(node),)
    level = node
    while any(isinstance(item, list) for item in level):
        if len(shape) == MAX_DIMENSIONS:
            raise DataError(f"lists nested deeper than {MAX_DIMENSIONS}; expected rows of numbers")
        lengths = [len(item) if isinstance(item, list) else None for item in level]
        for index, length in enumerate(lengths):
            if length != lengths[0]:
                row, actual, expected = (
                    _format_position(index, shape),
                    _describe_length(length),
                    _describe_length(lengths[0]),
                )
                raise DataError(f"row {row} is {actual}, expected {expected} as the first is; fill it up")
        level = [entry for row in level for entry in row]
        shape = (*shape, lengths[0] or 0)
    return shape, level


def _build_array(shape: tuple[int, ...], leaves: list[Any]) -> NumberArray:
    """Return the leaves as an array, or refuse the first leaf that is not a number."""
    numbers: list[float | complex] = []
    for index, leaf in enumerate(leaves):
        if type(leaf) is float:
            numbers.append(leaf)
        elif _is_complex(leaf) and type(leaf["re"]) is type(leaf["im"]) is float:
            numbers.append(complex(leaf["re"], leaf["im"]))
        else:
            raise DataError(f"entry {_format_position(index, shape)}: {_explain_leaf(leaf)}")
    return np.array(numbers).reshape(shape)


def _explain_leaf(leaf: Any) -> str:
    """Return why a leaf is not a number."""
    parts = [leaf["re"], leaf["im"]] if _is_complex(leaf) else [leaf]
    wrong = next(part for part in parts if type(part) is not float)
    return wrong if isinstance(wrong, _RefusedNumber) else f"{_describe_value(wrong)} is not a number"


def _describe_value(value: object) -> str:
    return "an object or list" if isinstance(value, dict | list) else quote(json.dumps(value))


def _describe_length(length: int | None) -> str:
    return "a single value" if length is None else f"a list of {length}"


def _format_position(index: int, shape: tuple[int, ...]) -> str:
    return f"{tuple(int(axis) for axis in np.unravel_index(index, shape))} (counted from 0)"


def _multiply_by_power_of_two(load: Any, exponent: object) -> NumberArray:
    if not (isinstance(exponent, float) and exponent.is_integer()):
        raise DataError(f"exponent2 is {_describe_value(exponent)}; expected a whole number")
    grid: NumberArray = load()
    # A shift by 10000 makes every float64 but zero infinite or zero.
    shift = int(max(-10_000, min(exponent, 10_000)))
    parts = grid.view(np.float64)
    with np.errstate(all="ignore"):
        scaled = np.ldexp(parts, shift)
        exact = np.array_equal(np.ldexp(scaled, -shift), parts)
    if not exact:
        raise DataError(
            f"the entries times 2**{exponent:g} are beyond float64's range; "
            "float64 cannot hold this matrix, compute a lower power"
        )
    return scaled.view(grid.dtype)


def _raise_error(error: DataError) -> NDArray[Any]:
    raise error


def _walk_leaves(node: list[Any]) -> Iterator[Any]:
    for item in node:
        if isinstance(item, list):
            yield from _walk_leaves(item)
        else:
            yield item


def _is_number(leaf: object) -> bool:
    return isinstance(leaf, float | _RefusedNumber) or _is_complex(leaf)


def _is_complex(node: object) -> bool:
    return isinstance(node, dict) and node.keys() == {"re", "im"}
