"""What people are shown of numbered lines in chapters, whatever draws it: formulas, reasons, numbers."""

from typing import NamedTuple

from gradflow.printable import escape_unprintable
from gradflow.record import Chapters, Record
from gradflow.render.page import NONE, entries
from gradflow.render.selection import Rows, tables
from gradflow.render.style import Style


class Step(NamedTuple):
    """A numbered line: a formula, why it holds (formulas between $ signs), and the numbers that say so."""

    number: str
    formula: str
    text: str
    values: list[str]  # each a name and a number
    holds: bool


class Chapter(NamedTuple):
    """A heading, paragraphs, numbered lines, paragraphs; in texts formulas stand between $ signs."""

    heading: str
    before: list[tuple[str, str]]  # name and text
    steps: list[Step]
    after: list[tuple[str, str]]


def chapters(record: Record, style: Style) -> list[Chapter]:
    """Return the chapters that there are to show: all, or those of the table that was asked for."""
    found = tables(record)
    return [
        chapter
        for table in found.values()
        if table.meaning.chapters and style.table in (None, table.name)
        for chapter in _chapters(table, found[table.meaning.chapters.table], table.meaning.chapters)
    ]


def _chapters(lines: Rows, chapters: Rows, how: Chapters) -> list[Chapter]:
    """Return one chapter for each row of ``chapters``."""
    steps: dict[str, list[Step]] = {}
    for key, row in zip(lines.column(how.key), _shown(lines), strict=True):
        steps.setdefault(key, []).append(_step(row, how))
    found = []
    for key, row in zip(chapters.column(how.key), _shown(chapters), strict=True):
        *names, title = (row[name] for name in how.heading)
        found.append(
            Chapter(
                f"{'  '.join(names)}: {title}",
                _texts(row, how.before),
                steps.get(key, []),
                _texts(row, how.after),
            )
        )
    return found


def _shown(table: Rows) -> list[dict[str, str]]:
    """Return each row as a person reads it, by column."""
    return [dict(zip(table.columns, entries(table, row), strict=True)) for row in table.rows]


def _step(row: dict[str, str], how: Chapters) -> Step:
    values = [f"{name} {row[name]}" for name in how.values if row[name] != NONE]
    return Step(row[how.number], row[how.formula], row[how.text], values, row[how.holds] == "yes")


def _texts(row: dict[str, str], names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name.capitalize(), escape_unprintable(row[name])) for name in names if row[name] != NONE]
