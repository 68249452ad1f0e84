"""Chapters for people: formulas with their reasons as lines of text at the width of the screen."""

import unicodedata
from collections.abc import Sequence
from textwrap import wrap

from gradflow.notation.formulas import break_formula, split_spans, strip_marks
from gradflow.notation.tex import tex
from gradflow.render.style import Style
from gradflow.render.text.chapters import Chapter, ChapterStep

MIN_TEXT_WIDTH = 16  # of a reason beside a formula number
STEP_INDENT = 6  # width of the number of a line; the rest of the line is indented by as much
BOLD_CODE, RED_CODE, GREEN_CODE = "1", "31", "32"


def format_chapter(chapter: Chapter, style: Style) -> list[str]:
    """Return a heading, paragraphs, and for each formula why it holds and the values of its sides."""
    heading = wrap_text(_read_text(chapter.heading, style), style.width) if chapter.heading else []
    lines = [paint_text(line, BOLD_CODE, style) for line in heading]
    lines += _format_paragraphs(chapter.before, style)
    for step in chapter.steps:
        lines += ["", *_format_step(step, style)]
    return lines


def _format_paragraphs(texts: Sequence[tuple[str, str]], style: Style) -> list[str]:
    return [
        line
        for name, text in texts
        for line in wrap_text(f"{name}: {_read_text(text, style)}".removeprefix(": "), style.width)
    ]


def _format_step(step: ChapterStep, style: Style) -> list[str]:
    number = f" ({step.number})".ljust(STEP_INDENT)
    room = None if style.width is None else max(style.width - STEP_INDENT, MIN_TEXT_WIDTH)
    pieces = _format_formula(step.formula, room, style)
    marks = {True: "✓" if style.unicode else "ok", False: "✗" if style.unicode else "fails", None: ""}
    mark = marks[step.mark]
    values = wrap_text("  ".join([*step.values, mark]).rstrip(), room) if step.values or mark else []
    if mark and values[-1].endswith(mark):
        values[-1] = values[-1].removesuffix(mark) + paint_text(
            mark, GREEN_CODE if step.mark else RED_CODE, style
        )
    below = [*wrap_text(_read_text(step.text, style), room), *values]
    return [number + pieces[0], *(" " * STEP_INDENT + line for line in (*pieces[1:], *below))]


def _format_formula(formula: str, room: int | None, style: Style) -> list[str]:
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


def paint_text(text: str, code: str, style: Style) -> str:
    """Return a text in a color or weight of the terminal, if the style has color."""
    return f"\x1b[{code}m{text}\x1b[0m" if style.color else text


def wrap_text(text: str, width: int | None) -> list[str]:
    """Return a text as lines of at most ``width`` columns; None for one line."""
    return [text] if width is None or measure_width(text) <= width else wrap(text, width)


def measure_width(text: str) -> int:
    """Return how many columns a text takes on a screen."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
