"""A matrix that is typed: brackets, fractions, signs as gradflow prints them, and what is said of slips."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gradflow
from gradflow import read_array, read_matrix
from gradflow.derivations.topics.numerals import write_numbers
from gradflow.errors import DataError, UsageError


@pytest.mark.parametrize(
    "text",
    [
        "[0.58, 0.24; 0.24, 0.72]",
        " [0.58 0.24; 0.24 0.72] ",
        "[0.58 0.24;\n 0.24 0.72;]",
        "29/50 6/25; 6/25 18/25",
        "[29/50, 6/25\n6/25, 18/25]",
    ],
)
def test_one_matrix_typed_in_several_ways(text):
    np.testing.assert_array_equal(read_matrix(text), [[0.58, 0.24], [0.24, 0.72]])


def test_printed_matrix_is_read_again():
    matrix = np.array([[0.58, -0.24], [1e-7, 1 + 2j], [-0.5j, -2 - 0.25j]])
    np.testing.assert_array_equal(read_matrix(write_numbers(matrix)), matrix)
    rounded = [[0.58, -0.24], [-0.24, 0.72]]
    slip = gradflow.derive("regimes").topics.slip[0]
    assert "[0.58, −0.24; −0.24, 0.72]" in slip
    np.testing.assert_array_equal(read_matrix("[0.58, −0.24; −0.24, 0.72]"), rounded)


def test_blanks_around_a_sign_are_of_a_complex_number_alone():
    np.testing.assert_array_equal(read_matrix("1 + 2i 3 -  4j; 5 -6"), [[1 + 2j, 3 - 4j], [5, -6]])
    with pytest.raises(DataError, match=r"character 3: '\+' is not a number"):
        read_matrix("1 + 2; 3 4")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(-(10**30), 10**30), st.integers(1, 10**30))
def test_fraction_is_the_nearest_double(numerator, denominator):
    exact = Fraction(numerator, denominator)
    assert read_matrix(f"{numerator}/{denominator} 1; 0 1")[0, 0] == float(exact)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1/0 1; 0 1", "line 1, character 1: '1/0' divides by 0"),
        ("1 1/2/3; 0 1", "character 3: '1/2/3' is not a number"),
        ("0.5/2 1; 0 1", "'0.5/2' is not a number"),
        (f"{10**399}/1 1; 0 1", "beyond float64's range"),
        (f"1/{10**399} 1; 0 1", "not zero, but too small"),
        ("1/2 1/3\n1/4", r"row 2 \(line 2\): expected 2 entries"),
        ("[0.58 0.24; 0.24 0.72", "the closing ] is missing"),
        ("[0.58, 0.24; 0.24, O.72]", "line 1, character 20: 'O.72' is not a number"),
        ("[1 + 2i, x; 1, 2]", "character 10: 'x'"),
        ("0,58 0,24; 0,24 0,72", "write decimals with a point"),
        ("[[1, 2; 3, 4]]", "not JSON"),
    ],
)
def test_slip_of_a_typed_matrix_is_no_missing_file(text, says):
    with pytest.raises(DataError, match=says) as caught:
        read_matrix(text)
    assert "no such file" not in str(caught.value)


@pytest.mark.parametrize("text", ["1 x; 2 3", "1 nan", "1 2; 3", "[[1, 2", "[[1, 2], [3]]x", "[]", "1 x\n\n"])
def test_only_what_may_be_a_name_is_missed_as_a_file(text):
    with pytest.raises(DataError) as caught:
        read_matrix(text)
    assert "file" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0.58 0.24 0.24 0.72", "1×4; expected a square one: separate rows with ;"),
        ("0,58, 0,24; 0,24, 0,72", "2×4; .*write decimals with a point"),
        ("0,9", "1×2; .*write decimals with a point"),
        ("1,2,3,4", "1×4; .*separate rows with ;"),
        ("1 2 3; 4 5 6", "2×3; .*as many entries in each row as there are rows"),
        ("0.5, 0.2", "1×2; .*as many entries in each row"),
    ],
)
def test_typed_matrix_that_is_not_square_is_told_why(text, says):
    with pytest.raises(UsageError, match=says):
        gradflow.power(text)


def test_a_matrix_that_is_not_square_is_refused_with_the_remedy_for_its_source(tmp_path):
    np.savetxt(tmp_path / "W.txt", np.ones((1, 4)))
    with pytest.raises(UsageError, match="pick a square block with a key"):
        gradflow.power(str(tmp_path / "W.txt"))
    with pytest.raises(UsageError, match="give a square block of it"):
        gradflow.power(np.ones((2, 4)))


def test_dates_in_a_file_are_no_fractions(tmp_path):
    (tmp_path / "days.csv").write_text("day,x\n11/29,0.5\n11/30,0.6\n")
    with pytest.raises(DataError, match="line 2, character 1: '11/29' is not a number"):
        read_array(tmp_path / "days.csv")
