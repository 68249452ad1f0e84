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
    """Return the exponents worth listing up to ``steps``: each to 1000, then ten a decade, and ``steps``.

    Examples
    --------
    >>> table_steps(3), table_steps(2000)[-4:]
    ([0, 1, 2, 3], [1000, 1250, 1600, 2000])
    """
    beyond = (track << doubling for doubling in range(steps.bit_length()) for track in TRACKS)
    return sorted({*range(min(steps, CONSECUTIVE) + 1), *(k for k in beyond if k <= steps), steps})


def successive_powers(matrix: Scaled, steps: Sequence[int]) -> Iterator[Scaled]:
    """Yield W^k for each k of increasing ``steps``, each from the ones before where one product does it.

    The last one always comes from `matrix_power`, so that it is bit for bit what `matrix_power` returns.
    """
    wanted, previous, last = set(steps), -1, steps[-1]
    kept: dict[int, Scaled] = {}
    power = Scaled(matrix.array)
    for k in steps:
        if k == previous + 1 and k > 1 and k != last:
            power = power @ matrix
        elif k % 2 == 0 and k // 2 in kept and k != last:
            half = kept.pop(k // 2)
            power = half @ half
        else:
            power = matrix_power(matrix, k).value
        if k > CONSECUTIVE // 2 and 2 * k in wanted:
            kept[k] = power
        previous = k
        yield power
