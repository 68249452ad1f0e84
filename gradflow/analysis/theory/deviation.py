"""The distance of a measurement from its prediction, in standard errors."""

import math

# the smallest probability that a double holds, 5e-324, is that of 38.5 standard errors
MIN_TAIL = math.ulp(0.0)


def compute_deviation(difference: float, error: float, degrees_of_freedom: float) -> float:
    """Return the normal deviate that is as improbable as the difference.

    An error that comes from few draws is itself uncertain, so difference / error follows Student's t
    distribution (Student 1908). The result is the standard normal deviate with the same tail probability:
    beyond ±3 in 0.27 % of all cases, for any number of draws. It is at most ±38.5.

    Parameters
    ----------
    difference : float
        Measured − predicted.
    error : float
        Estimated standard error of the difference, over 0.
    degrees_of_freedom : float
        Those of the estimated error; inf if the error is known.

    Examples
    --------
    Three errors from two draws say little, from many draws much:

    >>> [round(compute_deviation(3.0, 1.0, degrees), 2) for degrees in (1, 9, 1e6)]
    [1.27, 2.43, 3.0]
    """
    from scipy.special import ndtri, stdtr  # here, because its import is slow

    ratio = difference / error
    tail = max(float(stdtr(degrees_of_freedom, -abs(ratio))), MIN_TAIL)
    return math.copysign(float(ndtri(tail)), ratio)
