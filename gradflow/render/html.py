"""HTML for notebooks: bare tables that take the page's own style."""

from html import escape

from gradflow.notation.formulas import plain
from gradflow.printable import escape_unprintable
from gradflow.record import Record
from gradflow.render.chapters import Chapter, chapters
from gradflow.render.page import Block, blocks, prose
from gradflow.render.style import Style

CARRIES_NOTES = True


def render(record: Record, style: Style) -> str:
    """Return the tables people are shown, then the sentences and the notes."""
    parts = [_block(block) for block in blocks(record, style)]
    parts += [_chapter(chapter) for chapter in chapters(record, style)]
    if style.table is None:
        parts += [f"<p>{escape(sentence)}</p>" for sentence in prose(record)]
        parts += [f"<p><em>{escape(escape_unprintable(note))}</em></p>" for note in record.notes]
    return "<div>\n" + "\n".join(parts) + "\n</div>\n"


def _block(block: Block) -> str:
    lines = [f"<tr>{_cells('th', block.header, block)}</tr>"] if any(block.header) else []
    lines += [f"<tr>{_cells('td', row, block)}</tr>" for row in block.rows]
    remark = f"<p>{escape(block.remark)}</p>\n" if block.remark else ""
    return f"<p><b>{escape(block.title)}</b></p>\n<table>\n" + "\n".join(lines) + f"\n</table>\n{remark}"


def _chapter(chapter: Chapter) -> str:
    """Return a chapter with its formulas as they are typed."""
    lines = [f"<p><b>{_plain(chapter.heading)}</b></p>"]
    lines += [f"<p>{name}: {_plain(text)}</p>" for name, text in chapter.before]
    for step in chapter.steps:
        values = ", ".join([*step.values, "✓" if step.holds else "✗"])
        parts = (f"({step.number}) {step.formula}", plain(step.text), values)
        lines += [f'<p style="margin-left: {k and 2}em">{escape(part)}</p>' for k, part in enumerate(parts)]
    lines += [f"<p>{name}: {_plain(text)}</p>" for name, text in chapter.after]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return escape(plain(text))


def _cells(tag: str, row: list[str], block: Block) -> str:
    sides = ("left" if k in block.words else "right" for k in range(len(row)))
    return "".join(
        f'<{tag} style="text-align: {side}">{escape(entry)}</{tag}>'
        for side, entry in zip(sides, row, strict=True)
    )
