"""Whether a product is 0 by its structure: a 0 that is computed may be an underflow or a cancellation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.products import Action

Array = NDArray[Any]
DRAWS = 2  # random values for each pattern: a cancellation would have to happen in all of them
LARGE_VALUE = {8: 2.0**300, 4: 2.0**30}  # by bytes: so large that no product with a normal number underflows


def values_on(pattern: Array, dtype: np.dtype[Any], generator: np.random.Generator) -> Array:
    """Return random values where a pattern is true, 0 elsewhere: large ones, that no step takes to 0.

    What a factor makes of them is other than 0 wherever it is so for almost all values: a sum of products of
    independent random numbers is 0 by chance with a probability about eps alone.
    """
    return (LARGE_VALUE[dtype.itemsize] * generator.uniform(1.0, 2.0, pattern.shape) * pattern).astype(dtype)


class StructuralPattern:
    """The entries of Y_k = A_k ⋯ A_1 Y_0 that are other than 0 for almost all entries of A and Y_0.

    The others are 0 whatever rounding does: a triangular factor without a diagonal, a factor that is 0, a
    block that nothing feeds. Equal columns are kept once, so that a step costs a few columns as a rule.
    """

    def __init__(self, act: Action, start: Array) -> None:
        self.act, self.start = act, start
        self._restart()

    def _restart(self) -> None:
        self.lag, self.pattern = 0, self._distinct(self.start != 0)
        self.generator = np.random.default_rng(0)

    def is_zero(self, lag: int, rows: slice | Array = slice(None)) -> Array:
        """Return whether ``rows`` of Y_lag are 0 by structure, shape (...) as the leading axes of Y_0."""
        if lag < self.lag:
            self._restart()
        while self.lag < lag:
            values = [values_on(self.pattern, self.start.dtype, self.generator) for _ in range(DRAWS)]
            with np.errstate(all="ignore"):
                moved = self.act(self.lag, np.concatenate(values, axis=-1))
            found = np.any([draw != 0 for draw in np.split(moved, DRAWS, axis=-1)], axis=0)
            self.pattern, self.lag = self._distinct(found), self.lag + 1
        return np.asarray(~self.pattern[..., rows, :].any(axis=(-2, -1)))

    def _distinct(self, pattern: Array) -> Array:
        return np.unique(pattern, axis=1) if pattern.ndim == 2 and pattern.shape[1] > 1 else pattern
