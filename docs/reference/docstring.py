"""A numpydoc docstring in its parts."""

import doctest
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

HEADING = re.compile(r"(?m)^(\w+)\n-+\n")


class Item(NamedTuple):
    """A parameter, a result or an error: its name, its type, and what it is."""

    name: str
    kind: str
    text: str


class Docstring:
    """The prose, and the sections by their titles in the order in which they stand."""

    def __init__(self, function: Callable[..., Any]) -> None:
        prose, *pieces = HEADING.split(inspect.getdoc(function) or "")
        self.prose = prose.strip()
        self.sections = dict(zip(pieces[::2], map(str.strip, pieces[1::2]), strict=True))

    def items(self, title: str) -> list[Item]:
        """Return the entries of a section that lists them: a line of its own, its text indented below."""
        found: list[Item] = []
        for line in self.sections.get(title, "").splitlines():
            if line.startswith(" "):
                name, kind, text = found[-1]
                found[-1] = Item(name, kind, f"{text} {line.strip()}".strip())
            else:
                name, _, kind = line.partition(" : ")
                found.append(Item(name, kind, ""))
        return found


def signature(function: Callable[..., Any], public: str) -> str:
    """Return the call by its public name with every default; what parameters may be is told in words."""
    parameters = inspect.signature(function).parameters.values()
    bare = inspect.Signature([parameter.replace(annotation=parameter.empty) for parameter in parameters])
    name = f"gradflow.{public}"
    text = re.sub(r"<class '(\w+)'>", r"\1", f"{name}{bare}")  # map, a callable
    return textwrap.fill(
        text, 100, subsequent_indent=" " * (len(name) + 1), break_long_words=False, break_on_hyphens=False
    )


def script(name: str, section: str, own: str) -> str:
    """Return the examples of a function as a script; prose and what a session would show become comments.

    ``own`` is what the function calls itself in them.
    """
    lines = [f"from gradflow import {name}{f' as {own}' if own != name else ''}"]
    if "np." in section and "import numpy" not in section:
        lines.append("import numpy as np")
    for part in doctest.DocTestParser().parse(section):
        if isinstance(part, doctest.Example):
            lines += [*part.source.splitlines(), *_comments(part.want)]
        else:
            lines += _comments(part)
    return "\n".join(lines)


def _comments(text: str) -> list[str]:
    return [f"# {line}" for line in text.splitlines() if line]
