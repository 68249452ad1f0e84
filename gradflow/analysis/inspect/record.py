"""The record of an inspection: its tables and what their columns mean."""

from dataclasses import dataclass
from typing import ClassVar

from gradflow.analysis import INSPECTION_VERDICTS
from gradflow.analysis.shared.gates import GateSteps, bands
from gradflow.analysis.shared.verdicts import ARRIVING, STILL
from gradflow.drawing import DrawnColumn, ItemDrawing
from gradflow.record import Record, column, scalar, table


@dataclass(frozen=True, eq=False)
class Layers:
    """Every recurrent layer that was found; ``verdict`` is on the rate, ``arrival`` on the credit."""

    layer: list[str] = column("where it stands in the file")
    cell: list[str] = column("rnn, lstm or gru")
    framework: list[str] = column("whose names and order of gates its arrays have")
    direction: list[str] = column("forward, or backward: from the last input to the first")
    input_size: list[int] = column("features of an input")
    hidden_size: list[int] = column("units")
    parameters: list[int] = column("numbers that are trained")
    spectral_radius: list[float] = column(
        "of the recurrent matrix; of several gates the largest (each: gates)"
    )
    norm: list[float] = column("spectral norm of the recurrent matrix, all gates stacked")
    forget_bias: list[float | None] = column("mean bias of the forget gate, as the cell sees it")
    rate: list[float] = column(
        "growth over the second half of the lags, from the last step; median over sequences",
        unit="nats per step",
    )
    half_life: list[float] = column("steps in which that rate halves a gradient; inf: never", unit="step")
    horizon_float32: list[int | None] = column(
        "first lag outside float32's normal numbers, of the first sequence", unit="step"
    )
    verdict: list[str | None] = column(
        "on the median of all sequences that there may be, as compare has it over seeds. stable: all of its "
        "interval within a factor of 100 over the lags, at least 100; undecided: otherwise 0 lies in it"
    )
    credit: list[float] = column(
        "what is left of a gradient after L steps: ‖∂s_t/∂s_{t−L}‖₂, median over ends t",
        log10_in="log10_credit",
    )
    arrival: list[str] = column(
        "arrives: norm and norm ratio within a factor of 100 from 7/8 of the ends; lost, inflated: under or "
        "over it from more than half, or from the last of a given input; else undecided"
    )
    fed: list[str] = column("input, the layer below, or unit normal draws")
    assumed: list[str] = column("what the file does not say (--assume sets it)")
    blow_up_step: list[int | None] = column("step at which the state overflows", unit="step")
    log10_credit: list[float] = column("log₁₀ of the credit", log10=True, levels=ARRIVING)
    log10_credit_low: list[float] = column("the lowest over ends", log10=True)
    log10_credit_high: list[float] = column("the highest", log10=True)
    log10_credit_last: list[float] = column("that from the last step", log10=True)
    log10_norm_ratio: list[float] = column(
        "log₁₀ of ‖∂s_t/∂s_{t−L}‖₂ over ‖∂s_t/∂s_{t−1}‖₂, growth over L − 1 steps; median over ends",
        log10=True,
    )
    ends: list[int] = column("steps t that gradients are followed back from, over all sequences")
    ends_arriving: list[int] = column("those from which the gradient arrives")
    rate_low: list[float] = column("the lowest rate over sequences", unit="nats per step")
    rate_high: list[float] = column("the highest", unit="nats per step")
    trajectory_error: list[float] = column(
        "how far log₁₀ of a norm may move where weights and inputs move by one unit in the last place, an "
        "estimate: twice the largest change over lags, sequences and three runs",
        unit="decades",
    )


@dataclass(frozen=True, eq=False)
class GateRows:
    """Every gate of every layer; of a cell without gates, its state."""

    layer: list[str] = column("the layer")
    gate: list[str] = column("the gate's letter; h: the state of an rnn")
    spectral_radius: list[float | None] = column("of its recurrent matrix")
    norm: list[float | None] = column("spectral norm of its recurrent matrix")
    bias_low: list[float] = column("5 % quantile of its bias over units, as the cell sees it")
    bias: list[float] = column("its median")
    bias_high: list[float] = column("its 95 % quantile")
    low: list[float] = column("5 % quantile of its values over units and steps")
    median: list[float] = column("their median")
    high: list[float] = column("their 95 % quantile")
    saturated: list[float] = column("share within a tenth of the range from either end")
    shut_units: list[int] = column("units at the low end of the range at every step")
    open_units: list[int] = column("units at the high end at every step")
    time_constant_low: list[float | None] = column("5 % quantile over units of −1/⟨ln f⟩", unit="step")
    time_constant: list[float | None] = column(
        "its median: steps in which the gate alone keeps 1/e", unit="step"
    )
    time_constant_high: list[float | None] = column("its 95 % quantile", unit="step")


@dataclass(frozen=True, eq=False)
class Advice:
    """What was changed, and what became of the gradient with it: measured, along the same inputs.

    A gain is sought on the first half of the sequences, and measured on all.
    """

    layer: list[str] = column("the layer")
    change: list[str] = column(
        "forget_bias, update_bias: added; chrono: longest memory; gain: factor; orthogonal"
    )
    value: list[float] = column("how much")
    log10_credit_before: list[float] = column("log₁₀ of the credit over L steps as it is", log10=True)
    log10_credit: list[float] = column(
        "log₁₀ of the credit with the change, median over ends", log10=True, levels=ARRIVING
    )
    rate: list[float] = column("growth with the change", unit="nats per step")
    arrives: list[bool] = column("whether a gradient arrives within a factor of 100 from every end then")
    advised: list[bool] = column("whether it is the change that the conclusion names")
    log10_credit_low: list[float] = column("the lowest log₁₀ of the credit over ends", log10=True)
    log10_credit_high: list[float] = column("the highest", log10=True)
    ends_arriving: list[int] = column("ends from which the gradient arrives then")


@dataclass(frozen=True, eq=False)
class Units:
    """Units that are dead: shut or open at every step."""

    layer: list[str] = column("the layer")
    gate: list[str] = column("the gate")
    unit: list[int] = column("the unit, from 0")
    state: list[str] = column("shut: at the low end of the range throughout; open: at the high end")
    mean: list[float] = column("mean of its values")


@dataclass(frozen=True, eq=False)
class Files:
    """Every file that was looked at."""

    file: list[str] = column("the file, without the folders that all share, as in the names of layers")
    layers: list[int] = column("recurrent layers in it")
    parameters: list[int] = column("numbers that these train")
    rate_low: list[float | None] = column("the lowest rate of its layers", unit="nats per step", levels=STILL)
    rate_high: list[float | None] = column("the highest", unit="nats per step")
    verdict: list[str] = column(
        "of its layers the worst: exploding, vanishing, undecided, stable; or unreadable"
    )
    problem: list[str] = column("why it could not be read")


@dataclass(frozen=True, eq=False)
class Changes:
    """The same layer in two files."""

    layer: list[str] = column("the layer, in both files")
    weight_change: list[float] = column("‖W after − W before‖ over ‖W before‖, recurrent weights, Frobenius")
    spectral_radius_before: list[float] = column("of the recurrent matrix, in the first file")
    spectral_radius_after: list[float] = column("in the second")
    norm_before: list[float] = column("spectral norm of the recurrent matrix, in the first file")
    norm_after: list[float] = column("in the second")
    forget_bias_before: list[float | None] = column("mean forget bias, in the first file")
    forget_bias_after: list[float | None] = column("in the second")
    rate_before: list[float] = column("growth, in the first file", unit="nats per step", levels=STILL)
    rate_after: list[float] = column("in the second", unit="nats per step")
    log10_credit_before: list[float] = column("log₁₀ of the credit, in the first file", log10=True)
    log10_credit_after: list[float] = column("in the second", log10=True)
    log10_norm_ratio_before: list[float] = column("log₁₀ of the norm ratio, in the first file", log10=True)
    log10_norm_ratio_after: list[float] = column("in the second", log10=True)
    arrival_before: list[str] = column("what becomes of the credit, in the first file")
    arrival_after: list[str] = column("in the second")
    verdict_before: list[str | None] = column("verdict, in the first file")
    verdict_after: list[str | None] = column("in the second")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Inspection(Record):
    """What the recurrent layers of checkpoints do to gradients.

    ``layers`` is the main table, a row for each layer; ``advice`` holds changes that were made to layers in
    which credit does not arrive, and what came of each.

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

    files_read: int = scalar("files in which a recurrent layer was found")
    layers_found: int = scalar("recurrent layers in them")
    steps: int = scalar("T, steps that each layer was run along each sequence")
    lags: int = scalar("lags over which rates are measured")
    length: int = scalar("L, steps over which credit is asked for")
    conclusion: tuple[str, ...] = scalar("in words", prose=True)

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
        "what its gates do",
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
        "its gates at every step",
        value="median",
        absent="ask for it with --gate-steps (gate_steps=True)",
        drawn=[bands("layer")],
    )
    advice: Advice | None = table(
        "changes that were tried and measured",
        absent="credit arrives in every layer",
        drawn=[
            ItemDrawing(
                ("layer", "change"),
                (DrawnColumn("log10_credit"), DrawnColumn("log10_credit_before", dashed=True)),
            )
        ],
    )
    units: Units | None = table(
        "units that are shut or open throughout", absent="ask for it with --units (units=True)"
    )
    files: Files | None = table(
        "file by file",
        absent="inspect several files, or a directory",
        drawn=[
            ItemDrawing(
                ("file",), (DrawnColumn("rate_low"), DrawnColumn("rate_high")), label="rates of its layers"
            )
        ],
    )
    changes: Changes | None = table(
        "before and after",
        absent="ask for it with --diff (diff=True) and two files",
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
