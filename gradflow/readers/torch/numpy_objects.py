"""Arrays of numpy in a pickle: the calls that rebuild them, and the bytes of their entries."""

import math
import re
from typing import Any

import numpy as np

from gradflow.errors import DataError
from gradflow.readers.entry_types import ENTRY_TYPES
from gradflow.readers.source import MAX_DIMENSIONS
from gradflow.readers.torch.tensors import NumpyArray
from gradflow.readers.torch.unpickler import PickleGlobal, PickleObject

_RECONSTRUCTORS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_BUFFER_FUNCTIONS = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
_ARRAY_CLASSES = ("numpy.ndarray", "numpy.matrix", "numpy.matrixlib.defmatrix.matrix")
_TYPE_PATTERN = re.compile(r"[biufc]\d{1,2}")


def parse_numpy_array(node: object) -> NumpyArray | None:
    """Return the array of numbers that an object describes, or None if it describes none."""
    if not (isinstance(node, PickleObject) and isinstance(node.called, PickleGlobal)):
        return None
    if node.called.name in _RECONSTRUCTORS and node.states:
        match node.arguments, node.states[-1]:
            case (PickleGlobal(name=name), *_), (_, tuple(shape), kind, fortran, contents) if (
                name in _ARRAY_CLASSES
            ):
                return _make_array(shape, kind, fortran is True, contents)
    if node.called.name in _BUFFER_FUNCTIONS:
        match node.arguments:
            case (contents, kind, tuple(shape), order):
                return _make_array(shape, kind, order == "F", contents)
    return None


def _make_array(shape: tuple[Any, ...], kind: object, fortran: bool, contents: object) -> NumpyArray | None:
    dtype, found = _parse_dtype(kind), _get_contents(contents)
    if dtype is None or found is None:
        return None
    # Many objects can share a long shape.
    if len(shape) > MAX_DIMENSIONS or not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        return None
    if math.prod(size or 1 for size in shape) * dtype.itemsize >= 2**63:
        return None
    array = NumpyArray(shape, dtype.str, fortran, *found)
    return array if math.prod(shape) * dtype.itemsize == _count_contents(array) else None


def _count_contents(array: NumpyArray) -> int:
    """Return the number of bytes of an array, or -1 if its characters stand for no bytes."""
    if not isinstance(array.contents, str) or array.encoding == "latin-1":
        return len(array.contents)
    try:
        return len(array.contents.encode(array.encoding))
    except UnicodeEncodeError:
        return -1


def _parse_dtype(kind: object) -> np.dtype[Any] | None:
    """Return the type of numbers that an object describes, or None for another type."""
    if not (isinstance(kind, PickleObject) and isinstance(kind.called, PickleGlobal) and kind.states):
        return None
    match kind.called.name, kind.arguments, kind.states[-1]:
        case "numpy.dtype", (str(code), *_), (int(), "<" | ">" | "|" | "=" as order, None, *_):
            if _TYPE_PATTERN.fullmatch(code):
                try:
                    dtype = np.dtype(("<" if order in "|=" else order) + code)
                except TypeError:
                    return None
                return dtype if dtype.name in ENTRY_TYPES else None
    return None


def _get_contents(contents: object) -> tuple[memoryview | str, str] | None:
    """Return the bytes of an array, or characters and the encoding that makes bytes of them."""
    match contents:
        case memoryview() | str():
            # Python 2 wrote bytes and text alike. The text was made of the bytes by UTF-8.
            return contents, "utf-8"
        case PickleObject(called=PickleGlobal(name="_codecs.encode"), arguments=(str(text), "latin1")):
            return text, "latin-1"
        case PickleObject(called=PickleGlobal(name="builtins.bytes" | "__builtin__.bytes"), arguments=()):
            return memoryview(b""), "latin-1"
        case PickleObject(
            called=PickleGlobal(name="builtins.bytearray" | "__builtin__.bytearray"),
            arguments=(memoryview() as inner,),
        ):
            return inner, "latin-1"
    return None


def load_numpy_array(array: NumpyArray) -> np.ndarray[Any, Any]:
    """Return the entries.

    Raises
    ------
    DataError
        If the characters that stand for bytes are none.
    """
    contents = array.contents
    if isinstance(contents, str):
        try:
            contents = memoryview(contents.encode(array.encoding))
        except UnicodeEncodeError as error:
            raise DataError("its pickle writes bytes as characters that stand for no byte") from error
    dtype = np.dtype(array.dtype)
    return np.ndarray(array.shape, dtype, contents, order="F" if array.fortran_order else "C")
