"""The program: ``gradflow``, or ``python -m gradflow``."""

import gc
import os
import sys

from gradflow import __version__
from gradflow.cli.ending import CANNOT_WRITE, INTERRUPTED, PIPE_LOST, leave, tell

# One BLAS thread unless told otherwise, said before numpy is loaded: on a busy machine several of them wait
# for each other most of the time.
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

# Objects made before garbage is looked for: what imports make is none, and looking is a tenth of a start-up.
RARELY = 100_000


def main() -> None:
    """Run the command line and exit."""
    try:
        leave(_run(sys.argv[1:]))
    except KeyboardInterrupt:  # while modules are loaded
        leave(INTERRUPTED)


def _run(arguments: list[str]) -> int:
    if sys.stdout is None:
        tell("gradflow: stdout is closed: expected somewhere to write the result, give it a file or a pipe")
        return CANNOT_WRITE
    if arguments in (["--version"], ["-V"]):  # answered here, for typer alone takes four times as long
        try:
            sys.stdout.write(f"gradflow {__version__}\n")
        except OSError as error:
            return _unwritten(error)
        return 0
    for name in THREADS:
        os.environ.setdefault(name, "1")
    gc.set_threshold(RARELY)
    from gradflow.cli.main import run

    return run(arguments)


def _unwritten(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):
        return PIPE_LOST
    tell(f"gradflow: cannot write to stdout: {error.strerror}")
    return CANNOT_WRITE


if __name__ == "__main__":
    main()
