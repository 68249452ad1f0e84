"""HTML for notebooks: plain tables that take the style of the page."""

from html import escape

from gradflow.notation.formulas import strip_marks
from gradflow.printable import escape_unprintable
from gradflow.record import Record
from gradflow.render.renderer import text_renderer
from gradflow.render.style import Style
from gradflow.render.text.chapters import Chapter, make_chapters
from gradflow.render.text.grids import TextGrid, get_sentences, make_grids


@text_renderer(carries_notes=True)
def render_html(record: Record, style: Style) -> str:
    """Return the tables for people, then the sentences and the notes."""
    parts = [_format_grid(grid) for grid in make_grids(record, style)]
    parts += [_format_chapter(chapter) for chapter in make_chapters(record, style)]
    if style.table is None:
        parts += [f"<p>{escape(sentence)}</p>" for sentence in get_sentences(record)]
        parts += [f"<p><em>{escape(escape_unprintable(note))}</em></p>" for note in record.notes]
    return "<div>\n" + "\n".join(parts) + "\n</div>\n"


def _format_grid(grid: TextGrid) -> str:
    lines = [f"<tr>{_format_cells('th', grid.header, grid)}</tr>"] if any(grid.header) else []
    lines += [f"<tr>{_format_cells('td', row, grid)}</tr>" for row in grid.rows]
    remark = f"<p>{escape(grid.remark)}</p>\n" if grid.remark else ""
    return f"<p><b>{escape(grid.title)}</b></p>\n<table>\n" + "\n".join(lines) + f"\n</table>\n{remark}"


def _format_chapter(chapter: Chapter) -> str:
    """Return a chapter with its formulas in Unicode."""
    lines = [f"<p><b>{_escape_plain(chapter.heading)}</b></p>"] if chapter.heading else []
    lines += [
        f"<p>{name}: ".replace("<p>: ", "<p>") + f"{_escape_plain(text)}</p>" for name, text in chapter.before
    ]
    for step in chapter.steps:
        mark = {True: ["✓"], False: ["✗"], None: []}[step.mark]
        values = ", ".join([*step.values, *mark])
        parts = (f"({step.number}) {step.formula}", strip_marks(step.text), *([values] if values else []))
        lines += [f'<p style="margin-left: {k and 2}em">{escape(part)}</p>' for k, part in enumerate(parts)]
    return "\n".join(lines)


def _escape_plain(text: str) -> str:
    return escape(strip_marks(text))


def _format_cells(tag: str, row: list[str], grid: TextGrid) -> str:
    sides = ("left" if k in grid.text_columns else "right" for k in range(len(row)))
    return "".join(
        f'<{tag} style="text-align: {side}">{escape(entry)}</{tag}>'
        for side, entry in zip(sides, row, strict=True)
    )
