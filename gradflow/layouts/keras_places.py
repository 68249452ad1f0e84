"""Where a Keras file has its recurrent layers: paths of groups, attributes and the model's configuration.

.h5:         ``[model_weights/]{layer}/[{model}/]{layer}/[{cell}/]kernel[:0]``
.weights.h5: ``layers/{class}/cell/vars/0``; the layer's own name is an attribute of ``layers/{class}/vars``
.keras:      the same, with the configuration beside it

Directions are ``forward_*`` and ``backward_*``; cells of a StackedRNNCells stand beside one another.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gradflow.layouts.names import grouped, parts
from gradflow.layouts.network import MisfitError
from gradflow.readers.stored import StoredArray

Arrays = Mapping[str, StoredArray]
_VARIABLES = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}
_CELL = re.compile(r"(?:lstm|gru|simple_rnn)_cell(?:_\d+)?")
_STACK = re.compile(r"stacked_rnn_cells(?:_\d+)?")
_DIRECTION = re.compile(r"(forward|backward)_.+")
_MODEL = "model_weights"
MOST_ORDERS = 4  # that are listed, where cells could follow each other in several


@dataclass(frozen=True)
class Place:
    """The arrays of one cell, and what is said about it.

    ``way`` is forward or backward in a Bidirectional; ``config`` is that of the cell (and its layer), empty
    where the file has none; ``fixed`` says that its activations are cuDNN's; ``version`` is that of Keras;
    ``order`` has the cells of a stack by name; ``kind`` is the class that the configuration names.
    """

    path: str
    arrays: Arrays
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


def places(arrays: Arrays) -> dict[str, list[Place]]:
    """Return the cells of every recurrent layer by the layer's path, as they stand in the file."""
    found: dict[str, list[Place]] = {}
    configs = _configurations(arrays)
    for place in (_configured(place, configs) for place in _all(arrays)):
        found.setdefault(place.path, []).append(place)
    return found


def _all(arrays: Arrays) -> Iterator[Place]:
    for path, members in grouped(arrays, "kernel|recurrent_kernel|bias").items():
        if {"kernel", "recurrent_kernel"} <= set(members):
            yield _by_name(path, members)
    for path, found in grouped(arrays, r"vars[./][012]").items():
        members = {_VARIABLES[key[-1]]: array for key, array in found.items()}
        elements = parts(path)
        if "kernel" in members and "recurrent_kernel" in members and {"cell", "cells"} & set(elements[-2:]):
            yield _by_variables(elements, members)


def _by_name(path: str, arrays: Arrays) -> Place:
    elements = parts(path)
    if elements[:1] == [_MODEL]:
        elements = elements[1:]
    if elements and elements[0] in elements[1:]:
        # the layer, and then the names of its arrays, which may begin with the model
        elements = elements[elements.index(elements[0], 1) :]
    elements, cell = _without(elements, _CELL)
    elements, stack = _without(elements, _STACK)
    elements, direction = _without(elements, _DIRECTION)
    return Place("/".join(elements), arrays, cell, direction.partition("_")[0], bool(stack))


def _without(elements: list[str], pattern: re.Pattern[str]) -> tuple[list[str], str]:
    """Return the elements without the last one, if it is what is looked for and not all there is."""
    if len(elements) > 1 and pattern.fullmatch(elements[-1]):
        return elements[:-1], elements[-1]
    return elements, ""


def _by_variables(elements: list[str], arrays: Arrays) -> Place:
    names = next(iter(arrays.values())).about.get("named", {})
    own = str(names.get("/".join([*elements, "vars"]), elements[-1]))
    stacked = elements[-2:-1] == ["cells"]
    layer = elements[: -3 if stacked else -1]  # .../cell/cells/lstm_cell, or .../cell
    layer, direction = _without(layer, re.compile("(?:forward|backward)_layer"))
    # each element by the name that a person gave it
    path = [
        str(names.get("/".join([*layer[: k + 1], "vars"]), element))
        for k, element in enumerate(layer)
        if element != "layers"
    ]
    return Place("/".join(path), arrays, own, direction.partition("_")[0], stacked)


def leveled(several: list[Place]) -> list[Place]:
    """Return the cells of a layer, forward before backward, each cell of a stack on a level of its own.

    Raises
    ------
    MisfitError
        Where cells of a stack could follow each other in several ways, or two stand in one place.
    """
    several = sorted(several, key=lambda place: place.backward)
    if not any(place.stacked for place in several):
        if len({place.backward for place in several}) < len(several):
            raise MisfitError(f"layer {several[0].path!r} is there twice; expected one of that name")
        return several
    names = [place.cell for place in several]
    listed = list(several[0].order)
    if sorted(listed) == sorted(names) and len(set(names)) == len(names):
        return [replace(place, level=listed.index(place.cell)) for place in several]
    order = _chained(several)
    return [replace(place, level=order.index(k)) for k, place in enumerate(several)]


def _chained(several: list[Place]) -> list[int]:
    """Return the places of the cells in the one order in which each takes what the one before gives."""
    sizes = [
        (place.arrays["kernel"].shape[0], place.arrays["recurrent_kernel"].shape[0]) for place in several
    ]
    orders = [[k] for k in range(len(sizes))]
    for _ in range(len(sizes) - 1):
        orders = [
            [*order, k]
            for order in orders
            for k, (taken, _) in enumerate(sizes)
            if k not in order and taken == sizes[order[-1]][1]
        ][:MOST_ORDERS]
    if len(orders) != 1:
        readings = " or ".join(", ".join(several[k].cell for k in order) for order in orders)
        raise MisfitError(
            f"the cells of layer {several[0].path!r} could follow each other as {readings or 'none'}: "
            "expected one order; save the whole model as .keras, which says"
        )
    return orders[0]


def _configured(place: Place, configs: Mapping[str, Mapping[str, Any]]) -> Place:
    """Return the cell with what the model's configuration says about it."""
    about = next(iter(place.arrays.values())).about
    layer = _of(place.path, configs)
    wrapper = layer.get("class_name") == "Bidirectional"
    backward = place.way == "backward"
    if wrapper:
        # what wraps a layer that goes backwards turns the other one round
        backward ^= _mapping(layer, "config", "layer", "config").get("go_backwards") is True
        inner = _mapping(layer, "config", "backward_layer" if place.way == "backward" else "layer")
        layer = inner or _mapping(layer, "config", "layer")
    config = dict(_mapping(layer, "config"))
    stack = _stacked(layer)
    cell = stack.get(place.cell) or _mapping(config, "cell")  # of an RNN around cells
    config |= _mapping(cell, "config")
    kind = str(cell.get("class_name") or layer.get("class_name") or "")
    return replace(
        place,
        # a whole stack in each direction is two networks, which do not feed each other
        path=f"{place.path}/{place.way}" if place.stacked and place.way else place.path,
        config=config,
        order=tuple(stack),
        backward=backward if wrapper else backward or config.get("go_backwards") is True,
        kind=kind,
        fixed=kind.startswith("CuDNN") or ("activation" not in config and _is_cudnn(place.arrays)),
        version=str(about.get("keras_version") or ""),
    )


def _of(path: str, configs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the configuration of a layer: that of its path inside the model, else the only one that fits."""
    whole = [config for known, config in configs.items() if known.partition("/")[2] == path or known == path]
    if whole:
        return whole[0]
    for end in (path, path.rpartition("/")[2]):
        fitting = [config for known, config in configs.items() if f"/{known}".endswith(f"/{end}")]
        if len(fitting) == 1:
            return fitting[0]
    return {}


def _mapping(value: Any, *keys: str) -> Mapping[str, Any]:
    """Return what stands under keys inside keys, empty where it is no mapping."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _is_cudnn(arrays: Arrays) -> bool:
    bias = arrays.get("bias")
    return bias is not None and bias.shape == (2 * arrays["recurrent_kernel"].shape[-1],)


def _stacked(layer: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the configurations of the cells of a StackedRNNCells by their names, or none."""
    cells = _mapping(layer, "config", "cell", "config").get("cells")
    listed = [cell for cell in cells if isinstance(cell, Mapping)] if isinstance(cells, list) else []
    return {str(_mapping(cell, "config").get("name")): cell for cell in listed}


def _configurations(arrays: Arrays) -> dict[str, Mapping[str, Any]]:
    """Return the configuration of every layer by its path through the models that it stands in."""
    config = next((array.about["config"] for array in arrays.values() if array.about.get("config")), None)
    found: dict[str, Mapping[str, Any]] = {}
    pending: list[tuple[str, Any]] = [("", config)]
    while pending:
        path, node = pending.pop()
        if isinstance(node, Mapping):
            inside = node.get("config")
            if "class_name" in node and isinstance(inside, Mapping) and isinstance(inside.get("name"), str):
                path = f"{path}/{inside['name']}".strip("/")
                found[path] = node
            pending += [(path, value) for value in node.values()]
        elif isinstance(node, list):
            pending += [(path, value) for value in node]
    return found
