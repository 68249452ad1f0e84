import numpy as np
import pytest

from gradflow.linalg.spectrum import spectrum
from tests.truths import CAT_MAP, EXERCISE, LOG_GOLDEN, hippo_eigenvalues, hippo_legs, jordan_blocks, similar

DEFECTIVE = {
    "one block": [(0.9, 2)],
    "a block beside a simple eigenvalue": [(0.9, 3), (0.5, 1)],
    "a large block": [(0.9, 10)],
    "two blocks of one eigenvalue": [(0.9, 3), (0.9, 2), (0.1, 2)],
    "several eigenvalues": [(1.0, 2), (0.5, 2), (0.2, 4)],
}
SOUND = {
    "a double eigenvalue": [(0.5, 1), (0.5, 1), (0.2, 1)],
    "all different": [(0.9, 1), (0.5, 1), (-0.3, 1), (0.1, 1)],
    "close eigenvalues": [(0.9, 1), (0.9 + 1e-7, 1), (0.2, 1)],
}


@pytest.mark.parametrize("form", ["plain", "orthogonal", "oblique"])
@pytest.mark.parametrize("blocks", [*DEFECTIVE.values(), *SOUND.values()], ids=[*DEFECTIVE, *SOUND])
def test_defective_eigenvalues_are_told_from_sound_ones_in_any_basis(blocks, form):
    matrix = jordan_blocks(*blocks)
    if form != "plain":
        matrix = similar(matrix, 7, orthogonal=form == "orthogonal")
    eigen = spectrum(matrix)
    # a sound double eigenvalue is one that rounding leaves open
    assert (eigen.diagonalizable is False) == any(size > 1 for _, size in blocks)
    expected = sorted(value for value, size in blocks for _ in range(size))
    np.testing.assert_allclose(sorted(eigen.values.real), expected, atol=1e-11)
    np.testing.assert_allclose(eigen.values.imag, 0, atol=1e-11)


@pytest.mark.parametrize("blocks", [*DEFECTIVE.values(), *SOUND.values()], ids=[*DEFECTIVE, *SOUND])
def test_the_verdict_does_not_hang_on_the_luck_of_rounding(blocks):
    sound = all(size == 1 for _, size in blocks)
    verdicts = [spectrum(similar(jordan_blocks(*blocks), seed, orthogonal=True)) for seed in range(12)]
    assert [eigen.diagonalizable is not False for eigen in verdicts] == [sound] * 12


def test_an_exact_jordan_block_of_any_coupling_is_defective():
    assert not spectrum(np.array([[1.0, 1e-17], [0.0, 1.0]])).diagonalizable
    assert spectrum(np.array([[1.0, 1.0], [0.0, 1.0 + 1e-9]])).diagonalizable


def test_the_exercise():
    eigen = spectrum(EXERCISE)
    np.testing.assert_allclose(eigen.values, [0.9, 0.4], rtol=1e-15)
    np.testing.assert_allclose(eigen.vectors, [[0.6, 0.8], [0.8, -0.6]], atol=1e-15)


def test_golden_ratio_and_cat_map():
    radius = spectrum(np.array([[1.0, 1.0], [1.0, 0.0]])).radius
    assert np.log(radius) == pytest.approx(LOG_GOLDEN, rel=1e-15)
    assert np.log(radius) == pytest.approx(0.4812118251, abs=5e-11)
    np.testing.assert_allclose(
        np.log(spectrum(CAT_MAP).values.real), [0.9624236501, -0.9624236501], atol=5e-11
    )


def test_a_nilpotent_matrix_has_exact_zeros():
    for matrix in (np.eye(10, k=1), np.array([[2.0, -1.0], [4.0, -2.0]]), np.eye(6, k=-1)[::-1, ::-1]):
        eigen = spectrum(matrix)
        assert not eigen.diagonalizable
        np.testing.assert_array_equal(eigen.values, 0)
        np.testing.assert_array_equal(eigen.errors, 0)


@pytest.mark.parametrize("size", [8, 16])
def test_hippo_has_its_exact_eigenvalues(size):
    eigen = spectrum(hippo_legs(size))
    assert eigen.diagonalizable
    np.testing.assert_allclose(np.sort(eigen.values.real), np.sort(hippo_eigenvalues(size)), atol=1e-15)


@pytest.mark.parametrize("size", [24, 32, 40, 64])
def test_hippo_stays_diagonalizable_where_rounding_hides_it(size):
    assert spectrum(np.tril(hippo_legs(size))).diagonalizable


def test_condition_numbers_of_a_two_by_two():
    # [[a, c], [0, b]]: left and right eigenvectors enclose an angle with cosine 1/√(1 + (c/(a−b))²)
    eigen = spectrum(np.array([[0.9, 2.0], [0.0, 0.4]]))
    np.testing.assert_allclose(eigen.conditions, np.hypot(1, 2.0 / 0.5), rtol=1e-14)


@pytest.mark.parametrize("seed", range(8))
def test_eigenvalue_errors_bound_what_a_rounding_sized_change_does(seed):
    generator = np.random.default_rng(seed)
    matrix = similar(np.diag(np.linspace(-0.9, 0.8, 6)), seed)
    eigen = spectrum(matrix)
    moved = spectrum(matrix * (1 + np.finfo(float).eps * generator.choice([-1, 1], matrix.shape)))
    for value, error in zip(eigen.values, eigen.errors, strict=True):
        assert np.abs(moved.values - value).min() <= 2 * error


@pytest.mark.parametrize("seed", range(4))
def test_columns_are_unit_eigenvectors_with_a_fixed_sign(seed):
    matrix = np.random.default_rng(seed).standard_normal((7, 7))
    eigen = spectrum(matrix)
    np.testing.assert_allclose(matrix @ eigen.vectors, eigen.vectors * eigen.values, atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(eigen.vectors, axis=0), 1, rtol=1e-14)
    pivots = eigen.vectors[np.abs(eigen.vectors).round(9).argmax(axis=0), np.arange(7)]
    assert np.all(pivots.real > 0)
    np.testing.assert_allclose(pivots.imag, 0, atol=1e-15)
    assert np.all(np.diff(np.abs(eigen.values)) <= 1e-12)
