"""Every option that more than one command takes, written once."""

from typing import Annotated, Any

import typer

from gradflow.analysis import INPUTS
from gradflow.cells import CELLS
from gradflow.cli.integers import make_integer_parser
from gradflow.layouts import LAYOUTS
from gradflow.layouts.assumptions import ASSUMABLE_OPTIONS, parse_assumptions
from gradflow.readers import INPUT_FORMATS
from gradflow.render import FORMATS, PICTURES
from gradflow.render.style import DEFAULT_ROWS


def option(*flags: str, help: str, **more: Any) -> Any:
    """Return an option whose default is shown in the help."""
    return typer.Option(*flags, help=help, show_default=more.pop("show_default", True), **more)


def integer(*flags: str, low: int | None = None, **more: Any) -> Any:
    """Return an option whose value is an integer of at least ``low``; people may write 1e6."""
    return option(*flags, parser=make_integer_parser(low), **more)


def _cell(kind: str) -> Any:
    return typer.Argument(
        metavar=kind,
        help=f"NAME[:option=value,...], NAME one of {', '.join(CELLS)}; or a checkpoint, FILE[::LAYER].",
    )


CELL, SEVERAL_CELLS = _cell("CELL"), _cell("CELL...")
Key = Annotated[
    str | None,
    option(
        "--key", metavar="NAME", help="Array to read from the file; numpy slices work: 'weight_hh[128:256]'."
    ),
]
Layout = Annotated[
    str | None,
    option(
        "--layout",
        metavar="NAME",
        help=f"{'|'.join(LAYOUTS)}: the layout of the arrays. Default: found by their names.",
    ),
]
Assume = Annotated[
    list[str] | None,
    option(
        "--assume",
        metavar="OPTION=VALUE",
        help=f"Set what the file does not state: {', '.join(ASSUMABLE_OPTIONS)}. May be repeated.",
    ),
]
Seed = Annotated[int, integer("--seed", metavar="N", low=0, help="Seed of all random numbers.")]
OptionalSeed = Annotated[
    int | None, integer("--seed", metavar="N", low=0, help="Seed of all random numbers. Default: 0.")
]

Hidden = Annotated[
    int | None,
    integer(
        "--hidden", metavar="H", help="Hidden size of fresh cells. Default: that of the checkpoint, or 32."
    ),
]
Features = Annotated[
    int | None,
    integer(
        "--features",
        metavar="F",
        help="Features per input. Default: those of the input or checkpoint, or 32.",
    ),
]
Input = Annotated[
    str | None,
    option(
        "--input",
        metavar="FILE|-|KIND",
        help=f"Input file, T×features or batch×T×features (one sequence per seed); or {', '.join(INPUTS)}.",
    ),
]
InputFormat = Annotated[
    str | None,
    option(
        "--input-format",
        metavar="FORMAT",
        help=f"{'|'.join(INPUT_FORMATS)}: the format of an input file without a signature.",
    ),
]
InputScale = Annotated[
    float | None, option("--input-scale", metavar="A", help="Factor on the inputs. Default: 1.")
]
Steps = Annotated[
    int | None,
    integer("--steps", metavar="T", help="Steps to measure. Default: all steps of the data, or 1000."),
]
Transient = Annotated[
    int | None,
    integer("--transient", metavar="T", help="Steps to leave out before these. Default: a tenth as many."),
]
GateSteps = Annotated[
    bool,
    option("--gate-steps", help="Add the table gate_steps: the gates at every step.", show_default=False),
]

Format = Annotated[
    str | None,
    option(
        "-f",
        "--format",
        metavar="FORMAT",
        help=f"{'|'.join(FORMATS)}. Default: suffix of -o FILE, then GRADFLOW_FORMAT, then table.",
    ),
]  # fmt: skip
Output = Annotated[
    str | None,
    option("-o", "--output", metavar="FILE", help="Write the result to a file; its suffix sets the format."),
]
Plot = Annotated[
    str | None,
    option(
        "--plot",
        metavar="FILE",
        help=f"Also draw the result into a file: {', '.join(f'.{kind}' for kind in PICTURES)}.",
    ),
]
Chart = Annotated[
    bool,
    option("--chart", help="Draw the main picture in the terminal, as -f chart does.", show_default=False),
]
Table = Annotated[
    str | None,
    option("--table", metavar="NAME", help="Table or matrix to show. csv, tsv and jsonl hold only one."),
]
Rows = Annotated[
    int | None,
    integer(
        "--rows", metavar="N", low=1, help=f"Rows to show of a long table, about. Default: {DEFAULT_ROWS}."
    ),
]
AllRows = Annotated[bool, option("--all-rows", help="Show every row.", show_default=False)]
FailOn = Annotated[
    list[str] | None,
    option("--fail-on", metavar="VERDICT", help="Exit with 3 if this verdict holds. May be repeated."),
]
Quiet = Annotated[
    bool, option("-q", "--quiet", help="Print no progress bar and no notes on stderr.", show_default=False)
]


def assumptions(items: list[str] | None) -> dict[str, str]:
    """Return every ``--assume option=value`` as one mapping."""
    return parse_assumptions(",".join(items or ()))
