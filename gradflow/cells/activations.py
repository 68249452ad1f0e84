"""Activation functions with derivatives that keep their digits far out in the tails."""

import math
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import UsageError
from gradflow.registry import describe_unknown

Array = NDArray[Any]


def sigmoid(z: Array) -> Array:
    """Return 1/(1 + e^−z), with a small relative error even if it is tiny.

    Examples
    --------
    >>> bool(sigmoid(np.array(-700.0)) == np.exp(-700.0))
    True
    """
    tail = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, tail) / (1.0 + tail)


def sigmoid_slope(z: Array) -> Array:
    """Return σ′(z) = σ(z)σ(−z), computed such that it is the same on both sides of 0."""
    tail = np.exp(-np.abs(z))
    near = 1.0 / (1.0 + tail)
    # On some processors exp is rounded such that the product near 0 exceeds the largest slope by a digit.
    return np.minimum(tail * near * near, 0.25)


def tanh_slope(z: Array) -> Array:
    """Return 1 − tanh²z as 4e^(−2|z|)/(1 + e^(−2|z|))²: the difference has no digit left beyond z = 18."""
    return 4.0 * sigmoid_slope(2.0 * np.asarray(z))


def relu(z: Array) -> Array:
    """Return max(z, 0)."""
    return np.maximum(z, 0.0)


def relu_slope(z: Array) -> Array:
    """Return 1 where z > 0, else 0. It is 0 at 0 too, as in the frameworks."""
    return (z > 0).astype(z.dtype)


def erf(z: Array) -> Array:
    """Return the error function of z."""
    # Imported by name: numpy has no erf, and the other activations do not need to load scipy.
    return np.asarray(import_module("scipy.special").erf(z))


def erf_slope(z: Array) -> Array:
    """Return 2/√π e^(−z²)."""
    return np.asarray(2.0 / math.sqrt(math.pi) * np.exp(-np.square(z)))


def identity(z: Array) -> Array:
    """Return z."""
    return z


def identity_slope(z: Array) -> Array:
    """Return 1."""
    return np.ones_like(z)


class Activation(NamedTuple):
    """An elementwise function φ of z, its derivative as a function of z, and the range of φ."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    steepest: float = 1.0  # the largest |φ′|
    low: float = -math.inf
    high: float = math.inf
    # 1 − φ(z), for the value of a gate that is coupled to this one
    complement: Callable[[Array], Array] | None = None

    def rest(self, z: Array) -> Array:
        """Return 1 − φ(z), with all its digits if the function has a formula for it."""
        return np.asarray(1.0 - self.value(z)) if self.complement is None else self.complement(z)


# The activations of a cell that take no parameters.
ACTIVATIONS = {
    "tanh": Activation(np.tanh, tanh_slope, 1.0, -1.0, 1.0),
    "sigmoid": Activation(sigmoid, sigmoid_slope, 0.25, 0.0, 1.0, lambda z: sigmoid(-z)),
    "relu": Activation(relu, relu_slope, 1.0, 0.0),
    "identity": Activation(identity, identity_slope),
    "erf": Activation(erf, erf_slope, 2.0 / math.sqrt(math.pi), -1.0, 1.0),
}
ActivationName = Annotated[str, "|".join(ACTIVATIONS)]  # the note is what the help of a command shows


def affine(alpha: float, beta: float) -> Activation:
    """Return αz + β."""
    return Activation(lambda z: alpha * z + beta, lambda z: np.full_like(z, alpha), abs(alpha))


def scaled_tanh(alpha: float, beta: float) -> Activation:
    """Return α tanh(βz)."""
    return Activation(
        lambda z: alpha * np.tanh(beta * z),
        lambda z: alpha * beta * tanh_slope(beta * z),
        abs(alpha * beta),
        -abs(alpha),
        abs(alpha),
    )


def hard_sigmoid(alpha: float, beta: float) -> Activation:
    """Return αz + β, limited to [0, 1]."""

    def slope(z: Array) -> Array:
        line = alpha * z + beta
        return np.where((line > 0) & (line < 1), alpha, 0.0).astype(z.dtype)

    return Activation(lambda z: np.clip(alpha * z + beta, 0.0, 1.0), slope, abs(alpha), 0.0, 1.0)


def leaky_relu(alpha: float) -> Activation:
    """Return z, or αz where z < 0."""
    return Activation(
        lambda z: np.where(z > 0, z, alpha * z),
        lambda z: np.where(z > 0, 1.0, alpha).astype(z.dtype),
        max(1.0, abs(alpha)),
    )


def thresholded_relu(alpha: float) -> Activation:
    """Return z where z > α, else 0."""
    return Activation(
        lambda z: np.where(z > alpha, z, 0.0).astype(z.dtype), lambda z: (z > alpha).astype(z.dtype)
    )


def elu(alpha: float) -> Activation:
    """Return z, or α(e^z − 1) where z < 0 (Clevert et al. 2016)."""
    return Activation(
        lambda z: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0.0))),
        lambda z: np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0.0))),
        max(1.0, abs(alpha)),
        -abs(alpha),
    )


def softsign() -> Activation:
    """Return z/(1 + |z|)."""
    return Activation(
        lambda z: z / (1.0 + np.abs(z)), lambda z: (1.0 + np.abs(z)) ** -2.0, 1.0, -1.0, 1.0
    )  # fmt: skip


def softplus() -> Activation:
    """Return ln(1 + e^z)."""
    return Activation(lambda z: np.logaddexp(z, 0.0), sigmoid, 1.0, 0.0)


# The activations with parameters that a trained cell may have: the function, and its default parameters
# (those of ONNX).
ACTIVATION_FAMILIES: dict[str, tuple[Callable[..., Activation], tuple[float, ...]]] = {
    "affine": (affine, (1.0, 0.0)),
    "scaled_tanh": (scaled_tanh, (1.0, 1.0)),
    "hard_sigmoid": (hard_sigmoid, (0.2, 0.5)),
    "leaky_relu": (leaky_relu, (0.01,)),
    "thresholded_relu": (thresholded_relu, (1.0,)),
    "elu": (elu, (1.0,)),
    "softsign": (softsign, ()),
    "softplus": (softplus, ()),
}


@cache
def parse_activation(name: str) -> Activation:
    """Return the activation that ``name`` describes: ``"tanh"``, ``"elu"``, ``"hard_sigmoid(0.2, 0.5)"``.

    Raises
    ------
    UsageError
        If the name is unknown, or its parameters do not fit.

    Examples
    --------
    >>> float(parse_activation("hard_sigmoid(0.25,0.5)").value(np.array(1.0)))
    0.75
    """
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    family, bracket, inside = name.partition("(")
    if family not in ACTIVATION_FAMILIES:
        raise UsageError(describe_unknown("activation", name, [*ACTIVATIONS, *ACTIVATION_FAMILIES]))
    make, parameters = ACTIVATION_FAMILIES[family]
    if not bracket:
        return make(*parameters)
    try:
        given = [float(part) for part in inside.removesuffix(")").split(",")]
    except ValueError:
        given = []
    if not inside.endswith(")") or len(given) != len(parameters) or not np.isfinite(given).all():
        wanted = ",".join(f"{parameter:g}" for parameter in parameters)
        raise UsageError(f"activation {name!r}: expected {len(parameters)} numbers, as in {family}({wanted})")
    return make(*given)
