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

# The largest slopes and the lowest values that have no closed form, rounded outwards.
_STEEPEST_SWISH, _LOWEST_SWISH = 1.099839320128867, -0.2784645427610738
_STEEPEST_GELU, _LOWEST_GELU = 1.128904145185155, -0.16997120747990369
_STEEPEST_GELU_TANH, _LOWEST_GELU_TANH = 1.128993068658772, -0.17004075057125406
_STEEPEST_MISH, _LOWEST_MISH = 1.088498161251728, -0.30884341301725043
# Beyond this, e^(−z²/2) is 0 in a double.
_GAUSSIAN_EDGE = 40.0
# The next term of the series is under 1e-17 of the first for |z| < 1.
_TANH_SHRINK_TERMS = 9


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


def log_sigmoid() -> Activation:
    """Return ln σ(z)."""
    return Activation(
        lambda z: -np.logaddexp(-np.asarray(z), 0.0), lambda z: sigmoid(-np.asarray(z)), 1.0, high=0.0
    )


def swish(alpha: float) -> Activation:
    """Return z σ(αz) (Ramachandran et al. 2017)."""

    def slope(z: Array) -> Array:
        return sigmoid(alpha * z) + alpha * z * sigmoid_slope(alpha * z)

    # αφ(z) and φ′(z) depend on αz alone.
    return Activation(
        lambda z: z * sigmoid(alpha * z),
        slope,
        _STEEPEST_SWISH if alpha else 0.5,
        _LOWEST_SWISH / alpha if alpha > 0 else -math.inf,
        _LOWEST_SWISH / alpha if alpha < 0 else math.inf,
    )


def silu() -> Activation:
    """Return z σ(z), which is swish with α = 1 (Elfwing et al. 2018)."""
    return swish(1.0)


def gelu() -> Activation:
    """Return z Φ(z), where Φ is the distribution function of a unit normal (Hendrycks & Gimpel 2016)."""

    def below(z: Array) -> tuple[Array, Array]:
        """Return Φ(−|z|)/ϕ(z) and ϕ(z), where ϕ is the density."""
        distance = np.minimum(np.abs(z), _GAUSSIAN_EDGE)
        ratio = import_module("scipy.special").erfcx(distance / math.sqrt(2.0)) * math.sqrt(math.pi / 2.0)
        return ratio, np.exp(-0.5 * np.square(distance)) / math.sqrt(2.0 * math.pi)

    def value(z: Array) -> Array:
        ratio, density = below(z)
        tail = ratio * density
        return np.asarray(z * np.where(z > 0, 1.0 - tail, tail))

    def slope(z: Array) -> Array:
        # The slope is Φ(z) + zϕ(z). Its values at z and −z have the sum 1.
        ratio, density = below(z)
        falling = (ratio - np.abs(z)) * density
        return np.where(z > 0, 1.0 - falling, falling)

    return Activation(value, slope, _STEEPEST_GELU, _LOWEST_GELU)


def gelu_tanh() -> Activation:
    """Return z σ(2u) with u = √(2/π)(z + 0.044715 z³), the approximation of gelu by tanh."""
    factor, cubic = 2.0 * math.sqrt(2.0 / math.pi), 0.044715

    def stretch(z: Array, power: float) -> Array:
        """Return 2√(2/π)(z + power · 0.044715 z³)."""
        near = np.clip(z, -_GAUSSIAN_EDGE, _GAUSSIAN_EDGE)
        return np.asarray(factor * near * (1.0 + power * cubic * np.square(near)))

    def slope(z: Array) -> Array:
        inside = stretch(z, 1.0)
        return np.asarray(sigmoid(inside) + stretch(z, 3.0) * sigmoid_slope(inside))

    return Activation(lambda z: z * sigmoid(stretch(z, 1.0)), slope, _STEEPEST_GELU_TANH, _LOWEST_GELU_TANH)


def mish() -> Activation:
    """Return z tanh(ln(1 + e^z)) (Misra 2019)."""

    # With e = e^z, tanh(ln(1 + e)) = (e² + 2e)/(e² + 2e + 2). Where z > 0, both parts are divided by e².
    def split(z: Array) -> tuple[Array, Array, Array]:
        tail = np.exp(-np.abs(z))
        above = np.where(z > 0, 1.0 + 2.0 * tail, tail * (tail + 2.0))
        below = np.where(z > 0, above + 2.0 * np.square(tail), above + 2.0)
        return tail, above, below

    def value(z: Array) -> Array:
        _, above, below = split(z)
        return np.asarray(z * (above / below))

    def slope(z: Array) -> Array:
        tail, above, below = split(z)
        change = 4.0 * tail * (1.0 + tail) * np.where(z > 0, tail, 1.0) / np.square(below)
        return np.asarray(above / below + z * change)

    return Activation(value, slope, _STEEPEST_MISH, _LOWEST_MISH)


def selu(alpha: float, gamma: float) -> Activation:
    """Return γ elu(z) with α (Klambauer et al. 2017)."""
    inner = elu(alpha)
    return Activation(
        lambda z: np.asarray(gamma * inner.value(z)),
        lambda z: np.asarray(gamma * inner.slope(z)),
        abs(gamma) * inner.steepest,
        gamma * inner.low if gamma > 0 else -math.inf,
        gamma * inner.low if gamma < 0 else math.inf,
    )


def _check_positive(family: str, parameter: float) -> None:
    if not parameter > 0:
        default = ACTIVATION_FAMILIES[family][1][0]
        raise UsageError(
            f"activation {family}({parameter:g}): expected a positive number, as in {family}({default:g})"
        )


def celu(alpha: float) -> Activation:
    """Return z, or α(e^(z/α) − 1) where z < 0 (Barron 2017).

    Raises
    ------
    UsageError
        If α is not positive.
    """
    _check_positive("celu", alpha)
    return Activation(
        lambda z: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0.0) / alpha)),
        lambda z: np.where(z > 0, 1.0, np.exp(np.minimum(z, 0.0) / alpha)),
        1.0,
        -alpha,
    )


def exponential() -> Activation:
    """Return e^z."""
    return Activation(np.exp, np.exp, math.inf, 0.0)


def clip(low: float, high: float) -> Activation:
    """Return z, limited to [low, high].

    Raises
    ------
    UsageError
        If low is not below high.
    """
    if not low < high:
        raise UsageError(
            f"activation clip({low:g},{high:g}): expected the lower limit first, as in clip(-1,1)"
        )
    return Activation(
        lambda z: np.clip(z, low, high), lambda z: ((z > low) & (z < high)).astype(z.dtype), 1.0, low, high
    )


def hard_silu() -> Activation:
    """Return z (z/6 + 1/2), with the second factor limited to [0, 1] (Howard et al. 2019)."""

    def slope(z: Array) -> Array:
        return np.where(z >= 3.0, 1.0, np.where(z <= -3.0, 0.0, z / 3.0 + 0.5)).astype(z.dtype)

    return Activation(lambda z: z * np.clip((z + 3.0) / 6.0, 0.0, 1.0), slope, 1.5, -0.375)


def shrink(threshold: float, bias: float) -> Activation:
    """Return z − bias where z > threshold, z + bias where z < −threshold, else 0."""
    return Activation(
        lambda z: np.where(np.abs(z) > threshold, z - np.copysign(bias, z), 0.0).astype(z.dtype),
        lambda z: (np.abs(z) > threshold).astype(z.dtype),
    )


def tanh_shrink() -> Activation:
    """Return z − tanh z."""

    def value(z: Array) -> Array:
        # Near 0 the difference loses its digits: there it is Σ 2k z^(2k+1)/(2k+1)! divided by cosh z.
        near = np.clip(z, -1.0, 1.0)
        series = np.zeros_like(near)
        for k in range(_TANH_SHRINK_TERMS, 0, -1):
            series = (2 * k / math.factorial(2 * k + 1) + series) * np.square(near)
        return np.where(np.abs(z) < 1.0, near * series / np.cosh(near), z - np.tanh(z))

    return Activation(value, lambda z: np.square(np.tanh(z)))


def squareplus(b: float) -> Activation:
    """Return (z + √(z² + b))/2 (Barron 2021).

    Raises
    ------
    UsageError
        If b is not positive.
    """
    _check_positive("squareplus", b)

    def rise(z: Array) -> Array:
        """Return √(z² + b) + |z|, which keeps its digits on both sides."""
        return np.hypot(z, math.sqrt(b)) + np.abs(z)

    def slope(z: Array) -> Array:
        root = np.hypot(z, math.sqrt(b))
        return np.where(z > 0, rise(z), b / rise(z)) / (2.0 * root)

    return Activation(lambda z: np.where(z > 0, rise(z), b / rise(z)) / 2.0, slope, 1.0, 0.0)


def sparse_plus() -> Activation:
    """Return (z + 1)²/4 from −1 to 1, 0 below and z above (Liu & Zhu 2024)."""
    return Activation(
        lambda z: np.where(z > 1.0, z, np.square(np.clip(z, -1.0, 1.0) + 1.0) / 4.0),
        lambda z: (np.clip(z, -1.0, 1.0) + 1.0) / 2.0,
        1.0,
        0.0,
    )


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
    "log_sigmoid": (log_sigmoid, ()),
    "silu": (silu, ()),
    "swish": (swish, (1.0,)),
    "gelu": (gelu, ()),
    "gelu_tanh": (gelu_tanh, ()),
    "mish": (mish, ()),
    "selu": (selu, (1.6732632423543772, 1.0507009873554805)),
    "celu": (celu, (1.0,)),
    "exponential": (exponential, ()),
    "clip": (clip, (-1.0, 1.0)),
    "hard_silu": (hard_silu, ()),
    "shrink": (shrink, (0.5, 0.0)),
    "tanh_shrink": (tanh_shrink, ()),
    "squareplus": (squareplus, (4.0,)),
    "sparse_plus": (sparse_plus, ()),
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
