"""The numerical radius: the largest modulus in the numerical range {x*Wx : ‖x‖ = 1}."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

ANGLES, CLIMB = 8, 30
# The relative excess that the level set is sought at, and the relative slope at which a hill is climbed.
TOLERANCE, SLOPE = 1e-9, 1e-9


def numerical_radius(matrix: NDArray[Any]) -> float:
    """Return w(W) = max over θ of the largest eigenvalue of H(θ) = (e^{iθ}W + e^{−iθ}W*)/2.

    Level sets (Mengi & Overton 2005): angles where H(θ) has the eigenvalue r bound the intervals in which it
    exceeds r; their midpoints give a better r, until no such angle is left. So the maximum is global, within
    a relative 1e-9; ‖W‖/2 ≤ w(W) ≤ ‖W‖ always.

    Parameters
    ----------
    matrix : array (n, n)
        Entries of about 1: see `gradflow.linalg.scaled`.

    Examples
    --------
    >>> round(numerical_radius(np.array([[0.0, 1.0], [0.0, 0.0]])), 12)
    0.5
    """
    if np.array_equal(matrix, matrix.conj().T):
        return float(np.abs(np.linalg.eigvalsh(matrix)).max())
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    heights = _heights(matrix, angles)
    best, lowest = float(angles[np.argmax(heights)]), float(angles[np.argmin(heights)])
    radius = 0.0
    while True:
        climbed = _climbed(matrix, best, radius)
        if climbed <= radius * (1 + TOLERANCE):
            return max(climbed, radius)
        radius = climbed
        crossings = _crossings(matrix, radius * (1 + TOLERANCE), lowest)
        if not len(crossings):
            return radius
        middles = crossings + np.diff(crossings, append=crossings[0] + 2 * np.pi) / 2
        heights = _heights(matrix, middles)
        best = float(middles[np.argmax(heights)])
        if heights.max() <= radius * (1 + TOLERANCE):
            return radius


def _heights(matrix: NDArray[Any], angles: NDArray[Any]) -> NDArray[Any]:
    """Return h(θ), the largest eigenvalue of H(θ), at each angle."""
    turned = np.exp(1j * angles)[:, None, None] * matrix
    return np.linalg.eigvalsh((turned + turned.conj().swapaxes(1, 2)) / 2)[:, -1]


def _climbed(matrix: NDArray[Any], angle: float, radius: float) -> float:
    """Climb to a maximum of h(θ), the largest eigenvalue of H(θ), by the secant method on h′(θ) = 0.

    With x the leading eigenvector, e^{iθ}x*Wx = h − ih′; turning by its argument is the first step.
    """
    previous, slope_before = angle, 0.0
    for turn in range(CLIMB):
        turned = np.exp(1j * angle) * matrix
        _, vectors = np.linalg.eigh((turned + turned.conj().T) / 2)
        point = complex(vectors[:, -1].conj() @ turned @ vectors[:, -1])
        radius, slope = max(radius, abs(point)), -point.imag
        if abs(slope) <= SLOPE * abs(point) or (turn and slope == slope_before):
            break
        ahead = (angle - previous) * slope / (slope_before - slope) if turn else -float(np.angle(point))
        previous, slope_before, angle = angle, slope, angle + ahead
    return radius


def _crossings(matrix: NDArray[Any], level: float, lowest: float) -> NDArray[Any]:
    """Return sorted angles θ, all at which H(θ) has the eigenvalue ``level`` among them.

    With θ = lowest + π + 2·atan(s), (1 + s²)(H(θ) − level) is a quadratic in s with Hermitian coefficients;
    its real eigenvalues s are the angles. At s = ∞ lies the angle where h is lowest, so that the leading
    coefficient is far from singular. A root counts as real generously: one too many does no harm.
    """
    size = len(matrix)
    turned = np.exp(1j * (lowest + np.pi)) * matrix
    hermitian = (turned + turned.conj().T) / 2
    skew = 1j * (turned - turned.conj().T)
    identity = level * np.eye(size)
    lower = np.linalg.solve(-(hermitian + identity), np.hstack([hermitian - identity, skew]))
    companion = np.block([[np.zeros((size, size)), np.eye(size)], [-lower[:, :size], -lower[:, size:]]])
    roots = np.linalg.eigvals(companion)
    real = roots.real[np.abs(roots.imag) <= 1e-3 * (1 + np.abs(roots))]
    return np.sort((lowest + np.pi + 2 * np.arctan(real)) % (2 * np.pi))
