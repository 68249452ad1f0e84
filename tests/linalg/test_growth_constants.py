"""Kreiss constant and numerical radius: closed forms, and the inequalities that always hold."""

import numpy as np
import pytest

from gradflow.linalg.ensembles import random_matrix
from gradflow.linalg.kreiss import kreiss_constant
from gradflow.linalg.numerical_radius import numerical_radius
from tests.truths import hippo_legs, kreiss_two_by_two


@pytest.mark.parametrize(
    ("eigenvalue", "coupling"), [(0.9, 1.0), (0.0, 100.0), (0.5, 0.2), (0.99, 1.0), (-0.7, 3.0)]
)
def test_kreiss_constant_of_two_by_two(eigenvalue, coupling):
    matrix = np.array([[eigenvalue, coupling], [0.0, eigenvalue]])
    expected = kreiss_two_by_two(abs(eigenvalue), coupling)
    assert kreiss_constant(matrix, abs(eigenvalue)) == pytest.approx(expected, rel=1e-9)


def test_kreiss_constants_as_published():
    assert kreiss_two_by_two(0.9, 1.0) == pytest.approx(2.6)
    assert kreiss_two_by_two(0.0, 100.0) == pytest.approx(25.01)


@pytest.mark.parametrize("matrix", [0.9 * np.eye(3), np.diag([0.5, -1.0]), hippo_legs(12), np.eye(4, k=1)])
def test_kreiss_constant_of_a_contraction_is_one(matrix):
    assert kreiss_constant(matrix, 0.9) == 1.0


def test_kreiss_constant_on_the_unit_circle_is_the_norm_of_the_projector():
    # [[1, c], [0, 0]] is its own power, so sup‖Wᵏ‖ = ‖W‖, and (z−1)(z−W)⁻¹ → W as z → 1
    matrix = np.array([[1.0, 3.0], [0.0, 0.0]])
    assert kreiss_constant(matrix, 1.0) == pytest.approx(np.sqrt(10), rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [2, 5, 12, 40])
def test_kreiss_matrix_theorem(size, seed):
    matrix = random_matrix("ginibre", size, seed=seed)
    matrix = matrix * (0.97 / np.abs(np.linalg.eigvals(matrix)).max())
    largest = max(np.linalg.norm(np.linalg.matrix_power(matrix, k), 2) for k in range(400))
    constant = kreiss_constant(matrix, 0.97)
    assert 1.0 <= constant <= largest * (1 + 1e-12)
    assert largest <= np.e * size * constant


@pytest.mark.parametrize("seed", range(4))
def test_kreiss_constant_is_not_below_a_fine_grid(seed):
    matrix = random_matrix("ginibre", 6, seed=seed) + 0.8 * np.eye(6, k=1)
    matrix = matrix * (0.9 / np.abs(np.linalg.eigvals(matrix)).max())
    radii = 1 + np.geomspace(1e-3, 10, 120)
    z = (radii[:, None] * np.exp(1j * np.linspace(0, np.pi, 181))).ravel()
    smallest = np.linalg.svd(z[:, None, None] * np.eye(6) - matrix, compute_uv=False)[:, -1]
    assert kreiss_constant(matrix, 0.9) >= ((np.abs(z) - 1) / smallest).max() * (1 - 1e-12)


@pytest.mark.parametrize("size", [2, 3, 6, 20])
def test_numerical_radius_of_a_shift_is_a_cosine(size):
    assert numerical_radius(np.eye(size, k=1)) == pytest.approx(np.cos(np.pi / (size + 1)), rel=1e-12)


@pytest.mark.parametrize(
    "matrix", [np.diag([1j, -0.3, 0.5]), np.diag([0.2, -2.0]), np.array([[0.0, 1.0], [-1.0, 0.0]])]
)
def test_numerical_radius_of_a_normal_matrix_is_its_spectral_radius(matrix):
    assert numerical_radius(matrix) == pytest.approx(np.abs(np.linalg.eigvals(matrix)).max(), rel=1e-12)


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("seed", range(5))
def test_numerical_radius_against_a_fine_sweep(seed, kind):
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal((7, 7)) + (
        1j * generator.standard_normal((7, 7)) if kind == "complex" else 0
    )
    turned = np.exp(1j * np.linspace(0, 2 * np.pi, 20001))[:, None, None] * matrix
    swept = np.linalg.eigvalsh((turned + turned.conj().swapaxes(1, 2)) / 2)[:, -1].max()
    found = numerical_radius(matrix)
    assert swept * (1 - 1e-14) <= found <= swept * (1 + 1e-6)
    norm = np.linalg.norm(matrix, 2)
    assert norm / 2 <= found <= norm


def test_two_equal_hills_far_apart_are_both_seen():
    low, high = np.array([[1.0, 0.4], [0.0, 1.0]]), np.array([[-1.0, 0.41], [0.0, -1.0]])
    matrix = np.block([[low, np.zeros((2, 2))], [np.zeros((2, 2)), high]])
    assert numerical_radius(matrix) == pytest.approx(1.205, rel=1e-12)


@pytest.mark.parametrize("size", [2, 5, 12])
def test_numerical_radius_is_global_over_many_matrices(size):
    angles = np.exp(1j * np.linspace(0, 2 * np.pi, 361))[:, None, None]
    for seed in range(150):
        matrix = np.random.default_rng(seed).standard_normal((size, size))
        turned = angles * matrix
        swept = np.linalg.eigvalsh((turned + turned.conj().swapaxes(1, 2)) / 2)[:, -1].max()
        assert numerical_radius(matrix) >= swept * (1 - 1e-13)


def test_numerical_radius_of_an_ellipse():
    # the range of a 2×2 matrix is an ellipse with foci at its eigenvalues 3 ± i√2 and minor axis 1
    assert numerical_radius(np.array([[3.0, 1.0], [-2.0, 3.0]])) == pytest.approx(np.sqrt(12.375), rel=1e-13)
