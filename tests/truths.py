"""Reference values: closed forms and published figures, never the output of what is tested."""

import math

import numpy as np

EXERCISE = np.array([[0.58, 0.24], [0.24, 0.72]])
FIBONACCI_90 = 2880067194370816120  # F(90), an exact integer beyond 2^53
LOG_GOLDEN = math.log((1 + math.sqrt(5)) / 2)
CAT_MAP = np.array([[2.0, 1.0], [1.0, 1.0]])


def jordan_norm(eigenvalue: float, steps: int) -> float:
    """‖[[λ,1],[0,λ]]ⁿ‖₂ = (b + √(b² + 4a²))/2 with a = λⁿ, b = nλⁿ⁻¹."""
    a, b = eigenvalue**steps, steps * eigenvalue ** (steps - 1)
    return (b + math.sqrt(b * b + 4 * a * a)) / 2


def kreiss_two_by_two(eigenvalue: float, coupling: float) -> float:
    """The Kreiss constant of [[λ,a],[0,λ]]."""
    ratio = coupling / (1 - eigenvalue)
    return ratio / 4 + 1 / ratio if ratio >= 2 else 1.0


def hippo_legs(size: int, dt: float = 0.1) -> np.ndarray:
    """The bilinear discretisation of HiPPO-LegS (Gu et al. 2020), a lower triangular matrix."""
    n = np.arange(size)
    root = np.sqrt(2 * n + 1.0)
    a = -np.tril(np.outer(root, root), -1) - np.diag(n + 1.0)
    return np.linalg.solve(np.eye(size) - dt / 2 * a, np.eye(size) + dt / 2 * a)


def hippo_eigenvalues(size: int, dt: float = 0.1) -> np.ndarray:
    """Its exact eigenvalues."""
    k = np.arange(1, size + 1)
    return (1 - dt * k / 2) / (1 + dt * k / 2)


def similar(matrix: np.ndarray, seed: int, *, orthogonal: bool = False) -> np.ndarray:
    """P M P⁻¹ with a random P: the same eigenvalues and Jordan structure, no longer in plain sight."""
    basis = np.random.default_rng(seed).standard_normal(matrix.shape)
    if orthogonal:
        basis, _ = np.linalg.qr(basis)
    return basis @ matrix @ np.linalg.inv(basis)


def jordan_blocks(*blocks: tuple[float, int]) -> np.ndarray:
    """A block-diagonal matrix of Jordan blocks (eigenvalue, size)."""
    total = sum(size for _, size in blocks)
    matrix, start = np.zeros((total, total)), 0
    for eigenvalue, size in blocks:
        matrix[start : start + size, start : start + size] = eigenvalue * np.eye(size) + np.eye(size, k=1)
        start += size
    return matrix


def newman(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Exponents of products of N(0, 1) matrices, and the variance of each step's ln r_ii.

    r_ii² is χ² of N − i + 1 degrees of freedom, independent of all else: λ_i = ½[ln 2 + ψ((N − i + 1)/2)] and
    ¼ψ′((N − i + 1)/2) (Newman 1986).
    """
    from scipy.special import polygamma, psi

    halves = (size - np.arange(size)) / 2
    return (math.log(2) + psi(halves)) / 2, polygamma(1, halves) / 4
