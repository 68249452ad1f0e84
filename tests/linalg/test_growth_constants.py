"""Kreiss constant: closed forms, and the inequalities that always hold."""

import numpy as np
import pytest

from gradflow.linalg.ensembles import random_matrix
from gradflow.linalg.kreiss import kreiss_constant
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
