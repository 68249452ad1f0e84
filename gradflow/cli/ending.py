"""How the program ends: its exit codes, and streams that cannot be written to any more."""

import os
import sys
from typing import NoReturn

CANNOT_WRITE, VERDICT_HOLDS, BUG, INTERRUPTED, PIPE_LOST = 1, 3, 70, 130, 141


def leave(code: int) -> NoReturn:
    """Exit with ``code``, or with what a last write to stdout says: reader gone, or disk full."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        code = PIPE_LOST
        _silence(1)
    except OSError as error:
        if code != CANNOT_WRITE:  # else it was said when it was tried first
            tell(f"gradflow: cannot write to stdout: {error.strerror}")
        code = CANNOT_WRITE
        _silence(1)
    try:
        if sys.stderr:
            sys.stderr.flush()
    except OSError:
        _silence(2)
    sys.exit(code)


def tell(text: str) -> None:
    """Write to stderr, if anybody listens."""
    try:
        if sys.stderr:
            sys.stderr.write(f"{text}\n")
    except OSError:
        _silence(2)


def _silence(descriptor: int) -> None:
    """Let whatever is still in a stream's buffer go nowhere, without a word at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
