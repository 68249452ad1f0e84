"""Is an eigendecomposition that somebody states right, and if not, what was the slip?"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import UsageError
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.norms import frobenius_norm
from gradflow.linalg.scaled import largest_part, shift_exponents
from gradflow.record import column
from gradflow.table import Table

# A right decomposition is right to rounding, one of rounded numbers to some digits; a wrong one is off in the
# first. Columns count as dependent where Q⁻¹ has no digit left.
MAX_ROUNDING_MISFIT, MAX_ROUNDED_MISFIT, MIN_DEPENDENT_CONDITION = 1e-9, 1e-2, 1e14


@dataclass(frozen=True, eq=False, repr=False)
class Claim(Table):
    """The claimed eigenpairs, column by column of Q."""

    index: list[int] = column("column of Q, from 1")
    re: NDArray[np.float64] = column("claimed eigenvalue, real part")
    im: NDArray[np.float64] = column("claimed eigenvalue, imaginary part")
    residual: NDArray[np.float64] = column("‖Wq − λq‖/(‖W‖‖q‖)")
    holds: list[bool] = column("whether that is rounding")
    rayleigh_re: NDArray[np.float64] = column("Rayleigh quotient q*Wq/q*q, real part")
    rayleigh_im: NDArray[np.float64] = column("Rayleigh quotient, imaginary part")


class Verdict(NamedTuple):
    """Whether W = QΛQ⁻¹, how far off it is, and the likely slip (None where it holds)."""

    holds: bool
    residual: float | None
    slip: str | None
    table: Claim

    def describe(self) -> str:
        """Return that a claim which holds does, with the difference that this rests on."""
        return f"The claimed decomposition holds: ‖W − QΛQ⁻¹‖/‖W‖ is {self.residual:.2g}."


@np.errstate(over="ignore", invalid="ignore")  # what leaves the range of a double is wrong, and said so
def check_claim(matrix: NDArray[Any], vectors: NDArray[Any], values: NDArray[Any]) -> Verdict:
    """Compare W with QΛQ⁻¹ as claimed, and look for the slip that explains the difference.

    Parameters
    ----------
    matrix, vectors : array (n, n)
        W and the claimed Q, eigenvectors as columns.
    values : array (n,), (1, n), (n, 1) or (n, n)
        The claimed Λ, as a list or as a diagonal matrix.

    Raises
    ------
    UsageError
        Where the shapes do not fit, or Λ is not diagonal.

    Examples
    --------
    The exercise sheet prints Q where Q⁻¹ should stand:

    >>> W = np.array([[0.58, 0.24], [0.24, 0.72]])
    >>> Q = np.array([[0.8, -0.6], [0.6, 0.8]])
    >>> check_claim(W, Q, np.array([0.4, 0.9])).slip
    'The claimed decomposition is wrong: Q and Q⁻¹ are swapped, W = Q⁻¹ΛQ (Q⁻¹ is the transpose of Q here).'
    """
    diagonal = _diagonal(values, len(matrix))
    if vectors.shape != matrix.shape:
        raise UsageError(
            f"claimed vectors are {_shape(vectors)}: expected {_shape(matrix)}, one eigenvector a column"
        )
    # A column may have any length and W any size: neither changes what is right.
    exponent = math.frexp(float(largest_part(matrix)) or 1.0)[1]
    unit, scaled = _unit_columns(vectors), shift_exponents(diagonal, -exponent)
    table = _columns(matrix, unit, diagonal, exponent)
    matrix = shift_exponents(matrix, -exponent)
    independent = bool(np.linalg.cond(unit) < MIN_DEPENDENT_CONDITION)
    residual = _residual(matrix, unit, scaled) if independent else math.inf
    if independent and residual <= MAX_ROUNDING_MISFIT and all(table.holds):
        return Verdict(True, residual, None, table)
    slip = _slip(matrix, vectors, scaled, residual, independent)
    return Verdict(False, residual if math.isfinite(residual) else None, slip, table)


def _slip(
    matrix: NDArray[Any], vectors: NDArray[Any], values: NDArray[Any], residual: float, independent: bool
) -> str:
    """Return what is wrong with a claim that does not hold."""
    wrong = "The claimed decomposition is wrong"
    if not independent:
        return f"{wrong}: the columns of Q are not independent, to rounding, so there is no Q⁻¹ to compute."
    for text, q, d in _slips(matrix, vectors, values):
        if _residual(matrix, q, d) <= MAX_ROUNDING_MISFIT:
            return f"{wrong}: {text}."
    if residual <= MAX_ROUNDED_MISFIT:
        return f"The claimed decomposition has rounded numbers: it is right to a relative {residual:.1e}."
    return f"{wrong}, and no known slip explains it: the table claim shows which columns fail."


def _slips(
    matrix: NDArray[Any], vectors: NDArray[Any], values: NDArray[Any]
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Yield (what would have happened, the Q and Λ then meant), the likeliest first.

    The length of a column of that Q says nothing, so each has norm 1.
    """
    inverse, transposed = _inverse(vectors), _unit_columns(vectors.T)
    remark = " (Q⁻¹ is the transpose of Q here)" if _is_orthogonal(vectors) else ""
    vectors = _unit_columns(vectors)
    for suffix, q in (
        ("", vectors),
        (", and Q and Q⁻¹ swapped", inverse),
        (", and Q transposed", transposed),
    ):
        own = _own_values(matrix, q)
        if q is inverse:
            yield f"Q and Q⁻¹ are swapped, W = Q⁻¹ΛQ{remark}", q, values
        elif q is transposed:
            yield "Q is transposed, its rows are the eigenvectors", q, values
        yield f"the columns of Q are permuted against Λ{suffix}", q, _nearest_order(values, own)
        yield (
            f"the sign of some eigenvalues is wrong{suffix}",
            q,
            np.where(_opposite(values, own), -values, values),
        )
    yield "the sign of some entries of Q is wrong", _signs_mended(matrix, vectors, values), values


def _unit_columns(vectors: NDArray[Any]) -> NDArray[Any]:
    """Return columns of norm 1, whatever their length is; columns of zeros as they are."""
    moved = shift_exponents(vectors, -np.frexp(largest_part(vectors, axis=0))[1].astype(np.int64))
    lengths = np.linalg.norm(moved, axis=0)
    return np.asarray(moved / np.where(lengths > 0, lengths, 1.0))


def _inverse(vectors: NDArray[Any]) -> NDArray[Any]:
    """Return Q⁻¹ with columns of norm 1.

    Q = U D with columns U of norm about 1, so that row i of U⁻¹ is multiplied by 1/D_ii, where those are
    within the range of a double of each other.
    """
    exponents = np.frexp(largest_part(vectors, axis=0))[1].astype(np.int64)
    rows = np.linalg.inv(shift_exponents(vectors, -exponents))
    return _unit_columns(shift_exponents(rows, (exponents.min() - exponents)[:, None]))


def _is_orthogonal(vectors: NDArray[Any]) -> bool:
    """Return whether the columns are orthonormal to the digits that people write."""
    return np.allclose(vectors.conj().T @ vectors, np.eye(len(vectors)), atol=MAX_ROUNDED_MISFIT)


def _own_values(matrix: NDArray[Any], vectors: NDArray[Any]) -> NDArray[Any]:
    """Return q*Wq of each column q of norm 1, the eigenvalue of q if it is an eigenvector."""
    # i, k entries of a vector, j column
    own: NDArray[Any] = np.einsum("ij,ik,kj->j", vectors.conj(), matrix, vectors)
    return own


def _rayleigh(matrix: NDArray[Any], vectors: NDArray[Any]) -> NDArray[Any]:
    """Return q*Wq of each column q of norm 1, of W as it was given.

    The part of W that a column meets may be far smaller than the rest: each has a power of two of its own.
    """
    tops = np.frexp(largest_part(matrix, axis=0))[1].astype(np.int64)
    sizes = np.where(vectors != 0, tops[:, None], -3000)
    # no farther up than W itself can go
    exponents = np.maximum((sizes + np.frexp(np.abs(vectors))[1]).max(axis=0), sizes.max(axis=0) - 1000)
    own = np.empty(len(matrix), np.result_type(matrix, vectors))
    for exponent in np.unique(exponents):
        columns = vectors[:, exponents == exponent]
        used = (columns != 0).any(axis=1)
        images = shift_exponents(matrix[:, used], -exponent) @ columns[used]
        own[exponents == exponent] = shift_exponents(np.einsum("ij,ij->j", columns.conj(), images), exponent)
    return own


def _nearest_order(values: NDArray[Any], own: NDArray[Any]) -> NDArray[Any]:
    """Return the claimed values in the order that fits ``own`` best, each used once."""
    left, chosen = list(values), []
    for value in own:
        chosen.append(left.pop(int(np.argmin(np.abs(np.array(left) - value)))))
    return np.array(chosen)


def _opposite(values: NDArray[Any], own: NDArray[Any]) -> NDArray[np.bool_]:
    nearer: NDArray[np.bool_] = np.abs(values + own) < np.abs(values - own)
    return nearer


def _signs_mended(matrix: NDArray[Any], vectors: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Return Q with the signs of W's own eigenvectors, where the moduli agree."""
    eigenvalues, eigenvectors = np.linalg.eig(matrix)
    mended = vectors.astype(np.complex128)
    for k, value in enumerate(values):
        true = eigenvectors[:, int(np.argmin(np.abs(eigenvalues - value)))]
        if np.allclose(np.abs(vectors[:, k]), np.abs(true), atol=1e-6):
            mended[:, k] = true
    return mended


def _columns(matrix: NDArray[Any], vectors: NDArray[Any], claimed: NDArray[Any], exponent: int) -> Claim:
    """Judge each column q of norm 1 by ‖Wq − λq‖: against |λ|, or against rounding in W where λ is small.

    ``exponent`` is the power of two that takes the largest entry of W to about 1.
    """
    own = _rayleigh(matrix, vectors)
    matrix, values = shift_exponents(matrix, -exponent), shift_exponents(claimed, -exponent)
    gaps = _column_norms(matrix @ vectors - vectors * values)
    gaps[~np.isfinite(gaps)] = np.inf  # |λ| is over 1e308 times ‖W‖
    rounding = 100 * len(matrix) * DOUBLE_EPS * float(np.linalg.norm(matrix))
    empty = np.linalg.norm(vectors, axis=0) == 0
    return Claim(
        index=list(range(1, len(values) + 1)),
        re=claimed.real,
        im=claimed.imag,
        residual=gaps / (float(np.linalg.norm(matrix, 2)) or 1.0),
        holds=[
            bool(held)
            for held in (gaps <= MAX_ROUNDING_MISFIT * np.abs(values) + rounding) & np.isfinite(gaps) & ~empty
        ],
        rayleigh_re=own.real,
        rayleigh_im=own.imag,
    )


def _column_norms(array: NDArray[Any]) -> NDArray[np.float64]:
    """Return the norms of columns whose squares may leave the range of a double."""
    exponents = np.frexp(largest_part(array, axis=0))[1].astype(np.int64)
    return np.asarray(np.ldexp(np.linalg.norm(shift_exponents(array, -exponents), axis=0), exponents))


def _residual(matrix: NDArray[Any], vectors: NDArray[Any], values: NDArray[Any]) -> float:
    """Return ‖W − QΛQ⁻¹‖/‖W‖, Frobenius; inf where it is out of range."""
    try:
        gap = frobenius_norm(matrix - np.linalg.solve(vectors.T, (vectors * values).T).T)
    except np.linalg.LinAlgError:
        return math.inf
    return gap / (frobenius_norm(matrix) or 1.0) if math.isfinite(gap) else math.inf


def _diagonal(values: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the claimed Λ as a list of n values."""
    if values.shape == (size, size) and size > 1:
        if np.count_nonzero(values - np.diag(np.diag(values))):
            raise UsageError(f"claimed values are a {_shape(values)} matrix that is not diagonal")
        return np.diag(values)
    if values.size != size:
        wanted = "1 eigenvalue" if size == 1 else f"{size} eigenvalues, or them on a diagonal"
        raise UsageError(f"claimed values are {_shape(values)}: expected {wanted}")
    return values.ravel()


def _shape(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape))
