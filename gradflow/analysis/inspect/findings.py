"""Everything that is measured of the recurrent layers of one file."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple, cast

import numpy as np

from gradflow.analysis import ADVICE_WRITERS
from gradflow.analysis.inspect.gate_rows import GateRow, gate_rows, norm
from gradflow.analysis.inspect.remedies import RemedyCase, RemedyTrial, find_counterparts, trials
from gradflow.analysis.shared.checkpoints import parse_name
from gradflow.analysis.shared.gradient_share import GradientShare, measure_share
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.shared.memory import measure_memory
from gradflow.analysis.shared.network_run import (
    UNIT_NORMAL,
    LayerRun,
    NetworkFeeder,
    NetworkInputs,
    run_network,
)
from gradflow.analysis.shared.trajectory import Trajectory
from gradflow.analysis.shared.trajectory_error import state_norm_error
from gradflow.cells.base import Array
from gradflow.cells.base import Layer as LayerCell
from gradflow.errors import GradflowError
from gradflow.layouts.assumptions import check_left_open
from gradflow.layouts.chains import chain_networks, find_fitting
from gradflow.layouts.checkpoint import Checkpoint, read_checkpoint
from gradflow.layouts.network import Network

# Shares are measured along at most MAX_DRAWS sequences of inputs, from MAX_MEASUREMENTS ends in all, at least
# MIN_ENDS and at most MAX_ENDS in each sequence.
MAX_DRAWS, MAX_MEASUREMENTS, MIN_ENDS, MAX_ENDS = 8, 16, 2, 8


class InspectionQuestion(NamedTuple):
    """The options of an inspection, the same for every file. Picklable, because workers may be processes."""

    inputs: Inputs
    length: int
    lags: int  # over which rates and horizons are measured
    seed: int
    layout: str | None
    assume: Mapping[str, str]
    gate_steps: bool = False
    advice: str | None = None  # the framework of the code in advice; none: no change is tried
    chain: tuple[str, ...] = ()  # networks that feed each other
    lone_networks: frozenset[str] = frozenset()  # given as objects of their own

    @property
    def gives_advice(self) -> bool:
        """Whether changes are tried."""
        return self.advice != "none"

    def choose_framework(self, finding: "Finding") -> str:
        """Return the framework of the code that makes a change: as asked for, or that of the file."""
        own = finding.framework if finding.framework in ADVICE_WRITERS else next(iter(ADVICE_WRITERS))
        return self.advice or own


class Finding(NamedTuple):
    """The measurements of one layer."""

    name: str
    cell: str
    framework: str
    direction: str
    input_size: int
    hidden_size: int
    parameters: int
    norm: float
    forget_bias: float | None
    slope: float | None  # mean derivative of the activation along the run; None for a cell with gates
    fed: str
    took_input: bool  # whether its inputs come from the given input, directly or through other layers
    caution: str  # why its inputs are not those of its model, a clause; empty if they are
    assumed: tuple[str, ...]
    assumed_text: str  # the assumptions as a sentence
    inverted_gates: str  # gates whose values the framework defines as one minus those shown
    lags: int  # over which the rate is measured
    share: GradientShare
    memory: float | None
    gates: list[GateRow]
    counterparts: tuple[str, ...]  # gates that let in new values while the retaining gate keeps old ones
    trials: list[RemedyTrial]
    array_names: tuple[str, ...]  # in the file
    weight_hh: Array
    trajectory_error: float  # how far rounding of the states may move a norm, in decades

    @property
    def spectral_radius(self) -> float:
        """The largest spectral radius of a recurrent matrix, over the gates."""
        return max(gate.spectral_radius for gate in self.gates if gate.spectral_radius is not None)

    @property
    def verdict(self) -> str:
        """The verdict on the share of a gradient that is left."""
        return self.share.verdict


class Answer(NamedTuple):
    """The findings of one file, or the problem that left none."""

    file: str
    findings: list[Finding]
    remarks: tuple[str, ...]
    left_open: frozenset[str]
    problem: GradflowError | None
    unstated_feeds: bool = False  # whether there are several networks, and nothing says which feeds which
    fitting: tuple[str, str] | None = None  # two of them whose sizes fit


class Job(NamedTuple):
    """A file or checkpoint, and the layers to measure; without layers, all that the source names."""

    source: str | Checkpoint
    layers: tuple[str, ...] = ()
    is_named: bool = False  # whether the user named these layers of the checkpoint

    @property
    def file(self) -> str:
        """The name of the file in messages, without the name of a layer."""
        return self.source.source if isinstance(self.source, Checkpoint) else parse_name(self.source).file


def jobs(question: InspectionQuestion, sources: Sequence[str | Checkpoint]) -> list[Job]:
    """Return the independent jobs: the files, or the layers of a single file.

    Raises
    ------
    GradflowError
        If a pipe has no valid checkpoint. A pipe can be read only once, so it is read here.
    """
    whole = [
        Job(source)
        if isinstance(source, Checkpoint) or _can_be_reread(source)
        else _read_pipe(question, source)
        for source in sources
    ]
    if len(whole) > 1 or isinstance(whole[0].source, Checkpoint):
        return whole
    try:
        checkpoint, layers, is_named = _open_job(question, whole[0])
    except GradflowError:
        return whole  # the job itself reports the error
    if len(layers) == 1:
        return [Job(checkpoint, layers, is_named)]  # so the file is read once
    return [Job(whole[0].source, (layer,)) for layer in layers]


def _read_pipe(question: InspectionQuestion, source: str) -> Job:
    """Read a pipe, and return its job under the given name."""
    checkpoint, layers, is_named = _open_job(question, Job(source))
    return Job(replace(checkpoint, source=source), layers, is_named)


def _can_be_reread(source: str) -> bool:
    """Return whether a source can be read again: a regular file, a directory, or a name without a file."""
    file = parse_name(source).file
    return file != "-" and (os.path.isfile(file) or os.path.isdir(file) or not os.path.exists(file))


def answer(question: InspectionQuestion, job: Job) -> Answer:
    """Return the findings of a job, or the problem that left none."""
    try:
        checkpoint, layers, is_named = _open_job(question, job)
        feeder = NetworkFeeder(checkpoint, question.inputs, MAX_DRAWS, layers if is_named else ())
        found = [
            finding
            for network in checkpoint.networks
            if any(layer.name in layers for layer in network.layers)
            for finding in _findings(question, feeder, network, layers)
        ]
    except GradflowError as error:
        return Answer(job.file, [], (), frozenset(), error)
    unstated = len(checkpoint.networks) > 1 and not (question.chain or checkpoint.states_feeds)
    fitting = find_fitting(checkpoint) if unstated else None
    return Answer(job.file, found, checkpoint.remarks, checkpoint.left_open, None, unstated, fitting)


def merge_answers(answers: Sequence[Answer]) -> Answer:
    """Return the answer for a file from those for its layers; it has a problem if one of them has."""
    problem = next((one for one in answers if one.problem is not None), None)
    return problem or answers[0]._replace(findings=[finding for one in answers for finding in one.findings])


def _open_job(question: InspectionQuestion, job: Job) -> tuple[Checkpoint, tuple[str, ...], bool]:
    """Return the checkpoint of a job, the names of its layers, and whether the user named them."""
    if isinstance(job.source, Checkpoint):
        checkpoint, chosen = job.source, job.source.layers
        is_named = job.is_named or checkpoint.source in question.lone_networks
    else:
        name = parse_name(job.source)
        checkpoint = read_checkpoint(name.file, question.layout, {**question.assume, **name.assume})
        check_left_open(name.assume, checkpoint.left_open, name.file)
        chosen, is_named = (checkpoint[name.layer] if name.layer else checkpoint).layers, bool(name.layer)
    if question.chain:
        checkpoint = chain_networks(checkpoint, question.chain)
    return checkpoint, job.layers or tuple(layer.name for layer in chosen), is_named


def _findings(
    question: InspectionQuestion, feeder: NetworkFeeder, network: Network, layers: Collection[str]
) -> Iterator[Finding]:
    inputs = feeder.feed(network)
    lowest = network.levels[0]
    wanted = [layer.name in layers for layer in network.layers]
    needed = len(wanted) - wanted[::-1].index(True)  # layers above the last wanted one do not run
    for run in islice(run_network(network, inputs.values), needed):
        if run.layer.name in layers:
            upper = UNIT_NORMAL if run.caution else "layer below"
            fed = inputs.fed if run.layer in lowest else upper
            caution = run.caution or (inputs.drawn.describe(network.name) if inputs.drawn else "")
            yield _finding(question, run, inputs._replace(fed=fed), caution)


def _finding(question: InspectionQuestion, run: LayerRun, inputs: NetworkInputs, caution: str) -> Finding:
    layer, trajectory = run.layer, run.trajectory
    cell = cast(LayerCell, layer.cell)
    ends = min(max(MAX_MEASUREMENTS // len(trajectory.states), MIN_ENDS), MAX_ENDS)
    last_decides = inputs.took_input and inputs.fed != UNIT_NORMAL
    measured = measure_share(
        trajectory, question.length, ends=ends, window=question.lags, last_decides=last_decides
    )
    case = RemedyCase(cell, trajectory, measured, question.length, question.seed, ends, question.lags)
    activity = cell.activity(trajectory.states, trajectory.inputs) if trajectory.steps else []
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
        slope=_measure_slope(cell, trajectory),
        fed=inputs.fed,
        took_input=inputs.took_input,
        caution=caution,
        assumed=layer.assumed,
        assumed_text=layer.describe_assumed(),
        inverted_gates=layer.inverted_gates,
        lags=question.lags,
        share=measured,
        memory=measure_memory(trajectory, question.length),
        gates=gate_rows(cell, activity, every_step=question.gate_steps),
        counterparts=tuple(find_counterparts(cell)),
        trials=list(trials(case)) if question.gives_advice else [],
        array_names=tuple(array.name for array in layer.stored),
        weight_hh=cell.weight_hh,
        trajectory_error=state_norm_error(trajectory),
    )


def _measure_slope(cell: LayerCell, trajectory: Trajectory) -> float | None:
    slopes = cell.slopes(trajectory.states, trajectory.inputs) if trajectory.steps else None
    return None if slopes is None else float(np.mean(slopes))


def _mean_forget_bias(cell: LayerCell) -> float | None:
    forget = [name for name, gate in cell.gate_kinds.items() if gate.bias_option == "forget_bias"]
    return next((float(cell.bias[cell.blocks[name]].mean()) for name in forget if name in cell.blocks), None)
