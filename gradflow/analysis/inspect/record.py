"""The record of an inspection: its tables and what their columns mean."""

from dataclasses import dataclass
from typing import ClassVar

from gradflow.analysis import INSPECTION_VERDICTS
from gradflow.analysis.shared.gates import GateSteps, bands
from gradflow.analysis.shared.verdicts import SHARE_LEVELS, STILL_LEVELS
from gradflow.drawing import CurveDrawing, DrawnColumn, ItemDrawing
from gradflow.record import Record, column, scalar, table
from gradflow.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Layers(Table):
    """Every recurrent layer that was found. ``verdict`` judges the share."""

    layer: list[str] = column("its name in the file")
    cell: list[str] = column("rnn, lstm or gru")
    framework: list[str] = column("framework whose names and gate order the arrays follow", detail=True)
    direction: list[str] = column("forward, or backward: from the last input to the first", detail=True)
    input_size: list[int] = column("features of an input", detail=True)
    hidden_size: list[int] = column("units")
    parameters: list[int] = column("number of trainable weights and biases", detail=True)
    spectral_radius: list[float] = column(
        "spectral radius of the recurrent matrix; with several gates the largest (table gates has each)",
        detail=True,
    )
    weight_norm: list[float] = column("spectral norm of the recurrent matrix of all gates", detail=True)
    forget_bias: list[float | None] = column("mean effective bias of the forget gate", detail=True)
    rate: list[float] = column(
        "rate of growth over the second half of the lags back from the last step; median over sequences",
        unit="nats per step",
        detail=True,
    )
    half_life: list[float] = column(
        "steps in which a gradient halves at that rate; inf: it never halves", unit="step", detail=True
    )
    horizon_float32: list[int | None] = column(
        "first lag outside float32's normal numbers, along the first sequence", unit="step", detail=True
    )
    verdict: list[str] = column(
        "verdict on the median share over ends. vanishing: under 1e-4; borderline: 1e-4 to 1e-2, or "
        "different verdicts at the ends of the interval of the median; stable: 1e-2 to 100; exploding: "
        "over 100, or the state overflows. The last ends of given sequences count on their own, too"
    )
    share: list[float] = column(
        "share of a gradient that is left after L steps: ‖∂h_t/∂s_{t−L}‖_F / √H for an output h of size H, "
        "the factor for the gradient of a loss in a random direction of h; median over ends t",
        log10_in="log10_share",
    )
    memory: list[float | None] = column(
        "how far the state after L steps depends on the first input: the distance between two runs that "
        "differ in it alone, divided by the distance between runs on different sequences; median. 1: as "
        "much as on all inputs. 0 where rounding hides the distance. None with one sequence"
    )
    fed: list[str] = column(
        "what the layer receives: the input, the output of the layer below, that of other networks and "
        "through which layers, or unit normal draws",
        detail=True,
    )
    assumed: list[str] = column(
        "options that the file does not state, with the assumed values (the option assume changes them)",
        detail=True,
    )
    blow_up_step: list[int | None] = column("step at which the state overflows", unit="step", detail=True)
    log10_share: list[float] = column("log₁₀ of the share", log10=True, levels=SHARE_LEVELS, detail=True)
    log10_share_low: list[float] = column("the lowest log₁₀ of the share over ends", log10=True, detail=True)
    log10_share_high: list[float] = column(
        "the highest log₁₀ of the share over ends", log10=True, detail=True
    )
    log10_share_last: list[float] = column("log₁₀ of the share from the last steps", log10=True, detail=True)
    share_error: list[float] = column(
        "largest standard error of log₁₀ of the share of one end, which random vectors estimate for large "
        "layers; 0 if it is exact",
        unit="decades",
        detail=True,
    )
    log10_relative_share: list[float] = column(
        "log₁₀ of the share after L steps, divided by its mean over the lags 1 to L; median over ends",
        log10=True,
        detail=True,
    )
    log10_norm: list[float] = column(
        "log₁₀ ‖∂s_t/∂s_{t−L}‖₂, the factor in the best direction; median over ends", log10=True, detail=True
    )
    stable_rank: list[float] = column(
        "‖P‖_F² / ‖P‖₂² of P = ∂s_t/∂s_{t−L}: the least number of directions that carry the gradient; median "
        "over ends (Rudelson & Vershynin 2007). None for a large layer with several ends, or if P = 0",
        detail=True,
    )
    log10_norm_ratio: list[float] = column(
        "log₁₀ of ‖∂s_t/∂s_{t−L}‖₂ / ‖∂s_t/∂s_{t−1}‖₂, the growth over L − 1 steps; median over ends",
        log10=True,
        detail=True,
    )
    log10_credit: list[float] = column(
        "the same as log10_norm_ratio, under the name that scripts of earlier versions read",
        log10=True,
        detail=True,
    )
    ends: list[int] = column("steps t from which gradients go back, in all sequences", detail=True)
    ends_stable: list[int] = column("ends whose share is stable, 1e-2 to 100", detail=True)
    rate_low: list[float] = column("the lowest rate over sequences", unit="nats per step", detail=True)
    rate_high: list[float] = column("the highest rate over sequences", unit="nats per step", detail=True)
    trajectory_error: list[float] = column(
        "estimate of how far log₁₀ of a norm moves when weights and inputs move by one unit in the last "
        "place: twice the largest change over lags, sequences and three runs",
        unit="decades",
        detail=True,
    )


@dataclass(frozen=True, eq=False, repr=False)
class ShareCurves(Table):
    """The share of a gradient that is left in each layer, by lag."""

    layer: list[str] = column("the layer")
    lag: list[int] = column("steps k that the gradient goes back", unit="step")
    log10_share: list[float] = column(
        "log₁₀ of ‖∂h_t/∂s_{t−k}‖_F / √H, median over ends t", log10=True, levels=SHARE_LEVELS
    )
    log10_share_low: list[float] = column("the lowest over ends", log10=True)
    log10_share_high: list[float] = column("the highest over ends", log10=True)


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
        "forget_bias, update_bias: sets the bias of all units; chrono: draws it, up to a longest memory; "
        "gain: multiplies the recurrent weights; orthogonal: replaces them"
    )
    value: list[float] = column("value of the change")
    log10_share_before: list[float] = column(
        "log₁₀ of the share after L steps without the change", log10=True
    )
    log10_share: list[float] = column(
        "log₁₀ of the share with the change, median over ends", log10=True, levels=SHARE_LEVELS
    )
    verdict: list[str] = column("verdict on the share with the change")
    advised: list[bool] = column(
        "whether the conclusion advises this change: of those with a stable share that neither vanishes nor "
        "explodes from any end, the one whose worst end is nearest to 1. It must bring the median and the "
        "worst end nearer to 1, of a stable layer the median by a factor of 2"
    )
    log10_share_low: list[float] = column(
        "the lowest log₁₀ of the share with the change, over ends", log10=True, detail=True
    )
    log10_share_high: list[float] = column("the highest of these", log10=True, detail=True)
    ends_stable: list[int] = column("ends whose share is stable with the change", detail=True)
    code: list[str] = column(
        "statements of torch or Keras that make the change. In torch, model is the module of the file. "
        "Otherwise layer is one layer, in one direction. chrono and orthogonal draw other numbers than the "
        "trial did",
        detail=True,
    )


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
        "the worst verdict of its layers, in the order exploding, vanishing, borderline, stable; or "
        "unreadable"
    )
    problem: list[str] = column("why the file could not be read")


@dataclass(frozen=True, eq=False, repr=False)
class Changes(Table):
    """The same layer in two files."""

    layer: list[str] = column("the layer, in the first file")
    layer_after: list[str] = column("its name in the second file")
    weight_change: list[float] = column(
        "‖W after − W before‖ / ‖W before‖ of the recurrent weights, Frobenius norm"
    )
    spectral_radius_before: list[float] = column(
        "spectral radius of the recurrent matrix, in the first file", detail=True
    )
    spectral_radius_after: list[float] = column("in the second", detail=True)
    weight_norm_before: list[float] = column(
        "spectral norm of the recurrent matrix, in the first file", detail=True
    )
    weight_norm_after: list[float] = column("in the second", detail=True)
    forget_bias_before: list[float | None] = column("mean forget bias, in the first file", detail=True)
    forget_bias_after: list[float | None] = column("in the second", detail=True)
    rate_before: list[float] = column(
        "rate of growth, in the first file", unit="nats per step", levels=STILL_LEVELS, detail=True
    )
    rate_after: list[float] = column("in the second", unit="nats per step", detail=True)
    log10_share_before: list[float] = column("log₁₀ of the share, in the first file", log10=True)
    log10_share_after: list[float] = column("in the second", log10=True)
    log10_norm_before: list[float] = column(
        "log₁₀ ‖∂s_t/∂s_{t−L}‖₂, in the first file", log10=True, detail=True
    )
    log10_norm_after: list[float] = column("in the second", log10=True, detail=True)
    memory_before: list[float | None] = column("memory of the first input, in the first file")
    memory_after: list[float | None] = column("in the second")
    verdict_before: list[str | None] = column("verdict, in the first file")
    verdict_after: list[str | None] = column("in the second")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Inspection(Record):
    """What the recurrent layers of checkpoints do to gradients.

    ``layers`` is the main table, with a row for each layer. ``advice`` has the changes that were tried, and
    what each of them did.

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
    >>> round(found.layers.share[0] * 2**10, 9), found.layers.verdict
    (1.0, ['borderline'])
    >>> found.advice.change[0], found.advice.value[0], abs(found.advice.log10_share[0]) < 1e-9
    ('gain', 2.0, True)
    """

    command: ClassVar[str] = "inspect"
    verdicts: ClassVar[tuple[str, ...]] = INSPECTION_VERDICTS

    files_read: int = scalar("files with a recurrent layer")
    layers_found: int = scalar("recurrent layers in these files")
    steps: int = scalar("T, steps of each sequence that each layer was run on")
    lags: int = scalar("number of lags over which rates are measured")
    length: int = scalar("L, steps that a gradient goes back")
    conclusion: str = scalar("the result in words, a line for each layer", prose=True)

    layers: Layers = table(
        "what each recurrent layer does to a gradient",
        across=("layer",),
        drawn=[
            ItemDrawing(
                ("layer",),
                (DrawnColumn("log10_share", low="log10_share_low", high="log10_share_high"),),
                label="share of a gradient left after {length} steps: median, bar from lowest to highest end",
            )
        ],
    )
    curve: ShareCurves = table(
        "share of a gradient that is left, by lag",
        index="lag",
        across=("layer",),
        value="log10_share",
        drawn=[
            CurveDrawing(
                "lag",
                (DrawnColumn("log10_share", low="log10_share_low", high="log10_share_high"),),
                apart=("layer",),
                label="share of a gradient left: median, band from lowest to highest end",
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
        absent="leave `advice=none` out, or give a layer that some change suits",
        drawn=[
            ItemDrawing(
                ("layer", "change"),
                (
                    DrawnColumn("log10_share", label="with the change"),
                    DrawnColumn("log10_share_before", dashed=True, label="without it"),
                ),
                label="share of a gradient left after {length} steps, median over ends",
            )
        ],
        shown=True,
        shown_rows=12,
    )
    units: Units | None = table(
        "units that are shut or open at every step", absent="add `units=True`", shown=True
    )
    files: Files | None = table(
        "one row for each file",
        absent="inspect several files or a directory",
        drawn=[
            ItemDrawing(
                ("file",), (DrawnColumn("rate_low"), DrawnColumn("rate_high")), label="rates of its layers"
            )
        ],
        shown=True,
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
        shown=True,
    )

    def get_verdicts(self) -> frozenset[str]:
        """Return the verdicts of all layers and files."""
        return frozenset([*self.layers.verdict, *(self.files.verdict if self.files else ())])
