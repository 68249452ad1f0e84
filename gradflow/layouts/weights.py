"""What the layouts share: arrays read against the shape that they must have, gates put into order."""

from collections.abc import Sequence

import numpy as np

from gradflow.cells.base import Array
from gradflow.errors import DataError
from gradflow.layouts.network import MisfitError, shapes
from gradflow.readers.messages import shown
from gradflow.readers.stored import StoredArray

# How many blocks the rows of a recurrent matrix have → the cell; the gates as its rows are stacked there.
CELLS = {1: "rnn", 3: "gru", 4: "lstm"}
GATES = {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}


def taken(array: StoredArray, shape: tuple[int, ...]) -> Array:
    """Return the numbers of an array of that very shape.

    Raises
    ------
    MisfitError
        If it has another.
    DataError
        If its entries are complex, or not finite.
    """
    if array.shape != shape:
        raise MisfitError(f"{shown(array.name)} has shape {array.shape}; expected {shape}")
    numbers = array.numbers(dimensions=(len(shape),))
    if np.iscomplexobj(numbers):
        raise DataError(f"{shown(array.name)} is complex; expected real weights")
    return numbers


def taken_or_zeros(array: StoredArray | None, shape: tuple[int, ...]) -> Array:
    """Return the numbers of a bias, or zeros where the layer has none."""
    return np.zeros(shape) if array is None else taken(array, shape)


def two(array: StoredArray) -> tuple[int, int]:
    """Return rows and columns of what has to be a matrix."""
    if len(array.shape) != 2:
        raise MisfitError(f"{shown(array.name)} has shape {array.shape}; expected 2 dimensions")
    return array.shape[0], array.shape[1]


def kind_of(blocks: int, size: int, arrays: Sequence[StoredArray]) -> str:
    """Return the cell whose gates of ``size`` make ``blocks`` rows (or columns).

    Raises
    ------
    MisfitError
        If there is none.
    """
    gates, rest = divmod(blocks, size) if size else (0, 0)
    if rest or gates not in CELLS:
        raise MisfitError(
            f"{shapes(arrays)}: expected 1, 3 or 4 gates (rnn, gru, lstm) of {size} units, not {blocks} rows"
        )
    return CELLS[gates]


def ordered(stacked: Array, given: str, wanted: str) -> Array:
    """Return rows stacked gate by gate in another order of the gates.

    Examples
    --------
    >>> ordered(np.array([1.0, 2.0, 3.0, 4.0]), "iofg", "ifgo")
    array([1., 3., 4., 2.])
    """
    if given == wanted:
        return stacked
    blocks = dict(zip(given, np.split(stacked, len(given)), strict=True))
    return np.concatenate([blocks[gate] for gate in wanted])
