"""A curve in one line of text."""

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*%#"
WIDTH = 20


def sparkline(
    values: Sequence[float], ends: tuple[float, float], *, unicode: bool = True, width: int = WIDTH
) -> str:
    """Return the curve of ``values`` at ``width`` places, lowest and highest mark at ``ends``.

    What is not finite from below (the logarithm of an exact 0) has the lowest mark.

    Examples
    --------
    >>> sparkline([0.0, 1.0, 2.0, 3.0], (0.0, 3.0), unicode=False, width=4)
    '_-*#'
    """
    marks = BLOCKS if unicode else ASCII
    low, high = ends
    count = min(width, len(values))
    places = [round(k * (len(values) - 1) / max(count - 1, 1)) for k in range(count)]
    return "".join(marks[_level(values[place], low, high, len(marks))] for place in places)


def _level(value: float, low: float, high: float, count: int) -> int:
    if not math.isfinite(value) or high <= low:
        return count - 1 if value == math.inf else 0
    return min(count - 1, max(0, int((value - low) / (high - low) * count)))
