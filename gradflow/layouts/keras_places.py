"""The places of recurrent layers in a Keras file: paths of groups, attributes and the model's configuration.

.h5:         ``[model_weights/]{layer}/[{model}/]{layer}/[{cell}/]kernel[:0]``
.weights.h5: ``layers/{class}/cell/vars/0``; the layer's own name is an attribute of ``layers/{class}/vars``
.keras:      the same, with the configuration beside it
Keras 1:     ``[model_weights/]{layer}/{layer}_W_i`` and so on, an array of each gate (`keras1_places`)

Directions are named ``forward_*`` and ``backward_*``. The cells of a StackedRNNCells are in one group.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gradflow.layouts.keras1_places import list_keras1_cells
from gradflow.layouts.names import NamedArrays, group_by_path, normalize_name, split_path
from gradflow.layouts.network import MisfitError
from gradflow.layouts.weights import get_matrix_shape
from gradflow.readers.stored_array import StoredArray

_VARIABLE_NAMES = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}
_KERAS_CELL_PATTERN = re.compile(r"(lstm|gru|simple_rnn)_cell(?:_\d+)?")
_ANY_CELL_PATTERN = re.compile(r".*cell(?:_\d+)?")
# The groups of Keras's own layers, named after their classes.
_KERAS_LAYER_PATTERN = re.compile(r"(lstm|gru|simple_rnn)(?:_\d+)?")
_CLASS_NAMES = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}
_STACK_PATTERN = re.compile(r"stacked_rnn_cells(?:_\d+)?")
_DIRECTION_PATTERN = re.compile(r"(forward|backward)_.+")
_MODEL_GROUP = "model_weights"
# The groups of a model's layers; Keras 2 wrote .keras and .weights.h5 files with the second name.
LAYER_GROUPS = ("layers", "_layer_checkpoint_dependencies")
# The state of a random generator, which a cell with dropout keeps.
_GENERATOR_PATTERN = re.compile(
    r"seed_generator(?:_\d+)?(?:_state|/(?:vars/\d+|state|seed_generator_state))?"
)
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
    sources : tuple of StoredArray
        The arrays of the file from which ``arrays`` are made.
    group : str
        The path of the group that holds the arrays.
    config_path : str
        The path of the layer in the configuration; empty if it has none.
    own_name : str
        The name of the cell, if it is not one that Keras gives, and nothing else shows the class.
    unread : tuple of StoredArray
        The other arrays of the cell.
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
    sources: tuple[StoredArray, ...] = ()
    group: str = ""
    config_path: str = ""
    own_name: str = ""
    unread: tuple[StoredArray, ...] = ()


def find_places(arrays: NamedArrays) -> dict[str, list[KerasPlace]]:
    """Return the cells of every recurrent layer by the path of the layer, in the order of the file."""
    places: dict[str, list[KerasPlace]] = {}
    configs = index_configurations(arrays)
    listed = [_configure_place(place, configs) for place in _list_places(arrays, name_layer_groups(arrays))]
    unread = _list_unread(listed, arrays)
    for place, others in zip(listed, unread, strict=True):
        places.setdefault(place.path, []).append(replace(place, unread=others))
    return places


def _list_unread(places: list[KerasPlace], arrays: NamedArrays) -> list[tuple[StoredArray, ...]]:
    """Return the arrays in the group of each cell that are none of its weights."""
    names = {name: normalize_name(name).replace(".", "/") for name in arrays} if places else {}
    unread = []
    for place in places:
        start = f"{place.group.replace('.', '/')}/"
        own = {array.name for array in place.sources}
        unread.append(
            tuple(
                arrays[name]
                for name, path in names.items()
                if len(start) > 1
                and path.startswith(start)
                and name not in own
                and not _GENERATOR_PATTERN.fullmatch(path[len(start) :])
            )
        )
    return unread


def _list_places(arrays: NamedArrays, names: Mapping[str, str]) -> Iterator[KerasPlace]:
    for path, members in group_by_path(arrays, "kernel|recurrent_kernel|bias").items():
        if {"kernel", "recurrent_kernel"} <= set(members):
            yield _place_by_name(path, members)
    for cell in list_keras1_cells(arrays):
        elements = _drop_model_group(split_path(cell.path))
        path, version = "/".join(elements), _get_version(cell.sources) or "1"
        yield KerasPlace(path, cell.arrays, way=cell.way, version=version, sources=cell.sources)
    for path, leaves in group_by_path(arrays, r"vars[./][012]").items():
        members = {_VARIABLE_NAMES[key[-1]]: array for key, array in leaves.items()}
        elements = split_path(path)
        is_cell = elements[-1:] == ["cell"] or elements[-2:-1] == ["cells"]
        if "kernel" in members and "recurrent_kernel" in members and is_cell:
            yield _place_by_variables(elements, members, names)


def _get_version(arrays: Iterable[StoredArray]) -> str:
    return str(next(iter(arrays)).metadata.get("keras_version") or "")


def _drop_model_group(elements: list[str]) -> list[str]:
    return elements[1:] if elements[:1] == [_MODEL_GROUP] else elements


def _place_by_name(path: str, arrays: NamedArrays) -> KerasPlace:
    elements = _drop_model_group(split_path(path))
    if elements and elements[0] in elements[1:]:
        # The layer's own group, then the names of its arrays, which may start with the model.
        elements = elements[elements.index(elements[0], 1) :]
    elements, cell = _split_off_last(elements, _ANY_CELL_PATTERN)
    elements, stack = _split_off_last(elements, _STACK_PATTERN)
    elements, direction = _split_off_last(elements, _DIRECTION_PATTERN)
    own_name = "" if not cell or _KERAS_CELL_PATTERN.fullmatch(cell) else cell
    sources = tuple(arrays.values())
    return KerasPlace(
        "/".join(elements), arrays, cell, direction.partition("_")[0], bool(stack),
        kind=_name_class(cell, _KERAS_CELL_PATTERN), version=_get_version(sources), sources=sources,
        group=path, own_name=own_name,
    )  # fmt: skip


def _name_class(name: str, pattern: re.Pattern[str]) -> str:
    """Return the class of Keras that a name stands for, or an empty string."""
    match = pattern.fullmatch(name)
    return _CLASS_NAMES[match[1]] if match else ""


def _split_off_last(elements: list[str], pattern: re.Pattern[str]) -> tuple[list[str], str]:
    """Return the elements without the last one, and the last one, if it matches and is not the only one."""
    if len(elements) > 1 and pattern.fullmatch(elements[-1]):
        return elements[:-1], elements[-1]
    return elements, ""


def _place_by_variables(elements: list[str], arrays: NamedArrays, names: Mapping[str, str]) -> KerasPlace:
    sources = tuple(arrays.values())
    own = str(names.get("/".join([*elements, "vars"]), elements[-1]))
    stacked = elements[-2:-1] == ["cells"]
    layer = elements[: -3 if stacked else -1]  # .../cell/cells/lstm_cell, or .../cell
    layer, direction = _split_off_last(layer, re.compile("(?:forward|backward)_layer"))
    # A group is named after the class of its layer. An LSTM has only Keras's own cell.
    kind = _name_class(own, _KERAS_CELL_PATTERN) or _name_class(
        elements[-1] if stacked else layer[-1] if layer else "",
        _KERAS_CELL_PATTERN if stacked else _KERAS_LAYER_PATTERN,
    )
    version = _get_version(sources) or ("2" if LAYER_GROUPS[1] in elements else "3")
    return KerasPlace(
        "/".join(name_groups(layer, names)), arrays, own, direction.partition("_")[0], stacked,
        kind=kind, version=version, sources=sources, group="/".join(elements),
        own_name="" if kind else own,
    )  # fmt: skip


def name_layer_groups(arrays: NamedArrays) -> Mapping[str, str]:
    """Return the names of layers by the path of their group ``vars``.

    Early files do not have them. There the groups of each class are in the order of the configuration.
    """
    names: Mapping[str, str] = next(
        (a.metadata["named"] for a in arrays.values() if "named" in a.metadata), {}
    )
    config = get_model_config(arrays)
    if config is None or any(path.startswith(LAYER_GROUPS) for path in names):
        return names
    groups: dict[str, dict[str, None]] = {}  # the groups in each group, in the order of the file
    for name in arrays:
        elements = name.split("/")
        for k, element in enumerate(elements[:-1]):
            groups.setdefault("/".join(elements[:k]), {})[element] = None
    completed = dict(names)
    pending = [("", config)]
    while pending:
        start, model = pending.pop()
        for holder in (f"{start}{group}" for group in LAYER_GROUPS):
            waiting: dict[str, list[Mapping[str, Any]]] = {}
            for layer in list_layers(model):
                waiting.setdefault(_to_snake_case(str(layer.get("class_name"))), []).append(layer)
            listed: dict[str, list[tuple[int, str]]] = {}
            for group in groups.get(holder, ()):
                class_name, number = _split_number(group)
                listed.setdefault(class_name, []).append((number, group))
            for class_name, numbered in listed.items():
                layers = waiting.get(class_name, [])
                if len(layers) == len(numbered):
                    for (_, group), layer in zip(sorted(numbered), layers, strict=True):
                        completed[f"{holder}/{group}/vars"] = str(_get_mapping(layer, "config").get("name"))
                        pending.append((f"{holder}/{group}/", layer))
    return completed


def list_layers(model: Any) -> list[Mapping[str, Any]]:
    """Return the configurations of the layers of a model; empty for anything else."""
    config = model.get("config") if isinstance(model, Mapping) else None
    layers = config.get("layers") if isinstance(config, Mapping) else config
    return [layer for layer in layers if isinstance(layer, Mapping)] if isinstance(layers, list) else []


def _to_snake_case(name: str) -> str:
    """Return the name of a class as Keras writes it in the name of a group.

    Examples
    --------
    >>> _to_snake_case("SimpleRNN"), _to_snake_case("LSTM"), _to_snake_case("Conv1D")
    ('simple_rnn', 'lstm', 'conv1d')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _split_number(group: str) -> tuple[str, int]:
    """Return the name of a class and the number of a group; the first group has none."""
    name, _, number = group.rpartition("_")
    return (name, int(number)) if name and re.fullmatch(r"\d{1,6}", number) else (group, 0)


def name_groups(groups: list[str], names: Mapping[str, str]) -> list[str]:
    """Return the path of a layer: each group by the name that the user gave the layer."""
    return [
        str(names.get("/".join([*groups[: k + 1], "vars"]), group))
        for k, group in enumerate(groups)
        if group not in LAYER_GROUPS
    ]


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
    place = _find_wrapper(place, configs)
    config_path = _find_configuration(place.path, configs)
    layer = configs.get(config_path, {})
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
    is_known = bool(kind and kind not in ("RNN", "Bidirectional"))
    return replace(
        place,
        # One whole stack for each direction makes two networks that do not feed each other.
        path=f"{place.path}/{place.way}" if place.stacked and place.way else place.path,
        config=config,
        order=tuple(stack),
        backward=backward if wrapper else backward or config.get("go_backwards") is True,
        kind=kind if is_known else place.kind,
        own_name="" if is_known else place.own_name,
        fixed=kind.startswith("CuDNN") or ("activation" not in config and _is_cudnn(place.arrays)),
        config_path=config_path,
    )


def _find_wrapper(place: KerasPlace, configs: Mapping[str, Mapping[str, Any]]) -> KerasPlace:
    """Return the cell as one direction of a Bidirectional, if the wrapper holds a layer of its name."""
    path, _, name = place.path.rpartition("/")
    wrapper = configs.get(_find_configuration(path, configs), {}) if path and not place.way else {}
    if wrapper.get("class_name") == "Bidirectional":
        for way, key in (("forward", "layer"), ("backward", "backward_layer")):
            if _get_mapping(wrapper, "config", key, "config").get("name") == name:
                return replace(place, path=path, way=way)
    return place


def _find_configuration(path: str, configs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return where the layer at ``path`` inside the model is configured, else the only place that fits.

    It is an empty string if there is no such place.
    """
    for known_path in configs:
        if path in (known_path.partition("/")[2], known_path):
            return known_path
    for end in (path, path.rpartition("/")[2]):
        fitting = [known_path for known_path in configs if f"/{known_path}".endswith(f"/{end}")]
        if len(fitting) == 1:
            return fitting[0]
    return ""


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


def get_model_config(arrays: NamedArrays) -> Any:
    """Return the configuration of the model, as the file has it, or None."""
    return next((array.metadata["config"] for array in arrays.values() if array.metadata.get("config")), None)


def index_configurations(arrays: NamedArrays) -> dict[str, Mapping[str, Any]]:
    """Return the configuration of every layer by its path through the models that contain it."""
    config = get_model_config(arrays)
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
