"""``gradflow theory``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.analysis.shared.progress import Progress
from gradflow.analysis.theory.subjects import THEORIES
from gradflow.cli.emit import emits
from gradflow.cli.help import SUBJECT_GROUP
from gradflow.cli.options import (
    Features,
    Input,
    InputFormat,
    Key,
    OptionalSeed,
    Steps,
    Transient,
    integer,
    option,
)


@emits("gradflow.analysis.theory.record:Theory")
def theory(
    cell: Annotated[
        str,
        typer.Argument(metavar="CELL", help=f"NAME[:option=value,...], NAME one of {', '.join(THEORIES)}."),
    ],
    gain: Annotated[
        str | None,
        option(
            "--gain",
            group=SUBJECT_GROUP,
            metavar="G|RANGE",
            help="Option gain of the cell: a number, or a range START:STOP:STEP.",
        ),
    ] = None,
    hidden: Annotated[
        int,
        integer(
            "--hidden",
            group=SUBJECT_GROUP,
            metavar="H",
            help="Units of the measured cells, or rows of the matrices.",
        ),
    ] = 128,
    steps: Steps = None,
    transient: Transient = None,
    seed: OptionalSeed = None,
    seeds: Annotated[
        int | None,
        integer(
            "--seeds",
            group=SUBJECT_GROUP,
            metavar="S",
            help="Draws of weights and inputs.",
            show_default="10",
        ),
    ] = None,
    features: Features = None,
    input: Input = None,
    key: Key = None,
    input_format: InputFormat = None,
    input_scale: Annotated[
        str | None,
        option(
            "--input-scale",
            group=SUBJECT_GROUP,
            metavar="A|RANGE",
            help="Factor on the inputs: a number or a range.",
            show_default="1",
        ),
    ] = None,
    measure: Annotated[
        bool, option("--measure/--no-measure", help="Measure the predicted quantities, or show theory alone.")
    ] = True,
    *,
    progress: Progress | None,
) -> Any:
    """Predictions of theory beside measurements.

    Compares random cells with the circular law, mean-field theory, eigenvalues of gated cells at the state 0,
    Newman's exponents of random products, and Pascanu's bound. Give one option a range to find its critical
    value.

    \b
    Examples:
      gradflow theory rnn:init=ginibre,gain=1.5 --input zero
      gradflow theory rnn --gain 0.5:2:0.1
      gradflow theory lstm:forget_bias=0:4:0.5 --no-measure
      gradflow theory gru --gain 1:5:0.5 --hidden 64 -f csv
      gradflow theory ginibre --hidden 4 --gain 2 --steps 10000

    \b
    Options of cells:   as for compare (gradflow compare -h)
    Options of ginibre: gain (entries have standard deviation gain/√N)

    A range has the table sweep instead of predictions.
    """
    return gradflow.theory(
        cell, gain=gain, hidden=hidden, steps=steps, transient=transient, seed=seed, seeds=seeds,
        features=features, input=input, key=key, input_format=input_format, input_scale=input_scale,
        measure=measure, progress=progress,
    )  # fmt: skip
