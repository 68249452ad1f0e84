"""Panels of a picture drawn with letters, for a terminal: each function returns rows of letters."""

from collections.abc import Iterable, Sequence

import numpy as np
from rich.cells import cell_len

from gradflow.render.canvas import Canvas, Cell, Paint
from gradflow.render.frame import (
    Range,
    Row,
    Screen,
    beside,
    entry,
    floor,
    framed,
    margin,
    wrapped,
    written,
)
from gradflow.render.names import broken
from gradflow.render.page import text
from gradflow.render.picture import CurvePanel, ImagePanel, ItemPanel, Numbers, PlanePanel, Series
from gradflow.render.reduced import enveloped, listed, pooled, whole

HEIGHT, TALL = 16, 20  # rows of a drawing; of one as high as it is wide
# Okabe & Ito 2008, in an order that is seen on dark and on light screens
PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#F0E442")
CIVIDIS = ((0, 32, 77), (65, 77, 107), (124, 123, 120), (188, 174, 108), (255, 234, 70))
DIM = "dim"
# points of the plane: with letters and without, place of the colour, what it means
PLANE = ((("•", "o"), 0, "condition under 1000"), (("●", "O"), 1, "over it"), (("×", "x"), 4, "defective"))
TAGS = "123456789abcdefghijklmnopqrstuvwxyz"
MOST_TAGGED, MOST_ITEMS = 10, 60
NAME_SHARE, VALUE = 3, 14  # of the width the part for names of items; columns of their numbers
MARKS = (("●", "*"), ("■", "#"), ("▲", "+"))
ZERO, INFINITE = "#CC79A7", "#D55E00"  # colours that no scale has
SHADES = 20  # columns of a scale of colours
Sketch = tuple[list[Row], list[str]]  # the rows, and remarks on what was left out


def sketch_curves(content: CurvePanel, screen: Screen) -> Sketch:
    """Draw curves in dots of braille, each its own colour; without colours as rows of their tags."""
    several = len(content.series) > 1
    tagged = several and len(content.series) <= MOST_TAGGED
    braille = screen.unicode and (screen.color or not several)
    y = _range([one.y for one in content.series] + [edge for edge in _edges(content) if edge is not None])
    x = _range([one.x for one in content.series])
    canvas = Canvas(screen.width - margin(y, HEIGHT) - tagged, HEIGHT, braille=braille)
    for level in _inside(content.levels, y):
        for column in range(canvas.width):
            canvas.put(column, canvas.at((0.0, y.share(level)))[1], screen.letter("┄", "-"), DIM)
    for edge in _edges(content):
        _curve(canvas, content.series[0]._replace(y=edge), x, y, ".", DIM, every=3)
    for place, one in enumerate(content.series):
        tag = TAGS[place] if tagged else screen.letter("●", "*")
        _curve(canvas, enveloped(one, 4 * canvas.width)[0], x, y, tag, _paint(one), every=1 + one.line.dashed)
    for one in content.series:
        _ends(canvas, one, x, screen)
    rows = framed(canvas, x, y, screen, whole=(all(whole(one.x) for one in content.series), False))
    if tagged:
        rows = _tags(rows, canvas, content.series, y)
    return [*rows, *_legend(content, y, screen, tagged)], []


def sketch_items(content: ItemPanel, screen: Screen) -> Sketch:
    """Draw a line for each item: its name, a mark between low and high, its number; the axis holds 0."""
    content, remark = listed(content, MOST_ITEMS)
    most = screen.width // NAME_SHARE
    names = [
        [part for line in broken(name, most) for part in wrapped(line, most) or [""]]
        for name in content.names
    ]
    room = max(cell_len(line) for lines in names for line in lines)
    ends = [edge for one in content.series for edge in (one.y, one.low, one.high) if edge is not None]
    x = _range([*ends, np.zeros(1)])
    canvas = Canvas(screen.width - room - VALUE - 2, 1, braille=False)
    rows: list[Row] = []
    for item, lines in enumerate(names):
        for place, one in enumerate(content.series):
            canvas.cells.clear()
            _item(canvas, one, item, x, screen, _inside(content.levels, x))
            name = lines[0] if place == 0 else ""
            number = text(float(one.y[item])).rjust(VALUE)
            side = written(f"{beside(name, room)} {screen.letter('│', '|')}")
            rows.append([*side, *canvas.rows()[0], *written(number)])
        rows += [written(beside(line, room)) for line in lines[1:]]
    return [*rows, *floor(canvas, x, room, screen), *_legend(content, x, screen, tagged=False)], [remark]


def sketch_plane(content: PlanePanel, screen: Screen) -> Sketch:
    """Draw points beside the unit circle, by their condition as one of three marks."""
    reach = max(1.1, 1.05 * float(np.abs(np.concatenate([content.re, content.im])).max(initial=0.0)))
    ends = Range(-reach, reach)
    height = min(TALL, (screen.width - margin(ends, TALL)) // 2)
    canvas = Canvas(2 * height, height, braille=screen.unicode)
    for angle in np.linspace(0.0, 2 * np.pi, 16 * height, endpoint=False):
        canvas.point((ends.share(np.cos(angle)), ends.share(np.sin(angle))), ".", DIM)
    marks = [Cell(screen.letter(*letters), PALETTE[paint]) for letters, paint, _ in PLANE]
    for re, im, size in zip(content.re, content.im, content.sizes, strict=True):
        mark = marks[0 if size < 3 else 1 if size < np.inf else 2]
        canvas.put(*canvas.at((ends.share(re), ends.share(im))), *mark)
    rows = framed(canvas, ends, ends, screen)
    for mark, (_, _, words) in zip(marks, PLANE, strict=True):
        rows += entry([mark], words, screen.width)
    return rows, ["the circle has radius 1"]


def sketch_image(content: ImagePanel, screen: Screen) -> Sketch:
    """Draw values as colours, two to a letter; without colours as shades."""
    halves = 2 if screen.color and screen.unicode else 1
    x, y = (Range.of(float(places[0]), float(places[-1])) for places in (content.x, content.y))
    integers = whole(content.x), whole(content.y)
    width = min(screen.width - margin(y, TALL, whole=integers[1]), 2 * TALL)
    values, remark = pooled(content.values, halves * TALL, width)
    values = np.repeat(
        np.repeat(values, max(1, halves * TALL // len(values)), 0), max(1, width // values.shape[1]), 1
    )
    scale = Range.of(*content.ends)
    values = np.concatenate([np.full((-len(values) % halves, values.shape[1]), np.nan), values[::-1]])
    canvas = Canvas(values.shape[1], len(values) // halves, braille=False)
    for row in range(canvas.height):
        for column in range(canvas.width):
            cell = _pixel(values[halves * row : halves * (row + 1), column], scale, screen)
            canvas.put(column, row, *cell)
    rows = framed(canvas, x, y, screen, whole=integers)
    return [*rows, *_scale(content, scale, screen)], [remark]


def _curve(canvas: Canvas, one: Series, x: Range, y: Range, mark: str, paint: Paint, every: int) -> None:
    """Draw one curve, with the bars of its errors; nothing joins what is not finite."""
    places = [
        (x.share(float(over)), y.share(float(value))) if np.isfinite(value) else None
        for over, value in zip(one.x, one.y, strict=True)
    ]
    if one.line.marks:
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


def _ends(canvas: Canvas, one: Series, x: Range, screen: Screen) -> None:
    """Mark what no axis can hold at its end: an exact 0 of a logarithm at the bottom, inf at the top."""
    for places, row, mark in (
        (np.isneginf(one.y), canvas.height - 1, screen.letter("▼", "v")),
        (np.isposinf(one.y), 0, screen.letter("▲", "^")),
    ):
        for over in one.x[places]:
            canvas.put(canvas.at((x.share(float(over)), 0.0))[0], row, mark, _paint(one))


def _edges(content: CurvePanel) -> list[Numbers]:
    """Return the edges of the band of a curve that has no other beside it."""
    solid = [one for one in content.series if not one.line.dashed]
    if len(solid) > 1 or not content.series or content.series[0].line.marks:
        return []
    return [edge for edge in (content.series[0].low, content.series[0].high) if edge is not None]


def _tags(rows: Sequence[Row], canvas: Canvas, series: Sequence[Series], y: Range) -> list[Row]:
    """Return the rows with the tag of each curve where it ends, the highest on top, one to a row."""
    ends = [(float(one.y[~np.isnan(one.y)][-1]), place) for place, one in enumerate(series)]
    ends.sort(key=lambda end: -end[0])
    places: list[int] = []
    for value, _ in ends:
        wanted = canvas.at((1.0, min(max(y.share(value), 0.0), 1.0)))[1]
        places.append(max(wanted, places[-1] + 1 if places else 0))
    tagged, below = [*rows], canvas.height
    for row, (_, place) in zip(reversed(places), reversed(ends), strict=True):
        below = min(row, below - 1)
        tagged[below] = [*rows[below], Cell(TAGS[place], _paint(series[place]))]
    return tagged


def _legend(content: CurvePanel | ItemPanel, ends: Range, screen: Screen, tagged: bool) -> list[Row]:
    """Return what the curves are, and the levels."""
    rows: list[Row] = []
    named = [one for one in content.series if one.label]
    if len(named) > MOST_TAGGED:
        words = f"{len(named)} curves: {named[0].label}, {named[1].label}, ..., {named[-1].label}"
        rows += [written(line) for line in wrapped(words, screen.width)]
    else:
        for place, one in enumerate(named):
            mark = TAGS[place] if tagged else _mark(one, screen)
            rows += entry([Cell(mark, _paint(one))], one.label, screen.width)
    for level in _inside(content.levels, ends):
        mark, words = screen.letter("┄", "-"), f"{text(level)}: {content.levels[level]}"
        rows += entry(written(mark, DIM), words, screen.width, DIM)
    return rows


def _item(canvas: Canvas, one: Series, item: int, x: Range, screen: Screen, levels: Sequence[float]) -> None:
    """Draw the line of one item."""
    for level in levels:
        canvas.put(canvas.at((x.share(level), 0.0))[0], 0, screen.letter("┆", ":"), DIM)
    if one.low is not None and one.high is not None and np.isfinite([one.low[item], one.high[item]]).all():
        ends = [canvas.at((x.share(float(edge[item])), 0.0))[0] for edge in (one.low, one.high)]
        for column in range(ends[0], ends[1] + 1):
            canvas.put(column, 0, screen.letter("─", "-"), _paint(one))
    value = float(one.y[item])
    if np.isfinite(value):
        canvas.put(canvas.at((x.share(value), 0.0))[0], 0, _mark(one, screen), _paint(one))
    elif not np.isnan(value):
        mark = screen.letter("◄", "<") if value < 0 else screen.letter("►", ">")
        canvas.put(0 if value < 0 else canvas.width - 1, 0, mark, _paint(one))


def _mark(one: Series, screen: Screen) -> str:
    """Return the mark of an item: hollow for what others are held against, else one for each series."""
    return screen.letter("○", "o") if one.line.dashed else screen.letter(*MARKS[one.place % len(MARKS)])


def _pixel(values: Numbers, scale: Range, screen: Screen) -> Cell:
    """Return one letter for the values of a cell, the upper first."""
    if not screen.color:
        shades = screen.letter("·░▒▓█", ".:-=+*#%@")
        value = float(values[0])
        if np.isnan(value):
            return Cell()
        if np.isinf(value):
            return Cell("0" if value < 0 else screen.letter("∞", "!"))
        return Cell(shades[min(int(scale.share(value) * len(shades)), len(shades) - 1)])
    colors = [_color(float(value), scale) for value in values]
    if len(colors) == 1:
        return Cell("#" if colors[0] else " ", colors[0])
    upper, lower = colors
    if upper is None:
        return Cell("▄", lower) if lower else Cell()
    return Cell("▀", f"{upper} on {lower}" if lower else upper)


def _color(value: float, scale: Range) -> str | None:
    """Return the colour of a value as rich writes it; None for what there is not."""
    if np.isnan(value):
        return None
    if np.isinf(value):
        return ZERO if value < 0 else INFINITE
    place = min(max(scale.share(value), 0.0), 1.0) * (len(CIVIDIS) - 1)
    first = min(int(place), len(CIVIDIS) - 2)
    mixed = (
        round(a + (place - first) * (b - a)) for a, b in zip(CIVIDIS[first], CIVIDIS[first + 1], strict=True)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _scale(content: ImagePanel, scale: Range, screen: Screen) -> list[Row]:
    """Return the scale of colours with its ends, and what it is of."""
    values = np.linspace(scale.low, scale.high, SHADES)
    label = content.value.label if screen.unicode else content.value.name
    shades = [_pixel(np.array([value] * (2 if screen.unicode else 1)), scale, screen) for value in values]
    row = [*written(f"{text(scale.low)} "), *shades, *written(f" {text(scale.high)}")]
    rows = [row, *(written(line) for line in wrapped(label, screen.width))]
    for value, words in ((-np.inf, "-inf, an exact 0 of a logarithm"), (np.inf, "inf")):
        if (content.values == value).any():
            rows += entry(
                [_pixel(np.array([value] * (2 if screen.unicode else 1)), scale, screen)], words, screen.width
            )
    return rows


def _range(values: Sequence[Numbers]) -> Range:
    every = np.concatenate([np.ravel(one) for one in values]) if values else np.empty(0)
    finite = every[np.isfinite(every)]
    return Range.of(float(finite.min()), float(finite.max())) if len(finite) else Range(0.0, 1.0)


def _inside(levels: Iterable[float], ends: Range) -> list[float]:
    return [level for level in levels if ends.low <= level <= ends.high]


def _paint(one: Series) -> Paint:
    return PALETTE[one.place % len(PALETTE)]
