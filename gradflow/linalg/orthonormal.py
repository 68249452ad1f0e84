"""Q and R along Y_k = J_k ⋯ J_1 Q_0: the growth of volumes that Lyapunov exponents are made of.

J Q = Q′R after every step gives exponents as means of ln r_ii (Benettin et al. 1980, part 2, section 3;
Geist, Parlitz & Lauterborn 1990, section 2). Between two orthonormalisations columns may be multiplied
through many steps, as long as they stay so far apart that rounding costs r_ii no digit that anybody sees.
"""

from __future__ import annotations  # numpy.random is loaded by those who draw, not by an annotation

import math
from collections.abc import Sequence
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
        What it may have cost each of them: the same of the columns up to that one, times n for each of the
        steps, and eps of each partial sum. A bound of all roundings in one direction.

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
        self.together = 1  # steps that are taken before the next orthonormalisation
        self.pace = 0.0  # share of what rounding allows that a step uses up, of late

    def refill(self, generator: np.random.Generator) -> None:
        """Begin anew, columns that have died replaced by others at random."""
        size, count = len(self.columns), len(self.logs)
        fresh = generator.standard_normal((size, count - len(self.alive)))
        self.columns = triangle(np.hstack([self.columns, fresh])).columns
        self.logs, self.alive = np.zeros(count), np.arange(count)

    def advance(self, factors: Sequence[Factor]) -> None:
        """Carry the columns through the factors, the first of them first; orthonormal again at the end.

        Raises
        ------
        NumericalError
            Where an entry leaves the range of a double within one step.
        """
        done = 0
        while done < len(factors) and self.alive.size:
            block = factors[done : done + self.together]
            taken = self._several(block) if len(block) > 1 else 0
            if not taken:
                self._single(block[0])
            done += taken or 1

    def _several(self, factors: Sequence[Factor]) -> int:
        """Take all of several steps, or half, or none: as many as rounding allows; return how many."""
        moved = middle = self.columns
        half = len(factors) // 2
        with np.errstate(over="ignore", invalid="ignore"):
            for count, factor in enumerate(factors, 1):
                moved = factor.matmat(moved)
                middle = moved if count == half else middle
        for steps, block in ((len(factors), moved), (half, middle)):
            if self._holds(steps, block):
                return steps
        return 0

    def _holds(self, steps: int, block: Array) -> bool:
        """Go on with the block that the columns have become after so many steps, if it is well apart."""
        size = math.sqrt(float(np.vdot(block, block)))
        if not SMALL < size < LARGE:
            self.together = 1
            return False
        packed = reflected(block)
        spread = _spread(size, packed.diagonal)
        self._plan(steps, spread, math.log(size))
        if spread > WORST:
            return False
        self.rounding += EPS * spread
        least = np.minimum.accumulate(packed.diagonal)
        self._keep(packed.triangle(), steps * size / (math.sqrt(len(least)) * least))
        return True

    def _single(self, factor: Factor) -> None:
        """Take one step, whatever it does to the columns."""
        with np.errstate(over="ignore", invalid="ignore"):
            moved = factor.matmat(self.columns)
        step = graded_triangle(moved)
        if factor.staged and (len(step.living) < len(self.alive) or step.spread > WORST):
            for stage in (factor.scaled, factor.graded, factor.mixed):
                if self.alive.size:
                    self._drop(graded_triangle(stage(self.columns)))
        else:
            self._drop(step)
        self._plan(1, step.spread, math.log(max(step.size, 1e-300)))

    def _drop(self, step: Step) -> None:
        """Go on with the columns that are still alive."""
        self.logs[np.delete(self.alive, step.living)] = -np.inf
        self.alive = self.alive[step.living]
        self.rounding += EPS * step.spread if self.alive.size else 0.0
        self.logs[self.alive] += step.shift * math.log(2)
        self._keep(step.found, step.amplified)

    def _keep(self, found: Triangle, amplified: Array) -> None:
        """Go on with new columns; ``amplified``: by how much each r_ii has blown up what was rounded."""
        self.columns = found.columns
        self.logs[self.alive] += np.log(found.diagonal)
        rounded = len(self.columns) * amplified + np.abs(self.logs[self.alive])
        self.log_errors[self.alive] += EPS * rounded

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


class Step(NamedTuple):
    """One step of the columns: which are ``living``, their Q and |r_ii| 2^−shift, how far apart they are."""

    living: Array
    found: Triangle
    shift: int
    spread: float
    size: float  # of the largest entry, 2^−shift
    amplified: Array  # rounding of the rows, as each column of Q weighs them, over r_ii


def graded_triangle(block: Array) -> Step:
    """Return Q and R of a block (n, k) of which no column is a combination of those before it but dropped.

    Rows may be of very different size: taken from the largest to the smallest, each keeps its own digits
    (Cox & Higham 1998, section 4). Columns of which nothing is new but rounding are dropped.

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
    amplified = np.maximum.accumulate(sizes @ np.abs(found.columns) / found.diagonal)
    return Step(living, Triangle(columns, found.diagonal), shift, spread, float(sizes[0]), amplified)


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
