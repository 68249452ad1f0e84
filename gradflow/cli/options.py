"""Every option that more than one command takes, written once."""

from typing import Annotated, Any

import typer

from gradflow.analysis import INPUTS
from gradflow.cells import CELLS
from gradflow.cli.help import OUTPUT_GROUP, SUBJECT_GROUP
from gradflow.cli.integers import make_integer_parser
from gradflow.layouts import LAYOUTS
from gradflow.layouts.assumptions import ASSUMABLE_OPTIONS, parse_assumptions
from gradflow.readers import INPUT_FORMATS
from gradflow.render import FORMATS, PICTURES
from gradflow.render.style import DEFAULT_ROWS


def option(
    *flags: str, help: str, group: str | None = None, show_default: bool | str = True, **more: Any
) -> Any:
    """Return an option of a group of the help; ``show_default`` may be a default in words."""
    return typer.Option(*flags, help=help, rich_help_panel=group, show_default=show_default, **more)


def integer(*flags: str, low: int | None = None, **more: Any) -> Any:
    """Return an option whose value is an integer of at least ``low``; people may write 1e6."""
    return option(*flags, parser=make_integer_parser(low), **more)


def _cell(kind: str) -> Any:
    return typer.Argument(
        metavar=kind,
        help=f"NAME[:option=value,...], NAME one of {', '.join(CELLS)}; or a checkpoint, FILE[::LAYER].",
    )


CELL, SEVERAL_CELLS = _cell("CELL"), _cell("CELL...")


def _subject(*flags: str, **more: Any) -> Any:
    return option(*flags, group=SUBJECT_GROUP, **more)


def _output(*flags: str, **more: Any) -> Any:
    return option(*flags, group=OUTPUT_GROUP, **more)


Key = Annotated[
    str | None,
    _subject(
        "--key", metavar="NAME", help="Array of a file with several; slices work: 'weight_hh[128:256]'."
    ),
]
Layout = Annotated[
    str | None,
    _subject(
        "--layout",
        metavar="NAME",
        help=f"Layout of the arrays: {', '.join(LAYOUTS)}.",
        show_default="found by their names",
    ),
]
Assume = Annotated[
    list[str] | None,
    _subject(
        "--assume",
        metavar="OPTION=VALUE",
        help=f"What the file does not say: {', '.join(ASSUMABLE_OPTIONS)}. Repeatable.",
    ),
]
Chain = Annotated[
    str | None,
    _subject(
        "--chain",
        metavar="NAMES",
        help="Networks that feed each other: encoder,decoder; order: all, as the file lists them.",
    ),
]
Seed = Annotated[
    int,
    integer("--seed", metavar="N", low=0, group=SUBJECT_GROUP, help="Seed of all random numbers, from 0."),
]
OptionalSeed = Annotated[
    int | None,
    integer(
        "--seed",
        metavar="N",
        low=0,
        group=SUBJECT_GROUP,
        help="Seed of all random numbers, from 0.",
        show_default="0",
    ),
]

Hidden = Annotated[
    int | None,
    integer(
        "--hidden",
        metavar="H",
        group=SUBJECT_GROUP,
        help="Hidden size of fresh cells.",
        show_default="that of the checkpoint, or 32",
    ),
]
Features = Annotated[
    int | None,
    integer(
        "--features",
        metavar="F",
        group=SUBJECT_GROUP,
        help="Features of an input.",
        show_default="those of the input or checkpoint, or 32",
    ),
]
Input = Annotated[
    str | None,
    _subject(
        "--input",
        metavar="FILE|-|KIND",
        help=f"{', '.join(INPUTS)}, or a file, T×features or batch×T×features, one sequence per seed.",
        show_default=INPUTS[0],
    ),
]
InputFormat = Annotated[
    str | None,
    _subject(
        "--input-format",
        metavar="FORMAT",
        help=f"Format of a file without a signature: {'|'.join(INPUT_FORMATS)}.",
    ),
]
InputScale = Annotated[
    float | None, _subject("--input-scale", metavar="A", help="Factor on the inputs.", show_default="1")
]
Steps = Annotated[
    int | None,
    integer("--steps", metavar="T", help="Steps to measure.", show_default="all steps of the data, or 1000"),
]
Transient = Annotated[
    int | None,
    integer(
        "--transient", metavar="T", help="Steps to leave out before these.", show_default="a tenth as many"
    ),
]
GateSteps = Annotated[
    bool,
    option("--gate-steps", help="Add the table gate_steps: the gates at every step.", show_default=False),
]

# The options of every command: one line each, where that is possible.
Format = Annotated[
    str | None,
    _output(
        "-f",
        "--format",
        metavar="FORMAT",
        help=f"{'|'.join(FORMATS)}.",
        show_default="by FILE, GRADFLOW_FORMAT, or table",
    ),
]
Output = Annotated[str | None, _output("-o", "--output", metavar="FILE", help="Write the result to FILE.")]
Plot = Annotated[
    str | None,
    _output(
        "--plot", metavar="FILE", help=f"Draw the result to FILE: {', '.join(f'.{k}' for k in PICTURES)}."
    ),
]
Chart = Annotated[
    bool, _output("--chart", help="Draw the result in the terminal (-f chart).", show_default=False)
]
Details = Annotated[bool, _output("--details", help="Show every table and column.", show_default=False)]
Brief = Annotated[bool, _output("--brief", help="Print the conclusion alone.", show_default=False)]
Label = Annotated[
    list[str] | None,
    _output("--label", metavar="NAME", help="Name of a curve, in order. Repeatable."),
]
Bounds = Annotated[bool, _output("--bounds", help="Draw bounds by theory, too.", show_default=False)]
Table = Annotated[str | None, _output("--table", metavar="NAME", help="Show only this table or matrix.")]
Rows = Annotated[
    int | None,
    integer(
        "--rows",
        metavar="N",
        low=1,
        group=OUTPUT_GROUP,
        help="Show about N rows of a long table.",
        show_default=str(DEFAULT_ROWS),
    ),
]
AllRows = Annotated[bool, _output("--all-rows", help="Show every row.", show_default=False)]
FailOn = Annotated[
    list[str] | None,
    _output("--fail-on", metavar="VERDICT", help="Exit with 3 if it holds. Repeatable."),
]
Quiet = Annotated[
    bool, _output("-q", "--quiet", help="Print no progress bar and no notes.", show_default=False)
]


def assumptions(items: list[str] | None) -> dict[str, str]:
    """Return every ``--assume option=value`` as one mapping."""
    return parse_assumptions(",".join(items or ()))
