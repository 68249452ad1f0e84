"""The contract of a text format."""

from collections.abc import Callable
from dataclasses import dataclass

from gradflow.record import Record
from gradflow.render.style import Style


@dataclass(frozen=True)
class TextRenderer:
    """A text format: call it with a record and a style to get text.

    Attributes
    ----------
    render : callable
        Takes a record and a style and returns lines of text, each with its line end.
    carries_notes : bool
        Whether the text contains the record's notes. If it does not, a command prints them on stderr.
    """

    render: Callable[[Record, Style], str]
    carries_notes: bool

    def __call__(self, record: Record, style: Style) -> str:
        """Return the record as text."""
        return self.render(record, style)


def text_renderer(*, carries_notes: bool) -> Callable[[Callable[[Record, Style], str]], TextRenderer]:
    """Make a `TextRenderer` of the decorated function."""
    return lambda render: TextRenderer(render, carries_notes)
