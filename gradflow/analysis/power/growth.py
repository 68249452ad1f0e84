"""Transient growth: how large the powers of a matrix become before the long run sets in."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.norms import spectral_norm
from gradflow.linalg.power_bounds import NormBounds
from gradflow.linalg.powers import PowerTable
from gradflow.linalg.scaled import Scaled
from gradflow.printable import format_log10

# A difference of two log₁₀ norms that is more than rounding.
GROWTH_MARGIN = 1e-9


class Growth(NamedTuple):
    """The largest norm on the way to Wⁿ, and the last one; ``zero_from`` is the first k with Wᵏ = 0."""

    steps: int
    last: tuple[float, float, float]  # log₁₀ of the norm, nan where it is not known, and its bounds
    peak_step: int
    peak_log10_norm: float
    zero_from: int | None
    open_peak: bool = False  # whether a step whose norm is not known may have a larger one
    is_outdone: bool = False  # whether one surely has

    def sentence(self, endless: bool) -> str:
        """Return the transient growth and the last norm in words; ``endless``: growth is what is expected."""
        if self.zero_from is not None:
            return f"W^k is exactly 0 from step {self.zero_from} on."
        last = self._last_norm()
        if self.open_peak:
            if self.is_outdone and endless:
                return last
            peak = f"{format_log10(self.peak_log10_norm)} at step {self.peak_step}"
            others = f"one of the others {'is' if self.is_outdone else 'may be'} larger"
            return f"Of the norms of which a digit is known, the largest is {peak}; {others}. {last}"
        if 0 < self.peak_step < self.steps and self.peak_log10_norm > GROWTH_MARGIN:
            size = format_log10(self.peak_log10_norm)
            if endless:
                return f"Up to step {self.steps} ‖W^k‖ is largest at step {self.peak_step}: {size}. {last}"
            if size == format_log10(self.last[0]):
                return f"First it grows: from step {self.peak_step} on ‖W^k‖ is {size} to the digits shown."
            return f"First it grows: ‖W^k‖ peaks at {size} at step {self.peak_step}. {last}"
        if self.peak_step == self.steps > 0 and self.peak_log10_norm > GROWTH_MARGIN and not endless:
            return f"But up to step {self.steps} it has grown. {last}"
        return last

    def _last_norm(self) -> str:
        computed, low, high = self.last
        if not math.isnan(computed):
            return f"‖W^{self.steps}‖ = {format_log10(computed)}."
        if low == -math.inf:
            return f"Because of rounding, ‖W^{self.steps}‖ is only known to be at most {format_log10(high)}."
        between = f"between {format_log10(low)} and {format_log10(high)}"
        return f"Because of rounding, ‖W^{self.steps}‖ is only known to lie {between}."


def transient_growth(matrix: Scaled, steps: list[int], bounds: NormBounds, zero_from: int | None) -> Growth:
    """Return the peak of ‖Wᵏ‖ over 0…n: exact to step 1000; between later listed steps it is searched for.

    The search halves the gaps beside the highest listed step, odd steps too; it may miss a peak elsewhere.
    Steps whose norm is not known take no part.

    Parameters
    ----------
    matrix : Scaled
        W.
    steps : list of int
        Ascending, from 0.
    bounds : NormBounds
        Of their norms.
    zero_from : int or None
        The first step whose power is known to be exactly 0.
    """
    size = len(matrix.array)
    logs = np.where(np.isnan(bounds.computed), -np.inf, bounds.computed).tolist()
    # Rounding over k steps may lift ‖Wᵏ‖ by k·n·eps: no higher than that does not outdo an earlier step.
    top = max(log - k * size * DOUBLE_EPS for k, log in zip(steps, logs, strict=True))
    place = next(i for i, log in enumerate(logs) if log >= top - 1e-12)
    best = (logs[place], -steps[place])
    powers = PowerTable(matrix)
    for index in range(max(place - 2, 0), min(place + 2, len(steps) - 1)):
        before, after = steps[index], steps[index + 1]
        known = math.isfinite(logs[index]) and math.isfinite(logs[index + 1])
        if known and after - before > 1:
            found = max(_search_peak(powers, before, after))
            best = max(best, found) if found[0] > best[0] + 1e-12 * (1.0 + abs(best[0])) else best
    last = (float(bounds.computed[-1]), float(bounds.low[-1]), float(bounds.high[-1]))
    unknown = np.isnan(bounds.computed)
    open_peak, is_outdone = (bool((ends[unknown] > best[0]).any()) for ends in (bounds.high, bounds.low))
    return Growth(steps[-1], last, -best[1], best[0], zero_from, open_peak, is_outdone)


def _search_peak(powers: PowerTable, low: int, high: int) -> Iterator[tuple[float, int]]:
    """Yield (log₁₀ norm, −step) at steps that close in by thirds on a peak, each with its neighbour."""

    def height(step: int) -> tuple[float, int]:
        return spectral_norm(powers.compute(step).value).log10(), -step

    first_step, last_step = low, high
    while high - low > 2:
        left, right = low + (high - low) // 3, high - (high - low) // 3
        first, second = max(height(left), height(left + 1)), max(height(right), height(right - 1))
        yield from (first, second)
        low, high = (left, high) if first[0] < second[0] else (low, right)
    yield from (height(step) for step in range(low - 2, high + 3) if first_step <= step <= last_step)
