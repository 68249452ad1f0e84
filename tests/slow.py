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


def triangle_logs(factors: Sequence[np.ndarray], start: np.ndarray) -> np.ndarray:
    """Σ ln r_ii along J Q = Q′R, after every step, by Gram & Schmidt twice over in 64 bits of mantissa."""
    columns = start.astype(np.longdouble)
    logs = np.zeros(columns.shape[1], np.longdouble)
    for factor in factors:
        columns = factor.astype(np.longdouble) @ columns
        for k in range(columns.shape[1]):
            for _ in range(2):
                columns[:, k] -= columns[:, :k] @ (columns[:, :k].T @ columns[:, k])
            length = np.sqrt((columns[:, k] ** 2).sum())
            logs[k] += np.log(length)
            columns[:, k] /= length
    return logs


def product_triangle_logs(factors: Sequence[np.ndarray], start: np.ndarray, digits: int) -> np.ndarray:
    """ln r_ii of J_T ⋯ J_1 Q_0 formed densely, with one QR at the end, in as many digits as that takes."""
    with mpmath.workdps(digits):
        product = mpmath.matrix(start.tolist())
        for factor in factors:
            product = mpmath.matrix(factor.tolist()) * product
        _, triangle = mpmath.qr(product, mode="skinny")
        return np.array([float(mpmath.log(abs(triangle[k, k]))) for k in range(start.shape[1])])


def credit(jacobians: Sequence[np.ndarray], asked: np.ndarray, immediate: Sequence[np.ndarray]) -> np.ndarray:
    """∂L_t/∂s_t ∂s_t/∂s_k ∂⁺s_k/∂W at [t, k], one dense product after the other, in 64 bits of mantissa.

    Of Jacobians ∂s_t/∂s_{t−1} (n, n), ∂L_t/∂s_t (T, n), and ∂⁺s_k/∂W (n, N): (T, T, N), 0 for k > t.
    """
    steps = len(asked)
    parts = np.zeros((steps, steps, immediate[0].shape[1]), np.longdouble)
    for t in range(steps):
        adjoint = asked[t].astype(np.longdouble)
        for k in range(t, -1, -1):
            parts[t, k] = adjoint @ immediate[k].astype(np.longdouble)
            adjoint = adjoint @ jacobians[k].astype(np.longdouble)
    return parts


def truncation(parts: np.ndarray) -> dict[str, np.ndarray]:
    """What cutting off behind each lag keeps and loses, of parts (lags, N): each tail a sum of its own."""
    whole, kept, columns = parts.sum(axis=0), np.zeros_like(parts[0]), []
    size = np.sqrt(whole @ whole)
    for lag, part in enumerate(parts):
        kept = kept + part
        tail = np.sum(parts[lag + 1 :], axis=0, initial=0.0)
        length = np.sqrt(kept @ kept)
        cosine = kept @ whole / (length * size) if length else np.longdouble(np.nan)
        columns.append((part @ whole / size**2, kept @ whole / size**2, np.sqrt(tail @ tail) / size, cosine))
    names = ("share", "cumulative_share", "truncation_error", "truncation_cosine")
    return dict(zip(names, np.transpose(columns), strict=True))


def eigenvalues(matrix: np.ndarray, digits: int = 120) -> np.ndarray:
    """The eigenvalues of a matrix as its entries are given, in so many digits that none is lost."""
    with mpmath.workdps(digits):
        values, _ = mpmath.eig(mpmath.matrix(matrix.tolist()))
        return np.array([complex(value) for value in values])
