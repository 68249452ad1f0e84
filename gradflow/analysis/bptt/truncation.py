"""The books of a gradient's parts: what each lag adds, what a window loses, what a pair of steps brings."""

import math
from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.bptt.parameters import Block
from gradflow.analysis.bptt.sweep import SignalPart, Streams
from gradflow.cells.base import Array
from gradflow.linalg.columns import Sum, column_scales
from gradflow.linalg.entrywise import MAX_SHIFT_BITS
from gradflow.linalg.scaled import ZERO_EXPONENT, Scaled, ScaledNumber, log10_of, number

# Up to this state size, streams of the remaining parts are quicker than occasional passes.
MAX_STREAMED_STATE = 64
MIN_LAGS_PER_PASS = 8  # lags in which a pass pays: where it is needed more often, streams do
SAFE_SUM_SQUARES = 2.0**-900, 2.0**900  # sums of squares between which no square that counts is out of range
# A sum that shrinks below this share by subtraction is summed again, so that it is right to 1e-9.
MIN_REMAINING_SHARE = 2.0**-20


class Lag(NamedTuple):
    """What a lag's part of the gradient G is, and what is left of G where all later lags are cut off."""

    norm: ScaledNumber
    share: float  # ⟨part, G⟩/‖G‖²
    kept: float  # ⟨parts up to here, G⟩/‖G‖²
    error: ScaledNumber  # ‖G − parts up to here‖/‖G‖
    cosine: float  # of the angle between the parts up to here and G


class Account:
    """Keeps the books of the parts, lag by lag, against the whole gradient."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.later = streams.sum_later()
        self.whole = self.later.advance().gradient()
        self.norm = _norm(self.whole)
        self.kept = Sum.of(Scaled(np.zeros_like(self.whole.array)))
        self.rest = Sum.of(self.whole)
        self.known = self.norm  # the largest that the rest has been since it was last summed itself
        self.since = 0  # lags that ago
        self.riding = (
            len(streams.columns.array) <= MAX_STREAMED_STATE
        )  # whether ``later`` goes on with the streams

    def enter(self, part: Scaled) -> Lag:
        """Return what the next lag's part amounts to; the streams stand behind it."""
        self.kept.add(part)
        sign, kept = self._along(self.kept)
        cosine = _value(sign, _divided(kept, _divided(_norm(self.kept), self.norm)))
        return Lag(
            _norm(part),
            _value(*self._along(part)),
            _value(sign, kept),
            _divided(self._left(part), self.norm),
            max(-1.0, min(1.0, cosine)) if self.kept.array.any() else math.nan,
        )

    def lost(self, streams: Streams, window: int) -> ScaledNumber:
        """Return ‖G − what is kept‖/‖G‖ where the state is detached every ``window`` steps.

        ``streams`` stand at lag 0.
        """
        pieces = streams.sum_later(window)
        rest = Sum.of(self.whole)
        rest.add(copy(pieces).advance().gradient(), -1)
        found = _divided(_norm(rest), self.norm)
        if found.mantissa and found.value() >= MIN_REMAINING_SHARE:
            return found
        return _divided(_norm(pieces.crossing(window).sum_later().advance().gradient()), self.norm)

    def change(self, other: Scaled) -> float:
        """Return ‖G̃ − G‖/‖G‖ of another gradient G̃; inf where G is 0 and G̃ is not."""
        rest = Sum.of(other)
        rest.add(self.whole, -1)
        size = _norm(rest)
        if not self.norm.mantissa:
            return math.inf if size.mantissa else 0.0
        return _ratio(size, self.norm)

    def _left(self, part: Scaled) -> ScaledNumber:
        """Return the norm of what the parts up to this one leave of the whole."""
        if self.streams.columns.empty:
            return number(0.0)
        if self.riding:
            return _norm(self.later.advance().gradient())
        self.rest.add(part, -1)
        self.since += 1
        rest = _norm(self.rest)
        if not _ratio(rest, self.known) >= MIN_REMAINING_SHARE:
            # the difference has lost its digits: what is left is summed by a pass of its own
            self.later = self.streams.sum_later()
            self.riding, self.since = self.since < MIN_LAGS_PER_PASS, 0
            self.rest = Sum.of(self.later.advance().gradient())
            rest = self.known = _norm(self.rest)
        elif _ratio(rest, self.known) > 1.0:
            self.known = rest
        return rest

    def _along(self, part: Scaled | Sum) -> tuple[float, ScaledNumber]:
        """Return ⟨part, G⟩/‖G‖² as its sign and its size."""
        dot = float(part.array @ self.whole.array)
        size = number(abs(dot), part.exponent + self.whole.exponent)
        return math.copysign(1.0, dot), _divided(size, self.norm.times(self.norm)) if dot else size


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

    def enter(self, part: SignalPart) -> None:
        """Note the next lag's pairs."""
        here = slice(part.first, part.last)
        squares, along = np.zeros((2, part.last - part.first))
        blocks = part.unrolled.blocks
        signals = [_signal(part, block, here) for block in blocks]
        sizes = [block.add_exponents(own, here) for block, (_, own) in zip(blocks, signals, strict=True)]
        exponents = np.max(sizes, axis=0)
        for block, met, own, (signal, _) in zip(blocks, self.met, sizes, signals, strict=True):
            level = column_scales(own, exponents)
            along += (signal * met[here]).sum(axis=1) * level
            squares += _squares(signal, block, here) * level**2
        rows, norm = np.arange(part.first, part.last), self.account.norm
        self.log10_norms[rows + part.lag, rows] = log10_of(np.sqrt(squares), exponents)
        shifts = np.maximum(exponents + self.account.whole.exponent - 2 * norm.exponent, -5000)
        self.shares[rows + part.lag, rows] = np.ldexp(along / (norm.mantissa or 1.0) ** 2, shifts) + 0.0


def _signal(part: SignalPart, block: Block, points: slice) -> tuple[Array, NDArray[np.int64]]:
    """Return δ of a block, (points, rows), with the largest that counts near 1, and the powers of two of it.

    Of a block that multiplies unit by unit that is the largest δ⊙v.
    """
    columns = part.signal(block)
    array, exponents = columns.array.T, columns.exponents.T
    with part.unrolled.watch.watching():
        if block.scale is not None:
            array = array * block.scale[points]
        counted = array * block.seen[points] if block.unitwise and block.seen is not None else array
    if exponents.ndim == 1:
        exponents = exponents[:, None]
    shifts = np.frexp(counted)[1] + exponents
    top = np.where(counted != 0, shifts, ZERO_EXPONENT).max(axis=1, initial=ZERO_EXPONENT)
    near = np.ldexp(array, np.clip(exponents - top[:, None], -MAX_SHIFT_BITS, MAX_SHIFT_BITS))
    return np.where(counted != 0, near, 0.0).astype(np.float64), top


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
    square = float(vector.array @ vector.array)
    if SAFE_SUM_SQUARES[0] < square < SAFE_SUM_SQUARES[1]:
        return number(math.sqrt(square), vector.exponent)
    largest = float(np.abs(vector.array).max(initial=0.0))
    if not largest:
        return number(0.0)
    shift = math.frexp(largest)[1]
    near = np.ldexp(vector.array, -shift)
    return number(float(np.sqrt(near @ near)), vector.exponent + shift)


def _value(sign: float, size: ScaledNumber) -> float:
    """Return a number with a sign as a double, 0 where it is too small for one."""
    value = size.value()
    return sign * value if value > 0 else 0.0


def _divided(one: ScaledNumber, other: ScaledNumber) -> ScaledNumber:
    """Return one number divided by another, nan for x/0."""
    if not other.mantissa:
        return ScaledNumber(math.nan)
    return number(one.mantissa / other.mantissa, one.exponent - other.exponent)


def _ratio(one: ScaledNumber, other: ScaledNumber) -> float:
    """Return one number divided by another as a double: 0 where that is too small for one, nan for x/0."""
    value = _divided(one, other).value() if other.mantissa else math.nan
    return 0.0 if math.isnan(value) and other.mantissa else value
