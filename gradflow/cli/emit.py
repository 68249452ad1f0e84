"""From a record to stdout or a file: its format, its notes, and the exit code of ``--fail-on``."""

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from gradflow.cli import options
from gradflow.cli.destination import Destination
from gradflow.cli.ending import EXIT_PIPE_LOST, EXIT_VERDICT_HOLDS, print_stderr
from gradflow.cli.flags import list_flags, name_flags
from gradflow.cli.screen import has_color, has_unicode, measure_width, show_progress
from gradflow.drawing import DrawingChoice
from gradflow.errors import GradflowError, UsageError
from gradflow.printable import escape_unprintable
from gradflow.registry import describe_unknown, load, lookup
from gradflow.render import FORMATS, PICTURES, SUMMARY_NAME
from gradflow.render.style import DEFAULT_ROWS, Style

if TYPE_CHECKING:
    from gradflow.render.renderer import TextRenderer  # loads numpy

SCREEN_FORMATS = ("table", "chart")
FORMAT_SUFFIXES = {f".{name}": name for name in FORMATS} | {".txt": "table", ".tex": "latex"}


class OutputRequest(NamedTuple):
    """The options that every command has: how to show the result and where to write it."""

    format: options.Format = None
    output: options.Output = None
    plot: options.Plot = None
    chart: options.Chart = False
    label: options.Label = None
    bounds: options.Bounds = False
    table: options.Table = None
    details: options.Details = False
    brief: options.Brief = False
    rows: options.Rows = None
    all_rows: options.AllRows = False
    fail_on: options.FailOn = None
    quiet: options.Quiet = False

    def choose_format(self) -> str:
        """Return the format: of the option, else of the file suffix, else of GRADFLOW_FORMAT, else a table.

        --details and --brief ask for a table, whatever GRADFLOW_FORMAT says.

        Raises
        ------
        UsageError
            If the format or the suffix is unknown, or if an option asks for another format.
        """
        suffix = Path(self.output).suffix.lower() if self.output else ""
        if not (self.format or self.chart) and suffix and suffix not in FORMAT_SUFFIXES:
            raise UsageError(
                f"{self.output!r}: no format has the suffix {suffix!r}; "
                f"use {', '.join(FORMAT_SUFFIXES)}, or give the format with -f"
            )
        name = self.format or ("" if self.chart else FORMAT_SUFFIXES.get(suffix, ""))
        if name and name not in FORMATS:
            raise UsageError(describe_unknown("format", name, FORMATS))
        source = f"-f {name}" if self.format else f"-o {self.output}"
        for option, given, format in (
            ("--chart", self.chart, "chart"),
            ("--details", self.details, "table"),
            ("--brief", self.brief, "table"),
        ):
            if given and name and name != format:
                raise UsageError(f"{option} conflicts with {source}: leave one of them out")
            if given:
                name, source = format, option
        if not name:
            name = os.environ.get("GRADFLOW_FORMAT") or "table"
            if name not in FORMATS:
                raise UsageError(f"GRADFLOW_FORMAT: {describe_unknown('format', name, FORMATS)}")
        return name

    def check(self, record_place: str) -> None:
        """Check the options before any other work is done; ``record_place`` is the class of the result.

        Raises
        ------
        UsageError
            If an option has a wrong value or conflicts with another.
        DataError
            If a file cannot be written, or matplotlib is needed and missing.
        """
        if self.choose_format() == "json" and self.table is not None and self.plot is None:
            raise UsageError(
                f"--table {self.table}: json contains every table; leave --table out, or use -f csv, tsv, "
                "jsonl, table or md"
            )
        if (self.label or self.bounds) and self.plot is None and self.choose_format() != "chart":
            flag = "--label" if self.label else "--bounds"
            raise UsageError(f"{flag} is for a picture: add --plot FILE or --chart, or leave it out")
        if self.all_rows and self.rows is not None:
            raise UsageError(f"--all-rows conflicts with --rows {self.rows}: leave one of them out")
        if self.output == "":
            raise UsageError("-o is empty: expected the name of a file, or - for stdout")
        if self.table is not None or self.plot is not None or self.label:
            self._check_table(load(record_place))
        if self.fail_on:
            verdicts = load(record_place).verdicts
            for verdict in self.fail_on:
                if verdict not in verdicts:
                    raise UsageError(f"--fail-on: {describe_unknown('verdict', verdict, verdicts)}")
        views = {"--table": self.table is not None, "--details": self.details, "--brief": self.brief}
        given = [option for option, is_given in views.items() if is_given]
        if len(given) > 1:
            raise UsageError(f"{given[0]} conflicts with {given[1]}: leave one of them out")
        Destination(self.output).check()
        if self.plot is not None:
            self.load_picture_module().check_matplotlib()
            Destination(self.plot).check()

    def _check_table(self, record: Any) -> None:
        """Refuse a table that no result of this class has, or a picture of one that has none.

        A command that writes files writes none of them before this.
        """
        meanings = load("gradflow.record")
        tables = meanings.get_meanings(record, meanings.TableMeaning)
        names = [*tables, *meanings.get_meanings(record, meanings.MatrixMeaning), SUMMARY_NAME]
        if self.table is not None and self.table not in names:
            raise UsageError(describe_unknown("table", self.table, names))
        named = any(getattr(drawing, "apart", ()) for meaning in tables.values() for drawing in meaning.drawn)
        if self.label and not named:
            raise UsageError(f"--label {self.label[0]}: the picture has no curves with names; leave it out")
        drawn = [name for name, meaning in tables.items() if meaning.drawn]
        if self.plot is not None and self.table not in (None, *drawn):
            raise UsageError(f"{self.table!r} has no picture; tables with a picture: {', '.join(drawn)}")

    def get_choice(self) -> DrawingChoice:
        """Return what is asked of the picture."""
        return DrawingChoice(tuple(self.label or ()), self.bounds)

    def get_picture_kind(self) -> str:
        """Return the kind of picture file that ``--plot`` names.

        Raises
        ------
        UsageError
            If the suffix is not that of a picture, or if the result goes to the same file.
        """
        kind = Path(self.plot or "").suffix.lower().removeprefix(".")
        if kind not in PICTURES:
            suffixes = ", ".join(f".{name}" for name in PICTURES)
            raise UsageError(f"--plot {self.plot!r}: expected a file name that ends with {suffixes}")
        if self.output and os.path.realpath(self.output) == os.path.realpath(str(self.plot)):
            raise UsageError(f"--plot {self.plot!r}: the result goes to this file; give another one")
        return kind

    def load_picture_module(self) -> Any:
        """Return the module that draws this kind of picture."""
        return lookup(PICTURES, self.get_picture_kind(), "kind of picture")


def emits(
    record_place: str, *, lists_cells: bool = False, has_pictures: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Make a command of a function that returns a record.

    The command has the options of the function and those of `OutputRequest`. An option that both have, such
    as an ``output`` that is not the result, belongs to the function. A function with a parameter ``progress``
    receives a callback that shows a progress bar, or None where none is shown. Errors and notes name the
    options of the command where those of the function name its parameters.

    Parameters
    ----------
    record_place : str
        The class of the record, as ``module:class``. The help of the command lists its tables and verdicts,
        and ``--fail-on`` accepts its verdicts.
    lists_cells : bool
        Whether the help lists the options of every cell.
    has_pictures : bool
        Whether the record has pictures. Without them the command has no options for pictures.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            request = OutputRequest(**{parameter.name: arguments.pop(parameter.name) for parameter in shared})
            flags = list_flags(run)
            try:
                request.check(record_place)
                if reports_progress:
                    with show_progress(request.quiet) as progress:
                        record = command(**arguments, progress=progress)
                else:
                    record = command(**arguments)
                emit(_name_flags_of(record, flags), request)
            except GradflowError as error:
                raise type(error)(name_flags(str(error), flags)) from error

        parameters = inspect.signature(command).parameters
        reports_progress = "progress" in parameters
        own = [parameter for name, parameter in parameters.items() if name != "progress"]
        names = {parameter.name for parameter in own}
        common = inspect.signature(OutputRequest).parameters.values()
        names |= set() if has_pictures else {"plot", "chart", "label", "bounds"}
        shared = [parameter for parameter in common if parameter.name not in names]
        run.record_place, run.lists_cells = record_place, lists_cells  # type: ignore[attr-defined]
        run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
        return run

    return decorate


def _name_flags_of(record: Any, flags: Mapping[str, tuple[str, ...]]) -> Any:
    """Return a record whose conclusion and notes name the options of the command."""
    notes = tuple(name_flags(note, flags) for note in record.notes)
    return replace(record, notes=notes, conclusion=name_flags(record.conclusion, flags))


def emit(record: Any, request: OutputRequest) -> None:
    """Write a record as the options ask, and exit with 3 if a verdict of ``--fail-on`` holds."""
    name = request.choose_format()
    renderer: TextRenderer = lookup(FORMATS, name, "format")
    destination = Destination(request.output)
    text = renderer(record, _make_style(request, destination))
    if request.plot is not None:  # before the result, whose reader may close the pipe early
        picture = request.load_picture_module().encode_figure(
            record, request.get_picture_kind(), request.table, request.get_choice()
        )
        Destination(request.plot).write(picture)
    # Formats for programs are UTF-8; a table or chart has the encoding of the terminal.
    terminal = name in SCREEN_FORMATS and not destination.is_file
    try:
        destination.write(text.encode((sys.stdout.encoding or "utf-8") if terminal else "utf-8", "replace"))
    except BrokenPipeError:  # caught here, because typer would exit with 1
        raise typer.Exit(EXIT_PIPE_LOST) from None
    if not renderer.carries_notes and not request.quiet:
        for note in record.notes:
            print_stderr(escape_unprintable(f"note: {note}"))
    verdicts = sorted(set(request.fail_on or ()) & record.get_verdicts())
    if verdicts:
        print_stderr(f"gradflow: gate failed: {_describe_failure(record, verdicts)}")
        raise typer.Exit(EXIT_VERDICT_HOLDS)


def _describe_failure(record: Any, verdicts: Sequence[str]) -> str:
    """Return the sentences of the conclusion that state one of the verdicts, or the verdicts alone."""
    word = re.compile(rf"\bis (?:{'|'.join(verdicts)})\b")
    sentences = [line.partition(". ")[0].removesuffix(".") for line in record.conclusion.splitlines()]
    return (
        "; ".join(sentence for sentence in sentences if word.search(sentence))
        or f"the verdict is {', '.join(verdicts)}"
    )


def _make_style(request: OutputRequest, destination: Destination) -> Style:
    style = Style(
        table=request.table,
        rows=None if request.all_rows else request.rows or DEFAULT_ROWS,
        details=request.details,
        brief=request.brief,
        drawing=request.get_choice(),
    )
    if destination.is_file:
        return style
    return style._replace(
        width=measure_width(sys.stdout),
        color=has_color(sys.stdout),
        unicode=has_unicode(sys.stdout),
    )
