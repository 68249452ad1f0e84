"""``gradflow derive``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.analysis.shared.progress import Progress
from gradflow.cli.emit import emits
from gradflow.cli.help import SUBJECT_GROUP
from gradflow.cli.options import Key, OptionalSeed, integer, option
from gradflow.derivations.topics import ALL_TOPICS, DERIVATIONS


@emits("gradflow.derivations.record:Derivation", has_pictures=False)
def derive(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC",
            help=f"{', '.join(DERIVATIONS)} or {ALL_TOPICS}; or a number of the sheet, as 5-2c.",
            show_default="list the topics",
        ),
    ] = None,
    list: Annotated[
        bool, option("--list", help="List the topics, as without a TOPIC.", show_default=False)
    ] = False,
    cell: Annotated[
        str | None,
        option(
            "--cell",
            group=SUBJECT_GROUP,
            metavar="CELL",
            help="Use this cell, NAME[:option=value,...], instead of the sheet's network.",
        ),
    ] = None,
    matrix: Annotated[
        str | None,
        option(
            "-m",
            "--matrix",
            group=SUBJECT_GROUP,
            metavar="MATRIX",
            help="Use this matrix instead of the sheet's or a random one.",
        ),
    ] = None,
    key: Key = None,
    steps: Annotated[
        int | None,
        integer(
            "--steps", metavar="T", help="Number of steps, T or n.", show_default="as on the sheet, or a few"
        ),
    ] = None,
    hidden: Annotated[
        int | None,
        integer(
            "--hidden",
            group=SUBJECT_GROUP,
            metavar="H",
            help="Number of units of the random network.",
            show_default="3",
        ),
    ] = None,
    seed: OptionalSeed = None,
    checks: Annotated[
        bool, option("--checks", help="Show the numbers on both sides of every line.", show_default=False)
    ] = False,
    answer: Annotated[bool, option("--answer", help="Show the answer alone.", show_default=False)] = False,
    *,
    progress: Progress | None,
) -> Any:
    """The exercise sheet's answers, derived step by step and verified.

    Prints the question, the answer and its derivation. Both sides of every line are evaluated as printed, on
    random parameters; a line that does not hold is an error. Mistakes on the sheet are pointed out.

    \b
    Examples:
      gradflow derive
      gradflow derive 5-2c
      gradflow derive cell-gradient --answer
      gradflow derive expand --steps 4 --cell lstm
      gradflow derive regimes -m "0.9 1; 0 0.9" -f md
      gradflow derive all --format latex -o answers.tex

    \b
    Options of cells: as for compare (gradflow compare -h)
    """
    return gradflow.derive(
        topic, list=list, cell=cell, matrix=matrix, key=key, steps=steps, hidden=hidden, seed=seed,
        checks=checks, answer=answer, progress=progress,
    )  # fmt: skip
