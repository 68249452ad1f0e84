"""Markdown with pipe tables, as the usual code hosts draw them."""

import re

from gradflow.printable import printable
from gradflow.record import Record
from gradflow.render.page import Block, blocks, prose
from gradflow.render.style import Style

CARRIES_NOTES = True


def render(record: Record, style: Style) -> str:
    """Return the tables people are shown, then the sentences and the notes."""
    parts = [_block(block) for block in blocks(record, style)]
    if style.table is None:
        parts += [_escaped(sentence) + "\n" for sentence in prose(record)]
        parts += [f"> {_escaped(printable(note))}\n" for note in record.notes]
    return "\n".join(parts)


def _block(block: Block) -> str:
    rule = [":--" if k in block.words else "--:" for k in range(len(block.header))]
    lines = [block.header, rule, *block.rows]
    rows = [
        f"| {' | '.join(entry if line is rule else _escaped(entry) for entry in line)} |" for line in lines
    ]
    remark = f"\n{_escaped(block.remark)}\n" if block.remark else ""
    return f"### {_escaped(block.title)}\n\n" + "\n".join(rows) + "\n" + remark


def _escaped(text: str) -> str:
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", text)
