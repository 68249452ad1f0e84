"""``gradflow init``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.analysis.shared.progress import Progress
from gradflow.cells import CELLS
from gradflow.cli.emit import emits
from gradflow.cli.help import SUBJECT_GROUP
from gradflow.cli.options import Features, Input, InputFormat, InputScale, Key, Seed, integer, option
from gradflow.layouts import EXPORTERS
from gradflow.writers import WRITTEN_SUFFIXES


@emits("gradflow.analysis.init.record:Tuned")
def init(
    cell: Annotated[
        str,
        typer.Argument(metavar="CELL", help=f"NAME[:option=value,...], NAME one of {', '.join(CELLS)}."),
    ],
    hidden: Annotated[
        int, integer("--hidden", group=SUBJECT_GROUP, metavar="H", help="Hidden size of each layer.")
    ] = 32,
    features: Features = None,
    horizon: Annotated[
        int, integer("--horizon", metavar="N", help="Steps that a gradient has to survive, at least 2.")
    ] = 100,
    input: Input = None,
    key: Key = None,
    input_format: InputFormat = None,
    input_scale: InputScale = None,
    seed: Seed = 0,
    seeds: Annotated[
        int,
        integer(
            "--seeds", group=SUBJECT_GROUP, metavar="S",
            help="Draws of weights and inputs. The first is written.",
        ),
    ] = 5,
    output: Annotated[
        str | None,
        option(
            "-o", "--output", metavar="FILE",
            help=f"File for the weights: {WRITTEN_SUFFIXES}.",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        option(
            "--layout", metavar="NAME", help=f"{'|'.join(EXPORTERS)}: names and order of the arrays.",
            show_default="torch, or keras for .weights.h5",
        ),
    ] = None,
    *,
    progress: Progress | None,
) -> Any:  # fmt: skip
    """Find fresh weights whose gradients survive N steps.

    Starts from the given initialization and tunes one number (gain, leak, forget bias, update bias, or the
    longest memory of chrono) until a gradient is as large after N steps as after one step, along 16 sequences
    of inputs. Then tests the result on 32 other sequences and rejects it if it does not hold. The report goes
    to stdout, the weights to the file.

    \b
    Examples:
      gradflow init lstm --hidden 64 --features 16 --horizon 500 -o lstm.npz
      gradflow init lstm:init=chrono --horizon 1000 --seeds 3
      gradflow init rnn:init=identity --input features.npy -o rnn.npz
      gradflow init gru --horizon 300 -o g.npz --layout keras --fail-on vanishing

    \b
    Options of cells: as for compare (gradflow compare -h)

    If no value works for all sequences, the command writes no result and no file, and exits with 1. It exits
    with 3 if --fail-on names the verdict of a result.
    """
    return gradflow.init(
        cell, hidden=hidden, features=features, horizon=horizon, input=input, key=key,
        input_format=input_format, input_scale=input_scale, seed=seed, seeds=seeds, output=output,
        layout=layout, progress=progress,
    )  # fmt: skip
