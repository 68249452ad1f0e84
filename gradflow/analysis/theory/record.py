"""The record of what theory predicts."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis import FLOW_VERDICTS
from gradflow.analysis.shared.verdicts import STILL
from gradflow.drawing import CurveDrawing, DrawnColumn, ItemDrawing
from gradflow.record import Record, column, scalar, table

RATE = "nats per step"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What theory says for N → ∞, and what is."""

    quantity: list[str] = column("what is predicted")
    predicted: NDArray[np.float64] = column("by theory, for N → ∞")
    measured: NDArray[np.float64] = column("mean over draws of weights and inputs of the size asked for")
    standard_error: NDArray[np.float64] = column("of that mean")
    deviation: NDArray[np.float64] = column(
        "measured less predicted, in standard errors",
        levels={0.0: "as predicted"},
    )
    source: list[str] = column("who predicts it")


@dataclass(frozen=True, eq=False)
class Sweep:
    """The leading rate, value by value of one parameter."""

    value: NDArray[np.float64] = column("value of the parameter")
    predicted: NDArray[np.float64] = column("leading rate by theory", unit=RATE, levels=STILL)
    measured: NDArray[np.float64] = column("mean over draws", unit=RATE)
    standard_error: NDArray[np.float64] = column("of that mean", unit=RATE)
    deviation: NDArray[np.float64] = column("measured less predicted, in standard errors")
    phase: list[str] = column("by theory: whether small changes are shrinking or growing")
    critical: list[bool] = column("whether the phase turns between the row before and this one")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Theory(Record):
    """What random-matrix and mean-field theory predicts, beside what is measured.

    ``predictions`` is the table of one cell, ``sweep`` that of a range of one option; a record has one of
    them. What was not measured is nan.

    See Also
    --------
    gradflow.theory : Computes it.

    Examples
    --------
    The exponent of a product of normal numbers is the mean of ln |x|, −(γ + ln 2)/2:

    >>> import numpy as np
    >>> import gradflow
    >>> found = gradflow.theory("ginibre", hidden=1, measure=False)
    >>> found.predictions.quantity, found.verdict
    (['spectral_radius', 'exponent_1'], 'vanishing')
    >>> bool(np.isclose(found.rate, -(np.euler_gamma + np.log(2)) / 2, rtol=1e-12))
    True
    """

    command: ClassVar[str] = "theory"
    verdicts: ClassVar[tuple[str, ...]] = FLOW_VERDICTS

    rate: float = scalar(
        "leading rate by theory (largest_exponent, zero_state_rate or exponent_1); of a range the last",
        unit=RATE,
    )
    verdict: str = scalar("stable: at that rate within a factor of 100 over the steps, at least 100")
    parameter: str | None = scalar("what is swept")
    critical_value: float | None = scalar("of the parameter, where the predicted rate crosses 0")
    critical_measured: float | None = scalar("and where the measured one does, between two values")
    quadrature_error: float = scalar(
        "of a predicted rate, absolute, by the quadrature's own account", unit=RATE
    )
    hidden: int = scalar("N, units or rows")
    features: int = scalar("features of an input")
    steps: int = scalar("steps that an exponent is measured over")
    seeds: int = scalar("draws of weights and inputs")
    conclusion: str = scalar("in words", prose=True)

    predictions: Predictions | None = table(
        "theory beside measurement",
        absent="a sweep has the table sweep instead: leave the range out",
        drawn=[ItemDrawing(("quantity",), (DrawnColumn("deviation"),))],
    )
    sweep: Sweep | None = table(
        "the leading rate, value by value",
        absent="sweep a parameter, as in --gain 0.5:2:0.1",
        drawn=[
            CurveDrawing(
                "value",
                (DrawnColumn("predicted"), DrawnColumn("measured", error="standard_error", marks=True)),
                label="leading rate",
            )
        ],
    )

    def get_verdicts(self) -> frozenset[str]:
        """Return the verdict."""
        return frozenset({self.verdict})
