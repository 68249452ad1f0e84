"""The record of a Lyapunov spectrum."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis import RATE_UNIT, VERDICTS
from gradflow.analysis.shared.verdicts import STILL_LEVELS
from gradflow.drawing import CurveDrawing, DrawnColumn
from gradflow.record import Record, column, scalar, table
from gradflow.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Exponents(Table):
    """The spectrum, the largest exponent first."""

    index: list[int] = column("place in the spectrum, from 1")
    exponent: NDArray[np.float64] = column(
        "mean growth of ln r_ii; for -inf see singular",
        unit=RATE_UNIT,
        levels=STILL_LEVELS,
        error="standard_error",
    )
    standard_error: NDArray[np.float64] = column(
        "standard error of the exponent for correlated steps, plus an estimate of rounding. It keeps 0 "
        "within two errors if growth as a power of the steps can explain the data. inf (null in JSON) if "
        "only rounding makes the exponent -inf; none for fewer than 8 steps",
        unit=RATE_UNIT,
    )
    converged: list[bool] = column(
        "whether the standard error is at most the tolerance (default 0.01 nats per step), the run is long "
        "compared with the memory of the system, both halves of the run agree, growth as a power of the "
        "steps cannot explain the data, and runs from several initial states agree"
    )
    singular: list[bool] = column(
        "whether a singular Jacobian maps the direction to 0: the exponent is -inf, null in JSON", detail=True
    )


@dataclass(frozen=True, eq=False, repr=False)
class History(Table):
    """The spectrum as it was estimated on the way."""

    step: list[int] = column("steps after the transient", unit="step")
    index: list[int] = column("column of Q, from 1")
    exponent: NDArray[np.float64] = column("estimate from the steps up to there", unit=RATE_UNIT)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Lyapunov(Record):
    """Lyapunov exponents, forward in time, of the whole state.

    ``exponents`` is the main table, the largest first; ``history`` is how the estimates came about.

    See Also
    --------
    gradflow.lyapunov : Computes it.

    Examples
    --------
    A step that halves one direction and doubles the other has the exponents ±ln 2, and they add up to ln 1:

    >>> import numpy as np
    >>> import gradflow
    >>> found = gradflow.lyapunov(jacobians=np.tile(np.diag([0.5, 2.0]), (200, 1, 1)), transient=50)
    >>> bool(np.allclose(found.exponents.exponent, [np.log(2), -np.log(2)], atol=1e-12))
    True
    >>> found.verdict, abs(found.sum) < 1e-12, found.kaplan_yorke_dimension
    ('exploding', True, 2.0)
    """

    command: ClassVar[str] = "lyapunov"
    verdicts: ClassVar[tuple[str, ...]] = VERDICTS

    largest: float = scalar("the leading exponent λ₁", unit=RATE_UNIT)
    largest_standard_error: float = scalar(
        "standard error of λ₁; none for fewer than 8 steps", unit=RATE_UNIT
    )
    largest_low: float = scalar(
        "low end of its 95 % interval. If initial states disagree, the interval covers all of theirs. none "
        "for fewer than 8 steps",
        unit=RATE_UNIT,
    )
    largest_high: float = scalar("high end of that interval", unit=RATE_UNIT)
    sum: float = scalar(
        "sum of the computed exponents: the growth of the volume that their directions span", unit=RATE_UNIT
    )
    mean_log_abs_det: float | None = scalar(
        "mean ln |det J|, computed separately: the sum of a whole spectrum equals it", unit=RATE_UNIT
    )
    sum_rule_error: float | None = scalar("distance between sum and mean_log_abs_det", unit=RATE_UNIT)
    kaplan_yorke_dimension: float | None = scalar(
        "dimension of the attractor by Kaplan & Yorke; none if it needs more exponents, or if rounding "
        "decides the leading one"
    )
    entropy_rate: float | None = scalar(
        "sum of the positive exponents; none if more may be positive, or if rounding decides the leading one",
        unit=RATE_UNIT,
    )
    condition_growth: float | None = scalar(
        "λ₁ − λ_n: the growth of the condition number of the product; inf if the product is singular",
        unit=RATE_UNIT,
    )
    rank: int = scalar("number of finite exponents: the directions that the product does not map to 0")
    horizon: float | None = scalar(
        "lag at which the leading direction has shrunk to 2.2e-16; inf: never; none if rounding decides",
        unit="step",
    )
    verdict: str = scalar(
        "from largest_low and largest_high. stable: at every exponent between them, max(steps, 100) steps "
        "change a gradient by at most a factor of 100; borderline: not stable, and 0 lies between them, or "
        "the estimate itself is stable, or they are unknown, or rounding decides, or the state overflows in "
        "some draws but not in most"
    )
    steps_to_decide: int | None = scalar(
        "for a borderline verdict: number of steps at which the interval excludes 0 if the exponent stays "
        "the same; none for several draws, or if the run is too short for an estimate",
        unit="step",
    )
    seeds_to_decide: int | None = scalar("the same for several draws, 6 or more: number of draws")
    state_size: int = scalar("n, the number of entries of the whole state")
    count: int = scalar("number of computed exponents")
    steps: int = scalar("measured steps of each draw; if a state overflows, of the draw with the fewest")
    transient: int = scalar("steps before the measured ones, which are left out")
    seeds: int = scalar("draws of weights, and of inputs unless given")
    starts: int = scalar(
        "initial states of each draw. All but the first are used for the leading exponent only"
    )
    starts_agree: bool | None = scalar(
        "whether the leading exponents from all initial states agree, within errors and a factor of 100 over "
        "the steps; none if the data do not decide, for example for fewer than 8 steps"
    )
    starts_difference: float | None = scalar(
        "largest difference between these exponents in one draw", unit=RATE_UNIT
    )
    blow_up_step: int | None = scalar("step at which a state overflows", unit="step")
    conclusion: str = scalar("in words", prose=True)

    exponents: Exponents = table(
        "the Lyapunov spectrum",
        index="index",
        value="exponent",
        drawn=[
            CurveDrawing(
                "index", (DrawnColumn("exponent", error="standard_error", marks=True),), label="exponent"
            )
        ],
    )
    history: History = table(
        "running estimates, mean over draws",
        value="exponent",
        drawn=[CurveDrawing("step", (DrawnColumn("exponent"),), apart=("index",))],
    )

    def get_verdicts(self) -> frozenset[str]:
        """Return the verdict."""
        return frozenset({self.verdict})
