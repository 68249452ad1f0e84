"""``gradflow inspect``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.analysis import INPUTS, INSPECTION_VERDICTS
from gradflow.cli.emit import emits
from gradflow.cli.options import Assume, GateSteps, Key, Layout, Seed, assumptions, option
from gradflow.cli.workers import pooled


@emits(INSPECTION_VERDICTS)
def inspect(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Checkpoints, FILE::LAYER for one layer, or directories."),
    ],
    input: Annotated[
        str | None,
        option(
            "--input",
            metavar="FILE|-|KIND",
            help=f"What layers are fed, T×features; or {', '.join(INPUTS)}: normal unless given.",
        ),
    ] = None,
    key: Key = None,
    length: Annotated[
        int | None,
        option("--length", metavar="L", help="Does credit arrive over L steps? All of the input, or 100."),
    ] = None,
    seed: Seed = 0,
    layout: Layout = None,
    assume: Assume = None,
    units: Annotated[
        bool, option("--units", help="List the units that are dead: table units.", show_default=False)
    ] = False,
    gate_steps: GateSteps = False,
    diff: Annotated[
        bool, option("--diff", help="Two files, before and after: table changes.", show_default=False)
    ] = False,
    *,
    map: Any,
) -> Any:
    """What the recurrent layers of a trained checkpoint do to gradients.

    Every recurrent layer of the file, whatever framework wrote it: its rate, its gates, and whether a
    gradient arrives over L steps, measured from several steps of several sequences. Where it does not,
    changes are tried and measured.

    \b
    Examples:
      gradflow inspect model.safetensors
      gradflow inspect model.pt --input features.npy --length 200
      gradflow inspect model.h5::encoder --units
      gradflow inspect --diff before.pt after.pt
      gradflow inspect runs/ --table files -f csv
      gradflow inspect elman.pt --assume activation=relu --fail-on vanishing

    \b
    Reads:    safetensors, torch .pt and .pth, npz, and with gradflow[hdf5]
              .h5 and .keras, with gradflow[onnx] .onnx
    Layouts:  torch, keras, onnx, flax, equinox, haiku, tensorflow1
    Tables:   layers (main), gates, gate_steps, advice, units, files, changes,
              summary
    Verdicts: vanishing, stable, exploding, undecided, arrives, lost, inflated,
              unreadable
    (arrives, lost and inflated: what becomes of credit over L steps;
    undecided: the measurements disagree)
    """
    return gradflow.inspect(
        *files, input=input, key=key, length=length, seed=seed, layout=layout, assume=assumptions(assume),
        units=units, gate_steps=gate_steps, diff=diff, map=pooled(map),
    )  # fmt: skip
