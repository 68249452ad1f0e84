"""The numerical radius: the largest modulus in the numerical range {x*Wx : ‖x‖ = 1}."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.enclosure import HERMITIAN_ERROR_UNITS
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.norms import frobenius_norm
from gradflow.linalg.supporting_lines import RadiusInterval, bound_by_supporting_lines

MAX_LEVEL_SET_SIZE = 200  # rows: a level set of more takes longer than dozens of lines
LINES_TOLERANCE = 1e-6  # relative distance of the bounds by supporting lines
ANY_RADIUS = RadiusInterval(0.0, np.inf)
FIRST_ANGLES, MAX_SECANT_STEPS = 8, 30
# Relative excess of the level over the radius, and the relative slope at which a climb stops.
RADIUS_TOLERANCE, SLOPE_TOLERANCE = 1e-9, 1e-9


class NumericalRadius(NamedTuple):
    """The numerical radius, and a bound of its distance from the computed value."""

    value: float
    error: float


def numerical_radius(matrix: NDArray[Any], known: RadiusInterval = ANY_RADIUS) -> NumericalRadius:
    """Return w(W) = max over θ of the largest eigenvalue of H(θ) = (e^{iθ}W + e^{−iθ}W*)/2.

    Up to `MAX_LEVEL_SET_SIZE` rows by level sets (Mengi & Overton 2005): the angles at which H(θ) has the
    eigenvalue r bound the intervals in which its largest eigenvalue exceeds r. The midpoints of these give a
    larger r, until no such angle is left. So the maximum is global, within a relative error of 1e-9.

    A larger matrix has bounds by supporting lines (`gradflow.linalg.supporting_lines`). They are within a
    relative 1e-6 of each other, unless w is nearly attained in all directions. The value is then the lower
    bound, a point that is attained. Always ‖W‖/2 ≤ w(W) ≤ ‖W‖.

    Parameters
    ----------
    matrix : array (n, n)
        Entries of about 1: see `gradflow.linalg.scaled`.
    known : RadiusInterval
        Bounds of w that are known, for example ρ(W) and ‖W‖. They agree for a normal matrix.

    Examples
    --------
    >>> radius = numerical_radius(np.array([[0.0, 1.0], [0.0, 0.0]]))
    >>> round(radius.value, 12), radius.error < 1e-8
    (0.5, True)
    """
    rounding = HERMITIAN_ERROR_UNITS * len(matrix) * DOUBLE_EPS * frobenius_norm(matrix)
    if np.array_equal(matrix, matrix.conj().T):
        return NumericalRadius(float(np.abs(np.linalg.eigvalsh(matrix)).max()), rounding)
    if len(matrix) > MAX_LEVEL_SET_SIZE:
        low, high = bound_by_supporting_lines(matrix, LINES_TOLERANCE, known)
        return NumericalRadius(low, high - low)
    radius = _search_level_sets(matrix)
    return NumericalRadius(radius, RADIUS_TOLERANCE * radius + rounding)


def _search_level_sets(matrix: NDArray[Any]) -> float:
    """Return the largest eigenvalue of all H(θ), up to the tolerance."""
    angles = np.arange(FIRST_ANGLES) * (2 * np.pi / FIRST_ANGLES)
    heights = _heights(matrix, angles)
    best, lowest = float(angles[np.argmax(heights)]), float(angles[np.argmin(heights)])
    radius = 0.0
    while True:
        climbed = _climb_hill(matrix, best, radius)
        if climbed <= radius * (1 + RADIUS_TOLERANCE):
            return max(climbed, radius)
        radius = climbed
        crossings = _crossings(matrix, radius * (1 + RADIUS_TOLERANCE), lowest)
        if not len(crossings):
            return radius
        middles = crossings + np.diff(crossings, append=crossings[0] + 2 * np.pi) / 2
        heights = _heights(matrix, middles)
        best = float(middles[np.argmax(heights)])
        if heights.max() <= radius * (1 + RADIUS_TOLERANCE):
            return radius


def _heights(matrix: NDArray[Any], angles: NDArray[Any]) -> NDArray[Any]:
    """Return h(θ), the largest eigenvalue of H(θ), at each angle."""
    turned = np.exp(1j * angles)[:, None, None] * matrix
    return np.linalg.eigvalsh((turned + turned.conj().swapaxes(1, 2)) / 2)[:, -1]


def _climb_hill(matrix: NDArray[Any], angle: float, radius: float) -> float:
    """Climb to a maximum of h(θ), the largest eigenvalue of H(θ), by the secant method on h′(θ) = 0.

    With the leading eigenvector x, e^{iθ}x*Wx = h − ih′. The first step turns by the argument of this number.
    """
    previous, slope_before = angle, 0.0
    for turn in range(MAX_SECANT_STEPS):
        turned = np.exp(1j * angle) * matrix
        _, vectors = np.linalg.eigh((turned + turned.conj().T) / 2)
        point = complex(vectors[:, -1].conj() @ turned @ vectors[:, -1])
        radius, slope = max(radius, abs(point)), -point.imag
        if abs(slope) <= SLOPE_TOLERANCE * abs(point) or (turn and slope == slope_before):
            break
        ahead = (angle - previous) * slope / (slope_before - slope) if turn else -float(np.angle(point))
        previous, slope_before, angle = angle, slope, angle + ahead
    return radius


def _crossings(matrix: NDArray[Any], level: float, lowest: float) -> NDArray[Any]:
    """Return sorted angles θ, which include all at which H(θ) has the eigenvalue ``level``.

    With θ = lowest + π + 2·atan(s), (1 + s²)(H(θ) − level) is a quadratic in s with Hermitian coefficients.
    Its real eigenvalues s are the angles. s = ∞ is the angle at which h is lowest, so that the leading
    coefficient is far from singular. The test for a real root is generous: an extra root does no harm.
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
