from fractions import Fraction

import numpy as np
import pytest

from gradflow.linalg.exact_rank import count_eigenvalues, exact_rank, is_zero_power
from gradflow.linalg.irreducible import irreducible_blocks
from gradflow.linalg.spectrum import spectrum
from tests.truths import jordan_blocks


def rank_by_fractions(matrix):
    rows = [[Fraction(float(entry)) for entry in row] for row in matrix]
    rank = 0
    for column in range(len(rows[0])):
        pivot = next((k for k in range(rank, len(rows)) if rows[k][column]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        for k in range(rank + 1, len(rows)):
            factor = rows[k][column] / rows[rank][column]
            rows[k] = [a - factor * b for a, b in zip(rows[k], rows[rank], strict=True)]
        rank += 1
    return rank


@pytest.mark.parametrize("seed", range(30))
def test_the_rank_is_that_of_exact_fractions(seed):
    generator = np.random.default_rng(seed)
    size, inner = int(generator.integers(2, 8)), int(generator.integers(1, 6))
    factors = [np.round(generator.standard_normal(shape), 2) for shape in ((size, inner), (inner, size))]
    matrix = factors[0] @ factors[1] if seed % 2 else np.round(factors[0]) @ np.round(factors[1])
    assert exact_rank(matrix) == rank_by_fractions(matrix)


def test_a_coupling_of_any_size_counts():
    assert exact_rank(np.array([[1.0, 1e-300], [0.0, 1.0]]), 1.0) == 1
    assert exact_rank(np.array([[1j, 1e-17j], [0.0, 1j]]), 1j) == 1
    assert exact_rank(np.diag([1j, 1j]), 1j) == 0


def test_zeros_are_counted_with_their_multiplicity():
    hidden = np.array([[2.0, -1.0, 0.0], [4.0, -2.0, 0.0], [1.0, 1.0, 0.5]])
    assert count_eigenvalues(hidden, 0.0) == 2
    assert count_eigenvalues(np.eye(7, k=1), 0.0) == 7
    assert is_zero_power(np.eye(7, k=1), 7)
    assert not is_zero_power(np.eye(7, k=1), 6)
    assert not is_zero_power(np.array([[1e-300]]), 10**6)


@pytest.mark.parametrize("seed", range(20))
def test_a_permuted_block_triangular_matrix_falls_into_its_blocks(seed):
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 5, 4)
    ends = np.cumsum(sizes)
    matrix = generator.uniform(1, 2, (ends[-1], ends[-1]))
    for end in ends:
        matrix[end:, :end] = 0.0
    shuffled = generator.permutation(ends[-1])
    blocks = irreducible_blocks(matrix[np.ix_(shuffled, shuffled)])
    expected = np.split(np.arange(ends[-1]), ends[:-1])
    assert [sorted(shuffled[block]) for block in blocks] == [block.tolist() for block in expected]


def test_a_triangular_matrix_in_any_order_is_decided_exactly():
    generator = np.random.default_rng(1)
    matrix = np.triu(generator.standard_normal((9, 9)), 1) + np.diag([0.5, 0.5, 0.3, 0.3, 0.1, 1, 2, 3, 4])
    shuffled = generator.permutation(9)
    found = spectrum(matrix[np.ix_(shuffled, shuffled)])
    assert sorted(found.values.real) == [0.1, 0.3, 0.3, 0.5, 0.5, 1, 2, 3, 4]
    assert not found.errors.any()
    assert found.diagonalizable is False
    assert sorted(found.values[found.defective].real) == [0.3, 0.3, 0.5, 0.5]


def test_zeros_of_a_sparse_matrix_are_exact_and_hide_nothing():
    # a chain into a cycle: two zeros that lack an eigenvector beside the cube roots of 2
    matrix = np.zeros((5, 5))
    matrix[0, 1] = matrix[1, 2] = matrix[2, 3] = matrix[3, 4] = 1.0
    matrix[4, 2] = 2.0
    found = spectrum(matrix)
    np.testing.assert_allclose(np.abs(found.values), [2 ** (1 / 3)] * 3 + [0, 0], atol=1e-14)
    assert found.errors[3:].tolist() == [0.0, 0.0]
    assert found.defective.tolist() == [False] * 3 + [True] * 2


def test_entries_that_large_primes_divide_are_not_zero():
    # the largest primes under 2**20, one a row: each makes the matrix singular modulo itself
    divided = np.diag([1048573.0, 1048571.0, 1048559.0 * 1048549.0])
    divided[0, 1] = divided[1, 2] = 1.0
    assert exact_rank(divided) == 3
    assert count_eigenvalues(divided, 0.0) == 0


@pytest.mark.parametrize("seed", range(12))
def test_whole_eigenvalues_have_their_jordan_structure(seed):
    generator = np.random.default_rng(seed)
    blocks = [(float(generator.choice([0, 1, 1, -1, 2])), int(generator.integers(1, 4))) for _ in range(3)]
    matrix = jordan_blocks(*blocks)
    for _ in range(8):  # a similarity by whole numbers is exact
        i, j = generator.choice(len(matrix), 2, replace=False)
        matrix[i] += matrix[j]
        matrix[:, j] -= matrix[:, i]
    found = spectrum(matrix)
    assert not found.errors.any()
    assert sorted(found.values.real) == sorted(value for value, size in blocks for _ in range(size))
    lacking = {value for value, size in blocks if size > 1}
    assert set(found.values[found.defective].real) == lacking
    assert found.diagonalizable is (not lacking)
