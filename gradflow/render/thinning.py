"""Which rows of a long table a person is shown."""

import math
from collections.abc import Collection, Iterator, Sequence

ROUNDING = 1e-9


def thinned(
    count: int, rows: int | None, values: Sequence[Sequence[float]] = (), levels: Collection[float] = ()
) -> list[int]:
    """Return the places of the rows to show, in order: about ``rows`` of ``count``.

    Always among them: the first, the last, the peak of each sequence of ``values`` (each ``count`` long) and
    the first row past every crossing of a level. The rest are spaced geometrically, for most happens early.

    Parameters
    ----------
    rows : int, optional
        None for all.

    Examples
    --------
    >>> thinned(100, 8, [[*range(50), *range(50)]], levels=[48.5])
    [0, 3, 6, 16, 39, 49, 50, 99]
    """
    if rows is None or count <= rows:
        return list(range(count))
    kept = {0, count - 1}
    for series in values:
        kept.add(max(range(count), key=lambda place: (_height(series[place]), -place)))
        for level in levels:
            kept.update(_crossings(series, level))
    best = kept
    # Rounding lets early places coincide, so the finest spacing that still fits is sought.
    for spaced in range(count):
        finer = kept | {round((count - 1) ** (k / (spaced + 1))) for k in range(1, spaced + 1)}
        if len(finer) > rows:
            break
        best = finer
    return sorted(best)


def _crossings(series: Sequence[float], level: float) -> Iterator[int]:
    """Yield the first place past each crossing; what stays about the level, to rounding, crosses nothing."""
    above = series[0] > level + ROUNDING
    for place, value in enumerate(series):
        if above != (value > level) and abs(value - level) > ROUNDING:
            yield place
            above = not above


def _height(value: float) -> float:
    return -math.inf if math.isnan(value) else value
