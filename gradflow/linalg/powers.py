"""Powers of one matrix by scaled squaring: any exponent, never out of range, their rounding bounded."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.enclosure import CONFIDENCE, EPS
from gradflow.linalg.grading import MAX_SPREAD, exponent_spread, regrade
from gradflow.linalg.norms import frobenius_norm, spectral_norm
from gradflow.linalg.scaled import Scaled, ScaledNumber, number

# Up to here every step is computed; beyond, three tracks of squarings give ten steps a decade.
CONSECUTIVE = 1000
TRACKS = (1000, 1250, 1600)
LOG2_SMALLEST = -1074  # the smallest double
WHOLE_EXPONENT = -960  # of an entry from which on underflow in one of its terms is far under its rounding
RETRY_BITS = 32  # by which the spread of the entries has to grow before another grading is tried
MAX_TOLERATED_SPREAD = 700  # bits; what a product by a matrix of `MAX_SPREAD` has then is still in range


class Power(NamedTuple):
    """A power of a matrix, and how far rounding may have moved it.

    ``error`` bounds ‖computed − exact‖ / ‖exact‖ in the Frobenius norm to first order: each product adds n
    units of roundoff, and ‖A‖‖B‖/‖AB‖ magnifies what came before (Higham 2002, equation 3.13). It is inf
    where rows and columns had to be graded anew, for it holds in one grading only.
    """

    value: Scaled
    error: float = 0.0

    def __matmul__(self, other: "Power") -> "Power":
        left, right = self.value, other.value.graded_as(self.value.grading)
        product = left @ right
        graded = regrade(product)
        if graded is not product or right is not other.value:
            return Power(graded, math.inf)
        size = math.ldexp(frobenius_norm(product.array), product.exponent - left.exponent - right.exponent)
        growth = frobenius_norm(left.array) * frobenius_norm(right.array) / size if size else math.inf
        return Power(product, growth * (self.error + other.error + len(product.array) * EPS / 2))


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
    square = Power(Scaled.of(matrix.array, matrix.exponent, matrix.grading))
    while not steps & 1:
        square, steps = square @ square, steps >> 1
    result, steps = square, steps >> 1
    while steps:
        square = square @ square
        if steps & 1:
            result = result @ square
        steps >>= 1
    return result


def log2_largest_walks(matrix: NDArray[Any], steps: int) -> NDArray[np.float64]:
    """Return log₂ of the largest product of ``steps`` moduli along a walk from i to j, shape (n, n).

    It is −inf where no walk leads: that entry of Wⁿ is 0 whatever the others are. Elsewhere it tells how
    large the terms of the entry are, which may still cancel. It is the power with max and + in place of +
    and ×.

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


class TrackedPower(NamedTuple):
    """A power of a matrix with its norms, and how far it may be from the exact power.

    ``log2_error`` is log₂ of a bound of ‖computed − exact‖₂, −inf where the power is exact.
    ``log2_underflow`` is log₂ of the part of it that comes from underflow.
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
    def measured(cls, value: Scaled, log2_error: float, log2_underflow: float) -> "TrackedPower":
        """Return a power with its norms measured."""
        plain = value.graded_as(None)
        log2_size = number(frobenius_norm(plain.array), plain.exponent).log2()
        return cls(value, spectral_norm(plain), log2_size, log2_error, log2_underflow)

    @property
    def log2_most(self) -> float:
        """log₂ of what the norm of the exact power is at most."""
        return float(np.logaddexp2(self.log2_norm, self.log2_error))

    def times(self, other: "TrackedPower") -> "TrackedPower":
        """Return the product, with ‖E_A‖‖B‖ + ‖A‖‖E_B‖ + ‖E_A‖‖E_B‖ and its own rounding for its error."""
        value, lost = _multiplied(self, other)
        underflow = np.logaddexp2.reduce(
            [lost, self.log2_underflow + other.log2_most, self.log2_norm + other.log2_underflow]
        )
        parts = (
            self.log2_error + other.log2_most,
            self.log2_norm + other.log2_error,
            self.log2_size + other.log2_size + rounding_unit(value),
            lost,
        )
        return TrackedPower.measured(value, float(np.logaddexp2.reduce(parts)), float(underflow))


def _multiplied(
    left: TrackedPower, right: TrackedPower, max_spread: int = MAX_SPREAD
) -> tuple[Scaled, float]:
    """Return the product, graded anew, and log₂ of a bound of what underflow may have taken from it, ‖·‖₂.

    An entry of an array may be off by the smallest double, and a grading may make that large.
    """
    factor = right.value.graded_as(left.value.grading)
    product = left.value @ factor
    graded = regrade(product, max_spread)
    shift = product.exponent - left.value.exponent - factor.exponent  # by which the product has been moved
    places = [(product, _is_small(product, shift), shift), (product, _is_small(product), 0)]
    if graded is not product:
        places.append((graded, _is_small(graded), 0))
    parts = []
    if any(small.any() for _, small, _ in places):
        reached = (left.value.array != 0).astype(np.float32) @ (right.value.array != 0).astype(np.float32) > 0
        parts = [_log2_underflow(matrix, small & reached, shift) for matrix, small, shift in places]
    if factor is not right.value:
        lost = _log2_underflow(factor, _is_small(factor) & (right.value.array != 0))
        parts.append(left.log2_norm + lost)
    return graded, float(np.logaddexp2.reduce(parts, initial=-np.inf))


def _is_small(matrix: Scaled, shift: int = 0) -> NDArray[np.bool_]:
    """Return where an entry of the array is or was, at 2^−shift of it, so small that digits may be lost."""
    small = np.frexp(np.abs(matrix.array))[1] + shift < WHOLE_EXPONENT
    return np.asarray(small | (matrix.array == 0))


def _log2_underflow(matrix: Scaled, lost: NDArray[np.bool_], shift: int = 0) -> float:
    """Return log₂ of a bound of ‖·‖_F of what underflow took, (n, n) being true where it may have."""
    if not lost.any():
        return -math.inf
    grading = np.zeros(len(lost), np.int64) if matrix.grading is None else matrix.grading
    largest = int((grading[:, None] - grading)[lost].max())
    return LOG2_SMALLEST + 2 * math.log2(len(lost)) + matrix.exponent - shift + largest


def rounding_unit(matrix: Scaled) -> float:
    """Return log₂ of the rounding of a product A B, in units of ‖A‖_F ‖B‖_F."""
    return math.log2(CONFIDENCE * math.sqrt(len(matrix.array)) * EPS)


def successive_powers(matrix: Scaled, steps: Sequence[int]) -> Iterator[TrackedPower]:
    """Yield W^k for each k of increasing ``steps``: one by one to 1000, from there on by squaring.

    Squaring alone loses a transient: it keeps eps·‖W^(k/2)‖², which step by step is damped. So each power
    past 1000 grows from one of the last five hundred that were reached step by step.
    """
    wanted = set(steps)
    bases = {k >> _doublings(k) for k in steps if k > CONSECUTIVE}
    kept: dict[int, TrackedPower] = {}
    reached = min(steps[-1], CONSECUTIVE)
    first = TrackedPower.measured(regrade(matrix), -math.inf, -math.inf)
    for k, power in enumerate(_step_by_step(first, reached)):
        if k in bases or k == reached:
            kept[k] = power._replace(value=regrade(power.value))  # squares leave less room than steps
        if k in wanted:
            yield power
    power = kept[reached]
    for k in steps:
        if k > CONSECUTIVE:
            half = kept.get(k // 2) if k % 2 == 0 else None
            if k == reached + 1:
                power = power.times(first)
            elif half:
                power = half.times(half)
            else:
                power = _climbed(kept, first, k)
            if 2 * k in wanted:
                kept[k] = power
            reached = k
            yield power


def _step_by_step(first: TrackedPower, steps: int) -> Iterator[TrackedPower]:
    """Yield W⁰, W¹ … W^steps, each from the one before.

    The rounding of step j is carried on by the steps after it: the error of Wᵏ is at most
    Σ_j u ‖Wʲ‖_F ‖W‖_F ‖W^(k−1−j)‖, u the rounding of a product, and so is what underflow takes.
    """
    size = len(first.value.array)
    power = TrackedPower.measured(Scaled(np.eye(size, dtype=first.value.array.dtype)), -math.inf, -math.inf)
    yield power
    norms, sizes, underflow = np.empty((3, steps + 1))
    norms[0], sizes[0] = power.log2_most, power.log2_size
    max_spread = MAX_SPREAD
    for k in range(1, steps + 1):
        value, underflow[k] = _multiplied(power, first, max_spread) if k > 1 else (first.value, -math.inf)
        # a spread that no grading takes away is not looked at again before it has grown
        max_spread = min(max(MAX_SPREAD, exponent_spread(value.array) + RETRY_BITS), MAX_TOLERATED_SPREAD)
        later = norms[: k - 1][::-1]
        rounded = sizes[1:k] + later + first.log2_size + rounding_unit(value)
        lost = float(np.logaddexp2.reduce(underflow[2 : k + 1] + later, initial=-np.inf))
        error = float(np.logaddexp2(np.logaddexp2.reduce(rounded, initial=-np.inf), lost))
        power = TrackedPower.measured(value, error, lost)
        norms[k], sizes[k] = power.log2_most, power.log2_size
        yield power


def _doublings(step: int) -> int:
    """Return how often ``step`` must be halved to be at most CONSECUTIVE."""
    doublings = 0
    while step >> doublings > CONSECUTIVE:
        doublings += 1
    return doublings


def _climbed(kept: dict[int, TrackedPower], first: TrackedPower, step: int) -> TrackedPower:
    """Return W^step from the power of its leading bits, bit by bit."""
    doublings = _doublings(step)
    power = kept[step >> doublings]
    for place in reversed(range(doublings)):
        power = power.times(power)
        if step >> place & 1:
            power = power.times(first)
    return power
