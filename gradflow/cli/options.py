"""Every option that more than one command takes, written once."""

from typing import Annotated, Any

import typer

from gradflow.analysis import INPUTS
from gradflow.cells import CELLS
from gradflow.layouts import LAYOUTS
from gradflow.layouts.assumptions import ASSUMABLE_OPTIONS, parse_assumptions
from gradflow.readers import INPUT_FORMATS
from gradflow.render import FORMATS, PICTURES


def option(*flags: str, help: str, **more: Any) -> Any:
    """Return an option whose default is shown in the help."""
    return typer.Option(*flags, help=help, show_default=more.pop("show_default", True), **more)


def _cell(kind: str) -> Any:
    return typer.Argument(
        metavar=kind,
        help=f"NAME[:option=value,...], NAME being {' or '.join(CELLS)}; or a checkpoint, FILE[::LAYER].",
    )


CELL, SEVERAL_CELLS = _cell("CELL"), _cell("CELL...")
Key = Annotated[
    str | None,
    option(
        "--key", metavar="NAME", help="Array of a file with several, with numpy slices: 'weight_hh[128:256]'."
    ),
]
Layout = Annotated[
    str | None,
    option("--layout", metavar="NAME", help=f"{'|'.join(LAYOUTS)}: whose names, where that is in doubt."),
]
Assume = Annotated[
    list[str] | None,
    option(
        "--assume",
        metavar="OPTION=VALUE",
        help=f"What the file leaves open: {', '.join(ASSUMABLE_OPTIONS)}. May be given again.",
    ),
]
Seed = Annotated[int, option("--seed", metavar="N", min=0, help="Seed of everything random.")]
OptionalSeed = Annotated[
    int | None, option("--seed", metavar="N", min=0, help="Seed of everything random; 0 unless given.")
]

Hidden = Annotated[
    int | None,
    option("--hidden", metavar="H", help="Hidden size of fresh cells; 32, or that of a checkpoint."),
]
Features = Annotated[
    int | None, option("--features", metavar="F", help="Features; of the input, the checkpoint, or 32.")
]
Input = Annotated[
    str | None,
    option(
        "--input",
        metavar="FILE|-|KIND",
        help=f"Inputs, T×features or batch×T×features, one a seed; or {', '.join(INPUTS)}.",
    ),
]
InputFormat = Annotated[
    str | None,
    option("--input-format", metavar="FORMAT", help=f"{'|'.join(INPUT_FORMATS)}: what no content tells."),
]
InputScale = Annotated[
    float | None, option("--input-scale", metavar="A", help="Multiplies the inputs; 1 unless given.")
]
Steps = Annotated[
    int | None, option("--steps", metavar="T", help="Steps measured; all of the data, or 1000.")
]
Transient = Annotated[
    int | None, option("--transient", metavar="T", help="Steps before them, left out; a tenth as many.")
]
GateSteps = Annotated[
    bool, option("--gate-steps", help="The gates at every step: table gate_steps.", show_default=False)
]

Format = Annotated[
    str | None,
    option(
        "-f",
        "--format",
        metavar="FORMAT",
        help=f"{'|'.join(FORMATS)}; table unless -o FILE says otherwise. Also GRADFLOW_FORMAT.",
    ),
]  # fmt: skip
Output = Annotated[
    str | None,
    option("-o", "--output", metavar="FILE", help="Write the result to a file, format by its suffix."),
]
Plot = Annotated[
    str | None,
    option(
        "--plot",
        metavar="FILE",
        help=f"Draw the result into a file, too: {', '.join(f'.{kind}' for kind in PICTURES)}.",
    ),
]
Chart = Annotated[
    bool, option("--chart", help="Draw the main picture here, as -f chart does.", show_default=False)
]
Table = Annotated[
    str | None,
    option("--table", metavar="NAME", help="The table or matrix to show; csv, tsv, jsonl hold one."),
]
Rows = Annotated[int, option("--rows", metavar="N", min=1, help="About how many rows of a table are shown.")]
AllRows = Annotated[bool, option("--all-rows", help="Show every row.", show_default=False)]
FailOn = Annotated[
    list[str] | None,
    option("--fail-on", metavar="VERDICT", help="Exit with 3 if this verdict holds; may be given again."),
]
Quiet = Annotated[
    bool, option("-q", "--quiet", help="No progress and no notes on stderr.", show_default=False)
]


def assumptions(items: list[str] | None) -> dict[str, str]:
    """Return every ``--assume option=value`` as one mapping."""
    return parse_assumptions(",".join(items or ()))
