"""A record as a picture in a file: its panels on one sheet, the first of them the largest."""

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from textwrap import fill
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradflow import __version__
from gradflow.errors import UsageError
from gradflow.record import Record
from gradflow.render.axes import MOST_ITEMS, draw_curves, draw_image, draw_items, draw_plane, named
from gradflow.render.picture import AnyPanel, CurvePanel, ImagePanel, ItemPanel, PlanePanel, panels

DRAWN: Mapping[type, Callable[..., list[str]]] = {
    CurvePanel: draw_curves,
    ItemPanel: draw_items,
    PlanePanel: draw_plane,
    ImagePanel: draw_image,
}
# Inches: a sheet fits the text of a page, half of it with two rows of panels, and is legible in a column.
ALONE, SHEET = 4.8, 7.0
HEIGHT, LINE = 2.9, 0.14  # of a panel; of each line over or under it past two, and under the sheet
AROUND, ITEM, NAME_LINE = 0.9, 0.06, 0.12  # of a panel of items: around them, each, each line of its name
MOST_PANELS = 60
DOTS = 200  # an inch
STYLE = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7.5,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "lines.linewidth": 1.3, "lines.markersize": 3.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False, "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2, "legend.labelspacing": 0.3, "savefig.dpi": DOTS, "figure.dpi": DOTS,
    # names come from files: no formula is looked for in them
    "text.parse_math": False,
    # letters as outlines, and names of parts made of the picture alone: always the same bytes
    "svg.fonttype": "path", "svg.hashsalt": "gradflow", "pdf.fonttype": 42,
}  # fmt: skip
# Nothing of the day on which it was drawn.
MADE_BY = f"gradflow {__version__}, matplotlib {matplotlib.__version__}"
METADATA: Mapping[str, Mapping[str, Any]] = {
    "png": {"Software": MADE_BY},
    "svg": {"Creator": MADE_BY, "Date": None},
    "pdf": {"Creator": MADE_BY, "CreationDate": None},
}


def figure(record: Record, table: str | None = None) -> Figure:
    """Return the picture of a record, of all its tables that have one or of ``table`` alone."""
    with _look():
        return _sheet(panels(record, table))


def encoded(record: Record, kind: str, table: str | None = None) -> bytes:
    """Return the picture as a file of a kind (png, svg, pdf): of one record always the same bytes."""
    buffer = io.BytesIO()
    with _look():
        sheet = _sheet(panels(record, table))
        sheet.savefig(buffer, format=kind, metadata={"Title": f"gradflow {record.command}", **METADATA[kind]})
    return buffer.getvalue()


@contextmanager
def _look() -> Iterator[None]:
    """Draw in the house's own style, whatever a person has set for other pictures."""
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        # a letter that no font at hand has is drawn as a box
        warnings.filterwarnings("ignore", "Glyph")
        yield


def _sheet(contents: Sequence[AnyPanel]) -> Figure:
    """Return all panels on one sheet, two in a row; a long one has its own, and of many the first."""
    if len(contents) > MOST_PANELS:
        names = list(dict.fromkeys(content.panel.table for content in contents))
        mend = (
            f"draw one table, --table {' or '.join(names)}"
            if len(names) > 1
            else "ask for fewer cells or layers"
        )
        raise UsageError(f"{len(contents)} panels are more than {MOST_PANELS}: {mend}")
    width = SHEET if len(contents) > 1 else ALONE
    rows = list(_rows(contents))
    sheet = Figure(figsize=(width, HEIGHT), layout="constrained")
    grid = sheet.add_gridspec(len(rows), 1)
    heights, remarks = [0.0] * len(rows), dict[str, None]()
    for level, (row, room) in enumerate(rows):
        cells = grid[level].subgridspec(1, room)
        for column, content in enumerate(row):
            said, height = _panel(sheet.add_subplot(cells[column]), content, width / room)
            remarks |= dict.fromkeys(said)
            heights[level] = max(heights[level], height)
    words = fill("; ".join(remarks), int(width / 0.05))
    if words:
        sheet.supxlabel(words, x=0.01, ha="left", fontsize=6)
    grid.set_height_ratios(heights)
    sheet.set_size_inches(width, sum(heights) + LINE * words.count("\n"))
    return sheet


def _panel(axes: Axes, content: AnyPanel, width: float) -> tuple[list[str], float]:
    """Draw a panel so many inches wide; return what is to be said of it, and the height that it needs."""
    said = (*content.panel.remarks, *DRAWN[type(content)](axes, content, width))
    lines = axes.get_title("left").count("\n") + axes.get_xlabel().count("\n")
    height = _height(content, width) + LINE * max(lines - 2, 0)
    return [f"{content.panel.name}: {one}" for one in said if one], height


def _rows(contents: Sequence[AnyPanel]) -> Iterator[tuple[Sequence[AnyPanel], int]]:
    """Yield the panels of each row, and how many there is room for."""
    like_it = sum(content.panel.table == contents[0].panel.table for content in contents)
    first = int(len(contents) > 2 and (like_it == 1 or len(contents) % 2 == 1))
    yield from [(contents[:1], 1)] * first
    for long, group in groupby(contents[first:], lambda content: _height(content, SHEET / 2) > HEIGHT):
        run = list(group)
        room = 1 if long else min(2, len(run))
        yield from ((run[k : k + room], room) for k in range(0, len(run), room))


def _height(content: AnyPanel, width: float) -> float:
    if isinstance(content, ItemPanel):
        lines = max(map(len, named(content, width)))
        return max(HEIGHT, AROUND + (ITEM + NAME_LINE * lines) * min(len(content.names), MOST_ITEMS))
    return HEIGHT
