"""``gradflow derive``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.analysis.derivations import ALL_TOPICS, DERIVATIONS
from gradflow.cli.emit import emits
from gradflow.cli.options import Key, Seed, option


@emits(())
def derive(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC", help=f"{' or '.join(DERIVATIONS)}; or {ALL_TOPICS}.", show_default=False
        ),
    ] = None,
    list: Annotated[
        bool, option("--list", help="Show every topic and the options that it takes.", show_default=False)
    ] = False,
    cell: Annotated[
        str | None,
        option("--cell", metavar="CELL", help="NAME[:option=value,...] in place of the sheet's network."),
    ] = None,
    matrix: Annotated[
        str | None,
        option("-m", "--matrix", metavar="LITERAL|FILE|-", help="In place of the sheet's or a random one."),
    ] = None,
    key: Key = None,
    steps: Annotated[
        int | None, option("--steps", metavar="T", help="T, or n; as many as the sheet has, or a few.")
    ] = None,
    hidden: Annotated[
        int | None,
        option("--hidden", metavar="H", help="Units of the random parameters; 3 unless given."),
    ] = None,
    seed: Seed = 0,
    *,
    map: Any,
) -> Any:
    """The exercise sheet's answers, derived step by step and verified.

    Statement, derivation, answer. Both sides of every line are computed on random parameters, neither from
    the other; a line that does not hold is an error. Where the sheet has a slip, the answer says so.

    \b
    Examples:
      gradflow derive --list
      gradflow derive cell-gradient
      gradflow derive expand --steps 4 --cell lstm
      gradflow derive regimes -m "0.9 1; 0 0.9" -f md
      gradflow derive all --format latex -o answers.tex

    \b
    Options of cells: as for compare (gradflow compare -h)
    Tables:   lines (main), topics, summary
    """
    return gradflow.derive(
        topic, list=list, cell=cell, matrix=matrix, key=key, steps=steps, hidden=hidden, seed=seed, map=map
    )
