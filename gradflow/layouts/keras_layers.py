"""The layers of Keras that may stand between recurrent layers: from symbols to a symbol, as at inference."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from gradflow.cells.base import Array
from gradflow.errors import DataError
from gradflow.layouts import keras_computations as compute
from gradflow.layouts.keras_defaults import name_activation, name_layer_activation
from gradflow.layouts.keras_symbols import SEQUENCE_RANK, VECTOR_RANK, Symbol, transform
from gradflow.layouts.keras_weights import LayerWeights
from gradflow.readers.messages import quote
from gradflow.readers.stored_array import NumberArray

# The defaults of Keras.
_EPSILON, _MASK_VALUE = 1e-3, 0.0
_MAX_FEATURES = 10_000_000


# The operation that compares with a constant, and the option under which it has that argument.
COMPARISON, CONSTANT_OPTION = "NotEqual", "constant"


@dataclass(frozen=True)
class CalledLayer:
    """A layer of a model: its class, its options, and where its weights are.

    Attributes
    ----------
    class_name : str
        Its class.
    config : mapping
        Its options.
    path : tuple of str
        The names of the models that contain it, without that of the whole model, and its own.
    version : str
        The version of Keras.
    weights : LayerWeights
        The weights of all layers.
    other_paths : tuple of tuple of str
        Where its weights may be too.
    """

    class_name: str
    config: Mapping[str, Any]
    path: tuple[str, ...]
    version: str
    weights: LayerWeights
    other_paths: tuple[tuple[str, ...], ...] = ()

    @property
    def label(self) -> str:
        """The layer in a message."""
        name = self.config.get("name")
        named = quote(name) if isinstance(name, str) else "without a name"
        return f"layer {named} ({self.class_name})"

    def read_weights(self, *roles: str) -> dict[str, NumberArray]:
        """Return the weights by their roles, which are in the order of the layer.

        Raises
        ------
        DataError
            If the file has other weights.
        """
        path = next((one for one in (self.path, *self.other_paths) if self.weights.has(one)), self.path)
        return self.weights.read(path, roles, self.label)

    def get_wrapped(self, key: str = "layer") -> "CalledLayer":
        """Return the layer that a wrapper holds."""
        inner = self.config.get(key)
        inner = inner if isinstance(inner, Mapping) else {}
        config = inner.get("config")
        config = config if isinstance(config, Mapping) else {}
        return replace(
            self,
            class_name=str(inner.get("class_name")),
            config=config,
            path=(*self.path, str(config.get("name"))),
            other_paths=((*self.path, key), self.path),
        )

    def get_int(self, name: str, default: int) -> int:
        """Return an option that is one integer, or a list of one.

        Raises
        ------
        DataError
            If it is something else.
        """
        value = self.config.get(name, default)
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if type(value) is not int:
            raise DataError(f"{name} of {self.label} is {quote(str(value))}; expected an integer")
        return value

    def get_number(self, name: str, default: float) -> float:
        """Return an option that is a number.

        Raises
        ------
        DataError
            If it is something else.
        """
        value = self.config.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(f"{name} of {self.label} is {quote(str(value))}; expected a number")
        return float(value)

    def name_activation(self) -> str:
        """Return gradflow's name of the option ``activation``, or softmax."""
        stated = self.config.get("activation") or "linear"
        if stated == compute.SOFTMAX:
            return compute.SOFTMAX
        return name_activation(stated, self.version, self.label)

    def refuse(self) -> DataError:
        """Return the error for a layer that is not computed."""
        return DataError(f"{self.label} stands before it, which is not computed")


def _keep(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    return transform(None, inputs[:1], label=layer.class_name)


def _apply(operation: Callable[..., Array], layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    """Return an operation that keeps the shape of its only input."""
    if len(inputs) != 1:
        raise layer.refuse()
    return transform(operation, inputs, label=layer.class_name)


def _apply_dense(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    weights = layer.read_weights(*_list_roles(layer, "kernel", use_bias="bias"))
    kernel, bias = weights["kernel"], weights.get("bias")
    _check_size(layer, inputs[0], kernel.shape[0] if kernel.ndim == 2 else -1)
    operation = partial(compute.apply_dense, kernel=kernel, bias=bias, activation=layer.name_activation())
    return transform(operation, inputs[:1], label=layer.class_name, size=kernel.shape[1])


def _list_roles(layer: CalledLayer, *always: str, **optional: str) -> list[str]:
    """Return the roles of the weights; those of options that are off are left out."""
    return [*always, *(role for option, role in optional.items() if layer.config.get(option, True))]


def _check_size(layer: CalledLayer, symbol: Symbol, size: int) -> None:
    if symbol.size not in (None, size):
        raise DataError(f"{layer.label} has weights for {size} features, not for {symbol.size}")


def _apply_activation(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    return _apply(partial(compute.activate, name=layer.name_activation()), layer, inputs)


def _apply_activation_layer(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    name = name_layer_activation(layer.class_name, layer.config, layer.label)
    return _apply(partial(compute.activate, name=name), layer, inputs)


def _apply_softmax(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    _check_last_axis(layer, inputs[0])
    return _apply(partial(compute.activate, name=compute.SOFTMAX), layer, inputs)


def _check_last_axis(layer: CalledLayer, symbol: Symbol) -> None:
    if layer.get_int("axis", -1) not in (-1, symbol.rank):
        raise layer.refuse()


def _apply_prelu(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    alpha = layer.read_weights("alpha")["alpha"]
    if prod(alpha.shape[:-1]) != 1:  # a number for each step
        raise layer.refuse()
    _check_size(layer, inputs[0], alpha.size)
    return _apply(partial(compute.prelu, alpha=alpha.ravel()), layer, inputs)


def _normalize_batch(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    _check_last_axis(layer, inputs[0])
    roles = _list_roles(layer, scale="gamma", center="beta")
    if (mode := layer.config.get("mode", 0)) != 0:  # of Keras 1: others use the statistics of the inputs
        raise DataError(
            f"{layer.label} stands before it, whose mode {quote(str(mode))} is not computed, only 0"
        )
    weights = layer.read_weights(*roles, "moving_mean", "moving_variance")
    _check_size(layer, inputs[0], weights["moving_mean"].size)
    variance = weights["moving_variance"] + layer.get_number("epsilon", _EPSILON)
    if not (variance > 0).all():
        raise DataError(f"{layer.label} has a variance that is not positive")
    factor = weights.get("gamma", np.ones(1)) / np.sqrt(variance)
    shift = weights.get("beta", np.zeros(1)) - weights["moving_mean"] * factor
    return _apply(partial(compute.scale_units, factor=factor, shift=shift), layer, inputs)


def _normalize_layer(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    _check_last_axis(layer, inputs[0])
    if layer.config.get("rms_scaling"):
        raise layer.refuse()
    weights = layer.read_weights(*_list_roles(layer, scale="gamma", center="beta"))
    for array in weights.values():
        _check_size(layer, inputs[0], array.size)
    operation = partial(
        compute.normalize_features,
        gamma=weights.get("gamma", np.ones(1)),
        beta=weights.get("beta", np.zeros(1)),
        epsilon=layer.get_number("epsilon", _EPSILON),
    )
    return _apply(operation, layer, inputs)


def _convolve(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    weights = layer.read_weights(*_list_roles(layer, "kernel", use_bias="bias"))
    kernel = weights["kernel"]
    padding, dilation = layer.config.get("padding", "valid"), layer.get_int("dilation_rate", 1)
    keeps_steps = kernel.ndim == 3 and (padding in ("causal", "same") or kernel.shape[0] == 1)
    is_plain = layer.get_int("strides", 1) == 1 and layer.get_int("groups", 1) == 1
    if layer.config.get("data_format") == "channels_first" or inputs[0].rank != SEQUENCE_RANK:
        raise layer.refuse()
    if not keeps_steps or not is_plain or dilation < 1:
        raise DataError(f"{layer.label} stands before it, which changes the number of steps")
    _check_size(layer, inputs[0], kernel.shape[1])
    total = (kernel.shape[0] - 1) * dilation
    operation = partial(
        compute.convolve_steps,
        kernel=kernel,
        bias=weights.get("bias"),
        activation=layer.name_activation(),
        dilation=dilation,
        before=total if padding == "causal" else total // 2,
    )
    return transform(operation, inputs, label=layer.class_name, size=kernel.shape[2])


def _merge(operation: Callable[..., Array], layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    """Return an operation on inputs of the same shape."""
    sizes = {symbol.size for symbol in inputs}
    if len({symbol.rank for symbol in inputs}) > 1 or len(sizes) > 1 or len(inputs) < 2:
        raise layer.refuse()
    return transform(operation, inputs, label=layer.class_name)


def _concatenate(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    _check_last_axis(layer, inputs[0])
    if len({symbol.rank for symbol in inputs}) > 1:
        raise layer.refuse()
    sizes = [symbol.size for symbol in inputs]
    size = sum(one for one in sizes if one is not None)
    if None in sizes:
        raise layer.refuse()
    if size > _MAX_FEATURES:
        raise DataError(f"{layer.label} stands before it, which gives more than {_MAX_FEATURES} features")
    return transform(compute.concatenate, inputs, label=layer.class_name, size=size)


def _merge_keras1(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    mode = layer.config.get("mode")
    if mode == "concat":
        axis = layer.config.get("concat_axis", -1)
        return _concatenate(replace(layer, config={"axis": axis}), inputs)
    modes = {"sum": compute.add, "mul": compute.multiply, "ave": compute.average, "max": compute.maximum}
    if not isinstance(mode, str) or mode not in modes:
        raise layer.refuse()
    return _merge(modes[mode], layer, inputs)


def _repeat(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    """Return a vector at all steps of the sequence that it comes from."""
    sequence: Symbol | None = inputs[0]
    while sequence is not None and sequence.source is None:
        sequence = sequence.parts[0] if sequence.parts else None
    if inputs[0].rank != VECTOR_RANK or sequence is None:
        raise layer.refuse()
    operation = partial(compute.repeat_vector, count=layer.get_int("n", 0))
    return transform(operation, [inputs[0], sequence], label=layer.class_name, rank=SEQUENCE_RANK)


def _reshape(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    target, symbol = layer.config.get("target_shape"), inputs[0]
    if not isinstance(target, list) or not all(type(length) is int for length in target) or not symbol.size:
        raise layer.refuse()
    if symbol.rank == len(target) and target[-1] in (symbol.size, -1):
        # Steps stay steps: with these features there is one number of them.
        return _keep(layer, inputs)
    if symbol.rank == VECTOR_RANK and len(target) == SEQUENCE_RANK:
        known = prod(length for length in target if length > 0)
        steps, features = (symbol.size // known if length < 0 else length for length in target)
        if steps > 0 and features > 0 and steps * features == symbol.size:
            operation = partial(compute.reshape_vector, steps=steps, features=features)
            return transform(operation, inputs, label=layer.class_name, rank=SEQUENCE_RANK, size=features)
    raise DataError(f"{layer.label} stands before it, which rearranges the steps")


def _permute(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    if layer.config.get("dims") != list(range(1, (inputs[0].rank or 0) + 1)):
        raise DataError(f"{layer.label} stands before it, which rearranges the steps")
    return _keep(layer, inputs)


def _flatten(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    if inputs[0].rank != VECTOR_RANK:
        raise DataError(f"{layer.label} stands before it, which joins the steps")
    return _keep(layer, inputs)


def _pool_steps(operation: Callable[..., Array], layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    if inputs[0].rank != SEQUENCE_RANK or layer.config.get("data_format") == "channels_first":
        raise layer.refuse()
    if layer.config.get("keepdims"):
        raise layer.refuse()
    return transform(operation, inputs, label=layer.class_name, rank=VECTOR_RANK)


def _change_steps(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:  # noqa: ARG001 - as all rules
    raise DataError(f"{layer.label} stands before it, which changes the number of steps")


def _mask(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    value = layer.get_number("mask_value", _MASK_VALUE)
    return _apply(partial(compute.check_mask, value=value, layer=layer.label), layer, inputs)


def _read_tokens(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:  # noqa: ARG001 - as all rules
    masks = ", and it masks the token 0" if layer.config.get("mask_zero") else ""
    raise DataError(f"the model's input are tokens, of which {layer.label} makes vectors{masks}")


def _differ(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    """Return the first half of a mask, as Keras 3 writes that of a layer."""
    value = layer.config.get(CONSTANT_OPTION)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise layer.refuse()
    return transform(partial(compute.differ, value=value), inputs)


def _reduce_features(operation: Callable[..., Array], layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    if inputs[0].rank != SEQUENCE_RANK or layer.config.get("axis") != -1 or layer.config.get("keepdims"):
        raise layer.refuse()
    return replace(transform(operation, inputs, rank=VECTOR_RANK), size=None)


def _join_masks(operation: Callable[..., Array], layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    """Return an operation on two masks, of which one may have a single feature."""
    sizes = {symbol.size for symbol in inputs}
    if len(inputs) != 2 or len({symbol.rank for symbol in inputs}) > 1 or len(sizes - {1}) > 1:
        raise layer.refuse()
    return replace(transform(operation, inputs), size=next(iter(sizes - {1}), 1))


def _fill(value: float, layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    if len(inputs) != 1:
        raise layer.refuse()
    return transform(partial(compute.fill_like, value=value), inputs)


def _add_axis(layer: CalledLayer, inputs: Sequence[Symbol]) -> Symbol:
    if inputs[0].rank != VECTOR_RANK or layer.config.get("axis") != -1:
        raise layer.refuse()
    return transform(compute.add_axis, inputs, rank=SEQUENCE_RANK, size=1)


LayerRule = Callable[[CalledLayer, Sequence[Symbol]], Symbol]

# What acts on each step alone, so that TimeDistributed may wrap it.
STEPWISE_RULES: dict[str, LayerRule] = {
    **dict.fromkeys(
        (
            "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout",
            "ActivityRegularization", "Identity",
        ),
        _keep,
    ),
    "Dense": _apply_dense,
    "TimeDistributedDense": _apply_dense,
    "Activation": _apply_activation,
    **dict.fromkeys(("ReLU", "LeakyReLU", "ELU", "ThresholdedReLU"), _apply_activation_layer),
    "Softmax": _apply_softmax,
    "PReLU": _apply_prelu,
    "BatchNormalization": _normalize_batch,
    "LayerNormalization": _normalize_layer,
    "Flatten": _flatten,
}  # fmt: skip
OPERATION_RULES: dict[str, LayerRule] = {
    "Add": partial(_merge, compute.add),
    "Subtract": partial(_merge, compute.subtract),
    "Multiply": partial(_merge, compute.multiply),
    "Maximum": partial(_merge, compute.maximum),
    "Minimum": partial(_merge, compute.minimum),
}
# The operations that make masks of sequences.
MASK_RULES: dict[str, LayerRule] = {
    COMPARISON: _differ,
    "Any": partial(_reduce_features, compute.find_any),
    "All": partial(_reduce_features, compute.find_all),
    "LogicalOr": partial(_join_masks, compute.find_either),
    "LogicalAnd": partial(_join_masks, compute.find_both),
    "ExpandDims": _add_axis,
    "ZerosLike": partial(_fill, 0.0),
    "OnesLike": partial(_fill, 1.0),
    "Concatenate": _concatenate,
}
LAYER_RULES: dict[str, LayerRule] = {
    **STEPWISE_RULES,
    **OPERATION_RULES,
    **MASK_RULES,
    "Average": partial(_merge, compute.average),
    "Concatenate": _concatenate,
    "Merge": _merge_keras1,
    "Conv1D": _convolve,
    "RepeatVector": _repeat,
    "Reshape": _reshape,
    "Permute": _permute,
    "GlobalAveragePooling1D": partial(_pool_steps, compute.average_steps),
    "GlobalMaxPooling1D": partial(_pool_steps, compute.maximize_steps),
    **dict.fromkeys(
        ("MaxPooling1D", "AveragePooling1D", "UpSampling1D", "ZeroPadding1D", "Cropping1D"), _change_steps
    ),
    "Masking": _mask,
    "Embedding": _read_tokens,
}
