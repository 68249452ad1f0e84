"""The color scale of an image drawn with letters: one letter for a value, and the scale below the image."""

import numpy as np

from gradflow.render.plots.panels import ImagePanel, Numbers
from gradflow.render.terminal.canvas import CanvasCell
from gradflow.render.terminal.frame import (
    AxisRange,
    CanvasRow,
    ChartScreen,
    make_legend_entry,
    wrap_words,
    write_row,
)
from gradflow.render.values import format_value

CIVIDIS_COLORS = ((0, 32, 77), (65, 77, 107), (124, 123, 120), (188, 174, 108), (255, 234, 70))
ZERO_COLOR, INFINITE_COLOR = "#CC79A7", "#D55E00"  # colors that are not on the scale
UNICODE_SHADES, ASCII_SHADES = "·░▒▓█", ".:-=+*#%@"  # for a screen without colors
SCALE_WIDTH = 20  # columns


def make_pixel(values: Numbers, scale: AxisRange, screen: ChartScreen) -> CanvasCell:
    """Return one letter for one value, or for two of which the first is the upper."""
    if not screen.color:
        shades = screen.letter(UNICODE_SHADES, ASCII_SHADES)
        value = float(values[0])
        if np.isnan(value):
            return CanvasCell()
        if np.isinf(value):
            return CanvasCell("0" if value < 0 else screen.letter("∞", "!"))
        return CanvasCell(shades[min(int(scale.share(value) * len(shades)), len(shades) - 1)])
    colors = [_choose_color(float(value), scale) for value in values]
    if len(colors) == 1:
        return CanvasCell("#" if colors[0] else " ", colors[0])
    upper, lower = colors
    if upper is None:
        return CanvasCell("▄", lower) if lower else CanvasCell()
    return CanvasCell("▀", f"{upper} on {lower}" if lower else upper)


def _choose_color(value: float, scale: AxisRange) -> str | None:
    """Return the color of a value as rich writes it, or None for nan."""
    if np.isnan(value):
        return None
    if np.isinf(value):
        return ZERO_COLOR if value < 0 else INFINITE_COLOR
    place = min(max(scale.share(value), 0.0), 1.0) * (len(CIVIDIS_COLORS) - 1)
    first = min(int(place), len(CIVIDIS_COLORS) - 2)
    mixed = (
        round(a + (place - first) * (b - a))
        for a, b in zip(CIVIDIS_COLORS[first], CIVIDIS_COLORS[first + 1], strict=True)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)


def draw_color_scale(content: ImagePanel, scale: AxisRange, screen: ChartScreen) -> list[CanvasRow]:
    """Return the color scale with its ends and its label."""
    values = np.linspace(scale.low, scale.high, SCALE_WIDTH)
    label = content.value.describe(unicode=screen.unicode)
    copies = 2 if screen.unicode else 1
    shades = [make_pixel(np.repeat(value, copies), scale, screen) for value in values]
    row = [*write_row(f"{format_value(scale.low)} "), *shades, *write_row(f" {format_value(scale.high)}")]
    rows = [row, *(write_row(line) for line in wrap_words(label, screen.width))]
    for value, words in ((-np.inf, "-inf, the logarithm of an exact 0"), (np.inf, "inf")):
        if (content.values == value).any():
            pixel = make_pixel(np.repeat(value, copies), scale, screen)
            rows += make_legend_entry([pixel], words, screen.width)
    return rows
