"""What Keras's layers between recurrent layers compute at inference, on arrays (batch, T, features).

Every function is called with the arrays of the layer's inputs. Its options are bound by `functools.partial`,
so that a computation can be pickled.
"""

import numpy as np

from gradflow.cells.activations import parse_activation
from gradflow.cells.base import Array
from gradflow.errors import DataError

SOFTMAX = "softmax"


def activate(x: Array, *, name: str) -> Array:
    """Return an elementwise activation by gradflow's name, or the softmax of the last axis."""
    if name == SOFTMAX:
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    return parse_activation(name).value(x)


def apply_dense(x: Array, *, kernel: Array, bias: Array | None, activation: str) -> Array:
    """Return φ(x·kernel + bias)."""
    z = x @ kernel
    return activate(z if bias is None else z + bias, name=activation)


def convolve_steps(
    x: Array, *, kernel: Array, bias: Array | None, activation: str, dilation: int, before: int
) -> Array:
    """Return φ(Σₖ x_{t + k·dilation − before}·kernelₖ + bias) with zeros beyond the ends."""
    steps = x.shape[1]
    z = np.zeros((len(x), steps, kernel.shape[2]))
    for k, weights in enumerate(kernel):
        offset = k * dilation - before
        first, last = max(0, -offset), min(steps, steps - offset)
        if first < last:  # a dilation may be any number, and longer than all steps
            z[:, first:last] += x[:, first + offset : last + offset] @ weights
    return activate(z if bias is None else z + bias, name=activation)


def scale_units(x: Array, *, factor: Array, shift: Array) -> Array:
    """Return x ⊙ factor + shift."""
    return x * factor + shift


def prelu(x: Array, *, alpha: Array) -> Array:
    """Return x, or alpha ⊙ x where x < 0."""
    return np.where(x > 0, x, alpha * x)


def normalize_features(x: Array, *, gamma: Array, beta: Array, epsilon: float) -> Array:
    """Return x with mean 0 and variance 1 over the features, times gamma, plus beta."""
    centered = x - x.mean(axis=-1, keepdims=True)
    squares = np.square(centered).mean(axis=-1, keepdims=True)
    return np.asarray(centered / np.sqrt(squares + epsilon) * gamma + beta)


def concatenate(*parts: Array) -> Array:
    """Return the arrays side by side."""
    return np.concatenate(parts, axis=-1)


def add(*parts: Array) -> Array:
    """Return the sum."""
    return np.asarray(sum(parts[1:], parts[0]))


def subtract(first: Array, second: Array) -> Array:
    """Return the difference."""
    return np.asarray(first - second)


def multiply(*parts: Array) -> Array:
    """Return the product of the entries."""
    product = parts[0]
    for part in parts[1:]:
        product = product * part
    return product


def average(*parts: Array) -> Array:
    """Return the mean of the entries."""
    return add(*parts) / len(parts)


def maximum(*parts: Array) -> Array:
    """Return the largest of the entries."""
    return np.asarray(np.max(np.stack(parts), axis=0))


def minimum(*parts: Array) -> Array:
    """Return the smallest of the entries."""
    return np.asarray(np.min(np.stack(parts), axis=0))


def reverse_steps(x: Array) -> Array:
    """Return the steps in reverse order."""
    return x[:, ::-1]


def take_step(x: Array, *, step: int) -> Array:
    """Return one step."""
    return x[:, step]


def take_features(x: Array, *, first: int, last: int) -> Array:
    """Return the features from ``first`` to before ``last``."""
    return x[..., first:last]


def average_steps(x: Array) -> Array:
    """Return the mean over the steps."""
    return np.asarray(x.mean(axis=1))


def maximize_steps(x: Array) -> Array:
    """Return the largest entries over the steps."""
    return np.asarray(x.max(axis=1))


def repeat_vector(vector: Array, sequence: Array, *, count: int) -> Array:
    """Return a vector at ``count`` steps, which must be those that the sequence has.

    Raises
    ------
    DataError
        If the sequence has another number of steps.
    """
    if sequence.shape[1] != count:
        raise DataError(f"RepeatVector gives {count} steps and the input has {sequence.shape[1]}")
    return np.repeat(vector[:, None], count, axis=1)


def reshape_vector(x: Array, *, steps: int, features: int) -> Array:
    """Return a vector as steps."""
    return x.reshape(len(x), steps, features)


def check_mask(x: Array, *, value: float, layer: str) -> Array:
    """Return x, which must have no step that the layer masks.

    Raises
    ------
    DataError
        If a step is masked: then Keras skips it in all layers above.
    """
    masked = np.argwhere((x == value).all(axis=-1))
    if len(masked):
        raise DataError(
            f"step {int(masked[0][1])} (counted from 0) of sequence {int(masked[0][0])} has only {value:g}, "
            f"and {layer} masks such steps, which Keras skips; give sequences without padding"
        )
    return x


def differ(x: Array, *, value: float) -> Array:
    """Return 1 where x differs from a number, else 0."""
    return np.asarray(x != value, float)


def find_any(x: Array) -> Array:
    """Return 1 where any feature is not 0, else 0, with shape (batch, T)."""
    return np.asarray((x != 0).any(axis=-1), float)


def find_all(x: Array) -> Array:
    """Return 1 where all features are not 0, else 0, with shape (batch, T)."""
    return np.asarray((x != 0).all(axis=-1), float)


def find_either(one: Array, other: Array) -> Array:
    """Return the larger entries, which say where one mask or the other is set."""
    return np.maximum(one, other)


def find_both(one: Array, other: Array) -> Array:
    """Return the smaller entries, which say where both masks are set."""
    return np.minimum(one, other)


def fill_like(x: Array, *, value: float) -> Array:
    """Return an array of the shape of x that has one value everywhere."""
    return np.full(x.shape, value)


def add_axis(x: Array) -> Array:
    """Return x with an axis of one feature."""
    return x[..., None]


def require_mask(x: Array, mask: Array) -> Array:
    """Return x, of which the mask (batch, T) must hide no step.

    Raises
    ------
    DataError
        If it hides a step: then Keras skips it.
    """
    hidden = np.argwhere(mask == 0)
    if len(hidden):
        raise DataError(
            f"the model's mask hides step {int(hidden[0][1])} (counted from 0) of sequence "
            f"{int(hidden[0][0])}, which Keras skips; give sequences without padding"
        )
    return x
