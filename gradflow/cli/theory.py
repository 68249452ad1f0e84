"""``gradflow theory``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.analysis import FLOW_VERDICTS
from gradflow.analysis.theory.subjects import THEORIES
from gradflow.cli.emit import emits
from gradflow.cli.options import Features, Input, InputFormat, Key, OptionalSeed, Steps, Transient, option


@emits(FLOW_VERDICTS)
def theory(
    cell: Annotated[
        str,
        typer.Argument(metavar="CELL", help=f"NAME[:option=value,...], NAME being {' or '.join(THEORIES)}."),
    ],
    gain: Annotated[
        str | None,
        option("--gain", metavar="G|RANGE", help="That option of the cell; a range: START:STOP:STEP."),
    ] = None,
    hidden: Annotated[int, option("--hidden", metavar="H", help="Units that are measured, or rows.")] = 128,
    steps: Steps = None,
    transient: Transient = None,
    seed: OptionalSeed = None,
    seeds: Annotated[
        int | None, option("--seeds", metavar="S", help="Draws of weights and inputs; 10.")
    ] = None,
    features: Features = None,
    input: Input = None,
    key: Key = None,
    input_format: InputFormat = None,
    input_scale: Annotated[
        str | None,
        option("--input-scale", metavar="A|RANGE", help="Multiplies the inputs; 1 unless given."),
    ] = None,
    measure: Annotated[
        bool, option("--measure/--no-measure", help="Whether to measure, too; --no-measure: theory alone.")
    ] = True,
    *,
    map: Any,
) -> Any:
    """What theory predicts, beside what is measured.

    Circular law, mean-field theory of random networks, eigenvalues of gated cells at the state 0, Newman's
    exponents of random products, Pascanu's bound. A range of one option shows where it turns critical.

    \b
    Examples:
      gradflow theory rnn:init=ginibre,gain=1.5 --input zero
      gradflow theory rnn --gain 0.5:2:0.1
      gradflow theory lstm:forget_bias=0:4:0.5 --no-measure
      gradflow theory gru --gain 1:5:0.5 --hidden 64 -f csv
      gradflow theory ginibre --hidden 4 --gain 2 --steps 10000

    \b
    Options of cells:   as for compare (gradflow compare -h)
    Options of ginibre: gain (entries of deviation gain/√N)
    Tables:   predictions (main), sweep, summary
    Verdicts: vanishing, stable, exploding, undecided
    (a range has the table sweep in place of predictions)
    """
    return gradflow.theory(
        cell, gain=gain, hidden=hidden, steps=steps, transient=transient, seed=seed, seeds=seeds,
        features=features, input=input, key=key, input_format=input_format, input_scale=input_scale,
        measure=measure, map=map,
    )  # fmt: skip
