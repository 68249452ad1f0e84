"""Products that are 0 by their structure: a computed 0 may also be an underflow or a cancellation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.products import Action

Array = NDArray[Any]
PATTERN_DRAWS = 2  # draws of random values for each pattern: a cancellation would have to hit all of them
# By bytes of a number. No product of such a value with a normal number underflows.
PATTERN_VALUE = {8: 2.0**300, 4: 2.0**30}


def draw_values_on(pattern: Array, dtype: np.dtype[Any], generator: np.random.Generator) -> Array:
    """Return large random values where a pattern is true, and 0 elsewhere: no step underflows them to 0.

    The image of these values under a factor is other than 0 wherever it is so for almost all values. A sum of
    products of independent random numbers is 0 by chance with a probability of only about eps.
    """
    return (PATTERN_VALUE[dtype.itemsize] * generator.uniform(1.0, 2.0, pattern.shape) * pattern).astype(
        dtype
    )


class StructuralPattern:
    """The entries of Y_k = A_k ⋯ A_1 Y_0 that are other than 0 for almost all entries of A and Y_0.

    All other entries are 0, whatever rounding does. Examples are a triangular factor without a diagonal, a
    factor that is 0, or a block without input. Equal columns are kept once, so a step usually costs a few
    columns.
    """

    def __init__(self, act: Action, start: Array) -> None:
        self.act, self.start = act, start
        self._restart()

    def _restart(self) -> None:
        self.lag, self.pattern = 0, self._keep_distinct_columns(self.start != 0)
        self.generator = np.random.default_rng(0)

    def is_zero(self, lag: int, rows: slice | Array = slice(None)) -> Array:
        """Return whether ``rows`` of Y_lag are 0 by structure, shape (...) as the leading axes of Y_0."""
        if lag < self.lag:
            self._restart()
        while self.lag < lag:
            values = [
                draw_values_on(self.pattern, self.start.dtype, self.generator) for _ in range(PATTERN_DRAWS)
            ]
            with np.errstate(all="ignore"):
                moved = self.act(self.lag, np.concatenate(values, axis=-1))
            nonzero = np.any([draw != 0 for draw in np.split(moved, PATTERN_DRAWS, axis=-1)], axis=0)
            self.pattern, self.lag = self._keep_distinct_columns(nonzero), self.lag + 1
        return np.asarray(~self.pattern[..., rows, :].any(axis=(-2, -1)))

    def _keep_distinct_columns(self, pattern: Array) -> Array:
        if pattern.ndim != 2 or pattern.shape[1] < 2:
            return pattern
        # numpy.unique would load numpy.ma, which takes a tenth of the start-up
        columns = np.packbits(pattern, axis=0).T
        places = {column.tobytes(): place for place, column in enumerate(columns)}
        return pattern[:, sorted(places.values())]
