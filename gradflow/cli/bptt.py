"""``gradflow bptt``."""

from typing import Annotated, Any

import gradflow
from gradflow.analysis import INPUTS, LOSSES
from gradflow.analysis.shared.progress import Progress
from gradflow.cli.emit import emits
from gradflow.cli.help import SUBJECT_GROUP
from gradflow.cli.options import (
    CELL,
    Assume,
    Features,
    Hidden,
    InputFormat,
    InputScale,
    Key,
    OptionalSeed,
    assumptions,
    integer,
    option,
)


@emits("gradflow.analysis.bptt.record:CreditAssignment")
def bptt(
    cell: Annotated[
        str,
        CELL,
    ],
    loss: Annotated[
        str,
        option(
            "--loss",
            metavar="NAME",
            help=f"{'|'.join(LOSSES)}: ½‖h − y‖² of all steps or of the last one, or a fixed readout.",
        ),
    ] = "mean",
    targets: Annotated[
        str | None,
        option(
            "--targets",
            group=SUBJECT_GROUP,
            metavar="FILE",
            help="File with y, T×outputs or batch×T×outputs.",
            show_default="normal draws",
        ),
    ] = None,
    targets_key: Annotated[
        str | None,
        option(
            "--targets-key",
            group=SUBJECT_GROUP,
            metavar="NAME",
            help="Array to read from the file of targets.",
        ),
    ] = None,
    parameter: Annotated[
        str,
        option(
            "--parameter",
            metavar="NAME",
            help="Parameter of the gradient: weight_hh, weight_hh.GATE, weight_ih, bias, ..., all.",
        ),
    ] = "weight_hh",
    hidden: Hidden = None,
    steps: Annotated[
        int | None,
        integer(
            "--steps", metavar="T", help="Number of steps.", show_default="the length of the input, or 100"
        ),
    ] = None,
    batch: Annotated[
        int | None,
        integer(
            "--batch",
            group=SUBJECT_GROUP,
            metavar="B",
            help="Sequences to average L over.",
            show_default="those of the data, at most 32; or 1",
        ),
    ] = None,
    seed: OptionalSeed = None,
    features: Features = None,
    assume: Assume = None,
    input: Annotated[
        str | None,
        option(
            "--input",
            group=SUBJECT_GROUP,
            metavar="FILE|-|KIND",
            help=f"Input file, T×features or batch×T×features; or {', '.join(INPUTS)}.",
        ),
    ] = None,
    key: Key = None,
    input_format: InputFormat = None,
    input_scale: InputScale = None,
    pair_map: Annotated[
        bool,
        option(
            "--map",
            help="Add the table map: the part of every pair of steps, for one sequence.",
            show_default=False,
        ),
    ] = False,
    *,
    progress: Progress | None,
) -> Any:
    """Where the gradient of a loss comes from, lag by lag.

    Splits the gradient of backpropagation through time by lag, the number of steps that credit travels back,
    and measures what truncated backpropagation loses. Checks the gradient by central differences. Norms keep
    their size however small a part is beside the others; a share under 1e-308 reads 0. Twice as many steps
    take four times as long.

    \b
    Examples:
      gradflow bptt lstm
      gradflow bptt lstm:forget_bias=3 --loss final --steps 200
      gradflow bptt gru:layers=2 --parameter layer1.weight_hh.z --batch 16
      gradflow bptt rnn --map --table map -f csv
      gradflow bptt model.npz::encoder --input features.npy --targets next.npy

    \b
    Options of cells: as for compare (gradflow compare -h)
    """
    return gradflow.bptt(
        cell, loss=loss, targets=targets, targets_key=targets_key, parameter=parameter, hidden=hidden,
        steps=steps, batch=batch, seed=seed, features=features, assume=assumptions(assume),
        input=input, key=key,
        input_format=input_format, input_scale=input_scale, pair_map=pair_map, progress=progress,
    )  # fmt: skip
