"""A record for people: the conclusion first, then the main table, and on request everything else."""

import io
import re
from collections.abc import Iterable, Sequence
from importlib import import_module

from rich import box
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.segment import Segment
from rich.text import Text

from gradflow.record import Record
from gradflow.render.renderer import text_renderer
from gradflow.render.style import Style
from gradflow.render.text.chapters import Chapter, make_chapters
from gradflow.render.text.grids import TextGrid, get_sentences, make_grids
from gradflow.render.text.main_view import list_further_names, make_main_grids
from gradflow.render.text.rich_tables import describe_unfit, fit_columns, make_rich_table
from gradflow.render.text.verdict_styles import VERDICT_STYLES, choose_worst_style
from gradflow.render.wrapping import wrap_text

MIN_SCREEN_WIDTH = 20  # a narrower screen wraps lines itself
PROSE_WIDTH = 80  # of the conclusion off a terminal
MAX_PROSE_WIDTH = 100  # of the conclusion on a wide terminal
PANEL_MARGIN = 4  # two edges and a blank beside each
NATURAL_WIDTH = 10**6  # wider than any table
VERDICT_WORD = re.compile(rf"(?<![\w./:-])(?:{'|'.join(VERDICT_STYLES)})(?![\w/-]|\.\w)")


@text_renderer(carries_notes=False)
def render_table(record: Record, style: Style) -> str:
    """Return the record at the width of the screen, or at its natural width without a screen."""
    if style.brief:
        return "".join(f"{sentence}\n" for sentence in get_sentences(record))
    if style.width is not None:
        style = style._replace(width=max(style.width, MIN_SCREEN_WIDTH))
    sentences = get_sentences(record) if style.table is None else []
    chapters = make_chapters(record, style)
    is_whole = style.details or style.table is not None
    parts: list[list[RenderableType]] = []
    if is_whole or not chapters:
        grids = make_grids(record, style, style.width) if is_whole else make_main_grids(record, style)
        parts += [_make_grid_lines(grid, style) for grid in grids]
    parts += [_make_chapter_lines(chapter, style) for chapter in chapters]
    if chapters:  # the conclusion is about all of them
        parts.append(_make_lines(sentences, style))
    elif sentences:
        parts[:1] = [[_make_panel(record, sentences, style), *(parts[0] if parts else [])]]
    if not is_whole and not chapters:
        parts[-1] += _make_lines([_describe_further(record)], style, "dim")
    return "\n".join(_print_lines(lines, style) for lines in parts if lines)


def _make_panel(record: Record, sentences: Sequence[str], style: Style) -> Panel:
    """Return the conclusion in a frame, a paragraph for each subject, with the color of the worst verdict."""
    longest = max((cell_len(word) for sentence in sentences for word in sentence.split()), default=0)
    width = (
        max(PROSE_WIDTH, longest + PANEL_MARGIN) if style.width is None else min(style.width, MAX_PROSE_WIDTH)
    )
    paragraphs = [Text(sentence) for sentence in sentences]
    for paragraph in paragraphs:
        for word in VERDICT_WORD.finditer(paragraph.plain):
            paragraph.stylize(VERDICT_STYLES[word[0]], *word.span())
    return Panel(
        Text("\n").join(paragraphs),
        box=box.ROUNDED if style.unicode else box.ASCII,
        border_style=choose_worst_style(record.get_verdicts()),
        title=Text(f"gradflow {record.command}", style="bold"),
        title_align="left",
        width=width,
    )


def _make_chapter_lines(chapter: Chapter, style: Style) -> list[RenderableType]:
    # Imported here because few records have chapters, and reading formulas takes a while to load.
    lines: list[RenderableType] = import_module("gradflow.render.text.chapter_lines").make_chapter_lines(
        chapter, style
    )
    return lines


def _make_grid_lines(grid: TextGrid, style: Style) -> list[RenderableType]:
    """Return a title, the table, and remarks on the rows and columns that it leaves out."""
    fitted = fit_columns(grid, style.width)
    remarks = [remark for remark in (grid.remark, describe_unfit(grid, fitted.places)) if remark]
    return [
        *_make_lines([grid.title], style, "bold"),
        make_rich_table(grid, fitted, style),
        *_make_lines(remarks, style, "dim"),
    ]


def _describe_further(record: Record) -> str:
    names = list_further_names(record)
    return f"more: --details, or --table {' | '.join(names)}" if names else "more: --details"


def _make_lines(texts: Iterable[str], style: Style, look: str = "") -> list[RenderableType]:
    return [Text(line, style=look) for text in texts for line in wrap_text(text, style.width)]


def _print_lines(lines: Iterable[RenderableType], style: Style) -> str:
    """Return what rich makes of the lines, without blanks at their ends."""
    console = Console(
        file=io.StringIO(),
        width=style.width or NATURAL_WIDTH,
        height=1,
        color_system=None,
        force_jupyter=False,
        legacy_windows=False,
        _environ={},
    )
    rendered = [segments for line in lines for segments in console.render_lines(line, pad=False)]
    return "".join(f"{_print_segments(segments, style)}\n" for segments in rendered)


def _print_segments(segments: Iterable[Segment], style: Style) -> str:
    """Return a line of text, with codes for its styles on a screen with colors."""
    line = [*Segment.simplify(segments)]
    while line and not line[-1].text.strip():
        line.pop()
    if line:
        line[-1] = Segment(line[-1].text.rstrip(), line[-1].style)
    colors = ColorSystem.STANDARD if style.color else None
    return "".join(text if look is None else look.render(text, color_system=colors) for text, look, _ in line)
