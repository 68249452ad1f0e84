from itertools import product

import numpy as np
import pytest

from gradflow.analysis.power.stated_decomposition import check_claim
from tests.truths import EXERCISE

Q = np.array([[0.8, 0.6], [-0.6, 0.8]])
VALUES = np.array([0.4, 0.9])
# not normal, so Q⁻¹ is not the transpose: W = QΛQ⁻¹
OBLIQUE = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 1.0]])
OBLIQUE_VALUES = np.array([0.5, -0.3, 0.9])
OBLIQUE_W = OBLIQUE @ np.diag(OBLIQUE_VALUES) @ np.linalg.inv(OBLIQUE)


def test_the_sheets_own_decomposition_is_found_wrong():
    sheet = np.array([[0.8, -0.6], [0.6, 0.8]])
    np.testing.assert_allclose(sheet @ np.diag(VALUES) @ sheet.T, [[0.58, -0.24], [-0.24, 0.72]], atol=1e-15)
    verdict = check_claim(EXERCISE, sheet, VALUES)
    assert not verdict.holds
    assert not any(verdict.table.holds)
    assert "Q and Q⁻¹ are swapped" in verdict.slip
    assert "transpose" in verdict.slip


@pytest.mark.parametrize("values", [VALUES, VALUES[None], VALUES[:, None], np.diag(VALUES)])
def test_a_right_claim_holds_in_every_form_of_lambda(values):
    verdict = check_claim(EXERCISE, Q, values)
    assert verdict.holds
    assert verdict.slip is None
    assert verdict.residual < 1e-15
    assert (
        verdict.describe() == f"The claimed decomposition holds: ‖W − QΛQ⁻¹‖/‖W‖ is {verdict.residual:.2g}."
    )


def test_columns_of_any_length_and_sign_are_eigenvectors():
    assert check_claim(EXERCISE, Q * [-3.0, 1e5], VALUES).holds


@pytest.mark.parametrize(
    ("vectors", "values", "slip"),
    [
        (np.linalg.inv(OBLIQUE), OBLIQUE_VALUES, "swapped"),
        (OBLIQUE.T, OBLIQUE_VALUES, "transposed"),
        (OBLIQUE, OBLIQUE_VALUES[[1, 2, 0]], "permuted"),
        (OBLIQUE, OBLIQUE_VALUES * [1, -1, 1], "sign of some eigenvalues"),
        (np.abs(OBLIQUE) * [[-1, 1, 1], [1, 1, 1], [1, 1, 1]], OBLIQUE_VALUES, "sign of some entries"),
        (OBLIQUE.T, OBLIQUE_VALUES[[2, 1, 0]], "permuted against Λ, and Q transposed"),
    ],
)
def test_each_slip_is_named(vectors, values, slip):
    verdict = check_claim(OBLIQUE_W, vectors, values)
    assert not verdict.holds
    assert slip in verdict.slip


def test_only_the_wrong_column_fails():
    wrong = OBLIQUE.copy()
    wrong[0, 1] += 0.3
    verdict = check_claim(OBLIQUE_W, wrong, OBLIQUE_VALUES)
    assert verdict.table.holds == [True, False, True]
    assert "which columns fail" in verdict.slip


def test_rounded_numbers_are_told_from_wrong_ones():
    verdict = check_claim(OBLIQUE_W, OBLIQUE, OBLIQUE_VALUES + np.array([3e-4, -2e-4, 1e-4]))
    assert not verdict.holds
    assert "rounded numbers" in verdict.slip


def test_dependent_columns_are_no_decomposition_though_each_is_an_eigenvector():
    verdict = check_claim(EXERCISE, Q[:, [1, 1]], VALUES[[1, 1]])
    assert not verdict.holds
    assert "not independent" in verdict.slip


def test_own_values_show_what_a_column_would_have():
    verdict = check_claim(EXERCISE, Q, VALUES[::-1])
    np.testing.assert_allclose(verdict.table.rayleigh_re, VALUES, rtol=1e-14)


def test_complex_pairs():
    turn = np.array([[0.0, -0.5], [0.5, 0.0]])
    vectors = np.array([[1, 1], [-1j, 1j]])
    assert check_claim(turn, vectors, np.array([0.5j, -0.5j])).holds
    assert "permuted" in check_claim(turn, vectors, np.array([-0.5j, 0.5j])).slip


@pytest.mark.parametrize(
    ("matrix", "vectors", "values"),
    [
        ([[0.9, 1.0], [0.0, 0.9]], [[1.0, 1.0], [0.0, 1e-8]], [0.9, 0.9]),
        ([[1.0, 0.0], [0.0, 1e-7]], np.eye(2), [1.0, 5e-7]),
        ([[1.0, 0.0], [0.0, -3e-7]], np.eye(2), [1.0, 3e-7]),
        (1e-200 * EXERCISE, Q, [7e-201, 1e-201]),
        (EXERCISE, [[0.8, 0.0], [-0.6, 0.0]], VALUES),
    ],
)
def test_a_wrong_claim_is_not_passed_for_its_size(matrix, vectors, values):
    verdict = check_claim(np.array(matrix), np.array(vectors), np.array(values))
    assert not verdict.holds
    assert verdict.slip


EXTREMES = [1e-305, 1e-200, 1e200, 1e307]


@pytest.mark.parametrize("lengths", [[1.0, 1e-20], [1e-305, 1e307], [1e-200, 1e-200], [1e307, 1e307]])
def test_a_right_claim_holds_at_any_size_of_w_and_length_of_q(lengths):
    for scale in EXTREMES:
        verdict = check_claim(scale * EXERCISE, Q * lengths, scale * VALUES)
        assert verdict.holds
        assert verdict.residual < 1e-14
        np.testing.assert_allclose(verdict.table.rayleigh_re, scale * VALUES, rtol=1e-13)
        assert max(verdict.table.residual) < 1e-14


@pytest.mark.parametrize(
    ("vectors", "values", "slip"),
    [
        (np.linalg.inv(OBLIQUE), OBLIQUE_VALUES, "swapped"),
        (OBLIQUE.T, OBLIQUE_VALUES, "transposed"),
        (OBLIQUE, OBLIQUE_VALUES[[1, 2, 0]], "permuted"),
        (OBLIQUE, OBLIQUE_VALUES * [1, -1, 1], "sign of some eigenvalues"),
        (OBLIQUE, OBLIQUE_VALUES + np.array([3e-4, -2e-4, 1e-4]), "rounded numbers"),
        (OBLIQUE + 0.1 * np.eye(3)[[1, 0, 2]], OBLIQUE_VALUES, "no known slip explains it"),
    ],
)
def test_a_wrong_claim_fails_for_the_same_reason_at_any_size(vectors, values, slip):
    plain = check_claim(OBLIQUE_W, vectors, values)
    for scale, length in product(EXTREMES, EXTREMES):
        verdict = check_claim(scale * OBLIQUE_W, length * vectors, scale * values)
        assert not verdict.holds
        assert slip in verdict.slip
        assert verdict.table.holds == plain.table.holds
        np.testing.assert_allclose(verdict.residual, plain.residual, rtol=1e-6)
        np.testing.assert_allclose(verdict.table.residual, plain.table.residual, rtol=1e-6, atol=1e-14)


def test_a_matrix_with_entries_of_every_size_shows_its_own_values():
    matrix, true = np.diag([1e308, 1e-308]), np.array([1e308, 1e-308])
    assert check_claim(matrix, np.eye(2), true).holds
    verdict = check_claim(matrix, np.eye(2)[:, ::-1] * [1e-200, 1e300], true)
    assert "permuted" in verdict.slip
    assert verdict.table.re.tolist() == true.tolist()
    assert verdict.table.rayleigh_re.tolist() == true[::-1].tolist()


def test_values_out_of_all_proportion_to_w_are_wrong():
    verdict = check_claim(np.diag([1e-300, 2e-300]), np.eye(2), np.array([1e-300, 1e300]))
    assert verdict.table.holds == [True, False]
    assert verdict.table.residual.tolist() == [0.0, np.inf]
    assert verdict.residual is None
    assert verdict.slip


def test_complex_entries_whose_modulus_no_double_holds():
    values = np.array([1.5e308 + 1.5e308j, 1e308])
    assert check_claim(np.diag(values), np.eye(2), values).holds
    assert not check_claim(np.diag(values), np.eye(2), values.conj()).holds
    assert check_claim(np.diag(values), np.diag(values), values).holds


@pytest.mark.parametrize("value", [1e-100, 1e-200, 1e-310])
def test_a_value_of_the_zero_matrix_that_is_not_zero_is_wrong(value):
    assert check_claim(np.zeros((2, 2)), np.eye(2), np.array([0.0, value])).table.holds == [True, False]
