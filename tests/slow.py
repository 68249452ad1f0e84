"""Slow twins: the same quantities by mpmath in many digits, or by the most literal loop."""

from collections.abc import Callable, Sequence

import mpmath
import numpy as np


def log10_norm(matrix: mpmath.matrix) -> float:
    """log₁₀ ‖A‖₂ from the eigenvalues of A Aᴴ, in the working precision of mpmath."""
    values = mpmath.eighe(matrix * matrix.H, eigvals_only=True)
    return float(mpmath.log10(max(values)) / 2)


def power_log10_norm(matrix: np.ndarray, steps: int) -> float:
    """log₁₀ ‖Wⁿ‖₂ in 60 digits."""
    with mpmath.workdps(60):
        return log10_norm(mpmath.matrix(matrix.tolist()) ** steps)


def product_log10_norms(factors: Sequence[np.ndarray]) -> list[float]:
    """log₁₀ ‖J_T ⋯ J_{T−k+1}‖₂ for k = 1 … T, every product dense and in 60 digits."""
    with mpmath.workdps(60):
        product, logs = mpmath.eye(len(factors[0])), []
        for factor in reversed(factors):
            product = product * mpmath.matrix(factor.tolist())
            logs.append(log10_norm(product))
        return logs


def central_differences(function: Callable[[np.ndarray], np.ndarray], at: np.ndarray) -> np.ndarray:
    """The Jacobian of ``function`` by central differences of fourth order."""
    step = 1e-3
    columns = []
    for k in range(len(at)):
        e = np.zeros_like(at)
        e[k] = step
        columns.append(
            (8 * (function(at + e) - function(at - e)) - (function(at + 2 * e) - function(at - 2 * e)))
            / (12 * step)
        )
    return np.stack(columns, axis=1)
