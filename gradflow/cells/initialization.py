"""Fresh weights for a cell of any number of gates, stacked gate by gate as torch stacks them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import UsageError
from gradflow.linalg.ensembles import orthogonal as orthogonal_matrix
from gradflow.tables import unknown

Array = NDArray[np.float64]


class Weights(NamedTuple):
    """``weight_ih`` (G·H, I), ``weight_hh`` (G·H, H) and ``bias`` (G·H): G gates, H hidden, I input size.

    The bias is the sum of the two that torch keeps.
    """

    weight_ih: Array
    weight_hh: Array
    bias: Array


def torch(
    gates: int, hidden_size: int, input_size: int, gain: float, generator: np.random.Generator
) -> Weights:
    """Return torch's default: everything uniform on ±1/√H; ``gain`` multiplies the recurrent weights.

    The recurrent weights' gain in the sense of random-matrix theory is then gain/√3.
    """
    bound = 1.0 / np.sqrt(hidden_size)
    rows = gates * hidden_size
    return Weights(
        weight_ih=generator.uniform(-bound, bound, (rows, input_size)),
        weight_hh=gain * generator.uniform(-bound, bound, (rows, hidden_size)),
        bias=generator.uniform(-bound, bound, rows) + generator.uniform(-bound, bound, rows),
    )


def orthogonal(
    gates: int, hidden_size: int, input_size: int, gain: float, generator: np.random.Generator
) -> Weights:
    """Return torch's default with orthogonal recurrent weights, gate by gate, times ``gain`` (Saxe 2014)."""
    default = torch(gates, hidden_size, input_size, 1.0, generator)
    blocks = [orthogonal_matrix(hidden_size, gain, generator) for _ in range(gates)]
    return Weights(default.weight_ih, np.vstack(blocks), default.bias)


INITIALIZATIONS: dict[str, Callable[[int, int, int, float, np.random.Generator], Weights]] = {
    "torch": torch,
    "orthogonal": orthogonal,
}


def fresh_weights(
    init: str, gates: int, hidden_size: int, input_size: int, gain: float, generator: np.random.Generator
) -> Weights:
    """Return the weights of the initialization named ``init``.

    Raises
    ------
    UsageError
        For an unknown name, with the valid ones.
    """
    if init not in INITIALIZATIONS:
        raise UsageError(unknown("init", init, INITIALIZATIONS))
    return INITIALIZATIONS[init](gates, hidden_size, input_size, gain, generator)
