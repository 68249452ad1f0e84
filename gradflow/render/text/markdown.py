"""Markdown with pipe tables and formulas between dollar signs, as common code hosts draw them."""

import re

from gradflow.notation.formulas import split_spans
from gradflow.notation.tex import display, tex
from gradflow.printable import escape_unprintable
from gradflow.record import Record
from gradflow.render.renderer import text_renderer
from gradflow.render.style import Style
from gradflow.render.text.chapters import Chapter, ChapterStep, make_chapters
from gradflow.render.text.grids import TextGrid, get_sentences, make_grids


@text_renderer(carries_notes=True)
def render_markdown(record: Record, style: Style) -> str:
    """Return the tables for people, then the sentences and the notes."""
    parts = [_format_grid(grid) for grid in make_grids(record, style)]
    parts += [_format_chapter(chapter) for chapter in make_chapters(record, style)]
    if style.table is None:
        parts += [_escape_markdown(sentence) + "\n" for sentence in get_sentences(record)]
        parts += [f"> {_escape_markdown(escape_unprintable(note))}\n" for note in record.notes]
    return "\n".join(parts)


def _format_grid(grid: TextGrid) -> str:
    rule = [":--" if k in grid.text_columns else "--:" for k in range(len(grid.header))]
    lines = [grid.header, rule, *grid.rows]
    rows = [
        f"| {' | '.join(entry if line is rule else _escape_markdown(entry) for entry in line)} |"
        for line in lines
    ]
    remark = f"\n{_escape_markdown(grid.remark)}\n" if grid.remark else ""
    return f"### {_escape_markdown(grid.title)}\n\n" + "\n".join(rows) + "\n" + remark


def _format_chapter(chapter: Chapter) -> str:
    """Return a chapter; each formula stands alone between blank lines, where no letter is markup."""
    heading = [f"### {_format_text(chapter.heading)}"] if chapter.heading else []
    before = [f"**{name}:** {_format_text(text)}".removeprefix("**:** ") for name, text in chapter.before]
    steps = [part for step in chapter.steps for part in _format_step(step)]
    return "\n\n".join([*heading, *before, *steps]) + "\n"


def _format_step(step: ChapterStep) -> list[str]:
    mark = {True: "✓", False: "✗", None: ""}[step.mark]
    values = f"{', '.join(map(_escape_markdown, step.values))} {mark}".strip()
    formula = rf"{display(step.formula)} \tag{{{step.number}}}"
    return [f"$$\n{formula}\n$$", _format_text(step.text), *([values] if values else [])]


def _format_text(text: str) -> str:
    """Return a text with the formulas between its $ signs as LaTeX."""
    return "".join(
        f"${tex(piece)}$" if formula else _escape_markdown(piece) for piece, formula in split_spans(text)
    )


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\|*_<>`$\[\]])", r"\\\1", text)
