"""Eigenvalues that are known exactly: integers in units of the entries, near computed discs.

A rational eigenvalue of a matrix whose entries are integer multiples of a unit 2ᵉ is such a multiple too (the
rational root theorem for the characteristic polynomial). So there are few candidates near a disc, and exact
arithmetic decides how often each one is an eigenvalue. 0, ±1 and ±i are candidates for every matrix, because
they decide how its powers behave.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.defective import candidate_clusters
from gradflow.linalg.enclosure import connected_components
from gradflow.linalg.exact_rank import MAX_MODULAR_SIZE, count_eigenvalues
from gradflow.linalg.norms import frobenius_norm

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]

MAX_MULTIPLE = 2.0**20  # units in the norm of a matrix: beyond it a disc holds too many candidates
MAX_CANDIDATE_WORK = 512**3  # candidates times rows cubed: about a hundred up to 100 rows, one at 500
FIXED_CANDIDATES = (0j, 1 + 0j, -1 + 0j, 1j, -1j)


class PlacedDiscs(NamedTuple):
    """Discs (n,), some of which are exact, and the candidates whose multiplicity was decided."""

    values: Complex
    radii: Real
    decided: frozenset[complex]


def list_candidates(matrix: NDArray[np.generic], values: Complex, radii: Real) -> set[complex]:
    """Return candidates for exact eigenvalues of a matrix (n, n): multiples of its unit.

    They are the multiples nearest to the centres of the discs and to the means of touching discs. Near a
    defective eigenvalue the mean is far more accurate than the centres.
    """
    candidates = set(FIXED_CANDIDATES)
    unit = _unit(matrix)
    if frobenius_norm(matrix) < MAX_MULTIPLE * unit:
        means = [complex(values[members].mean()) for members in candidate_clusters(values, radii)]
        multiples = np.append(values, means) / unit
        whole = np.rint(multiples.real) + 1j * np.rint(multiples.imag)
        candidates |= {complex(value) for value in (whole * unit).tolist()}
    return candidates


def sort_candidates(candidates: set[complex]) -> list[complex]:
    """Return 0, then the others from the largest down: for large blocks only the first are tried."""
    return sorted(candidates, key=lambda value: (value != 0, -abs(value), value.real, value.imag))


def place_exact_eigenvalues(
    matrix: NDArray[np.generic], values: Complex, radii: Real, candidates: list[complex]
) -> PlacedDiscs:
    """Return discs in which each candidate appears as often as it is an eigenvalue, with radius 0.

    In a group of discs that touch, the multiplicities of the candidates sum to at most the number of discs.
    If exact arithmetic says otherwise, it or the group is wrong, and the group stays as it is.

    Parameters
    ----------
    matrix : array (n, n)
    values, radii : array (n,)
        Discs. A group that touches no other holds as many eigenvalues as it has discs.
    candidates : list of complex
        The most important first, because not all are tried for a large matrix.
    """
    values, radii = values.copy(), radii.copy()
    if len(matrix) > MAX_MODULAR_SIZE:
        return PlacedDiscs(values, radii, frozenset())
    touched = [value for value in candidates if (np.abs(values - value) <= radii).any()]
    tried = touched[: max(MAX_CANDIDATE_WORK // len(matrix) ** 3, 1)]
    counts = {value: count_eigenvalues(matrix, value) for value in tried}
    decided = {value for value, count in counts.items() if not count}
    group = connected_components(np.abs(values[:, None] - values) <= radii[:, None] + radii)
    for label in set(group.tolist()):
        members = np.flatnonzero(group == label)
        inside = {
            value: count
            for value, count in counts.items()
            if count and (np.abs(values[members] - value) <= radii[members]).any()
        }
        if inside and sum(inside.values()) <= len(members):
            _place(values, radii, members, inside)
            decided |= set(inside)
    return PlacedDiscs(values, radii, frozenset(decided))


def _place(values: Complex, radii: Real, members: NDArray[np.intp], counts: dict[complex, int]) -> None:
    """Replace the nearest discs of a group by exact eigenvalues, such that the rest holds all others."""
    centres, reaches, left = values[members], radii[members], list(range(len(members)))
    for value, count in counts.items():
        nearest = sorted(left, key=lambda place: abs(complex(centres[place]) - value))[:count]
        values[members[nearest]], radii[members[nearest]] = value, 0.0
        left = [place for place in left if place not in nearest]
    if not left:
        return
    apart = np.abs(centres[left][:, None] - centres[left]) > reaches[left][:, None] + reaches[left]
    free = all((np.abs(centres[left] - value) > reaches[left]).all() for value in counts)
    if not (free and np.count_nonzero(~apart) == len(left)):
        # One disc has to hold all other eigenvalues of the discs that were replaced.
        widest = max(left, key=lambda place: float(reaches[place]))
        radii[members[widest]] = float((np.abs(centres - centres[widest]) + reaches).max())


def _unit(matrix: NDArray[np.generic]) -> float:
    """Return the largest power of two of which all entries are integer multiples."""
    parts = np.concatenate([matrix.real.ravel(), matrix.imag.ravel()])
    fractions, exponents = np.frexp(parts[parts != 0])
    digits = np.ldexp(fractions, 53).astype(np.int64)
    lowest = np.frexp((digits & -digits).astype(np.float64))[1] - 1
    return float(np.ldexp(1.0, int((exponents - 53 + lowest).min()))) if digits.size else 1.0
