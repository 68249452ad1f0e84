"""``gradflow compare``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.analysis import FLOW_VERDICTS
from gradflow.cells import CELLS
from gradflow.cli.emit import emits
from gradflow.cli.options import Key, Seed, option


@emits(FLOW_VERDICTS)
def compare(
    cells: Annotated[
        list[str],
        typer.Argument(metavar="CELL...", help=f"NAME[:option=value,...], NAME being {' or '.join(CELLS)}."),
    ],
    hidden: Annotated[int, option("--hidden", metavar="H", help="Hidden size.")] = 32,
    steps: Annotated[
        int | None, option("--steps", metavar="T", help="Steps, the largest lag; 100, or all of the input.")
    ] = None,
    seed: Seed = 0,
    seeds: Annotated[
        int, option("--seeds", metavar="S", help="Draws of weights: median and 5-95 % quantiles.")
    ] = 10,
    features: Annotated[
        int | None, option("--features", metavar="F", help="Features of an input; 32, or those of the input.")
    ] = None,
    input: Annotated[
        str | None,
        option(
            "--input", metavar="FILE|-", help="Inputs, T×features or batch×T×features; else standard normal."
        ),
    ] = None,
    key: Key = None,
    input_scale: Annotated[float, option("--input-scale", metavar="A", help="Multiplies the inputs.")] = 1.0,
    *,
    map: Any,
) -> Any:
    """Gradient flow by lag, cell beside cell.

    The norm of the Jacobian product of the whole state at every lag, for fresh cells on the same inputs.

    \b
    Examples:
      gradflow compare rnn lstm
      gradflow compare lstm lstm:forget_bias=1 lstm:forget_bias=3 --steps 200
      gradflow compare rnn:init=orthogonal,gain=1.1 rnn:activation=relu
      gradflow compare rnn lstm --input features.npy --hidden 128 -f csv

    \b
    Options of rnn:  activation=tanh|sigmoid|relu|identity  init=torch|orthogonal  gain=1
    Options of lstm: forget_bias=B  init=torch|orthogonal  gain=1

    \b
    Tables:   flow (main), cells, summary
    Verdicts: vanishing, stable, exploding
    """
    return gradflow.compare(
        *cells, hidden=hidden, steps=steps, seed=seed, seeds=seeds, features=features, input=input, key=key,
        input_scale=input_scale, map=map,
    )  # fmt: skip
