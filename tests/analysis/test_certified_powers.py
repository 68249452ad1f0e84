"""Bounds of norms and spectral radii hold, and what is printed never contradicts itself."""

import math

import mpmath
import numpy as np
import pytest

import gradflow
from gradflow.errors import UsageError
from gradflow.linalg import grading
from tests.slow import eigenvalues, power_log10_norm
from tests.truths import hippo_legs, jordan_blocks, similar


def jordan_log10_norm(size, eigenvalue, steps):
    """log₁₀ of the spectral norm of a power of a Jordan block, from its binomials in 60 digits."""
    with mpmath.workdps(60):
        row = [mpmath.binomial(steps, m) * mpmath.mpf(eigenvalue) ** (steps - m) for m in range(size)]
        top = max(row)
        toeplitz = np.array(
            [[float(row[j - i] / top) if j >= i else 0.0 for j in range(size)] for i in range(size)]
        )
        return float(mpmath.log10(top)) + math.log10(np.linalg.norm(toeplitz, 2))


def sparse_matrix():
    generator = np.random.default_rng([100, 20, 0])
    return generator.standard_normal((100, 100)) * (generator.random((100, 100)) < 0.02)


def test_zeros_that_lack_eigenvectors_do_not_hide_the_spectral_radius():
    matrix = sparse_matrix()
    result = gradflow.power(matrix, steps=100)
    assert result.spectral_radius == pytest.approx(1.7132368042, rel=1e-9)
    assert result.regime == "exploding"
    # the eigenvalue of 1.7 carries the power by then: squaring in doubles loses none of its digits
    exact = np.linalg.norm(np.linalg.matrix_power(matrix, 100), 2)
    assert result.log10_norm == pytest.approx(math.log10(exact), abs=1e-9)


@pytest.mark.parametrize(("density", "seed"), [(0.01, 1), (0.05, 0), (0.05, 1), (0.05, 2), (0.05, 3)])
def test_a_sparse_reservoir_scaled_to_a_radius_has_it(density, seed):
    generator = np.random.default_rng([seed, 9])
    size = 200 if density == 0.01 else 64
    matrix = generator.standard_normal((size, size)) * (generator.random((size, size)) < density)
    matrix *= 0.9 / np.abs(np.linalg.eigvals(matrix)).max()
    result = gradflow.power(matrix, steps=1)
    # the largest eigenvalues are well conditioned: what LAPACK computes of them is right
    assert result.spectral_radius == pytest.approx(0.9, rel=1e-9)
    assert result.spectral_radius_error < 1e-9
    assert result.regime == "vanishing"


def test_a_rotated_jordan_block_has_the_radius_of_its_doubles_within_its_error():
    matrix = similar(jordan_blocks((0.9, 8)), 0, orthogonal=True)
    exact = np.abs(eigenvalues(matrix)).max()
    result = gradflow.power(matrix, steps=1000)
    assert exact > 0.905
    assert result.spectral_radius_low <= exact <= result.spectral_radius_high
    assert result.diagonalizable is False
    assert "between" in result.conclusion


@pytest.mark.parametrize(
    ("size", "eigenvalue", "steps"),
    [(100, 0.5, 10000), (30, 0.5, 10**9), (40, -0.7, 50000), (30, 1.5, 20000)],
)
def test_powers_of_a_large_jordan_block_are_not_lost_beside_their_corner(size, eigenvalue, steps):
    matrix = eigenvalue * np.eye(size) + np.eye(size, k=1)
    result = gradflow.power(matrix, steps=steps)
    exact = jordan_log10_norm(size, eigenvalue, steps)
    assert result.log10_norm == pytest.approx(exact, rel=1e-12, abs=1e-6)
    assert result.norms.log10_norm_low[-1] <= exact + 1e-9
    assert exact - 1e-9 <= result.norms.log10_norm_high[-1]


def test_a_small_eigenvalue_beside_a_huge_nilpotent_block_decides():
    result = gradflow.power("0 1e200 0 0; 0 0 1e200 0; 0 0 0 0; 0 0 0 0.5", steps=5)
    assert result.norms.norm[3:] == pytest.approx([0.5**3, 0.5**4, 0.5**5], rel=1e-13)
    assert result.regime == "vanishing"


@pytest.mark.parametrize("room", [None, 10**6], ids=["room", "no room"])
@pytest.mark.parametrize("steps", [150, 400, 900])
@pytest.mark.parametrize(("small", "large", "coupling"), [(0.01, 100.0, 1e5), (0.03, 130.0, 500.0)])
def test_a_block_that_dies_takes_no_digit_from_the_one_that_decides(
    monkeypatch, small, large, coupling, steps, room
):
    # W^n is large^n times the eigenvector of ``large`` at (0, 0, 1), but for a share (small/large)^n
    if room:  # without room underflow costs digits, and the bounds have to tell
        monkeypatch.setattr(grading, "ROOM_BITS", room)
    norms = gradflow.power([[0, small, coupling], [small, 0, 0], [0, 0, large]], steps=steps).norms
    ratio, first = small / large, coupling / large / (1 - (small / large) ** 2)
    exact = steps * math.log10(large) + math.log10(math.hypot(1, first, ratio * first))
    assert norms.log10_norm_low[-1] <= exact <= norms.log10_norm_high[-1]
    if not room:
        assert norms.log10_norm[-1] == pytest.approx(exact, rel=1e-14)


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("scale", [1e5, 3e15, 1e16, 1e22])
def test_a_huge_block_whose_square_is_0_proves_no_spectral_radius(scale, steps):
    # its norm is its Frobenius norm in all digits; ρ is that of the other block: λ² = 0.2 λ + 0.05
    matrix = [[scale, scale, 0, 0], [-scale, -scale, 0, 0], [0, 0, 0.1, 0.2], [0, 0, 0.3, 0.1]]
    result = gradflow.power(matrix, steps=steps)
    radius = 0.1 + math.sqrt(0.06)
    assert result.regime == "vanishing"
    assert result.spectral_radius_low <= radius <= result.spectral_radius_high
    assert (result.norms.log10_norm_low <= result.norms.log10_norm_high).all()


def test_a_swap_of_very_different_weights_comes_back():
    result = gradflow.power([[0, 1e200], [1e-200, 0]], steps=4)
    assert result.norms.log10_norm == pytest.approx([0, 200, 0, 200, 0], abs=1e-9)
    assert result.regime == "preserving"


def test_zero_is_printed_only_where_it_is_proved():
    # exactly nilpotent, though no zero shows it
    hidden = gradflow.power("2 -1; 4 -2", steps=3)
    assert hidden.norms.norm.tolist()[2:] == [0.0, 0.0]
    assert hidden.regime == "nilpotent"
    # the cosine and sine of a double are no right angle: its square is not quite −I, nor is this quite
    # nilpotent
    near = np.array([[0.1, -0.01], [1.0, -0.1]])
    result = gradflow.power(near, steps=4)
    assert not (result.norms.norm == 0.0).any()
    assert result.norms.log10_norm_high[2] > -math.inf


@pytest.mark.parametrize("steps", [1000, 10**6, 10**9])
def test_next_to_a_defective_matrix_the_bounds_hold_and_a_norm_without_digits_is_none(steps):
    matrix = np.array([[2.0, 1.0], [-1.00000000000001, 0.0]])
    result = gradflow.power(matrix, steps=steps)
    exact = power_log10_norm(matrix, steps)
    assert result.norms.log10_norm_low[-1] <= exact <= result.norms.log10_norm_high[-1]
    if result.log10_norm is None:
        assert math.isnan(result.norms.norm[-1])
        assert result.power is None
        assert any("no digit" in note for note in result.notes)
    else:
        assert result.log10_norm == pytest.approx(exact, abs=0.5)


def test_a_triangular_matrix_with_a_tiny_coupling_is_polynomial():
    result = gradflow.power("1 1e-17 0; 0 1 0; 0 0 0.5", steps=10**18)
    assert result.regime == "polynomial"
    # ‖[[1, 10], [0, 1]]‖
    exact = math.log10((10 + math.sqrt(104)) / 2)
    assert result.norms.log10_norm_low[-1] <= exact <= result.norms.log10_norm_high[-1] < 2


@pytest.mark.parametrize("seed", range(40))
def test_bounds_hold_against_sixty_digits_and_agree_with_each_other(seed):
    generator = np.random.default_rng([seed, 3])
    size = int(generator.integers(2, 7))
    kinds = [
        generator.standard_normal((size, size)),
        np.round(generator.uniform(-1.5, 1.5, (size, size)), 1),
        generator.standard_normal((size, size)) * (generator.random((size, size)) < 0.4),
        similar(jordan_blocks((0.95, size)), seed, orthogonal=True),
    ]
    matrix, steps = kinds[seed % 4], int(generator.choice([3, 40, 400]))
    result = gradflow.power(matrix, steps=steps)
    norms = result.norms
    exact = power_log10_norm(matrix, steps)
    if norms.log10_norm_high[-1] == -math.inf:
        assert exact == -math.inf
    else:
        assert norms.log10_norm_low[-1] <= exact + 1e-12
        assert exact <= norms.log10_norm_high[-1] + 1e-12
    largest = np.abs(eigenvalues(matrix)).max()
    assert result.spectral_radius_low - 1e-14 <= largest <= result.spectral_radius_high + 1e-14
    with np.errstate(divide="ignore"):
        grown = np.array(norms.step[1:]) * np.log10(result.spectral_radius_low)
    assert (grown <= norms.log10_norm_high[1:] + 1e-9).all()
    assert {"exploding": largest > 1, "vanishing": largest < 1}.get(result.regime, True)
    if result.kreiss_constant is not None:
        proved = 10 ** norms.log10_norm_low.max() / (math.e * size)
        assert result.kreiss_constant >= proved * (1 - 1e-9)


def test_the_kreiss_constant_is_not_under_what_the_norms_prove():
    blocks = [0.8 * np.eye(8) + np.eye(8, k=1), -0.5 * np.eye(8) + np.eye(8, k=1)]
    turns = [
        np.array([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]]) for t in np.arange(8) / 3 + 0.1
    ]
    middle = np.zeros((32, 32))
    for k, block in enumerate([*(0.9995 * turn for turn in turns), *blocks]):
        start = 2 * k if k < 8 else 16 + 8 * (k - 8)
        middle[start : start + len(block), start : start + len(block)] = block
    basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((32, 32)))
    result = gradflow.power(basis @ middle @ basis.T, steps=1000)
    assert result.spectral_radius == pytest.approx(0.9995, rel=1e-9)
    assert result.kreiss_constant >= 10**result.peak_log10_norm / (math.e * 32)


@pytest.mark.parametrize("matrix", ["0 1; -0.6 -0.2", "-0.3 1.4; -0.4 0.2", "0 0.9; -1 -0.3"])
def test_the_search_for_the_kreiss_constant_ends(matrix):
    assert gradflow.power(matrix).kreiss_constant >= 1.0


def test_small_matrices_of_one_decimal_have_a_result():
    for seed in range(120):
        generator = np.random.default_rng([seed, 8])
        size = int(generator.integers(2, 5))
        matrix = np.round(generator.uniform(-1.5, 1.5, (size, size)), 1) * (
            generator.random((size, size)) < 0.8
        )
        assert gradflow.power(matrix, steps=5).regime in gradflow.Powers.verdicts


def test_whether_a_matrix_is_diagonalizable_is_left_open_where_rounding_hides_it():
    result = gradflow.power(hippo_legs(32), steps=1)
    assert result.diagonalizable is None
    assert any("leaves open whether W is diagonalizable" in note for note in result.notes)


@pytest.mark.parametrize("option", ["size", "gain", "seed"])
def test_an_option_of_random_matrices_is_refused_beside_a_matrix(option):
    with pytest.raises(UsageError, match=f"{option} 1 goes with a random ensemble"):
        gradflow.power("1 0; 0 1", **{option: 1})
