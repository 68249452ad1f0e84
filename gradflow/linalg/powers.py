"""Powers of one matrix by scaled squaring: any exponent, never out of range."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gradflow.linalg.norms import frobenius_norm as norm
from gradflow.linalg.scaled import Scaled

# Up to here every step is computed; beyond, three tracks of squarings give ten steps a decade.
CONSECUTIVE = 1000
TRACKS = (1000, 1250, 1600)
ROUNDOFF = float(np.finfo(np.float64).eps) / 2


class Power(NamedTuple):
    """A power of a matrix, and how far rounding may have moved it.

    ``error`` bounds ‖computed − exact‖ / ‖exact‖ in the Frobenius norm to first order: each product
    adds n units of roundoff, and ‖A‖‖B‖/‖AB‖ magnifies what came before (Higham 2002, equation 3.13).
    """

    value: Scaled
    error: float = 0.0

    def __matmul__(self, other: "Power") -> "Power":
        product = self.value @ other.value
        size = math.ldexp(norm(product.array), product.exponent - self.value.exponent - other.value.exponent)
        growth = norm(self.value.array) * norm(other.value.array) / size if size else math.inf
        return Power(product, growth * (self.error + other.error + len(product.array) * ROUNDOFF))


def matrix_power(matrix: Scaled, steps: int) -> Power:
    """Return W^steps by repeated squaring: log₂ steps squarings and one product for each further set bit.

    Parameters
    ----------
    matrix : Scaled
        W, of shape (n, n).
    steps : int
        Exponent, 0 or more, of any size.

    Examples
    --------
    >>> fibonacci = matrix_power(Scaled(np.array([[1.0, 1.0], [1.0, 0.0]])), 10)
    >>> int(fibonacci.value.array[0, 1])
    55
    """
    if steps == 0:
        return Power(Scaled(np.eye(len(matrix.array), dtype=matrix.array.dtype)))
    square = Power(Scaled.of(matrix.array, matrix.exponent))
    while not steps & 1:
        square, steps = square @ square, steps >> 1
    result, steps = square, steps >> 1
    while steps:
        square = square @ square
        if steps & 1:
            result = result @ square
        steps >>= 1
    return result


def table_steps(steps: int) -> list[int]:
    """Return the exponents worth listing: each to 1000, then ten pairs a decade, and ``steps`` itself.

    Pairs of an even and an odd step, for the powers of some matrices alternate.

    Examples
    --------
    >>> table_steps(3), table_steps(2000)[-4:]
    ([0, 1, 2, 3], [1251, 1600, 1601, 2000])
    """
    beyond = [track << doubling for doubling in range(steps.bit_length()) for track in TRACKS]
    beyond += [k + 1 for k in beyond]
    return sorted({*range(min(steps, CONSECUTIVE) + 1), *(k for k in beyond if k <= steps), steps})


def successive_powers(matrix: Scaled, steps: Sequence[int]) -> Iterator[Scaled]:
    """Yield W^k for each k of increasing ``steps``: one by one to 1000, from there on by squaring.

    Squaring alone loses a transient: it keeps eps·‖W^(k/2)‖², which step by step is damped. So each power
    past 1000 grows from one of the last five hundred that were reached step by step.
    """
    wanted = set(steps)
    bases = {k >> _doublings(k) for k in steps if k > CONSECUTIVE}
    kept: dict[int, Scaled] = {}
    power = Scaled(np.eye(len(matrix.array), dtype=matrix.array.dtype))
    for k in range(min(steps[-1], CONSECUTIVE) + 1):
        if k:
            power = power @ matrix
        if k in bases:
            kept[k] = power
        if k in wanted:
            yield power
    reached = min(steps[-1], CONSECUTIVE)
    for k in steps:
        if k > CONSECUTIVE:
            half = kept.get(k // 2) if k % 2 == 0 else None
            if k == reached + 1:
                power = power @ matrix
            elif half:
                power = half @ half
            else:
                power = _climbed(kept, matrix, k)
            if 2 * k in wanted:
                kept[k] = power
            reached = k
            yield power


def _doublings(step: int) -> int:
    """Return how often ``step`` must be halved to be at most CONSECUTIVE."""
    doublings = 0
    while step >> doublings > CONSECUTIVE:
        doublings += 1
    return doublings


def _climbed(kept: dict[int, Scaled], matrix: Scaled, step: int) -> Scaled:
    """Return W^step from the power of its leading bits, bit by bit."""
    doublings = _doublings(step)
    power = kept[step >> doublings]
    for place in reversed(range(doublings)):
        power = power @ power
        if step >> place & 1:
            power = power @ matrix
    return power
