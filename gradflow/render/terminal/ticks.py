"""Round numbers along an axis."""

import math
from collections.abc import Sequence

ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def choose_ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Return at most ``most`` round, evenly spaced numbers from low to high; integers if ``whole``.

    Examples
    --------
    >>> choose_ticks(-66.3, 0.2, 5), choose_ticks(1.0, 3.0, 9, whole=True)
    ([-60.0, -40.0, -20.0, 0.0], [1.0, 2.0, 3.0])
    """
    span = high - low
    if not span > 0 or most < 1:
        return [low] if most > 0 else []
    power = 10.0 ** math.floor(math.log10(span / most))
    steps = [power * scale * times for scale in (1.0, 10.0) for times in ROUND_STEPS]
    for step in steps:
        if whole and step != round(step):
            continue
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [k * step for k in range(first, last + 1)]
    return [low]


def label_ticks(values: Sequence[float]) -> list[str]:
    """Return numbers as text, with enough digits to distinguish them.

    Examples
    --------
    >>> label_ticks([0.0, 0.25, 0.5]), label_ticks([-5000.0, 0.0]), label_ticks([1e-9, 2e-9])
    (['0', '0.25', '0.5'], ['-5000', '0'], ['1e-09', '2e-09'])
    >>> label_ticks([1.0000001, 1.0000002])
    ['1.0000001', '1.0000002']
    """
    for digits in range(6, 17):
        names = [f"{value + 0.0:.{digits}g}" for value in values]
        if len(set(names)) == len(names):
            break
    return names
