"""Fresh weights for a cell with any number of gates, stacked gate by gate in torch's order."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.cells.base import Gate
from gradflow.errors import UsageError
from gradflow.linalg.ensembles import orthogonal as orthogonal_matrix
from gradflow.registry import describe_unknown

Array = NDArray[np.float64]
Generator = np.random.Generator
DEFAULT_CHRONO_HORIZON = 100.0  # longest memory of init=chrono, in steps
Sizes = tuple[int, int, int]  # H rows per gate, R columns of the recurrent weights, I features


class Weights(NamedTuple):
    """``weight_ih`` (G·H, I), ``weight_hh`` (G·H, R), and torch's two biases (G·H)."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array


def torch(gates: int, sizes: Sizes, gain: float, generator: Generator) -> Weights:
    """Return torch's default: all weights and biases uniform on ±1/√H.

    In terms of random-matrix theory, the gain of the recurrent weights is then gain/√3.
    """
    hidden, recurrent, features = sizes
    bound, rows = 1.0 / np.sqrt(hidden), gates * hidden
    return Weights(
        weight_ih=generator.uniform(-bound, bound, (rows, features)),
        weight_hh=gain * generator.uniform(-bound, bound, (rows, recurrent)),
        bias_ih=generator.uniform(-bound, bound, rows),
        bias_hh=generator.uniform(-bound, bound, rows),
    )


def keras(gates: int, sizes: Sizes, gain: float, generator: Generator) -> Weights:
    """Return Keras' default: Glorot-uniform input weights, orthonormal recurrent weights, no bias.

    The gates share one matrix (G·H, R) with orthonormal columns, because Keras draws the kernel of all gates
    at once. The matrix of a single gate is not orthogonal (Glorot & Bengio 2010, eq. 16; Saxe et al. 2014).
    The cell adds the forget bias of 1.
    """
    hidden, recurrent, features = sizes
    rows = gates * hidden
    bound = np.sqrt(6.0 / (features + rows))
    return Weights(
        weight_ih=generator.uniform(-bound, bound, (rows, features)),
        weight_hh=orthonormal(rows, recurrent, gain, generator),
        bias_ih=np.zeros(rows),
        bias_hh=np.zeros(rows),
    )


def ginibre(gates: int, sizes: Sizes, gain: float, generator: Generator) -> Weights:
    """Return normal weights: recurrent ones of variance gain²/R, input weights of variance 1/I, no bias.

    Mean-field theory assumes these weights: an input of variance 1 adds noise of variance 1 to every unit
    (Sompolinsky et al. 1988).
    """
    hidden, recurrent, features = sizes
    rows = gates * hidden
    return Weights(
        weight_ih=generator.standard_normal((rows, features)) / np.sqrt(features),
        weight_hh=generator.standard_normal((rows, recurrent)) * (gain / np.sqrt(recurrent)),
        bias_ih=np.zeros(rows),
        bias_hh=np.zeros(rows),
    )


def orthogonal(gates: int, sizes: Sizes, gain: float, generator: Generator) -> Weights:
    """Return torch's default with recurrent weights that are orthogonal gate by gate (Saxe et al. 2014)."""
    hidden, recurrent, _ = sizes
    default = torch(gates, sizes, 1.0, generator)
    blocks = [orthonormal(hidden, recurrent, gain, generator) for _ in range(gates)]
    return default._replace(weight_hh=np.vstack(blocks))


def identity(gates: int, sizes: Sizes, gain: float, generator: Generator) -> Weights:
    """Return the identity for every gate, input weights of standard deviation 0.001, no bias.

    With ``rnn:activation=relu`` this is the IRNN of Le, Jaitly & Hinton (2015), section 2.
    """
    hidden, recurrent, features = sizes
    rows = gates * hidden
    return Weights(
        weight_ih=0.001 * generator.standard_normal((rows, features)),
        weight_hh=np.tile(gain * np.eye(hidden, recurrent), (gates, 1)),
        bias_ih=np.zeros(rows),
        bias_hh=np.zeros(rows),
    )


def chrono(gates: int, sizes: Sizes, gain: float, generator: Generator) -> Weights:
    """Return torch's default without biases; `spread_chrono_biases` draws those of its gates."""
    default = torch(gates, sizes, gain, generator)
    return default._replace(bias_ih=0.0 * default.bias_ih, bias_hh=0.0 * default.bias_hh)


class Scales(NamedTuple):
    """Standard deviations of recurrent weights at gain 1 (times √R), input weights, and a gate's bias."""

    recurrent: float
    inputs: float
    bias: float


def torch_scales(gates: int, sizes: Sizes) -> Scales:  # noqa: ARG001 - the same for any number of gates
    """Return the scales of a uniform distribution on ±1/√H, with the sum of two biases."""
    hidden, recurrent, _ = sizes
    deviation = 1.0 / math.sqrt(3.0 * hidden)
    return Scales(deviation * math.sqrt(recurrent), deviation, deviation * math.sqrt(2.0))


def keras_scales(gates: int, sizes: Sizes) -> Scales:
    """Return the scales of orthonormal columns (or rows), and of Glorot's uniform distribution."""
    hidden, recurrent, features = sizes
    rows = gates * hidden
    return Scales(math.sqrt(recurrent / max(rows, recurrent)), math.sqrt(2.0 / (features + rows)), 0.0)


def ginibre_scales(gates: int, sizes: Sizes) -> Scales:  # noqa: ARG001
    """Return the scales of normal distributions of variance 1/R and 1/I."""
    return Scales(1.0, 1.0 / math.sqrt(sizes[2]), 0.0)


def orthogonal_scales(gates: int, sizes: Sizes) -> Scales:
    """Return the scales of one orthogonal matrix per gate, and of torch's input weights."""
    hidden, recurrent, _ = sizes
    return torch_scales(gates, sizes)._replace(recurrent=math.sqrt(recurrent / max(hidden, recurrent)))


def chrono_scales(gates: int, sizes: Sizes) -> Scales:
    """Return torch's scales, without biases."""
    return torch_scales(gates, sizes)._replace(bias=0.0)


class Scheme(NamedTuple):
    """How weights are drawn, and their scales; None if they are not random."""

    draw: Callable[[int, Sizes, float, Generator], Weights]
    scales: Callable[[int, Sizes], Scales] | None


INITIALIZATIONS = {
    "torch": Scheme(torch, torch_scales),
    "keras": Scheme(keras, keras_scales),
    "ginibre": Scheme(ginibre, ginibre_scales),
    "orthogonal": Scheme(orthogonal, orthogonal_scales),
    "identity": Scheme(identity, None),
    "chrono": Scheme(chrono, chrono_scales),
}

# Types of cell options; the note is what the help of a command shows.
InitializationName = Annotated[str, "|".join(INITIALIZATIONS)]
ChronoHorizon = Annotated[float | None, f"{DEFAULT_CHRONO_HORIZON:g}"]


def draw_fresh_weights(
    init: str, gates: int, sizes: Sizes, gain: float, generator: Generator, horizon: float | None = None
) -> Weights:
    """Return the weights of the initialization named ``init``; ``gain`` multiplies the recurrent ones.

    Raises
    ------
    UsageError
        If the name is unknown, or if the initialization does not use the given horizon.
    """
    if init not in INITIALIZATIONS:
        raise UsageError(describe_unknown("init", init, INITIALIZATIONS))
    if init != "chrono" and horizon is not None:
        raise UsageError(f"horizon={horizon:g} is for init=chrono; leave it out, or add init=chrono")
    return INITIALIZATIONS[init].draw(gates, sizes, gain, generator)


def chrono_bias(hidden_size: int, horizon: float | None, generator: Generator) -> Array:
    """Return log(u), with u uniform on [1, T_max − 1], for memories of up to T_max steps.

    T_max is ``horizon``, by default `DEFAULT_CHRONO_HORIZON` (Tallec & Ollivier 2018, eq. 16).

    Raises
    ------
    UsageError
        If the horizon is below 2.
    """
    longest = DEFAULT_CHRONO_HORIZON if horizon is None else horizon
    if not longest >= 2:
        raise UsageError(f"horizon {longest:g}: expected at least 2 steps, the longest memory")
    return np.log(generator.uniform(1.0, longest - 1.0, hidden_size))


def spread_chrono_biases(
    biases: Mapping[str, Array], gates: Mapping[str, Gate], horizon: float | None, generator: Generator
) -> None:
    """Set the bias of every gate that retains to `chrono_bias`, and that of its counterpart to the negative.

    Parameters
    ----------
    biases : mapping
        The bias (H) of each gate that has one, by the name of the gate. The arrays change in place.
    gates : mapping
        The role of each gate. A name that is missing here is no gate.

    Raises
    ------
    UsageError
        If no gate with a bias retains, or if the horizon is below 2.

    Examples
    --------
    >>> biases = {"z": np.zeros(2), "n": np.zeros(2)}
    >>> gates = {"z": Gate("keeps the state h", 0.0, 1.0, retains=True), "n": Gate("candidate", -1.0, 1.0)}
    >>> spread_chrono_biases(biases, gates, 2.0, np.random.default_rng(0))
    >>> biases
    {'z': array([0., 0.]), 'n': array([0., 0.])}
    """
    retaining = [name for name in biases if name in gates and gates[name].retains]
    if not retaining:
        raise UsageError(
            "init=chrono spreads the bias of a gate that keeps the state, and this cell has no such gate; "
            "expected another init"
        )
    for name in retaining:
        biases[name][:] = chrono_bias(len(biases[name]), horizon, generator)
        for other in list_counterparts(gates, name):
            if other in biases:
                biases[other][:] = -biases[name]


def list_counterparts(gates: Mapping[str, Gate], name: str) -> list[str]:
    """Return the gates that let in new values while ``name`` retains old ones."""
    return [other for other, gate in gates.items() if gate.counterpart == name]


def orthonormal(rows: int, columns: int, gain: float, generator: Generator) -> Array:
    """Return ``gain`` times a random matrix with orthonormal columns, or rows if there are fewer rows."""
    if rows == columns:
        return orthogonal_matrix(rows, gain, generator)
    if rows < columns:
        return orthonormal(columns, rows, gain, generator).T
    q, r = np.linalg.qr(generator.standard_normal((rows, columns)))
    return np.asarray(gain * q * np.where(np.diag(r) < 0, -1.0, 1.0))
