"""The program ``gradflow``, also run by ``python -m gradflow``."""

try:
    import gc
    import os
    import sys

    from gradflow import __version__
    from gradflow.blas_threads import THREAD_VARIABLES
    from gradflow.cli.ending import (
        EXIT_CANNOT_WRITE,
        EXIT_INTERRUPTED,
        EXIT_PIPE_LOST,
        exit_program,
        print_stderr,
    )
except KeyboardInterrupt:  # the code of an interrupt is not loaded yet
    raise SystemExit(130) from None

# New objects before Python looks for garbage. Imports make many objects and no garbage, and looking for it
# would take a tenth of the start-up.
GARBAGE_THRESHOLD = 100_000


def main() -> None:
    """Run the command line and exit."""
    try:
        exit_program(_run(sys.argv[1:]))
    except KeyboardInterrupt:  # while modules are being loaded
        exit_program(EXIT_INTERRUPTED)


def _run(arguments: list[str]) -> int:
    if sys.stdout is None:
        print_stderr("gradflow: stdout is closed; redirect it to a file or a pipe")
        return EXIT_CANNOT_WRITE
    if arguments in (["--version"], ["-V"]):  # answered here, because loading typer takes four times as long
        try:
            sys.stdout.write(f"gradflow {__version__}\n")
        except OSError as error:
            return _report_write_error(error)
        return 0
    # before numpy is loaded; a call from Python has `use_one_blas_thread` instead
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, "1")
    gc.set_threshold(GARBAGE_THRESHOLD)
    from gradflow.cli.main import run

    return run(arguments)


def _report_write_error(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):
        return EXIT_PIPE_LOST
    print_stderr(f"gradflow: cannot write to stdout: {error.strerror}")
    return EXIT_CANNOT_WRITE


if __name__ == "__main__":
    main()
