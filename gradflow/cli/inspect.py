"""``gradflow inspect``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.analysis import INPUTS
from gradflow.analysis.inspect.matches import parse_matches
from gradflow.analysis.shared.progress import Progress
from gradflow.cli.emit import emits
from gradflow.cli.help import SUBJECT_GROUP, fill_help
from gradflow.cli.options import Assume, Chain, GateSteps, Key, Layout, Seed, assumptions, integer, option
from gradflow.cli.workers import ProcessWorkers
from gradflow.layouts import LAYOUTS
from gradflow.readers import CONTAINERS


@emits("gradflow.analysis.inspect.record:Inspection")
@fill_help(
    containers=[
        f"{name} ({' '.join(container.checkpoint_suffixes)})"
        for name, container in CONTAINERS.items()
        if container.checkpoint_suffixes
    ],
    layouts=LAYOUTS,
)
def inspect(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Checkpoints, single layers as FILE::LAYER, or directories."),
    ],
    input: Annotated[
        str | None,
        option(
            "--input",
            group=SUBJECT_GROUP,
            metavar="FILE|-|KIND",
            help=f"Input file, T×features or batch×T×features; or {', '.join(INPUTS)}.",
            show_default="normal",
        ),
    ] = None,
    key: Key = None,
    length: Annotated[
        int | None,
        integer(
            "--length",
            metavar="L",
            help="Steps that a gradient goes back.",
            show_default="the length of the input, or 100",
        ),
    ] = None,
    seed: Seed = 0,
    layout: Layout = None,
    assume: Assume = None,
    units: Annotated[
        bool,
        option(
            "--units",
            help="Add the table units: units that are shut or open at every step.",
            show_default=False,
        ),
    ] = False,
    gate_steps: GateSteps = False,
    diff: Annotated[
        bool,
        option(
            "--diff", help="Add the table changes: two files, before and after training.", show_default=False
        ),
    ] = False,
    match: Annotated[
        list[str] | None,
        option(
            "--match",
            metavar="BEFORE=AFTER",
            help="With --diff: the names of a layer in the two files. Repeatable.",
            show_default="same name; else kind, shape and order",
        ),
    ] = None,
    advice: Annotated[
        str | None,
        option(
            "--advice",
            metavar="FRAMEWORK",
            help="Write the advice in the code of torch or keras; none: try no change. Default: as the file.",
        ),
    ] = None,
    chain: Chain = None,
    *,
    progress: Progress | None,
) -> Any:
    """What the layers of a trained checkpoint do to gradients.

    Finds every recurrent layer of a file, whatever framework wrote it. Measures the share of a gradient that
    is left after L steps, from several steps of several sequences, its rate and its gates. Tries changes
    and measures their effect.

    \b
    Examples:
      gradflow inspect model.safetensors
      gradflow inspect model.pt --input features.npy --length 200
      gradflow inspect model.h5::encoder --units
      gradflow inspect --diff before.pt after.pt
      gradflow inspect --diff model.pt model.h5 --match encoder.lstm=lstm
      gradflow inspect runs/ --table files -f csv
      gradflow inspect elman.pt --assume activation=relu --fail-on vanishing
      gradflow inspect translator.pt --chain encoder,decoder

    \b
    Reads:    {containers}
    Layouts:  {layouts}

    hdf5 and onnx need the extra of that name, as in gradflow-rnn[hdf5].
    """
    return gradflow.inspect(
        *files, input=input, key=key, length=length, seed=seed, layout=layout, assume=assumptions(assume),
        units=units, gate_steps=gate_steps, diff=diff, match=parse_matches(match) if match else None,
        advice=advice, chain=chain, progress=progress,
        executor=ProcessWorkers(),
    )  # fmt: skip
