"""The objects of a TensorFlow 2 checkpoint: they tell weights from optimizer states, and how users name them.

A variable is stored under one of the paths to it, which may be any: ``layer_with_weights-0/cell/kernel``, or
``optimizer/_trainable_variables/0``. Its own name, such as ``encoder/lstm_cell/kernel``, is in the graph
(tensorflow/core/protobuf/trackable_object_graph.proto).
"""

from typing import NamedTuple

from gradflow.readers.tensorflow.protobuf import list_fields

KEY_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_TRAINING_PREFIX = "optimizer/"
# Every optimizer counts its steps in an attribute of one of these names.
_STEP_COUNTERS = {"_iterations", "iterations", "iter"}
# What an optimizer of Keras 3 keeps under this name are the weights of the model.
_WEIGHTS_OF_OPTIMIZER = "_trainable_variables"


class _GraphObject(NamedTuple):
    """An object: its children by name, and the full names of its variables by their keys."""

    children: list[tuple[str, int]]
    names: dict[str, str]


def name_variables(graph: bytes) -> dict[str, str]:
    """Return the names of variables by the keys under which the checkpoint holds them.

    Variables that only an optimizer reaches get names below ``optimizer/``. If several variables have one
    name, then the first has it, and the others are named after their keys.

    Raises
    ------
    DataError
        If the graph is damaged.
    """
    nodes = [
        _parse_object(node) for number, node in list_fields(graph) if number == 1 and isinstance(node, bytes)
    ]
    reached = _walk_models(nodes)
    names: dict[str, str] = {}
    used_names: set[str] = set()
    for place in [*reached, *(place for place in range(len(nodes)) if place not in reached)]:
        for key, full_name in nodes[place].names.items():
            own = full_name if full_name and full_name not in used_names else key.removesuffix(KEY_SUFFIX)
            names[key] = (
                own if place in reached or own.startswith(_TRAINING_PREFIX) else _TRAINING_PREFIX + own
            )
            used_names.add(own)
    return names


def _walk_models(nodes: list[_GraphObject]) -> dict[int, None]:
    """Return the objects that the root reaches without passing through an optimizer, nearest first."""
    reached: dict[int, None] = dict.fromkeys([0] if nodes else [])
    waiting = list(reached)
    for place in waiting:
        children = nodes[place].children
        is_optimizer = not _STEP_COUNTERS.isdisjoint(name for name, _ in children)
        for name, child in children:
            if (
                child < len(nodes)
                and child not in reached
                and not (is_optimizer and name != _WEIGHTS_OF_OPTIMIZER)
            ):
                reached[child] = None
                waiting.append(child)
    return reached


def _parse_object(node: bytes) -> _GraphObject:
    children: list[tuple[str, int]] = []
    names: dict[str, str] = {}
    for number, part in list_fields(node):
        if not isinstance(part, bytes):
            continue
        fields = dict(list_fields(part))
        if number == 1:
            child = fields.get(1, 0)
            if isinstance(child, int):
                children.append((_decode(fields.get(2)), child))
        elif number == 2 and 3 in fields:
            names[_decode(fields[3])] = _decode(fields.get(2))
    return _GraphObject(children, names)


def _decode(value: int | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
