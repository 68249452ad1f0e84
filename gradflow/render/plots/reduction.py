"""Fewer points, items and pixels for a picture, each with a remark on what was left out."""

import numpy as np

from gradflow.render.plots.panels import ItemPanel, Numbers, PlotSeries
from gradflow.render.thinning import choose_rows


def thin_curve(series: PlotSeries, most: int) -> tuple[PlotSeries, str]:
    """Return a curve with about ``most`` points, and a remark if points were left out.

    The curve keeps both ends, and the lowest, the highest and one non-finite point of every stretch of
    neighboring points. The edges of a band keep their lowest and highest points, too.

    Examples
    --------
    >>> from gradflow.drawing import DrawnColumn
    >>> peak = np.where(np.arange(1000) == 333, 9.0, 0.0)
    >>> thin, remark = thin_curve(PlotSeries("a", 0, np.arange(1000.0), peak, DrawnColumn("y")), 20)
    >>> len(thin.x), float(thin.y.max()), remark
    (12, 9.0, 'a: 12 of 1000 points are drawn, the lowest and highest of every stretch')
    """
    count = len(series.y)
    if count <= most:
        return series, ""
    order = np.argsort(series.x, kind="stable")
    heights = [part[order] for part in (series.y, series.low, series.high) if part is not None]
    kept = {0, count - 1}
    for stretch in np.array_split(np.arange(count), max(most // (2 * len(heights)), 1)):
        for part in heights:
            finite = stretch[np.isfinite(part[stretch])]
            if len(finite):
                kept |= {int(finite[part[finite].argmin()]), int(finite[part[finite].argmax()])}
        kept.update(stretch[~np.isfinite(heights[0][stretch])][:1].tolist())  # a gap stays a gap
    places = order[sorted(kept)]
    thin = series._replace(
        x=series.x[places],
        y=series.y[places],
        low=None if series.low is None else series.low[places],
        high=None if series.high is None else series.high[places],
    )
    name = f"{series.label}: " if series.label else ""
    return (
        thin,
        f"{name}{len(places)} of {count} points are drawn, the lowest and highest of every stretch",
    )


def are_integers(places: Numbers) -> bool:
    """Return whether all places are integers, so that an axis needs no ticks in between."""
    return bool((places == np.round(places)).all())


def thin_items(content: ItemPanel, most: int) -> tuple[ItemPanel, str]:
    """Return about ``most`` items, and a remark if some were left out.

    The first item, the last item and the largest item of each series are kept.
    """
    count = len(content.names)
    if count <= most:
        return content, ""
    places = choose_rows(count, most, [series.y.tolist() for series in content.series])
    series = [
        one._replace(
            x=np.arange(len(places), dtype=float),
            y=one.y[places],
            low=None if one.low is None else one.low[places],
            high=None if one.high is None else one.high[places],
        )
        for one in content.series
    ]
    groups = [content.groups[place] for place in places] if content.groups else []
    thin = content._replace(names=[content.names[place] for place in places], series=series, groups=groups)
    return thin, f"{len(places)} of {count} items are drawn, the largest among them"


def pool_image(values: Numbers, rows: int, columns: int) -> tuple[Numbers, str]:
    """Return an image of at most so many rows and columns; a pixel is the largest of the values it replaces.

    Examples
    --------
    >>> pool_image(np.arange(16.0).reshape(4, 4), 2, 4)
    (array([[ 4.,  5.,  6.,  7.],
           [12., 13., 14., 15.]]), 'a pixel is the largest of up to 2 by 1 values')
    """
    sides = []
    for axis, most in enumerate((rows, columns)):
        length = values.shape[axis]
        pixels = min(length, most)
        starts = np.arange(pixels) * length // pixels
        sides.append(int(np.diff([*starts, length]).max()))
        if pixels < length:
            values = np.fmax.reduceat(values, starts, axis=axis)
    remark = f"a pixel is the largest of up to {sides[0]} by {sides[1]} values" if sides != [1, 1] else ""
    return values, remark
