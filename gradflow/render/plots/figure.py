"""A record as a matplotlib figure: its panels on one sheet, the first of them the largest."""

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
from gradflow.drawing import DEFAULT_CHOICE, DrawingChoice
from gradflow.errors import UsageError
from gradflow.record import Record
from gradflow.render.plots.axes import (
    count_item_rows,
    draw_curves,
    draw_image,
    draw_items,
    draw_plane,
    wrap_item_names,
)
from gradflow.render.plots.panels import AnyPanel, CurvePanel, ImagePanel, ItemPanel, PlanePanel, make_panels

PANEL_DRAWERS: Mapping[type, Callable[..., list[str]]] = {
    CurvePanel: draw_curves,
    ItemPanel: draw_items,
    PlanePanel: draw_plane,
    ImagePanel: draw_image,
}
# Sizes in inches. A sheet is as wide as the text of a page, and legible at the width of a column.
SINGLE_PANEL_WIDTH, SHEET_WIDTH = 4.8, 7.0
PANEL_HEIGHT = 2.9
LINE_HEIGHT = 0.14  # of each line of text past two around a panel, and below the sheet
ITEM_PANEL_MARGIN, ITEM_HEIGHT, NAME_LINE_HEIGHT = 0.9, 0.06, 0.12
MAX_PANELS = 60
DOTS_PER_INCH = 200
MATPLOTLIB_STYLE = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7.5,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "lines.linewidth": 1.3, "lines.markersize": 3.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False, "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2, "legend.labelspacing": 0.3,
    "savefig.dpi": DOTS_PER_INCH, "figure.dpi": DOTS_PER_INCH,
    # Names come from files, so a dollar sign in them starts no formula.
    "text.parse_math": False,
    # Letters of an svg are outlines: a machine without the font would set others, of other widths. Those of a
    # pdf are text in an embedded font. A fixed salt for identifiers gives the same bytes every time.
    "svg.fonttype": "path", "svg.hashsalt": "gradflow", "pdf.fonttype": 42,
}  # fmt: skip
# No dates, so that files do not differ from day to day.
PRODUCER = f"gradflow {__version__}, matplotlib {matplotlib.__version__}"
FILE_METADATA: Mapping[str, Mapping[str, Any]] = {
    "png": {"Software": PRODUCER},
    "svg": {"Creator": PRODUCER, "Date": None},
    "pdf": {"Creator": PRODUCER, "CreationDate": None},
}


def draw_figure(record: Record, table: str | None = None, choice: DrawingChoice = DEFAULT_CHOICE) -> Figure:
    """Return the picture of a record: of every table that has one, or of one table."""
    with _use_own_style():
        return _draw_sheet(make_panels(record, table, choice))


def encode_figure(
    record: Record, kind: str, table: str | None = None, choice: DrawingChoice = DEFAULT_CHOICE
) -> bytes:
    """Return the picture as the bytes of a png, svg or pdf file; a record always gives the same bytes."""
    buffer = io.BytesIO()
    with _use_own_style():
        sheet = _draw_sheet(make_panels(record, table, choice))
        sheet.savefig(
            buffer, format=kind, metadata={"Title": f"gradflow {record.command}", **FILE_METADATA[kind]}
        )
    return buffer.getvalue()


@contextmanager
def _use_own_style() -> Iterator[None]:
    """Use gradflow's style and ignore the settings that a person made for other pictures."""
    with matplotlib.style.context(["default", MATPLOTLIB_STYLE]), warnings.catch_warnings():
        # A letter that no installed font has is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph")
        yield


def _draw_sheet(contents: Sequence[AnyPanel]) -> Figure:
    """Return all panels on one sheet, two in a row; a tall panel, and the first of many, has its own row."""
    if len(contents) > MAX_PANELS:
        names = list(dict.fromkeys(content.head.table for content in contents))
        remedy = (
            f"draw one table with `table`: {' or '.join(names)}"
            if len(names) > 1
            else "ask for fewer cells or layers"
        )
        raise UsageError(f"the picture has {len(contents)} panels, more than {MAX_PANELS}: {remedy}")
    width = SHEET_WIDTH if len(contents) > 1 else SINGLE_PANEL_WIDTH
    rows = list(_split_rows(contents))
    sheet = Figure(figsize=(width, PANEL_HEIGHT), layout="constrained")
    grid = sheet.add_gridspec(len(rows), 1)
    heights, remarks = [0.0] * len(rows), dict[str, None]()
    for level, (row, room) in enumerate(rows):
        cells = grid[level].subgridspec(1, room)
        for column, content in enumerate(row):
            panel_remarks, height = _draw_panel(sheet.add_subplot(cells[column]), content, width / room)
            remarks |= dict.fromkeys(panel_remarks)
            heights[level] = max(heights[level], height)
    footer = fill("; ".join(remarks), int(width / 0.05))
    if footer:
        sheet.supxlabel(footer, x=0.01, ha="left", fontsize=6)
    grid.set_height_ratios(heights)
    sheet.set_size_inches(width, sum(heights) + LINE_HEIGHT * footer.count("\n"))
    return sheet


def _draw_panel(axes: Axes, content: AnyPanel, width: float) -> tuple[list[str], float]:
    """Draw a panel so many inches wide; return its remarks and the height that it needs."""
    remarks = (*content.head.remarks, *PANEL_DRAWERS[type(content)](axes, content, width))
    lines = axes.get_title("left").count("\n") + axes.get_xlabel().count("\n")
    height = _measure_height(content, width) + LINE_HEIGHT * max(lines - 2, 0)
    return [f"{content.head.title}: {one}" for one in remarks if one], height


def _split_rows(contents: Sequence[AnyPanel]) -> Iterator[tuple[Sequence[AnyPanel], int]]:
    """Yield the panels of each row, and how many the row has room for."""
    same_table = sum(content.head.table == contents[0].head.table for content in contents)
    first = int(len(contents) > 2 and (same_table == 1 or len(contents) % 2 == 1))
    yield from [(contents[:1], 1)] * first
    for tall, group in groupby(
        contents[first:], lambda content: _measure_height(content, SHEET_WIDTH / 2) > PANEL_HEIGHT
    ):
        run = list(group)
        room = 1 if tall else min(2, len(run))
        yield from ((run[k : k + room], room) for k in range(0, len(run), room))


def _measure_height(content: AnyPanel, width: float) -> float:
    if isinstance(content, ItemPanel):
        lines = max(map(len, wrap_item_names(content, width)))
        return max(
            PANEL_HEIGHT,
            ITEM_PANEL_MARGIN + (ITEM_HEIGHT + NAME_LINE_HEIGHT * lines) * count_item_rows(content),
        )
    return PANEL_HEIGHT
