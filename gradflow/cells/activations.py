"""Activation functions with derivatives that keep their digits far out in the tails."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sigmoid(z: Array) -> Array:
    """Return 1/(1 + e^−z), relatively accurate also where it is tiny.

    Examples
    --------
    >>> bool(sigmoid(np.array(-700.0)) == np.exp(-700.0))
    True
    """
    tail = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, tail) / (1.0 + tail)


def sigmoid_pair(z: Array) -> tuple[Array, Array]:
    """Return σ(z) and 1 − σ(z) = σ(−z), each to its last digits; their product is the slope σ′(z)."""
    tail = np.exp(-np.abs(z))
    near = 1.0 / (1.0 + tail)
    far, above = tail * near, z >= 0
    return np.where(above, near, far), np.where(above, far, near)


def sigmoid_slope(z: Array) -> Array:
    """Return σ′(z) = σ(z)σ(−z)."""
    opened, closed = sigmoid_pair(z)
    return np.asarray(opened * closed)


def tanh_slope(z: Array) -> Array:
    """Return 1 − tanh²z as 4e^(−2|z|)/(1 + e^(−2|z|))²: the difference has no digit left past z = 18."""
    return 4.0 * sigmoid_slope(2.0 * np.asarray(z))


def relu(z: Array) -> Array:
    """Return max(z, 0)."""
    return np.maximum(z, 0.0)


def relu_slope(z: Array) -> Array:
    """Return 1 where z > 0, else 0 (at 0 too, as the frameworks have it)."""
    return (z > 0).astype(z.dtype)


def identity(z: Array) -> Array:
    """Return z."""
    return z


def identity_slope(z: Array) -> Array:
    """Return 1."""
    return np.ones_like(z)


class Activation(NamedTuple):
    """An elementwise function of z, its derivative as a function of z, and the derivative's maximum."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    steepest: float


ACTIVATIONS = {
    "tanh": Activation(np.tanh, tanh_slope, 1.0),
    "sigmoid": Activation(sigmoid, sigmoid_slope, 0.25),
    "relu": Activation(relu, relu_slope, 1.0),
    "identity": Activation(identity, identity_slope, 1.0),
}
