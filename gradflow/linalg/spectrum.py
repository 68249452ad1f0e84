"""Eigenvalues with certified errors, their conditions, and whether there is a basis of eigenvectors."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradflow.linalg.defective import candidate_clusters, count_eigenvectors
from gradflow.linalg.enclosure import (
    HERMITIAN_ERROR_UNITS,
    MAX_CIRCLE_SIZE,
    Enclosure,
    balance,
    circle_radii,
    eigenvalue_conditions,
    enclose_eigenvalues,
    invert_vectors,
    match_values,
    row_lengths,
    schur_form,
    vector_condition,
)
from gradflow.linalg.exact_eigenvalues import list_candidates, place_exact_eigenvalues, sort_candidates
from gradflow.linalg.exact_rank import MAX_MODULAR_SIZE, exact_rank
from gradflow.linalg.floating import DOUBLE_EPS
from gradflow.linalg.irreducible import irreducible_blocks

MAX_WHOLE_ENTRY = 2.0**20  # products of such entries, summed over 2^13 rows, are exact
Complex = NDArray[np.complex128]
Real = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of a matrix W of shape (n, n), largest modulus first, and the evidence for them.

    Attributes
    ----------
    values : array (n,), complex
    errors : array (n,)
        All eigenvalues of W lie within these distances of the ``values``, and each of these discs holds at
        least one. The error is 0 if a value is exact.
    vectors, inverse : array (n, n) or None
        Right eigenvectors Q as columns of norm 1, and Q⁻¹. They are None if W is known to have no such basis,
        or if floating point has no inverse.
    conditions : array (n,)
        Condition number 1/|yᴴx| of each eigenvalue (Wilkinson 1965); inf if it is defective.
    defective : array (n,) of bool
        Which eigenvalues have fewer independent eigenvectors than their multiplicity, in W or in a matrix
        within rounding of it.
    semisimple : array (n,) of bool
        Which eigenvalues are known to have as many independent eigenvectors as their multiplicity.
    diagonalizable : bool or None
        Whether there is a basis of eigenvectors. It is None if rounding leaves this open, and False if a
        matrix within rounding of W has no such basis.
    blocks : list of array
        The irreducible diagonal blocks of W, as index sets.
    perturbation : float
        A bound of ‖Q⁻¹WQ − Λ‖₂; inf if none is known.
    modal_values : array (n,), complex
        The eigenvalues that were computed together with Q: with them QΛQ⁻¹ is most accurate.
    """

    values: Complex
    errors: Real
    vectors: NDArray[Any] | None
    inverse: NDArray[Any] | None
    conditions: Real
    defective: NDArray[np.bool_]
    semisimple: NDArray[np.bool_]
    diagonalizable: bool | None
    blocks: list[Places]
    perturbation: float
    modal_values: Complex

    @property
    def radius(self) -> float:
        """The spectral radius, the largest modulus."""
        return float(np.abs(self.values[0]))

    @cached_property
    def vector_condition(self) -> float:
        """κ(Q); inf if there is no Q."""
        return math.inf if self.vectors is None else vector_condition(self.vectors)


def spectrum(matrix: NDArray[Any]) -> Spectrum:
    """Return the eigenvalues of a square matrix with certified errors, and facts on its eigenvectors.

    The pattern of zeros splits W into irreducible diagonal blocks, whose eigenvalues are those of W. A block
    of one row is its own eigenvalue, without rounding. So a matrix that is triangular in some order of its
    rows is decided exactly. All other blocks are handled by `gradflow.linalg.enclosure`. The multiplicities
    of 0, ±1, ±i and multiples of the unit of the entries are counted exactly (`exact_eigenvalues`). The exact
    rank of W − λ gives the number of eigenvectors of a repeated exact eigenvalue. A cluster of computed
    eigenvalues counts as one defective eigenvalue only if the staircase form proves that W is within rounding
    of a matrix that has it. Its error then covers all that the cluster may be.

    Parameters
    ----------
    matrix : array (n, n)
        Entries of about 1: see `gradflow.linalg.scaled`.

    Examples
    --------
    >>> exercise = spectrum(np.array([[0.58, 0.24], [0.24, 0.72]]))
    >>> exercise.values.real.round(12), exercise.diagonalizable
    (array([0.9, 0.4]), True)
    >>> spectrum(np.array([[1.0, 1.0], [0.0, 1.0]])).diagonalizable
    False
    """
    if np.array_equal(matrix, matrix.conj().T):
        return _hermitian_spectrum(matrix)
    blocks = irreducible_blocks(matrix)
    enclosures, decided = _enclose_blocks([matrix[np.ix_(block, block)] for block in blocks])
    values = np.concatenate([enclosure.values for enclosure in enclosures])
    errors = np.concatenate([enclosure.radii for enclosure in enclosures])
    modal, vectors, inverse, conditions = _eigenvectors(matrix, blocks, enclosures)
    order = _order_by_modulus(values)
    modal = modal[order]
    values, errors, conditions = values[order], errors[order], conditions[order]
    decided = [decided[place] for place in order]
    if vectors is not None and inverse is not None:
        with np.errstate(all="ignore"):
            vectors, inverse = _normalize_vectors(vectors[:, order], inverse[order])
        if not (np.isfinite(vectors).all() and np.isfinite(inverse).all()):
            vectors = inverse = None
    defective, sound = _judge_exact(matrix, values, errors, decided)
    for members in candidate_clusters(values, errors):
        if not (defective[members] | (errors[members] == 0.0)).any() and _lacks_eigenvectors(
            matrix, values[members]
        ):
            values[members], errors[members] = _merge(matrix, values[members], errors[members])
            defective[members] = True
    conditions[defective] = np.inf
    semisimple = ~defective & (_are_isolated(values, errors) | sound)
    diagonalizable = False if defective.any() else True if semisimple.all() or _is_normal(matrix) else None
    if diagonalizable is False:
        vectors = inverse = None
    perturbation = enclosures[0].perturbation if len(blocks) == 1 and vectors is not None else np.inf
    return Spectrum(
        values,
        errors,
        vectors,
        inverse,
        conditions,
        defective,
        semisimple,
        diagonalizable,
        blocks,
        perturbation,
        modal,
    )


def _enclose_blocks(blocks: list[NDArray[Any]]) -> tuple[list[Enclosure], list[frozenset[complex]]]:
    """Return the eigenvalues of the irreducible blocks, some of them exact.

    The second list holds for each eigenvalue the candidates whose multiplicity in its block was decided.
    """
    enclosures, candidates = [], set[complex]()
    for block in blocks:
        if len(block) == 1:
            identity = np.ones((1, 1))
            enclosure = Enclosure(
                block[0].astype(np.complex128), np.zeros(1), np.ones(1), identity, identity, 0.0
            )
            candidates.add(complex(block[0, 0]))
        else:
            enclosure = enclose_eigenvalues(block)
            candidates |= set(list_candidates(block, enclosure.values, enclosure.radii))
        enclosures.append(enclosure)
    decided: list[frozenset[complex]] = []
    ordered = sort_candidates(candidates)
    for k, (block, enclosure) in enumerate(zip(blocks, enclosures, strict=True)):
        if len(block) > 1:
            placed = place_exact_eigenvalues(block, enclosure.values, enclosure.radii, ordered)
            enclosures[k] = enclosure._replace(values=placed.values, radii=placed.radii)
            decided += [placed.decided] * len(block)
        else:
            decided.append(frozenset({complex(block[0, 0])}))
    return enclosures, decided


def _eigenvectors(
    matrix: NDArray[Any], blocks: list[Places], enclosures: list[Enclosure]
) -> tuple[Complex, NDArray[Any] | None, NDArray[Any] | None, Real]:
    """Return Λ, X, X⁻¹ and the conditions of the eigenvalues of W, in the order of the blocks."""
    if len(blocks) == 1:
        only = enclosures[0]
        return only.values.copy(), only.vectors, only.inverse, only.conditions
    scales = balance(matrix) if len(blocks) < len(matrix) else np.ones(len(matrix))
    balanced = matrix * scales / scales[:, None]
    # In LAPACK's order a triangular W has a triangular X. Pivoting a reordered X would cost its digits.
    values, vectors = np.linalg.eig(balanced)
    inverse = invert_vectors(vectors)
    known = np.concatenate([enclosure.values for enclosure in enclosures])
    if inverse is None:
        return known, None, None, eigenvalue_conditions(balanced, known)
    places = match_values(values, known)
    vectors, inverse = (scales[:, None] * vectors)[:, places], (inverse / scales)[places]
    with np.errstate(over="ignore"):  # next to a defective matrix
        conditions = np.linalg.norm(vectors, axis=0) * row_lengths(inverse)
    return values[places].astype(np.complex128), vectors, inverse, np.maximum(conditions, 1.0)


def _are_isolated(values: Complex, errors: Real) -> NDArray[np.bool_]:
    """Return which discs touch no other disc: each of them holds one simple eigenvalue."""
    touching = np.abs(values[:, None] - values) <= errors[:, None] + errors
    return np.asarray(np.count_nonzero(touching, axis=1) == 1)


def _is_normal(matrix: NDArray[Any]) -> bool:
    """Return whether W Wᴴ = Wᴴ W, for a W of small integers, whose products are exact."""
    whole = np.array_equal(matrix, np.rint(matrix.real) + 1j * np.rint(matrix.imag))
    if not whole or np.abs(matrix).max(initial=0.0) > MAX_WHOLE_ENTRY:
        return False
    return np.array_equal(matrix @ matrix.conj().T, matrix.conj().T @ matrix)


def _judge_exact(
    matrix: NDArray[Any], values: Complex, errors: Real, decided: list[frozenset[complex]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which exact eigenvalues lack eigenvectors, and which are known to have all of them."""
    defective, sound = np.zeros(len(values), dtype=bool), np.zeros(len(values), dtype=bool)
    exact = errors == 0.0
    for value in set(values[exact].tolist()):
        same = exact & (values == value)
        count = int(np.count_nonzero(same))
        touching = np.flatnonzero(~same & (np.abs(values - value) <= errors))
        counted = all(value in decided[place] for place in touching)
        if count == 1:
            sound |= same & counted
        elif len(matrix) <= MAX_MODULAR_SIZE:
            rank = exact_rank(matrix, value, len(matrix) - count + 1)
            if len(matrix) - rank < count:
                defective |= same
            elif counted:
                sound |= same
    return defective, sound


def _lacks_eigenvectors(matrix: NDArray[Any], cluster: Complex) -> bool:
    count = count_eigenvectors(matrix, cluster)
    return count is not None and count < len(cluster)


def _merge(matrix: NDArray[Any], cluster: Complex, errors: Real) -> tuple[complex, float]:
    """Return the mean of a cluster, which is far more accurate than its members, and its error."""
    mean = complex(cluster.mean())
    if np.isrealobj(matrix) and abs(mean.imag) <= errors.max():
        mean = complex(mean.real)
    reach = float((np.abs(cluster - mean) + errors).max())
    if len(matrix) <= MAX_CIRCLE_SIZE:
        reach = min(
            reach, float(circle_radii(schur_form(matrix), np.array([mean]), np.zeros(1), len(cluster))[0])
        )
    return mean, reach


def _normalize_vectors(vectors: NDArray[Any], inverse: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return Q with columns of norm 1 and a fixed sign, and Q⁻¹."""
    rows = np.argmax(np.abs(vectors).round(12), axis=0)
    pivots = vectors[rows, np.arange(len(vectors))]
    # the largest entry becomes real and positive: the sign is free, so it is fixed
    factors = np.linalg.norm(vectors, axis=0) * pivots / np.abs(pivots)
    return vectors / factors + 0.0, factors[:, None] * inverse + 0.0


def _hermitian_spectrum(matrix: NDArray[Any]) -> Spectrum:
    values, vectors = np.linalg.eigh(matrix)
    order, count = _order_by_modulus(values), len(values)
    vectors, inverse = _normalize_vectors(vectors[:, order], vectors[:, order].conj().T)
    diagonal = np.count_nonzero(matrix - np.diag(np.diag(matrix))) == 0
    error = 0.0 if diagonal else HERMITIAN_ERROR_UNITS * count * DOUBLE_EPS * float(np.abs(values).max())
    ones, none = np.ones(count), np.zeros(count, dtype=bool)
    blocks = irreducible_blocks(matrix)
    values = values[order].astype(np.complex128)
    return Spectrum(values, error * ones, vectors, inverse, ones, none, ~none, True, blocks, error, values)


def _order_by_modulus(values: NDArray[Any]) -> NDArray[np.intp]:
    """Return the order of the values by descending modulus.

    Of equal moduli the value nearest to the positive axis comes first, and the upper half-plane before the
    lower.
    """
    modulus = np.abs(values)
    scale = modulus.max(initial=0.0) or 1.0
    angle = np.angle(values)
    return np.lexsort((-angle, np.abs(angle).round(9), -(modulus / scale).round(12)))
