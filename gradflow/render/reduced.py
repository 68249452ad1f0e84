"""What of curves, items and images can be seen; what was left out is said."""

import numpy as np

from gradflow.render.picture import ItemPanel, Numbers, Series
from gradflow.render.thinning import thinned


def enveloped(series: Series, most: int) -> tuple[Series, str]:
    """Return a curve with about ``most`` points, and a remark where points were left out.

    Of every stretch of neighbours the lowest and the highest are kept, also of the edges of a band, what is
    not finite where there is such, and both ends.

    Examples
    --------
    >>> from gradflow.drawing import Line
    >>> peak = np.where(np.arange(1000) == 333, 9.0, 0.0)
    >>> thin, remark = enveloped(Series("a", 0, np.arange(1000.0), peak, Line("y")), 20)
    >>> len(thin.x), float(thin.y.max()), remark
    (12, 9.0, 'a: 12 of 1000 points are drawn, of every stretch the lowest and the highest')
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
        kept.update(stretch[~np.isfinite(heights[0][stretch])][:1].tolist())  # a gap stays one
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
        f"{name}{len(places)} of {count} points are drawn, of every stretch the lowest and the highest",
    )


def whole(places: Numbers) -> bool:
    """Return whether all places are integers, between which no axis needs a mark."""
    return bool((places == np.round(places)).all())


def listed(content: ItemPanel, most: int) -> tuple[ItemPanel, str]:
    """Return items of which about ``most`` are left, and a remark where some were left out.

    The first, the last and the largest of each series are kept.
    """
    count = len(content.names)
    if count <= most:
        return content, ""
    places = thinned(count, most, [series.y.tolist() for series in content.series])
    series = [
        one._replace(
            x=np.arange(len(places), dtype=float),
            y=one.y[places],
            low=None if one.low is None else one.low[places],
            high=None if one.high is None else one.high[places],
        )
        for one in content.series
    ]
    thin = content._replace(names=[content.names[place] for place in places], series=series)
    return thin, f"{len(places)} of {count} items are drawn, the largest among them"


def pooled(values: Numbers, rows: int, columns: int) -> tuple[Numbers, str]:
    """Return an image of at most so many rows and columns, each cell the largest of those that it stands for.

    Examples
    --------
    >>> pooled(np.arange(16.0).reshape(4, 4), 2, 4)
    (array([[ 4.,  5.,  6.,  7.],
           [12., 13., 14., 15.]]), 'a cell is the largest of up to 2 by 1 values')
    """
    sides = []
    for axis, most in enumerate((rows, columns)):
        length = values.shape[axis]
        cells = min(length, most)
        starts = np.arange(cells) * length // cells
        sides.append(int(np.diff([*starts, length]).max()))
        if cells < length:
            values = np.fmax.reduceat(values, starts, axis=axis)
    remark = f"a cell is the largest of up to {sides[0]} by {sides[1]} values" if sides != [1, 1] else ""
    return values, remark
