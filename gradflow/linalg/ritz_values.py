"""The largest Ritz value of a Lanczos iteration, and what the random start says about larger eigenvalues.

k steps of the iteration on a symmetric A leave a tridiagonal matrix T: its diagonal, and the entries beside
it. The largest eigenvalue of T, the Ritz value, is at most that of A. All functions treat many iterations at
once, one in each column.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

VALUE_BISECTIONS = 54  # so that a Ritz value is right to its last digit
EXCESS_BISECTIONS = 12  # of ln(excess): the bound is at most a hundredth too large
LOWEST_LOG_EXCESS, HIGHEST_LOG_EXCESS = -36.0, 6.0  # from under eps to 400 times the Ritz value


class LanczosTridiagonals(NamedTuple):
    """The tridiagonal matrices of p iterations, shape (k, p) each.

    Row j of ``beside`` has the entries between the rows j and j + 1. The last row belongs to the step that
    was not taken.
    """

    diagonal: Array
    beside: Array

    @classmethod
    def from_bidiagonals(cls, alphas: Array, betas: Array) -> "LanczosTridiagonals":
        """Return BᵀB for upper bidiagonal B with the diagonals ``alphas`` and ``betas``, (k, p) each."""
        diagonal = alphas**2
        diagonal[1:] += betas[:-1] ** 2
        return cls(diagonal, alphas * betas)

    def find_largest(self) -> Array:
        """Return the largest eigenvalue of each matrix, (p,), by bisection (Golub & Van Loan 2013, 8.4.1).

        Examples
        --------
        >>> pair = LanczosTridiagonals(np.array([[2.0], [2.0]]), np.array([[1.0], [0.0]]))
        >>> pair.find_largest().round(12).tolist()
        [3.0]
        """
        inside = np.vstack([np.abs(self.beside[:-1]), np.zeros((1, self.diagonal.shape[1]))])
        radii = inside.copy()
        radii[1:] += inside[:-1]
        low, high = self.diagonal.max(axis=0), (self.diagonal + radii).max(axis=0)  # Gershgorin
        for _ in range(VALUE_BISECTIONS):
            middle = 0.5 * (low + high)
            above = (self._list_pivots(middle) > 0).all(axis=0)
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return np.asarray(high)

    def bound_hidden(self, largest: Array, taken: Array, part: Array, eps: float) -> Array:
        """Return a bound of how far the largest eigenvalue of A may lie over the Ritz value, relative to it.

        It is inf if it is over exp(`HIGHEST_LOG_EXCESS`).

        It holds if the start had at least ``part`` along the leading eigenvector. The steps so far fix the
        first moments of the spectral measure of the start, with orthonormal polynomials p_0 … p_k. A point x
        above all Ritz values has at most the mass 1/Σ p_j(x)² (Chebyshev, Markov & Stieltjes; Szegő 1975,
        section 3.41). So part² p_j(x)² ≤ 1 for every j. The product of the pivots of x − T is ∏ e_i p_j(x)
        for the entries e_i beside the diagonal.

        Parameters
        ----------
        largest : array (p,)
            What `find_largest` returned.
        taken : array (p,)
            The number of steps, at most k, after which nothing of the start was left: later entries are 0.
        part : array (p,)
        eps : float
            The rounding of the iteration.
        """
        top = np.where(largest > 0, largest, 1.0)
        # A rest that is only rounding may be as large as eps.
        rests = np.log(np.maximum(self.beside / top, eps))
        counts = np.arange(len(rests))[:, None] < taken
        level = -np.log(part)

        def reaches(log_excess: Array) -> Array:
            pivots = np.maximum(self._list_pivots(top * (1.0 + np.exp(log_excess))) / top, eps * eps)
            growth = np.cumsum(np.where(counts, np.log(pivots) - rests, 0.0), axis=0)
            return np.asarray(growth.max(axis=0) >= level)

        low = np.full(top.shape, LOWEST_LOG_EXCESS)
        high = np.full(top.shape, HIGHEST_LOG_EXCESS)
        is_bounded = reaches(high)
        for _ in range(EXCESS_BISECTIONS):
            middle = 0.5 * (low + high)
            reached = reaches(middle)
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        return np.where(largest > 0, np.where(is_bounded, np.exp(high), np.inf), 0.0)

    def estimate_residuals(self, largest: Array) -> Array:
        """Return estimates of ‖A y − θ y‖/θ for unit vectors y near those of the largest Ritz values θ, (p,).

        With the components c_i that satisfy the rows of T c = θ c one after the other, the vector of the
        first j of them has the residual |c_j| √(d_j² + e_j²), where d_j is a pivot of θ − T. The smallest
        over j is returned, because rounding lets the components grow again behind the smallest.
        """
        top = np.where(largest > 0, largest, 1.0)
        pivots = self._list_pivots(largest)
        ratios = pivots[:-1] / np.where(self.beside[:-1] != 0, self.beside[:-1], 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            components = np.cumprod(np.vstack([np.ones_like(top), ratios]), axis=0)
            lengths = np.sqrt(np.cumsum(components**2, axis=0))
            residuals = np.abs(components) / lengths * np.hypot(pivots, self.beside)
        return np.asarray(np.fmin.reduce(residuals, axis=0) / top)

    def _list_pivots(self, points: Array) -> Array:
        """Return the pivots of x − T without exchanges, (k, p). All are positive if x is above every θ."""
        pivots = points - self.diagonal
        squares = self.beside**2
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            for row in range(1, len(pivots)):
                pivots[row] -= squares[row - 1] / pivots[row - 1]
        return pivots
