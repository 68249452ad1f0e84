"""What a theory is asked about, and the form of its answers."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gradflow.analysis.exponents import Plan
from gradflow.analysis.inputs import Inputs
from gradflow.cells.base import Array, Cell
from gradflow.cells.initialization import INITIALIZATIONS, Scales
from gradflow.cells.spec import CellSpec
from gradflow.errors import UsageError

CIRCULAR_LAW, ORTHOGONAL = "circular law, Girko 1984", "orthogonal: every |ν| is the gain"


class Case(NamedTuple):
    """A subject with its options, and the flags that a measurement of it would have."""

    text: str
    options: Mapping[str, Any]
    spec: CellSpec | None  # None where it is no cell
    hidden: int
    inputs: Inputs
    plan: Plan
    seed: int

    @property
    def gain(self) -> float:
        """Of the recurrent weights."""
        return float(self.options.get("gain", 1.0))

    def radius_source(self, gates: int) -> str:
        """Return who predicts the radius of a gate's recurrent weights."""
        whole = self.options.get("init") == "orthogonal" or (
            self.options.get("init") == "keras" and gates == 1
        )
        return ORTHOGONAL if whole else CIRCULAR_LAW

    def cell(self, draw: int) -> Cell:
        """Return a cell with the weights of one draw, the same as for every other command."""
        assert self.spec is not None
        generator = np.random.default_rng([self.seed, draw, 1])
        return self.spec.make(self.hidden, self.inputs.features, generator)

    def scales(self, gates: int) -> Scales:
        """Return how large the weights are.

        Raises
        ------
        UsageError
            Where they are not random, or the cell has several layers.
        """
        assert self.spec is not None
        self.spec.make(1, 1, np.random.default_rng(0))  # refuses what the cell refuses
        if self.spec.layers > 1:
            raise UsageError(f"{self.text!r}: theory is of one layer; leave layers out")
        init = str(self.options.get("init", "torch"))
        scales = INITIALIZATIONS[init].scales
        if scales is None:
            known = ", ".join(name for name, one in INITIALIZATIONS.items() if one.scales)
            raise UsageError(f"{self.text!r}: theory is of random weights; expected init of {known}")
        return scales(gates, (self.hidden, self.hidden, self.inputs.features))


class Prediction(NamedTuple):
    """A number that theory gives (None where it has none), and how one draw is measured for it."""

    quantity: str
    predicted: float | None
    source: str
    measure: Callable[[int], float] | None = None
    error: float = 0.0  # of the quadrature, absolute
    exact: bool = False  # at any N, not for N → ∞ alone


def log(value: float) -> float:
    """Return ln of a number that is not negative, −inf of 0."""
    return math.log(value) if value > 0 else -math.inf


def radius(matrix: Array) -> float:
    """Return the spectral radius."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def zero_state_radius(cell: Cell) -> float:
    """Return the spectral radius of the Jacobian at the state 0, without input."""
    inputs, states = np.zeros((1, cell.input_size)), np.zeros((2, cell.state_size))
    return radius(cell.linearize(states, inputs).at(0).todense())
