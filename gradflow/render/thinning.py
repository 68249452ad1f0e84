"""Which rows of a long table are shown to a person."""

import math
from collections.abc import Collection, Iterator, Sequence

CROSSING_TOLERANCE = 1e-9


def choose_rows(
    count: int, rows: int | None, values: Sequence[Sequence[float]] = (), levels: Collection[float] = ()
) -> list[int]:
    """Return the indices of the rows to show, in order: about ``rows`` of ``count``.

    They always include the first row, the last row, the peak of each sequence of ``values``, and the first
    row past every crossing of a level. The others are spaced geometrically: most changes happen early.

    Parameters
    ----------
    count : int
        How many rows the table has.
    rows : int, optional
        About how many rows to show; None for all.
    values : sequence of sequences of float
        The curves whose peaks and crossings are kept, ``count`` values each.
    levels : collection of float
        The levels whose crossings are kept.

    Examples
    --------
    >>> choose_rows(100, 8, [[*range(50), *range(50)]], levels=[48.5])
    [0, 3, 6, 16, 39, 49, 50, 99]
    """
    if rows is None or count <= rows:
        return list(range(count))
    kept = {0, count - 1}
    for series in values:
        kept.add(max(range(count), key=lambda place: (_rank(series[place]), -place)))
        for level in levels:
            kept.update(_find_crossings(series, level))
    best = kept
    # Early places coincide after rounding, so look for the finest spacing that still fits.
    for spaced in range(count):
        finer = kept | {round((count - 1) ** (k / (spaced + 1))) for k in range(1, spaced + 1)}
        if len(finer) > rows:
            break
        best = finer
    return sorted(best)


def _find_crossings(series: Sequence[float], level: float) -> Iterator[int]:
    """Yield the first place past each crossing; values equal to the level up to rounding cross nothing."""
    above = series[0] > level + CROSSING_TOLERANCE
    for place, value in enumerate(series):
        if above != (value > level) and abs(value - level) > CROSSING_TOLERANCE:
            yield place
            above = not above


def _rank(value: float) -> float:
    return -math.inf if math.isnan(value) else value
