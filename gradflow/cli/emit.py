"""From a record to stdout or a file: its format, its notes, and the gate that decides the exit code."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import typer

from gradflow.cli import options
from gradflow.cli.destination import Destination
from gradflow.cli.ending import PIPE_LOST, VERDICT_HOLDS, tell
from gradflow.cli.screen import has_color, has_unicode, watched, width_of
from gradflow.errors import UsageError
from gradflow.printable import escape_unprintable
from gradflow.registry import describe_unknown, lookup
from gradflow.render import FORMATS, PICTURES
from gradflow.render.style import ROWS, Style

FOR_SCREENS = ("table", "chart")
SUFFIXES = {f".{name}": name for name in FORMATS} | {".txt": "table", ".tex": "latex"}


class Request(NamedTuple):
    """How a person wants the result; the fields are the options that every command has."""

    format: options.Format = None
    output: options.Output = None
    plot: options.Plot = None
    chart: options.Chart = False
    table: options.Table = None
    rows: options.Rows = ROWS
    all_rows: options.AllRows = False
    fail_on: options.FailOn = None
    quiet: options.Quiet = False

    def chosen_format(self) -> str:
        """Return the format: as asked, else by the file's suffix, else by GRADFLOW_FORMAT, else a table.

        Raises
        ------
        UsageError
            For an unknown format or suffix, or two formats at once.
        """
        if self.chart:
            if self.format not in (None, "chart"):
                raise UsageError(f"--chart: the format is {self.format!r} already; expected one of the two")
            return "chart"
        suffix = Path(self.output).suffix.lower() if self.output else ""
        if self.format is None and suffix and suffix not in SUFFIXES:
            raise UsageError(
                f"{self.output!r}: {suffix!r} names no format; expected {', '.join(SUFFIXES)}, or -f FORMAT"
            )
        name = self.format or SUFFIXES.get(suffix)
        if name is None:
            name = os.environ.get("GRADFLOW_FORMAT") or "table"
            if name not in FORMATS:
                raise UsageError(f"GRADFLOW_FORMAT: {describe_unknown('format', name, FORMATS)}")
        if name not in FORMATS:
            raise UsageError(describe_unknown("format", name, FORMATS))
        return name

    def check(self, verdicts: tuple[str, ...]) -> None:
        """Refuse what cannot be done before the work is done for it."""
        if self.chosen_format() == "json" and self.table is not None and self.plot is None:
            raise UsageError(
                f"--table {self.table}: json carries every table; expected -f csv, tsv, jsonl, table or md"
            )
        for verdict in self.fail_on or ():
            if verdict not in verdicts:
                raise UsageError(f"--fail-on: {describe_unknown('verdict', verdict, verdicts)}")
        Destination(self.output).check()
        if self.plot is not None:
            self.picture().check()
            Destination(self.plot).check()

    def kind(self) -> str:
        """Return the kind of picture that ``--plot`` names.

        Raises
        ------
        UsageError
            For a suffix of no picture, or a picture in place of the result.
        """
        kind = Path(self.plot or "").suffix.lower().removeprefix(".")
        if kind not in PICTURES:
            wanted = ", ".join(f".{name}" for name in PICTURES)
            raise UsageError(f"--plot {self.plot!r}: expected a file that ends with {wanted}")
        if self.output and os.path.realpath(self.output) == os.path.realpath(str(self.plot)):
            raise UsageError(f"--plot {self.plot!r}: the result goes there; expected another file")
        return kind

    def picture(self) -> Any:
        """Return what draws that kind of picture."""
        return lookup(PICTURES, self.kind(), "kind of picture")


def emits(verdicts: tuple[str, ...]) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Make a command of a function that returns a record: it gets every option of `Request`, and a ``map``.

    An option that the function has itself, as an ``output`` that is not the result, it keeps to itself.

    Parameters
    ----------
    verdicts : tuple of str
        What ``--fail-on`` may name.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            request = Request(**{parameter.name: arguments.pop(parameter.name) for parameter in shared})
            request.check(verdicts)
            emit(command(**arguments, map=watched(request.quiet)), request)

        own = [p for p in inspect.signature(command).parameters.values() if p.name != "map"]
        names = {parameter.name for parameter in own}
        every = inspect.signature(Request).parameters.values()
        shared = [parameter for parameter in every if parameter.name not in names]
        run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
        return run

    return decorate


def emit(record: Any, request: Request) -> None:
    """Render a record, write it where it is wanted, and exit with 3 where a verdict of the gate holds."""
    name = request.chosen_format()
    renderer = lookup(FORMATS, name, "format")
    destination = Destination(request.output)
    text = renderer.render(record, _style(request, destination))
    if request.plot is not None:  # before anybody who reads the result may have seen enough
        drawn = request.picture().encoded(record, request.kind(), request.table)
        Destination(request.plot).write(drawn)
    # Machine formats are UTF-8 by their own rules; a table is in whatever the terminal speaks.
    terminal = name in FOR_SCREENS and not destination.is_file
    try:
        destination.write(text.encode((sys.stdout.encoding or "utf-8") if terminal else "utf-8", "replace"))
    except BrokenPipeError:  # caught here, for typer makes it exit code 1
        raise typer.Exit(PIPE_LOST) from None
    if not renderer.CARRIES_NOTES and not request.quiet:
        for note in record.notes:
            tell(escape_unprintable(f"note: {note}"))
    held = sorted(set(request.fail_on or ()) & record.held())
    if held:
        if not request.quiet:
            tell(f"gradflow: --fail-on: the verdict is {', '.join(held)}")
        raise typer.Exit(VERDICT_HOLDS)


def _style(request: Request, destination: Destination) -> Style:
    rows = None if request.all_rows else request.rows
    if destination.is_file:
        return Style(table=request.table, rows=rows)
    return Style(
        table=request.table,
        rows=rows,
        width=width_of(sys.stdout),
        color=has_color(sys.stdout),
        unicode=has_unicode(sys.stdout),
    )
