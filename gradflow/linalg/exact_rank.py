"""Ranks and multiplicities of a matrix of doubles without rounding, by arithmetic modulo random primes.

Doubles are integers times a power of two, so a matrix has a rank modulo each odd prime p. It is never above
the rank itself. It is below only if p divides an integer c that is not 0: a minor, or a coefficient of the
characteristic polynomial. With n rows of b bits between the largest and the smallest digit, c has at most
n·(b + 1 + log₂ n) bits (Hadamard 1893). So the number of its prime divisors above 2²⁵ is at most a 25th of
that. The primes are drawn from the `PRIME_COUNT` primes p = 4k + 1 between 2²⁵ and 2²⁶, by a generator that
is seeded with a hash of the matrix. There are so many that the probability that all of the drawn ones divide
c is below `MAX_FAILURE` = 1e-15. Modulo these primes −1 has a root, which stands for i, so complex matrices
are treated in the same way; their c has twice as many bits.
"""

import hashlib
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_MODULAR_SIZE = 600  # rows: for larger matrices elimination takes seconds
# Primes are above 2**PRIME_BITS. Sums of products of a residue and half a residue are exact in a double.
PRIME_BITS = 25
PRIME_COUNT = 946_848  # of the primes 4k + 1 between 2^25 and 2^26
MAX_FAILURE = 1e-15
RESIDUE_SPLIT = 2.0**13  # splits a residue into two halves of 13 bits


def exact_rank(matrix: NDArray[Any], shift: complex = 0.0, enough: int | None = None) -> int:
    """Return the rank of A − shift·I for A of shape (n, n), exactly as its entries are given.

    This is the largest rank modulo several primes. It is too small with a probability below 1e-15, and never
    too large.

    Parameters
    ----------
    matrix : array (n, n)
        A, real or complex.
    shift : complex
    enough : int, optional
        Stop once the rank is known to be at least this, and return the known lower bound.

    Examples
    --------
    >>> exact_rank(np.array([[1.0, 1e-17, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]]), 1.0)
    2
    """
    size, rank = len(matrix), 0
    for prime in _draw_primes(matrix, shift):
        rank = max(rank, _rank(_shift_residues(matrix, shift, prime), prime))
        if rank >= (size if enough is None else min(enough, size)):
            break
    return rank


def count_eigenvalues(matrix: NDArray[Any], value: complex) -> int:
    """Return the algebraic multiplicity of ``value`` as an eigenvalue of A (n, n), exactly.

    It is n − rank (A − value·I)ⁿ. It is too large with a probability below 1e-15, and never too small.

    Examples
    --------
    >>> count_eigenvalues(np.array([[2.0, -1.0], [4.0, -2.0]]), 0.0)
    2
    >>> count_eigenvalues(np.array([[0.0, 1.0], [1e-300, 0.0]]), 0.0)
    0
    >>> count_eigenvalues(np.array([[1.0, 1.0], [-1.0, 3.0]]), 2.0)
    2
    """
    size, rank = len(matrix), 0
    for prime in _draw_primes(matrix, value):
        residues = _shift_residues(matrix, value, prime)
        if _rank(residues, prime) == size:
            return 0
        rank = max(rank, _rank(_power(residues, prime, size), prime))
    return size - rank


def is_zero_power(matrix: NDArray[Any], steps: int) -> bool:
    """Return whether Wⁿ = 0 for n = ``steps``, exactly as the entries of W (n, n) are given.

    A power that is not 0 is reported as 0 with a probability below 1e-15.

    Examples
    --------
    >>> is_zero_power(np.eye(10, k=1), 10), is_zero_power(np.diag([0.5, 0.5]), 10**9)
    (True, False)
    """
    steps = min(steps, len(matrix))
    return not any(
        _power(_shift_residues(matrix, 0.0, prime), prime, steps).any() for prime in _draw_primes(matrix, 0.0)
    )


def _draw_primes(matrix: NDArray[Any], shift: complex) -> Iterator[int]:
    """Yield enough primes to make the probability of a wrong rank less than `MAX_FAILURE`."""
    entries = np.append(np.ravel(matrix), _drop_zero_imaginary_part(shift))
    parts = np.concatenate([entries.real, entries.imag]) if np.iscomplexobj(entries) else entries
    exponents = np.frexp(parts[parts != 0])[1]
    bits = 53 + (int(np.ptp(exponents)) if exponents.size else 0)
    size = len(matrix)
    divisors = size * (bits + 1 + math.log2(size)) * (2 if parts is not entries else 1) / PRIME_BITS
    count = math.ceil(math.log(MAX_FAILURE) / math.log(min(divisors / PRIME_COUNT, 0.5)))
    generator = random.Random(hashlib.sha256(entries.tobytes()).digest())
    for _ in range(count):
        yield _draw_prime(generator)


def _drop_zero_imaginary_part(value: complex) -> complex:
    return value if value.imag else value.real


def _draw_prime(generator: random.Random) -> int:
    while True:
        number = 4 * generator.randrange(1 << (PRIME_BITS - 2), 1 << (PRIME_BITS - 1)) + 1
        # these four bases prove a prime up to 3.2e9
        if all(_passes_miller_rabin(number, base) for base in (2, 3, 5, 7)):
            return number


def _passes_miller_rabin(number: int, base: int) -> bool:
    """Return whether an odd number passes the Miller–Rabin test for primes with this base (Jaeschke 1993)."""
    twos = ((number - 1) & (1 - number)).bit_length() - 1
    power = pow(base, (number - 1) >> twos, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def _imaginary_unit(prime: int) -> int:
    """Return a square root of −1 modulo a prime 4k + 1."""
    base = 2
    while pow(base, (prime - 1) // 2, prime) == 1:
        base += 1
    return pow(base, (prime - 1) // 4, prime)


def _shift_residues(matrix: NDArray[Any], shift: complex, prime: int) -> NDArray[np.int64]:
    """Return A − shift·I modulo a prime."""
    identity = np.eye(len(matrix), dtype=np.int64)
    return (
        _residues(matrix, prime) - _residues(np.array([_drop_zero_imaginary_part(shift)]), prime) * identity
    ) % prime


def _residues(array: NDArray[Any], prime: int) -> NDArray[np.int64]:
    """Return doubles m·2ᵉ modulo an odd prime: 2 has an inverse there, and a root of −1 stands for i."""
    if np.iscomplexobj(array):
        unit = _imaginary_unit(prime)
        return (_residues(array.real, prime) + unit * _residues(array.imag, prime)) % prime
    fractions, exponents = np.frexp(array)
    mantissas = np.ldexp(fractions, 53).astype(np.int64) % prime
    known, places = np.unique(exponents, return_inverse=True)
    powers = np.array([pow(2, int(exponent) - 53, prime) for exponent in known], dtype=np.int64)
    return np.asarray(mantissas * powers[places].reshape(array.shape) % prime)


def _power(matrix: NDArray[np.int64], prime: int, steps: int) -> NDArray[np.int64]:
    """Return the power ``steps`` modulo a prime, by squaring."""
    square, result = matrix.astype(np.float64), np.eye(len(matrix))
    while steps:
        if steps & 1:
            result = _product(result, square, prime)
        steps >>= 1
        if steps:
            square = _product(square, square, prime)
    return result.astype(np.int64)


def _product(left: NDArray[np.float64], right: NDArray[np.float64], prime: int) -> NDArray[np.float64]:
    """Return a product modulo a prime below 2²⁶: up to 2¹⁴ rows no sum leaves 2⁵³."""
    high = np.floor(right / RESIDUE_SPLIT)
    low = right - high * RESIDUE_SPLIT
    upper = (left @ high) % prime
    return np.asarray((upper * RESIDUE_SPLIT + (left @ low) % prime) % prime)


def _rank(matrix: NDArray[np.int64], prime: int) -> int:
    rows, rank = matrix.copy(), 0
    for column in range(rows.shape[1]):
        places = np.flatnonzero(rows[rank:, column])
        if not len(places):
            continue
        pivot = rank + int(places[0])
        rows[[rank, pivot]] = rows[[pivot, rank]]
        top = rows[rank, column:] * pow(int(rows[rank, column]), -1, prime) % prime
        below = rank + 1 + np.flatnonzero(rows[rank + 1 :, column])
        rest = rows[below, column:]
        rows[below, column:] = (rest - rest[:, :1] * top) % prime
        rank += 1
    return rank
