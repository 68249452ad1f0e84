"""Equinox without names: cells are found by the shapes of arrays that follow one another.

An LSTMCell has ``weight_ih`` (4H, I), ``weight_hh`` (4H, H) and ``bias`` (4H). A GRUCell has ``weight_ih``
(3H, I), ``weight_hh`` (3H, H), ``bias`` (3H) and ``bias_n`` (H). ``tree_serialise_leaves`` writes them in
this order. A cell without bias cannot be told from other matrices.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from gradflow.layouts.assumptions import Assumptions
from gradflow.layouts.equinox import build_levels
from gradflow.layouts.names import NamedArrays
from gradflow.layouts.network import NetworkClaim
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import StoredArray

_FIELD_NAMES = ("weight_ih", "weight_hh", "bias", "bias_n")


def find_networks(arrays: NamedArrays, assumptions: Assumptions) -> Iterator[NetworkClaim]:  # noqa: ARG001 - nothing is left open
    """Yield a network for every run of arrays with the shapes of a cell, named after the first of them."""
    listed = list(arrays.values())
    place = 0
    while place < len(listed):
        count = _count_fields(listed[place:])
        if count:
            run = listed[place : place + count]
            members = dict(zip(_FIELD_NAMES, run, strict=False))
            remark = (
                f"{quote(run[0].name)} to {quote(run[-1].name)} have no names and are taken, by their "
                f"shapes and order, for {', '.join(members)}; arrays after those of the model may be the "
                "moments of an optimizer, which have the same shapes"
            )
            names = frozenset(array.name for array in run)
            yield NetworkClaim(run[0].name, names, partial(build_levels, members), (remark,))
        place += count or 1


def _count_fields(arrays: Sequence[StoredArray]) -> int:
    """Return how many of the first arrays form a cell: 3 an LSTM, 4 a GRU, 0 none."""
    shapes = [array.shape for array in arrays[:4]]
    if len(shapes) < 3 or [len(shape) for shape in shapes[:3]] != [2, 2, 1]:
        return 0
    (rows, _), (recurrent_rows, size), biases = shapes[:3]
    if not size or rows != recurrent_rows or biases != (rows,):
        return 0
    if rows == 4 * size:
        return 3
    return 4 if rows == 3 * size and shapes[3:] == [(size,)] else 0
