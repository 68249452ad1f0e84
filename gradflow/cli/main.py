"""All commands as one program, which turns exceptions into exit codes and one line on stderr."""

import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from gradflow import __version__
from gradflow.cli import COMMANDS
from gradflow.cli.ending import EXIT_BUG, EXIT_CANNOT_WRITE, EXIT_INTERRUPTED, EXIT_PIPE_LOST, print_stderr
from gradflow.cli.help import ProgramGroup, RecordCommand
from gradflow.cli.usage import describe_usage_error
from gradflow.errors import GradflowError
from gradflow.printable import escape_unprintable
from gradflow.registry import lookup

# Plain help: with rich the start-up takes twice as long, and [128:256] in an example becomes markup.
app = typer.Typer(
    name="gradflow",
    cls=ProgramGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"gradflow {__version__}\n")
        raise typer.Exit


@app.callback()
def gradflow(
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", help="Show the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """What happens to gradients on their way back through a recurrent network.

    \b
    Examples:
      gradflow compare rnn lstm
      gradflow inspect model.pt
      gradflow power "0.58 0.24; 0.24 0.72"

    Each command has its own help: gradflow COMMAND -h.
    """


for _name in COMMANDS:
    app.command(_name, cls=RecordCommand)(lookup(COMMANDS, _name, "command"))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; an error prints one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a letter that the encoding lacks is no error
    try:
        code = app(args=list(arguments), prog_name="gradflow", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        print_stderr(describe_usage_error(error, arguments))
        return error.exit_code
    except GradflowError as error:
        _print_traceback()
        print_stderr(escape_unprintable(f"gradflow: {error}"))
        return error.exit_code
    except SystemExit as end:  # from typer: 0 after a completion, 1 if the reader of a help text is gone
        return EXIT_PIPE_LOST if end.code else 0
    except OSError as error:
        print_stderr(
            escape_unprintable(f"gradflow: cannot write to {error.filename or 'stdout'}: {error.strerror}")
        )
        return EXIT_CANNOT_WRITE
    except MemoryError as error:
        print_stderr(f"gradflow: {error or 'out of memory'}; give a smaller size")
        return EXIT_CANNOT_WRITE
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except Exception as error:
        _print_traceback()
        print_stderr(escape_unprintable(_describe_bug(error)))
        return EXIT_BUG


def _describe_bug(error: Exception) -> str:
    return (
        f"gradflow: {type(error).__name__}: {error}; this is a bug in gradflow {__version__}. Please report "
        "it at the project's issue tracker with the command (GRADFLOW_DEBUG=1 prints the traceback)"
    )


def _print_traceback() -> None:
    if os.environ.get("GRADFLOW_DEBUG"):
        traceback.print_exc()
