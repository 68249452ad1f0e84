"""The main picture of a record, drawn with letters in the terminal; a table without a picture is printed."""

import io
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from gradflow.record import Record
from gradflow.render.plots.panels import (
    AnyPanel,
    CurvePanel,
    ImagePanel,
    ItemPanel,
    PanelHead,
    PlanePanel,
    get_drawn_tables,
    make_panels,
)
from gradflow.render.renderer import text_renderer
from gradflow.render.style import Style
from gradflow.render.terminal.frame import CanvasRow, ChartScreen, wrap_words, write_row
from gradflow.render.terminal.sketches import (
    DIM_STYLE,
    Sketch,
    sketch_curves,
    sketch_image,
    sketch_items,
    sketch_plane,
)
from gradflow.render.text.grids import get_sentences
from gradflow.render.text.table import render_table

PANEL_SKETCHERS: Mapping[type, Callable[..., Sketch]] = {
    CurvePanel: sketch_curves,
    ItemPanel: sketch_items,
    PlanePanel: sketch_plane,
    ImagePanel: sketch_image,
}
DEFAULT_CHART_WIDTH, MIN_CHART_WIDTH, MAX_CHART_WIDTH = 80, 40, 120


@text_renderer(carries_notes=False)
def render_chart(record: Record, style: Style) -> str:
    """Return the picture of the table that the style names, or of the first with one, and the sentences."""
    drawn_tables = get_drawn_tables(record)
    name = style.table or next(iter(drawn_tables), None)
    if name not in drawn_tables:
        return render_table(record, style)
    screen = ChartScreen(
        min(max(style.width or DEFAULT_CHART_WIDTH, MIN_CHART_WIDTH), MAX_CHART_WIDTH),
        style.color,
        style.unicode,
    )
    rows: list[CanvasRow] = []
    for content in make_panels(record, name, style.drawing):
        rows += [*_draw_panel(content, screen), []]
    if style.table is None:
        others = [other for other in drawn_tables if other != name]
        if others:
            words = f"--table NAME also draws: {', '.join(others)}"
            rows += [*(write_row(line, DIM_STYLE) for line in wrap_words(words, screen.width)), []]
        rows += [
            write_row(line)
            for sentence in get_sentences(record)
            for line in wrap_words(sentence, screen.width)
        ]
    return _print_rows(rows, screen)


def _draw_panel(content: AnyPanel, screen: ChartScreen) -> list[CanvasRow]:
    """Return the title of a panel, the labels of its axes, the drawing, and its remarks."""
    sketch, remarks = PANEL_SKETCHERS[type(content)](content, screen)
    head: PanelHead = content.head
    x, y = (axis.describe(unicode=screen.unicode) for axis in (head.x, head.y))
    title = head.title if screen.unicode or head.title.isascii() else head.name
    rows = [write_row(line, "bold") for line in wrap_words(title, screen.width)]
    words = f"{y}, by {x}" if x else y
    rows += [write_row(line) for line in wrap_words(words, screen.width)]
    footer = "; ".join(remark for remark in (*head.remarks, *remarks) if remark)
    return [*rows, *sketch, *(write_row(line, DIM_STYLE) for line in wrap_words(footer, screen.width))]


def _print_rows(rows: Sequence[CanvasRow], screen: ChartScreen) -> str:
    """Return the rows as text, in color if the screen has it."""
    while rows and not rows[-1]:
        rows = rows[:-1]
    if not screen.color:
        return "".join("".join(cell.letter for cell in row).rstrip() + "\n" for row in rows)
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, width=10 * MAX_CHART_WIDTH, legacy_windows=False, highlight=False
    )
    for row in rows:
        runs = groupby(row, lambda cell: cell.paint)
        line = Text.assemble(*(("".join(cell.letter for cell in run), paint or "") for paint, run in runs))
        line.rstrip()
        console.print(line, soft_wrap=True)
    return stream.getvalue()
