"""The gradient of a loss taken apart by lag: every part of ∂L/∂W = Σ_t Σ_{k≤t} ∂L_t/∂s_t ∂s_t/∂s_k ∂⁺s_k/∂W.

All adjoint streams ∂L_t/∂s_k of one lag t − k are the columns of one matrix. A step of all of them is one
product with Wᵀ, and the part of the gradient at that lag one product of error signals and what the weights
see: O(T²n²) for all lags of T steps, with O(Tn + n²) numbers held.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.parameters import Block
from gradflow.cells.base import Array
from gradflow.cells.factor import StepFactor
from gradflow.linalg.columns import NOWHERE, Columns, factors
from gradflow.linalg.scaled import Scaled


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
        return Scaled.of(found, top)


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

    def summed(self, window: int | None = None) -> "Streams":
        """Return streams of all that comes later too: of Σ ∂L_t/∂s_k over t ≥ k + lag, by one backward pass.

        Their part of the gradient is the sum of all parts from this lag on: with ``window`` of those alone
        that do not cross a step at which the state is detached, every so many steps. The pieces between go
        side by side.
        """
        window = min(window or self.last, self.last)
        asked = self.columns.after(self.first * self.unrolled.sequences)
        whole = Columns(np.empty_like(asked.array, order="F"), np.empty_like(asked.exponents))
        carried = asked[:0]
        for place in range(window - 1, -1, -1):
            points = self._points(place, window)
            carried = asked[points].plus_first(carried)  # the last piece may be shorter
            whole.array[:, points], whole.exponents[points] = carried.array, carried.exponents
            if place:
                factor = self.unrolled.factor.each(points)
                carried = Columns.of(factor.rmatmat(carried.array), carried.exponents)
        later = copy(self)
        later.first, later.columns = 0, whole
        return later

    def crossing(self, window: int) -> "Streams":
        """Return streams of what the pieces of `summed` would hand on to those before them."""
        count = self.unrolled.sequences
        ends = np.arange(window, self.last, window)  # the first step of each piece but the first
        points = (ends[:, None] * count + np.arange(count)).ravel()
        array = np.zeros_like(self.columns.array)
        exponents = np.full_like(self.columns.exponents, NOWHERE)
        factor = self.unrolled.factor.each(points)
        handed = Columns.of(factor.rmatmat(self.columns.array[:, points]), self.columns.exponents[points])
        array[:, points - count], exponents[points - count] = handed.array, handed.exponents
        later = copy(self)
        later.columns = Columns(array, exponents)
        return later

    def _points(self, place: int, window: int) -> slice | NDArray[np.intp]:
        """Return the points of one place in every piece."""
        count = self.unrolled.sequences
        if place + window >= self.last:
            return self.unrolled.points(place, place + 1)
        steps = np.arange(place, self.last, window)
        return np.asarray((steps[:, None] * count + np.arange(count)).ravel())


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
