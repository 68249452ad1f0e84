"""How the program ends: exit codes, error lines, and output streams that are closed or full."""

import os
import sys
from importlib import import_module
from typing import NoReturn

EXIT_CANNOT_WRITE = 1
EXIT_VERDICT_HOLDS = 3
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_PIPE_LOST = 141


def exit_program(code: int) -> NoReturn:
    """Exit with ``code``, or with the code of a failure to write the rest of stdout."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        code = EXIT_PIPE_LOST
        _discard_output(1)
    except OSError as error:
        if code != EXIT_CANNOT_WRITE:  # otherwise the message was printed when the write first failed
            print_stderr(f"gradflow: cannot write to stdout: {error.strerror}")
        code = EXIT_CANNOT_WRITE
        _discard_output(1)
    try:
        if sys.stderr:
            sys.stderr.flush()
    except OSError:
        _discard_output(2)
    sys.exit(code)


def print_stderr(text: str) -> None:
    """Print one line on stderr, wrapped at words on a terminal, or nothing if stderr is closed."""
    try:
        if sys.stderr:
            if sys.stderr.isatty():
                # imported here so that only a message on a terminal loads it
                text = import_module("gradflow.cli.screen").wrap_message(text, sys.stderr)
            sys.stderr.write(f"{text}\n")
    except OSError:
        _discard_output(2)


def _discard_output(descriptor: int) -> None:
    """Discard what is still in the buffer of a stream, so that Python prints no error when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
