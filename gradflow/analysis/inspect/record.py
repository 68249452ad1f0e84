"""The record of an inspection: its tables and what their columns mean."""

from dataclasses import dataclass
from typing import ClassVar

from gradflow.analysis import INSPECTION_VERDICTS
from gradflow.analysis.shared.gates import GateSteps, bands
from gradflow.analysis.shared.verdicts import ARRIVAL_LEVELS, STILL_LEVELS
from gradflow.drawing import DrawnColumn, ItemDrawing
from gradflow.record import Record, column, scalar, table
from gradflow.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Layers(Table):
    """Every recurrent layer that was found. ``verdict`` judges the rate, ``arrival`` the credit."""

    layer: list[str] = column("its name in the file")
    cell: list[str] = column("rnn, lstm or gru")
    framework: list[str] = column("framework whose names and gate order the arrays follow")
    direction: list[str] = column("forward, or backward: from the last input to the first")
    input_size: list[int] = column("features of an input")
    hidden_size: list[int] = column("units")
    parameters: list[int] = column("number of trainable weights and biases")
    spectral_radius: list[float] = column(
        "spectral radius of the recurrent matrix; with several gates the largest (table gates has each)"
    )
    norm: list[float] = column("spectral norm of the recurrent matrix of all gates")
    forget_bias: list[float | None] = column("mean effective bias of the forget gate")
    rate: list[float] = column(
        "rate of growth over the second half of the lags back from the last step; median over sequences",
        unit="nats per step",
    )
    half_life: list[float] = column(
        "steps in which a gradient halves at that rate; inf: it never halves", unit="step"
    )
    horizon_float32: list[int | None] = column(
        "first lag outside float32's normal numbers, along the first sequence", unit="step"
    )
    verdict: list[str | None] = column(
        "of the median rate over all possible sequences, from an interval that contains it. stable: at every "
        "rate in the interval, max(lags, 100) steps change a gradient by at most a factor of 100; undecided: "
        "not stable, and 0 lies in the interval"
    )
    credit: list[float] = column(
        "the largest factor by which L steps multiply a gradient: ‖∂s_t/∂s_{t−L}‖₂, median over ends t",
        log10_in="log10_credit",
    )
    arrival: list[str] = column(
        "arrives: norm and norm ratio lie between 1e-2 and 1e2 from at least 7/8 of the ends; lost, "
        "inflated: they lie below or above from more than half of the ends, or from the last end of a "
        "given input; undecided: the ends disagree"
    )
    fed: list[str] = column(
        "what the layer receives: the input, the output of the layer below, or unit normal draws"
    )
    assumed: list[str] = column(
        "options that the file does not state, with the assumed values (assume changes them)"
    )
    blow_up_step: list[int | None] = column("step at which the state overflows", unit="step")
    log10_credit: list[float] = column("log₁₀ of the credit", log10=True, levels=ARRIVAL_LEVELS)
    log10_credit_low: list[float] = column("the lowest log₁₀ of the credit over ends", log10=True)
    log10_credit_high: list[float] = column("the highest log₁₀ of the credit over ends", log10=True)
    log10_credit_last: list[float] = column("log₁₀ of the credit from the last step", log10=True)
    log10_norm_ratio: list[float] = column(
        "log₁₀ of ‖∂s_t/∂s_{t−L}‖₂ / ‖∂s_t/∂s_{t−1}‖₂, the growth over L − 1 steps; median over ends",
        log10=True,
    )
    ends: list[int] = column("steps t from which gradients go back, in all sequences")
    ends_arriving: list[int] = column("ends from which the gradient arrives")
    rate_low: list[float] = column("the lowest rate over sequences", unit="nats per step")
    rate_high: list[float] = column("the highest rate over sequences", unit="nats per step")
    trajectory_error: list[float] = column(
        "estimate of how far log₁₀ of a norm moves when weights and inputs move by one unit in the last "
        "place: twice the largest change over lags, sequences and three runs",
        unit="decades",
    )


@dataclass(frozen=True, eq=False, repr=False)
class GateRows(Table):
    """Every gate of every layer, or the state of a cell without gates."""

    layer: list[str] = column("the layer")
    gate: list[str] = column("the letter of the gate; h: the state of an rnn")
    spectral_radius: list[float | None] = column("spectral radius of its recurrent matrix")
    norm: list[float | None] = column("spectral norm of its recurrent matrix")
    bias_low: list[float] = column("5 % quantile of its effective bias over units")
    bias: list[float] = column("median of that bias")
    bias_high: list[float] = column("95 % quantile of that bias")
    low: list[float] = column("5 % quantile of its values over units and steps")
    median: list[float] = column("median of its values")
    high: list[float] = column("95 % quantile of its values")
    saturated: list[float] = column("share of values in the lowest or highest tenth of the range")
    shut_units: list[int] = column("units in the lowest tenth of the range at every step")
    open_units: list[int] = column("units in the highest tenth at every step")
    time_constant_low: list[float | None] = column(
        "5 % quantile of the time constant over units", unit="step"
    )
    time_constant: list[float | None] = column(
        "median over units of −1/⟨ln f⟩: steps after which the gate alone leaves a share of 1/e", unit="step"
    )
    time_constant_high: list[float | None] = column(
        "95 % quantile of the time constant over units", unit="step"
    )


@dataclass(frozen=True, eq=False, repr=False)
class Advice(Table):
    """Changes to a layer, and the gradient that was measured with each, along the same inputs.

    The search for a gain uses the first half of the sequences; its measurement uses all.
    """

    layer: list[str] = column("the layer")
    change: list[str] = column(
        "forget_bias, update_bias: added to the bias; chrono: drawn up to a longest memory; gain: multiplies "
        "the recurrent weights; orthogonal: replaces them"
    )
    value: list[float] = column("amount of the change")
    log10_credit_before: list[float] = column(
        "log₁₀ of the credit over L steps without the change", log10=True
    )
    log10_credit: list[float] = column(
        "log₁₀ of the credit with the change, median over ends", log10=True, levels=ARRIVAL_LEVELS
    )
    rate: list[float] = column("rate of growth with the change", unit="nats per step")
    arrives: list[bool] = column("whether a gradient arrives from every end with the change")
    advised: list[bool] = column("whether the conclusion advises this change")
    log10_credit_low: list[float] = column(
        "the lowest log₁₀ of the credit with the change, over ends", log10=True
    )
    log10_credit_high: list[float] = column("the highest of these", log10=True)
    ends_arriving: list[int] = column("ends from which the gradient arrives with the change")


@dataclass(frozen=True, eq=False, repr=False)
class Units(Table):
    """Units that do not respond: shut or open at every step."""

    layer: list[str] = column("the layer")
    gate: list[str] = column("the gate")
    unit: list[int] = column("number of the unit, from 0")
    state: list[str] = column(
        "shut: in the lowest tenth of the range at every step; open: in the highest tenth"
    )
    mean: list[float] = column("mean value over steps")


@dataclass(frozen=True, eq=False, repr=False)
class Files(Table):
    """Every file that was examined."""

    file: list[str] = column("the file, without the folders that all files share")
    layers: list[int] = column("recurrent layers in the file")
    parameters: list[int] = column("number of trainable weights and biases in these layers")
    rate_low: list[float | None] = column(
        "the lowest rate of its layers", unit="nats per step", levels=STILL_LEVELS
    )
    rate_high: list[float | None] = column("the highest rate of its layers", unit="nats per step")
    verdict: list[str] = column(
        "the worst verdict of its layers, in the order exploding, vanishing, undecided, stable; or unreadable"
    )
    problem: list[str] = column("why the file could not be read")


@dataclass(frozen=True, eq=False, repr=False)
class Changes(Table):
    """The same layer in two files."""

    layer: list[str] = column("the layer, in both files")
    weight_change: list[float] = column(
        "‖W after − W before‖ / ‖W before‖ of the recurrent weights, Frobenius norm"
    )
    spectral_radius_before: list[float] = column("spectral radius of the recurrent matrix, in the first file")
    spectral_radius_after: list[float] = column("in the second")
    norm_before: list[float] = column("spectral norm of the recurrent matrix, in the first file")
    norm_after: list[float] = column("in the second")
    forget_bias_before: list[float | None] = column("mean forget bias, in the first file")
    forget_bias_after: list[float | None] = column("in the second")
    rate_before: list[float] = column(
        "rate of growth, in the first file", unit="nats per step", levels=STILL_LEVELS
    )
    rate_after: list[float] = column("in the second", unit="nats per step")
    log10_credit_before: list[float] = column("log₁₀ of the credit, in the first file", log10=True)
    log10_credit_after: list[float] = column("in the second", log10=True)
    log10_norm_ratio_before: list[float] = column("log₁₀ of the norm ratio, in the first file", log10=True)
    log10_norm_ratio_after: list[float] = column("in the second", log10=True)
    arrival_before: list[str] = column("whether credit arrives (arrival), in the first file")
    arrival_after: list[str] = column("in the second")
    verdict_before: list[str | None] = column("verdict, in the first file")
    verdict_after: list[str | None] = column("in the second")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Inspection(Record):
    """What the recurrent layers of checkpoints do to gradients.

    ``layers`` is the main table, with a row for each layer. ``advice`` has the changes that were tried in
    layers where credit does not arrive, and what each of them did.

    See Also
    --------
    gradflow.inspect : Computes it.
    gradflow.compare : Sets a layer beside fresh cells.

    Examples
    --------
    Of h' = h/2 + x there is 2⁻¹⁰ of a gradient left after 10 steps; twice the weight keeps all of it:

    >>> import numpy as np
    >>> import gradflow
    >>> weights = {"weight_ih_l0": np.ones((1, 1)), "weight_hh_l0": np.full((1, 1), 0.5)}
    >>> model = gradflow.from_state_dict(weights, assume={"activation": "identity"})
    >>> found = gradflow.inspect(model, length=10)
    >>> round(found.layers.credit[0] * 2**10, 9), found.layers.arrival
    (1.0, ['lost'])
    >>> found.advice.change[0], found.advice.value[0], abs(found.advice.log10_credit[0]) < 1e-9
    ('gain', 2.0, True)
    """

    command: ClassVar[str] = "inspect"
    verdicts: ClassVar[tuple[str, ...]] = INSPECTION_VERDICTS

    files_read: int = scalar("files with a recurrent layer")
    layers_found: int = scalar("recurrent layers in these files")
    steps: int = scalar("T, steps of each sequence that each layer was run on")
    lags: int = scalar("number of lags over which rates are measured")
    length: int = scalar("L, steps over which credit is measured")
    conclusion: str = scalar("the result in words, a line for each layer", prose=True)

    layers: Layers = table(
        "what each recurrent layer does to a gradient",
        across=("layer",),
        drawn=[
            ItemDrawing(
                ("layer",), (DrawnColumn("log10_credit", low="log10_credit_low", high="log10_credit_high"),)
            )
        ],
    )
    gates: GateRows = table(
        "what the gates of each layer do",
        across=("layer", "gate"),
        drawn=[
            ItemDrawing(
                ("layer", "gate"),
                (DrawnColumn("median", low="low", high="high"),),
                label="value of the gate: median, 5 to 95 %",
            )
        ],
    )
    gate_steps: GateSteps | None = table(
        "the gates of each layer at every step",
        value="median",
        absent="add `gate_steps=True`",
        drawn=[bands("layer")],
    )
    advice: Advice | None = table(
        "changes that were tried and measured",
        absent="credit arrives in every layer, so nothing was tried",
        drawn=[
            ItemDrawing(
                ("layer", "change"),
                (DrawnColumn("log10_credit"), DrawnColumn("log10_credit_before", dashed=True)),
            )
        ],
    )
    units: Units | None = table("units that are shut or open at every step", absent="add `units=True`")
    files: Files | None = table(
        "one row for each file",
        absent="inspect several files or a directory",
        drawn=[
            ItemDrawing(
                ("file",), (DrawnColumn("rate_low"), DrawnColumn("rate_high")), label="rates of its layers"
            )
        ],
    )
    changes: Changes | None = table(
        "before and after",
        absent="add `diff=True` and name two files",
        drawn=[
            ItemDrawing(
                ("layer",),
                (DrawnColumn("rate_before", dashed=True), DrawnColumn("rate_after")),
                label="growth",
            )
        ],
    )

    def get_verdicts(self) -> frozenset[str]:
        """Return the verdicts of all layers and files."""
        words = [*self.layers.verdict, *self.layers.arrival, *(self.files.verdict if self.files else ())]
        return frozenset(word for word in words if word)
