"""The Kreiss constant: how large the powers of a matrix must become before they decay."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.enclosure import EPS

RADII, ANGLES, STARTS, LEADING = 8, 8, 4, 24
NEAREST = -18.4  # log(1e-8): so near to the unit circle the limit itself is reached to 8 digits
LONGEST_STEP = 1.0  # of the search, in log(|z| − 1) and in the angle: a quasi-Newton step may point anywhere
TINY = float(np.finfo(np.float64).tiny)


def kreiss_constant(matrix: NDArray[Any], radius: float, proved: float = 1.0) -> float | None:
    """Return K(W) = sup over |z| > 1 of (|z| − 1)‖(z − W)⁻¹‖, where K ≤ sup‖Wᵏ‖ ≤ e·n·K.

    The supremum is sought from a grid of starting points by quasi-Newton steps: a lower bound that is sharp
    where the grid has found the right hill; sup‖Wᵏ‖ bounds it from above (Kreiss 1962; Trefethen
    & Embree 2005, chapter 18). None where z − W is singular to rounding at the best z.

    Parameters
    ----------
    matrix : array (n, n)
        W, power bounded: spectral radius at most 1, and no defective eigenvalue of modulus 1.
    radius : float
        Its spectral radius.
    proved : float
        A lower bound of K that is known, as from sup‖Wᵏ‖ ≤ e·n·K.

    Examples
    --------
    >>> round(kreiss_constant(np.array([[0.9, 1.0], [0.0, 0.9]]), 0.9), 9)
    2.6
    """
    norm = float(np.linalg.norm(matrix, 2))
    if norm <= 1.0:
        return 1.0  # 1 ≤ K ≤ sup‖Wᵏ‖ = 1
    points = _grid(matrix, max(1.0 - radius, 1e-7), norm)
    heights = _heights(matrix, points)
    best = points[np.argsort(-heights)[:STARTS]]
    tops = [top for point in best if (top := _climbed(matrix, point)) is not None]
    return max(1.0, proved, *tops) if tops else None


def _grid(matrix: NDArray[Any], margin: float, norm: float) -> NDArray[np.float64]:
    """Return points (log(|z| − 1), angle) around the unit circle, among them the eigenvalues' own angles."""
    real = np.isrealobj(matrix)
    eigenvalues = np.linalg.eigvals(matrix)
    leading = eigenvalues[np.argsort(-np.abs(eigenvalues))[:LEADING]]
    angles = np.concatenate([np.angle(leading), np.linspace(-np.pi, np.pi, 2 * ANGLES, endpoint=False)])
    distinct = sorted({round(abs(angle) if real else angle, 3) for angle in angles.tolist()})
    # Past |z| = ‖W‖ all is about 1; and of a huge W the terms (|z| − 1)‖Wᵏ‖/|z|ᵏ⁺¹, k < n, peak by n + 1.
    logs = np.linspace(np.log(margin / 4), np.log(min(4 * norm, 100.0 * len(matrix))), RADII)
    return np.array([(log, angle) for log in logs for angle in distinct])


def _heights(matrix: NDArray[Any], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log((|z| − 1)‖(z − W)⁻¹‖) at each of the points."""
    identity = np.eye(len(matrix))
    heights = []
    for log, angle in points:
        shifted = (1 + np.exp(log)) * np.exp(1j * angle) * identity - matrix
        heights.append(log - np.log(max(np.linalg.svd(shifted, compute_uv=False)[-1], TINY)))
    return np.array(heights)


def _height(matrix: NDArray[Any], point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], bool]:
    """Return log((|z| − 1)‖(z − W)⁻¹‖) and its gradient, from the smallest singular triple of z − W."""
    excess, turn = np.exp(point[0]), np.exp(1j * point[1])
    z = (1 + excess) * turn
    u, singular, vh = np.linalg.svd(z * np.eye(len(matrix)) - matrix)
    smallest = max(float(singular[-1]), TINY)
    overlap = complex(u[:, -1].conj() @ vh[-1].conj()) / smallest
    gradient = np.array([1 - (overlap * turn * excess).real, -(overlap * 1j * z).real])
    certain = smallest > 1000 * len(matrix) * EPS * singular[0]
    return float(point[0] - np.log(smallest)), gradient, certain


def _climbed(matrix: NDArray[Any], point: NDArray[np.float64]) -> float | None:
    """Return (|z| − 1)‖(z − W)⁻¹‖ at the hilltop above ``point``: BFGS in two variables."""
    inverse = np.eye(2) * 0.1
    height, gradient, certain = _height(matrix, point)
    for _ in range(60):
        step = inverse @ gradient
        length = min(1.0, LONGEST_STEP / max(float(np.abs(step).max()), TINY))
        while certain and length > 1e-8:
            moved = point + length * step
            moved[0] = max(moved[0], NEAREST)
            higher, slope, sure = _height(matrix, moved)
            if higher > height:
                break
            length /= 4
        else:
            break
        gain, delta, bend = higher - height, length * step, gradient - slope
        point, height, gradient, certain = moved, higher, slope, sure
        if gain < 1e-13:
            break
        curvature = float(delta @ bend)
        if curvature > 0:
            turn = np.eye(2) - np.outer(delta, bend) / curvature
            inverse = turn @ inverse @ turn.T + np.outer(delta, delta) / curvature
    return float(np.exp(height)) if certain else None
