"""The program: ``gradflow``, or ``python -m gradflow``."""

import sys

from gradflow import __version__


def main() -> None:
    """Run the command line and exit."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # answered here: typer alone takes four times as long
        sys.stdout.write(f"gradflow {__version__}\n")
        return
    from gradflow.cli.main import program

    program()


if __name__ == "__main__":
    main()
