"""The help of the program and of a command: what is asked about, options of the question, output."""

import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from gradflow.registry import load

HELP_WIDTH = 76  # columns of a help text, without the margin
TITLE_WIDTH = len("Verdicts: ")  # the items of a list begin behind this many columns
FLAG_WIDTH = 21  # columns of the names of options; a longer name has a line of its own
# The groups of the options of a command, in the order of its help.
SUBJECT_GROUP, QUESTION_GROUP, OUTPUT_GROUP = "Subject", "Options", "Output"


def fill_list(title: str, items: Iterable[str], indent: int = TITLE_WIDTH) -> str:
    """Return a title and its items, separated by commas, on lines of at most `HELP_WIDTH` columns."""
    return textwrap.fill(
        ", ".join(items),
        HELP_WIDTH,
        initial_indent=title.ljust(indent),
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


def fill_help(**lists: Iterable[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put lists into the docstring of a command: each ``{name}`` stands for the list of that name."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        texts = {name: fill_list("", items).lstrip() for name, items in lists.items()}
        command.__doc__ = inspect.cleandoc(command.__doc__ or "").format(**texts)
        return command

    return decorate


def describe_parameter(parameter: Any, context: Any) -> tuple[str, str]:
    """Return an argument or option as a person types it, and its help with its default in brackets."""
    name, text = parameter.get_help_record(context)
    default = parameter.show_default
    if isinstance(default, str):  # typer puts a default in words into parentheses
        text = text.replace(f"[default: ({default})", f"[default: {default}")
    return name, text.replace("  [required]", "")


class RecordCommand(TyperCommand):
    """A command that returns a record: its help has groups of options, and lists made of its record.

    ``emits`` gives the callback of the command its ``record_place`` ("module:class") and ``lists_cells``.
    """

    def compose_help(self) -> str:
        """Return the docstring of the command and the lists, whose sources load numpy."""
        parts = (inspect.cleandoc(self.help or ""), *("\n".join(["\b", *lines]) for lines in self._list()))
        return "\n\n".join(parts)

    def _list(self) -> list[list[str]]:
        """Return the options of cells, if the command lists them, and the parts of the record."""
        callback: Any = self.callback
        lists = load("gradflow.cli.help_lists")
        blocks: list[list[str]] = [lists.format_results(callback.record_place)]
        return [lists.format_cell_options(), *blocks] if callback.lists_cells else blocks

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line, without braces around what is required."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the groups of arguments and options, then the lists."""
        groups: dict[str, list[tuple[str, str]]] = {
            group: [] for group in (SUBJECT_GROUP, QUESTION_GROUP, OUTPUT_GROUP)
        }
        for parameter in self.get_params(ctx):
            argument = parameter.param_type_name == "argument"
            group = getattr(parameter, "rich_help_panel", None) or (
                SUBJECT_GROUP if argument else OUTPUT_GROUP if "--help" in parameter.opts else QUESTION_GROUP
            )
            groups[group].append(describe_parameter(parameter, ctx))
        for group, rows in groups.items():
            if rows:
                with formatter.section(group):
                    _write_rows(formatter, rows)
        for lines in self._list():
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text("\n".join(["\b", *lines]))


class ProgramGroup(TyperGroup):
    """The program: its help lists the commands in the order in which they are learned."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands with the first sentences of their help, whole, then the options."""
        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, _get_title(command.help or "")) for name, command in commands])
        with formatter.section("Options"):
            formatter.write_dl([describe_parameter(parameter, ctx) for parameter in self.get_params(ctx)])


def _get_title(text: str) -> str:
    """Return the first paragraph of a help text, on one line."""
    return " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())


def _write_rows(formatter: Any, rows: Iterable[tuple[str, str]]) -> None:
    """Write names and texts; the texts of all groups begin in the same column."""
    formatter.write_dl([(name.ljust(FLAG_WIDTH), text) for name, text in rows], col_max=FLAG_WIDTH)
