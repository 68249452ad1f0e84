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
    span = np.pi if np.isrealobj(matrix) else 2 * np.pi  # a real matrix is its own mirror image
    angles = np.arange(ANGLES) * (span / (ANGLES - 1 if span == np.pi else ANGLES))
    radius, best = _highest(matrix, angles)
    while radius > 0.0:
        radius = _climbed(matrix, best, radius)
        crossings = _crossings(matrix, radius * (1 + TOLERANCE), best)
        if not len(crossings):
            break
        middles = crossings + np.diff(crossings, append=crossings[0] + 2 * np.pi) / 2
        higher, best = _highest(matrix, middles)
        if higher <= radius * (1 + TOLERANCE):
            break
        radius = higher
    return radius


def _highest(matrix: NDArray[Any], angles: NDArray[Any]) -> tuple[float, float]:
    """Return the largest eigenvalue of H over all the angles, and its angle."""
    turned = np.exp(1j * angles)[:, None, None] * matrix
    tops = np.linalg.eigvalsh((turned + turned.conj().swapaxes(1, 2)) / 2)[:, -1]
    best = int(np.argmax(tops))
    return float(tops[best]), float(angles[best])


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


def _crossings(matrix: NDArray[Any], level: float, best: float) -> NDArray[Any]:
    """Return the sorted angles θ at which H(θ) has the eigenvalue ``level``.

    With θ = best + 2·atan(s) − π, (1 + s²)(H(θ) − level) is a quadratic in s with Hermitian coefficients;
    its real eigenvalues s are the angles.
    """
    size = len(matrix)
    turned = np.exp(1j * (best - np.pi)) * matrix
    hermitian = (turned + turned.conj().T) / 2
    skew = 1j * (turned - turned.conj().T)
    identity = level * np.eye(size)
    leading = -(hermitian + identity)
    lower = np.linalg.solve(leading, np.hstack([hermitian - identity, skew]))
    companion = np.block([[np.zeros((size, size)), np.eye(size)], [-lower[:, :size], -lower[:, size:]]])
    roots = np.linalg.eigvals(companion)
    real = roots.real[np.abs(roots.imag) <= 1e-7 * (1 + np.abs(roots))]
    return np.sort((best - np.pi + 2 * np.arctan(real)) % (2 * np.pi))
