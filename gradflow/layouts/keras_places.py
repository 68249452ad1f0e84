"""The places of recurrent layers in a Keras file: paths of groups, attributes and the model's configuration.

.h5:         ``[model_weights/]{layer}/[{model}/]{layer}/[{cell}/]kernel[:0]``
.weights.h5: ``layers/{class}/cell/vars/0``; the layer's own name is an attribute of ``layers/{class}/vars``
.keras:      the same, with the configuration beside it

Directions are named ``forward_*`` and ``backward_*``. The cells of a StackedRNNCells are in one group.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gradflow.layouts.names import NamedArrays, group_by_path, split_path
from gradflow.layouts.network import MisfitError
from gradflow.layouts.weights import get_matrix_shape

_VARIABLE_NAMES = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}
_KERAS_CELL_PATTERN = re.compile(r"(?:lstm|gru|simple_rnn)_cell(?:_\d+)?")
_STACK_PATTERN = re.compile(r"stacked_rnn_cells(?:_\d+)?")
_DIRECTION_PATTERN = re.compile(r"(forward|backward)_.+")
_MODEL_GROUP = "model_weights"
# A message lists at most this many possible orders of stacked cells.
MAX_LISTED_ORDERS = 4


@dataclass(frozen=True)
class KerasPlace:
    """The arrays of one cell, and what the file says about it.

    Attributes
    ----------
    path : str
        The path of the layer.
    arrays : mapping of str to StoredArray
        ``kernel``, ``recurrent_kernel`` and perhaps ``bias``.
    cell : str
        The name of the cell.
    way : str
        ``forward`` or ``backward`` inside a Bidirectional, else empty.
    stacked : bool
        Whether the cell is one of a StackedRNNCells.
    backward : bool
        Whether the cell reads its inputs from the last to the first.
    level : int
        The level of the cell in its layer.
    config : mapping
        The configuration of the cell and its layer; empty if the file has none.
    fixed : bool
        Whether the activations are those of cuDNN.
    version : str
        The version of Keras.
    order : tuple of str
        The names of the cells of a stack, in order.
    kind : str
        The class that the configuration names.
    """

    path: str
    arrays: NamedArrays
    cell: str = ""
    way: str = ""
    stacked: bool = False
    backward: bool = False
    level: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    fixed: bool = False
    version: str = ""
    order: tuple[str, ...] = ()
    kind: str = ""


def find_places(arrays: NamedArrays) -> dict[str, list[KerasPlace]]:
    """Return the cells of every recurrent layer by the path of the layer, in the order of the file."""
    places: dict[str, list[KerasPlace]] = {}
    configs = _index_configurations(arrays)
    for place in (_configure_place(place, configs) for place in _list_places(arrays)):
        places.setdefault(place.path, []).append(place)
    return places


def _list_places(arrays: NamedArrays) -> Iterator[KerasPlace]:
    for path, members in group_by_path(arrays, "kernel|recurrent_kernel|bias").items():
        if {"kernel", "recurrent_kernel"} <= set(members):
            yield _place_by_name(path, members)
    for path, leaves in group_by_path(arrays, r"vars[./][012]").items():
        members = {_VARIABLE_NAMES[key[-1]]: array for key, array in leaves.items()}
        elements = split_path(path)
        if "kernel" in members and "recurrent_kernel" in members and {"cell", "cells"} & set(elements[-2:]):
            yield _place_by_variables(elements, members)


def _place_by_name(path: str, arrays: NamedArrays) -> KerasPlace:
    elements = split_path(path)
    if elements[:1] == [_MODEL_GROUP]:
        elements = elements[1:]
    if elements and elements[0] in elements[1:]:
        # The layer's own group, then the names of its arrays, which may start with the model.
        elements = elements[elements.index(elements[0], 1) :]
    elements, cell = _split_off_last(elements, _KERAS_CELL_PATTERN)
    elements, stack = _split_off_last(elements, _STACK_PATTERN)
    elements, direction = _split_off_last(elements, _DIRECTION_PATTERN)
    return KerasPlace("/".join(elements), arrays, cell, direction.partition("_")[0], bool(stack))


def _split_off_last(elements: list[str], pattern: re.Pattern[str]) -> tuple[list[str], str]:
    """Return the elements without the last one, and the last one, if it matches and is not the only one."""
    if len(elements) > 1 and pattern.fullmatch(elements[-1]):
        return elements[:-1], elements[-1]
    return elements, ""


def _place_by_variables(elements: list[str], arrays: NamedArrays) -> KerasPlace:
    names = next(iter(arrays.values())).metadata.get("named", {})
    own = str(names.get("/".join([*elements, "vars"]), elements[-1]))
    stacked = elements[-2:-1] == ["cells"]
    layer = elements[: -3 if stacked else -1]  # .../cell/cells/lstm_cell, or .../cell
    layer, direction = _split_off_last(layer, re.compile("(?:forward|backward)_layer"))
    # Each element gets the name that the user gave it.
    path = [
        str(names.get("/".join([*layer[: k + 1], "vars"]), element))
        for k, element in enumerate(layer)
        if element != "layers"
    ]
    return KerasPlace("/".join(path), arrays, own, direction.partition("_")[0], stacked)


def assign_levels(several: list[KerasPlace]) -> list[KerasPlace]:
    """Return the cells of a layer, forward before backward, each cell of a stack on its own level.

    Raises
    ------
    MisfitError
        If the cells of a stack could follow each other in several orders, or two cells have the same place.
    """
    several = sorted(several, key=lambda place: place.backward)
    if not any(place.stacked for place in several):
        if len({place.backward for place in several}) < len(several):
            raise MisfitError(f"layer {several[0].path!r} occurs twice; expected each name once")
        return several
    names = [place.cell for place in several]
    listed = list(several[0].order)
    if sorted(listed) == sorted(names) and len(set(names)) == len(names):
        return [replace(place, level=listed.index(place.cell)) for place in several]
    order = _order_cells(several)
    return [replace(place, level=order.index(k)) for k, place in enumerate(several)]


def _order_cells(several: list[KerasPlace]) -> list[int]:
    """Return the indices of the cells in the only order in which their input and output sizes fit."""
    sizes = [
        (get_matrix_shape(place.arrays["kernel"])[0], get_matrix_shape(place.arrays["recurrent_kernel"])[0])
        for place in several
    ]
    orders = [[k] for k in range(len(sizes))]
    for _ in range(len(sizes) - 1):
        orders = [
            [*order, k]
            for order in orders
            for k, (inputs, _) in enumerate(sizes)
            if k not in order and inputs == sizes[order[-1]][1]
        ][:MAX_LISTED_ORDERS]
    if len(orders) != 1:
        readings = " or ".join(", ".join(several[k].cell for k in order) for order in orders)
        raise MisfitError(
            f"the cells of layer {several[0].path!r} fit together in the orders: {readings or 'none'}; "
            "expected exactly one order, save the whole model as .keras, which states it"
        )
    return orders[0]


def _configure_place(place: KerasPlace, configs: Mapping[str, Mapping[str, Any]]) -> KerasPlace:
    """Return the cell together with what the configuration of the model says about it."""
    metadata = next(iter(place.arrays.values())).metadata
    layer = _find_configuration(place.path, configs)
    wrapper = layer.get("class_name") == "Bidirectional"
    backward = place.way == "backward"
    if wrapper:
        # If the wrapped layer itself goes backwards, the half named backward goes forwards.
        backward ^= _get_mapping(layer, "config", "layer", "config").get("go_backwards") is True
        inner = _get_mapping(layer, "config", "backward_layer" if place.way == "backward" else "layer")
        layer = inner or _get_mapping(layer, "config", "layer")
    config = dict(_get_mapping(layer, "config"))
    stack = _list_stack(layer)
    cell = stack.get(place.cell) or _get_mapping(config, "cell")  # Inside a keras.layers.RNN.
    config |= _get_mapping(cell, "config")
    kind = str(cell.get("class_name") or layer.get("class_name") or "")
    return replace(
        place,
        # One whole stack for each direction makes two networks that do not feed each other.
        path=f"{place.path}/{place.way}" if place.stacked and place.way else place.path,
        config=config,
        order=tuple(stack),
        backward=backward if wrapper else backward or config.get("go_backwards") is True,
        kind=kind,
        fixed=kind.startswith("CuDNN") or ("activation" not in config and _is_cudnn(place.arrays)),
        version=str(metadata.get("keras_version") or ""),
    )


def _find_configuration(path: str, configs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the configuration of the layer at ``path`` inside the model, else the only one that fits."""
    exact = [
        config
        for known_path, config in configs.items()
        if known_path.partition("/")[2] == path or known_path == path
    ]
    if exact:
        return exact[0]
    for end in (path, path.rpartition("/")[2]):
        fitting = [config for known_path, config in configs.items() if f"/{known_path}".endswith(f"/{end}")]
        if len(fitting) == 1:
            return fitting[0]
    return {}


def _get_mapping(value: Any, *keys: str) -> Mapping[str, Any]:
    """Return the mapping under nested keys, or an empty one if there is no mapping."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _is_cudnn(arrays: NamedArrays) -> bool:
    bias = arrays.get("bias")
    columns = arrays["recurrent_kernel"].shape[-1:]
    return bias is not None and bool(columns) and bias.shape == (2 * columns[0],)


def _list_stack(layer: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the configurations of the cells of a StackedRNNCells by name; empty for another layer."""
    cells = _get_mapping(layer, "config", "cell", "config").get("cells")
    listed = [cell for cell in cells if isinstance(cell, Mapping)] if isinstance(cells, list) else []
    return {str(_get_mapping(cell, "config").get("name")): cell for cell in listed}


def _index_configurations(arrays: NamedArrays) -> dict[str, Mapping[str, Any]]:
    """Return the configuration of every layer by its path through the models that contain it."""
    config = next(
        (array.metadata["config"] for array in arrays.values() if array.metadata.get("config")), None
    )
    configurations: dict[str, Mapping[str, Any]] = {}
    pending: list[tuple[str, Any]] = [("", config)]
    while pending:
        path, node = pending.pop()
        if isinstance(node, Mapping):
            inside = node.get("config")
            if "class_name" in node and isinstance(inside, Mapping) and isinstance(inside.get("name"), str):
                path = f"{path}/{inside['name']}".strip("/")
                configurations[path] = node
            pending += [(path, value) for value in node.values()]
        elif isinstance(node, list):
            pending += [(path, value) for value in node]
    return configurations
