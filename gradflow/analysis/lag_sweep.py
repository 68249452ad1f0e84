"""The gradient of a loss taken apart by lag: every part of ∂L/∂W = Σ_t Σ_{k≤t} ∂L_t/∂s_t ∂s_t/∂s_k ∂⁺s_k/∂W.

All adjoint streams ∂L_t/∂s_k of one lag t − k are the columns of one matrix. A step of all of them is one
product with Wᵀ, and the part of the gradient at that lag one product of error signals and what the weights
see: O(T²n²) for all lags of T steps, with O(Tn + n²) numbers held.
"""

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gradflow.analysis.parameters import Block
from gradflow.cells.base import Array
from gradflow.cells.factor import StepFactor
from gradflow.cells.stack import StackFactor
from gradflow.linalg.columns import NOWHERE, Columns, Sum, factors
from gradflow.linalg.scaled import Scaled, ScaledNumber, log10_of, number

SMALL = 64  # numbers of a state up to which streams of what is left are quicker than passes now and then
FRESH = 2.0**-24  # what is left of a sum by taking parts away is summed anew where it is under that


class Unrolled(NamedTuple):
    """A batch of B sequences of T steps, point after point side by side, and what is asked of it."""

    factor: StepFactor  # T·B points
    blocks: Sequence[Block]
    steps: int  # T
    sequences: int  # B

    def points(self, first: int, last: int) -> slice:
        """Return the points of the steps from ``first`` to before ``last``, from 0."""
        return slice(first * self.sequences, last * self.sequences)

    def without_layers_below(self, asked: Array) -> "tuple[Unrolled, Array]":
        """Return the same, and what is asked of it, without layers below all blocks: nothing comes up there.

        What goes on down there may be so much larger that it would hide what is left of the blocks' own.
        """
        lowest = min(block.layer for block in self.blocks)
        if not lowest or not isinstance(self.factor, StackFactor):
            return self, asked
        upper = self.factor.above(lowest)
        blocks = [replace(block, layer=block.layer - lowest) for block in self.blocks]
        return self._replace(factor=upper, blocks=blocks), asked[-upper.size :]

    def gradient(self, signals: Sequence[Array], columns: Columns, points: slice) -> Scaled:
        """Return Σ δ vᵀ of all blocks as one vector; ``columns`` say how the signals are scaled."""
        sizes = [block.sized(columns.exponents, points) for block in self.blocks]
        top = int(np.max(sizes, initial=NOWHERE))
        found = np.empty(sum(block.size for block in self.blocks))
        start = 0
        for block, exponents in zip(self.blocks, sizes, strict=True):
            signal = signals[block.layer][block.rows].T  # (points, rows)
            if block.scale is not None:
                signal = signal * block.scale[points]
            level = factors(exponents, top)
            if not (level == 1.0).all():
                signal = signal * level[:, None]
            place = found[start : start + block.size]
            start += block.size
            if block.unitwise:
                # p point, i unit
                seen = signal if block.seen is None else signal * block.seen[points]
                np.sum(seen, axis=0, out=place)
            elif block.seen is not None:
                np.matmul(signal.T, block.seen[points], out=place.reshape(block.shape))
        return Scaled.of(found, top) if found.any() else Scaled(found)


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
        self.columns = Columns.of(asked[:, unrolled.points(self.first, self.last)])

    def advance(self) -> "Part":
        """Return this lag's part of the gradient, and go on to the next."""
        points = self.unrolled.points(self.first, self.last)
        pulled = self.unrolled.factor.each(points).pull(self.columns.array)
        here = Part(self.lag, self.first, self.last, pulled.signals, self.columns, self.unrolled)
        before = Columns.of(pulled.state, self.columns.exponents)
        self.lag, self.last = self.lag + 1, max(self.last - 1, 0)
        if self.first:
            self.first -= 1
            self.columns = before
        else:  # a stream that has come to the initial state has no weight before it
            self.columns = before[self.unrolled.sequences :]
        return here

    def summed(self) -> "Streams":
        """Return streams of all that comes later too: of Σ ∂L_t/∂s_k over t ≥ k + lag, by one backward pass.

        Their part of the gradient is the sum of all parts from this lag on.
        """
        unrolled, count = self.unrolled, self.unrolled.sequences
        whole = Columns.of(np.zeros((len(self.columns.array), count)))
        passed = [whole[:0]]
        for step in range(self.last - 1, -1, -1):
            place = step - self.first
            if place >= 0:
                whole = whole.plus(self.columns[place * count : (place + 1) * count])
            passed.append(whole)
            if step:
                factor = unrolled.factor.each(unrolled.points(step, step + 1))
                whole = Columns.of(factor.rmatmat(whole.array), whole.exponents)
        later = copy(self)
        later.first = 0
        later.columns = Columns(
            np.asfortranarray(np.concatenate([one.array for one in reversed(passed)], axis=1)),
            np.concatenate([one.exponents for one in reversed(passed)]),
        )
        return later


class Part(NamedTuple):
    """What one lag adds: the error signals of its streams at the steps from ``first`` to before ``last``."""

    lag: int
    first: int
    last: int
    signals: tuple[Array, ...]
    columns: Columns  # which say how the signals are scaled
    unrolled: Unrolled

    def gradient(self) -> Scaled:
        """Return this lag's part of the gradient."""
        points = self.unrolled.points(self.first, self.last)
        return self.unrolled.gradient(self.signals, self.columns, points)


class Lag(NamedTuple):
    """What a lag's part of the gradient G is, and what is left of G where all later lags are cut off."""

    norm: ScaledNumber
    share: float  # ⟨part, G⟩/‖G‖²
    kept: float  # ⟨parts up to here, G⟩/‖G‖²
    error: float  # ‖G − parts up to here‖/‖G‖
    cosine: float  # of the angle between the parts up to here and G


class Account:
    """Keeps the books of the parts, lag by lag, against the whole gradient."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.later = streams.summed()
        self.whole = self.later.advance().gradient()
        self.norm = _norm(self.whole)
        self.kept = Sum.of(Scaled(np.zeros_like(self.whole.array)))
        self.rest = Sum.of(self.whole)
        self.known = self.norm  # the largest that the rest has been since it was last summed itself

    def enter(self, part: Scaled) -> Lag:
        """Return what the next lag's part amounts to; the streams stand behind it."""
        self.kept.add(part)
        rest = self._left(part)
        return Lag(
            _norm(part),
            self._along(part),
            self._along(self.kept),
            _ratio(rest, self.norm),
            _cosine(self.kept.array, self.whole.array),
        )

    def _left(self, part: Scaled) -> ScaledNumber:
        """Return the norm of what the parts up to this one leave of the whole."""
        if not self.streams.columns.array.any():
            return number(0.0)
        if len(self.streams.columns.array) <= SMALL:
            return _norm(self.later.advance().gradient())
        self.rest.add(part, -1.0)
        rest = _norm(self.rest)
        if not _ratio(rest, self.known) >= FRESH:
            # the difference has lost its digits: what is left is summed by a pass of its own
            self.rest = Sum.of(self.streams.summed().advance().gradient())
            rest = self.known = _norm(self.rest)
        elif _ratio(rest, self.known) > 1.0:
            self.known = rest
        return rest

    def _along(self, part: Scaled | Sum) -> float:
        """Return ⟨part, G⟩/‖G‖²."""
        dot = float(part.array @ self.whole.array)
        size = _ratio(number(abs(dot), part.exponent + self.whole.exponent), self.norm.times(self.norm))
        return math.copysign(size, dot) if dot else 0.0


class Pairs:
    """Log₁₀ norm and share of the part of every pair of steps (t, k); of one sequence."""

    def __init__(self, account: Account) -> None:
        unrolled = account.streams.unrolled
        self.account = account
        self.log10_norms = np.full((unrolled.steps, unrolled.steps), np.nan)  # [t, k], from 0
        self.shares = np.zeros_like(self.log10_norms)
        # what the whole gradient makes of what the weights see: a share is its product with the signal
        self.met: list[Array] = []  # (points, rows)
        start = 0
        for block in unrolled.blocks:
            whole = account.whole.array[start : start + block.size].reshape(block.shape)
            start += block.size
            self.met.append(_met(whole, block, unrolled.steps))

    def enter(self, part: Part) -> None:
        """Note the next lag's pairs."""
        here = slice(part.first, part.last)
        squares, along = np.zeros((2, part.last - part.first))
        sizes = [block.sized(part.columns.exponents, here) for block in part.unrolled.blocks]
        exponents = np.max(sizes, axis=0)
        for block, met, own in zip(part.unrolled.blocks, self.met, sizes, strict=True):
            signal = part.signals[block.layer][block.rows].T
            if block.scale is not None:
                signal = signal * block.scale[here]
            level = factors(own, exponents)
            along += (signal * met[here]).sum(axis=1) * level
            squares += _squares(signal, block, here) * level**2
        rows, norm = np.arange(part.first, part.last), self.account.norm
        self.log10_norms[rows + part.lag, rows] = log10_of(np.sqrt(squares), exponents)
        shifts = np.maximum(exponents + self.account.whole.exponent - 2 * norm.exponent, -5000)
        self.shares[rows + part.lag, rows] = np.ldexp(along / (norm.mantissa or 1.0) ** 2, shifts)


def _met(whole: Array, block: Block, points: int) -> Array:
    """Return G v of one block at every point, (points, rows)."""
    if not block.unitwise and block.seen is not None:
        # p point, i row, j column
        return np.asarray(block.seen @ whole.T)
    seen = np.ones((points, len(whole))) if block.seen is None else block.seen
    return np.asarray(whole[:, 0] * seen)


def _squares(signal: Array, block: Block, points: slice) -> Array:
    """Return ‖δ vᵀ‖² at every point, or ‖δ⊙v‖² of a block that multiplies unit by unit."""
    if block.unitwise:
        seen = signal if block.seen is None else signal * block.seen[points]
        return np.asarray(np.square(seen).sum(axis=1))
    assert block.seen is not None
    return np.asarray(np.square(signal).sum(axis=1) * np.square(block.seen[points]).sum(axis=1))


def _norm(vector: Scaled | Sum) -> ScaledNumber:
    return number(float(np.sqrt(vector.array @ vector.array)), vector.exponent)


def _cosine(one: Array, other: Array) -> float:
    """Return the cosine of the angle between two vectors; nan where one is 0."""
    sizes = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / sizes if sizes else math.nan


def _ratio(one: ScaledNumber, other: ScaledNumber) -> float:
    """Return one number divided by another as a double: 0 where that is too small for one, nan for x/0."""
    if not other.mantissa:
        return math.nan
    if not one.mantissa:
        return 0.0
    return float(np.ldexp(one.mantissa / other.mantissa, max(one.exponent - other.exponent, -5000)))
