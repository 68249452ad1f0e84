"""A curve drawn in one line of text."""

import math
from collections.abc import Sequence

SPARK_BLOCKS = "▁▂▃▄▅▆▇█"
SPARK_LETTERS = "_.-=+*%#"
SPARKLINE_WIDTH = 20


def draw_sparkline(
    values: Sequence[float], ends: tuple[float, float], *, unicode: bool = True, width: int = SPARKLINE_WIDTH
) -> str:
    """Return a curve as at most ``width`` marks, sampled evenly from ``values``.

    The lowest and the highest mark stand for the two ``ends``. -inf (the logarithm of an exact 0) and nan
    have the lowest mark.

    Examples
    --------
    >>> draw_sparkline([0.0, 1.0, 2.0, 3.0], (0.0, 3.0), unicode=False, width=4)
    '_-*#'
    """
    marks = SPARK_BLOCKS if unicode else SPARK_LETTERS
    low, high = ends
    count = min(width, len(values))
    places = [round(k * (len(values) - 1) / max(count - 1, 1)) for k in range(count)]
    return "".join(marks[_choose_mark(values[place], low, high, len(marks))] for place in places)


def _choose_mark(value: float, low: float, high: float, count: int) -> int:
    if not math.isfinite(value) or high <= low:
        return count - 1 if value == math.inf else 0
    return min(count - 1, max(0, int((value - low) / (high - low) * count)))
