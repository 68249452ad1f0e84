"""Chapters as lines of rich text: formulas are indented and broken where a reader would break them."""

from collections.abc import Sequence
from textwrap import wrap

from rich.text import Text

from gradflow.notation.formulas import break_formula, split_spans, strip_marks
from gradflow.notation.tex import tex
from gradflow.render.style import Style
from gradflow.render.text.chapters import Chapter, ChapterStep
from gradflow.render.wrapping import wrap_text

STEP_INDENT = 6  # width of the number of a line; the rest of the line is indented by as much
MIN_STEP_WIDTH = 16


def make_chapter_lines(chapter: Chapter, style: Style) -> list[Text]:
    """Return a heading, paragraphs, and for each formula why it holds and the values of its sides."""
    heading = wrap_text(_read_text(chapter.heading, style), style.width) if chapter.heading else []
    lines = [Text(line, style="bold") for line in heading]
    lines += _make_paragraphs(chapter.before, style)
    for step in chapter.steps:
        lines += [Text(), *_make_step(step, style)]
    return lines


def _make_paragraphs(texts: Sequence[tuple[str, str]], style: Style) -> list[Text]:
    return [
        Text(line)
        for name, text in texts
        for line in wrap_text(f"{name}: {_read_text(text, style)}".removeprefix(": "), style.width)
    ]


def _make_step(step: ChapterStep, style: Style) -> list[Text]:
    number = f" ({step.number})".ljust(STEP_INDENT)
    room = None if style.width is None else max(style.width - STEP_INDENT, MIN_STEP_WIDTH)
    first, *pieces = _wrap_formula(step.formula, room, style)
    marks = {True: "✓" if style.unicode else "ok", False: "✗" if style.unicode else "fails", None: ""}
    mark = marks[step.mark]
    values = wrap_text("  ".join([*step.values, mark]).rstrip(), room) if step.values or mark else []
    below = [Text(line) for line in (*pieces, *wrap_text(_read_text(step.text, style), room), *values)]
    if mark:
        below[-1] = Text.assemble(values[-1].removesuffix(mark), (mark, "green" if step.mark else "red"))
    return [Text(number + first), *(Text.assemble(" " * STEP_INDENT, line) for line in below)]


def _wrap_formula(formula: str, room: int | None, style: Style) -> list[str]:
    """Return the lines of a formula, indented from the second on; LaTeX on a screen without Unicode.

    A formula is broken before an operator outside brackets, or at any blank if a piece is still too long.
    """
    if room is None:
        return [formula if style.unicode else tex(formula)]
    pieces = break_formula(formula, room - 2) if style.unicode else [tex(formula)]
    lines = [line for piece in pieces for line in wrap(piece, room - 2, break_long_words=False)]
    return [lines[0], *(f"  {line}" for line in lines[1:])]


def _read_text(text: str, style: Style) -> str:
    """Return a text as a screen shows it: formulas without their $ signs, or as LaTeX without Unicode."""
    if style.unicode:
        return strip_marks(text)
    return "".join(f"${tex(piece)}$" if formula else piece for piece, formula in split_spans(text))
