"""What a theory is asked about, and the form of its answers."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gradflow.analysis.shared.exponents import Plan
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.subjects import draw_cell
from gradflow.analysis.theory.extrapolation import MeasurementBias
from gradflow.analysis.theory.mean_field import MAX_LOST_RATE, Mean
from gradflow.cells.base import Array, Cell
from gradflow.cells.initialization import INITIALIZATIONS, Scales
from gradflow.cells.spec import CellSpec
from gradflow.errors import UsageError
from gradflow.linalg.norms import spectral_radius

CIRCULAR_LAW, ORTHOGONAL = "circular law, Girko 1984", "orthogonal: every |ν| is the gain"
TRUNCATED = "truncated orthogonal matrix, Życzkowski & Sommers 2000"


class TheoryCase(NamedTuple):
    """A subject with its options, and the flags that a measurement of it would have."""

    text: str
    options: Mapping[str, Any]
    spec: CellSpec | None  # None where it is no cell
    hidden: int
    inputs: Inputs
    plan: Plan
    seed: int
    seeds: int

    def squares(self) -> Array:
        """Return |x_t|² over transient and steps for every draw, (steps, draws); one where all are equal."""
        if self.inputs.kind in ("zero", "constant"):
            return np.array([[self.inputs.mean_square()]])
        wanted = self.plan.transient + self.plan.steps
        draws = [next(self.inputs.stream(draw, wanted)) for draw in range(self.seeds)]
        with np.errstate(over="ignore"):
            return np.stack([np.square(inputs[:wanted]).sum(axis=1) for inputs in draws], axis=1)

    @property
    def gain(self) -> float:
        """Of the recurrent weights."""
        return float(self.options.get("gain", 1.0))

    def radius_source(self, gates: int) -> str:
        """Return the source of the predicted spectral radius of the recurrent weights of a gate."""
        init = self.options.get("init")
        if init == "keras":  # its gates share one orthogonal matrix
            return ORTHOGONAL if gates == 1 else TRUNCATED
        return ORTHOGONAL if init == "orthogonal" else CIRCULAR_LAW

    def cell(self, draw: int) -> Cell:
        """Return a cell with the weights of one draw, the same as for every other command."""
        assert self.spec is not None
        return draw_cell(self.spec, self.hidden, self.inputs.features, self.seed, draw)

    def scales(self, gates: int) -> Scales:
        """Return the standard deviations of the weights.

        Raises
        ------
        UsageError
            If the weights are not random, or the cell has several layers.
        """
        assert self.spec is not None
        self.spec.make(1, 1, np.random.default_rng(0))  # raises the errors of the cell itself
        if self.spec.layers > 1:
            raise UsageError(f"{self.text!r}: the theory covers one layer; leave layers out")
        init = str(self.options.get("init", "torch"))
        scales = INITIALIZATIONS[init].scales
        if scales is None:
            known = ", ".join(name for name, one in INITIALIZATIONS.items() if one.scales)
            raise UsageError(f"{self.text!r}: the theory covers random weights; expected an init of {known}")
        return scales(gates, (self.hidden, self.hidden, self.inputs.features))


DrawMeasure = Callable[[TheoryCase, int], float | Array]


class EvaluatedPrediction(NamedTuple):
    """A predicted number, and the function that measures it on one draw. It is picklable."""

    quantity: str
    predicted: float  # nan if there is no prediction
    error: float  # of its quadrature, absolute
    source: str
    measure: DrawMeasure | None
    entry: int
    exact: bool
    is_bound: bool


class Prediction(NamedTuple):
    """A function that predicts a number (None if there is none), and one that measures it on one draw.

    ``measure`` returns the number of one draw, or an array with it at the place ``entry``. It is a function
    of a module, so that other processes can call it, and depends on nothing but the case and the draw.
    """

    quantity: str
    predict: Callable[[], Mean | float | None]
    source: str
    measure: DrawMeasure | None = None
    entry: int = 0
    exact: bool = False  # true if it holds for every N, not only as N → ∞
    is_bound: bool = False
    find_bias: Callable[[], MeasurementBias] = MeasurementBias  # of a measurement, unless exact

    def evaluate(self) -> EvaluatedPrediction:
        """Return the prediction with its number computed."""
        number = self.predict()
        mean = number if isinstance(number, Mean) else Mean(math.nan if number is None else number, 0.0)
        return EvaluatedPrediction(
            self.quantity, mean.value, mean.error, self.source, self.measure, self.entry, self.exact,
            self.is_bound,
        )  # fmt: skip


class SubjectTheory(NamedTuple):
    """The predictions of a subject, and which options they depend on.

    ``predict`` is a function of a module, so that other processes can call it.
    ``is_cell``: it has the options of a cell, and features. ``reads_inputs``: predictions depend on inputs.
    """

    predict: Callable[[TheoryCase], list[Prediction]]
    is_cell: bool = True
    reads_inputs: bool = False


def log(value: float) -> float:
    """Return ln of a number that is not negative, −inf of 0."""
    if value <= 0:
        return -math.inf
    found = math.log(value)
    return 0.0 if abs(found) < MAX_LOST_RATE else found


def measure_zero_state_rate(case: TheoryCase, draw: int) -> float:
    """Return ln of the spectral radius of one draw's Jacobian at the state 0, without input."""
    cell = case.cell(draw)
    inputs, states = np.zeros((1, cell.input_size)), np.zeros((2, cell.state_size))
    return log(spectral_radius(cell.linearize(states, inputs).at(0).todense()))
