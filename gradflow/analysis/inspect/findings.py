"""Everything that is measured of the recurrent layers of one file."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple, cast

import numpy as np

from gradflow.analysis.inspect.gate_rows import GateRow, gate_rows, norm
from gradflow.analysis.inspect.remedies import RemedyCase, RemedyTrial, trials
from gradflow.analysis.shared.checkpoints import parse_name
from gradflow.analysis.shared.credit import Credit, credit, trajectories
from gradflow.analysis.shared.end_norms import MAX_DENSE_STATE
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.analysis.shared.trajectory_error import state_norm_error
from gradflow.analysis.shared.verdicts import judge_median
from gradflow.cells.base import Array
from gradflow.cells.base import Layer as LayerCell
from gradflow.errors import GradflowError
from gradflow.layouts.assumptions import check_left_open
from gradflow.layouts.checkpoint import Checkpoint, read_checkpoint
from gradflow.layouts.network import Network, NetworkLayer

# Credit is measured along so many sequences of inputs, drawn or given, from so many steps of all of them, at
# least two and at most eight a sequence. Of large layers, whose many units average, half as many do.
MAX_DRAWS, MAX_MEASUREMENTS, MIN_ENDS, MAX_ENDS = 8, 16, 2, 8


class InspectionQuestion(NamedTuple):
    """What is asked about every file; picklable, for files may go to several processes."""

    inputs: Inputs
    length: int
    lags: int  # that rates and horizons rest on
    seed: int
    layout: str | None
    assume: Mapping[str, str]
    gate_steps: bool = False


class Finding(NamedTuple):
    """One layer, as it is told about."""

    name: str
    cell: str
    framework: str
    direction: str
    input_size: int
    hidden_size: int
    parameters: int
    norm: float
    forget_bias: float | None
    slope: float | None  # of a cell without gates: the activation's mean derivative along the run
    fed: str
    took_input: bool  # itself, or its network
    assumed: tuple[str, ...]
    told: str  # what was assumed, in words
    turned: str  # gates that the framework has the other way round
    lags: int  # that the rate rests on
    credit: Credit
    gates: list[GateRow]
    trials: list[RemedyTrial]
    weight_hh: Array
    trajectory_error: float  # how far rounding of the states may move a norm, in decades

    @property
    def spectral_radius(self) -> float:
        """The largest of its gates' recurrent matrices."""
        return max(gate.spectral_radius for gate in self.gates if gate.spectral_radius is not None)

    @property
    def verdict(self) -> str | None:
        """The verdict on the rate: of the median over sequences, as `gradflow.compare` has it over draws.

        A state that overflows along any of the sequences explodes.
        """
        overflows = self.credit.blow_up is not None
        return "exploding" if overflows else judge_median(self.credit.rates, self.lags).verdict


class Answer(NamedTuple):
    """What was found in one file, or why nothing was."""

    file: str
    findings: list[Finding]
    remarks: tuple[str, ...]
    left_open: frozenset[str]
    problem: GradflowError | None


class Job(NamedTuple):
    """A file, or what was loaded of one, and the layers of it to look at; those it names where empty."""

    source: str | Checkpoint
    layers: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """What messages call it: the file without the layer that was named."""
        return self.source.source if isinstance(self.source, Checkpoint) else parse_name(self.source).file


def jobs(question: InspectionQuestion, sources: Sequence[str | Checkpoint]) -> list[Job]:
    """Return the pieces of work: the files, or, of one file alone, its layers.

    Raises
    ------
    GradflowError
        If a pipe does not give what it should: it can be read but once, so it is read here.
    """
    whole = [
        Job(source) if isinstance(source, Checkpoint) or _lasting(source) else _keep_pipe(question, source)
        for source in sources
    ]
    if len(whole) > 1 or isinstance(whole[0].source, Checkpoint):
        return whole
    try:
        checkpoint, layers = _opened(question, whole[0])
    except GradflowError:
        return whole  # whose answer says what is wrong
    if len(layers) == 1:
        return [Job(checkpoint, layers)]  # read once
    return [Job(whole[0].source, (layer,)) for layer in layers]


def _keep_pipe(question: InspectionQuestion, source: str) -> Job:
    """Return what is to be done about a pipe, now read, under the name that it was given."""
    checkpoint, layers = _opened(question, Job(source))
    return Job(replace(checkpoint, source=source), layers)


def _lasting(source: str) -> bool:
    """Return whether a source is no pipe: a file, or nothing at all."""
    file = parse_name(source).file
    return file != "-" and (os.path.isfile(file) or not os.path.exists(file))


def answer(question: InspectionQuestion, job: Job) -> Answer:
    """Return what is found in a file, all layers or those meant, or why nothing is."""
    try:
        checkpoint, layers = _opened(question, job)
        found = [
            finding
            for network in checkpoint.networks
            if any(layer.name in layers for layer in network.layers)
            for finding in _findings(question, network, layers)
        ]
    except GradflowError as error:
        return Answer(job.file, [], (), frozenset(), error)
    return Answer(job.file, found, checkpoint.remarks, checkpoint.left_open, None)


def merge_answers(answers: Sequence[Answer]) -> Answer:
    """Return the answer of a file from those to its layers: what goes wrong with one goes wrong with it."""
    problem = next((one for one in answers if one.problem is not None), None)
    return problem or answers[0]._replace(findings=[finding for one in answers for finding in one.findings])


def _opened(question: InspectionQuestion, job: Job) -> tuple[Checkpoint, tuple[str, ...]]:
    """Return the checkpoint and the names of the layers that are meant."""
    if isinstance(job.source, Checkpoint):
        checkpoint, chosen = job.source, job.source.layers
    else:
        name = parse_name(job.source)
        checkpoint = read_checkpoint(name.file, question.layout, {**question.assume, **name.assume})
        check_left_open(name.assume, checkpoint.left_open, name.file)
        chosen = checkpoint[name.layer].layers if name.layer else checkpoint.layers
    return checkpoint, job.layers or tuple(layer.name for layer in chosen)


def _findings(question: InspectionQuestion, network: Network, layers: Collection[str]) -> Iterator[Finding]:
    large = any(layer.cell.state_size > MAX_DENSE_STATE for layer in network.layers)
    draws = MAX_DRAWS // 2 if large else MAX_DRAWS
    inputs, kind = _feed_layer(question.inputs, network.levels[0][0].cell.input_size, draws)
    lowest = network.levels[0]
    wanted = [layer.name in layers for layer in network.layers]
    needed = len(wanted) - wanted[::-1].index(True)  # what stands above the last of them need not run
    for layer, trajectory, genuine in islice(trajectories(network, inputs), needed):
        if layer.name in layers:
            fed = kind if layer in lowest else "layer below" if genuine else "unit normal"
            yield _finding(question, layer, trajectory, fed, took_input=kind == "input")


def _feed_layer(inputs: Inputs, features: int, draws: int) -> tuple[Array, str]:
    """Return inputs that a network takes, (draws, T, features), and what they are: those given, if it can."""
    if inputs.data is not None and inputs.features == features:
        return _draw_inputs(inputs, min(len(inputs.data), draws)), "input"
    if inputs.data is not None or inputs.kind == "normal":
        return _draw_inputs(
            replace(inputs, features=features, kind="normal", data=None), draws
        ), "unit normal"
    return _draw_inputs(replace(inputs, features=features), 1), inputs.kind


def _draw_inputs(inputs: Inputs, count: int) -> Array:
    return np.stack([inputs.draw(draw) for draw in range(count)])


def _finding(
    question: InspectionQuestion, layer: NetworkLayer, trajectory: Trajectory, fed: str, *, took_input: bool
) -> Finding:
    cell = cast(LayerCell, layer.cell)
    several = MAX_MEASUREMENTS if trajectory.size <= MAX_DENSE_STATE else MAX_MEASUREMENTS // 2
    ends = min(max(several // len(trajectory.states), MIN_ENDS), MAX_ENDS)
    last_decides = took_input and fed != "unit normal"
    measured = credit(trajectory, question.length, ends=ends, window=question.lags, last_decides=last_decides)
    case = RemedyCase(cell, trajectory, measured, question.length, question.seed, ends, question.lags)
    # what gates do is told of the first sequence
    states, inputs = trajectory.states[0], trajectory.inputs[0]
    activity = cell.activity(states, inputs) if trajectory.steps else []
    return Finding(
        name=layer.name,
        cell=layer.kind,
        framework=layer.framework,
        direction=layer.direction,
        input_size=cell.input_size,
        hidden_size=cell.hidden_size,
        parameters=layer.parameters,
        norm=norm(cell.weight_hh),
        forget_bias=_mean_forget_bias(cell),
        slope=_slope(cell, states, inputs),
        fed=fed,
        took_input=took_input,
        assumed=layer.assumed,
        told=layer.describe_assumed(),
        turned=layer.inverted_gates,
        lags=question.lags,
        credit=measured,
        gates=gate_rows(cell, activity, every_step=question.gate_steps),
        trials=[] if measured.arrives else list(trials(case)),
        weight_hh=cell.weight_hh,
        trajectory_error=state_norm_error(trajectory),
    )


def _slope(cell: LayerCell, states: Array, inputs: Array) -> float | None:
    slopes = cell.slopes(states, inputs) if len(inputs) else None
    return None if slopes is None else float(np.mean(slopes))


def _mean_forget_bias(cell: LayerCell) -> float | None:
    forget = [name for name, gate in cell.gate_kinds.items() if gate.bias_option == "forget_bias"]
    return next((float(cell.bias[cell.blocks[name]].mean()) for name in forget if name in cell.blocks), None)
