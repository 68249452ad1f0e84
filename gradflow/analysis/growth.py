"""Transient growth: how large the powers of a matrix become before the long run sets in."""

import math
from typing import NamedTuple

from gradflow.analysis.words import decimal
from gradflow.linalg.norms import spectral_norm
from gradflow.linalg.powers import matrix_power
from gradflow.linalg.scaled import Scaled

# A difference of two log₁₀ norms that is more than rounding.
MARGIN = 1e-9


class Growth(NamedTuple):
    """The largest norm on the way to Wⁿ, and the last; ``zero_from`` is the first k with Wᵏ = 0."""

    steps: int
    log10_norm: float
    peak_step: int
    peak_log10_norm: float
    zero_from: int | None

    def sentence(self) -> str:
        """Return the transient growth and the last norm in words."""
        if self.zero_from is not None:
            return f"W^k is exactly 0 from step {self.zero_from} on."
        last = f"‖W^{self.steps}‖ = {decimal(self.log10_norm)}."
        if 0 < self.peak_step < self.steps and self.peak_log10_norm > MARGIN:
            peak = f"{decimal(self.peak_log10_norm)} at step {self.peak_step}"
            return f"First it grows: ‖W^k‖ peaks at {peak}. {last}"
        return last


def transient_growth(matrix: Scaled, steps: list[int], logs: list[float]) -> Growth:
    """Return the peak of ‖Wᵏ‖ over 0…n; between two listed steps it is sought by ternary search."""
    top = max(logs)
    place = next(i for i, log in enumerate(logs) if log >= top - 1e-12)  # the first of equals, to rounding
    peak, height = steps[place], logs[place]
    if 0 < place < len(steps) - 1 and steps[place + 1] - steps[place - 1] > 2:
        low, high = steps[place - 1], steps[place + 1]
        while high - low > 2:
            left, right = low + (high - low) // 3, high - (high - low) // 3
            if _log10_norm(matrix, left) < _log10_norm(matrix, right):
                low = left
            else:
                high = right
        height, peak = max((_log10_norm(matrix, k), k) for k in (peak, *range(low, high + 1)))
    zero = next((k for k, log in zip(steps, logs, strict=True) if log == -math.inf), None)
    return Growth(steps[-1], logs[-1], peak, height, zero)


def _log10_norm(matrix: Scaled, steps: int) -> float:
    return spectral_norm(matrix_power(matrix, steps).value).log10()
