"""The record of a comparison: its tables and what their columns mean."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis import VERDICTS
from gradflow.analysis.compare.pair_map import PairMap
from gradflow.analysis.compare.paths import PathMeans, Paths
from gradflow.analysis.shared.gates import Gates, GateSteps, bands
from gradflow.analysis.shared.verdicts import SHARE_LEVELS, STILL_LEVELS
from gradflow.drawing import CurveDrawing, DrawnColumn, ImageDrawing, ItemDrawing
from gradflow.linalg.floating import NAMED_LOG10_NORMS
from gradflow.record import Record, column, scalar, table
from gradflow.table import Table

SERIES = ("cell", "block", "kind")


@dataclass(frozen=True, eq=False, repr=False)
class Lags(Table):
    """The Jacobian product at every lag. In the forward view, lag k is the product of the first k steps."""

    cell: list[str] = column("the cell, as it was named")
    lag: list[int] = column("steps k that the gradient goes back", unit="step")
    log10_step_norm: NDArray[np.float64] = column(
        "log₁₀ ‖∂s_{t+1}/∂s_t‖₂ of the single step at that lag, median. Measured when it is read. None for a "
        "step of 3000 numbers or more whose norm did not settle",
        log10=True,
    )
    log10_norm: NDArray[np.float64] = column(
        "log₁₀ of the product's norm, median", log10=True, levels=NAMED_LOG10_NORMS
    )
    log10_norm_low: NDArray[np.float64] = column("its 5 % quantile over seeds", log10=True)
    log10_norm_high: NDArray[np.float64] = column("its 95 % quantile over seeds", log10=True)
    norm: NDArray[np.float64] = column(
        "the product's norm, median; none if it is outside the range of a double", log10_in="log10_norm"
    )
    block: list[str] = column(
        "the block of the product: state is the whole product; direct is ∏ diag(f), an approximation"
    )
    kind: list[str] = column(
        "2: spectral, fro: Frobenius, min: smallest singular value, cond: condition number"
    )
    log10_bound: NDArray[np.float64] = column(
        "log₁₀ of an upper bound by theory, median; none if no bound is known", log10=True
    )


@dataclass(frozen=True, eq=False, repr=False)
class Cells(Table):
    """A summary of the flow, one row for each cell, block and norm."""

    cell: list[str] = column("the cell, as it was named")
    state_size: list[int] = column("numbers in the whole state", detail=True)
    rate: NDArray[np.float64] = column(
        "rate of growth over the second half of the lags, median",
        unit="nats per step",
        levels=STILL_LEVELS,
        low="rate_low",
        high="rate_high",
    )
    rate_low: NDArray[np.float64] = column("its 5 % quantile over seeds", unit="nats per step")
    rate_high: NDArray[np.float64] = column("its 95 % quantile over seeds", unit="nats per step")
    half_life: NDArray[np.float64] = column(
        "steps in which a gradient halves at this rate; inf: it never halves", unit="step", detail=True
    )
    horizon_float32: list[int | None] = column(
        "first lag outside float32's normal numbers", unit="step", detail=True
    )
    horizon_float16: list[int | None] = column(
        "first lag outside float16's normal numbers", unit="step", detail=True
    )
    horizon_bfloat16: list[int | None] = column(
        "first lag outside bfloat16's normal numbers", unit="step", detail=True
    )
    verdict: list[str | None] = column(
        "verdict on the median share over all possible draws, at the largest lag. vanishing: under 1e-4; "
        "borderline: 1e-4 to 1e-2, or different verdicts at median_low and median_high; stable: 1e-2 to 100; "
        "exploding: over 100, or the state overflows",
        detail=True,
    )
    log10_share: NDArray[np.float64] = column(
        "log₁₀ of the share of a gradient that is left at the largest lag: ‖∂h_T/∂s_{T−k}‖_F / √H for an "
        "output h of size H, the factor for the gradient of a loss in a random direction; median over "
        "seeds. For a block of the product: its root mean square singular value. None if no product is "
        "formed",
        log10=True,
        levels=SHARE_LEVELS,
    )
    log10_share_low: NDArray[np.float64] = column("its 5 % quantile over seeds", log10=True, detail=True)
    log10_share_high: NDArray[np.float64] = column("its 95 % quantile over seeds", log10=True, detail=True)
    block: list[str] = column("the block of the product")
    kind: list[str] = column("the norm of that block")
    blow_up_step: list[int | None] = column("step at which a state overflows", unit="step", detail=True)
    norm_error: NDArray[np.float64] = column(
        "upper bound of the relative error of a norm, from shortcuts and rounding, at lags before bound_from",
        detail=True,
    )
    draws: list[int] = column(
        "draws that were measured: seeds, or the given sequences of a trained network", detail=True
    )
    median_low: NDArray[np.float64] = column(
        "low end of an interval that contains the median of log10_share over all possible draws with "
        "probability median_confidence. It is the number of one draw, or inf if the state of that draw "
        "overflows. It is none with one draw",
        log10=True,
        detail=True,
    )
    median_high: NDArray[np.float64] = column("high end of that interval", log10=True, detail=True)
    median_confidence: list[float | None] = column(
        "probability that the median share over all possible draws lies between median_low and median_high: "
        "over 0.95, or 1 − 2^(1−n) with n < 6 draws. It is none with one draw",
        detail=True,
    )
    bound_from: list[int | None] = column(
        "first lag at which rounding leaves no digit of the norm: log10_norm is then an upper bound",
        unit="step",
        detail=True,
    )
    step_norm_error: NDArray[np.float64] = column(
        "bound of the relative error of the norms in log10_step_norm, rounded up. With more than 64 numbers "
        "in the state, it is wrong with a probability below 1e-6",
        detail=True,
    )
    trajectory_error: NDArray[np.float64] = column(
        "estimate of the change of log₁₀ of a norm when weights and inputs change by one unit in the last "
        "place: twice the largest change over lags, seeds and three runs",
        unit="decades",
        detail=True,
    )
    zero_draws: list[int] = column("number of draws whose share is exactly 0", detail=True)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Flow(Record):
    """Gradient flow through cells that receive the same inputs.

    ``flow`` is the main table, with a row for each lag of each cell. ``cells`` has a row for each cell.

    See Also
    --------
    gradflow.compare : Computes this record.

    Examples
    --------
    In a linear network whose W is 0.9 times an orthogonal matrix, the norm at lag k is 0.9ᵏ:

    >>> import numpy as np
    >>> import gradflow
    >>> result = gradflow.compare("rnn:activation=identity,init=orthogonal,gain=0.9", hidden=4, steps=50)
    >>> bool(np.allclose(result.flow.norm, 0.9 ** np.arange(1, 51), rtol=1e-12))
    True
    >>> bool(np.allclose(result.cells.rate, np.log(0.9))), result.cells.verdict
    (True, ['borderline'])
    """

    command: ClassVar[str] = "compare"
    verdicts: ClassVar[tuple[str, ...]] = VERDICTS

    steps: int = scalar("T, the largest lag")
    seeds: int = scalar("draws of weights, and of inputs unless given")
    features: int = scalar("features of an input")
    hidden: int = scalar("hidden size of each fresh cell")
    view: str = scalar("backward: ∂s_T/∂s_{T−k}; forward: ∂s_k/∂s_0")
    conclusion: str = scalar("the result in words, a line for each row of cells", prose=True)

    flow: Lags = table(
        "norm of the Jacobian product by lag k: median over seeds",
        index="lag",
        across=SERIES,
        value="log10_norm",
        drawn=[
            CurveDrawing(
                "lag",
                (
                    DrawnColumn("log10_norm", low="log10_norm_low", high="log10_norm_high"),
                    DrawnColumn("log10_bound", dashed=True, bound=True),
                ),
                apart=SERIES,
                label_from="norm_label",
                title="gradient by lag: median over seeds, band of 5 to 95 %",
            )
        ],
    )
    cells: Cells = table(
        "summary of each cell",
        across=SERIES,
        drawn=[
            ItemDrawing(
                SERIES,
                (DrawnColumn("rate", low="rate_low", high="rate_high"),),
                label="rate over the second half of the lags: median, 5 to 95 %",
                title="rate of each cell",
            )
        ],
    )
    gates: Gates | None = table(
        "what the gates do: medians over seeds",
        absent="no cell has gates",
        drawn=[
            ItemDrawing(
                ("cell", "gate", "layer"),
                (DrawnColumn("mean", low="low", high="high"),),
                label="value of the gate: mean, 5 to 95 %",
                title="values of the gates",
            )
        ],
    )
    gate_steps: GateSteps | None = table(
        "the gates at every step: medians over seeds",
        value="median",
        absent="add `gate_steps=True`, and a cell with gates: lstm or gru",
        drawn=[bands("cell", "layer")],
    )
    path_means: PathMeans | None = table(
        "the terms of ∂c_t/∂c_{t−1}, averaged over steps",
        drawn=[
            ItemDrawing(
                ("cell", "path", "layer"),
                (DrawnColumn("share"),),
                title="terms of the gradient of the cell state, mean over steps",
            )
        ],
        absent="add `paths=True`, and a cell with a cell state: lstm",
        shown=True,
    )
    paths: Paths | None = table(
        "the terms of ∂c_t/∂c_{t−1} at every step",
        value="log10_norm",
        drawn=[
            CurveDrawing(
                "step",
                (DrawnColumn("share"),),
                apart=("path",),
                panels=("cell", "layer"),
                title="terms of the gradient of the cell state",
            )
        ],
        absent="add `paths=True`, and a cell with a cell state: lstm",
    )
    map: PairMap | None = table(
        "norm of ∂s_t/∂s_k for every pair",
        value="log10_norm",
        absent="add `pair_map=True`",
        drawn=[
            ImageDrawing(
                "k",
                "t",
                "log10_norm",
                panels=("cell",),
                label="$‖∂s_t/∂s_k‖$",
                title="gradient between every pair of steps",
            )
        ],
    )

    @property
    def norm_label(self) -> str:
        """The norm of the main table as a label, with formulas between $ signs."""
        if {*self.cells.block} != {"state"} or {*self.cells.kind} != {"2"}:
            return "norm of the product"
        return "$‖∂s_k/∂s_0‖$" if self.view == "forward" else "$‖∂s_T/∂s_{T−k}‖$"

    def get_verdicts(self) -> frozenset[str]:
        """Return the verdicts of all rows. A condition number has no verdict."""
        return frozenset(verdict for verdict in self.cells.verdict if verdict)
