"""A table of numbered lines shown as chapters: formulas, reasons and numbers, in whatever format."""

from typing import NamedTuple

from gradflow.printable import escape_unprintable
from gradflow.record import ChapterLayout, Record
from gradflow.render.selection import TableRows, get_tables
from gradflow.render.style import Style
from gradflow.render.values import MISSING_VALUE, format_row


class ChapterStep(NamedTuple):
    """A numbered line: a formula, why it holds (with formulas between $ signs), and the numbers behind it."""

    number: str
    formula: str
    text: str
    values: list[str]  # a name and a number each
    holds: bool


class Chapter(NamedTuple):
    """A heading, paragraphs, numbered lines and more paragraphs; formulas in text stand between $ signs."""

    heading: str
    before: list[tuple[str, str]]  # a name and a text each
    steps: list[ChapterStep]
    after: list[tuple[str, str]]


def make_chapters(record: Record, style: Style) -> list[Chapter]:
    """Return the chapters of a record: all, or those of the table that the style names."""
    tables = get_tables(record)
    return [
        chapter
        for table in tables.values()
        if table.meaning.chapters and style.table in (None, table.name)
        for chapter in _make_chapters(table, tables[table.meaning.chapters.table], table.meaning.chapters)
    ]


def _make_chapters(lines: TableRows, chapters: TableRows, layout: ChapterLayout) -> list[Chapter]:
    """Return one chapter for each row of ``chapters``."""
    steps: dict[str, list[ChapterStep]] = {}
    for key, row in zip(lines.column(layout.key), _format_rows(lines), strict=True):
        steps.setdefault(key, []).append(_make_step(row, layout))
    made = []
    for key, row in zip(chapters.column(layout.key), _format_rows(chapters), strict=True):
        *names, title = (row[name] for name in layout.heading)
        made.append(
            Chapter(
                f"{'  '.join(names)}: {title}",
                _get_texts(row, layout.before),
                steps.get(key, []),
                _get_texts(row, layout.after),
            )
        )
    return made


def _format_rows(table: TableRows) -> list[dict[str, str]]:
    """Return each row as texts by column."""
    return [dict(zip(table.columns, format_row(table, row), strict=True)) for row in table.rows]


def _make_step(row: dict[str, str], layout: ChapterLayout) -> ChapterStep:
    values = [f"{name} {row[name]}" for name in layout.values if row[name] != MISSING_VALUE]
    return ChapterStep(
        row[layout.number], row[layout.formula], row[layout.text], values, row[layout.holds] == "yes"
    )


def _get_texts(row: dict[str, str], names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        (name.capitalize(), escape_unprintable(row[name])) for name in names if row[name] != MISSING_VALUE
    ]
