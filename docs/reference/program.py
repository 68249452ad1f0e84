"""What a command says about itself: the program's own objects, the fields of its record, its docstring."""

import re
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

import typer

import gradflow
from gradflow.cli.help import describe_parameter
from gradflow.cli.main import app
from gradflow.record import ColumnMeaning, MatrixMeaning, Record, ScalarMeaning, TableMeaning, get_meanings

WIDTH = 78  # of help on a screen of 80 columns or more
LITERAL = "\b\n"  # before a paragraph of help whose lines stay apart
EXAMPLES = "Examples:\n"
LABELLED = re.compile(r"(\S[^:]*): +(.*)")


class Entry(NamedTuple):
    """A name as a person types it, and what it means."""

    name: str
    text: str


class Table(NamedTuple):
    """A table of a result, and its columns."""

    name: str
    meaning: TableMeaning
    columns: dict[str, ColumnMeaning]


class Help:
    """The help of a command, or of the whole program, in its parts."""

    def __init__(self, name: str = "") -> None:
        program: Any = typer.main.get_command(app)
        context = program.make_context("gradflow", [], resilient_parsing=True, terminal_width=WIDTH)
        command = program
        if name:
            command = program.commands[name]
            context = command.make_context(name, [], parent=context, resilient_parsing=True)
        self.path = context.command_path
        self.screen: str = context.get_help()
        self.usage: str = context.get_usage().removeprefix(f"Usage: {self.path}").strip()
        parameters = command.get_params(context)
        self.arguments = _entries(parameters, "argument", context)
        self.options = _entries(parameters, "option", context)
        parts = (command.compose_help() if name else command.help).split("\n\n")
        self.title, *self.paragraphs = [part for part in parts if not part.startswith(LITERAL)]
        literal = [part.removeprefix(LITERAL) for part in parts if part.startswith(LITERAL)]
        (examples,) = [part for part in literal if part.startswith(EXAMPLES)]
        self.examples = [line.strip() for line in examples.removeprefix(EXAMPLES).splitlines()]
        self.lists = [item for part in literal if part is not examples for item in _labelled(part)]


def _entries(parameters: list[Any], kind: str, context: Any) -> list[Entry]:
    records = [
        describe_parameter(parameter, context)
        for parameter in parameters
        if parameter.param_type_name == kind
    ]
    return [Entry(*record) for record in records]


def _labelled(part: str) -> list[Entry]:
    """Return lines ``Label: words``, each with those that go on with it; a line of its own has no label."""
    found: list[Entry] = []
    for line in part.splitlines():
        labelled = LABELLED.fullmatch(line)
        if labelled:
            found.append(Entry(labelled[1], labelled[2]))
        elif line.startswith(" "):
            found[-1] = Entry(found[-1].name, f"{found[-1].text} {line.strip()}")
        else:
            found.append(Entry("", line))
    return found


class Result:
    """What the function behind a command returns, field by field."""

    def __init__(self, name: str) -> None:
        self.record: type[Record] = get_type_hints(getattr(gradflow, name))["return"]
        types = get_type_hints(self.record)
        self.schema = f"gradflow.{self.record.command}/1"
        self.scalars = get_meanings(self.record, ScalarMeaning)
        self.matrices = get_meanings(self.record, MatrixMeaning)
        self.tables = [
            Table(table, meaning, _columns(types[table]))
            for table, meaning in get_meanings(self.record, TableMeaning).items()
        ]


def _columns(annotation: Any) -> dict[str, ColumnMeaning]:
    """Return the columns of a table's class, and those that some of such tables have besides."""
    (kind,) = (part for part in get_args(annotation) or (annotation,) if part is not NoneType)
    found: dict[str, ColumnMeaning] = {}
    for holder in (kind, *kind.__subclasses__()):
        found |= get_meanings(holder, ColumnMeaning)
    return found
