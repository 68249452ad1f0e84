"""The record of tuned weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis import RATE_UNIT, VERDICTS
from gradflow.analysis.shared.verdicts import SHARE_LEVELS
from gradflow.analysis.shared.weight_file import WrittenArrays
from gradflow.drawing import CurveDrawing, DrawnColumn, ItemDrawing
from gradflow.record import Record, column, scalar, table
from gradflow.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Tuning(Table):
    """Gradients before and after tuning, over draws of weights and inputs."""

    stage: list[str] = column("before: weights as requested; after: tuned weights")
    value: NDArray[np.float64] = column(
        "value of the parameter; none where the initialization scheme chooses it"
    )
    rate: NDArray[np.float64] = column(
        "rate of growth from lag 1 to the horizon, median", unit=RATE_UNIT, low="rate_low", high="rate_high"
    )
    rate_low: NDArray[np.float64] = column("its 5 % quantile over draws", unit=RATE_UNIT)
    rate_high: NDArray[np.float64] = column("its 95 % quantile over draws", unit=RATE_UNIT)
    log10_norm_ratio: NDArray[np.float64] = column(
        "log₁₀ of the norm ratio, the norm at the horizon / the norm at lag 1, median",
        log10=True,
        levels=SHARE_LEVELS,
        low="log10_norm_ratio_low",
        high="log10_norm_ratio_high",
    )
    log10_norm_ratio_low: NDArray[np.float64] = column("its 5 % quantile over draws", log10=True)
    log10_norm_ratio_high: NDArray[np.float64] = column("its 95 % quantile over draws", log10=True)
    stable: list[int] = column("draws in which the gradient is stable")


@dataclass(frozen=True, eq=False, repr=False)
class Trials(Table):
    """The steps of the search, with the weights that are written, on the sequences that it uses."""

    value: NDArray[np.float64] = column("value of the parameter")
    rate: NDArray[np.float64] = column("rate of growth from lag 1 to the horizon", unit=RATE_UNIT)
    log10_norm_ratio: NDArray[np.float64] = column(
        "log₁₀ of the norm ratio, median over sequences; none where the state overflows",
        log10=True,
        levels=SHARE_LEVELS,
    )
    log10_norm_ratio_low: NDArray[np.float64] = column(
        "the lowest log₁₀ of the norm ratio over sequences", log10=True
    )
    log10_norm_ratio_high: NDArray[np.float64] = column("the highest over sequences", log10=True)
    stable: list[int] = column("sequences along which the gradient is stable")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Tuned(Record):
    """Weights with which gradients survive a number of steps.

    ``tuning`` is the main table. ``weights`` maps names to arrays of float32; it is None if the layout
    has no such cell.

    See Also
    --------
    gradflow.init : Computes it.

    Examples
    --------
    Through a linear network of orthogonal weights the whole gradient is left when the gain is 1:

    >>> import gradflow
    >>> found = gradflow.init("rnn:activation=identity,init=orthogonal,gain=0.5", hidden=4, horizon=50)
    >>> found.parameter, round(found.value, 4), round(found.norm_ratio, 4), found.verdict
    ('gain', 1.0, 1.0, 'stable')
    """

    command: ClassVar[str] = "init"
    verdicts: ClassVar[tuple[str, ...]] = VERDICTS

    parameter: str = scalar("name of the tuned parameter")
    value: float | None = scalar(
        "its value in the written weights; none where tuning left it as the initialization scheme chose it"
    )
    rate_before: float = scalar("rate of growth from lag 1 to the horizon before tuning", unit=RATE_UNIT)
    rate_after: float = scalar(
        "rate of growth from lag 1 to the horizon with the written weights", unit=RATE_UNIT
    )
    norm_ratio: float | None = scalar(
        "norm at the horizon / norm at lag 1 with the written weights, median over sequences; none outside "
        "the range of a double"
    )
    log10_norm_ratio: float = scalar("log₁₀ of the norm ratio")
    log10_norm: float = scalar("log₁₀ ‖∂s_N/∂s_0‖₂ with the written weights, median over sequences")
    log10_norm_low: float = scalar("the lowest log₁₀ of that norm over sequences")
    log10_norm_high: float = scalar("the highest over sequences")
    sequences: int = scalar("number of input sequences of these measurements")
    held_out: int = scalar(
        "how many of these sequences the search did not use; 0 if there is only one sequence"
    )
    verdict: str = scalar(
        "verdict on the share of a gradient that is left, median over sequences. vanishing: under 1e-4; "
        "borderline: 1e-4 to 1e-2; stable: 1e-2 to 100; exploding: over 100"
    )
    log10_share: float = scalar(
        "log₁₀ of the share that is left, ‖∂h_N/∂s_0‖_F / √H for an output h of size H, with the written "
        "weights; median over sequences"
    )
    log10_share_low: float = scalar("the lowest log₁₀ of the share over sequences")
    log10_share_high: float = scalar("the highest over sequences")
    horizon: int = scalar("N, steps that a gradient has to survive", unit="step")
    hidden: int = scalar("hidden size")
    features: int = scalar("features of an input")
    seeds: int = scalar("draws of weights, and of inputs unless given; the first draw is written")
    constructor: str | None = scalar(
        "the module whose load_state_dict (torch) or set_weights (Keras) takes the weights"
    )
    file: str | None = scalar("file with the weights")
    size: int | None = scalar("size of the file", unit="byte")
    conclusion: str = scalar("the result in words", prose=True)

    tuning: Tuning = table(
        "gradients before and after tuning, over draws of weights and inputs",
        drawn=[
            ItemDrawing(
                ("stage",),
                (DrawnColumn("log10_norm_ratio", low="log10_norm_ratio_low", high="log10_norm_ratio_high"),),
                label="norm at lag {horizon} / norm at lag 1: median, bar from 5 to 95 %",
            )
        ],
    )
    trials: Trials = table(
        "values that were tried",
        drawn=[
            CurveDrawing(
                "value",
                (DrawnColumn("log10_norm_ratio", marks=True),),
                label="norm at lag {horizon} / norm at lag 1",
                x_label="{parameter}",
            )
        ],
    )
    arrays: WrittenArrays | None = table("the weights in the file", absent="name a file with `output`")

    # for use in Python; None where the layout has no such cell
    weights: Mapping[str, NDArray[np.float32]] | None = field(default=None)

    def get_verdicts(self) -> frozenset[str]:
        """Return the verdict on the gradient with the written weights."""
        return frozenset({self.verdict})
