"""Ranks of a matrix of doubles without rounding, by arithmetic modulo primes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Primes under 2^20: products of two residues, summed over 2^13 rows, are exact in a double. A rank modulo a
# prime is too low only where the prime divides all minors that decide: by chance once in a million for each
# prime.
PRIMES = (1048573, 1048571, 1048559)
MAX_MODULAR_SIZE = 600  # rows past which elimination takes seconds


def exact_rank(matrix: NDArray[Any], shift: complex = 0.0) -> int:
    """Return the rank of A − shift·I for A of shape (n, n), exactly as its entries are given.

    Elimination modulo three primes. Each gives a lower bound, which is the rank itself unless the prime
    divides the minors that decide; the largest of the three is taken. A complex matrix A + iB has half the
    rank of the real one [A, −B; B, A].

    Examples
    --------
    >>> exact_rank(np.array([[1.0, 1e-17, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]]), 1.0)
    2
    """
    real = np.isrealobj(matrix) and not complex(shift).imag
    return max(_shifted_rank(matrix, complex(shift), prime, real=real) for prime in PRIMES) // (
        1 if real else 2
    )


def _shifted_rank(matrix: NDArray[Any], shift: complex, prime: int, *, real: bool) -> int:
    identity = np.eye(len(matrix), dtype=np.int64)

    def residues(part: NDArray[np.float64], moved: float) -> NDArray[np.int64]:
        return _residues(part, prime) - _residues(np.array([moved]), prime) * identity

    first = residues(matrix.real, shift.real)
    if real:
        return _rank(first, prime)
    second = residues(matrix.imag, shift.imag)
    return _rank(np.block([[first, -second], [second, first]]), prime)


def count_zero_eigenvalues(matrix: NDArray[Any]) -> int:
    """Return how many eigenvalues of a real matrix (n, n) are exactly 0, counted with multiplicity.

    It is n − rank Aⁿ. A matrix is nilpotent where it is n.

    Examples
    --------
    >>> count_zero_eigenvalues(np.array([[2.0, -1.0], [4.0, -2.0]]))
    2
    >>> count_zero_eigenvalues(np.array([[0.0, 1.0], [1e-300, 0.0]]))
    0
    """
    ranks = (_rank(_power(_residues(matrix, prime), prime, len(matrix)), prime) for prime in PRIMES)
    return len(matrix) - max(ranks)


def _power(matrix: NDArray[np.int64], prime: int, steps: int) -> NDArray[np.int64]:
    """Return the power ``steps`` modulo a prime, by squaring."""
    square, result = matrix.astype(np.float64), np.eye(len(matrix))
    while steps:
        if steps & 1:
            result = result @ square % prime
        square, steps = square @ square % prime, steps >> 1
    return result.astype(np.int64)


def _residues(array: NDArray[Any], prime: int) -> NDArray[np.int64]:
    """Return doubles m·2ᵉ modulo an odd prime, where 2 has an inverse."""
    fractions, exponents = np.frexp(array)
    mantissas = np.ldexp(fractions, 53).astype(np.int64) % prime
    known, places = np.unique(exponents, return_inverse=True)
    powers = np.array([pow(2, int(exponent) - 53, prime) for exponent in known], dtype=np.int64)
    return np.asarray(mantissas * powers[places].reshape(array.shape) % prime)


def _rank(matrix: NDArray[np.int64], prime: int) -> int:
    rows, rank = matrix % prime, 0
    for column in range(rows.shape[1]):
        places = np.flatnonzero(rows[rank:, column])
        if not len(places):
            continue
        pivot = rank + int(places[0])
        rows[[rank, pivot]] = rows[[pivot, rank]]
        top = rows[rank] * pow(int(rows[rank, column]), -1, prime) % prime
        below = rank + 1 + np.flatnonzero(rows[rank + 1 :, column])
        rows[below] = (rows[below] - rows[below, column][:, None] * top) % prime
        rank += 1
    return rank


def is_zero_power(matrix: NDArray[Any], steps: int) -> bool:
    """Return whether Wⁿ = 0 for n = ``steps``, exactly as the entries of W (n, n) are given.

    Examples
    --------
    >>> is_zero_power(np.eye(10, k=1), 10), is_zero_power(np.diag([0.5, 0.5]), 10**9)
    (True, False)
    """
    if np.iscomplexobj(matrix):
        matrix = np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])
    return not any(_power(_residues(matrix, prime), prime, min(steps, len(matrix))).any() for prime in PRIMES)
