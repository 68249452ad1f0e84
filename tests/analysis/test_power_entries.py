"""The entries of Wⁿ in the conclusion: right in four digits, of any size, and short."""

import re
from fractions import Fraction

import mpmath
import numpy as np
import pytest

import gradflow
from gradflow.analysis.power.entries import write_power
from gradflow.linalg.small_powers import enclose_power

TURN = np.array([[np.cos(np.pi / 15), -np.sin(np.pi / 15)], [np.sin(np.pi / 15), np.cos(np.pi / 15)]])


def read_entries(result):
    """Return the rows of texts that a conclusion has of W^n."""
    (rows,) = re.findall(r"W\^\d+ = \[(.*?)\]\.$", result.conclusion)
    return [row.split(" ") for row in rows.split("; ")]


def parse(text):
    """Return what a text of an entry says, as a number of mpmath."""
    if text.endswith("i"):
        return mpmath.mpc(complex(text.replace("i", "j")))
    scaled = re.fullmatch(r"\((.*)i\)(e.*)", text)
    return mpmath.mpc(complex(f"{scaled[1]}j")) * mpmath.mpf(f"1{scaled[2]}") if scaled else mpmath.mpf(text)


@pytest.mark.parametrize(
    ("matrix", "steps", "entries"),
    [
        ("0.58 0.24; 0.24 0.72", 30, "[0.01526 0.02035; 0.02035 0.02713]"),
        ("1 1; 1 0", 30, "[1346269 832040; 832040 514229]"),
        ("1 1; 0 1", 10**6, "[1 1000000; 0 1]"),
        ("1 1; 0 1", 10**18, "[1 1e+18; 0 1]"),
        ("2 -1; 1 0", 10**6, "[1000001 -1000000; 1000000 -999999]"),
        ("-0.5", 3, "[-0.125]"),
        ("0 1j; 1j 0", 3, "[0 -1i; -1i 0]"),
        ("2 0; 0 0.5", 10**6, "[9.901e+301029 0; 0 1.01e-301030]"),
        ("1e300 0; 0 -2j", 10**18 - 1, "[10^3e+20 0; 0 10^3.0103e+17i]"),
        ("99995 0; 0 0.99995", 100, "[9.95e+499 0; 0 0.995]"),
        ("1e-2 0; 0 99999", 200, "[1e-400 0; 0 9.98e+999]"),
        ("7 8; 9 10", 0, "[1 0; 0 1]"),
        ("0.5 0 0; 0 1+1j 0; 0 0 3", 4, "[0.0625 0 0; 0 -4 0; 0 0 81]"),
    ],
)
def test_known_powers(matrix, steps, entries):
    square = gradflow.read_matrix(matrix)
    assert write_power(square, steps, enclose_power(square, steps)) == entries


def test_conclusion_ends_with_the_entries():
    conclusion = gradflow.power("0.58 0.24; 0.24 0.72").conclusion
    assert conclusion.endswith(". W^30 = [0.01526 0.02035; 0.02035 0.02713].")


def random_matrices():
    generator = np.random.default_rng(7)
    for size in (1, 2, 3):
        for scale in (1e-30, 0.3, 1.0, 1e30):
            yield scale * generator.standard_normal((size, size))
            yield scale * (
                generator.standard_normal((size, size)) + 1j * generator.standard_normal((size, size))
            )


@pytest.mark.parametrize("steps", [3, 61, 200])
def test_every_entry_is_right_to_half_a_unit_of_its_fourth_digit(steps):
    for matrix in random_matrices():
        with mpmath.workdps(400):
            exact = mpmath.matrix(matrix.tolist()) ** steps
        with mpmath.workdps(40):
            for i, row in enumerate(read_entries(gradflow.power(matrix, steps=steps))):
                for j, text in enumerate(row):
                    assert abs(parse(text) - exact[i, j]) <= 0.00071 * abs(exact[i, j])
                    assert len(text) <= 28


def test_entries_that_are_rounding_of_the_entries_of_w_are_not_shown_as_digits():
    # a turn by 12°, 30 times: the identity, but cos 12° is not a double
    assert read_entries(gradflow.power(TURN, steps=30)) == [["1", "≈0"], ["≈0", "1"]]
    # far apart, yet no rounding: each comes from one product
    assert read_entries(gradflow.power("-1.1 0; 0 0.3", steps=101)) == [
        [f"{-float(Fraction(11, 10) ** 101):.4g}", "0"],
        ["0", "1.546e-53"],
    ]
    assert float(Fraction(3, 10) ** 101) == pytest.approx(1.546e-53, rel=1e-3)


def test_large_matrix_and_a_power_that_is_zero_have_no_entries_in_the_sentence():
    assert "W^30 = [" not in gradflow.power(np.eye(4)).conclusion
    assert "W^5 = [" not in gradflow.power("0 1; 0 0", steps=5).conclusion
    assert gradflow.power("0 1; 0 0", steps=1).conclusion.endswith("W^1 = [0 1; 0 0].")


def test_entries_that_the_matrix_cannot_hold_are_counted():
    result = gradflow.power("1.1 0; 0 0.5", steps=10**6)
    assert result.power.entries[1, 1] == 0.0
    assert any("1 entry reads 0" in note and "conclusion has every entry" in note for note in result.notes)
    assert read_entries(result)[1] == ["0", "1.01e-301030"]


def test_small_matrix_keeps_all_digits_of_the_last_norm():
    value, steps = 1.0000001, 10**12
    result = gradflow.power([[value, 1.0], [0.0, 0.9]], steps=steps)
    # Wⁿ = λⁿ [1, 1/(λ − 0.9); 0, 0] and 0.9ⁿ, which is nothing beside it
    with mpmath.workdps(60):
        norm = mpmath.mpf(value) ** steps * mpmath.sqrt(1 + 1 / (mpmath.mpf(value) - mpmath.mpf(0.9)) ** 2)
        assert result.log10_norm == pytest.approx(float(mpmath.log10(norm)), rel=1e-15)
    assert result.peak_step == steps
    assert "is only known" not in result.conclusion


def test_no_norm_is_called_the_largest_beside_one_that_is_surely_larger():
    matrix = np.diag([1.0000001, 0.9, 0.5, 0.1]) + np.eye(4, k=1)
    exploding = gradflow.power(matrix, steps=10**12).conclusion
    assert "the largest is" not in exploding
    assert "is only known to lie between" in exploding
