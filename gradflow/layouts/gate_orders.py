"""The order of gates under Keras' names in a file that Keras did not write.

Other programs use the names kernel and recurrent_kernel, too: the LSTM of haste, a library of fused kernels
for torch, stacks its gates in the order i, g, f, o, and Keras in the order i, f, g, o.
"""

from collections.abc import Collection
from dataclasses import replace

from gradflow.cells.base import Cell
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.errors import UsageError
from gradflow.layouts.assumptions import Assumptions
from gradflow.layouts.network import Levels, NetworkLayer
from gradflow.layouts.weights import GATES_OF_CELLS, reorder_gates
from gradflow.readers.messages import quote

GATE_ORDER_OPTION = "gate_order"
# What a reader of Keras' files adds to arrays.
_KERAS_METADATA = {"config", "keras_version", "named"}
# Keras' order of gates, as the layout of Keras has read them; and all that can be said instead. The last gate
# of a GRU has a bias of its own, and so stays the last.
_KERAS_ORDERS = {"lstm": "ifgo", "gru": "zrn"}
_GRU_ORDERS = ("zrn", "rzn")


def states_gate_order(levels: Levels) -> bool:
    """Return whether the arrays are from a file of Keras, by their metadata or by slashes in their names."""
    arrays = [array for level in levels for layer in level for array in layer.stored]
    return any("/" in array.name or _KERAS_METADATA & set(array.metadata) for array in arrays)


def assume_gate_order(levels: Levels, path: str, assumptions: Assumptions) -> tuple[Levels, list[str]]:
    """Return the layers with the user's order of gates, or with Keras' and a remark that it is assumed.

    Raises
    ------
    UsageError
        If the user's order is no order of the gates.
    """
    remarks: list[str] = []
    ordered = tuple(
        tuple(_order_layer(layer, path, assumptions, remarks) for layer in level) for level in levels
    )
    return ordered, remarks


def _order_layer(
    layer: NetworkLayer, path: str, assumptions: Assumptions, remarks: list[str]
) -> NetworkLayer:
    if layer.kind not in _KERAS_ORDERS:
        return layer
    default = _KERAS_ORDERS[layer.kind]
    given = _choose_order(layer.kind, assumptions)
    if given is not None:
        return replace(layer, cell=_reorder_cell(layer, given))
    listed, haste = ", ".join(default), "i, g, f, o" if layer.kind == "lstm" else "z, r, n"
    remarks.append(
        f"the gate order of {quote(path) if path else 'the network at the root'} is assumed to be that of "
        f"Keras, {listed}, because the names are those of Keras, but the file is not; haste has {haste} "
        f"(`assume` {GATE_ORDER_OPTION} changes it)"
    )
    return replace(layer, assumed=(*layer.assumed, f"{GATE_ORDER_OPTION}={default}"))


def _choose_order(kind: str, assumptions: Assumptions) -> str | None:
    """Return the user's order of the gates of a kind of cell, or None if the user gives none for it."""
    assumptions.left_open.add(GATE_ORDER_OPTION)
    given = assumptions.given.get(GATE_ORDER_OPTION)
    if given is None:
        return None
    if sorted(given) != sorted(_KERAS_ORDERS["lstm"]) and given not in _GRU_ORDERS:
        raise UsageError(
            f"{GATE_ORDER_OPTION}={given}: expected an order of i, f, g, o for an lstm, as in igfo, or "
            f"{' or '.join(_GRU_ORDERS)} for a gru"
        )
    return given if sorted(given) == sorted(_KERAS_ORDERS[kind]) else None


def check_gate_order(kinds: Collection[str], assumptions: Assumptions) -> None:
    """Refuse an order of gates that no layer of the ``kinds`` has.

    Raises
    ------
    UsageError
        The message has the gates of these kinds.
    """
    given = assumptions.given.get(GATE_ORDER_OPTION)
    ordered = [kind for kind in kinds if kind in _KERAS_ORDERS]
    if given and ordered and all(sorted(given) != sorted(_KERAS_ORDERS[kind]) for kind in ordered):
        listed = " or ".join(f"{', '.join(_KERAS_ORDERS[kind])} of an {kind}" for kind in sorted(ordered))
        raise UsageError(f"{GATE_ORDER_OPTION}={given}: expected an order of the gates in the file, {listed}")


def _reorder_cell(layer: NetworkLayer, given: str) -> Cell:
    """Return a cell whose gates the file has in the order ``given`` instead of Keras'."""
    cell, wanted = layer.cell, GATES_OF_CELLS[layer.kind]
    assert isinstance(cell, LSTM | GRU)
    weight_ih, weight_hh, bias = (
        reorder_gates(reorder_gates(rows, wanted, _KERAS_ORDERS[layer.kind]), given, wanted)
        for rows in (cell.weight_ih, cell.weight_hh, cell.bias)
    )
    return replace(cell, weight_ih=weight_ih, weight_hh=weight_hh, bias=bias)
