"""The program: ``gradflow``, or ``python -m gradflow``."""

import sys

from gradflow import __version__

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit."""
    try:
        if sys.argv[1:] in (["--version"], ["-V"]) and sys.stdout:
            # answered here, for typer alone takes four times as long
            sys.stdout.write(f"gradflow {__version__}\n")
            sys.stdout.flush()
            return
        from gradflow.cli.main import program
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        sys.exit(f"gradflow: cannot write to stdout: {error.strerror}")
    program()


if __name__ == "__main__":
    main()
