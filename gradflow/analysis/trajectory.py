"""One cell along one input: its Jacobian factors, and the norms of their products by lag."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradflow.cells.base import Cell
from gradflow.errors import NumericalError
from gradflow.linalg.norms import spectral_norm
from gradflow.linalg.products import Factor, backward_products
from gradflow.linalg.scaled import Scaled


class Run(NamedTuple):
    """One cell with one draw of weights: ``log10_step_norms`` and ``log10_norms`` of shape (T,), by lag."""

    log10_step_norms: NDArray[np.float64]
    log10_norms: NDArray[np.float64]
    state_size: int
    underflows: int  # how often numbers under 1e-308 had to be counted as 0


def run(cell: Cell, inputs: NDArray[np.float64], name: str = "cell", state: ArrayLike | None = None) -> Run:
    """Run a cell along ``inputs`` of shape (T, features) and measure its Jacobians by lag.

    Parameters
    ----------
    name : str
        What to call the cell in a message.
    state : array (state_size,), optional
        Initial state, 0 unless given.

    Raises
    ------
    NumericalError
        Where the state leaves the range of a double, with the step.
    """
    lost: list[str] = []
    factors = linearize(cell, inputs, name, state, lambda kind, _: lost.append(kind))
    steps = [spectral_norm(Scaled.of(factor.todense())).log10() for factor in reversed(factors)]
    norms = [spectral_norm(product).log10() for product in backward_products(factors)]
    return Run(np.array(steps), np.array(norms), cell.state_size, len(lost))


def linearize(
    cell: Cell,
    inputs: NDArray[np.float64],
    name: str = "cell",
    state: ArrayLike | None = None,
    underflow: Callable[[str, int], object] = lambda kind, flag: None,  # noqa: ARG005
) -> list[Factor]:
    """Return the Jacobian factor of each step along ``inputs``, starting at ``state`` (0 unless given).

    ``underflow`` is called, as `numpy.seterrcall` has it, where a gate or a slope is too small for a double.
    """
    current = np.zeros(cell.state_size) if state is None else np.asarray(state, dtype=np.float64)
    factors = []
    with np.errstate(over="ignore", invalid="ignore", under="call", call=underflow):
        for step, x in enumerate(inputs, 1):
            current, factor = cell.step(current, x)
            if not np.isfinite(current).all():
                raise NumericalError(
                    f"{name}: the state leaves the range of a double at step {step} of {len(inputs)}; "
                    "expected a bounded trajectory: lower the gain, the inputs or the number of steps"
                )
            factors.append(factor)
    return factors
