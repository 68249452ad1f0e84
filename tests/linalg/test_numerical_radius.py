"""The numerical radius: closed forms, direct sums, and sweeps over all angles, for both methods."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from gradflow.linalg.ensembles import random_matrix
from gradflow.linalg.numerical_radius import ANY_RADIUS, LINES_TOLERANCE, numerical_radius
from gradflow.linalg.supporting_lines import HermitianFamily, RadiusInterval, bound_by_supporting_lines

METHODS = ["level sets", "lines"]
WIDEST = 2 * LINES_TOLERANCE
DISC_WIDTH = 4e-4  # relative: what lines know of a disc


def bounds(matrix, method):
    """Return the bounds that a method states."""
    if method == "lines":
        return bound_by_supporting_lines(matrix, LINES_TOLERANCE, ANY_RADIUS)
    radius = numerical_radius(matrix)
    return RadiusInterval(radius.value - radius.error, radius.value + radius.error)


def assert_bounds(matrix, truth, width=WIDEST, methods=METHODS):
    """The truth lies between the bounds, up to its own rounding, and they are near each other."""
    for method in methods:
        low, high = bounds(matrix, method)
        assert low <= truth * (1 + 1e-13), method
        assert high >= truth * (1 - 1e-13), method
        assert high - low <= width * truth, method


def slow_radius(matrix):
    """Return the maximum over a dense grid of angles, refined by golden section beside the best of them."""

    def height(angle):
        turned = np.exp(1j * angle) * matrix
        return np.linalg.eigvalsh((turned + turned.conj().T) / 2)[-1]

    angles = np.linspace(0, 2 * np.pi, 721)
    heights = np.array([height(angle) for angle in angles])
    best = []
    for place in np.argsort(-heights)[:6]:
        middle, step = angles[place], angles[1]
        found = minimize_scalar(
            lambda angle: -height(angle), bounds=(middle - step, middle + step), method="bounded",
            options={"xatol": 1e-9},
        )  # fmt: skip
        best.append(-found.fun)
    return max(best)


def direct_sum(*blocks):
    """Return the block diagonal matrix, in a basis that hides the blocks."""
    size = sum(len(block) for block in blocks)
    whole, start = np.zeros((size, size), np.result_type(*blocks)), 0
    for block in blocks:
        whole[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    basis = np.linalg.qr(np.random.default_rng(5).standard_normal((size, size)))[0]
    return basis @ whole @ basis.T


@pytest.mark.parametrize("size", [2, 3, 6, 20])
def test_numerical_radius_of_a_shift_is_a_cosine(size):
    assert numerical_radius(np.eye(size, k=1)).value == pytest.approx(np.cos(np.pi / (size + 1)), rel=1e-12)


@pytest.mark.parametrize(
    "matrix", [np.diag([1j, -0.3, 0.5]), np.diag([0.2, -2.0]), np.array([[0.0, 1.0], [-1.0, 0.0]])]
)
def test_numerical_radius_of_a_normal_matrix_is_its_spectral_radius(matrix):
    assert numerical_radius(matrix).value == pytest.approx(np.abs(np.linalg.eigvals(matrix)).max(), rel=1e-12)


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("seed", range(5))
def test_numerical_radius_against_a_fine_sweep(seed, kind):
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal((7, 7)) + (
        1j * generator.standard_normal((7, 7)) if kind == "complex" else 0
    )
    turned = np.exp(1j * np.linspace(0, 2 * np.pi, 20001))[:, None, None] * matrix
    swept = np.linalg.eigvalsh((turned + turned.conj().swapaxes(1, 2)) / 2)[:, -1].max()
    found = numerical_radius(matrix).value
    assert swept * (1 - 1e-14) <= found <= swept * (1 + 1e-6)
    norm = np.linalg.norm(matrix, 2)
    assert norm / 2 <= found <= norm


def test_two_equal_hills_far_apart_are_both_seen():
    low, high = np.array([[1.0, 0.4], [0.0, 1.0]]), np.array([[-1.0, 0.41], [0.0, -1.0]])
    matrix = np.block([[low, np.zeros((2, 2))], [np.zeros((2, 2)), high]])
    assert numerical_radius(matrix).value == pytest.approx(1.205, rel=1e-12)


@pytest.mark.parametrize("size", [2, 5, 12])
def test_numerical_radius_is_global_over_many_matrices(size):
    angles = np.exp(1j * np.linspace(0, 2 * np.pi, 361))[:, None, None]
    for seed in range(150):
        matrix = np.random.default_rng(seed).standard_normal((size, size))
        turned = angles * matrix
        swept = np.linalg.eigvalsh((turned + turned.conj().swapaxes(1, 2)) / 2)[:, -1].max()
        assert numerical_radius(matrix).value >= swept * (1 - 1e-13)


def test_numerical_radius_of_an_ellipse():
    # the range of a 2×2 matrix is an ellipse with foci at its eigenvalues 3 ± i√2 and minor axis 1
    matrix = np.array([[3.0, 1.0], [-2.0, 3.0]])
    assert numerical_radius(matrix).value == pytest.approx(np.sqrt(12.375), rel=1e-13)


def test_nilpotent_of_two_rows_has_a_disc_of_radius_one_half():
    assert_bounds(np.array([[0.0, 1.0], [0.0, 0.0]]), 0.5, DISC_WIDTH)


@pytest.mark.parametrize("size", [2, 5, 40, 230])
def test_bounds_of_a_shift_hold_its_cosine(size):
    # its range is a disc: the worst case for lines
    assert_bounds(np.eye(size, k=1), np.cos(np.pi / (size + 1)), DISC_WIDTH, methods=["lines"])


@pytest.mark.parametrize("size", [3, 40, 230])
@pytest.mark.parametrize("eigenvalue", [0.9, -0.5, 0.3 + 0.4j])
def test_bounds_of_a_jordan_block_hold_the_disc_about_its_eigenvalue(size, eigenvalue):
    truth = abs(eigenvalue) + np.cos(np.pi / (size + 1))
    # the eigenvalues of H(θ) of the largest one crowd at their upper end
    assert_bounds(eigenvalue * np.eye(size) + np.eye(size, k=1), truth, WIDEST if size < 100 else 1e-4)


@pytest.mark.parametrize("size", [4, 60, 250])
@pytest.mark.parametrize("kind", ["symmetric", "skew", "rotation", "complex normal"])
def test_bounds_of_a_normal_matrix_hold_its_spectral_radius(size, kind):
    generator = np.random.default_rng(size)
    matrix = generator.standard_normal((size, size))
    basis = np.linalg.qr(matrix)[0]
    if kind == "symmetric":
        matrix = matrix + matrix.T
    elif kind == "skew":
        matrix = matrix - matrix.T
    elif kind == "rotation":
        matrix = 1.5 * np.kron(np.eye(size // 2), np.array([[0.6, -0.8], [0.8, 0.6]]))
    else:
        matrix = (
            basis @ np.diag(generator.standard_normal(size) + 1j * generator.standard_normal(size)) @ basis.T
        )
    assert_bounds(matrix, np.abs(np.linalg.eigvals(matrix)).max())


def test_bounds_of_a_direct_sum_hold_the_larger_radius():
    first, second = random_matrix("ginibre", 20, seed=1), 1.2 * random_matrix("ginibre", 15, seed=2)
    truth = max(slow_radius(first), slow_radius(second))
    assert_bounds(direct_sum(first, second), truth)
    # two hills that are equal but for the rounding: both have to be covered
    assert_bounds(direct_sum(second, -second.T), slow_radius(second))


@pytest.mark.parametrize("kind", ["real", "complex", "positive", "triangular", "low rank"])
@pytest.mark.parametrize("size", [2, 3, 30, 100])
def test_bounds_hold_a_dense_sweep(size, kind):
    generator = np.random.default_rng(size)
    matrix = generator.standard_normal((size, size))
    if kind == "complex":
        matrix = matrix + 1j * generator.standard_normal((size, size))
    elif kind == "positive":
        matrix = np.abs(matrix)
    elif kind == "triangular":
        matrix = np.triu(matrix)
    elif kind == "low rank":
        matrix = np.outer(matrix[0], matrix[-1]) + np.outer(matrix[-1], matrix[0] + 1)
    assert_bounds(matrix, slow_radius(matrix))


def test_bounds_of_a_large_random_matrix_hold_a_sweep():
    matrix = random_matrix("ginibre", 260, seed=3)
    radius = numerical_radius(matrix)
    truth = slow_radius(matrix)
    assert radius.value <= truth * (1 + 1e-13)
    assert truth <= radius.value + radius.error
    assert radius.error <= LINES_TOLERANCE * truth


@pytest.mark.parametrize("factor", [1e-50, 7.0, 1e50])
@pytest.mark.parametrize("method", METHODS)
def test_bounds_scale_with_the_matrix(method, factor):
    matrix = random_matrix("ginibre", 25, seed=4)
    truth = slow_radius(matrix)
    low, high = bounds(factor * matrix, method)
    assert low <= factor * truth * (1 + 1e-13)
    assert high >= factor * truth * (1 - 1e-13)
    assert high - low <= WIDEST * factor * truth


@pytest.mark.parametrize("method", METHODS)
def test_bounds_do_not_turn_with_the_matrix(method):
    matrix = random_matrix("ginibre", 25, seed=4)
    truth = slow_radius(matrix)
    for angle in (0.1, 1.0, np.pi / 2, 3.0):
        low, high = bounds(np.exp(1j * angle) * matrix, method)
        assert low <= truth * (1 + 1e-13)
        assert high >= truth * (1 - 1e-13)
        assert high - low <= WIDEST * truth


def test_a_range_far_from_zero_is_bounded():
    # a half-plane without 0: some heights are negative
    matrix = random_matrix("ginibre", 30, seed=6) + 5 * np.eye(30)
    assert_bounds(matrix, slow_radius(matrix))


def test_a_line_is_never_nearer_than_the_range():
    family = HermitianFamily.of(random_matrix("ginibre", 40, seed=7))
    for angle in np.linspace(0, np.pi, 7):
        truth = np.linalg.eigvalsh(
            np.cos(angle) * family.cosine_part + 1j * np.sin(angle) * family.sine_part
        )[-1]
        for guess in (0.2 * truth, 0.99 * truth, truth * (1 - 1e-9), truth):
            proved = family.prove_height(angle, guess, 1e-7)
            assert proved >= truth * (1 - 1e-14)
            assert proved <= truth + 5 * max(truth - guess, 1e-7)


def test_known_bounds_that_agree_are_enough():
    assert bound_by_supporting_lines(np.eye(300, k=1), 1e-6, RadiusInterval(2.0, 2.0)) == (2.0, 2.0)


def test_two_runs_have_equal_bounds():
    matrix = random_matrix("ginibre", 220, seed=8)
    assert numerical_radius(matrix) == numerical_radius(matrix)
