import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import schur

from gradflow.linalg.enclosure import vector_condition
from gradflow.linalg.norms import departure_from_normality, spectral_norm
from gradflow.linalg.scaled import Scaled
from gradflow.linalg.spectrum import spectrum
from tests.truths import similar

entries = st.floats(-10, 10).map(lambda x: round(x, 6))


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=entries))
def test_spectral_norm_is_the_largest_singular_value(array):
    expected = np.linalg.svd(array, compute_uv=False)[0]
    assert spectral_norm(Scaled(array)).value() == pytest.approx(expected, rel=1e-13, abs=1e-300)


def test_spectral_norm_of_complex_and_out_of_range():
    array = np.random.default_rng(1).standard_normal((5, 5, 2)) @ np.array([1, 1j])
    expected = np.linalg.svd(array, compute_uv=False)[0]
    assert spectral_norm(Scaled(array)).value() == pytest.approx(expected, rel=1e-14)
    assert spectral_norm(Scaled(array, 5000)).log10() == pytest.approx(
        np.log10(expected) + 5000 * np.log10(2)
    )


@pytest.mark.parametrize("seed", range(5))
def test_departure_from_normality_is_the_strict_part_of_a_known_schur_form(seed):
    generator = np.random.default_rng(seed)
    triangle = np.triu(generator.standard_normal((8, 8)))
    turn, _ = np.linalg.qr(generator.standard_normal((8, 8)))
    expected = np.linalg.norm(np.triu(triangle, 1))
    for matrix in (triangle, triangle.T, turn @ triangle @ turn.T):
        eigen = spectrum(matrix)
        assert departure_from_normality(matrix, eigen.values, eigen.vectors) == pytest.approx(
            expected, rel=1e-11
        )


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9])
def test_a_tiny_departure_keeps_its_digits(size):
    generator = np.random.default_rng(3)
    triangle = np.diag(generator.standard_normal(6)) + size * np.triu(generator.standard_normal((6, 6)), 1)
    turn, _ = np.linalg.qr(generator.standard_normal((6, 6)))
    matrix = turn @ triangle @ turn.T
    eigen = spectrum(matrix)
    expected = np.linalg.norm(np.triu(triangle, 1))
    found = departure_from_normality(matrix, eigen.values, eigen.vectors)
    assert found == pytest.approx(expected, abs=1e-14)


def test_departure_of_a_defective_matrix():
    matrix = similar(np.array([[0.9, 1.0], [0.0, 0.9]]), 2, orthogonal=True)
    eigen = spectrum(matrix)
    assert departure_from_normality(matrix, eigen.values, eigen.vectors) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_departure_of_a_large_matrix_is_the_strict_part_of_its_schur_form(seed):
    matrix = np.random.default_rng(seed).standard_normal((80, 80))
    triangle, _ = schur(matrix, output="complex")
    eigen = spectrum(matrix)
    found = departure_from_normality(matrix, eigen.values, eigen.vectors)
    assert found == pytest.approx(np.linalg.norm(np.triu(triangle, 1)), rel=1e-12)


@pytest.mark.parametrize("size", [2, 9, 40])
def test_condition_of_paired_vectors_is_that_of_complex_ones(size):
    _, vectors = np.linalg.eig(np.random.default_rng(size).standard_normal((size, size)))
    assert vector_condition(vectors) == pytest.approx(np.linalg.cond(vectors), rel=1e-11)
    turned = vectors * np.exp(1j * np.arange(size))  # no pairs any more
    assert vector_condition(turned) == pytest.approx(np.linalg.cond(vectors), rel=1e-11)
