"""Which rows of a long table are shown to a person."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence

CROSSING_TOLERANCE = 1e-9
# Which steps of a decade are listed: as many as fit, in this order of preference.
ROUND_STEPS = ((1, 2, 5), (1, 3), (1,), ())
MIN_CROSSING_ROWS = 2  # rows that the round steps leave to crossings


def choose_rows(
    count: int,
    rows: int | None,
    values: Sequence[Sequence[float]] = (),
    levels: Collection[float] = (),
    steps: Sequence[int] | None = None,
) -> list[int]:
    """Return the indices of the rows to show, in order: at most ``rows`` of ``count``, but not too few.

    They always include the first row, the last row and the peak of each sequence of ``values``. With
    ``steps``, the round steps 1, 2, 5, 10, 20, 50, ... come next. Then comes the first row past every
    crossing of a level, as many as there is room for: the first crossing of each level before later ones.
    In a table of few steps, or where more rows are asked for, further steps are spaced geometrically,
    because most changes happen early. Without ``steps`` the rows are spaced evenly.

    Parameters
    ----------
    count : int
        How many rows the table has.
    rows : int, optional
        How many rows to show; None for all.
    values : sequence of sequences of float
        The curves whose peaks and crossings are kept, ``count`` values each.
    levels : collection of float
        The levels whose crossings are kept.
    steps : sequence of int, optional
        The step of each row, in order.

    Examples
    --------
    >>> choose_rows(200, 12, [[*range(150), *range(50)]], levels=[48.5], steps=range(1, 201))
    [0, 1, 4, 9, 19, 49, 99, 149, 150, 199]
    >>> choose_rows(100, 5)
    [0, 25, 50, 74, 99]
    """
    if rows is None or count <= rows:
        return list(range(count))
    kept = {0, count - 1}
    kept.update(max(range(count), key=lambda place: (_rank(series[place]), -place)) for series in values)
    crossings = [list(_find_crossings(series, level)) for level in levels for series in values]
    if steps is not None:
        kept = _add_round_steps(kept, steps, rows - (MIN_CROSSING_ROWS if any(crossings) else 0))
    for turn in range(max(map(len, crossings), default=0)):
        for places in crossings:
            if turn < len(places) and len(kept) < rows:
                kept.add(places[turn])
    if steps is None:
        return _fill(kept, count, rows, lambda share: share)
    if 2 * len(kept) >= rows:
        return sorted(kept)
    return _fill(kept, count, rows, lambda share: (count - 1) ** share / (count - 1))


def _add_round_steps(kept: set[int], steps: Sequence[int], rows: int) -> set[int]:
    """Return the places that are kept, and those of as many round steps as fit into ``rows``."""
    for wanted in ROUND_STEPS:
        listed = kept | {place for place, step in enumerate(steps) if _is_round(step, wanted)}
        if len(listed) <= rows:
            break
    return listed


def _fill(kept: set[int], count: int, rows: int, spacing: Callable[[float], float]) -> list[int]:
    """Return the places that are kept, and others between them as ``spacing`` has them, at most ``rows``."""
    best = kept
    # Places coincide after rounding, so look for the finest spacing that still fits.
    for spaced in range(count):
        finer = kept | {round((count - 1) * spacing(k / (spaced + 1))) for k in range(1, spaced + 1)}
        if len(finer) > rows:
            break
        best = finer
    return sorted(best)


def _is_round(step: int, wanted: Collection[int]) -> bool:
    """Return whether a step is one of the ``wanted`` digits times a power of ten."""
    digits = str(step).rstrip("0")
    return len(digits) == 1 and int(digits) in wanted


def _find_crossings(series: Sequence[float], level: float) -> Iterator[int]:
    """Yield the first place past each crossing; values equal to the level up to rounding cross nothing."""
    above = series[0] > level + CROSSING_TOLERANCE
    for place, value in enumerate(series):
        if above != (value > level) and abs(value - level) > CROSSING_TOLERANCE:
            yield place
            above = not above


def _rank(value: float) -> float:
    return -math.inf if math.isnan(value) else value
