"""A table of numbered lines shown as chapters: formulas, reasons and numbers, in whatever format."""

from typing import NamedTuple

from gradflow.notation.formulas import find_relation
from gradflow.printable import escape_unprintable
from gradflow.record import ChapterLayout, ChapterView, Record
from gradflow.render.selection import TableRows, get_tables
from gradflow.render.style import Style
from gradflow.render.values import MISSING_VALUE, format_row


class ChapterStep(NamedTuple):
    """A numbered line: a formula, why it holds (with formulas between $ signs), and the numbers behind it.

    ``mark`` is True for a tick, False for a cross, and None for neither: a tick beside ≠ could be read as =.
    """

    number: str
    formula: str
    text: str
    values: list[str]  # a name and a number each
    mark: bool | None


class Chapter(NamedTuple):
    """A heading, paragraphs and numbered lines; formulas in text stand between $ signs.

    Without a heading it is one answer, whose paragraph has no name.
    """

    heading: str
    before: list[tuple[str, str]]  # a name and a text each
    steps: list[ChapterStep]


def make_chapters(record: Record, style: Style) -> list[Chapter]:
    """Return the chapters of a record: all, or those of the table that the style names."""
    tables = get_tables(record)
    view = get_chapter_view(record)
    return [
        chapter
        for table in tables.values()
        if table.meaning.chapters and style.table in (None, table.name)
        for chapter in _make_chapters(
            table, tables[table.meaning.chapters.table], table.meaning.chapters, view
        )
    ]


def get_chapter_view(record: Record) -> ChapterView:
    """Return what people are shown of the chapters of a record."""
    view: ChapterView = getattr(record, "chapter_view", ChapterView())
    return view


def _make_chapters(
    lines: TableRows, chapters: TableRows, layout: ChapterLayout, view: ChapterView
) -> list[Chapter]:
    """Return one chapter for each row of ``chapters``."""
    if view.answer and len(chapters.rows) == 1:
        (row,) = _format_rows(chapters)
        return [Chapter("", [("", escape_unprintable(row[layout.answer]))], [])]
    steps: dict[str, list[ChapterStep]] = {}
    for key, row in zip(lines.column(layout.key), _format_rows(lines), strict=True):
        steps.setdefault(key, []).append(_make_step(row, layout, view))
    made = []
    for key, row in zip(chapters.column(layout.key), _format_rows(chapters), strict=True):
        *names, title = (row[name] for name in layout.heading)
        made.append(
            Chapter(
                f"{'  '.join(names)}: {title}",
                _get_texts(row, (layout.answer,) if view.answer else layout.before),
                [] if view.answer else steps.get(key, []),
            )
        )
    return made


def _format_rows(table: TableRows) -> list[dict[str, str]]:
    """Return each row as texts by column."""
    return [dict(zip(table.columns, format_row(table, row), strict=True)) for row in table.rows]


def _make_step(row: dict[str, str], layout: ChapterLayout, view: ChapterView) -> ChapterStep:
    relation = find_relation(row[layout.formula])
    names = [name for name in layout.values if name != layout.difference or relation in ("=", "≠")]
    values = [f"{name} {row[name]}" for name in names if row[name] != MISSING_VALUE]
    mark: bool | None = row[layout.holds] == "yes"
    if mark and (not view.values or relation == "≠"):
        mark = None
    return ChapterStep(
        row[layout.number], row[layout.formula], row[layout.text], values if view.values else [], mark
    )


def _get_texts(row: dict[str, str], names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        (name.capitalize(), escape_unprintable(row[name])) for name in names if row[name] != MISSING_VALUE
    ]
