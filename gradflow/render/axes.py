"""One panel of a picture on matplotlib's axes: curves, items, points of the complex plane, images."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gradflow.render.names import broken
from gradflow.render.picture import CurvePanel, ImagePanel, ItemPanel, Numbers, PlanePanel, Series
from gradflow.render.reduced import enveloped, listed, pooled, whole

# Okabe & Ito 2008, without the yellow that white paper swallows: colour-blind people tell them apart too.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))  # where there are more curves than colours
HELD_AGAINST = (0, (3, 1.5))
COLORS = "cividis"
GREY, PALE = "#666666", "#d4d4d4"
MOST_NAMED = 10  # curves that a legend names one by one
MOST_POINTS, MOST_PIXELS = 2000, 1000  # of a curve; of a side of an image
MOST_ITEMS = 60  # of a panel
NAME, NAME_SHARE = 60, 0.5  # letters of a line of their names, at most; of the width
UPRIGHT = 36  # letters of a line beside an axis
LEVEL = 17  # letters of a line of the name of a level
NOTE = 0.055  # of an axis: a line of the name of a level
LETTER = 0.06  # inches that a letter takes, about
BESIDE = 1.0  # inches beside the axes of a panel, about
STEPS = (1, 2, 5, 10)  # between the marks of an axis


class Look(NamedTuple):
    """The colour and the dashes of a curve."""

    color: Any
    dashes: Any


def draw_curves(axes: Axes, content: CurvePanel, width: float) -> list[str]:
    """Draw curves with their bands, bars and levels; return what was left out."""
    looks, remarks = _looks(content.series), []
    for series, look in zip(content.series, looks, strict=True):
        thin, remark = enveloped(series, MOST_POINTS)
        remarks.append(remark)
        _curve(axes, thin, look)
    integer = all(whole(series.x) for series in content.series)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=integer, steps=STEPS))
    axes.set_xlabel(_filled(content.panel.x.label, width))
    axes.set_ylabel(fill(content.panel.y.label, UPRIGHT))
    for series, look in zip(content.series, looks, strict=True):
        for places, end, marker in _infinite(series, "v", "^"):
            x = series.x[places]
            _mark(axes, series, look, (x, np.full(len(x), end)), marker, axes.get_xaxis_transform())
    for values, names in _levels(content.levels, axes.get_ylim()):
        for value in values:
            axes.axhline(value, color=GREY, linewidth=0.7, zorder=0.9)
        _note(axes, names, sum(values) / len(values))
    _titled(axes, content.panel.title, *_handles(content.series, looks), width)
    return remarks


def draw_items(axes: Axes, content: ItemPanel, width: float) -> list[str]:
    """Draw a mark for each item, on a bar from low to high where there is one; return what was left out.

    The axis holds 0, which an item is held against: a growth of none, a gradient that arrives whole.
    """
    content, remark = listed(content, MOST_ITEMS)
    looks = _looks(content.series)
    apart = 0.3 / len(content.series)  # several marks of one item lie one under the other
    for k, (series, look) in enumerate(zip(content.series, looks, strict=True)):
        places = series.x + apart * (2 * k - len(content.series) + 1)
        if series.low is not None and series.high is not None:
            axes.hlines(places, series.low, series.high, colors=look.color, linewidth=4, alpha=0.3)
        finite = np.where(np.isfinite(series.y), series.y, np.nan)
        axes.plot(finite, places, "o", color=look.color, markerfacecolor=_face(series, look))
        for infinite, end, marker in _infinite(series, "<", ">"):
            y = places[infinite]
            _mark(axes, series, look, (np.full(len(y), end), y), marker, axes.get_yaxis_transform())
    names = named(content, width)
    axes.set_yticks(range(len(names)), ["\n".join(lines) for lines in names])
    axes.set_ylim(len(content.names) - 0.5, -0.5)
    axes.update_datalim([(0.0, 0.0)], updatey=False)
    axes.margins(x=0.08)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=STEPS))
    width -= LETTER * max(len(line) for lines in names for line in lines) - BESIDE / 2
    axes.set_xlabel(_filled(content.panel.y.label, width))
    handles, more = _handles(content.series, looks, marks=True)
    low, high = axes.get_xlim()
    for level, name in content.levels.items():
        if low <= level <= high:
            line = axes.axvline(level, color=GREY, linewidth=0.7, zorder=0.9)
            handles[f"{name} ({level:g})"] = Line2D([], [], color=GREY, linewidth=line.get_linewidth())
    _titled(axes, content.panel.title, handles, more, width)
    return [remark]


def named(content: ItemPanel, width: float) -> list[list[str]]:
    """Return the lines of the name of each item, beside a panel so many inches wide."""
    return [broken(name, min(NAME, int(NAME_SHARE * width / LETTER))) for name in content.names]


def draw_plane(axes: Axes, content: PlanePanel, width: float) -> list[str]:
    """Draw points beside the unit circle: the worse their condition the larger, defective ones as crosses."""
    axes.add_patch(Circle((0, 0), 1, fill=False, color=GREY, linewidth=0.9))
    axes.axhline(0, color=PALE, linewidth=0.7, zorder=0.5)
    axes.axvline(0, color=PALE, linewidth=0.7, zorder=0.5)
    good = np.isfinite(content.sizes)
    point: dict[str, Any] = {"color": PALETTE[0], "alpha": 0.6, "linewidths": 0}
    axes.scatter(content.re[good], content.im[good], _area(content.sizes[good]), **point)
    axes.plot(content.re[~good], content.im[~good], "x", color=PALETTE[1], markersize=7)
    axes.set_aspect("equal", "datalim")
    axes.set_xlabel(content.panel.x.label)
    axes.set_ylabel(content.panel.y.label)
    shown = np.unique(np.round(np.quantile(content.sizes[good], (0, 0.5, 1)))) if good.any() else np.empty(0)
    handles: dict[str, Artist] = {
        f"condition {10.0**size:g}": axes.scatter([], [], _area(np.array([size])), **point) for size in shown
    }
    if not good.all():
        handles["defective"] = Line2D([], [], marker="x", linestyle="", color=PALETTE[1])
    _titled(axes, content.panel.title, handles, "", width)
    return []


def draw_image(axes: Axes, content: ImagePanel, width: float) -> list[str]:
    """Draw values as colours: −inf (an exact 0) in grey, inf in vermilion, what there is not in white."""
    values, remark = pooled(content.values, MOST_PIXELS, MOST_PIXELS)
    low, high = content.ends
    span = high - low or 1.0
    image = axes.imshow(
        np.nan_to_num(values, nan=np.nan, neginf=low - span, posinf=low + 2.0 * span),
        cmap=colormaps[COLORS].with_extremes(under=PALE, over=PALETTE[1], bad="white"),
        norm=Normalize(low, low + span),
        origin="lower",
        extent=(*_edges(content.x), *_edges(content.y)),
        aspect="auto",
        interpolation="nearest",
    )
    axes.grid(visible=False)
    for axis, places in ((axes.xaxis, content.x), (axes.yaxis, content.y)):
        axis.set_major_locator(MaxNLocator("auto", integer=whole(places), steps=STEPS))
    axes.set_xlabel(_filled(content.panel.x.label, width))
    axes.set_ylabel(fill(content.panel.y.label, UPRIGHT))
    _titled(axes, content.panel.title, {}, "", width)
    scale = axes.figure.colorbar(image, cax=axes.inset_axes((1.03, 0.0, 0.04, 1.0)))
    scale.set_label(fill(content.value.label, UPRIGHT))
    return [remark]


def _curve(axes: Axes, series: Series, look: Look) -> None:
    """Draw one curve where it is finite, with its band, or its bars where it has an error."""
    y = np.where(np.isfinite(series.y), series.y, np.nan)
    if series.low is not None and series.high is not None and series.line.low:
        inside = np.isfinite(series.low) & np.isfinite(series.high)
        low, high = (np.where(inside, edge, np.nan) for edge in (series.low, series.high))
        axes.fill_between(series.x, low, high, color=look.color, alpha=0.2, linewidth=0)
    elif series.low is not None:
        bars = np.where(np.isfinite(series.low), series.y - series.low, 0.0)
        axes.errorbar(series.x, y, bars, fmt="none", ecolor=look.color, elinewidth=1)
    if series.line.marks:
        axes.plot(series.x, y, "o", color=look.color, markerfacecolor=_face(series, look))
    else:
        marker = "o" if np.isfinite(y).sum() == 1 else None  # of one point no line is seen
        axes.plot(series.x, y, marker=marker, linestyle=look.dashes, color=look.color)


def _infinite(series: Series, low: str, high: str) -> Iterator[tuple[NDArray[np.bool_], float, str]]:
    """Yield what no axis can hold, the end at which it is marked, and the mark: −inf, then inf."""
    for places, end, marker in ((np.isneginf(series.y), 0.0, low), (np.isposinf(series.y), 1.0, high)):
        if places.any():
            yield places, end, marker


def _mark(
    axes: Axes, series: Series, look: Look, at: tuple[Numbers, Numbers], marker: str, transform: Any
) -> None:
    """Write small marks on the edge of the axes, hollow for what others are held against."""
    axes.plot(
        *at, marker, color=look.color, markerfacecolor="none" if series.line.dashed else look.color,
        markersize=4, markeredgewidth=0.7, zorder=3, transform=transform, clip_on=False,
    )  # fmt: skip


def _face(series: Series, look: Look) -> Any:
    return "white" if series.line.dashed else look.color


def _looks(series: Sequence[Series]) -> list[Look]:
    """Return what each curve looks like: of many by their order, of few by the thing that they show."""
    things = list(dict.fromkeys(one.place for one in series))
    if len(things) > MOST_NAMED:
        shades = colormaps[COLORS](np.linspace(0.0, 0.9, len(things)))
        looks = {thing: Look(shade, "-") for thing, shade in zip(things, shades, strict=True)}
    else:
        looks = {
            thing: Look(PALETTE[thing % len(PALETTE)], DASHES[thing // len(PALETTE) % len(DASHES)])
            for thing in things
        }
    return [
        looks[one.place]._replace(dashes=HELD_AGAINST) if one.line.dashed else looks[one.place]
        for one in series
    ]


def _handles(
    series: Sequence[Series], looks: Sequence[Look], *, marks: bool = False
) -> tuple[dict[str, Artist], str]:
    """Return what curves look like by their names, and what the title says where only some are named."""
    named = [(one, look) for one, look in zip(series, looks, strict=True) if one.label]
    solid = [(one, look) for one, look in named if not one.line.dashed]
    more = f" ({len(solid)} curves, three of them named)" if len(solid) > MOST_NAMED else ""
    if more:
        beside = [(one, look) for one, look in named if one.line.dashed and one.place == solid[0][0].place]
        named = [solid[0], *beside, solid[len(solid) // 2], solid[-1]]
    return {one.label: _handle(one, look, marks) for one, look in named}, more


def _titled(axes: Axes, title: str, handles: Mapping[str, Artist], more: str, width: float) -> None:
    """Write a title, and under it a legend in the room that empty lines of the title keep for it."""
    names = [broken(name, int((width - BESIDE) / LETTER)) for name in handles]
    longest = max((len(line) for lines in names for line in lines), default=0)
    columns = max(1, min(len(names), int((width - BESIDE / 2) / (LETTER * (longest + 6)))))
    rows = -(-sum(map(len, names)) // columns)
    axes.set_title(_filled(title + more, width) + "\n" * rows, loc="left", linespacing=1.3)
    if handles:
        legend = axes.legend(
            list(handles.values()), ["\n".join(lines) for lines in names], ncols=columns,
            loc="lower left", bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2, borderpad=0.2, labelspacing=0.3,
        )  # fmt: skip
        legend.set_in_layout(False)  # may be wider than the axes


def _handle(series: Series, look: Look, marks: bool) -> Line2D:
    """Return what a curve looks like in the legend."""
    if marks or series.line.marks:
        face = _face(series, look)
        return Line2D([], [], marker="o", linestyle="", color=look.color, markerfacecolor=face)
    return Line2D([], [], linestyle=look.dashes, color=look.color)


def _levels(levels: Mapping[float, str], ends: tuple[float, float]) -> Iterator[tuple[list[float], str]]:
    """Yield the levels that lie on an axis, from the highest, and their names; close ones together."""
    low, high = min(ends), max(ends)
    names = {level: fill(name, LEVEL) for level, name in levels.items() if low <= level <= high}

    def room(group: Sequence[float]) -> tuple[float, float]:
        half = 0.5 * NOTE * (high - low) * sum(names[level].count("\n") + 1 for level in group)
        return sum(group) / len(group) - half, sum(group) / len(group) + half

    groups: list[list[float]] = []
    for level in sorted(names, reverse=True):
        groups.append([level])
        while len(groups) > 1 and room(groups[-2])[0] < room(groups[-1])[1]:
            groups[-2:] = [groups[-2] + groups[-1]]
    for group in groups:
        yield group, "\n".join(names[level] for level in group)


def _note(axes: Axes, words: str, height: float) -> None:
    """Write small grey words beside the axes."""
    axes.annotate(
        words, (1.0, height), (3, 0), ("axes fraction", "data"), "offset points",
        va="center", fontsize=6, color=GREY, zorder=0.95,
    )  # fmt: skip


def _filled(words: str, width: float) -> str:
    """Return words in lines that fit over axes, or under them, of a panel so many inches wide."""
    return fill(words, int((width - BESIDE) / LETTER))


def _area(sizes: Numbers) -> Numbers:
    """Return the areas of points, in square points, for log₁₀ of a condition."""
    return np.asarray(10.0 + 7.0 * np.clip(sizes, 0.0, 17.0))


def _edges(places: Numbers) -> tuple[float, float]:
    """Return where the cells at the first and the last place end."""
    half = 0.5 * (float(places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else 1.0)
    return float(places[0]) - half, float(places[-1]) + half
