"""Powers of one matrix by scaled squaring: any exponent, always in range, with bounded rounding."""

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import matmul
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.enclosure import SUM_ERROR_UNITS
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.grading import MAX_SPREAD_BITS, exponent_spread, regrade
from gradflow.linalg.norms import frobenius_norm, spectral_norm
from gradflow.linalg.scaled import Scaled, ScaledNumber, number

# Every step is computed up to here. Beyond, three tracks of squarings give ten steps per decade.
LAST_CONSECUTIVE_STEP = 1000
SQUARING_TRACKS = (1000, 1250, 1600)
LOG2_SMALLEST_DOUBLE = -1074  # the smallest double
MIN_WHOLE_EXPONENT = -960  # of an entry whose terms underflow by far less than its rounding
RETRY_BITS = 32  # growth of the spread of the entries after which another grading is tried
MAX_TOLERATED_SPREAD_BITS = 700  # a product with a matrix of `MAX_SPREAD_BITS` is then still in range


class Power(NamedTuple):
    """A power of a matrix, and a bound of its rounding.

    ``error`` bounds ‖computed − exact‖ / ‖exact‖ in the Frobenius norm to first order. Each product adds n
    units of roundoff, and ‖A‖‖B‖/‖AB‖ magnifies earlier errors (Higham 2002, equation 3.13). It is inf if
    rows and columns had to be graded again, because it holds in one grading only.
    """

    value: Scaled
    error: float = 0.0

    def __matmul__(self, other: "Power") -> "Power":
        left, right = self.value, other.value.with_grading(self.value.grading)
        product = left @ right
        graded = regrade(product)
        if graded is not product or right is not other.value:
            return Power(graded, math.inf)
        size = math.ldexp(frobenius_norm(product.array), product.exponent - left.exponent - right.exponent)
        growth = frobenius_norm(left.array) * frobenius_norm(right.array) / size if size else math.inf
        return Power(product, growth * (self.error + other.error + len(product.array) * DOUBLE_EPS / 2))


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
    return PowerTable(matrix).compute(steps)


class PowerTable:
    """Powers of one matrix, for several exponents: the squares W, W², W⁴, … are computed once and kept."""

    def __init__(self, matrix: Scaled) -> None:
        self._squares = [Power(Scaled.of(matrix.array, matrix.exponent, matrix.grading))]

    def compute(self, steps: int) -> Power:
        """Return W^steps, as `matrix_power` does."""
        steps = int(steps)  # integers of numpy have no bit_length
        while len(self._squares) < steps.bit_length():
            self._squares.append(self._squares[-1] @ self._squares[-1])
        factors = [square for place, square in enumerate(self._squares) if steps >> place & 1]
        if not factors:
            first = self._squares[0].value.array
            return Power(Scaled(np.eye(len(first), dtype=first.dtype)))
        return reduce(matmul, factors)


def log2_largest_walks(matrix: NDArray[Any], steps: int) -> NDArray[np.float64]:
    """Return log₂ of the largest product of ``steps`` moduli along a walk from i to j, shape (n, n).

    It is −inf if there is no walk: that entry of Wⁿ is 0 whatever the others are. Otherwise it tells how
    large the terms of the entry are, which may still cancel. It is the power with max and + in place of + and
    ×.

    Examples
    --------
    >>> log2_largest_walks(np.array([[1.0, 1.0], [0.0, 0.5]]), 3).tolist()
    [[0.0, 0.0], [-inf, -3.0]]
    """
    with np.errstate(divide="ignore"):
        square = np.log2(np.abs(matrix))
    result = np.where(np.eye(len(matrix), dtype=bool), 0.0, -np.inf)
    while steps:
        if steps & 1:
            result = _join_walks(result, square)
        square, steps = _join_walks(square, square), steps >> 1
    return result


def _join_walks(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([(row[:, None] + second).max(axis=0) for row in first])


def table_steps(steps: int) -> list[int]:
    """Return the exponents to list: each to 1000, then ten pairs per decade, and ``steps`` itself.

    Each pair has an even and an odd step, because the powers of some matrices alternate.

    Examples
    --------
    >>> table_steps(3), table_steps(2000)[-4:]
    ([0, 1, 2, 3], [1251, 1600, 1601, 2000])
    """
    beyond = [track << doubling for doubling in range(steps.bit_length()) for track in SQUARING_TRACKS]
    beyond += [k + 1 for k in beyond]
    return sorted({*range(min(steps, LAST_CONSECUTIVE_STEP) + 1), *(k for k in beyond if k <= steps), steps})


class TrackedPower(NamedTuple):
    """A power of a matrix with its norms, and bounds of its distance from the exact power.

    ``log2_error`` is log₂ of a bound of ‖computed − exact‖₂, −inf if the power is exact. ``log2_underflow``
    is log₂ of the part of it that comes from underflow.
    """

    value: Scaled
    norm: ScaledNumber  # ‖Wᵏ‖₂
    log2_size: float  # log₂ ‖Wᵏ‖_F
    log2_error: float
    log2_underflow: float

    @property
    def log2_norm(self) -> float:
        """log₂ ‖Wᵏ‖₂."""
        return self.norm.log2()

    @classmethod
    def measure(cls, value: Scaled, log2_error: float, log2_underflow: float) -> "TrackedPower":
        """Return a power with its measured norms."""
        plain = value.with_grading(None)
        log2_size = number(frobenius_norm(plain.array), plain.exponent).log2()
        return cls(value, spectral_norm(plain), log2_size, log2_error, log2_underflow)

    @property
    def log2_upper_norm(self) -> float:
        """log₂ of an upper bound of the norm of the exact power."""
        return float(np.logaddexp2(self.log2_norm, self.log2_error))

    def times(self, other: "TrackedPower") -> "TrackedPower":
        """Return the product. Its error is ‖E_A‖‖B‖ + ‖A‖‖E_B‖ + ‖E_A‖‖E_B‖ plus its own rounding."""
        value, lost = _multiply_powers(self, other)
        underflow = np.logaddexp2.reduce(
            [lost, self.log2_underflow + other.log2_upper_norm, self.log2_norm + other.log2_underflow]
        )
        parts = (
            self.log2_error + other.log2_upper_norm,
            self.log2_norm + other.log2_error,
            self.log2_size + other.log2_size + log2_rounding_unit(value),
            lost,
        )
        return TrackedPower.measure(value, float(np.logaddexp2.reduce(parts)), float(underflow))


def _multiply_powers(
    left: TrackedPower, right: TrackedPower, max_spread: int = MAX_SPREAD_BITS
) -> tuple[Scaled, float]:
    """Return the product, graded again, and log₂ of a bound of the underflow in it, ‖·‖₂.

    Underflow changes an entry of an array by up to the smallest double, and a grading may magnify that.
    """
    factor = right.value.with_grading(left.value.grading)
    product = left.value @ factor
    graded = regrade(product, max_spread)
    shift = product.exponent - left.value.exponent - factor.exponent  # by which the product was scaled
    # the usual case, looked at in the cheapest way: no entry is, or was before the scaling, near underflow
    limit = math.ldexp(1.0, min(max(MIN_WHOLE_EXPONENT - min(shift, 0), -1000), 1000))
    parts = []
    if graded is not product or float(np.abs(product.array).min()) < limit:
        places = [(product, _is_small(product, shift), shift), (product, _is_small(product), 0)]
        if graded is not product:
            places.append((graded, _is_small(graded), 0))
        reached = (left.value.array != 0).astype(np.float32) @ (right.value.array != 0).astype(np.float32) > 0
        parts = [_log2_underflow(matrix, small & reached, shift) for matrix, small, shift in places]
    if factor is not right.value:
        lost = _log2_underflow(factor, _is_small(factor) & (right.value.array != 0))
        parts.append(left.log2_norm + lost)
    return graded, float(np.logaddexp2.reduce(parts, initial=-np.inf))


def _is_small(matrix: Scaled, shift: int = 0) -> NDArray[np.bool_]:
    """Return where an entry of the array is so small, now or at 2^−shift of it, that digits may be lost."""
    small = np.frexp(np.abs(matrix.array))[1] + shift < MIN_WHOLE_EXPONENT
    return np.asarray(small | (matrix.array == 0))


def _log2_underflow(matrix: Scaled, lost: NDArray[np.bool_], shift: int = 0) -> float:
    """Return log₂ of a bound of ‖·‖_F of the underflow, which may be where ``lost`` (n, n) is true."""
    if not lost.any():
        return -math.inf
    grading = np.zeros(len(lost), np.int64) if matrix.grading is None else matrix.grading
    largest = int((grading[:, None] - grading)[lost].max())
    return LOG2_SMALLEST_DOUBLE + 2 * math.log2(len(lost)) + matrix.exponent - shift + largest


def log2_rounding_unit(matrix: Scaled) -> float:
    """Return log₂ of the rounding of a product A B, in units of ‖A‖_F ‖B‖_F."""
    return math.log2(SUM_ERROR_UNITS * math.sqrt(len(matrix.array)) * DOUBLE_EPS)


def successive_powers(matrix: Scaled, steps: Sequence[int]) -> Iterator[TrackedPower]:
    """Yield W^k for each k of increasing ``steps``: one by one to 1000, and by squaring beyond.

    Squaring alone loses a transient: it keeps an error of eps·‖W^(k/2)‖², which single steps would damp. So
    each power beyond 1000 starts from one of the last five hundred that were reached step by step.
    """
    wanted = set(steps)
    bases = {k >> _count_doublings(k) for k in steps if k > LAST_CONSECUTIVE_STEP}
    kept: dict[int, TrackedPower] = {}
    reached = min(steps[-1], LAST_CONSECUTIVE_STEP)
    first = TrackedPower.measure(regrade(matrix), -math.inf, -math.inf)
    for k, power in enumerate(_step_by_step(first, reached)):
        if k in bases or k == reached:
            kept[k] = power._replace(value=regrade(power.value))  # squares need more room than steps
        if k in wanted:
            yield power
    power = kept[reached]
    for k in steps:
        if k > LAST_CONSECUTIVE_STEP:
            half = kept.get(k // 2) if k % 2 == 0 else None
            if k == reached + 1:
                power = power.times(first)
            elif half:
                power = half.times(half)
            else:
                power = _square_up_to(kept, first, k)
            if 2 * k in wanted:
                kept[k] = power
            reached = k
            yield power


def _step_by_step(first: TrackedPower, steps: int) -> Iterator[TrackedPower]:
    """Yield W⁰, W¹ … W^steps, each from the one before.

    Later steps carry on the rounding of step j. So the error of Wᵏ is at most Σ_j u ‖Wʲ‖_F ‖W‖_F ‖W^(k−1−j)‖,
    where u is the rounding of a product. Underflow is bounded in the same way.
    """
    size = len(first.value.array)
    power = TrackedPower.measure(Scaled(np.eye(size, dtype=first.value.array.dtype)), -math.inf, -math.inf)
    yield power
    norms, sizes, underflow = np.empty((3, steps + 1))
    norms[0], sizes[0] = power.log2_upper_norm, power.log2_size
    max_spread = MAX_SPREAD_BITS
    for k in range(1, steps + 1):
        value, underflow[k] = (
            _multiply_powers(power, first, max_spread) if k > 1 else (first.value, -math.inf)
        )
        # If no grading reduces a spread, it is not tried again before the spread has grown.
        max_spread = min(
            max(MAX_SPREAD_BITS, exponent_spread(value.array) + RETRY_BITS), MAX_TOLERATED_SPREAD_BITS
        )
        later = norms[: k - 1][::-1]
        rounded = sizes[1:k] + later + first.log2_size + log2_rounding_unit(value)
        lost = float(np.logaddexp2.reduce(underflow[2 : k + 1] + later, initial=-np.inf))
        error = float(np.logaddexp2(np.logaddexp2.reduce(rounded, initial=-np.inf), lost))
        power = TrackedPower.measure(value, error, lost)
        norms[k], sizes[k] = power.log2_upper_norm, power.log2_size
        yield power


def _count_doublings(step: int) -> int:
    """Return how often ``step`` must be halved to be at most `LAST_CONSECUTIVE_STEP`."""
    doublings = 0
    while step >> doublings > LAST_CONSECUTIVE_STEP:
        doublings += 1
    return doublings


def _square_up_to(kept: dict[int, TrackedPower], first: TrackedPower, step: int) -> TrackedPower:
    """Return W^step from the power of its leading bits, bit by bit."""
    doublings = _count_doublings(step)
    power = kept[step >> doublings]
    for place in reversed(range(doublings)):
        power = power.times(power)
        if step >> place & 1:
            power = power.times(first)
    return power
