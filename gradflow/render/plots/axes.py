"""One panel on matplotlib axes: curves, items, points of the complex plane or an image."""

import math
from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, ConnectionPatch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from gradflow.notation.formulas import split_spans
from gradflow.render.plots.panels import (
    AxisLabel,
    CurvePanel,
    ImagePanel,
    ItemPanel,
    Numbers,
    PlanePanel,
    PlotSeries,
)
from gradflow.render.plots.reduction import are_integers, pool_image, thin_curve, thin_items
from gradflow.render.wrapping import wrap_name

# Okabe and Ito (2008): color-blind people can tell these apart. Their yellow is too faint on white paper.
FIGURE_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
CURVE_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))  # for more curves than colors
REFERENCE_DASHES = (0, (3, 1.5))
COVERING_DASHES = ((0, (4, 4)), (0, (1.5, 6.5)))  # of the second and of a later curve at the same place
MAX_HIDDEN_DISTANCE, MIN_HIDDEN_SHARE = 0.01, 0.8  # of the heights of all curves; of the points of a curve
LEVEL_DASHES = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)))  # of the levels of items, in turn
COLORMAP = "cividis"
DARK_GRAY, LIGHT_GRAY = "#666666", "#d4d4d4"
MAX_CURVES_IN_LEGEND = 10  # a longer legend names three of its curves
MAX_CURVE_POINTS, MAX_IMAGE_SIDE = 2000, 1000
MAX_FIGURE_ITEMS = 60  # in a panel
MAX_NAME_LETTERS, MAX_NAME_SHARE = 60, 0.35  # letters of a line of the name of an item; share of the width
GROUP_LINE_SHARE = 0.7  # height of a further line of the name of a group of items, as a share of an item
Y_LABEL_LETTERS = 36  # letters of a line of the label of a y axis
LEVEL_LETTERS = 17  # letters of a line of a level's name
LEVEL_NAME_GAP, SHIFTED_NAME_GAP = 3, 11  # points between the axes and the name of a level
LEVEL_LINE_SHARE = 0.055  # height of a line of a level's name, as a share of the axis
LETTER_WIDTH = 0.06  # inches, about
MARGIN_WIDTH = 1.0  # inches beside the axes of a panel, about
MIN_POWER_DECADES = 2.0  # of an axis whose ticks are powers of ten
MIN_NUMBER_TICKS = 3  # of an axis with fewer decades
TICK_ROUNDING = 1e-9  # decades
MIN_PLAIN_DECADE, MAX_PLAIN_DECADE = -3, 4  # of numbers that are written without a power of ten
SUPERSCRIPT_DIGITS = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
FORMULA_COMMANDS = {"‖": r"\Vert ", "∂": r"\partial ", "−": "-"}
TICK_STEPS = (1, 2, 5, 10)  # between the ticks of an axis, times powers of ten


class CurveLook(NamedTuple):
    """The color and the dashes of a curve."""

    color: Any
    dashes: Any


def draw_curves(axes: Axes, content: CurvePanel, width: float) -> list[str]:
    """Draw curves with their bands, error bars and levels; return remarks on what was left out."""
    looks, remarks = _dash_hidden_curves(content.series, _choose_looks(content.series)), []
    for series, look in zip(content.series, looks, strict=True):
        thin, remark = thin_curve(series, MAX_CURVE_POINTS)
        remarks.append(remark)
        _draw_curve(axes, thin, look)
    integer = all(are_integers(series.x) for series in content.series)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=integer, steps=TICK_STEPS))
    axes.set_xlabel(_fill_width(content.head.x.label, width))
    _write_label(axes.yaxis, content.head.y)
    _mark_powers(axes.xaxis, content.head.x, axes.get_xlim())
    _mark_powers(axes.yaxis, content.head.y, axes.get_ylim())
    for series, look in zip(content.series, looks, strict=True):
        for places, end, marker in _find_infinite(series, "v", "^"):
            x = series.x[places]
            _draw_marks(axes, series, look, (x, np.full(len(x), end)), marker, axes.get_xaxis_transform())
    for level, name, height in _place_level_names(content.levels, axes.get_ylim()):
        axes.axhline(level, color=DARK_GRAY, linewidth=0.7, zorder=0.9)
        _write_level_name(axes, level, name, height)
    _write_title(axes, content.head.title, *_make_handles(content.series, looks), width)
    return remarks


def draw_items(axes: Axes, content: ItemPanel, width: float) -> list[str]:
    """Draw a mark for each item, on a bar from low to high if there is one; return remarks.

    The axis includes 0, which items are compared with: no growth, or a gradient that is left unchanged. The
    items of a group stand below its name.
    """
    content, remark = thin_items(content, MAX_FIGURE_ITEMS)
    looks = _choose_looks(content.series)
    names = wrap_item_names(content, width)
    width -= LETTER_WIDTH * max(len(line) for lines in names for line in lines) - MARGIN_WIDTH / 2
    heights, heads = _place_items(content, int((width - 1.5 * MARGIN_WIDTH) / LETTER_WIDTH))
    apart = 0.3 / len(content.series)  # several marks of one item stand below each other
    for k, (series, look) in enumerate(zip(content.series, looks, strict=True)):
        places = heights + apart * (2 * k - len(content.series) + 1)
        if series.low is not None and series.high is not None:
            axes.hlines(places, series.low, series.high, colors=look.color, linewidth=4, alpha=0.3)
        finite = np.where(np.isfinite(series.y), series.y, np.nan)
        axes.plot(finite, places, "o", color=look.color, markerfacecolor=_choose_face(series, look))
        for infinite, end, marker in _find_infinite(series, "<", ">"):
            y = places[infinite]
            _draw_marks(axes, series, look, (np.full(len(y), end), y), marker, axes.get_yaxis_transform())
    axes.set_yticks(heights, ["\n".join(lines) for lines in names])
    axes.set_ylim(heights[-1] + 0.5, -0.5)
    axes.update_datalim([(0.0, 0.0), *((mark, 0.0) for mark in content.marks)], updatey=False)
    axes.margins(x=0.08)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=TICK_STEPS))
    for height, name in heads:
        axes.annotate(
            name, (0.0, height), (4, 0), ("axes fraction", "data"), "offset points",
            va="center", fontsize=7, color=DARK_GRAY,
        ).set_in_layout(False)  # fmt: skip
    axes.set_xlabel(_fill_width(content.head.y.label, width))
    _mark_powers(axes.xaxis, content.head.y, axes.get_xlim())
    handles, more = _make_handles(content.series, looks, marks=True)
    _write_title(axes, content.head.title, handles | _draw_item_levels(axes, content), more, width)
    return [remark]


def _place_items(content: ItemPanel, most: int) -> tuple[Numbers, list[tuple[float, str]]]:
    """Return the height of each item, from 0 down, and the height and name of each group above its items.

    A line of the name of a group has at most so many letters.
    """
    heights, heads, height, last = [], list[tuple[float, str]](), 0.0, ""
    for item in range(len(content.names)):
        group = content.groups[item][0] if content.groups else ""
        if group != last:
            lines = wrap_name(group, most)
            extra = max(len(lines) - 1, 0) * GROUP_LINE_SHARE
            heads.append((height + extra / 2, "\n".join(lines)))
            height, last = height + 1.0 + extra, group
        heights.append(height)
        height += 1.0
    return np.array(heights), heads


def count_item_rows(content: ItemPanel) -> int:
    """Return the number of rows that the drawn items and the names of their groups take, at most."""
    groups = {group for group, _ in content.groups}
    return min(len(content.names), MAX_FIGURE_ITEMS) + min(len(groups), MAX_FIGURE_ITEMS)


def _draw_item_levels(axes: Axes, content: ItemPanel) -> dict[str, Artist]:
    """Draw the levels on the axis of items; return a legend entry with the values of each name."""
    low, high = axes.get_xlim()
    values: dict[str, list[float]] = {}
    for level, name in content.levels.items():
        if low <= level <= high:
            values.setdefault(name, []).append(level)
    handles: dict[str, Artist] = {}
    for k, (name, levels) in enumerate(values.items()):
        look: dict[str, Any] = {
            "color": DARK_GRAY, "linewidth": 0.7, "linestyle": LEVEL_DASHES[k % len(LEVEL_DASHES)],
        }  # fmt: skip
        for level in levels:
            axes.axvline(level, **look, zorder=0.9)
        shown = [_format_level(level, log10=content.head.y.log10) for level in levels]
        if len(levels) == 2 and sum(levels) == 0:
            shown = [f"±{shown[-1].lstrip('−-')}"]
        handles[f"{name} ({', '.join(shown)})"] = Line2D([], [], **look)
    return handles


def _format_level(level: float, *, log10: bool) -> str:
    """Return the value of a level; a whole power of ten has no factor of 1."""
    if not log10:
        return f"{level:g}"
    plain = MIN_PLAIN_DECADE <= level < MAX_PLAIN_DECADE or level != round(level)
    return _format_number(level, 0) if plain else _format_power(level, 0)


def wrap_item_names(content: ItemPanel, width: float) -> list[list[str]]:
    """Return the lines of the name of each item for a panel so many inches wide; groups have names apart."""
    names = [name for _, name in content.groups] or content.names
    most = min(MAX_NAME_LETTERS, int(MAX_NAME_SHARE * width / LETTER_WIDTH))
    return [wrap_name(name, most) for name in names]


def draw_plane(axes: Axes, content: PlanePanel, width: float) -> list[str]:
    """Draw points and the unit circle: a point with a larger condition is larger, a defective one a cross."""
    axes.add_patch(Circle((0, 0), 1, fill=False, color=DARK_GRAY, linewidth=0.9))
    axes.axhline(0, color=LIGHT_GRAY, linewidth=0.7, zorder=0.5)
    axes.axvline(0, color=LIGHT_GRAY, linewidth=0.7, zorder=0.5)
    good = np.isfinite(content.sizes)
    point: dict[str, Any] = {"color": FIGURE_PALETTE[0], "alpha": 0.6, "linewidths": 0}
    axes.scatter(content.re[good], content.im[good], _compute_areas(content.sizes[good]), **point)
    axes.plot(content.re[~good], content.im[~good], "x", color=FIGURE_PALETTE[1], markersize=7)
    axes.set_aspect("equal", "datalim")
    axes.set_xlabel(content.head.x.label)
    axes.set_ylabel(content.head.y.label)
    shown = np.unique(np.round(np.quantile(content.sizes[good], (0, 0.5, 1)))) if good.any() else np.empty(0)
    handles: dict[str, Artist] = {
        f"condition {10.0**size:g}": axes.scatter([], [], _compute_areas(np.array([size])), **point)
        for size in shown
    }
    if not good.all():
        handles["defective"] = Line2D([], [], marker="x", linestyle="", color=FIGURE_PALETTE[1])
    _write_title(axes, content.head.title, handles, "", width)
    return []


def draw_image(axes: Axes, content: ImagePanel, width: float) -> list[str]:
    """Draw values as colors: −inf (an exact 0) in gray, inf in vermilion, missing values in white."""
    values, remark = pool_image(content.values, MAX_IMAGE_SIDE, MAX_IMAGE_SIDE)
    low, high = content.ends
    span = high - low or 1.0
    image = axes.imshow(
        np.nan_to_num(values, nan=np.nan, neginf=low - span, posinf=low + 2.0 * span),
        cmap=colormaps[COLORMAP].with_extremes(under=LIGHT_GRAY, over=FIGURE_PALETTE[1], bad="white"),
        norm=Normalize(low, low + span),
        origin="lower",
        extent=(*_measure_edges(content.x), *_measure_edges(content.y)),
        aspect="auto",
        interpolation="nearest",
    )
    axes.grid(visible=False)
    for axis, places in ((axes.xaxis, content.x), (axes.yaxis, content.y)):
        axis.set_major_locator(MaxNLocator("auto", integer=are_integers(places), steps=TICK_STEPS))
    axes.set_xlabel(_fill_width(content.head.x.label, width))
    _write_label(axes.yaxis, content.head.y)
    _write_title(axes, content.head.title, {}, "", width)
    scale = axes.figure.colorbar(image, cax=axes.inset_axes((1.03, 0.0, 0.04, 1.0)))
    _write_label(scale.ax.yaxis, content.value)
    _mark_powers(scale.ax.yaxis, content.value, content.ends)
    return [remark]


def _draw_curve(axes: Axes, series: PlotSeries, look: CurveLook) -> None:
    """Draw the finite part of one curve, with its band or its error bars."""
    y = np.where(np.isfinite(series.y), series.y, np.nan)
    if series.low is not None and series.high is not None and series.column.low:
        inside = np.isfinite(series.low) & np.isfinite(series.high)
        low, high = (np.where(inside, edge, np.nan) for edge in (series.low, series.high))
        axes.fill_between(series.x, low, high, color=look.color, alpha=0.2, linewidth=0)
    elif series.low is not None:
        both = np.isfinite(series.low) & np.isfinite(series.y)
        bars = np.where(both, y - np.where(both, series.low, 0.0), 0.0)
        axes.errorbar(series.x, y, bars, fmt="none", ecolor=look.color, elinewidth=1)
    if series.column.marks:
        axes.plot(series.x, y, "o", color=look.color, markerfacecolor=_choose_face(series, look))
    else:
        marker = "o" if np.isfinite(y).sum() == 1 else None  # a line through one point would not be seen
        axes.plot(series.x, y, marker=marker, linestyle=look.dashes, color=look.color)


def _find_infinite(series: PlotSeries, low: str, high: str) -> Iterator[tuple[NDArray[np.bool_], float, str]]:
    """Yield the places of −inf and of inf, each with the end of the axis that shows them and their mark."""
    for places, end, marker in ((np.isneginf(series.y), 0.0, low), (np.isposinf(series.y), 1.0, high)):
        if places.any():
            yield places, end, marker


def _draw_marks(
    axes: Axes, series: PlotSeries, look: CurveLook, at: tuple[Numbers, Numbers], marker: str, transform: Any
) -> None:
    """Draw small marks on the edge of the axes, hollow for a reference such as a bound."""
    axes.plot(
        *at, marker, color=look.color, markerfacecolor="none" if series.column.dashed else look.color,
        markersize=4, markeredgewidth=0.7, zorder=3, transform=transform, clip_on=False,
    )  # fmt: skip


def _choose_face(series: PlotSeries, look: CurveLook) -> Any:
    return "white" if series.column.dashed else look.color


def _choose_looks(series: Sequence[PlotSeries]) -> list[CurveLook]:
    """Return the look of each curve: shades in order for many curves, distinct colors for few."""
    things = list(dict.fromkeys(one.place for one in series))
    if len(things) > MAX_CURVES_IN_LEGEND:
        shades = colormaps[COLORMAP](np.linspace(0.0, 0.9, len(things)))
        looks = {thing: CurveLook(shade, "-") for thing, shade in zip(things, shades, strict=True)}
    else:
        looks = {
            thing: CurveLook(
                FIGURE_PALETTE[thing % len(FIGURE_PALETTE)],
                CURVE_DASHES[thing // len(FIGURE_PALETTE) % len(CURVE_DASHES)],
            )
            for thing in things
        }
    return [
        looks[one.place]._replace(dashes=REFERENCE_DASHES) if one.column.dashed else looks[one.place]
        for one in series
    ]


def _dash_hidden_curves(series: Sequence[PlotSeries], looks: Sequence[CurveLook]) -> list[CurveLook]:
    """Return looks in which a curve that would cover an earlier one has gaps, so that both are seen.

    More curves than a legend names are shades of a scale, and keep their looks.
    """
    if len(series) > 2 * MAX_CURVES_IN_LEGEND:  # a curve may have a reference beside it
        return list(looks)
    heights = [one.y[np.isfinite(one.y)] for one in series]
    reach = max((float(np.ptp(height)) for height in heights if len(height)), default=0.0)
    dashed: list[CurveLook] = []
    for k, (one, look) in enumerate(zip(series, looks, strict=True)):
        covered = sum(_is_close(one, other, MAX_HIDDEN_DISTANCE * reach) for other in series[:k])
        gaps = COVERING_DASHES[min(covered, len(COVERING_DASHES)) - 1] if covered else look.dashes
        dashed.append(look._replace(dashes=gaps) if not one.column.dashed else look)
    return dashed


def _is_close(one: PlotSeries, other: PlotSeries, distance: float) -> bool:
    """Return whether two lines run within a distance of each other at most of their points."""
    if one.column.marks or other.column.marks or other.column.dashed or not np.array_equal(one.x, other.x):
        return False
    with np.errstate(invalid="ignore"):
        near = np.abs(one.y - other.y) <= distance
    return bool(near.mean() >= MIN_HIDDEN_SHARE)


def _make_handles(
    series: Sequence[PlotSeries], looks: Sequence[CurveLook], *, marks: bool = False
) -> tuple[dict[str, Artist], str]:
    """Return the legend entries of curves by name, and an addition to the title if only some are named."""
    named = [(one, look) for one, look in zip(series, looks, strict=True) if one.label]
    solid = [(one, look) for one, look in named if not one.column.dashed]
    more = f" ({len(solid)} curves, three of them named)" if len(solid) > MAX_CURVES_IN_LEGEND else ""
    if more:
        beside = [(one, look) for one, look in named if one.column.dashed and one.place == solid[0][0].place]
        named = [solid[0], *beside, solid[len(solid) // 2], solid[-1]]
    return {one.label: _make_handle(one, look, marks) for one, look in named}, more


def _write_title(axes: Axes, title: str, handles: Mapping[str, Artist], more: str, width: float) -> None:
    """Write a title and below it a legend, for which empty lines of the title keep the space."""
    names = [wrap_name(name, _count_letters(width)) for name in handles]
    longest = max((len(line) for lines in names for line in lines), default=0)
    columns = max(1, min(len(names), int((width - MARGIN_WIDTH / 2) / (LETTER_WIDTH * (longest + 6)))))
    rows = -(-sum(map(len, names)) // columns)
    words = wrap_name(title + more, _count_letters(width))
    axes.set_title("\n".join(words) + "\n" * rows, loc="left", linespacing=1.3)
    if handles:
        legend = axes.legend(
            list(handles.values()), ["\n".join(lines) for lines in names], ncols=columns,
            loc="lower left", bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2, borderpad=0.2, labelspacing=0.3,
        )  # fmt: skip
        legend.set_in_layout(False)  # it may be wider than the axes


def _make_handle(series: PlotSeries, look: CurveLook, marks: bool) -> Line2D:
    """Return the legend entry of a curve."""
    if marks or series.column.marks:
        face = _choose_face(series, look)
        return Line2D([], [], marker="o", linestyle="", color=look.color, markerfacecolor=face)
    return Line2D([], [], linestyle=look.dashes, color=look.color)


def _write_label(axis: Axis, label: AxisLabel) -> None:
    """Write the label of a vertical axis, with formulas as matplotlib sets them."""
    spans = split_spans(label.label)
    if not any(formula for _, formula in spans):
        axis.set_label_text(fill(label.label, Y_LABEL_LETTERS))
        return
    parts = [f"${_write_formula(part)}$" if formula else part for part, formula in spans]
    axis.set_label_text("".join(parts)).set_parse_math(True)


def _write_formula(formula: str) -> str:
    """Return a formula in the notation of matplotlib, with its fractions on one line."""
    for letter, command in FORMULA_COMMANDS.items():
        formula = formula.replace(letter, command)
    return formula


def _mark_powers(axis: Axis, label: AxisLabel, ends: tuple[float, float]) -> None:
    """Give an axis of decimal logarithms ticks such as 10⁻²⁰, or 0.5, 1 and 2 where it has few decades."""
    if not label.log10:
        return
    low, high = min(ends), max(ends)
    if high - low >= MIN_POWER_DECADES:
        axis.set_major_locator(MaxNLocator("auto", integer=True, steps=TICK_STEPS))
        axis.set_major_formatter(FuncFormatter(_format_power))
        return
    first = math.floor(low)  # the decade that numbers are counted in: they may be far outside a double
    numbers = [10.0**decade * step for decade in range(math.ceil(high) - first + 1) for step in (1, 2, 5)]
    if sum(low <= first + math.log10(number) <= high for number in numbers) < MIN_NUMBER_TICKS:
        locator = MaxNLocator("auto", steps=TICK_STEPS)
        numbers = [*locator.tick_values(10.0 ** (low - first), 10.0 ** (high - first))]
    ticks = [first + math.log10(number) for number in numbers if number > 0]
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_major_formatter(FuncFormatter(_format_number))


def _format_power(value: float, _: int) -> str:
    """Return a whole power of ten, with its exponent in superscript."""
    return f"10{f'{value:.0f}'.replace('-', '−').translate(SUPERSCRIPT_DIGITS)}"


def _format_number(value: float, _: int) -> str:
    """Return 10**value as a number, or as a number times a power of ten."""
    decade = math.floor(value + TICK_ROUNDING)
    number = 10.0 ** (value - decade)
    if MIN_PLAIN_DECADE <= decade < MAX_PLAIN_DECADE:
        return f"{number * 10.0**decade:.6g}"
    return f"{number:.6g}·{_format_power(decade, 0)}"


def _place_level_names(
    levels: Mapping[float, str], ends: tuple[float, float]
) -> Iterator[tuple[float, str, float]]:
    """Yield each level on an axis, the highest first, with its name and the height of its name.

    A name stands at its level. Names without room there stand below each other, around their mean.
    """
    low, high = min(ends), max(ends)
    line = LEVEL_LINE_SHARE * (high - low)
    names = {level: fill(name, LEVEL_LETTERS) for level, name in levels.items() if low <= level <= high}
    sizes = {level: line * (name.count("\n") + 1) for level, name in names.items()}

    def find_ends(group: Sequence[float]) -> tuple[float, float]:
        size = sum(sizes[level] for level in group)
        top = min(sum(group) / len(group) + 0.5 * size, high + 0.5 * line)
        top = max(top, low - 0.5 * line + size)  # the names stay beside the axis
        return top - size, top

    groups: list[list[float]] = []
    for level in sorted(names, reverse=True):
        groups.append([level])
        while len(groups) > 1 and find_ends(groups[-2])[0] < find_ends(groups[-1])[1]:
            groups[-2:] = [groups[-2] + groups[-1]]
    for group in groups:
        top = find_ends(group)[1]
        for level in group:
            yield level, names[level], top - 0.5 * sizes[level]
            top -= sizes[level]


def _write_level_name(axes: Axes, level: float, name: str, height: float) -> None:
    """Write the name of a level beside the axes, in small gray letters, with a thin line if it is shifted."""
    at_level = math.isclose(level, height)
    gap = LEVEL_NAME_GAP if at_level else SHIFTED_NAME_GAP
    axes.annotate(
        name, (1.0, height), (gap, 0), ("axes fraction", "data"), "offset points",
        va="center", fontsize=6, color=DARK_GRAY, zorder=0.95,
    )  # fmt: skip
    if not at_level:
        edge = axes.get_yaxis_transform()
        beside = edge + ScaledTranslation((gap - 1) / 72, 0, axes.figure.dpi_scale_trans)
        axes.add_artist(
            ConnectionPatch((1.0, level), (1.0, height), edge, beside, color=DARK_GRAY, linewidth=0.5)
        )


def _fill_width(words: str, width: float) -> str:
    """Return text in lines that fit above or below the axes of a panel so many inches wide."""
    return fill(words, _count_letters(width))


def _count_letters(width: float) -> int:
    """Return the letters of a line above or below the axes of a panel so many inches wide."""
    return int((width - MARGIN_WIDTH) / LETTER_WIDTH)


def _compute_areas(sizes: Numbers) -> Numbers:
    """Return the areas of points in square points, from log₁₀ of their condition."""
    return np.asarray(10.0 + 7.0 * np.clip(sizes, 0.0, 17.0))


def _measure_edges(places: Numbers) -> tuple[float, float]:
    """Return the outer edges of the first and the last pixel."""
    half = 0.5 * (float(places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else 1.0)
    return float(places[0]) - half, float(places[-1]) + half
