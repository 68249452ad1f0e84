"""Q and R along Y_k = J_k ⋯ J_1 Q_0: the growth of volumes that Lyapunov exponents are made of.

J Q = Q′R after every step gives exponents as means of ln r_ii (Benettin et al. 1980, part 2, section 3;
Geist, Parlitz & Lauterborn 1990, section 2). Between two orthonormalisations columns may be multiplied
through many steps, as long as they stay so far apart that rounding costs r_ii no digit that anybody sees.
"""

from __future__ import annotations  # numpy.random is loaded by those who draw, not by an annotation

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from gradflow.errors import NumericalError
from gradflow.linalg.products import Array, Factor

EPS = float(np.finfo(np.float64).eps)
# A column's norm over its part r_ii that is new: rounding costs r_ii about eps times that, relative, and
# where neighbouring columns grow in turns the error grows up to ten thousandfold before it dies out. Steps
# are added while that ratio stays under AIMED; past WORST they are taken again, fewer at once.
AIMED, WORST = 1e5, 2e6
MEMORY = 0.25  # weight of the last steps in planning the next
MOST = 64  # steps between two orthonormalisations, at most
DEAD = 1e-6  # what is new of a column that is a combination of others, beside a row: rounding, much blown up
HIGH = 1000  # exponent up to which an entry is left as it is
SMALL, LARGE = 1e-100, 1e100  # a block whose norm lies between them is as it should be
PROBE_SCALE = 0.125  # size of the random columns: they must not overflow before the others
SMALL_SIZE = 32  # rounding is sampled at every step of a state up to this size ...
WATCHED_CALLS = 16  # ... and of a larger one in one of so many calls, until a call finds ...
ALARM = 1e-8  # ... that rounding changes the growth in a step by more than this
# From this relative change on, the growth in a step is unknown. It then counts as changed by the whole range
# between the size of J and the rounding of J.
NONLINEAR, UNKNOWN = 0.1, 1.0 / EPS


class Triangle(NamedTuple):
    """Q (n, k) with orthonormal columns, and |r_ii| (k,), of Y = QR."""

    columns: Array
    diagonal: Array


class Frame:
    """Orthonormal columns, carried along by one factor after the other.

    Attributes
    ----------
    logs : array (k,)
        Σ ln r_ii so far, column by column; −inf once a column is in the kernel of the product. Column i
        measures how the i-dimensional volumes grow over the (i−1)-dimensional ones.
    rounding : float
        What rounding may have cost one of these sums so far: eps times the columns' norm over the smallest
        r_ii, summed over orthonormalisations.
    log_errors : array (k,)
        What it may have cost each of them, if all roundings act in one direction: an estimate, not a bound.
        The rounding of an entry of J q is n eps times its terms, however much they cancel. A random sample of
        the rounding of the first column is carried along, because earlier rounding turns the column. Small
        states are sampled at every step, larger ones in some of the calls, until a sample shows
        ill-conditioned factors. The rounding of other columns is followed over one step, and only where the
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
        # At random: no direction of the state is likely to miss the fast ones.
        self.columns = triangle(generator.standard_normal((size, count))).columns
        self.logs = np.zeros(count)
        self.alive = np.arange(count)
        self.rounding = 0.0
        self.log_errors = np.zeros(count)
        self.step_errors = np.zeros(count)  # relative, of r_ii in the last step, where that was a single one
        self.displacement = np.zeros((size, 1))  # of the first column, orthogonal to it: a sample of rounding
        self.watched = True  # whether roundings are sampled in this call
        self.change = self.usual_change = 0.0  # of the growth by them, relative: in this call; a step
        self._calls = 0
        self._noise = np.random.default_rng(0)  # its own: the columns do not depend on it
        self.together = 1  # steps that are taken before the next orthonormalisation
        self.pace = 0.0  # share of what rounding allows that a step uses up, of late

    def refill(self, generator: np.random.Generator) -> None:
        """Begin anew, columns that have died replaced by others at random."""
        size, count = len(self.columns), len(self.logs)
        fresh = generator.standard_normal((size, count - len(self.alive)))
        self.columns = triangle(np.hstack([self.columns, fresh])).columns
        self.logs, self.alive = np.zeros(count), np.arange(count)
        self.step_errors, self.displacement = np.zeros(count), np.zeros((size, 1))

    def advance(self, factors: Sequence[Factor]) -> None:
        """Carry the columns through the factors, the first of them first; orthonormal again at the end.

        Raises
        ------
        NumericalError
            Where an entry leaves the range of a double within one step.
        """
        self.watched = (
            len(self.columns) <= SMALL_SIZE or self.usual_change > ALARM or self._calls % WATCHED_CALLS == 0
        )
        self._calls += 1
        self.change = 0.0
        done = 0
        while done < len(factors) and self.alive.size:
            block = factors[done : done + self.together]
            taken = self._several(block) if len(block) > 1 else 0
            if not taken:
                self._single(block[0])
            done += taken or 1
        if self.watched:
            self.usual_change = self.change / max(done, 1)
        else:
            self.log_errors[:2] += self.usual_change * done

    def _several(self, factors: Sequence[Factor]) -> int:
        """Take all of several steps, or half, or none: as many as rounding allows; return how many."""
        moved = middle = self._with_probes()
        half = len(factors) // 2
        with np.errstate(over="ignore", invalid="ignore"):
            for count, factor in enumerate(factors, 1):
                moved = self._carry(factor.matmat, moved, last=False)
                middle = moved.copy() if count == half else middle
        for steps, block in ((len(factors), moved), (half, middle)):
            if self._holds(steps, block):
                return steps
        return 0

    def _with_probes(self, *, rows: bool = False) -> Array:
        """Return the columns; if they are watched, with the displacement and a random column (n, k + 2).

        The entries of the random column are about as large as those of the first column. ``rows`` adds
        another random column before it, with entries of one size, which measures the rows of J.
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
        rounded independently. After every step but the last, the random column is drawn anew.
        """
        moved = action(block)
        if not self.watched:
            return moved
        moved = moved.copy() if moved is block else moved
        noise = self._noise.standard_normal((2, len(block)))
        moved[:, len(self.alive)] += len(block) * EPS / PROBE_SCALE * np.copysign(moved[:, -1], noise[0])
        if not last:
            moved[:, -1] = PROBE_SCALE * noise[1] * np.abs(moved[:, 0])
        return moved

    def _holds(self, steps: int, probed: Array) -> bool:
        """Go on with the block that the columns have become after so many steps, if it is well apart."""
        block, displacement = self._apart(probed)
        size = math.sqrt(float(np.vdot(block, block)))
        if not SMALL < size < LARGE:
            self.together = 1
            return False
        packed = reflected(block)
        spread = _spread(size, packed.diagonal)
        self._plan(steps, spread, math.log(size))
        turned = math.sqrt(float(displacement @ displacement))
        if spread > WORST or not turned <= NONLINEAR * float(packed.diagonal[0]):
            self.together = 1
            return False
        self.rounding += EPS * spread
        least = np.minimum.accumulate(packed.diagonal)
        # what was rounded on the way may have been far larger than what has become of the columns
        rounded = len(block) * EPS * steps * size / math.sqrt(len(least))
        errors = (rounded + turned) / least
        self.step_errors = np.zeros(len(self.logs))
        self._keep(packed.triangle(), errors, displacement)
        return True

    def _single(self, factor: Factor) -> None:
        """Take one step, whatever it does to the columns."""
        step, displacement = self._step(factor.matmat)
        if factor.staged and (len(step.living) < len(self.alive) or step.spread > WORST):
            for stage in (factor.scaled, factor.graded, factor.mixed):
                if self.alive.size:
                    self._drop(*self._step(stage))
        else:
            self._drop(step, displacement)
        self._plan(1, step.spread, math.log(max(step.size, 1e-300)))

    def _apart(self, probed: Array) -> tuple[Array, Array]:
        """Return the columns and the displacement of the first, 0 where it is not watched."""
        count = len(self.alive)
        return probed[:, :count], probed[:, count] if self.watched else np.zeros(len(probed))

    def _step(self, action: Callable[[Array], Array]) -> tuple[OrthonormalStep, Array]:
        """Return what one action does to the columns, and to the displacement of the first."""
        with np.errstate(over="ignore", invalid="ignore"):
            moved = self._carry(action, self._with_probes(rows=True))
            block, displacement = self._apart(moved)
            rows = np.abs(moved[:, -2]) / PROBE_SCALE if self.watched else None
        step = graded_triangle(block, rows)
        return step, np.ldexp(displacement, -step.shift)

    def _drop(self, step: OrthonormalStep, displacement: Array) -> None:
        """Go on with the columns that are still alive."""
        self.logs[np.delete(self.alive, step.living)] = -np.inf
        if not (step.living.size and step.living[0] == 0):  # another column is the first
            displacement = np.zeros(len(displacement))
        self.alive = self.alive[step.living]
        self.rounding += EPS * step.spread if self.alive.size else 0.0
        self.logs[self.alive] += step.shift * math.log(2)
        errors = len(self.columns) * EPS * step.amplified
        # the step before has turned columns by as much as it has changed r_ii, and this one blows that up
        followed = errors + step.amplified * self.step_errors[self.alive]
        self.step_errors[self.alive] = np.minimum(errors, 1.0)
        self._keep(step.found, followed, displacement)

    def _keep(self, found: Triangle, errors: Array, displacement: Array) -> None:
        """Go on with new columns; ``errors``: relative, of each r_ii."""
        self.columns = found.columns
        self.logs[self.alive] += np.log(found.diagonal)
        if self.alive.size and self.watched:
            change = self._displace(displacement / found.diagonal[0])
            self.change += math.log1p(change)
            # of the second the volume beside it; of all where the first may point anywhere
            errors[: 2 if change < NONLINEAR else None] += change
        self.log_errors[self.alive] += np.log1p(errors) + EPS * np.abs(self.logs[self.alive])

    def _displace(self, displacement: Array) -> float:
        """Store a new displacement of the first column, and return the relative change of r_11 by it."""
        first = self.columns[:, 0]
        along = float(first @ displacement)
        across = displacement - along * first
        size = math.sqrt(float(across @ across))
        if not (math.isfinite(size) and math.isfinite(along)):
            self.displacement = np.zeros((len(first), 1))
            return UNKNOWN
        # A displacement over 1 allows every direction, and none is farther.
        self.displacement = (across / max(size, 1.0))[:, None]
        return abs(along) if abs(along) < NONLINEAR and size < NONLINEAR else UNKNOWN

    def _plan(self, steps: int, spread: float, log_size: float) -> None:
        """Choose how many steps to take next, from what the last ones did to the columns."""
        apart = max(math.log(max(spread, 1.0)) / math.log(AIMED), abs(log_size) / math.log(LARGE))
        self.pace += MEMORY * (min(apart, 1e3) / steps - self.pace)
        self.together = max(1, min(MOST, 2 * steps, int(1.0 / max(self.pace, 1e-9))))


class Reflected(NamedTuple):
    """A block (n, k) after Householder's reflections: what they were, packed, and |r_ii|."""

    packed: Array
    scales: Array
    diagonal: Array

    def triangle(self) -> Triangle:
        """Return Q and |r_ii|."""
        work = 32 * self.packed.shape[1]
        columns, _, _ = lapack.dorgqr(self.packed, self.scales, lwork=work, overwrite_a=1)
        return Triangle(columns, self.diagonal)


def reflected(block: Array) -> Reflected:
    """Return R of a block (n, k), k ≤ n, and what Q is made of."""
    packed, scales, _, _ = lapack.dgeqrf(block, lwork=32 * block.shape[1])
    return Reflected(packed, scales, np.abs(np.diagonal(packed)[: block.shape[1]]))


def triangle(block: Array) -> Triangle:
    """Return Q and |r_ii| of a block (n, k), k ≤ n, by Householder's reflections."""
    return reflected(block).triangle()


class OrthonormalStep(NamedTuple):
    """One step of the columns: which are ``living``, their Q and |r_ii| 2^−shift, how far apart they are."""

    living: Array
    found: Triangle
    shift: int
    spread: float
    size: float  # of the largest entry, 2^−shift
    amplified: Array  # size of the rows, as each column of Q weighs them, over r_ii


def graded_triangle(block: Array, measured: Array | None = None) -> OrthonormalStep:
    """Return Q and R of a block (n, k) of which no column is a combination of those before it but dropped.

    Rows may be of very different size: taken from the largest to the smallest, each keeps its own digits
    (Cox & Higham 1998, section 4). Columns of which nothing is new but rounding are dropped. ``measured``
    (n,): how large the rows of J are, where more of them may have cancelled than the block shows.

    Raises
    ------
    NumericalError
        Where an entry is not finite.
    """
    largest = np.abs(block).max(axis=1)
    if not np.isfinite(largest).all():
        raise NumericalError("a Jacobian overflows within one step; expected smaller weights")
    order = np.argsort(-largest, kind="stable")
    exponent = int(np.frexp(largest[order[0]])[1])
    # no farther than the largest needs: a far smaller row is not to underflow for it
    shift = max(exponent - HIGH, 0) + min(exponent + HIGH, 0)
    rows, sizes = np.ldexp(block[order], -shift), np.ldexp(largest[order], -shift)
    found = triangle(rows)
    spread = _spread(float(sizes[0]) * math.sqrt(len(rows)), found.diagonal)
    living = np.arange(block.shape[1])
    if spread > WORST:
        living, found = _independent(rows, sizes, found)
        spread = _spread(float(sizes[0]) * math.sqrt(len(rows)), found.diagonal)
    columns = np.empty_like(found.columns)
    columns[order] = found.columns
    if measured is not None:
        most = np.finfo(np.float64).max / len(rows)
        sizes = np.fmax(sizes, np.minimum(np.ldexp(np.minimum(measured[order], most), -shift), most))
    amplified = np.maximum.accumulate(sizes @ np.abs(found.columns) / found.diagonal)
    return OrthonormalStep(
        living, Triangle(columns, found.diagonal), shift, spread, float(sizes[0]), amplified
    )


def _independent(rows: Array, sizes: Array, found: Triangle) -> tuple[Array, Triangle]:
    """Return the columns that are no combination of those before them, and their Q and R.

    How many there are is decided by singular values: r_ii alone may be rounding, blown up by columns before
    it that are nearly dependent. Rows are evened out for that, for the size of a row is none of rounding's.
    """
    even = rows / np.where(sizes > 0, sizes, 1.0)[:, None]
    count = int(np.linalg.matrix_rank(even, rtol=len(rows) * EPS))
    living = np.arange(rows.shape[1])
    while len(living) > count:
        if not count:
            return living[:0], Triangle(np.empty((len(rows), 0)), np.empty(0))
        new = found.diagonal / np.where(sizes[: len(living)] > 0, sizes[: len(living)], 1.0)
        # generic columns die from the last one on; what comes after another dead one is not to be trusted
        early = np.flatnonzero(new[:count] < DEAD)
        living = np.delete(living, early[0]) if early.size else living[:count]
        found = triangle(rows[:, living])
    return living, found


def _spread(size: float, diagonal: Array) -> float:
    """Return a column's norm, in the mean, over the smallest r_ii."""
    least = float(diagonal.min(initial=math.inf))
    return size / (math.sqrt(max(len(diagonal), 1)) * least) if least > 0 else math.inf
