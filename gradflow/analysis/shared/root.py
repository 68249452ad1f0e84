"""The root of a function between two points.

`scipy.optimize.brentq` takes the same steps, but to load `scipy.optimize` takes four times as long as to load
numpy, and a search for a root is often all that a command needs of it.
"""

import math
from collections.abc import Callable

ROOT_TOLERANCE = 4.0 * math.ulp(1.0)  # relative, the smallest that rounding allows


def find_root(
    function: Callable[[float], float],
    one: float,
    other: float,
    *,
    tolerance: float,
    relative_tolerance: float = ROOT_TOLERANCE,
    steps: int = 100,
) -> float:
    """Return a root of a continuous function that has different signs at two points.

    Steps are inverse quadratic interpolation or secants where these come nearer fast enough, and bisection
    otherwise, so that the root stays enclosed (Brent 1973, chapter 4).

    Parameters
    ----------
    function : callable
        f(x).
    one, other : float
        The ends of the interval, in either order.
    tolerance, relative_tolerance : float
        The search ends once the enclosing interval is shorter than tolerance + relative_tolerance·|x|.
    steps : int
        The largest number of steps, after which the best point so far is returned.

    Raises
    ------
    ValueError
        If the signs at the ends are equal.

    Examples
    --------
    >>> round(find_root(lambda x: x * x - 2.0, 0.0, 2.0, tolerance=1e-12), 9)
    1.414213562
    """
    last, here = one, other
    f_last, f_here = function(last), function(here)
    if f_last == 0.0:
        return last
    if f_here == 0.0:
        return here
    if (f_last < 0.0) == (f_here < 0.0):
        raise ValueError(f"f has the same sign at {one!r} and {other!r}; expected a root in between")
    across, f_across = last, f_last  # the end of the enclosing interval on the other side of the root
    step_before = step = here - last
    for _ in range(steps):
        if f_last != 0.0 and f_here != 0.0 and (f_last < 0.0) != (f_here < 0.0):
            across, f_across = last, f_last
            step_before = step = here - last
        if abs(f_across) < abs(f_here):
            last, here, across = here, across, here
            f_last, f_here, f_across = f_here, f_across, f_here
        least = (tolerance + relative_tolerance * abs(here)) / 2.0
        half = (across - here) / 2.0
        if f_here == 0.0 or abs(half) < least:
            return here
        tried = math.inf
        if abs(step_before) > least and abs(f_here) < abs(f_last):
            if last == across:
                tried = -f_here * (here - last) / (f_here - f_last)
            else:
                slope = (f_last - f_here) / (last - here)
                slope_across = (f_across - f_here) / (across - here)
                bend = slope_across * slope * (f_across - f_last)
                if bend:
                    tried = -f_here * (f_across * slope_across - f_last * slope) / bend
        if 2.0 * abs(tried) < min(abs(step_before), 3.0 * abs(half) - least):
            step_before, step = step, tried
        else:
            step_before = step = half
        last, f_last = here, f_here
        here += step if abs(step) > least else math.copysign(least, half)
        f_here = function(here)
    return here
