"""The record of a gradient taken apart by lag."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradflow.drawing import CurveDrawing, DrawnColumn, ImageDrawing, ItemDrawing
from gradflow.record import Record, column, scalar, table
from gradflow.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class LagParts(Table):
    """The parts of ∂L/∂W by lag, and what truncated backpropagation would lose."""

    lag: list[int] = column("steps t − k that the gradient goes back", unit="step")
    log10_norm: NDArray[np.float64] = column(
        "log₁₀ ‖Σ_t ∂L_t/∂s_t ∂s_t/∂s_{t−lag} ∂⁺s_{t−lag}/∂W‖, this lag's part of the gradient", log10=True
    )
    norm: NDArray[np.float64] = column("the norm; none outside the range of a double", log10_in="log10_norm")
    share: NDArray[np.float64] = column(
        "share of the whole gradient: the component along its direction, divided by its norm"
    )
    cumulative_share: NDArray[np.float64] = column("sum of the shares up to this lag")
    truncation_error: NDArray[np.float64] = column(
        "‖what is lost without all later lags‖ / ‖whole‖, with a relative error of 1e-9; none outside the "
        "range of a double",
        levels={0.1: "10 %", 0.01: "1 %", 0.001: "0.1 %"},
        log10_in="log10_truncation_error",
    )
    log10_truncation_error: NDArray[np.float64] = column(
        "log₁₀ of truncation_error",
        log10=True,
        levels={-1.0: "10 %", -2.0: "1 %", -3.0: "0.1 %"},
    )
    truncation_cosine: NDArray[np.float64] = column(
        "cosine of the angle between the kept part and the whole; none if nothing is kept"
    )


@dataclass(frozen=True, eq=False, repr=False)
class Windows(Table):
    """Two ways to truncate: every L_t goes back through a window, or the state is detached now and then."""

    window: list[int] = column("steps w", unit="step")
    truncation_error: NDArray[np.float64] = column(
        "relative loss if each L_t is carried back through w steps"
    )
    detached_error: NDArray[np.float64] = column(
        "relative loss if the state is detached every w steps, as most scripts do"
    )


@dataclass(frozen=True, eq=False, repr=False)
class CreditMap(Table):
    """A row for every pair of steps."""

    t: list[int] = column("the step of the loss", unit="step")
    k: list[int] = column("the step at which the parameter was used", unit="step")
    log10_norm: NDArray[np.float64] = column("log₁₀ of the norm of their part of ∂L/∂W", log10=True)
    share: NDArray[np.float64] = column(
        "share of the whole gradient: the component along its direction, divided by its norm"
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CreditAssignment(Record):
    """Where the gradient of a loss comes from: backpropagation through time, lag by lag.

    ``lags`` is the main table: row k is what the pairs of steps k apart add to the gradient, and what is lost
    without the rows after it.

    See Also
    --------
    gradflow.bptt : Computes it.

    Examples
    --------
    Of h' = h/2 + 1 from 0 on and the loss ½h₁₀² the part at lag k is proportional to 2⁻ᵏ(1 − 2ᵏ⁻⁹):

    >>> import numpy as np
    >>> import gradflow
    >>> weights = {"weight_ih_l0": np.ones((1, 1)), "weight_hh_l0": np.full((1, 1), 0.5)}
    >>> network = gradflow.from_state_dict(weights, assume={"activation": "identity"})["rnn"]
    >>> found = gradflow.bptt(network, loss="final", targets=[[0.0]], input="constant", steps=10)
    >>> parts = 2.0 ** -np.arange(10) * (1 - 2.0 ** (np.arange(10) - 9))
    >>> bool(np.allclose(found.lags.share, parts / parts.sum(), rtol=1e-12))
    True
    """

    command: ClassVar[str] = "bptt"

    loss: float = scalar("L, the mean over the sequences")
    log10_gradient_norm: float = scalar("log₁₀ ‖∂L/∂W‖, Frobenius")
    gradient_norm: float = scalar("the norm; none outside the range of a double")
    effective_lag: float = scalar("mean of the lags, weighted by their shares", unit="step")
    cancellation: float = scalar(
        "Σ ‖part‖ / ‖whole‖ over the lags; a value far above 1 means that the parts cancel"
    )
    window_1pct: int | None = scalar(
        "the shortest window from which on every window is within 1 % of the whole. A window of w steps has "
        "the lags 0 to w − 1",
        unit="step",
    )
    detached_error: float | None = scalar(
        "‖what is lost‖ / ‖whole‖ if the state is detached every window_1pct steps"
    )
    difference_error: float | None = scalar(
        "relative distance from central differences of the loss; none if these have no correct digit"
    )
    trajectory_error: float = scalar(
        "estimated ‖change‖ / ‖gradient‖ by rounding of the states: twice the largest of three perturbed runs"
    )
    parameter: str = scalar("W, whose gradient it is")
    parameters: int = scalar("number of entries of W")
    steps: int = scalar("T, the steps of the sequence")
    batch: int = scalar("sequences; the loss is the mean over them")
    hidden: int = scalar("hidden size")
    features: int = scalar("features of an input")
    conclusion: str = scalar("in words", prose=True)

    lags: LagParts = table(
        "parts of ∂L/∂W by lag",
        index="lag",
        value="truncation_error",
        drawn=[
            CurveDrawing(
                "lag", (DrawnColumn("share"),), label="share of the gradient", title="what each lag gives"
            ),
            CurveDrawing(
                "lag",
                (DrawnColumn("cumulative_share"),),
                label="share of the gradient",
                title="what all lags up to this one give",
            ),
            CurveDrawing(
                "lag",
                (DrawnColumn("log10_truncation_error"),),
                label="relative error of the gradient",
                title="what is lost if later lags are cut off",
            ),
        ],
    )
    windows: Windows | None = table(
        "what truncated backpropagation loses",
        absent="the gradient is 0: nothing can be lost",
        drawn=[
            ItemDrawing(
                ("window",),
                (
                    DrawnColumn("truncation_error", label="gradient cut off after the window"),
                    DrawnColumn("detached_error", label="state detached between windows"),
                ),
                label="relative error of the gradient",
                log10=True,
            )
        ],
    )
    map: CreditMap | None = table(
        "every pair of steps",
        value="log10_norm",
        absent="add `pair_map=True`",
        drawn=[ImageDrawing("k", "t", "log10_norm")],
    )
