"""The Kreiss constant: how large the powers of a matrix must become before they decay."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.floating import DOUBLE_EPS, SMALLEST_NORMAL_DOUBLE

GRID_RADII, GRID_ANGLES, CLIMB_STARTS, LEADING_EIGENVALUES = 8, 8, 4, 24
MIN_LOG_EXCESS = -18.4  # log(1e-8): this close to the unit circle, the limit is right to 8 digits
MAX_CLIMB_STEP = 1.0  # in log(|z| − 1) and in the angle, because a quasi-Newton step may point anywhere


def kreiss_constant(matrix: NDArray[Any], radius: float, proved: float = 1.0) -> float | None:
    """Return K(W) = sup over |z| > 1 of (|z| − 1)‖(z − W)⁻¹‖, where K ≤ sup‖Wᵏ‖ ≤ e·n·K.

    Quasi-Newton steps seek the supremum from a grid of starting points. The result is a lower bound, which is
    sharp if the grid has a point on the right hill. sup‖Wᵏ‖ bounds it from above (Kreiss 1962; Trefethen &
    Embree 2005, chapter 18). It is None if z − W is singular to rounding at the best z.

    Parameters
    ----------
    matrix : array (n, n)
        W, power bounded: its spectral radius is at most 1, and no eigenvalue of modulus 1 is defective.
    radius : float
        Its spectral radius.
    proved : float
        A known lower bound of K, for example from sup‖Wᵏ‖ ≤ e·n·K.

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
    best = points[np.argsort(-heights)[:CLIMB_STARTS]]
    tops = [top for point in best if (top := _climb_hill(matrix, point)) is not None]
    return max(1.0, proved, *tops) if tops else None


def _grid(matrix: NDArray[Any], margin: float, norm: float) -> NDArray[np.float64]:
    """Return points (log(|z| − 1), angle) around the unit circle, also at the angles of eigenvalues."""
    real = np.isrealobj(matrix)
    eigenvalues = np.linalg.eigvals(matrix)
    leading = eigenvalues[np.argsort(-np.abs(eigenvalues))[:LEADING_EIGENVALUES]]
    angles = np.concatenate([np.angle(leading), np.linspace(-np.pi, np.pi, 2 * GRID_ANGLES, endpoint=False)])
    distinct = sorted({round(abs(angle) if real else angle, 3) for angle in angles.tolist()})
    # Beyond |z| = ‖W‖ all heights are about 1. For a huge W the terms (|z| − 1)‖Wᵏ‖/|z|ᵏ⁺¹, k < n, have
    # their peak at |z| ≤ n + 1.
    logs = np.linspace(np.log(margin / 4), np.log(min(4 * norm, 100.0 * len(matrix))), GRID_RADII)
    return np.array([(log, angle) for log in logs for angle in distinct])


def _heights(matrix: NDArray[Any], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log((|z| − 1)‖(z − W)⁻¹‖) at each of the points."""
    identity = np.eye(len(matrix))
    heights = []
    for log, angle in points:
        shifted = (1 + np.exp(log)) * np.exp(1j * angle) * identity - matrix
        heights.append(
            log - np.log(max(np.linalg.svd(shifted, compute_uv=False)[-1], SMALLEST_NORMAL_DOUBLE))
        )
    return np.array(heights)


def _height(matrix: NDArray[Any], point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], bool]:
    """Return log((|z| − 1)‖(z − W)⁻¹‖), its gradient, and whether z − W is regular beyond rounding.

    They follow from the smallest singular triple of z − W.
    """
    excess, turn = np.exp(point[0]), np.exp(1j * point[1])
    z = (1 + excess) * turn
    u, singular, vh = np.linalg.svd(z * np.eye(len(matrix)) - matrix)
    smallest = max(float(singular[-1]), SMALLEST_NORMAL_DOUBLE)
    overlap = complex(u[:, -1].conj() @ vh[-1].conj()) / smallest
    gradient = np.array([1 - (overlap * turn * excess).real, -(overlap * 1j * z).real])
    certain = smallest > 1000 * len(matrix) * DOUBLE_EPS * singular[0]
    return float(point[0] - np.log(smallest)), gradient, certain


def _climb_hill(matrix: NDArray[Any], point: NDArray[np.float64]) -> float | None:
    """Return (|z| − 1)‖(z − W)⁻¹‖ at the hilltop above ``point``, by BFGS in two variables."""
    inverse = np.eye(2) * 0.1
    height, gradient, certain = _height(matrix, point)
    for _ in range(60):
        step = inverse @ gradient
        length = min(1.0, MAX_CLIMB_STEP / max(float(np.abs(step).max()), SMALLEST_NORMAL_DOUBLE))
        while certain and length > 1e-8:
            moved = point + length * step
            moved[0] = max(moved[0], MIN_LOG_EXCESS)
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
