"""Weights as the layouts read and write them: shapes checked, gates reordered."""

from collections.abc import Sequence

import numpy as np

from gradflow.cells.base import Array
from gradflow.errors import DataError
from gradflow.layouts.network import MisfitError, describe_shapes
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import StoredArray

# The number of gates stacked in a recurrent matrix → the cell, and the order in which it stacks its gates.
MAX_WEIGHT = 1e300  # beyond, a sum of two products leaves the range of a double
CELLS_BY_GATE_COUNT = {1: "rnn", 3: "gru", 4: "lstm"}
GATES_OF_CELLS = {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}


def read_weights(array: StoredArray, shape: tuple[int, ...]) -> Array:
    """Return the numbers of an array, which must have exactly this shape.

    Raises
    ------
    MisfitError
        If it has another shape.
    DataError
        If its entries are complex, not finite, or over `MAX_WEIGHT`.
    """
    if array.shape != shape:
        raise MisfitError(f"{quote(array.name)} has shape {array.shape}; expected {shape}")
    numbers = array.read_numbers(dimensions=(len(shape),))
    if np.iscomplexobj(numbers):
        raise DataError(f"{quote(array.name)} is complex; expected real weights")
    largest = float(np.abs(numbers).max(initial=0.0))
    if largest > MAX_WEIGHT:
        raise DataError(
            f"{quote(array.name)} holds {largest:.3g}; expected weights of at most {MAX_WEIGHT:.0e} in "
            "modulus, whose sums stay in the range of a double"
        )
    return numbers


def read_bias(array: StoredArray | None, shape: tuple[int, ...]) -> Array:
    """Return the numbers of a bias, or zeros if the layer has no bias."""
    return np.zeros(shape) if array is None else read_weights(array, shape)


def get_matrix_shape(array: StoredArray) -> tuple[int, int]:
    """Return the rows and columns of an array, which must be a matrix."""
    if len(array.shape) != 2:
        raise MisfitError(f"{quote(array.name)} has shape {array.shape}; expected 2 dimensions")
    return array.shape[0], array.shape[1]


def identify_cell(blocks: int, size: int, arrays: Sequence[StoredArray]) -> str:
    """Return the name of the cell whose gates, of ``size`` units each, have ``blocks`` rows in total.

    Raises
    ------
    MisfitError
        If no cell has so many.
    """
    gates, rest = divmod(blocks, size) if size else (0, 0)
    if rest or gates not in CELLS_BY_GATE_COUNT:
        raise MisfitError(
            f"{describe_shapes(arrays)}: expected 1, 3 or 4 gates (rnn, gru, lstm) of {size} units, "
            f"not {blocks} rows"
        )
    return CELLS_BY_GATE_COUNT[gates]


def reorder_gates(stacked: Array, stored_order: str, gate_order: str) -> Array:
    """Return rows that are stacked gate by gate, with the gates in another order.

    Examples
    --------
    >>> reorder_gates(np.array([1.0, 2.0, 3.0, 4.0]), "iofg", "ifgo")
    array([1., 3., 4., 2.])
    """
    if stored_order == gate_order:
        return stacked
    blocks = dict(zip(stored_order, np.split(stacked, len(stored_order)), strict=True))
    return np.concatenate([blocks[gate] for gate in gate_order])
