"""What a spectrum of Lyapunov exponents, the largest first, says of the set that the state goes round on."""

import math
from collections.abc import Sequence

EXPONENT_SUM_ROUNDING = 1e-12  # of a sum of exponents


def kaplan_yorke(exponents: Sequence[float], size: int) -> float | None:
    """Return D = j + (λ_1 + … + λ_j)/|λ_{j+1}|, j the most for which that sum is not negative.

    Kaplan & Yorke 1979; 0 for a fixed point, n where all volumes grow, None where more of the n exponents are
    needed than are given.

    Examples
    --------
    >>> round(kaplan_yorke([0.906, 0.0, -14.572], 3), 3)
    2.062
    """
    total = 0.0
    for place, exponent in enumerate(exponents):
        if total + exponent < -EXPONENT_SUM_ROUNDING:
            return place + total / -exponent
        total += exponent
    return float(size) if len(exponents) == size else None


def entropy_rate(exponents: Sequence[float], size: int) -> float | None:
    """Return the sum of the positive exponents, in nats per step; None where some may not have been given.

    The rate at which the system makes information is at most that (Ruelle 1978), and just that for a smooth
    invariant measure (Pesin 1977).

    Examples
    --------
    >>> round(entropy_rate([0.906, 0.0, -14.572], 3), 3)
    0.906
    """
    if len(exponents) < size and exponents[-1] > 0:
        return None
    return math.fsum(exponent for exponent in exponents if exponent > 0)
