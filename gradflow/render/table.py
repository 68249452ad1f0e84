"""Tables for people: aligned text, in colour where the screen has it.

Drawn here and not by rich, which costs as much as all the rest of a short command: 40 ms for what are a few
aligned columns.
"""

import unicodedata
from collections.abc import Sequence
from textwrap import wrap

from gradflow.notation.formulas import broken as broken_formula
from gradflow.notation.formulas import plain, spans
from gradflow.notation.tex import tex
from gradflow.record import Record
from gradflow.render.chapters import Chapter, Step, chapters
from gradflow.render.names import broken, unbroken
from gradflow.render.page import Block, blocks, prose
from gradflow.render.style import Style

CARRIES_NOTES = False

GAPS = (2, 1)  # blanks between two columns: the narrow gap where the wide one does not fit
NARROWEST = 16  # columns that a wrapped text gets at least
INDENT = 6  # columns of the number of a line, under which all that belongs to it stands
LONGEST_PIECE = 11  # columns that a piece of a name may ask for
BOLD, DIM = "1", "2"
RED, GREEN, YELLOW = "31", "32", "33"
COLORS = {
    "vanishing": YELLOW,
    "nilpotent": YELLOW,
    "exploding": RED,
    "polynomial": RED,
    "stable": GREEN,
    "preserving": GREEN,
}


def render(record: Record, style: Style) -> str:
    """Return the record drawn to the width of the screen, or to its natural width where there is none."""
    lines: list[str] = []
    for block in blocks(record, style):
        lines += [_painted(line, BOLD, style) for line in _wrapped(block.title, style.width)]
        lines += _grid(block, style)
        remark = _wrapped("  " + block.remark, style.width) if block.remark else []
        lines += [*(_painted(line, DIM, style) for line in remark), ""]
    for chapter in chapters(record, style):
        lines += [*_chapter(chapter, style), ""]
    for sentence in prose(record) if style.table is None else ():
        lines += _wrapped(sentence, style.width)
    return "\n".join(lines).rstrip("\n") + "\n"


def _chapter(chapter: Chapter, style: Style) -> list[str]:
    """Return a heading, paragraphs, and under each formula why it holds and what its sides come to."""
    lines = [_painted(line, BOLD, style) for line in _wrapped(_read(chapter.heading, style), style.width)]
    lines += _paragraphs(chapter.before, style)
    for step in chapter.steps:
        lines += ["", *_step(step, style)]
    return [*lines, "", *_paragraphs(chapter.after, style)] if chapter.after else lines


def _paragraphs(texts: Sequence[tuple[str, str]], style: Style) -> list[str]:
    return [line for name, text in texts for line in _wrapped(f"{name}: {_read(text, style)}", style.width)]


def _step(step: Step, style: Style) -> list[str]:
    number = f" ({step.number})".ljust(INDENT)
    room = None if style.width is None else max(style.width - INDENT, NARROWEST)
    pieces = _formula(step.formula, room, style)
    mark = ("✓" if style.unicode else "ok") if step.holds else ("✗" if style.unicode else "fails")
    values = _wrapped("  ".join([*step.values, mark]), room)
    if values[-1].endswith(mark):
        values[-1] = values[-1].removesuffix(mark) + _painted(mark, GREEN if step.holds else RED, style)
    below = [*_wrapped(_read(step.text, style), room), *values]
    return [number + pieces[0], *(" " * INDENT + line for line in (*pieces[1:], *below))]


def _formula(formula: str, room: int | None, style: Style) -> list[str]:
    """Return a formula in pieces as wide as there is room, without Unicode its LaTeX; all but one indented.

    It is broken before operators outside of brackets, and where that is not enough at any blank.
    """
    if room is None:
        return [formula if style.unicode else tex(formula)]
    pieces = broken_formula(formula, room - 2) if style.unicode else [tex(formula)]
    lines = [line for piece in pieces for line in wrap(piece, room - 2, break_long_words=False)]
    return [lines[0], *(f"  {line}" for line in lines[1:])]


def _read(text: str, style: Style) -> str:
    """Return a text with formulas between $ signs as a screen shows it."""
    if style.unicode:
        return plain(text)
    return "".join(f"${tex(piece)}$" if formula else piece for piece, formula in spans(text))


def _grid(block: Block, style: Style) -> list[str]:
    """Return the lines of the grid: as it is; else with its text wrapped; else in parts, no number cut."""
    columns = list(range(len(block.header)))
    widths = [max(_width(row[k]) for row in [block.header, *block.rows]) for k in columns]
    screen = style.width or _total(widths, GAPS[0])
    for gap in GAPS:
        if _total(widths, gap) <= screen:
            return _lines(block, columns, widths, gap, style)
    texts = sorted(block.words - {0})
    if texts:
        room = widths[texts[-1]] - _total(widths, gap) + screen
        if room >= NARROWEST:
            widths[texts[-1]] = room
            return _lines(block, columns, widths, gap, style)
    if not any(block.header):
        if texts:  # what a number means is left to a wider screen
            return _lines(block, columns[:-1], _narrowed(block, widths[:-1], gap, screen), gap, style)
        name = block.title.partition(":")[0].split()[0]
        return [f"  too wide: see --table {name} -f csv"]
    widths = _narrowed(block, widths, gap, screen)
    names = next((k for k in columns if k not in block.words), 1) or 1  # leading columns that name a row
    if _total(widths[:names], gap) > screen // 2:
        names = 1
    parts = [_lines(block, part, widths, gap, style) for part in _parts(widths, gap, screen, names)]
    return [line for part in parts for line in (*part, "")][:-1]


def _narrowed(block: Block, widths: Sequence[int], gap: int, screen: int) -> list[int]:
    """Return the widths that the entries need alone: names wrap, numbers do not."""
    numbers = [max((_needed(row[k]) for row in block.rows), default=1) for k in range(1, len(widths))]
    longest = [max(map(_width, unbroken(name))) for name in block.header[1:] if name]
    numbers = [
        max(width, min(piece, LONGEST_PIECE), 4)
        for width, piece in zip(numbers, longest or [0] * len(numbers), strict=True)
    ]
    left = screen - 1 - gap - max(numbers, default=0)
    return [min(widths[0], max(left, NARROWEST // 2)), *numbers]


def _needed(entry: str) -> int:
    """Return the columns that an entry cannot do without: a text may be wrapped, a number or a curve not."""
    if " " in entry and any(map(str.isalpha, entry)):
        return max(map(_width, entry.split()))
    return _width(entry)


def _parts(widths: Sequence[int], gap: int, limit: int, names: int) -> list[list[int]]:
    """Return groups of columns that fit into ``limit``, each starting with those that name a row."""
    parts = [[*range(names)]]
    for k in range(names, len(widths)):
        if len(parts[-1]) > names and _total([widths[j] for j in (*parts[-1], k)], gap) > limit:
            parts.append([*range(names)])
        parts[-1].append(k)
    return parts


def _lines(block: Block, columns: Sequence[int], widths: Sequence[int], gap: int, style: Style) -> list[str]:
    """Return the header, the rows, and the rules between them."""
    rule = " " + ("─" if style.unicode else "-") * (_total([widths[k] for k in columns], gap) - 1)
    lines = []
    if any(block.header):
        header = _row(block, block.header, columns, widths, gap, style)
        lines += [*(_painted(line, BOLD, style) for line in header), rule]
    for place, row in enumerate(block.rows):
        if place in block.rules:
            lines.append(rule)
        lines += _row(block, row, columns, widths, gap, style)
    return lines


def _row(
    block: Block, row: Sequence[str], columns: Sequence[int], widths: Sequence[int], gap: int, style: Style
) -> list[str]:
    """Return one row, on more than one line where a text is wrapped."""
    entries = [_wrapped(row[k], widths[k]) for k in columns]
    if row is block.header:
        entries = [broken(row[k], widths[k]) if _width(row[k]) > widths[k] else [row[k]] for k in columns]
    lines = []
    for level in range(max(map(len, entries))):
        parts = [entry[level] if level < len(entry) else "" for entry in entries]
        aligned = (
            _aligned(part, widths[k], k in block.words, style) for part, k in zip(parts, columns, strict=True)
        )
        lines.append(" " + (" " * gap).join(aligned).rstrip())
    return lines


def _aligned(entry: str, width: int, left: bool, style: Style) -> str:
    space = " " * (width - _width(entry))
    painted = _painted(entry, COLORS[entry], style) if entry in COLORS else entry
    return painted + space if left else space + painted


def _painted(text: str, code: str, style: Style) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if style.color else text


def _wrapped(text: str, width: int | None) -> list[str]:
    return [text] if width is None or _width(text) <= width else wrap(text, width)


def _total(widths: Sequence[int], gap: int) -> int:
    return 1 + sum(widths) + gap * (len(widths) - 1)


def _width(text: str) -> int:
    """Return the columns that a text takes on a screen."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
