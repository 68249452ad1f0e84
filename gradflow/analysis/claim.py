"""Is an eigendecomposition that somebody states right, and if not, what was the slip?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import UsageError
from gradflow.record import column

# A stated decomposition is exact to what was written down; a wrong one is off in the first digits.
TOLERANCE = 1e-6
ROUNDED = 1e-2


@dataclass(frozen=True, eq=False)
class Claim:
    """The claimed eigenpairs, column by column of Q."""

    index: list[int] = column("column of Q, from 1")
    re: NDArray[np.float64] = column("claimed eigenvalue, real part")
    im: NDArray[np.float64] = column("claimed eigenvalue, imaginary part")
    residual: NDArray[np.float64] = column("‖Wq − λq‖ / (‖W‖‖q‖)")
    holds: list[bool] = column("whether that is rounding")
    re_true: NDArray[np.float64] = column("q*Wq/q*q: the eigenvalue q would have, real part")
    im_true: NDArray[np.float64] = column("the same, imaginary part")


class Verdict(NamedTuple):
    """Whether W = QΛQ⁻¹, how far off it is, and the likely slip (None where it holds)."""

    holds: bool
    residual: float
    slip: str | None
    table: Claim


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
    table = _columns(matrix, vectors, diagonal)
    residual = _residual(matrix, vectors, diagonal)
    independent = np.linalg.matrix_rank(vectors) == len(matrix)
    if residual <= TOLERANCE and all(table.holds) and independent:
        return Verdict(True, residual, None, table)
    return Verdict(False, residual, _slip(matrix, vectors, diagonal, residual, independent), table)


def _slip(
    matrix: NDArray[Any], vectors: NDArray[Any], values: NDArray[Any], residual: float, independent: bool
) -> str:
    """Return what is wrong with a claim that does not hold."""
    wrong = "The claimed decomposition is wrong"
    if not independent:
        return f"{wrong}: the columns of Q are not independent, so Q⁻¹ does not exist."
    for text, q, d in _slips(matrix, vectors, values):
        if _residual(matrix, q, d) <= TOLERANCE:
            return f"{wrong}: {text}."
    if residual <= ROUNDED:
        return f"The claimed decomposition has rounded numbers: it is right to a relative {residual:.1e}."
    return f"{wrong}, and by no slip that is known: see which columns fail."


def _slips(
    matrix: NDArray[Any], vectors: NDArray[Any], values: NDArray[Any]
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Yield (what would have happened, the Q and Λ then meant), the likeliest first."""
    inverse = np.linalg.inv(vectors)
    orthogonal = np.allclose(inverse, vectors.conj().T, atol=TOLERANCE)
    remark = " (Q⁻¹ is the transpose of Q here)" if orthogonal else ""
    for suffix, q in (("", vectors), (", and Q and Q⁻¹ swapped", inverse), (", and Q transposed", vectors.T)):
        own = _own_values(matrix, q)
        if q is inverse:
            yield f"Q and Q⁻¹ are swapped, W = Q⁻¹ΛQ{remark}", q, values
        elif q is not vectors:
            yield "Q is transposed, its rows are the eigenvectors", q, values
        yield f"the columns of Q are permuted against Λ{suffix}", q, _nearest_order(values, own)
        yield (
            f"the sign of some eigenvalues is wrong{suffix}",
            q,
            np.where(_opposite(values, own), -values, values),
        )
    yield "the sign of some entries of Q is wrong", _signs_mended(matrix, vectors, values), values


def _own_values(matrix: NDArray[Any], vectors: NDArray[Any]) -> NDArray[Any]:
    """Return q*Wq/q*q, the eigenvalue of each column if it is an eigenvector."""
    # i, k entries of a vector, j column
    left = vectors.conj()
    own: NDArray[Any] = np.einsum("ij,ik,kj->j", left, matrix, vectors) / np.einsum("ij,ij->j", left, vectors)
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
        size = np.linalg.norm(vectors[:, k])
        if np.allclose(np.abs(vectors[:, k]), size * np.abs(true), atol=TOLERANCE * float(size)):
            mended[:, k] = size * true
    return mended


def _columns(matrix: NDArray[Any], vectors: NDArray[Any], values: NDArray[Any]) -> Claim:
    norms = np.linalg.norm(matrix, 2) * np.linalg.norm(vectors, axis=0)
    gaps = np.linalg.norm(matrix @ vectors - vectors * values, axis=0)
    residuals = np.where(norms > 0, gaps / np.where(norms > 0, norms, 1), np.where(gaps > 0, np.inf, 0.0))
    with np.errstate(invalid="ignore"):
        own = _own_values(matrix, vectors)
    return Claim(
        index=list(range(1, len(values) + 1)),
        re=values.real,
        im=values.imag,
        residual=residuals,
        holds=[bool(residual <= TOLERANCE) for residual in residuals],
        re_true=own.real,
        im_true=own.imag,
    )


def _residual(matrix: NDArray[Any], vectors: NDArray[Any], values: NDArray[Any]) -> float:
    scale = np.linalg.norm(matrix) * np.linalg.norm(vectors)
    gap = float(np.linalg.norm(matrix @ vectors - vectors * values))
    return gap / float(scale) if scale else gap


def _diagonal(values: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the claimed Λ as a list of n values."""
    if values.shape == (size, size) and size > 1:
        if np.count_nonzero(values - np.diag(np.diag(values))):
            raise UsageError(f"claimed values are a {_shape(values)} matrix that is not diagonal")
        return np.diag(values)
    if values.size != size:
        raise UsageError(
            f"claimed values are {_shape(values)}: expected {size} eigenvalues, or them on a diagonal"
        )
    return values.ravel()


def _shape(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape))
