import numpy as np
import pytest

from gradflow.linalg.enclosure import (
    _isolated_radii,
    enclose_eigenvalues,
    invert_vectors,
    smallest_singular_values,
)
from gradflow.linalg.scaled import Scaled
from gradflow.linalg.spectral_radius import spectral_radius
from gradflow.linalg.spectrum import spectrum
from tests.slow import eigenvalues
from tests.truths import jordan_blocks, similar


def sparse(generator):
    size = int(generator.integers(4, 10))
    return generator.standard_normal((size, size)) * (generator.random((size, size)) < 1.8 / size)


def feedforward(generator):
    size = int(generator.integers(4, 9))
    basis, _ = np.linalg.qr(generator.standard_normal((size, size)))
    middle = np.diag(generator.uniform(0.3, 1.05, size)) + np.triu(generator.standard_normal((size, size)), 1)
    return basis @ middle @ basis.T


def companion(generator):
    size = int(generator.integers(3, 9))
    matrix = np.eye(size, k=-1)
    matrix[0] = -np.poly(generator.uniform(0.5, 0.99, size))[1:]
    return matrix


def rotated_jordan_block(generator):
    size = int(generator.integers(2, 9))
    return similar(jordan_blocks((0.9, size)), int(generator.integers(10**6)), orthogonal=True)


def dense(generator):
    size = int(generator.integers(2, 9))
    return generator.standard_normal((size, size)) / np.sqrt(size)


def uneven(generator):
    matrix = dense(generator)
    scales = 2.0 ** generator.integers(-30, 30, len(matrix))
    return matrix * scales / scales[:, None]


def complex_entries(generator):
    return dense(generator) + 1j * generator.standard_normal()


FAMILIES = [sparse, feedforward, companion, rotated_jordan_block, dense, uneven, complex_entries]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_eigenvalue_lies_within_an_error_and_every_error_holds_one(family):
    for seed in range(5):
        matrix = family(np.random.default_rng([seed, 5]))
        found, exact = spectrum(matrix), eigenvalues(matrix)
        slack = 4 * np.finfo(float).eps * np.abs(matrix).max()  # the exact ones are rounded to doubles
        apart = np.abs(found.values[:, None] - exact)
        assert (apart.min(axis=1) <= found.errors + slack).all()
        assert ((apart - found.errors[:, None]).min(axis=0) <= slack).all()
        radius = spectral_radius(found, Scaled(matrix))
        largest = np.abs(exact).max()
        assert radius.low * (1 - 1e-14) <= largest <= radius.high * (1 + 1e-14)


@pytest.mark.parametrize("size", [2, 5, 20])
def test_errors_of_well_conditioned_eigenvalues_are_rounding(size):
    found = enclose_eigenvalues(np.random.default_rng(size).standard_normal((size, size)))
    assert (found.radii < 1e-11).all()


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("size", [12, 40])
def test_the_error_of_an_eigenvalue_apart_from_all_others_is_of_first_order(size, kind):
    generator = np.random.default_rng(size)
    matrix = generator.standard_normal((size, size)) / np.sqrt(size)
    if kind == "complex":
        matrix = matrix + 1j * generator.standard_normal((size, size)) / np.sqrt(size)
    found, exact = enclose_eigenvalues(matrix), eigenvalues(matrix, 40)
    apart = np.abs(found.values[:, None] - exact)
    assert (apart.min(axis=1) <= found.radii).all()
    assert sorted(np.argmin(apart, axis=1)) == list(range(size))
    # backward error times condition (Wilkinson 1965), where a uniform radius is ‖Q⁻¹‖ times as large
    rounding = 6 * np.sqrt(size) * np.finfo(float).eps * np.linalg.norm(matrix)
    assert (found.radii <= 2 * rounding * found.conditions).all()


@pytest.mark.parametrize("seed", range(20))
def test_discs_of_a_perturbed_diagonal_matrix_hold_one_eigenvalue_each(seed):
    generator = np.random.default_rng(seed)
    size = 6
    values = generator.uniform(-1, 1, size) + 1j * generator.uniform(-1, 1, size)
    bound = 10.0 ** generator.uniform(-6, -0.5) * generator.random((size, size))
    phases = np.exp(2j * np.pi * generator.random((size, size)))
    exact = np.linalg.eigvals(np.diag(values) + bound * phases)
    radii = _isolated_radii(values, bound)
    for value, radius in zip(values, radii, strict=True):
        if np.isfinite(radius):
            assert np.count_nonzero(np.abs(exact - value) <= radius * (1 + 1e-12) + 1e-14) == 1


def test_the_inverse_of_pairs_of_vectors_is_that_of_complex_arithmetic():
    for size in (2, 7, 30):
        _, vectors = np.linalg.eig(np.random.default_rng(size).standard_normal((size, size)))
        rounding = 10 * size * np.finfo(float).eps * np.linalg.cond(vectors)
        np.testing.assert_allclose(invert_vectors(vectors) @ vectors, np.eye(size), atol=rounding)
        turned = vectors * np.exp(0.3j)  # no pairs any more
        np.testing.assert_allclose(invert_vectors(turned) @ turned, np.eye(size), atol=rounding)


def test_the_errors_of_a_large_jordan_block_are_the_root_of_rounding():
    # a perturbation of ε moves the eigenvalue of a block of m rows by about ε^(1/m)
    for size in (4, 8, 12):
        matrix = similar(jordan_blocks((0.9, size)), 3, orthogonal=True)
        error = spectrum(matrix).errors.max()
        assert 0.3 * (1e-16) ** (1 / size) < error < 10 * (1e-16) ** (1 / size)


def test_smallest_singular_values_are_those_of_the_svd():
    generator = np.random.default_rng(0)
    triangle = np.triu(generator.standard_normal((12, 12)) + 1j * generator.standard_normal((12, 12)))
    points = generator.standard_normal(40) + 1j * generator.standard_normal(40)
    exact = [np.linalg.svd(triangle - z * np.eye(12), compute_uv=False)[-1] for z in points]
    found = smallest_singular_values(triangle, points)
    assert (found >= np.array(exact) * (1 - 1e-9)).all()  # from above, for it is an iteration
    np.testing.assert_allclose(found, exact, rtol=0.2)


def test_the_companion_of_twenty_roots_is_not_known_to_vanish():
    # the roots are under 1, but those of the matrix of doubles are not
    matrix = np.eye(20, k=-1)
    matrix[0] = -np.poly(np.linspace(0.5, 0.99, 20))[1:]
    radius = spectral_radius(spectrum(matrix), Scaled(matrix))
    exact = np.abs(eigenvalues(matrix)).max()
    assert exact > 1.0
    assert radius.low <= exact <= radius.high
