"""The panels of a picture drawn with letters for a terminal."""

from collections.abc import Iterable, Sequence

import numpy as np
from rich.cells import cell_len

from gradflow.render.plots.panels import CurvePanel, ImagePanel, ItemPanel, Numbers, PlanePanel, PlotSeries
from gradflow.render.plots.reduction import are_integers, pool_image, thin_curve, thin_items
from gradflow.render.terminal.canvas import Canvas, CanvasCell, Paint
from gradflow.render.terminal.color_scale import draw_color_scale, make_pixel
from gradflow.render.terminal.frame import (
    AxisRange,
    CanvasRow,
    ChartScreen,
    align_right,
    draw_bottom_axis,
    draw_frame,
    make_legend_entry,
    measure_margin,
    wrap_words,
    write_row,
)
from gradflow.render.values import format_value
from gradflow.render.wrapping import wrap_name

CHART_HEIGHT, SQUARE_CHART_HEIGHT = 16, 20  # rows of a drawing; of a square one
# Okabe and Ito (2008), in an order that is legible on dark and on light screens.
TERMINAL_PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#F0E442")
DIM_STYLE = "dim"
# Points of the plane: the mark in Unicode and in ASCII, the index of its color, its meaning.
PLANE_MARKS = (
    (("•", "o"), 0, "condition under 1000"),
    (("●", "O"), 1, "over it"),
    (("×", "x"), 4, "defective"),
)
CURVE_TAGS = "123456789abcdefghijklmnopqrstuvwxyz"
MAX_TAGGED_CURVES, MAX_CHART_ITEMS = 10, 60
NAME_DIVISOR, VALUE_WIDTH = 3, 14  # names of items take a third of the width; columns of their numbers
ITEM_MARKS = (("●", "*"), ("■", "#"), ("▲", "+"))
Sketch = tuple[list[CanvasRow], list[str]]  # rows of letters, and remarks on what was left out


def sketch_curves(content: CurvePanel, screen: ChartScreen) -> Sketch:
    """Draw curves in braille dots and colors; without colors, several curves are drawn with their tags."""
    several = len(content.series) > 1
    tagged = several and len(content.series) <= MAX_TAGGED_CURVES
    braille = screen.unicode and (screen.color or not several)
    y = _find_range([one.y for one in content.series] + _get_edges(content))
    x = _find_range([one.x for one in content.series])
    canvas = Canvas(screen.width - measure_margin(y, CHART_HEIGHT) - tagged, CHART_HEIGHT, braille=braille)
    for level in _find_inside(content.levels, y):
        for column in range(canvas.width):
            canvas.put(column, canvas.at((0.0, y.share(level)))[1], screen.letter("┄", "-"), DIM_STYLE)
    for edge in _get_edges(content):
        _draw_curve(canvas, content.series[0]._replace(y=edge), x, y, ".", DIM_STYLE, every=3)
    for place, one in enumerate(content.series):
        tag = CURVE_TAGS[place] if tagged else screen.letter("●", "*")
        thin, _ = thin_curve(one, 4 * canvas.width)
        _draw_curve(canvas, thin, x, y, tag, _choose_paint(one), every=1 + one.column.dashed)
    for one in content.series:
        _mark_infinite(canvas, one, x, screen)
    rows = draw_frame(canvas, x, y, screen, whole=(all(are_integers(one.x) for one in content.series), False))
    if tagged:
        rows = _add_tags(rows, canvas, content.series, y)
    return [*rows, *_make_legend(content, y, screen, tagged)], []


def sketch_items(content: ItemPanel, screen: ChartScreen) -> Sketch:
    """Draw a line for each item: its name, a mark between low and high, its value; the axis includes 0."""
    content, remark = thin_items(content, MAX_CHART_ITEMS)
    most = screen.width // NAME_DIVISOR
    names = [
        [part for line in wrap_name(name, most) for part in wrap_words(line, most) or [""]]
        for name in content.names
    ]
    room = max(cell_len(line) for lines in names for line in lines)
    ends = [edge for one in content.series for edge in (one.y, one.low, one.high) if edge is not None]
    x = _find_range([*ends, np.zeros(1), np.array(content.marks)])
    canvas = Canvas(screen.width - room - VALUE_WIDTH - 2, 1, braille=False)
    rows: list[CanvasRow] = []
    for item, lines in enumerate(names):
        for place, one in enumerate(content.series):
            canvas.cells.clear()
            _draw_item(canvas, one, item, x, screen, _find_inside(content.levels, x))
            name = lines[0] if place == 0 else ""
            number = format_value(float(one.y[item])).rjust(VALUE_WIDTH)
            side = write_row(f"{align_right(name, room)} {screen.letter('│', '|')}")
            rows.append([*side, *canvas.rows()[0], *write_row(number)])
        rows += [write_row(align_right(line, room)) for line in lines[1:]]
    return [
        *rows,
        *draw_bottom_axis(canvas, x, room, screen),
        *_make_legend(content, x, screen, tagged=False),
    ], [remark]


def sketch_plane(content: PlanePanel, screen: ChartScreen) -> Sketch:
    """Draw points and the unit circle; the mark of a point shows its condition."""
    reach = max(1.1, 1.05 * float(np.abs(np.concatenate([content.re, content.im])).max(initial=0.0)))
    ends = AxisRange(-reach, reach)
    height = min(SQUARE_CHART_HEIGHT, (screen.width - measure_margin(ends, SQUARE_CHART_HEIGHT)) // 2)
    canvas = Canvas(2 * height, height, braille=screen.unicode)
    for angle in np.linspace(0.0, 2 * np.pi, 16 * height, endpoint=False):
        canvas.point((ends.share(np.cos(angle)), ends.share(np.sin(angle))), ".", DIM_STYLE)
    marks = [
        CanvasCell(screen.letter(*letters), TERMINAL_PALETTE[paint]) for letters, paint, _ in PLANE_MARKS
    ]
    for re, im, size in zip(content.re, content.im, content.sizes, strict=True):
        mark = marks[0 if size < 3 else 1 if size < np.inf else 2]
        canvas.put(*canvas.at((ends.share(re), ends.share(im))), *mark)
    rows = draw_frame(canvas, ends, ends, screen)
    for mark, (_, _, words) in zip(marks, PLANE_MARKS, strict=True):
        rows += make_legend_entry([mark], words, screen.width)
    return rows, ["the circle has radius 1"]


def sketch_image(content: ImagePanel, screen: ChartScreen) -> Sketch:
    """Draw values as colors, two per letter, or as shades without colors."""
    halves = 2 if screen.color and screen.unicode else 1
    x, y = (AxisRange.of(float(places[0]), float(places[-1])) for places in (content.x, content.y))
    integers = are_integers(content.x), are_integers(content.y)
    width = min(
        screen.width - measure_margin(y, SQUARE_CHART_HEIGHT, whole=integers[1]), 2 * SQUARE_CHART_HEIGHT
    )
    values, remark = pool_image(content.values, halves * SQUARE_CHART_HEIGHT, width)
    values = np.repeat(
        np.repeat(values, max(1, halves * SQUARE_CHART_HEIGHT // len(values)), 0),
        max(1, width // values.shape[1]),
        1,
    )
    scale = AxisRange.of(*content.ends)
    values = np.concatenate([np.full((-len(values) % halves, values.shape[1]), np.nan), values[::-1]])
    canvas = Canvas(values.shape[1], len(values) // halves, braille=False)
    for row in range(canvas.height):
        for column in range(canvas.width):
            cell = make_pixel(values[halves * row : halves * (row + 1), column], scale, screen)
            canvas.put(column, row, *cell)
    rows = draw_frame(canvas, x, y, screen, whole=integers)
    return [*rows, *draw_color_scale(content, scale, screen)], [remark]


def _draw_curve(
    canvas: Canvas, one: PlotSeries, x: AxisRange, y: AxisRange, mark: str, paint: Paint, every: int
) -> None:
    """Draw one curve with its error bars; the line has a gap where a value is not finite."""
    places = [
        (x.share(float(over)), y.share(float(value))) if np.isfinite(value) else None
        for over, value in zip(one.x, one.y, strict=True)
    ]
    if one.column.marks:
        if one.low is not None and one.high is not None:
            for over, low, high in zip(one.x, one.low, one.high, strict=True):
                if np.isfinite(low) and np.isfinite(high):
                    (column, bottom), (_, top) = (
                        canvas.at((x.share(over), y.share(end))) for end in (low, high)
                    )
                    for row in range(top, bottom + 1):
                        canvas.put(column, row, "│" if canvas.across > 1 else "|", paint)
        for place in places:
            if place is not None:
                canvas.put(*canvas.at(place), mark, paint)
        return
    for before, place in zip([None, *places], places, strict=False):
        if place is not None:
            canvas.line(before or place, place, mark, paint, every)


def _mark_infinite(canvas: Canvas, one: PlotSeries, x: AxisRange, screen: ChartScreen) -> None:
    """Mark −inf (the logarithm of an exact 0) at the bottom of the axis and inf at the top."""
    for places, row, mark in (
        (np.isneginf(one.y), canvas.height - 1, screen.letter("▼", "v")),
        (np.isposinf(one.y), 0, screen.letter("▲", "^")),
    ):
        for over in one.x[places]:
            canvas.put(canvas.at((x.share(float(over)), 0.0))[0], row, mark, _choose_paint(one))


def _get_edges(content: CurvePanel) -> list[Numbers]:
    """Return the edges of the band, which is drawn for a single curve only."""
    solid = [one for one in content.series if not one.column.dashed]
    if len(solid) > 1 or not content.series or content.series[0].column.marks:
        return []
    return [edge for edge in (content.series[0].low, content.series[0].high) if edge is not None]


def _add_tags(
    rows: Sequence[CanvasRow], canvas: Canvas, series: Sequence[PlotSeries], y: AxisRange
) -> list[CanvasRow]:
    """Return the rows with the tag of each curve at its end, one per row, the highest on top."""
    ends = [(float(one.y[~np.isnan(one.y)][-1]), place) for place, one in enumerate(series)]
    ends.sort(key=lambda end: -end[0])
    places: list[int] = []
    for value, _ in ends:
        wanted = canvas.at((1.0, min(max(y.share(value), 0.0), 1.0)))[1]
        places.append(max(wanted, places[-1] + 1 if places else 0))
    tagged, below = [*rows], canvas.height
    for row, (_, place) in zip(reversed(places), reversed(ends), strict=True):
        below = min(row, below - 1)
        tagged[below] = [*rows[below], CanvasCell(CURVE_TAGS[place], _choose_paint(series[place]))]
    return tagged


def _make_legend(
    content: CurvePanel | ItemPanel, ends: AxisRange, screen: ChartScreen, tagged: bool
) -> list[CanvasRow]:
    """Return the names of the curves and of the levels, with their marks."""
    rows: list[CanvasRow] = []
    named = [one for one in content.series if one.label]
    if len(named) > MAX_TAGGED_CURVES:
        words = f"{len(named)} curves: {named[0].label}, {named[1].label}, ..., {named[-1].label}"
        rows += [write_row(line) for line in wrap_words(words, screen.width)]
    else:
        for place, one in enumerate(named):
            mark = CURVE_TAGS[place] if tagged else _choose_mark(one, screen)
            rows += make_legend_entry([CanvasCell(mark, _choose_paint(one))], one.label, screen.width)
    for level in _find_inside(content.levels, ends):
        mark, words = screen.letter("┄", "-"), f"{format_value(level)}: {content.levels[level]}"
        rows += make_legend_entry(write_row(mark, DIM_STYLE), words, screen.width, DIM_STYLE)
    return rows


def _draw_item(
    canvas: Canvas, one: PlotSeries, item: int, x: AxisRange, screen: ChartScreen, levels: Sequence[float]
) -> None:
    """Draw the line of one item."""
    for level in levels:
        canvas.put(canvas.at((x.share(level), 0.0))[0], 0, screen.letter("┆", ":"), DIM_STYLE)
    if one.low is not None and one.high is not None and np.isfinite([one.low[item], one.high[item]]).all():
        ends = [canvas.at((x.share(float(edge[item])), 0.0))[0] for edge in (one.low, one.high)]
        for column in range(ends[0], ends[1] + 1):
            canvas.put(column, 0, screen.letter("─", "-"), _choose_paint(one))
    value = float(one.y[item])
    if np.isfinite(value):
        canvas.put(canvas.at((x.share(value), 0.0))[0], 0, _choose_mark(one, screen), _choose_paint(one))
    elif not np.isnan(value):
        mark = screen.letter("◄", "<") if value < 0 else screen.letter("►", ">")
        canvas.put(0 if value < 0 else canvas.width - 1, 0, mark, _choose_paint(one))


def _choose_mark(one: PlotSeries, screen: ChartScreen) -> str:
    """Return the mark of an item: one for each series, or a hollow one for a reference such as a bound."""
    if one.column.dashed:
        return screen.letter("○", "o")
    return screen.letter(*ITEM_MARKS[one.place % len(ITEM_MARKS)])


def _find_range(values: Sequence[Numbers]) -> AxisRange:
    numbers = np.concatenate([np.ravel(one) for one in values]) if values else np.empty(0)
    finite = numbers[np.isfinite(numbers)]
    return AxisRange.of(float(finite.min()), float(finite.max())) if len(finite) else AxisRange(0.0, 1.0)


def _find_inside(levels: Iterable[float], ends: AxisRange) -> list[float]:
    return [level for level in levels if ends.low <= level <= ends.high]


def _choose_paint(one: PlotSeries) -> Paint:
    return TERMINAL_PALETTE[one.place % len(TERMINAL_PALETTE)]
