"""The help of a command that returns a record."""

import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from typer.core import TyperCommand

from gradflow.registry import load

HELP_WIDTH = 76  # columns of a help text, without the margin
TITLE_WIDTH = len("Verdicts: ")  # the items of a list begin behind this many columns


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


class RecordCommand(TyperCommand):
    """A command whose help ends with the tables, matrices and verdicts of its record.

    ``emits`` gives the callback of the command its ``record_place`` ("module:class") and ``lists_cells``.
    """

    def compose_help(self) -> str:
        """Return the docstring of the command and the lists, whose sources load numpy."""
        callback: Any = self.callback
        lists = load("gradflow.cli.help_lists")
        blocks = [lists.format_results(callback.record_place)]
        if callback.lists_cells:
            blocks.insert(0, lists.format_cell_options())
        parts = (inspect.cleandoc(self.help or ""), *("\n".join(["\b", *lines]) for lines in blocks))
        return "\n\n".join(parts)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002, the signature is the base's
        """Write the composed help."""
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(self.compose_help())
