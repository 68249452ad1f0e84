"""The record of a Lyapunov spectrum."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis import FLOW_VERDICTS
from gradflow.analysis.shared.verdicts import STILL
from gradflow.drawing import CurveDrawing, DrawnColumn
from gradflow.record import Record, column, scalar, table

RATE = "nats per step"


@dataclass(frozen=True, eq=False)
class Exponents:
    """The spectrum, the largest exponent first."""

    index: list[int] = column("place in the spectrum, from 1")
    exponent: NDArray[np.float64] = column(
        "mean growth of ln r_ii; -inf: see singular", unit=RATE, levels=STILL
    )
    standard_error: NDArray[np.float64] = column(
        "of the exponent, its steps being correlated, and what rounding may cost; as much as keeps 0 within "
        "two where growth as a power of the steps may explain it; inf (in JSON null) for a direction that "
        "seems to die for rounding alone; none under 8 steps",
        unit=RATE,
    )
    converged: list[bool] = column(
        "whether that is at most the tolerance (0.01 nats per step unless given), the run is long beside the "
        "memory of the system, both its halves agree, no power of the steps explains it, and runs from "
        "several initial states agree"
    )
    singular: list[bool] = column("whether the direction dies in a singular Jacobian: -inf, in JSON null")


@dataclass(frozen=True, eq=False)
class History:
    """The spectrum as it was estimated on the way."""

    step: list[int] = column("steps after the transient", unit="step")
    index: list[int] = column("column of Q, from 1")
    exponent: NDArray[np.float64] = column("estimate from the steps up to there", unit=RATE)


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
    >>> found = gradflow.lyapunov(jacobians=np.tile(np.diag([0.5, 2.0]), (200, 1, 1)))
    >>> bool(np.allclose(found.exponents.exponent, [np.log(2), -np.log(2)], atol=1e-12))
    True
    >>> found.verdict, abs(found.sum) < 1e-12, found.kaplan_yorke_dimension
    ('exploding', True, 2.0)
    """

    command: ClassVar[str] = "lyapunov"
    verdicts: ClassVar[tuple[str, ...]] = FLOW_VERDICTS

    largest: float = scalar("the leading exponent λ₁", unit=RATE)
    largest_standard_error: float = scalar("its standard error; none under 8 steps", unit=RATE)
    largest_low: float = scalar(
        "low end of its 95 % interval, or of those of all initial states where they disagree; none under "
        "8 steps",
        unit=RATE,
    )
    largest_high: float = scalar("high end of that interval", unit=RATE)
    sum: float = scalar("of the exponents computed: how fast the volume that they span grows", unit=RATE)
    mean_log_abs_det: float | None = scalar(
        "mean ln |det J|, found apart from them: what the whole spectrum must add up to", unit=RATE
    )
    sum_rule_error: float | None = scalar("how far those two are apart", unit=RATE)
    kaplan_yorke_dimension: float | None = scalar(
        "dimension of the attractor by Kaplan & Yorke; none where more exponents are needed, or rounding "
        "decides the leading one"
    )
    entropy_rate: float | None = scalar(
        "sum of the positive exponents; none where there may be more, or rounding decides the leading one",
        unit=RATE,
    )
    condition_growth: float | None = scalar(
        "λ₁ − λ_n: how fast the condition number of the product grows; inf where it is singular", unit=RATE
    )
    rank: int = scalar("finite exponents: directions that the product does not kill")
    horizon: float | None = scalar(
        "lag at which the leading direction is down to 2.2e-16; inf: never, none where rounding decides",
        unit="step",
    )
    verdict: str = scalar(
        "on that interval. stable: all within a factor of 100 over the steps, at least 100; undecided: 0 "
        "lies in it otherwise, or it is unknown, or rounding decides, or few of the draws overflow"
    )
    steps_to_decide: int | None = scalar(
        "where undecided: steps at which 0 leaves the interval if the exponent stays; none of several draws, "
        "nor where the run tells too little to say",
        unit="step",
    )
    seeds_to_decide: int | None = scalar("the same of several draws, at least 6: how many")
    state_size: int = scalar("n, numbers in the whole state")
    count: int = scalar("exponents computed")
    steps: int = scalar("steps measured, of each draw; the fewest where a state overflows")
    transient: int = scalar("steps before them, left out")
    seeds: int = scalar("draws of weights, and of inputs unless given")
    starts: int = scalar("initial states of each draw; from all but the first the leading exponent alone")
    starts_agree: bool | None = scalar(
        "whether those exponents are one, but for errors and a factor of 100 over the steps; none where "
        "nobody can tell, as of fewer than 8 steps"
    )
    starts_difference: float | None = scalar("the most by which those of one draw differ", unit=RATE)
    blow_up_step: int | None = scalar("step at which a state overflows", unit="step")
    conclusion: str = scalar("in words", prose=True)

    exponents: Exponents = table(
        "the Lyapunov spectrum",
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
