"""``gradflow lyapunov``."""

from typing import Annotated, Any

import gradflow
from gradflow.analysis.shared.progress import Progress
from gradflow.cli.emit import emits
from gradflow.cli.help import SUBJECT_GROUP
from gradflow.cli.options import (
    CELL,
    Assume,
    Features,
    Hidden,
    Input,
    InputFormat,
    InputScale,
    Key,
    Seed,
    Steps,
    assumptions,
    integer,
    option,
)


@emits("gradflow.analysis.lyapunov.record:Lyapunov")
def lyapunov(
    cell: Annotated[
        str | None,
        CELL,
    ] = None,
    jacobians: Annotated[
        str | None,
        option(
            "--jacobians",
            group=SUBJECT_GROUP,
            metavar="FILE|-",
            help="Jacobians of any system, T×n×n, in the order in which they act.",
        ),
    ] = None,
    key: Key = None,
    count: Annotated[
        int | None,
        integer("-k", "--count", metavar="K", help="Number of leading exponents.", show_default="all"),
    ] = None,
    steps: Steps = None,
    transient: Annotated[
        int | None,
        option(
            "--transient",
            metavar="T",
            help="Steps to leave out before these. Default: a tenth as many, or 0 with --jacobians.",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        option("--tolerance", metavar="E", help="Continue until every standard error is at most E."),
    ] = None,
    hidden: Hidden = None,
    seed: Seed = 0,
    seeds: Annotated[
        int | None,
        integer(
            "--seeds",
            group=SUBJECT_GROUP,
            metavar="S",
            help="Draws of weights and inputs to average exponents over.",
            show_default="1",
        ),
    ] = None,
    features: Features = None,
    assume: Assume = None,
    input: Input = None,
    input_format: InputFormat = None,
    input_scale: InputScale = None,
    *,
    progress: Progress | None,
) -> Any:
    """The Lyapunov spectrum of a cell or of any system.

    Measures how fast small changes of the whole state grow in each direction, forward in time. Exponents are
    in nats per step and have standard errors. The inputs are the same as those of compare.

    \b
    Examples:
      gradflow lyapunov rnn:init=ginibre,gain=2 --input zero
      gradflow lyapunov lstm --hidden 64 -k 8 --steps 5000 --seeds 4
      gradflow lyapunov gru --tolerance 0.001
      gradflow lyapunov model.safetensors::encoder --input features.npy
      gradflow lyapunov --jacobians J.npy --table exponents -f csv
      gradflow lyapunov --jacobians - --fail-on exploding

    \b
    Options of cells: as for compare (gradflow compare -h)
    """
    return gradflow.lyapunov(
        cell, jacobians=jacobians, key=key, count=count, steps=steps, transient=transient,
        tolerance=tolerance, hidden=hidden, seed=seed, seeds=seeds, features=features,
        assume=assumptions(assume), input=input, input_format=input_format, input_scale=input_scale,
        progress=progress,
    )  # fmt: skip
