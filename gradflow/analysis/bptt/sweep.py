"""The gradient of a loss taken apart by lag: every part of ∂L/∂W = Σ_t Σ_{k≤t} ∂L_t/∂s_t ∂s_t/∂s_k ∂⁺s_k/∂W.

All adjoint streams ∂L_t/∂s_k of one lag t − k are the columns of one matrix. A step of all of them is one
product with Wᵀ, and the part of the gradient at that lag one product of error signals and what the weights
see: O(T²n²) for all lags of T steps, with O(Tn + n²) numbers held.

Each column has one power of two as long as that loses nothing. Where an entry would be lost beside a larger
one, every entry gets a power of two of its own from there on (`gradflow.linalg.entrywise`): a block of units
keeps its signal however large that of another block grows before it dies. What even the extended range of a
product loses is noticed by a watch.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.bptt.parameters import Block
from gradflow.cells.base import Array
from gradflow.cells.factor import StepFactor
from gradflow.linalg.columns import TINY_ENTRY, Columns, Sum, column_scales
from gradflow.linalg.entrywise import (
    EXTENDED_DTYPE,
    LIFT_BITS,
    MAX_SHIFT_BITS,
    NARROW_SPREAD_BITS,
    EntrywiseColumns,
)
from gradflow.linalg.scaled import ZERO_EXPONENT, Scaled
from gradflow.linalg.underflow import UnderflowWatch

Signals = Columns | EntrywiseColumns
Points = slice | NDArray[np.intp]


class SignalLevel(NamedTuple):
    """Error signals of all layers, (rows, points) each, times ``2**exponents``, one for each point."""

    signals: tuple[Array, ...]
    exponents: NDArray[np.int64]


class Unrolled(NamedTuple):
    """A batch of B sequences of T steps, point after point side by side, and what is asked of it."""

    factor: StepFactor  # T·B points
    blocks: Sequence[Block]
    steps: int  # T
    sequences: int  # B
    watch: UnderflowWatch  # of numbers too small for the extended range, which count as 0

    def points(self, first: int, last: int) -> slice:
        """Return the points of the steps from ``first`` to before ``last``, from 0."""
        return slice(first * self.sequences, last * self.sequences)

    def without_layers_below(self, asked: Array) -> "tuple[Unrolled, Array]":
        """Return the same, and what is asked of it, without layers below all blocks: nothing comes up there.

        What goes on down there may be so much larger that it would hide what is left of the blocks' own.
        """
        lowest = min(block.layer for block in self.blocks)
        upper = self.factor.above(lowest)
        blocks = [replace(block, layer=block.layer - lowest) for block in self.blocks]
        return self._replace(factor=upper, blocks=blocks), asked[-upper.size :]

    def gradient(self, levels: Sequence[SignalLevel], points: slice) -> Scaled:
        """Return Σ δ vᵀ of all blocks as one vector, δ being the sum of levels of error signals."""
        if len(levels) == 1 and all(_in_doubles(levels[0].signals, block) for block in self.blocks):
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                found = self._gradient(levels[0], points)
            # a small one may be what is left beside points that only seemed to be larger
            largest = np.abs(found.array).max(initial=0.0)
            if TINY_ENTRY < largest < 1.0 / TINY_ENTRY or (levels[0].exponents <= ZERO_EXPONENT // 2).all():
                return found
        total = Sum.of(self._compute_extended_gradient(levels[0], points))
        for level in levels[1:]:
            total.add(self._compute_extended_gradient(level, points))
        return Scaled(total.array, total.exponent)

    def _gradient(self, level: SignalLevel, points: slice) -> Scaled:
        """Return the same of one level, with the size of a point taken for that of its whole column."""
        sizes = [block.add_exponents(level.exponents, points) for block in self.blocks]
        top = int(np.max(sizes, initial=ZERO_EXPONENT))
        found = np.empty(sum(block.size for block in self.blocks))
        start = 0
        for block, exponents in zip(self.blocks, sizes, strict=True):
            signal = level.signals[block.layer][block.rows].T  # (points, rows)
            if block.scale is not None:
                signal = signal * block.scale[points]
            near = column_scales(exponents, top)
            if not (near == 1.0).all():
                signal = signal * near[:, None]
            place = found[start : start + block.size]
            start += block.size
            if block.unitwise:
                # p point, i unit
                seen = signal if block.seen is None else signal * block.seen[points]
                np.sum(seen, axis=0, out=place)
            elif block.seen is not None:
                np.matmul(signal.T, block.seen[points], out=place.reshape(block.shape))
        return Scaled.of(found, top)

    def _compute_extended_gradient(self, level: SignalLevel, points: slice) -> Scaled:
        """Return the same of one level in extended range, with the size of each point measured."""
        with self.watch.watching():
            terms = [_terms(level, block, points) for block in self.blocks]
        sizes = []
        for signal, seen, exponents in terms:
            largest, shifts = np.frexp(np.abs(signal).max(axis=1, initial=0.0))
            if seen is not None:
                # sizes are added as exponents: their product may be under the range
                most, more = np.frexp(np.abs(seen).max(axis=1, initial=0.0))
                largest, shifts = largest * most, shifts + more
            sizes.append(np.where(largest > 0, exponents + shifts, ZERO_EXPONENT))
        top = int(np.max(sizes, initial=ZERO_EXPONENT))
        found = np.zeros(sum(block.size for block in self.blocks), EXTENDED_DTYPE)
        start = 0
        for block, (signal, seen, exponents), size in zip(self.blocks, terms, sizes, strict=True):
            place = found[start : start + block.size]
            start += block.size
            counts = size > ZERO_EXPONENT // 2
            if not counts.any():
                continue
            shifts = np.where(counts, exponents - top, -MAX_SHIFT_BITS)
            near = np.ldexp(signal, np.clip(shifts, -MAX_SHIFT_BITS, MAX_SHIFT_BITS)[:, None])
            if seen is None:
                np.sum(near, axis=0, out=place)
            else:
                np.matmul(near.T, seen, out=place.reshape(block.shape))
        shift = int(np.frexp(np.abs(found).max(initial=0.0))[1])
        return Scaled.of(np.ldexp(found, -shift).astype(np.float64), top + shift)


def _terms(level: SignalLevel, block: Block, points: slice) -> tuple[Array, Array | None, NDArray[np.int64]]:
    """Return δ (points, rows) and v (points, columns) in extended range, and the powers of two of δ vᵀ.

    v is None where δ is the term.
    """
    signal = level.signals[block.layer][block.rows].T.astype(EXTENDED_DTYPE)
    shifts = np.frexp(np.abs(signal).max(axis=1, initial=0.0))[1]
    signal = np.ldexp(signal, -shifts[:, None])
    exponents = block.add_exponents(level.exponents, points) + shifts
    if block.scale is not None:
        signal = signal * block.scale[points]
    if block.seen is None:
        return signal, None, exponents
    if block.unitwise:
        return signal * block.seen[points], None, exponents
    return signal, block.seen[points].astype(EXTENDED_DTYPE), exponents


def _in_doubles(signals: tuple[Array, ...], block: Block) -> bool:
    """Return whether signals and what a block makes of them are doubles."""
    arrays = signals[block.layer], block.scale, block.seen
    return all(array is None or array.dtype == np.float64 for array in arrays)


class Streams:
    """The adjoint streams at one lag: what ∂L_t makes of the step k = t − lag, for every t that counts.

    ``columns`` are those of the steps from ``first`` to before ``last`` (from 0), each step's sequences
    together.
    """

    def __init__(self, unrolled: Unrolled, asked: Array) -> None:
        """Start at lag 0 with ``asked``: ∂L_t/∂s_t, shape (state_size, T·B), the steps in order."""
        spoken = asked.any(axis=0).reshape(unrolled.steps, unrolled.sequences).any(axis=1)
        self.unrolled = unrolled
        self.lag = 0
        self.last = int(np.max(np.nonzero(spoken)[0], initial=-1)) + 1
        self.first = int(np.argmax(spoken)) if self.last else 0
        self.columns: Signals = _signals(asked[:, unrolled.points(self.first, self.last)])

    def advance(self) -> "SignalPart":
        """Return this lag's part of the gradient, and go on to the next."""
        points = self.unrolled.points(self.first, self.last)
        levels, before = self._pull(points)
        here = SignalPart(self.lag, self.first, self.last, levels, self.unrolled)
        self.lag, self.last = self.lag + 1, max(self.last - 1, 0)
        if self.first:
            self.first -= 1
            self.columns = before
        else:  # a stream that has come to the initial state has no weight before it
            self.columns = before[self.unrolled.sequences :]
        return here

    def _pull(self, points: slice) -> tuple[list[SignalLevel], Signals]:
        """Return the error signals at the streams' points, and the streams one step before."""
        factor = self.unrolled.factor.each(points)
        try:
            return _pull_back(factor, self.columns, self.unrolled.watch)
        except FloatingPointError:
            self.columns = EntrywiseColumns.of(self.columns)
            return _pull_back(factor, self.columns, self.unrolled.watch)

    def sum_later(self, window: int | None = None) -> "Streams":
        """Return streams of all that comes later too: of Σ ∂L_t/∂s_k over t ≥ k + lag, by one backward pass.

        Their part of the gradient is the sum of all parts from this lag on: with ``window`` of those alone
        that do not cross a step at which the state is detached, every so many steps. The pieces between go
        side by side.
        """
        window = min(window or self.last, self.last)
        later = copy(self)
        try:
            later.columns = self._sum_columns(self.columns, window)
        except FloatingPointError:
            later.columns = self._sum_columns(EntrywiseColumns.of(self.columns), window)
        later.first = 0
        return later

    def _sum_columns(self, columns: Signals, window: int) -> Signals:
        """Return the columns of `sum_later`."""
        asked: Any = columns.prepend_zeros(self.first * self.unrolled.sequences)
        whole = asked.zeros()
        carried = asked[:0]
        for place in range(window - 1, -1, -1):
            points = self._points(place, window)
            carried = asked[points].plus_first(carried)  # the last piece may be shorter
            whole.put(points, carried)
            if place:
                carried = _carry_back(self.unrolled.factor.each(points), carried, self.unrolled.watch)
        return cast(Signals, whole)

    def crossing(self, window: int) -> "Streams":
        """Return streams of what the pieces of `sum_later` would hand on to those before them."""
        count = self.unrolled.sequences
        ends = np.arange(window, self.last, window)  # the first step of each piece but the first
        points = (ends[:, None] * count + np.arange(count)).ravel()
        factor = self.unrolled.factor.each(points)
        columns: Any = self.columns
        try:
            handed = _carry_back(factor, columns[points], self.unrolled.watch)
        except FloatingPointError:
            columns = EntrywiseColumns.of(columns)
            handed = _carry_back(factor, columns[points], self.unrolled.watch)
        whole = columns.zeros()
        whole.put(points - count, handed)
        later = copy(self)
        later.columns = whole
        return later

    def _points(self, place: int, window: int) -> Points:
        """Return the points of one place in every piece."""
        count = self.unrolled.sequences
        if place + window >= self.last:
            return self.unrolled.points(place, place + 1)
        steps = np.arange(place, self.last, window)
        return np.asarray((steps[:, None] * count + np.arange(count)).ravel())


def _signals(asked: Array) -> Signals:
    """Return ∂L_t/∂s_t of all steps as columns; those that need an extended range come in it."""
    if asked.dtype == np.float64:
        try:
            with np.errstate(under="raise"):
                return Columns.of(asked)
        except FloatingPointError:
            pass
    return EntrywiseColumns.of(Columns(asked, np.zeros(asked.shape[1], np.int64)))


def _pull_back(
    factor: StepFactor, columns: Signals, watch: UnderflowWatch
) -> tuple[list[SignalLevel], Signals]:
    """Return the error signals that a step makes of the columns, level by level, and the columns before it.

    Raises
    ------
    FloatingPointError
        Where doubles leave their range.
    """
    if isinstance(columns, Columns):
        with np.errstate(all="raise"):
            return _pull_levels(factor, columns, [columns])
    trial = UnderflowWatch()
    with trial.watching():
        found = _pull_levels(factor, columns, columns.levels())
    if not trial.noticed:
        return found
    narrow = UnderflowWatch()
    try:
        with narrow.watching(), np.errstate(over="raise", invalid="raise"):
            found = _pull_levels(factor, columns, columns.levels(NARROW_SPREAD_BITS, LIFT_BITS))
    except FloatingPointError:  # there is no room above: what was found first stands, with what it lost
        narrow.noticed = True
    watch.noticed |= narrow.noticed
    return found


def _pull_levels(
    factor: StepFactor, columns: Signals, levels: Sequence[Columns]
) -> tuple[list[SignalLevel], Signals]:
    """Return the same of columns in given levels."""
    pulls = [factor.pull(level.array) for level in levels]
    states = [Columns(pull.state, level.exponents) for pull, level in zip(pulls, levels, strict=True)]
    signals = [SignalLevel(pull.signals, level.exponents) for pull, level in zip(pulls, levels, strict=True)]
    return signals, columns.gather(states)


def _carry_back(factor: StepFactor, columns: Signals, watch: UnderflowWatch) -> Signals:
    """Return Jᵀ Y, each column with its own J."""
    return _pull_back(factor, columns, watch)[1]


class SignalPart(NamedTuple):
    """What one lag adds: the error signals of its streams at the steps from ``first`` to before ``last``."""

    lag: int
    first: int
    last: int
    levels: Sequence[SignalLevel]
    unrolled: Unrolled

    def gradient(self) -> Scaled:
        """Return this lag's part of the gradient."""
        return self.unrolled.gradient(self.levels, self.unrolled.points(self.first, self.last))

    def signal(self, block: Block) -> EntrywiseColumns | Columns:
        """Return the error signals of a block's rows, (rows, points), of all levels together."""
        own = [Columns(level.signals[block.layer][block.rows], level.exponents) for level in self.levels]
        if len(own) == 1 and own[0].array.dtype == np.float64:
            return own[0]
        return EntrywiseColumns.of(own[0]).gather(own)
