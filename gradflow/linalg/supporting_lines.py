"""The numerical radius of a large matrix, between points of its numerical range and lines that support it."""

from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.largest_eigenvalue import has_cholesky_factor
from gradflow.linalg.norms import frobenius_norm

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]

FIRST_LINES, MAX_LINES = 9, 65  # on half of the circle; a disc is then known to 3e-4
MIN_ANGLE_SHARE = 0.1  # of an arc, which a new line keeps from both of its ends
# Shares of the tolerance: for the last change of a height by Lanczos steps, for the distance from a height at
# which its line is tried first, and for the polygon of the heights.
HEIGHT_SHARE, LINE_SHARE, POLYGON_SHARE = 0.1, 0.1, 0.8
LINE_GROWTH = 4.0  # of the distance of a line that was too near
MAX_JOINT_ANGLES = 16  # whose Lanczos vectors are in memory together
START_NOISE = 0.01  # in a start, so that the iteration can reach all directions
FIRST_CHECKED_STEP, CHECK_GROWTH, MAX_HEIGHT_STEPS = 16, 1.25, 300
CHOLESKY_ERROR_UNITS = 8.0  # certain backward error of a complex factorization, in units of n·eps·trace


class RadiusInterval(NamedTuple):
    """A radius between two bounds."""

    low: float
    high: float


def bound_by_supporting_lines(
    matrix: NDArray[Any], tolerance: float, known: RadiusInterval
) -> RadiusInterval:
    """Return bounds of w(W) = max |x*Wx|, ‖x‖ = 1, a factor of 1 + ``tolerance`` apart if that can be had.

    The largest eigenvalue h(θ) of H(θ) = (e^{iθ}W + e^{−iθ}W*)/2 gives a line Re(e^{iθ}z) = h(θ), which the
    numerical range touches and does not cross (Johnson 1978). The farthest vertex of the polygon of such
    lines bounds w from above, and the farthest point x*Wx bounds it from below. New lines are added at
    vertices that are too far out (Uhlig 2009; Mitchell 2023). The eigenvectors x come from Lanczos
    iterations, and u ≥ h(θ) from a Cholesky factorization of u − H(θ), which proves it.

    Where w is nearly attained in all directions, each line bounds a short arc only: a disc is known to a
    relative 3e-4 after `MAX_LINES` lines. Where the eigenvalues of H(θ) crowd at their upper end, as those of
    a large Jordan block do, Lanczos ends before it finds h(θ), and the line is that much farther out.

    Parameters
    ----------
    matrix : array (n, n)
        W, with entries of about 1. The range of a real matrix is symmetric about the real axis.
    tolerance : float
        The relative distance of the bounds.
    known : RadiusInterval
        Other bounds of w, for example ρ(W) and ‖W‖. If they are near enough, nothing else is computed.

    References
    ----------
    Johnson, C. R. (1978). Numerical determination of the field of values of a general complex matrix. SIAM
    Journal on Numerical Analysis 15, 595–602.

    Uhlig, F. (2009). Geometric computation of the numerical radius of a matrix. Numerical Algorithms 52,
    335–353.

    Mitchell, T. (2023). Convergence rate analysis and improved iterations for numerical radius computation.
    SIAM Journal on Scientific Computing 45, A753–A780.

    Rump, S. M. (2006). Verification of positive definiteness. BIT Numerical Mathematics 46, 433–452.

    Examples
    --------
    >>> far = RadiusInterval(0.0, np.inf)
    >>> low, high = bound_by_supporting_lines(np.diag([1.0, 2.0, -3.0]) + np.eye(3, k=1), 1e-6, far)
    >>> bool(low <= 3.0501165 <= high), high - low < 1e-5
    (True, True)
    """
    low, high = known
    if high <= low * (1.0 + tolerance):
        return known
    family = HermitianFamily.of(matrix)
    end = np.pi if np.isrealobj(matrix) else 2 * np.pi
    room = round(MAX_LINES * end / np.pi)
    new = np.linspace(0.0, end, round((FIRST_LINES - 1) * end / np.pi) + 1)
    none = np.empty(0)
    heights = Heights(none, none, none, np.empty((len(matrix), 0), np.complex128))
    starts = np.zeros((len(matrix), len(new)), np.complex128)
    while True:
        found, reached = family.measure_heights(new, starts, HEIGHT_SHARE * tolerance)
        low = max(low, reached)
        heights = heights.join(found)
        far, turns = _find_vertices(heights.angles, heights.values)
        open_arcs = np.argsort(-far)[: room - len(heights.angles)]
        open_arcs = open_arcs[far[open_arcs] > low * (1.0 + POLYGON_SHARE * tolerance)]
        if not len(open_arcs):
            break
        widths = np.diff(heights.angles)
        shares = np.clip(turns / widths, MIN_ANGLE_SHARE, 1.0 - MIN_ANGLE_SHARE)
        new = (heights.angles[:-1] + shares * widths)[open_arcs]
        starts = heights.vectors[:, open_arcs + (shares[open_arcs] > 0.5)]
    lines = [
        family.prove_height(angle, value, max(change, LINE_SHARE * tolerance * low))
        for angle, value, change in zip(*heights[:3], strict=True)
    ]
    far, _ = _find_vertices(heights.angles, np.array(lines))
    return RadiusInterval(low, max(low, min(high, float(far.max()) * (1.0 + 8 * DOUBLE_EPS))))


def _find_vertices(angles: Real, heights: Real) -> tuple[Real, Real]:
    """Return how far the range may reach between each line and the next, and where from the first of them.

    Two lines bound a point at the angle φ between theirs by r ≤ h₁/cos(φ − θ₁) and r ≤ h₂/cos(θ₂ − φ). The
    first bound rises and the second one falls with φ, so the farthest point is where they meet, or an end.
    A negative height leaves no point at all within a right angle of its line.

    Parameters
    ----------
    angles, heights : array (k,)
        Ascending angles θ, less than a right angle apart, and the heights h.
    """
    first, second, widths = heights[:-1], heights[1:], np.diff(angles)
    aside = (second - first * np.cos(widths)) / np.sin(widths)
    turns = np.arctan2(aside, first)
    ends = np.minimum(first, second) / np.cos(widths)
    far = np.where((turns > 0) & (turns < widths), np.hypot(first, aside), ends)
    return np.where(np.minimum(first, second) > 0, far, 0.0), turns


class Heights(NamedTuple):
    """Angles θ (p,), ascending; estimates of h(θ) from below, their last changes, and vectors x (n, p)."""

    angles: Real
    values: Real
    changes: Real
    vectors: Complex

    def join(self, others: "Heights") -> "Heights":
        """Return the heights at the angles of both."""
        order = np.argsort(np.append(self.angles, others.angles))
        return Heights(
            *(np.concatenate(both, axis=-1)[..., order] for both in zip(self, others, strict=True))
        )


class HermitianFamily(NamedTuple):
    """The matrices H(θ) = A cos θ + B sin θ (n, n) of W = A − iB, Hermitian A and B; B/i if W is real."""

    matrix: NDArray[Any]
    adjoint: NDArray[Any]
    cosine_part: NDArray[Any]
    sine_part: NDArray[Any]
    size: float  # ‖W‖_F

    @classmethod
    def of(cls, matrix: NDArray[Any]) -> "HermitianFamily":
        """Return the family of a matrix."""
        adjoint = matrix.conj().T
        factor = 0.5 if np.isrealobj(matrix) else 0.5j
        return cls(
            matrix, adjoint, 0.5 * (matrix + adjoint), factor * (matrix - adjoint), frobenius_norm(matrix)
        )

    def measure_heights(self, angles: Real, starts: Complex, tolerance: float) -> tuple[Heights, float]:
        """Return h(θ) from below at each angle, and a lower bound of w by the vectors that were found.

        ``starts`` (n, p) are unit vectors to start from, or 0 if none is known.
        """
        parts = [slice(k, k + MAX_JOINT_ANGLES) for k in range(0, len(angles), MAX_JOINT_ANGLES)]
        found = [self._measure_together(angles[part], starts[:, part], tolerance) for part in parts]
        heights, reached = zip(*found, strict=True)
        return reduce(Heights.join, heights), max(reached)

    def _measure_together(self, angles: Real, starts: Complex, tolerance: float) -> tuple[Heights, float]:
        """Return the heights at p angles by Lanczos iterations in step, from the starts and some noise.

        There is no reorthogonalization: that repeats eigenvalues which have converged, and leaves them right
        (Paige 1980). An iteration that ends too early gives a height that is too low, and no wrong bound.
        """
        turns = np.exp(1j * angles)
        generator = np.random.default_rng(0)
        vectors = generator.standard_normal((len(self.matrix), 2 * len(angles))).view(np.complex128)
        vectors *= START_NOISE / np.linalg.norm(vectors, axis=0)
        vectors += starts
        vectors /= np.linalg.norm(vectors, axis=0)
        before = np.zeros_like(vectors)
        rest: NDArray[Any] = np.zeros(len(angles))
        basis, diagonal, beside = [], [], []
        values: NDArray[Any] = np.zeros(len(angles))
        changes, due = values, FIRST_CHECKED_STEP
        for step in range(1, MAX_HEIGHT_STEPS + 1):
            basis.append(vectors)
            images = self._apply(turns, vectors) - rest * before
            diagonal.append(np.einsum("ij,ij->j", vectors.conj(), images).real)
            images -= diagonal[-1] * vectors
            rest = np.linalg.norm(images, axis=0)
            rest[rest <= np.sqrt(DOUBLE_EPS) * self.size] = 0.0  # an invariant space: the rest is rounding
            beside.append(rest)
            before, vectors = vectors, images / np.where(rest > 0, rest, np.inf)
            if step in (due, MAX_HEIGHT_STEPS) or not rest.any():
                earlier, values = values, np.linalg.eigvalsh(_tridiagonal(diagonal, beside))[:, -1]
                changes = np.where(rest > 0, np.abs(values - earlier), 0.0)
                due = int(CHECK_GROWTH * step)
                if (changes <= tolerance * np.abs(values).max()).all() or not rest.any():
                    break
        _, coordinates = np.linalg.eigh(_tridiagonal(diagonal, beside))
        leading = sum(vector * share for vector, share in zip(basis, coordinates[:, :, -1].T, strict=True))
        lengths = np.linalg.norm(leading, axis=0)
        leading = leading / np.where(lengths > 0, lengths, 1.0)  # 0 where H(θ) is negative, or 0
        points = np.einsum("ij,ij->j", leading.conj(), _multiply(self.matrix, leading))
        rounding = len(self.matrix) * DOUBLE_EPS * self.size
        return Heights(angles, values, changes, leading), float(np.abs(points).max()) - rounding

    def _apply(self, turns: Complex, vectors: Complex) -> Complex:
        """Return H(θ) v for each column v (n, p) and its turn e^{iθ} (p,)."""
        images = turns * _multiply(self.matrix, vectors)
        return np.asarray(0.5 * (images + turns.conj() * _multiply(self.adjoint, vectors)))

    def prove_height(self, angle: float, height: float, distance: float) -> float:
        """Return the first of h + d, h + 4d, …, d a distance, of which a factorization proves u ≥ h(θ).

        If a Cholesky factorization succeeds, no eigenvalue is below its rounding (Rump 2006).
        """
        while distance < self.size:
            shifted = self._shift(angle, height + distance)
            trace = float(np.abs(np.diag(shifted)).sum())
            if has_cholesky_factor(shifted):
                rounding = CHOLESKY_ERROR_UNITS * len(shifted) * DOUBLE_EPS * (trace + self.size)
                return height + distance + rounding
            distance *= LINE_GROWTH
        return self.size  # no eigenvalue of H(θ) is over ‖W‖_F

    def _shift(self, angle: float, shift: float) -> Complex:
        """Return shift − H(θ)."""
        shifted = np.empty(self.matrix.shape, np.complex128)
        if np.isrealobj(self.matrix):
            np.multiply(self.cosine_part, -np.cos(angle), out=shifted.real)
            np.multiply(self.sine_part, -np.sin(angle), out=shifted.imag)
        else:
            np.multiply(self.cosine_part, -np.cos(angle), out=shifted)
            shifted -= np.sin(angle) * self.sine_part
        shifted[np.diag_indices_from(shifted)] += shift
        return shifted


def _multiply(matrix: NDArray[Any], vectors: Complex) -> Complex:
    """Return A V: a real A acts on the real and the imaginary parts, at half of the work."""
    if np.iscomplexobj(matrix):
        return np.asarray(matrix @ vectors)
    return np.asarray((matrix @ vectors.view(np.float64)).view(np.complex128))


def _tridiagonal(diagonal: list[Real], beside: list[Real]) -> Real:
    """Return p symmetric tridiagonal matrices (p, k, k) from their entries at k steps, each (p,)."""
    places = np.arange(len(diagonal))
    matrices = np.zeros((len(diagonal[0]), len(diagonal), len(diagonal)))
    matrices[:, places, places] = np.array(diagonal).T
    matrices[:, places[1:], places[:-1]] = np.array(beside)[:-1].T  # LAPACK reads the lower half
    return matrices
