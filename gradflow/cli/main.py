"""The commands as one program: exceptions become exit codes, a lost pipe is silent, Ctrl-C is 130."""

import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from gradflow import __version__
from gradflow.cli import COMMANDS
from gradflow.cli.ending import BUG, CANNOT_WRITE, INTERRUPTED, PIPE_LOST, tell
from gradflow.errors import GradflowError
from gradflow.printable import escape_unprintable
from gradflow.registry import lookup

# Plain help: rich's boxes cost twice the start-up, and read [128:256] in an example as markup.
app = typer.Typer(
    name="gradflow",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"gradflow {__version__}\n")
        raise typer.Exit


@app.callback()
def gradflow(
    version: Annotated[
        bool,
        typer.Option("-V", "--version", help="Show the version and exit.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """What happens to gradients on their way back through a recurrent network.

    \b
    Examples:
      gradflow compare rnn lstm
      gradflow power -m "0.58 0.24; 0.24 0.72"
    """


for _name in COMMANDS:
    app.command(_name)(lookup(COMMANDS, _name, "command"))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; what went wrong is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of few letters is no reason to stop
    try:
        code = app(args=list(arguments), prog_name="gradflow", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        tell(_usage(error))
        return error.exit_code
    except GradflowError as error:
        _trace()
        tell(escape_unprintable(f"gradflow: {error}"))
        return error.exit_code
    except SystemExit as end:  # typer's own: 0 after a completion, 1 where a help text meets a lost pipe
        return PIPE_LOST if end.code else 0
    except OSError as error:
        tell(escape_unprintable(f"gradflow: cannot write to {error.filename or 'stdout'}: {error.strerror}"))
        return CANNOT_WRITE
    except MemoryError as error:
        tell(f"gradflow: {error or 'out of memory'}: expected less than the machine has; make it smaller")
        return CANNOT_WRITE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        _trace()
        tell(escape_unprintable(_bug(error)))
        return BUG


def _usage(error: typer.TyperException) -> str:
    """Return what is wrong with a call; a call of nothing at all is answered with the help."""
    message = error.format_message()
    if message.startswith("Usage: "):
        return message
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "gradflow"
    return escape_unprintable(f"{path}: {message} (try {path} --help)")


def _bug(error: Exception) -> str:
    return (
        f"gradflow: {type(error).__name__}: {error}; this is a bug in gradflow {__version__}: please report "
        "it with the command at the project's issue tracker (GRADFLOW_DEBUG=1 shows where)"
    )


def _trace() -> None:
    if os.environ.get("GRADFLOW_DEBUG"):
        traceback.print_exc()
