"""The main picture of a record, drawn in the terminal itself with letters; what has none, as a table."""

import io
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from gradflow.record import Record
from gradflow.render import table
from gradflow.render.frame import Row, Screen, wrapped, written
from gradflow.render.page import prose
from gradflow.render.picture import (
    AnyPanel,
    CurvePanel,
    ImagePanel,
    ItemPanel,
    Panel,
    PlanePanel,
    drawn,
    panels,
)
from gradflow.render.sketches import DIM, Sketch, sketch_curves, sketch_image, sketch_items, sketch_plane
from gradflow.render.style import Style

CARRIES_NOTES = False

SKETCHED: Mapping[type, Callable[..., Sketch]] = {
    CurvePanel: sketch_curves,
    ItemPanel: sketch_items,
    PlanePanel: sketch_plane,
    ImagePanel: sketch_image,
}
NATURAL, NARROWEST, WIDEST = 80, 40, 120  # columns


def render(record: Record, style: Style) -> str:
    """Return the picture of the first table that has one, or of the one asked for, and the sentences."""
    pictures = drawn(record)
    name = style.table or next(iter(pictures), None)
    if name not in pictures:
        return table.render(record, style)
    screen = Screen(min(max(style.width or NATURAL, NARROWEST), WIDEST), style.color, style.unicode)
    rows: list[Row] = []
    for content in panels(record, name):
        rows += [*_panel(content, screen), []]
    if style.table is None:
        others = [other for other in pictures if other != name]
        if others:
            words = f"drawn with --table NAME: {', '.join(others)}"
            rows += [*(written(line, DIM) for line in wrapped(words, screen.width)), []]
        rows += [written(line) for sentence in prose(record) for line in wrapped(sentence, screen.width)]
    return _printed(rows, screen)


def _panel(content: AnyPanel, screen: Screen) -> list[Row]:
    """Return the title of a panel, what is on its axes, the drawing, and what was left out of it."""
    sketch, remarks = SKETCHED[type(content)](content, screen)
    panel: Panel = content.panel
    x, y = (axis.label if screen.unicode else axis.name for axis in (panel.x, panel.y))
    title = panel.title if screen.unicode or panel.title.isascii() else panel.name
    rows = [written(line, "bold") for line in wrapped(title, screen.width)]
    words = f"{y}, by {x}" if x else y
    rows += [written(line) for line in wrapped(words, screen.width)]
    said = "; ".join(remark for remark in (*panel.remarks, *remarks) if remark)
    return [*rows, *sketch, *(written(line, DIM) for line in wrapped(said, screen.width))]


def _printed(rows: Sequence[Row], screen: Screen) -> str:
    """Return the rows as text, in as many colours as the terminal has."""
    while rows and not rows[-1]:
        rows = rows[:-1]
    if not screen.color:
        return "".join("".join(cell.letter for cell in row).rstrip() + "\n" for row in rows)
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, width=10 * WIDEST, legacy_windows=False, highlight=False
    )
    for row in rows:
        runs = groupby(row, lambda cell: cell.paint)
        line = Text.assemble(*(("".join(cell.letter for cell in run), paint or "") for paint, run in runs))
        line.rstrip()
        console.print(line, soft_wrap=True)
    return stream.getvalue()
