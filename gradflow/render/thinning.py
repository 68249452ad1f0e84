"""Which rows of a long table a person is shown."""

import math
from collections.abc import Sequence


def thinned(
    count: int, rows: int | None, values: Sequence[Sequence[float]] = (), levels: Sequence[float] = ()
) -> list[int]:
    """Return the places of the rows to show, in order: at most about ``rows`` of ``count``.

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
            kept.update(k for k in range(1, count) if (series[k] > level) != (series[k - 1] > level))
    if len(kept) > rows:  # a curve that crosses again and again: its first crossings say enough
        kept = {*sorted(kept)[: max(rows - 1, 1)], count - 1}
    # Rounding lets early places coincide, so the finest spacing that still fits is sought.
    for spaced in range(count):
        finer = kept | {round((count - 1) ** (k / (spaced + 1))) for k in range(1, spaced + 1)}
        if len(finer) > rows:
            break
        best = finer
    return sorted(best)


def _height(value: float) -> float:
    return -math.inf if math.isnan(value) else value
