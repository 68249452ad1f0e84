"""QR factors along Y_k = J_k ⋯ J_1 Q_0: the growth of volumes, from which Lyapunov exponents are computed.

J Q = Q′R after every step gives exponents as means of ln r_ii (Benettin et al. 1980, part 2, section 3;
Geist, Parlitz & Lauterborn 1990, section 2). Between two orthonormalisations the columns may be multiplied
through many steps, as long as they stay so far apart that rounding costs r_ii no visible digit.
"""

from __future__ import annotations  # an annotation must not load numpy.random

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gradflow.errors import NumericalError
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.products import Array, Factor

# Ratio of the norm of a column to its new part r_ii. The relative rounding of r_ii is about eps times this.
# If neighbouring columns grow in turns, the error grows up to ten thousandfold before it decays. Steps are
# added while the ratio stays below AIMED_COLUMN_RATIO. Beyond MAX_COLUMN_RATIO they are repeated, fewer at
# once.
AIMED_COLUMN_RATIO, MAX_COLUMN_RATIO = 1e5, 2e6
PACE_WEIGHT = 0.25  # of the last steps in the plan of the next
MAX_STEPS_BETWEEN_QR = 64  # between two orthonormalisations
# New part of a column that is a combination of others, beside the size of a row: amplified rounding.
MAX_DEAD_SHARE = 1e-6
MAX_UNSCALED_EXPONENT = 1000  # an entry with a larger exponent is scaled
MIN_BLOCK_NORM, MAX_BLOCK_NORM = 1e-100, 1e100  # a block that leaves this range takes single steps
PROBE_SCALE = 0.125  # size of the random columns, which must not overflow before the others
# Rounding is sampled at every step up to this state size. For larger states it is sampled in one of so many
# calls, until a call shows that rounding changes the growth in a step by more than ALARMING_CHANGE.
MAX_FULLY_SAMPLED_SIZE = 32
CALLS_PER_SAMPLE = 16
ALARMING_CHANGE = 1e-8
# Beyond MAX_LINEAR_CHANGE (relative) the growth in a step is unknown. Its change is then UNKNOWN_CHANGE, the
# whole range between the size of J and the rounding of J.
MAX_LINEAR_CHANGE, UNKNOWN_CHANGE = 0.1, 1.0 / DOUBLE_EPS


class Triangle(NamedTuple):
    """Q (n, k) with orthonormal columns, and |r_ii| (k,), of Y = QR."""

    columns: Array
    diagonal: Array


class Frame:
    """Orthonormal columns that are carried along by one factor after another.

    Attributes
    ----------
    logs : array (k,)
        Σ ln r_ii so far, column by column; −inf once a column is in the kernel of the product. Column i
        measures the growth of i-dimensional volumes over that of (i−1)-dimensional ones.
    rounding : float
        A bound of the rounding of one of these sums so far: eps times the norm of the columns over the
        smallest r_ii, summed over orthonormalisations.
    log_errors : array (k,)
        An estimate (not a bound) of the rounding of each sum, if all roundings act in one direction. The
        rounding of an entry of J q is n eps times its terms, however much they cancel. A random sample of the
        rounding of the first column is carried along, because earlier rounding turns the column. Small states
        are sampled at every step. Larger ones are sampled in some of the calls, until a sample shows
        ill-conditioned factors. The rounding of other columns is followed over one step, and only if the
        columns are made orthonormal at every step.

    Examples
    --------
    >>> from gradflow.linalg.products import Dense
    >>> frame = Frame(2, 2, np.random.default_rng(0))
    >>> frame.advance([Dense(np.array([[2.0, 1.0], [1.0, 1.0]]))] * 1000)
    >>> (frame.logs / 1000).round(3).tolist(), round(abs(float(frame.logs.sum())), 9)
    ([0.962, -0.962], 0.0)
    """

    def __init__(self, size: int, count: int, generator: np.random.Generator) -> None:
        # Random columns are unlikely to miss a fast direction of the state.
        self.columns = factor_block(generator.standard_normal((size, count))).columns
        self.logs = np.zeros(count)
        self.alive = np.arange(count)
        self.rounding = 0.0
        self.log_errors = np.zeros(count)
        self.step_errors = np.zeros(count)  # relative, of r_ii in the last step if that was a single one
        self.displacement = np.zeros((size, 1))  # of the first column, orthogonal to it: a sample of rounding
        self.watched = True  # whether rounding is sampled in this call
        # relative change of the growth by rounding, in this call and per step
        self.change = self.usual_change = 0.0
        self._calls = 0
        self._noise = np.random.default_rng(0)  # a separate generator: the columns do not depend on it
        self.together = 1  # steps to take before the next orthonormalisation
        self.pace = 0.0  # recent share of the allowed rounding that a step uses

    def refill(self, generator: np.random.Generator) -> None:
        """Start again, with random columns in place of those that have died."""
        size, count = len(self.columns), len(self.logs)
        fresh = generator.standard_normal((size, count - len(self.alive)))
        self.columns = factor_block(np.hstack([self.columns, fresh])).columns
        self.logs, self.alive = np.zeros(count), np.arange(count)
        self.step_errors, self.displacement = np.zeros(count), np.zeros((size, 1))

    def advance(self, factors: Sequence[Factor]) -> None:
        """Carry the columns through the factors, first to last, and make them orthonormal at the end.

        Raises
        ------
        NumericalError
            If an entry leaves the range of a double within one step.
        """
        self.watched = (
            len(self.columns) <= MAX_FULLY_SAMPLED_SIZE
            or self.usual_change > ALARMING_CHANGE
            or self._calls % CALLS_PER_SAMPLE == 0
        )
        self._calls += 1
        self.change = 0.0
        done = 0
        while done < len(factors) and self.alive.size:
            block = factors[done : done + self.together]
            taken = self._take_several_steps(block) if len(block) > 1 else 0
            if not taken:
                self._take_single_step(block[0])
            done += taken or 1
        if self.watched:
            self.usual_change = self.change / max(done, 1)
        else:
            self.log_errors[:2] += self.usual_change * done

    def _take_several_steps(self, factors: Sequence[Factor]) -> int:
        """Take all of several steps, or half, or none, as rounding allows; return how many were taken."""
        moved = middle = self._append_probes()
        half = len(factors) // 2
        with np.errstate(over="ignore", invalid="ignore"):
            for count, factor in enumerate(factors, 1):
                moved = self._carry(factor.matmat, moved, last=False)
                middle = moved.copy() if count == half else middle
        for steps, block in ((len(factors), moved), (half, middle)):
            if self._accept_block(steps, block):
                return steps
        return 0

    def _append_probes(self, *, rows: bool = False) -> Array:
        """Return the columns; if they are watched, with the displacement and a random column (n, k + 2).

        The entries of the random column are about as large as those of the first column. With ``rows``
        another random column is added before it, with entries of one size, which measures the rows of J.
        """
        if not self.watched:
            return self.columns
        probes = PROBE_SCALE * self._noise.standard_normal((len(self.columns), 2))
        probes[:, 1] *= np.abs(self.columns[:, 0])
        return np.hstack([self.columns, self.displacement, probes if rows else probes[:, 1:]])

    def _carry(self, action: Callable[[Array], Array], block: Array, *, last: bool = True) -> Array:
        """Return J times the block, with a sample of the rounding added to the displacement.

        If the entries of a random column g are as large as those of q, then (J g)_i is about as large as the
        terms of (J q)_i. The rounding of (J q)_i is n eps times that, however small the sum is. Each row is
        rounded independently. After every step but the last, the random column is drawn again.
        """
        moved = action(block)
        if not self.watched:
            return moved
        moved = moved.copy() if moved is block else moved
        noise = self._noise.standard_normal((2, len(block)))
        moved[:, len(self.alive)] += (
            len(block) * DOUBLE_EPS / PROBE_SCALE * np.copysign(moved[:, -1], noise[0])
        )
        if not last:
            moved[:, -1] = PROBE_SCALE * noise[1] * np.abs(moved[:, 0])
        return moved

    def _accept_block(self, steps: int, probed: Array) -> bool:
        """Store the block after ``steps`` steps, and return True, if its columns are far enough apart."""
        block, displacement = self._split_displacement(probed)
        size = math.sqrt(float(np.vdot(block, block)))
        if not MIN_BLOCK_NORM < size < MAX_BLOCK_NORM:
            self.together = 1
            return False
        packed = reflect_block(block)
        spread = _column_ratio(size, packed.diagonal)
        self._plan(steps, spread, math.log(size))
        turned = math.sqrt(float(displacement @ displacement))
        if spread > MAX_COLUMN_RATIO or not turned <= MAX_LINEAR_CHANGE * float(packed.diagonal[0]):
            self.together = 1
            return False
        self.rounding += DOUBLE_EPS * spread
        least = np.minimum.accumulate(packed.diagonal)
        # The columns may have been far larger on the way, and so may have been their rounding.
        rounded = len(block) * DOUBLE_EPS * steps * size / math.sqrt(len(least))
        errors = (rounded + turned) / least
        self.step_errors = np.zeros(len(self.logs))
        self._store_columns(packed.to_triangle(), errors, displacement)
        return True

    def _take_single_step(self, factor: Factor) -> None:
        """Take one step, whatever it does to the columns."""
        step, displacement = self._apply_action(factor.matmat)
        if factor.has_stages and (len(step.living) < len(self.alive) or step.spread > MAX_COLUMN_RATIO):
            for stage in (factor.apply_scale, factor.apply_graded, factor.apply_mixing):
                if self.alive.size:
                    self._drop_dead_columns(*self._apply_action(stage))
        else:
            self._drop_dead_columns(step, displacement)
        self._plan(1, step.spread, math.log(max(step.size, 1e-300)))

    def _split_displacement(self, probed: Array) -> tuple[Array, Array]:
        """Return the columns and the displacement of the first, which is 0 if it is not watched."""
        count = len(self.alive)
        return probed[:, :count], probed[:, count] if self.watched else np.zeros(len(probed))

    def _apply_action(self, action: Callable[[Array], Array]) -> tuple[OrthonormalStep, Array]:
        """Return the result of one action on the columns, and on the displacement of the first."""
        with np.errstate(over="ignore", invalid="ignore"):
            moved = self._carry(action, self._append_probes(rows=True))
            block, displacement = self._split_displacement(moved)
            rows = np.abs(moved[:, -2]) / PROBE_SCALE if self.watched else None
        step = factor_graded_block(block, rows)
        return step, np.ldexp(displacement, -step.shift)

    def _drop_dead_columns(self, step: OrthonormalStep, displacement: Array) -> None:
        """Store the columns that are still alive."""
        self.logs[np.delete(self.alive, step.living)] = -np.inf
        if not (step.living.size and step.living[0] == 0):  # another column is the first
            displacement = np.zeros(len(displacement))
        self.alive = self.alive[step.living]
        self.rounding += DOUBLE_EPS * step.spread if self.alive.size else 0.0
        self.logs[self.alive] += step.shift * math.log(2)
        errors = len(self.columns) * DOUBLE_EPS * step.amplified
        # The last step turned the columns by as much as it changed r_ii, and this one amplifies that.
        followed = errors + step.amplified * self.step_errors[self.alive]
        self.step_errors[self.alive] = np.minimum(errors, 1.0)
        self._store_columns(step.triangle, followed, displacement)

    def _store_columns(self, triangle: Triangle, errors: Array, displacement: Array) -> None:
        """Store new columns; ``errors`` are the relative errors of each r_ii."""
        self.columns = triangle.columns
        self.logs[self.alive] += np.log(triangle.diagonal)
        if self.alive.size and self.watched:
            change = self._displace(displacement / triangle.diagonal[0])
            self.change += math.log1p(change)
            # The first two columns are affected, or all of them if the first one may point anywhere.
            errors[: 2 if change < MAX_LINEAR_CHANGE else None] += change
        self.log_errors[self.alive] += np.log1p(errors) + DOUBLE_EPS * np.abs(self.logs[self.alive])

    def _displace(self, displacement: Array) -> float:
        """Store a new displacement of the first column, and return the relative change of r_11 by it."""
        first = self.columns[:, 0]
        along = float(first @ displacement)
        across = displacement - along * first
        size = math.sqrt(float(across @ across))
        if not (math.isfinite(size) and math.isfinite(along)):
            self.displacement = np.zeros((len(first), 1))
            return UNKNOWN_CHANGE
        # A displacement of 1 already allows every direction.
        self.displacement = (across / max(size, 1.0))[:, None]
        return abs(along) if abs(along) < MAX_LINEAR_CHANGE and size < MAX_LINEAR_CHANGE else UNKNOWN_CHANGE

    def _plan(self, steps: int, spread: float, log_size: float) -> None:
        """Choose the number of steps to take next, from the effect of the last ones on the columns."""
        apart = max(
            math.log(max(spread, 1.0)) / math.log(AIMED_COLUMN_RATIO),
            abs(log_size) / math.log(MAX_BLOCK_NORM),
        )
        self.pace += PACE_WEIGHT * (min(apart, 1e3) / steps - self.pace)
        self.together = max(1, min(MAX_STEPS_BETWEEN_QR, 2 * steps, int(1.0 / max(self.pace, 1e-9))))


class ReflectedBlock(NamedTuple):
    """A block (n, k) after Householder reflections: the reflections, packed, and |r_ii|."""

    packed: Array
    scales: Array
    diagonal: Array

    def to_triangle(self) -> Triangle:
        """Return Q and |r_ii|."""
        from scipy.linalg import lapack  # here, because its import is slow

        work = 32 * self.packed.shape[1]
        columns, _, _ = lapack.dorgqr(self.packed, self.scales, lwork=work, overwrite_a=1)
        return Triangle(columns, self.diagonal)


def reflect_block(block: Array) -> ReflectedBlock:
    """Return R of a block (n, k), k ≤ n, and the reflections that make up Q."""
    from scipy.linalg import lapack

    packed, scales, _, _ = lapack.dgeqrf(block, lwork=32 * block.shape[1])
    return ReflectedBlock(packed, scales, np.abs(np.diagonal(packed)[: block.shape[1]]))


def factor_block(block: Array) -> Triangle:
    """Return Q and |r_ii| of a block (n, k), k ≤ n, by Householder reflections."""
    return reflect_block(block).to_triangle()


class OrthonormalStep(NamedTuple):
    """One step: the ``living`` columns, their Q and |r_ii| 2^−shift, and the ratio of their sizes."""

    living: Array
    triangle: Triangle
    shift: int
    spread: float
    size: float  # of the largest entry, 2^−shift
    amplified: Array  # size of the rows, weighted by each column of Q, over r_ii


def factor_graded_block(block: Array, measured: Array | None = None) -> OrthonormalStep:
    """Return Q and R of a block (n, k), without columns that are combinations of those before them.

    Rows may have very different sizes. They are taken from the largest to the smallest, so each keeps its own
    digits (Cox & Higham 1998, section 4). A column whose new part is only rounding is dropped. ``measured``
    (n,) are sizes of the rows of J, in case more of them cancelled than the block shows.

    Raises
    ------
    NumericalError
        If an entry is not finite.
    """
    largest = np.abs(block).max(axis=1)
    if not np.isfinite(largest).all():
        raise NumericalError("a Jacobian overflows within one step; expected smaller weights")
    order = np.argsort(-largest, kind="stable")
    exponent = int(np.frexp(largest[order[0]])[1])
    # The shift is as small as the largest row allows, so that far smaller rows do not underflow.
    shift = max(exponent - MAX_UNSCALED_EXPONENT, 0) + min(exponent + MAX_UNSCALED_EXPONENT, 0)
    rows, sizes = np.ldexp(block[order], -shift), np.ldexp(largest[order], -shift)
    triangle = factor_block(rows)
    spread = _column_ratio(float(sizes[0]) * math.sqrt(len(rows)), triangle.diagonal)
    living = np.arange(block.shape[1])
    if spread > MAX_COLUMN_RATIO:
        living, triangle = _select_independent(rows, sizes, triangle)
        spread = _column_ratio(float(sizes[0]) * math.sqrt(len(rows)), triangle.diagonal)
    columns = np.empty_like(triangle.columns)
    columns[order] = triangle.columns
    if measured is not None:
        most = np.finfo(np.float64).max / len(rows)
        sizes = np.fmax(sizes, np.minimum(np.ldexp(np.minimum(measured[order], most), -shift), most))
    amplified = np.maximum.accumulate(sizes @ np.abs(triangle.columns) / triangle.diagonal)
    return OrthonormalStep(
        living, Triangle(columns, triangle.diagonal), shift, spread, float(sizes[0]), amplified
    )


def _select_independent(rows: Array, sizes: Array, triangle: Triangle) -> tuple[Array, Triangle]:
    """Return the columns that are not combinations of those before them, and their Q and R.

    Singular values decide how many there are. r_ii alone may be rounding, amplified by earlier columns that
    are nearly dependent. The rows are scaled to one size first, because rounding does not depend on the size
    of a row.
    """
    even = rows / np.where(sizes > 0, sizes, 1.0)[:, None]
    count = int(np.linalg.matrix_rank(even, rtol=len(rows) * DOUBLE_EPS))
    living = np.arange(rows.shape[1])
    while len(living) > count:
        if not count:
            return living[:0], Triangle(np.empty((len(rows), 0)), np.empty(0))
        new = triangle.diagonal / np.where(sizes[: len(living)] > 0, sizes[: len(living)], 1.0)
        # Generic columns die from the last one on. Columns after another dead one are not reliable.
        early = np.flatnonzero(new[:count] < MAX_DEAD_SHARE)
        living = np.delete(living, early[0]) if early.size else living[:count]
        triangle = factor_block(rows[:, living])
    return living, triangle


def _column_ratio(size: float, diagonal: Array) -> float:
    """Return the mean norm of a column over the smallest r_ii."""
    least = float(diagonal.min(initial=math.inf))
    return size / (math.sqrt(max(len(diagonal), 1)) * least) if least > 0 else math.inf
