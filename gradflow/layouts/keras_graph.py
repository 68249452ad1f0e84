"""The calls of layers in the configuration of a Keras model, whichever version wrote it.

A functional model has ``inbound_nodes`` for each layer: in Keras 1 and 2 lists ``[layer, node, tensor, …]``,
in Keras 3 ``args`` and ``kwargs`` with serialized tensors. A sequential model is a list of layers.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_TENSOR_CLASS = "__keras_tensor__"
# The name that Keras 2 has in place of a layer's for an argument that is no tensor.
_CONSTANT_LAYER = "_CONSTANT_VALUE"
_MASK_ARGUMENT = "mask"


class TensorReference(NamedTuple):
    """One output of one call of a layer."""

    layer: str
    node: int
    output: int


class LayerCall(NamedTuple):
    """What one call of a layer is given.

    Attributes
    ----------
    inputs : tuple of TensorReference
        The tensors among the positional arguments, in order.
    others : tuple of TensorReference
        The tensors among the named arguments, without the mask.
    masks : tuple of TensorReference
        The tensors that mask steps.
    has_constants : bool
        Whether a positional argument is no tensor.
    constants : tuple
        These arguments, if the file has them.
    """

    inputs: tuple[TensorReference, ...]
    others: tuple[TensorReference, ...] = ()
    masks: tuple[TensorReference, ...] = ()
    has_constants: bool = False
    constants: tuple[Any, ...] = ()

    def list_references(self) -> tuple[TensorReference, ...]:
        """Return all tensors that the call is given."""
        return (*self.inputs, *self.others, *self.masks)


def list_calls(layer: Mapping[str, Any]) -> list[LayerCall]:
    """Return the calls of a layer of a functional model."""
    nodes = layer.get("inbound_nodes")
    return [_read_call(node) for node in nodes] if isinstance(nodes, list) else []


def _read_call(node: Any) -> LayerCall:
    if isinstance(node, Mapping):
        arguments, named = node.get("args"), node.get("kwargs")
        if not isinstance(named, Mapping):
            named = {}
        leaves = list(_walk_leaves(arguments))
        positional = tuple(leaf for leaf in leaves if isinstance(leaf, TensorReference))
        unmasked = {name: value for name, value in named.items() if name != _MASK_ARGUMENT}
        by_name = tuple(leaf for leaf in _walk_leaves(unmasked) if isinstance(leaf, TensorReference))
        masking = tuple(
            leaf for leaf in _walk_leaves(named.get(_MASK_ARGUMENT)) if isinstance(leaf, TensorReference)
        )
        if not positional:  # Keras also names the first argument, if the user did.
            return LayerCall(by_name, masks=masking)
        constants = tuple(
            leaf for leaf in leaves if leaf is not None and not isinstance(leaf, TensorReference)
        )
        return LayerCall(positional, by_name, masking, bool(constants), constants)
    if isinstance(node, list) and node and isinstance(node[0], str):
        node = [node]
    inputs: list[TensorReference] = []
    others: list[TensorReference] = []
    masks: list[TensorReference] = []
    for entry in node if isinstance(node, list) else []:
        reference = read_reference(entry)
        if reference is not None:
            inputs.append(reference)
            for name, value in _list_named(entry[3:]):
                found = [leaf for leaf in _walk_references(value) if leaf.layer != _CONSTANT_LAYER]
                (masks if name == _MASK_ARGUMENT else others).extend(found)
    constant = any(reference.layer == _CONSTANT_LAYER for reference in inputs)
    return LayerCall(tuple(inputs), tuple(others), tuple(masks), constant)


def _list_named(stated: list[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the named arguments, and what else stands beside a tensor."""
    for value in stated:
        yield from value.items() if isinstance(value, Mapping) else [("", value)]


def read_reference(entry: Any) -> TensorReference | None:
    """Return the tensor that ``[layer, node, tensor, …]`` names, or None if it is something else."""
    if isinstance(entry, list) and len(entry) >= 3:
        layer, node, output = entry[:3]
        if isinstance(layer, str) and type(node) is int and (type(output) is int or node < 0):
            return TensorReference(layer, node, output if type(output) is int else 0)
    return None


def list_references(stated: Any) -> list[TensorReference]:
    """Return the tensors that ``input_layers`` or ``output_layers`` name, in any nesting."""
    return list(_walk_references(stated))


def _walk_references(stated: Any) -> Iterator[TensorReference]:
    pending = [stated]
    while pending:
        value = pending.pop()
        reference = read_reference(value)
        if reference is not None:
            yield reference
        elif isinstance(value, Mapping):
            pending += reversed(list(value.values()))
        elif isinstance(value, list):
            pending += reversed(value)


def _walk_leaves(arguments: Any) -> Iterator[Any]:
    """Yield the leaves of nested arguments in order: a reference for a tensor, else the value."""
    pending = [arguments]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping) and value.get("class_name") == _TENSOR_CLASS:
            config = value.get("config")
            history = config.get("keras_history") if isinstance(config, Mapping) else None
            yield read_reference(history)
        elif isinstance(value, Mapping):
            pending += reversed(list(value.values()))
        elif isinstance(value, list):
            pending += reversed(value)
        else:
            yield value
