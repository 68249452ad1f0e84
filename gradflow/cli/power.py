"""``gradflow power``."""

from typing import Annotated, Any

import typer

import gradflow
from gradflow.analysis.shared.progress import Progress
from gradflow.cli.emit import emits
from gradflow.cli.help import SUBJECT_GROUP
from gradflow.cli.options import Key, integer, option
from gradflow.errors import UsageError
from gradflow.linalg import ENSEMBLES


@emits("gradflow.analysis.power.record:Powers")
def power(
    argument: Annotated[
        str | None,
        typer.Argument(metavar="MATRIX", help="W: '0.58 0.24; 0.24 0.72', a file, or - for stdin."),
    ] = None,
    matrix: Annotated[
        str | None,
        option(
            "-m",
            "--matrix",
            group=SUBJECT_GROUP,
            metavar="MATRIX",
            help="The same as MATRIX, under a name.",
        ),
    ] = None,
    key: Key = None,
    steps: Annotated[
        int, integer("-n", "--steps", metavar="N", help="n, the exponent: from 0 to 10^18.")
    ] = 30,
    random: Annotated[
        str | None,
        option(
            "--random",
            group=SUBJECT_GROUP,
            metavar="ENSEMBLE",
            help=f"Use a random W: {'|'.join(ENSEMBLES)}.",
        ),
    ] = None,
    size: Annotated[
        int | None,
        integer("--size", group=SUBJECT_GROUP, metavar="N", help="Rows of the random W.", show_default="10"),
    ] = None,
    gain: Annotated[
        float | None,
        option(
            "--gain",
            group=SUBJECT_GROUP,
            metavar="G",
            help="Scale of the random W, or eigenvalue of a jordan block.",
            show_default="1",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        integer(
            "--seed", group=SUBJECT_GROUP, metavar="N", low=0, help="Seed of the random W.", show_default="0"
        ),
    ] = None,
    kreiss: Annotated[
        bool,
        option("--kreiss", help="Find the Kreiss constant of over 200 rows, too.", show_default=False),
    ] = False,
    entries: Annotated[
        bool, option("--entries", help="Show matrices of more than 16 rows, too.", show_default=False)
    ] = False,
    claim_vectors: Annotated[
        str | None,
        option("--claim-vectors", metavar="Q", help="Q of a decomposition W = QΛQ⁻¹ to check."),
    ] = None,
    claim_values: Annotated[
        str | None,
        option(
            "--claim-values",
            metavar="Λ",
            help="Its Λ: a list or a diagonal matrix.",
        ),
    ] = None,
    *,
    progress: Progress | None,
) -> Any:
    """Powers of a matrix, and the eigenvalue that decides them.

    Does W^n vanish or explode? How fast, how large does it get on the way, and which eigenvalue decides?

    \b
    Examples:
      gradflow power "0.58 0.24; 0.24 0.72" -n 30
      gradflow power model.npz --key 'lstm.weight_hh_l0[128:256]'
      gradflow power W.npy --table power -f csv | gradflow power -
      gradflow power --random ginibre --size 200 --gain 1.1 --fail-on exploding
    """
    if argument is not None and matrix is not None:
        raise UsageError(f"the matrix is given twice, as {argument!r} and with -m: leave one of them out")
    return gradflow.power(
        argument if matrix is None else matrix, key=key, steps=steps, random=random, size=size, gain=gain,
        seed=seed, kreiss=kreiss, entries=entries, claim_vectors=claim_vectors, claim_values=claim_values,
        progress=progress,
    )  # fmt: skip
