import math

import numpy as np
import pytest

import gradflow
from gradflow.analysis.power.power import MAX_KREISS_SIZE, MIN_SIDE_SIZE
from gradflow.analysis.shared.side_call import SideCall
from gradflow.errors import DataError, UsageError
from gradflow.linalg.ensembles import random_matrix
from tests.slow import power_log10_norm
from tests.truths import (
    CAT_MAP,
    EXERCISE,
    FIBONACCI_90,
    LOG_GOLDEN,
    hippo_legs,
    jordan_norm,
    kreiss_two_by_two,
    similar,
)


def test_the_exercise():
    result = gradflow.power(EXERCISE, steps=30)
    expected = [[0.01526082, 0.02034776], [0.02034776, 0.02713034]]
    np.testing.assert_allclose(result.power.entries, expected, atol=5e-9)
    assert result.spectral_radius == pytest.approx(0.9, rel=1e-15)
    np.testing.assert_allclose(result.eigenvalues.re, [0.9, 0.4], rtol=1e-15)
    np.testing.assert_allclose(np.abs(result.vectors.entries), [[0.6, 0.8], [0.8, 0.6]], atol=1e-15)
    assert (result.regime, result.diagonalizable, result.kreiss_constant) == ("vanishing", True, 1.0)
    assert result.departure_from_normality == 0.0
    assert result.eigen_route_error < 1e-13
    assert "every |λ| is under 1" in result.conclusion
    assert "λ₁ = 0.9" in result.conclusion


def test_scaled_orthogonal():
    result = gradflow.power(0.9 * gradflow.random_matrix("orthogonal", 6), steps=100)
    assert 10**result.log10_norm == pytest.approx(2.65614e-5, rel=1e-6)
    assert result.norms.norm[-1] == pytest.approx(0.9**100, rel=1e-12)
    assert result.departure_from_normality < 1e-14


def test_fibonacci():
    result = gradflow.power("1 1; 1 0", steps=90)
    assert result.power.entries[0, 1] == pytest.approx(FIBONACCI_90, rel=1e-15)
    assert math.log(result.spectral_radius) == pytest.approx(LOG_GOLDEN, rel=1e-15)
    assert result.regime == "exploding"


def test_cat_map():
    result = gradflow.power(CAT_MAP, steps=1)
    rates = np.log(result.eigenvalues.modulus)
    np.testing.assert_allclose(rates, [0.9624236501, -0.9624236501], atol=5e-11)


@pytest.mark.parametrize(("eigenvalue", "steps", "peak"), [(0.9, 30, 9), (0.99, 300, 99)])
def test_a_jordan_block_grows_before_it_decays(eigenvalue, steps, peak):
    result = gradflow.power([[eigenvalue, 1], [0, eigenvalue]], steps=steps)
    assert result.regime == "vanishing"
    assert result.peak_step == peak
    assert 10**result.peak_log10_norm == pytest.approx(jordan_norm(eigenvalue, peak), rel=1e-12)
    assert 10**result.log10_norm == pytest.approx(jordan_norm(eigenvalue, steps), rel=1e-11)
    assert result.kreiss_constant == pytest.approx(kreiss_two_by_two(eigenvalue, 1.0), rel=1e-9)
    assert not result.diagonalizable
    assert result.eigenvector_condition is None
    assert result.eigen_route_error is None
    assert result.vectors is None
    (note,) = result.notes
    assert "not diagonalizable, because eigenvectors are missing" in note
    assert "defective" not in note
    assert f"at step {peak}" in result.conclusion


def test_a_peak_between_listed_steps_is_found():
    # between 1000 and n only some steps are listed; the peak of λ = 0.9998 lies at n ≈ −1/ln λ ≈ 4999
    eigenvalue = 0.9998
    best = max(range(4000, 6000), key=lambda k: jordan_norm(eigenvalue, k))
    result = gradflow.power([[eigenvalue, 1], [0, eigenvalue]], steps=10**6)
    assert result.peak_step == pytest.approx(best, abs=2)
    assert 10**result.peak_log10_norm == pytest.approx(jordan_norm(eigenvalue, best), rel=1e-9)


def test_all_eigenvalues_one_is_not_the_identity():
    result = gradflow.power("1 1; 0 1", steps=1000)
    assert result.regime == "polynomial"
    assert result.norms.norm[-1] == pytest.approx(jordan_norm(1.0, 1000), rel=1e-12)
    assert "All eigenvalues are 1, but W is not diagonalizable" in result.conclusion
    assert math.isinf(result.kreiss_constant)


@pytest.mark.parametrize(
    ("matrix", "part"),
    [
        (np.eye(3), "W is the identity"),
        (np.roll(np.eye(5), 1, axis=0), "every |λ| is 1"),
        (np.diag([1.0, 0.5]), "dies out"),
        (np.diag([-1.0, 0.5]), "λ₁ = -1"),
    ],
)
def test_preserving(matrix, part):
    result = gradflow.power(matrix, steps=50)
    assert result.regime == "preserving"
    assert part in result.conclusion
    assert result.log10_norm == pytest.approx(0, abs=1e-12)


def test_exploding_needs_one_eigenvalue_alone():
    result = gradflow.power(np.diag([1.1, 0.5, 0.2]), steps=10)
    assert result.regime == "exploding"
    assert "2 of the 3 eigenvalues are under 1" in result.conclusion
    assert result.peak_step == 10


def test_a_nilpotent_shift():
    result = gradflow.power(np.eye(10, k=1), steps=12)
    assert result.regime == "nilpotent"
    assert result.norms.norm.tolist() == [1.0] * 10 + [0.0] * 3
    assert result.norms.log10_norm[-1] == -math.inf
    assert not result.diagonalizable
    assert result.eigen_route_error is None
    assert "exactly 0 from step 10 on" in result.conclusion


@pytest.mark.parametrize("coupling", [1.0, 100.0, 1e-9, 1e150])
def test_a_two_by_two_shift_of_any_size_is_nilpotent(coupling):
    result = gradflow.power([[0, coupling], [0, 0]], steps=5)
    assert (result.regime, result.diagonalizable, result.spectral_radius) == ("nilpotent", False, 0.0)
    assert result.norm == pytest.approx(coupling, rel=1e-15)
    if coupling < 1e10:
        assert result.kreiss_constant == pytest.approx(kreiss_two_by_two(0.0, coupling), rel=1e-9)
    else:
        assert result.kreiss_constant is None  # z − W is singular to rounding
    assert result.norms.log10_norm[2:].tolist() == [-math.inf] * 4


def test_just_under_one_vanishes_and_rounding_about_one_does_not():
    assert gradflow.power([[1 - 1e-15]], steps=1).regime == "vanishing"
    assert gradflow.power([[1 + 3e-16]], steps=1).regime == "exploding"
    for seed in range(5):
        assert gradflow.power(gradflow.random_matrix("orthogonal", 40, seed=seed)).regime == "preserving"


def test_a_unit_jordan_block_that_rounding_has_moved_is_undecided():
    matrix = similar(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.3]]), 3, orthogonal=True)
    result = gradflow.power(matrix, steps=500)
    assert result.regime == "undecided"
    assert result.spectral_radius_low < 1 < result.spectral_radius_high
    assert result.spectral_radius == pytest.approx(1.0, abs=1e-13)
    assert "In a matrix within rounding of W, λ₁ = 1 lacks eigenvectors" in result.conclusion


@pytest.mark.parametrize(
    ("size", "error_from", "error_to", "warned"),
    [(16, 1e-14, 1e-11, False), (32, 1e-8, 1e-3, True), (64, 1e-3, 10, True)],
)
def test_hippo_warns_where_the_eigen_route_is_lost_though_nothing_grows(size, error_from, error_to, warned):
    result = gradflow.power(hippo_legs(size), steps=20, entries=True)
    assert error_from < result.eigen_route_error < error_to
    assert any("cannot be trusted" in note for note in result.notes) == warned
    assert result.eigenvector_condition > 1e10
    assert result.norms.log10_norm.max() <= 1e-14
    assert (result.regime, result.peak_step, result.kreiss_constant) == ("vanishing", 0, 1.0)


@pytest.mark.parametrize(("base", "steps"), [(0.5, 10**6), (2.0, 10**18)])
def test_range(base, steps):
    result = gradflow.power(base * np.eye(2), steps=steps)
    assert result.log10_norm == pytest.approx(steps * math.log10(base), rel=1e-14)
    assert result.power.exponent2 != 0
    assert math.isnan(result.norms.norm[-1]) if base < 1 else math.isinf(result.norms.norm[-1])
    assert len(result.norms.step) < 2400


def test_zeroth_power():
    result = gradflow.power(EXERCISE, steps=0)
    np.testing.assert_array_equal(result.power.entries, np.eye(2))
    assert result.norms.step == [0]
    assert result.norms.log10_spectral.tolist() == [0.0]


@pytest.mark.parametrize("scale", [1e-200, 1e200, 1e-307])
def test_entries_at_the_ends_of_the_range(scale):
    result = gradflow.power(scale * EXERCISE, steps=3)
    assert result.spectral_radius == pytest.approx(0.9 * scale, rel=1e-13)
    assert result.norm == pytest.approx(0.9 * scale, rel=1e-13)
    assert result.numerical_radius == pytest.approx(0.9 * scale, rel=1e-13)
    assert result.log10_norm == pytest.approx(3 * math.log10(0.9 * scale), rel=1e-12)


def test_spectral_part_of_the_norms_and_half_lives():
    result = gradflow.power([[0.5, 1.0], [0.0, 0.25]], steps=8)
    np.testing.assert_allclose(result.norms.log10_spectral, np.arange(9) * math.log10(0.5), rtol=1e-14)
    np.testing.assert_allclose(result.eigenvalues.half_life, [1.0, 0.5], rtol=1e-14)
    np.testing.assert_allclose(result.eigenvalues.log10_power, [8 * math.log10(0.5), 8 * math.log10(0.25)])
    assert result.norms.log10_norm[1:].min() > result.norms.log10_spectral[1:].min()


def test_complex_matrices():
    turn = np.array([[0, 1j], [1j, 0]]) * 0.5
    result = gradflow.power(turn, steps=4)
    np.testing.assert_allclose(result.power.entries, np.eye(2) / 16, atol=1e-17)
    assert result.regime == "vanishing"
    np.testing.assert_allclose(np.abs(result.eigenvalues.im), 0.5)


def test_claimed_and_own_decomposition_agree():
    matrix = gradflow.random_matrix("ginibre", 5)
    result = gradflow.power(matrix)
    again = gradflow.power(matrix, claim_vectors=result.vectors.entries, claim_values=result.values.entries)
    assert again.claim_holds is True
    assert again.claim_slip is None
    assert again.conclusion.startswith("The claimed decomposition holds: ")
    assert again.conclusion.endswith(f"\n{result.conclusion}")
    assert all(again.claim.holds)


def test_past_sixteen_rows_matrices_are_left_out_unless_asked_for():
    matrix = gradflow.random_matrix("ginibre", 17)
    assert gradflow.power(matrix).power is None
    assert gradflow.power(matrix, entries=True).power.entries.shape == (17, 17)
    assert gradflow.power(matrix[:16, :16]).power.entries.shape == (16, 16)


def test_past_two_hundred_rows_the_kreiss_constant_waits_to_be_asked_for(monkeypatch):
    assert MAX_KREISS_SIZE == 200
    assert gradflow.power(0.5 * np.eye(201), steps=1).kreiss_constant is None
    monkeypatch.setattr("gradflow.analysis.power.power.MAX_KREISS_SIZE", 20)
    small, large = (0.5 * np.roll(np.eye(size), 1, axis=0) for size in (20, 21))
    assert gradflow.power(small, steps=1).kreiss_constant == 1.0
    assert gradflow.power(large, steps=1).kreiss_constant is None
    assert gradflow.power(large, steps=1, kreiss=True).kreiss_constant == 1.0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({}, "exactly one"),
        ({"matrix": EXERCISE, "random": "ginibre"}, "exactly one"),
        ({"matrix": EXERCISE, "size": 3}, "size 3"),
        ({"matrix": EXERCISE, "steps": -1}, "steps -1"),
        ({"matrix": EXERCISE, "steps": 10**18 + 1}, "steps 1000000000000000001"),
        ({"matrix": "1 2 3; 4 5 6"}, "2×3"),
        ({"matrix": EXERCISE, "claim_values": "1 2"}, "both"),
        ({"matrix": EXERCISE, "claim_vectors": "1 2; 3 4", "claim_values": "1 2 3"}, "1×3"),
        ({"matrix": EXERCISE, "claim_vectors": "1 2 3; 3 4 5", "claim_values": "1 2"}, "2×3"),
        ({"random": "ginibre", "size": 0}, "size 0"),
        ({"random": "gaussian"}, "unknown random matrix 'gaussian'"),
    ],
)
def test_bad_usage_is_refused_with_the_value(arguments, part):
    with pytest.raises(UsageError, match=part):
        gradflow.power(**arguments)


@pytest.mark.parametrize(
    "matrix", [[[1.0, math.nan], [0.0, 1.0]], [[math.inf]], np.zeros((0, 0)), [["a"]], [[1, 2], [3]]]
)
def test_bad_entries_are_refused(matrix):
    with pytest.raises(DataError):
        gradflow.power(matrix)


def test_notebooks_get_html_with_matrices():
    html = gradflow.power(EXERCISE)._repr_html_()
    assert html.count("<table>") == 6
    assert "0.0203478" in html


@pytest.mark.parametrize(
    ("matrix", "radius", "regime"),
    [
        ([[0, 1e10], [1e-10, 0]], 1.0, "preserving"),
        ([[0, 1e10], [4e-10, 0]], 2.0, "exploding"),
        ([[0, 1e8], [1e-9, 0]], math.sqrt(0.1), "vanishing"),
        ([[0.4, 0.3, 0.3], [0.3, 0, 0.7], [0.4, 0.4, 0.2]], 1.0, "preserving"),
    ],
)
def test_badly_scaled_and_stochastic_matrices(matrix, radius, regime):
    result = gradflow.power(matrix)
    assert result.spectral_radius == pytest.approx(radius, rel=1e-13)
    assert result.regime == regime


@pytest.mark.parametrize("seed", range(30))
def test_a_diagonal_similarity_changes_neither_radius_nor_regime(seed):
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal((4, 4))
    scales = 2.0 ** generator.integers(-25, 26, 4)
    plain, scaled = gradflow.power(matrix), gradflow.power(matrix * scales / scales[:, None])
    assert scaled.spectral_radius == pytest.approx(plain.spectral_radius, rel=1e-11)
    assert scaled.regime == plain.regime


@pytest.mark.parametrize(("diagonal", "regime"), [(0.9, "vanishing"), (1.05, "exploding")])
@pytest.mark.parametrize("steps", [0, 1, 30, 1000])
def test_regime_does_not_hang_on_the_number_of_steps(diagonal, regime, steps):
    matrix = np.diag(diagonal + 1e-4 * np.array([2, 0, 1, 3, 4]))
    matrix += [[0, 0, 0, 1, 1], [1, 0, 1, 1, 1], [1, 0, 0, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    result = gradflow.power(matrix, steps=steps)
    assert result.regime == regime
    assert "identity" not in result.conclusion


@pytest.mark.parametrize("steps", [100, 101, 1000])
def test_a_transient_does_not_drown_the_last_norm(steps):
    # exact in binary: H is symmetric and its own inverse, so Wⁿ = H(½ + 3S)ⁿH has the norm of the middle
    mirror = np.eye(8) - 2 * np.ones((8, 8)) / 8
    middle = 0.5 * np.eye(8) + 3 * np.eye(8, k=1)
    result = gradflow.power(mirror @ middle @ mirror, steps=steps)
    exact = power_log10_norm(middle, steps)
    if steps < 1000:
        assert result.log10_norm == pytest.approx(exact, abs=0.01)
    assert result.norms.log10_norm_low[-1] <= exact <= result.norms.log10_norm_high[-1]
    # so ill conditioned that rounding itself moves the eigenvalue: it must be said
    assert any("Rounding may have moved" in note for note in result.notes)


def test_a_peak_in_the_last_gap_and_on_an_odd_step_is_found():
    eigenvalue = math.exp(-1 / 5070)
    result = gradflow.power([[eigenvalue, 1], [0, eigenvalue]], steps=5100)
    assert abs(result.peak_step - 5070) <= 1
    jordan, swap = [[0.9998, 1], [0, 0.9998]], [[0, 1e3], [1e-3, 0]]
    result = gradflow.power(np.kron(jordan, swap), steps=10**6)
    assert result.peak_step == 4999
    assert result.peak_log10_norm == pytest.approx(3 + math.log10(jordan_norm(0.9998, 4999)), abs=1e-9)


@pytest.mark.parametrize("steps", [10**6, 10**18])
def test_a_rotation_peaks_at_the_start_whatever_rounding_does_later(steps):
    result = gradflow.power("0.6 -0.8; 0.8 0.6", steps=steps)
    assert (result.peak_step, result.peak_log10_norm) == (0, 0.0)


def test_a_complex_eigenvalue_without_its_conjugate_keeps_its_sign():
    assert "λ₁ = 0.5 - 0.5i" in gradflow.power([[0.5 - 0.5j]]).conclusion
    assert "λ₁ = 0.5 + 0.5i" in gradflow.power(np.diag([0.5 + 0.5j, 0.1])).conclusion


def test_a_whole_matrix_with_a_double_eigenvalue_one_grows_linearly():
    result = gradflow.power("0 1 1; 0 1 0; 1 0 0", steps=10**6)
    assert result.regime == "polynomial"
    assert (result.spectral_radius_low, result.spectral_radius_high) == (1.0, 1.0)


def test_what_no_double_holds_is_left_out_with_its_error():
    large = gradflow.power("1e308 1e308; 1e308 1e308", steps=1)
    assert large.spectral_radius is None
    assert large.spectral_radius_error is None
    assert np.isnan([large.eigenvalues.modulus[0], large.eigenvalues.error[0]]).all()
    assert gradflow.power([[5e-324]]).spectral_radius == 5e-324


def test_masked_entries_and_bools_are_refused():
    with pytest.raises(DataError, match=r"1 entry is masked, the first at \[0, 1\]"):
        gradflow.power(np.ma.masked_equal([[1.0, 7.0], [0.0, 1.0]], 7.0))
    with pytest.raises(UsageError, match="steps True"):
        gradflow.power("1", steps=True)


NEAR_ONE = 1 - 2.0**-43  # a double; so near to 1 that twelve digits do not tell them apart


def test_exact_eigenvalues_near_one_are_not_one():
    found = gradflow.power([[1, 5], [0, NEAR_ONE]])
    assert (found.regime, found.diagonalizable) == ("preserving", True)
    assert "every |λ|" not in found.conclusion.lower()
    assert "the part of the one eigenvalue with |λ| under 1 dies out" in found.conclusion


def test_a_defective_eigenvalue_just_under_one_leaves_nothing_open():
    found = gradflow.power([[1, 0, 0], [0, NEAR_ONE, 1], [0, 0, NEAR_ONE]])
    assert found.regime == "preserving"  # 1 is simple, and the block of the other dies out
    assert "λ₂ = 1 has |λ| = 1" in found.conclusion


@pytest.mark.parametrize(("value", "shown"), [(1 - 1e-12, "1 - 1.0e-12"), (1 + 1e-12, "1 + 1.0e-12")])
def test_a_multiplier_that_six_digits_hide_is_told_by_its_distance_from_one(value, shown):
    assert f"λ₁ = {shown}: in the long run a step multiplies" in gradflow.power([[value]]).conclusion


def test_unbounded_growth_has_no_peak():
    found = gradflow.power("1 1; 0 1", steps=30)
    assert found.regime == "polynomial"
    assert "peak" not in found.conclusion


def test_a_rise_towards_a_limit_has_no_peak():
    # ‖W^k‖ rises towards √(1 + (8/7)²) and reaches it to rounding at step 13
    found = gradflow.power([[1, 1], [0, 0.125]], steps=300)
    assert "from step 13 on ‖W^k‖ is 1.51859 to the digits shown" in found.conclusion


@pytest.mark.parametrize(
    ("matrix", "steps", "lost"),
    [
        ([[1, 0], [0, 0.125]], 400, 1),  # 2⁻¹²⁰⁰ beside 1
        ([[1, -1], [1, -1]], 3, 0),  # its terms cancel: 0 it is
        ([[0.5, 0, 0], [0, 1, 1], [0, 0, 1]], 5, 0),  # no walk leads there
    ],
)
def test_entries_that_read_zero_beside_the_largest_are_told(matrix, steps, lost):
    notes = [note for note in gradflow.power(matrix, steps=steps).notes if "reads 0" in note]
    assert len(notes) == lost


def test_a_large_matrix_has_bounds_of_everything_and_they_hold():
    matrix = random_matrix("ginibre", 220, gain=0.9, seed=1)
    result = gradflow.power(matrix, steps=12)
    moduli = np.abs(np.linalg.eigvals(matrix))
    assert result.spectral_radius_low <= moduli.max() * (1 + 1e-13)
    assert result.spectral_radius_high >= moduli.max() * (1 - 1e-13)
    for step in (1, 5, 12):
        norm = np.log10(np.linalg.norm(np.linalg.matrix_power(matrix, step), 2))
        assert result.norms.log10_norm[step] == pytest.approx(norm, abs=1e-12)
        assert result.norms.log10_norm_low[step] - 1e-14 <= norm <= result.norms.log10_norm_high[step] + 1e-14
    assert 0.0 < result.numerical_radius_error <= 1e-6 * result.numerical_radius
    heights = [
        np.linalg.eigvalsh((turn * matrix + np.conj(turn) * matrix.T) / 2)[-1]
        for turn in np.exp(1j * np.linspace(0, np.pi, 60))
    ]
    assert max(heights) <= result.numerical_radius + result.numerical_radius_error
    # ‖Wᵏ‖ ≤ 2wᵏ (Berger 1965)
    bound = np.log10(2) + np.array(result.norms.step) * np.log10(
        result.numerical_radius + result.numerical_radius_error
    )
    assert (result.norms.log10_norm <= bound).all()


def test_numerical_radius_of_a_large_orthogonal_matrix_is_its_norm():
    # lines alone would know it to three digits only: all directions are alike
    result = gradflow.power(random="orthogonal", size=210, steps=1)
    assert result.numerical_radius == pytest.approx(1.0, abs=1e-12)
    assert result.numerical_radius_error < 1e-11


def test_a_second_thread_changes_nothing(monkeypatch):
    matrix = random_matrix("ginibre", 205, seed=2)
    beside = gradflow.power(matrix, steps=5)
    monkeypatch.setattr("gradflow.analysis.power.power.MIN_SIDE_SIZE", 10**9)
    alone = gradflow.power(matrix, steps=5)
    assert beside.conclusion == alone.conclusion
    assert beside.numerical_radius == alone.numerical_radius
    assert beside.numerical_radius_error == alone.numerical_radius_error
    for name in ("re", "im", "error", "condition"):
        np.testing.assert_array_equal(getattr(beside.eigenvalues, name), getattr(alone.eigenvalues, name))
    for name in ("log10_norm", "log10_norm_low", "log10_norm_high"):
        np.testing.assert_array_equal(getattr(beside.norms, name), getattr(alone.norms, name))


@pytest.mark.parametrize("at_once", [True, False])
def test_what_a_side_call_raises_is_raised_where_its_result_is_asked_for(at_once):
    call = SideCall(lambda: np.linalg.inv(np.zeros((2, 2))), at_once=at_once)
    for _ in range(2):
        with pytest.raises(np.linalg.LinAlgError):
            call.wait()


def test_progress_that_raises_ends_the_work_of_a_large_matrix():
    def progress(done, total):
        if done == 2:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        gradflow.power(random="ginibre", size=MIN_SIDE_SIZE, progress=progress)
