"""The record of theoretical predictions and their measurements."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis import RATE_UNIT, VERDICTS
from gradflow.analysis.shared.verdicts import STILL_LEVELS
from gradflow.drawing import CurveDrawing, DrawnColumn, ItemDrawing
from gradflow.record import Record, column, scalar, table
from gradflow.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Table):
    """Predictions of theory for N → ∞, and measurements at the given size and extrapolated."""

    quantity: list[str] = column("the predicted quantity")
    predicted: NDArray[np.float64] = column("value by theory, for N → ∞")
    measured: NDArray[np.float64] = column(
        "measured value, mean over draws of weights and inputs of the given size", error="standard_error"
    )
    standard_error: NDArray[np.float64] = column("standard error of that mean")
    extrapolated: NDArray[np.float64] = column(
        "measurement extrapolated to N → ∞: predicted, plus the limit of measured − predicted, linear in 1/N "
        "(in 1/√N for the edge of a spectrum) from N and N/2. None if the prediction holds at every N, if "
        "N/4 is under 8, if a state overflows, and if a network of N/4 units may be on the other side of a "
        "transition",
        error="extrapolation_error",
    )
    extrapolation_error: NDArray[np.float64] = column(
        "error of the extrapolation: its standard error, and its differences to that from N, N/2 and N/4 and "
        "to that in 1/√N; for the edge of a spectrum also the standard deviation of single draws"
    )
    deviation: NDArray[np.float64] = column(
        "distance of the measurement from the prediction, in standard errors: (extrapolated − predicted) / "
        "extrapolation_error, or for a prediction that holds at every N (measured − predicted) / "
        "standard_error, reduced for few draws to the normal deviate of the same probability by Student's t "
        "distribution. None for a bound, and without an extrapolation",
        levels={0.0: "as predicted"},
    )
    source: list[str] = column("source of the prediction", detail=True)


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Table):
    """The leading rate at each value of one parameter."""

    value: NDArray[np.float64] = column("value of the parameter")
    predicted: NDArray[np.float64] = column("leading rate by theory", unit=RATE_UNIT, levels=STILL_LEVELS)
    measured: NDArray[np.float64] = column(
        "measured leading rate, mean over draws", unit=RATE_UNIT, error="standard_error"
    )
    standard_error: NDArray[np.float64] = column("standard error of that mean", unit=RATE_UNIT)
    phase: list[str] = column("by theory: whether small changes shrink (shrinking) or grow (growing)")
    critical: list[bool] = column("whether the phase changes between the previous row and this one")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Theory(Record):
    """Predictions of random-matrix and mean-field theory beside measurements.

    ``predictions`` is the table for a single cell, ``sweep`` the table for a range of one option. A record
    has one of the two. Quantities that were not measured are nan.

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
    verdicts: ClassVar[tuple[str, ...]] = VERDICTS

    rate: float = scalar(
        "leading rate by theory (largest_exponent, zero_state_rate or exponent_1); for a range that of the "
        "last value",
        unit=RATE_UNIT,
    )
    verdict: str = scalar(
        "stable: at that rate max(steps, 100) steps change a gradient by at most a factor of 100; "
        "borderline: the quadrature error leaves the sign of the rate open"
    )
    parameter: str | None = scalar("the option with a range")
    critical_value: float | None = scalar("value of the parameter at which the predicted rate crosses 0")
    critical_measured: float | None = scalar(
        "value at which the measured rate crosses 0, interpolated between two values of the range"
    )
    quadrature_error: float = scalar(
        "estimated absolute error of the predicted rate by quadrature", unit=RATE_UNIT
    )
    hidden: int = scalar("N, units or rows")
    features: int = scalar("features of an input")
    steps: int = scalar("steps over which an exponent is measured")
    seeds: int = scalar("draws of weights and inputs")
    conclusion: str = scalar("the result in words", prose=True)

    predictions: Predictions | None = table(
        "predictions and measurements",
        absent="a range has the table sweep instead; give a single value",
        drawn=[
            ItemDrawing(
                ("quantity",),
                (DrawnColumn("deviation"),),
                label="deviation from the prediction / its error",
                title="deviations of measurements from predictions",
                marks=((-3.0, "three errors"), (3.0, "three errors")),
                with_value=True,
            )
        ],
    )
    sweep: Sweep | None = table(
        "the leading rate at each value of the range",
        value="predicted",
        absent="give one option a range, as in `gain=0.5:2:0.1`",
        drawn=[
            CurveDrawing(
                "value",
                (DrawnColumn("predicted"), DrawnColumn("measured", error="standard_error", marks=True)),
                label="leading rate",
                x_label="{parameter}",
            )
        ],
    )

    def get_verdicts(self) -> frozenset[str]:
        """Return the verdict."""
        return frozenset({self.verdict})
