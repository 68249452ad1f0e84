"""Markdown with pipe tables and formulas between dollar signs, as the usual code hosts draw them."""

import re

from gradflow.notation.formulas import spans
from gradflow.notation.tex import display, tex
from gradflow.printable import escape_unprintable
from gradflow.record import Record
from gradflow.render.chapters import Chapter, Step, chapters
from gradflow.render.page import Block, blocks, prose
from gradflow.render.style import Style

CARRIES_NOTES = True


def render(record: Record, style: Style) -> str:
    """Return the tables people are shown, then the sentences and the notes."""
    parts = [_block(block) for block in blocks(record, style)]
    parts += [_chapter(chapter) for chapter in chapters(record, style)]
    if style.table is None:
        parts += [_escaped(sentence) + "\n" for sentence in prose(record)]
        parts += [f"> {_escaped(escape_unprintable(note))}\n" for note in record.notes]
    return "\n".join(parts)


def _block(block: Block) -> str:
    rule = [":--" if k in block.words else "--:" for k in range(len(block.header))]
    lines = [block.header, rule, *block.rows]
    rows = [
        f"| {' | '.join(entry if line is rule else _escaped(entry) for entry in line)} |" for line in lines
    ]
    remark = f"\n{_escaped(block.remark)}\n" if block.remark else ""
    return f"### {_escaped(block.title)}\n\n" + "\n".join(rows) + "\n" + remark


def _chapter(chapter: Chapter) -> str:
    """Return a chapter, each formula by itself between blank lines, where nothing in it is markup."""
    before, after = (
        [f"**{name}:** {_marked(text)}" for name, text in texts] for texts in (chapter.before, chapter.after)
    )
    steps = [part for step in chapter.steps for part in _step(step)]
    return "\n\n".join([f"### {_marked(chapter.heading)}", *before, *steps, *after]) + "\n"


def _step(step: Step) -> list[str]:
    values = ", ".join(map(_escaped, step.values))
    formula = rf"{display(step.formula)} \tag{{{step.number}}}"
    return [f"$$\n{formula}\n$$", _marked(step.text), f"{values} {'✓' if step.holds else '✗'}"]


def _marked(text: str) -> str:
    """Return a text with its formulas between $ signs as LaTeX."""
    return "".join(f"${tex(piece)}$" if formula else _escaped(piece) for piece, formula in spans(text))


def _escaped(text: str) -> str:
    return re.sub(r"([\\|*_<>`$\[\]])", r"\\\1", text)
