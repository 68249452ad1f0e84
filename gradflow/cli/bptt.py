"""``gradflow bptt``."""

from typing import Annotated, Any

import gradflow
from gradflow.analysis import INPUTS, LOSSES
from gradflow.cli.emit import emits
from gradflow.cli.options import CELL, Features, Hidden, InputFormat, InputScale, Key, OptionalSeed, option


@emits(())
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
            help=f"{'|'.join(LOSSES)}: ½‖h − y‖² at every step or the last, or a fixed readout of each.",
        ),
    ] = "mean",
    targets: Annotated[
        str | None,
        option("--targets", metavar="FILE", help="y, a row a step (or batch×T×outputs); else normal draws."),
    ] = None,
    targets_key: Annotated[
        str | None, option("--targets-key", metavar="NAME", help="Array of a file of targets with several.")
    ] = None,
    parameter: Annotated[
        str,
        option(
            "--parameter",
            metavar="NAME",
            help="Whose gradient: weight_hh, weight_hh.GATE, weight_ih, bias, ..., all.",
        ),
    ] = "weight_hh",
    hidden: Hidden = None,
    steps: Annotated[
        int | None, option("--steps", metavar="T", help="Steps; the length of the input, or 100.")
    ] = None,
    batch: Annotated[
        int | None,
        option(
            "--batch", metavar="B", help="Sequences that L is the mean over; 1, or those of the data to 32."
        ),
    ] = None,
    seed: OptionalSeed = None,
    features: Features = None,
    input: Annotated[
        str | None,
        option(
            "--input",
            metavar="FILE|-|KIND",
            help=f"Inputs, T×features or batch×T×features; or {', '.join(INPUTS)}.",
        ),
    ] = None,
    key: Key = None,
    input_format: InputFormat = None,
    input_scale: InputScale = None,
    pair_map: Annotated[
        bool,
        option("--map", help="Add the part of every pair of steps, of one sequence.", show_default=False),
    ] = False,
    *,
    map: Any,
) -> Any:
    """Where the gradient of a loss comes from, lag by lag.

    Backpropagation through time taken apart by how many steps t - k credit travels, and what truncated
    backpropagation would lose. A check by central differences comes with it. Norms keep their size
    however small a part is beside others; shares under 1e-308 read 0. Twice the steps take four times
    as long.

    \b
    Examples:
      gradflow bptt lstm
      gradflow bptt lstm:forget_bias=3 --loss final --steps 200
      gradflow bptt gru:layers=2 --parameter layer1.weight_hh.z --batch 16
      gradflow bptt rnn --map --table map -f csv
      gradflow bptt model.safetensors::encoder --input features.npy --targets next.npy

    \b
    Options of cells: as for compare (gradflow compare -h)
    Tables:   lags (main), windows, map, summary
    """
    return gradflow.bptt(
        cell, loss=loss, targets=targets, targets_key=targets_key, parameter=parameter, hidden=hidden,
        steps=steps, batch=batch, seed=seed, features=features, input=input, key=key,
        input_format=input_format, input_scale=input_scale, pair_map=pair_map, map=map,
    )  # fmt: skip
