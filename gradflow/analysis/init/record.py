"""The record of tuned weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis import ARRIVALS
from gradflow.analysis.shared.verdicts import ARRIVING
from gradflow.analysis.shared.weight_file import WrittenArrays
from gradflow.drawing import CurveDrawing, DrawnColumn, ItemDrawing
from gradflow.record import Record, column, scalar, table

RATE = "nats per step"


@dataclass(frozen=True, eq=False)
class Tuning:
    """What became of gradients before and after, over draws of weights and inputs."""

    stage: list[str] = column("before, as asked for, and after, as tuned")
    value: NDArray[np.float64] = column("of the parameter; none where it is the scheme's own")
    rate: NDArray[np.float64] = column("growth from lag 1 to the horizon, median", unit=RATE)
    rate_low: NDArray[np.float64] = column("its 5 % quantile over draws", unit=RATE)
    rate_high: NDArray[np.float64] = column("its 95 % quantile over draws", unit=RATE)
    log10_norm_ratio: NDArray[np.float64] = column(
        "log₁₀ of the norm at the horizon over that at lag 1, median", log10=True, levels=ARRIVING
    )
    log10_norm_ratio_low: NDArray[np.float64] = column("its 5 % quantile over draws", log10=True)
    log10_norm_ratio_high: NDArray[np.float64] = column("its 95 % quantile over draws", log10=True)
    arriving: list[int] = column("draws in which that ratio is between 1e-2 and 1e2")


@dataclass(frozen=True, eq=False)
class Trials:
    """The search, with the weights that are written, along the sequences of inputs that it is made on."""

    value: NDArray[np.float64] = column("value of the parameter")
    rate: NDArray[np.float64] = column("growth from lag 1 to the horizon", unit=RATE)
    log10_norm_ratio: NDArray[np.float64] = column(
        "log₁₀ of the norm at the horizon over that at lag 1, median; none where the state overflows",
        log10=True,
        levels=ARRIVING,
    )
    log10_norm_ratio_low: NDArray[np.float64] = column("the lowest over sequences", log10=True)
    log10_norm_ratio_high: NDArray[np.float64] = column("the highest", log10=True)
    arriving: list[int] = column("sequences along which a gradient arrives")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Tuned(Record):
    """Weights with which gradients live for a number of steps.

    ``tuning`` is the main table; ``weights`` are the arrays by name, of float32, None where the layout has no
    such cell.

    See Also
    --------
    gradflow.init : Computes it.

    Examples
    --------
    Through a linear network of orthogonal weights a gradient arrives whole when the gain is 1:

    >>> import gradflow
    >>> found = gradflow.init("rnn:activation=identity,init=orthogonal,gain=0.5", hidden=4, horizon=50)
    >>> found.parameter, round(found.value, 4), round(found.norm_ratio, 4), found.arrival
    ('gain', 1.0, 1.0, 'arrives')
    """

    command: ClassVar[str] = "init"
    verdicts: ClassVar[tuple[str, ...]] = ARRIVALS

    parameter: str = scalar("what was tuned")
    value: float | None = scalar(
        "its value in the weights that are written; none where they are left as asked for"
    )
    rate_before: float = scalar("growth from lag 1 to the horizon, as asked for", unit=RATE)
    rate_after: float = scalar("the same with the weights that are written", unit=RATE)
    norm_ratio: float | None = scalar(
        "norm at the horizon over that at lag 1, of those weights, median; none where a double cannot hold it"
    )
    log10_norm_ratio: float = scalar("log₁₀ of it")
    log10_norm: float = scalar("log₁₀ ‖∂s_N/∂s_0‖₂ of those weights, median over the sequences")
    log10_norm_low: float = scalar("the lowest of them")
    log10_norm_high: float = scalar("the highest")
    sequences: int = scalar("sequences of inputs that these were measured along")
    held_out: int = scalar("those of them that the search never saw: all, or none where one alone was given")
    arrival: str = scalar(
        "arrives: norm and ratio are between 1e-2 and 1e2 along every sequence; lost under, inflated over it"
    )
    horizon: int = scalar("N, steps that a gradient is to live", unit="step")
    hidden: int = scalar("hidden size")
    features: int = scalar("features of an input")
    seeds: int = scalar("draws of weights, and of inputs unless given; the first is written")
    constructor: str | None = scalar("what takes the weights: torch's load_state_dict, Keras' set_weights")
    file: str | None = scalar("where they are")
    size: int | None = scalar("how large that is", unit="byte")
    conclusion: str = scalar("in words", prose=True)

    tuning: Tuning = table(
        "gradients before and after, over draws of weights, each along inputs of its own",
        drawn=[
            ItemDrawing(
                ("stage",),
                (DrawnColumn("log10_norm_ratio", low="log10_norm_ratio_low", high="log10_norm_ratio_high"),),
                label="log₁₀ of the norm at the horizon over that at lag 1: median, 5 to 95 %",
            )
        ],
    )
    trials: Trials = table(
        "the values that were tried",
        drawn=[CurveDrawing("value", (DrawnColumn("log10_norm_ratio", marks=True),))],
    )
    arrays: WrittenArrays | None = table("the weights in the file", absent="name a file with -o (output)")

    # for whoever wants them in Python; None where the layout has no such cell
    weights: Mapping[str, NDArray[np.float32]] | None = field(default=None)

    def get_verdicts(self) -> frozenset[str]:
        """Return what becomes of the gradient with the weights that are written."""
        return frozenset({self.arrival})
