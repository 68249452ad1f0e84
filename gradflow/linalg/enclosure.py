"""Eigenvalues of one matrix, each with the radius of a disc that holds an exact eigenvalue.

There are two certificates; the cheaper one is tried first. If the computed eigenvectors X have a usable
inverse Y, the Gershgorin discs around the diagonal of Y W X hold all eigenvalues. A group of discs that touch
each other and no other disc holds as many eigenvalues as it has discs; a disc far from all others can be made
smaller. Otherwise a circle is certified: if
the smallest singular value of W − z stays above the backward error of the computed Schur form all along it,
the circle holds as many exact as computed eigenvalues.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.norms import frobenius_norm

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]

# Rounding of a sum of n products, in units of √n·eps of the sum of their moduli. It exceeds this with a
# probability below 1e-7 (Higham & Mary 2019, theorem 3.1); the certain bound is √n.
SUM_ERROR_UNITS = 6.0
HERMITIAN_ERROR_UNITS = 10  # backward error of LAPACK's Hermitian solvers, in units of n·eps·‖W‖
UNEVEN_RATIO = 16.0  # of the size of a row to that of its column, from which balancing pays
MAX_CIRCLE_SIZE = 600  # rows: no circles are tried for larger matrices
MAX_CIRCLE_WORK = 128**3  # circles times rows squared: up to 128 rows, each eigenvalue may have a circle
CIRCLE_POINTS = 16
COMMON_TURNS = np.exp(2j * np.pi * np.arange(512) / 512)  # points of a circle around 0 for many eigenvalues
FIRST_TURNS = COMMON_TURNS[::32]  # these points reject most circles that are too small
FIRST_COMMON_RATIO, COMMON_GROWTH = 1.01, 1.1
# σ_min has to be this many times the backward error at each point, because it may dip in between.
CIRCLE_MARGIN = 4.0
CIRCLE_GROWTH = 1.5
MAX_DEFECT = 0.25  # of Y X from the identity; with a larger one Y proves nothing
MIN_VAGUE_RATIO = 100.0  # of a disc to its first-order error, from which circles are worth it
MAX_START_RADIUS = 1e-3  # of the first circle, as a share of the norm


class Enclosure(NamedTuple):
    """Computed eigenvalues of W (n, n), and how far each may be from an exact one.

    All exact eigenvalues lie within the ``radii`` (n,) of the ``values`` (n,), and each of these discs holds
    at least one. ``vectors`` are right eigenvectors as columns, and ``inverse`` is their inverse, or None if
    floating point has none. ``conditions`` are 1/|yᴴx| for left and right eigenvectors of norm 1 (Wilkinson
    1965).
    """

    values: Complex
    radii: Real
    conditions: Real
    vectors: NDArray[Any] | None
    inverse: NDArray[Any] | None
    perturbation: float  # bound of ‖X⁻¹WX − Λ‖, inf if no inverse proves anything


def enclose_eigenvalues(matrix: NDArray[Any]) -> Enclosure:
    """Compute the eigenvalues of a matrix (n, n) with entries near 1, and radii of discs around them.

    Each disc holds an exact eigenvalue. Balancing by powers of two (Parlett & Reinsch 1969) is exact, so it
    is done if the sizes of rows and columns differ. The discs are those of Gershgorin for Y W X (Wilkinson
    1965, chapter 2). The circles are those of the pseudospectrum (Trefethen & Embree 2005, section 2). If
    neither proves anything, a radius is |λ| + ‖W‖: this only says that no eigenvalue is larger than the norm.

    Examples
    --------
    >>> discs = enclose_eigenvalues(np.array([[2.0, 1.0], [1.0, 0.0]]))
    >>> away = np.abs(discs.values - [1 + 2**0.5, 1 - 2**0.5])
    >>> bool(np.all(away <= discs.radii)), bool(discs.radii.max() < 1e-13)
    (True, True)
    """
    scales = balance(matrix)
    balanced = matrix * scales / scales[:, None]
    values, vectors = np.linalg.eig(balanced)
    values = values.astype(np.complex128)
    inverse = invert_vectors(vectors)
    rounding = SUM_ERROR_UNITS * np.sqrt(len(matrix)) * DOUBLE_EPS * frobenius_norm(balanced)
    radii, perturbation = np.full(len(matrix), np.inf), np.inf
    defect = np.inf if inverse is None else _inverse_defect(vectors, inverse)
    if inverse is not None and defect < MAX_DEFECT:
        radii, perturbation = _gershgorin_radii(balanced, values, vectors, inverse, defect)
        conditions = np.maximum(row_lengths(inverse), 1.0)
    else:
        conditions = eigenvalue_conditions(balanced, values)
    vague = np.flatnonzero(radii > MIN_VAGUE_RATIO * rounding * conditions)
    # The largest come first because they decide, and circles of a large matrix are expensive.
    vague = vague[np.argsort(-np.abs(values[vague]))][: MAX_CIRCLE_WORK // len(matrix) ** 2]
    if len(vague) and len(matrix) <= MAX_CIRCLE_SIZE:
        first = CIRCLE_MARGIN * rounding * conditions[vague]
        form = schur_form(balanced)
        radii[vague] = np.minimum(radii[vague], circle_radii(form, values[vague], first))
        rest = ~np.isfinite(radii)
        radii[rest] = np.abs(values[rest]) + _common_radius(form, values[rest])
    radii = np.minimum(radii, np.abs(values) + frobenius_norm(balanced))
    if inverse is None:
        return Enclosure(values, radii, conditions, None, None, np.inf)
    if np.any(scales != 1.0):  # the columns will have other lengths
        perturbation = np.inf
    return Enclosure(values, radii, conditions, scales[:, None] * vectors, inverse / scales, perturbation)


def balance(matrix: NDArray[Any]) -> Real:
    """Return powers of two D for which D⁻¹WD has rows and columns of like size (Parlett & Reinsch 1969)."""
    sizes = np.abs(matrix) * (1 - np.eye(len(matrix)))
    rows, columns = sizes.sum(axis=1), sizes.sum(axis=0)
    both = (rows > 0) & (columns > 0)
    with np.errstate(over="ignore", under="ignore"):
        ratio = rows[both] / columns[both]
    if not both.any() or (ratio.max() < UNEVEN_RATIO and ratio.min() > 1 / UNEVEN_RATIO):
        return np.ones(len(matrix))
    from scipy.linalg import matrix_balance  # here, because few matrices need it and its import is slow

    with np.errstate(invalid="ignore"):  # scipy casts a permutation that is not used
        _, (scales, _) = matrix_balance(matrix, permute=False, separate=True)
    return np.asarray(scales, dtype=np.float64)


def join_discs(values: Complex, radii: Real) -> Real:
    """Return for each disc the radius around its centre that holds all discs connected with it."""
    distance = np.abs(values[:, None] - values)
    label = connected_components(distance <= radii[:, None] + radii)
    return np.asarray(np.where(label[:, None] == label, distance + radii, 0.0).max(axis=1))


def connected_components(near: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return for each vertex of a graph (n, n) the lowest vertex that it is connected with."""
    label = np.arange(len(near))
    while True:
        lowest = np.where(near, label, len(near)).min(axis=1)
        if np.array_equal(lowest, label):
            return label
        label = lowest


def invert_vectors(vectors: NDArray[Any]) -> NDArray[Any] | None:
    """Return X⁻¹, or None if X is singular in floating point.

    Pairs of columns x, x̄, as a real matrix has, are replaced by Re x and Im x: inverting a real matrix takes
    a fourth of the work.
    """
    first = _conjugate_columns(vectors)
    basis = vectors
    if first is not None:
        basis = vectors.real.copy()
        basis[:, first + 1] = vectors.imag[:, first]
    try:
        with np.errstate(all="ignore"):
            inverse: NDArray[Any] = np.linalg.inv(basis)
    except np.linalg.LinAlgError:
        return None
    if first is not None:
        rows = 0.5 * (inverse[first] - 1j * inverse[first + 1])
        inverse = inverse.astype(np.complex128)
        inverse[first], inverse[first + 1] = rows, rows.conj()
    return inverse if np.isfinite(inverse).all() else None


def vector_condition(vectors: NDArray[Any]) -> float:
    """Return κ(X) = σ_max/σ_min.

    A pair of columns x, x̄ is √2 (Re x, Im x) times a unitary matrix, so that a real matrix has the same
    singular values.

    Examples
    --------
    >>> round(vector_condition(np.array([[1.0, 1.0], [2.0j, -2.0j]])), 12)
    2.0
    """
    first = _conjugate_columns(vectors)
    if first is not None:
        basis = vectors.real.copy()
        basis[:, first + 1] = vectors.imag[:, first]
        basis[:, np.append(first, first + 1)] *= np.sqrt(2.0)
        vectors = basis
    return float(np.linalg.cond(vectors))


def _conjugate_columns(vectors: NDArray[Any]) -> NDArray[np.intp] | None:
    """Return the places of columns followed by their conjugates; None if not all complex columns are such."""
    if np.isrealobj(vectors):
        return None
    places = np.flatnonzero(vectors.imag.any(axis=0))
    first, second = places[::2], places[1::2]
    if len(first) != len(second) or not np.array_equal(first + 1, second):
        return None
    return first if np.array_equal(vectors[:, first], vectors[:, second].conj()) else None


def _gershgorin_radii(
    matrix: NDArray[Any], values: Complex, vectors: NDArray[Any], inverse: NDArray[Any], lost: float
) -> tuple[Real, float]:
    """Return radii of discs that hold the eigenvalues, and a bound of ‖X⁻¹WX − Λ‖.

    With R = W X − X Λ, W is similar to Λ + (Y X)⁻¹ Y R. The rounding of R and of Y X is added to their
    moduli. The uniform radius ‖(Y X)⁻¹ Y R‖ of Bauer & Fike (1960) is used where it is smaller than that of a
    row, and that of `_isolated_radii` where there is one.

    Parameters
    ----------
    matrix, vectors, inverse : array (n, n)
        W, X and Y.
    values : array (n,)
        Λ.
    lost : float
        `_inverse_defect` of X and Y.
    """
    size = len(values)
    unit = SUM_ERROR_UNITS * np.sqrt(size + 4.0) * DOUBLE_EPS
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        away = np.abs(inverse)
        sizes = np.abs(vectors)
        residual = np.abs(_multiply_by_real(matrix, vectors) - vectors * values)
        residual += unit * (np.abs(matrix) @ sizes + sizes * np.abs(values))
        perturbation = away @ residual
        rows = perturbation.sum(axis=1)
        share = lost / (1.0 - lost)
        by_rows = join_discs(values, rows + share * float(rows.max()))
        uniform = (1.0 + share * np.sqrt(size)) * frobenius_norm(perturbation)
        by_norm = join_discs(values, np.full(size, uniform))
        alone = _isolated_radii(values, perturbation + share * perturbation.max(axis=0))
    return np.asarray(np.minimum(np.minimum(by_rows, by_norm), alone)), float(uniform)


def _multiply_by_real(matrix: NDArray[Any], vectors: NDArray[Any]) -> NDArray[Any]:
    """Return W X. A real W acts on the real and the imaginary parts of a complex X, at half of the work."""
    if np.iscomplexobj(matrix) or np.isrealobj(vectors):
        return np.asarray(matrix @ vectors)
    parts = np.ascontiguousarray(vectors).view(np.float64)
    return np.asarray((matrix @ parts).view(np.complex128))


def _isolated_radii(values: Complex, perturbation: Real) -> Real:
    """Return radii of discs that each hold exactly one eigenvalue of Λ + E, or inf.

    If row i of E is multiplied by τ, and column i divided by it, Gershgorin's disc i shrinks to |E_ii| + τ
    Σ_j |E_ij|, and the others grow by |E_ji|/τ (Wilkinson 1965, chapter 2, section 15). As long as disc i
    touches no other, it holds one eigenvalue. The τ chosen here lets the others take half of the room. It is
    about as small as E, so that the radius is the first-order error |E_ii|, up to a term of second order.

    No two of these discs hold the same eigenvalue: what is left of disc j is within what disc i leaves.

    Parameters
    ----------
    values : array (n,)
        Λ.
    perturbation : array (n, n)
        A bound of |E|.
    """
    rows, own = perturbation.sum(axis=1), np.diag(perturbation)
    room = np.abs(values[:, None] - values) - rows  # of each disc i beside each disc j
    np.fill_diagonal(room, np.inf)
    least = room.min(axis=1)
    shares = (2.0 * perturbation.T / room).max(axis=1)  # τ; 2|E_ii|/inf is 0
    radii = own + shares * (rows - own)
    proved = (least > 0) & (shares <= 1.0) & (radii < 0.5 * least)
    return np.where(proved, radii, np.inf)


def _inverse_defect(vectors: NDArray[Any], inverse: NDArray[Any]) -> float:
    """Return a bound of the largest row sum of |Y X − I|."""
    size = len(vectors)
    with np.errstate(over="ignore", invalid="ignore"):
        defect = np.abs(inverse @ vectors - np.eye(size))
        defect += SUM_ERROR_UNITS * np.sqrt(size) * DOUBLE_EPS * (np.abs(inverse) @ np.abs(vectors))
        return float(defect.sum(axis=1).max())


def eigenvalue_conditions(matrix: NDArray[Any], values: Complex) -> Real:
    """Return 1/|yᴴx| for each of the ``values``, from separately computed left and right vectors."""
    from scipy.linalg import eig  # numpy has no left eigenvectors, and few matrices need them

    eigenvalues, left, right = eig(matrix, left=True, right=True)
    cosines = np.abs(np.einsum("ij,ij->j", left.conj(), right))
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(1.0 / np.minimum(cosines, 1.0))[match_values(eigenvalues, values)]


def match_values(candidates: NDArray[Any], values: Complex) -> NDArray[np.intp]:
    """Return for each of the ``values`` the place of the nearest candidate; each candidate is used once."""
    left = np.ones(len(candidates), dtype=bool)
    places = np.empty(len(values), dtype=np.intp)
    for k, value in enumerate(values):
        places[k] = np.argmin(np.where(left, np.abs(candidates - value), np.inf))
        left[places[k]] = False
    return places


def row_lengths(rows: NDArray[Any]) -> Real:
    """Return the norms of rows whose squares may overflow, as they do near a defective matrix."""
    largest = np.abs(rows).max(axis=1)
    return np.asarray(largest * np.linalg.norm(rows / largest[:, None], axis=1))


def circle_radii(form: "SchurForm", centres: Complex, first: Real, count: int = 1) -> Real:
    """Return radii of circles around the centres that hold as many exact as computed eigenvalues, or inf.

    W + E has the computed Schur form T. While E goes to 0, no eigenvalue crosses a circle on which
    σ_min(T − z) is above ‖E‖. This is checked at a few points, with a margin for the arcs between them.

    Parameters
    ----------
    form : SchurForm
        Of W.
    centres, first : array (p,)
        The centres of the circles, and the radii to try first.
    count : int
        The number of computed eigenvalues that each circle has to hold at least.
    """
    turns = np.exp(2j * np.pi * np.arange(CIRCLE_POINTS) / CIRCLE_POINTS)
    radii = np.clip(first, form.error, MAX_START_RADIUS * form.size)
    certified, pending = np.full(len(centres), np.inf), np.arange(len(centres))
    while len(pending):
        points = centres[pending, None] + radii[pending, None] * turns
        sure = form.is_regular(points) & (form.count_inside(centres[pending], radii[pending]) >= count)
        certified[pending[sure]] = radii[pending[sure]]
        radii[pending] *= CIRCLE_GROWTH
        pending = pending[~sure & (radii[pending] < form.size)]
    return certified


def _common_radius(form: "SchurForm", values: Complex) -> float:
    """Return the radius of a circle around 0 that holds as many exact as computed eigenvalues, or inf."""
    radius = FIRST_COMMON_RATIO * float(np.abs(values).max(initial=0.0)) + form.error
    while radius < form.size:
        if form.is_regular(radius * FIRST_TURNS) and form.is_regular(radius * COMMON_TURNS):
            return radius
        radius *= COMMON_GROWTH
    return np.inf


class SchurForm(NamedTuple):
    """The triangle T of a computed Schur form, a bound of ‖U T Uᴴ − W‖, and the Frobenius norm of W."""

    triangle: Complex
    error: float
    size: float

    def is_regular(self, points: Complex) -> NDArray[np.bool_]:
        """Return whether σ_min(T − z) is well above the error at all points (..., p) of each circle."""
        least = smallest_singular_values(self.triangle, points.ravel()).reshape(points.shape).min(axis=-1)
        return np.asarray(least > CIRCLE_MARGIN * self.error)

    def count_inside(self, centres: Complex, radii: Real) -> NDArray[np.intp]:
        """Return the number of computed eigenvalues in each circle."""
        distances = np.abs(centres[:, None] - np.diag(self.triangle))
        return np.asarray(np.count_nonzero(distances < radii[:, None], axis=1))


def schur_form(matrix: NDArray[Any]) -> SchurForm:
    """Return the complex Schur form of W with its measured backward error."""
    from scipy.linalg import schur  # numpy has none, and few matrices need it

    triangle, unitary = schur(matrix, output="complex")
    size = frobenius_norm(matrix)
    residual = frobenius_norm(matrix - unitary @ triangle @ unitary.conj().T)
    return SchurForm(
        triangle, 2.0 * residual + SUM_ERROR_UNITS * np.sqrt(len(matrix)) * DOUBLE_EPS * size, size
    )


def smallest_singular_values(triangle: Complex, points: Complex) -> Real:
    """Return σ_min(T − z), to a few per cent, for an upper triangular T (n, n) and each z of ``points`` (p,).

    It takes three rounds of inverse iteration on all points together, each by substitution row by row.
    """
    size = len(triangle)
    vectors = np.random.default_rng(0).standard_normal((len(points), size)) + 0j
    shifted = np.diag(triangle) - points[:, None]
    tiny = DOUBLE_EPS * DOUBLE_EPS * max(float(np.abs(triangle).max()), 1.0)
    shifted[np.abs(shifted) < tiny] = tiny
    growth = np.ones(len(points))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(3):
            vectors /= np.linalg.norm(vectors, axis=1)[:, None]
            for row in range(size):  # (T − z)ᴴ is lower triangular
                vectors[:, row] -= vectors[:, :row] @ triangle[:row, row].conj()
                vectors[:, row] /= shifted[:, row].conj()
            vectors /= np.linalg.norm(vectors, axis=1)[:, None]
            for row in range(size - 1, -1, -1):
                vectors[:, row] -= vectors[:, row + 1 :] @ triangle[row, row + 1 :]
                vectors[:, row] /= shifted[:, row]
            growth = np.linalg.norm(vectors, axis=1)
        # A norm outside the range of a double belongs to a singular matrix.
        return np.where(np.isfinite(growth) & (growth > 0), 1.0 / growth, 0.0)
