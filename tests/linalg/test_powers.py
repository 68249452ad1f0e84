import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradflow.linalg.norms import spectral_norm
from gradflow.linalg.powers import matrix_power, successive_powers, table_steps
from gradflow.linalg.scaled import Scaled
from tests.slow import power_log10_norm
from tests.truths import EXERCISE, FIBONACCI_90, jordan_norm, similar


def log10_norm(matrix, steps):
    return spectral_norm(matrix_power(Scaled.of(np.asarray(matrix, dtype=float)), steps).value).log10()


def test_zeroth_power_is_the_identity():
    np.testing.assert_array_equal(matrix_power(Scaled(EXERCISE), 0).value.array, np.eye(2))


def test_the_exercise_to_the_30th():
    low, high = np.array([0.8, -0.6]), np.array([0.6, 0.8])
    expected = 0.4**30 * np.outer(low, low) + 0.9**30 * np.outer(high, high)
    np.testing.assert_allclose(matrix_power(Scaled(EXERCISE), 30).value.array, expected, rtol=1e-14)


def test_fibonacci_beyond_the_integers_of_a_double():
    power = matrix_power(Scaled(np.array([[1.0, 1.0], [1.0, 0.0]])), 90).value
    assert power.array[0, 1] * 2.0**power.exponent == pytest.approx(FIBONACCI_90, rel=1e-15)


@pytest.mark.parametrize(("base", "steps"), [(0.5, 10**6), (2.0, 10**18), (0.5, 10**18), (1e-300, 10**6)])
def test_out_of_range_at_any_exponent(base, steps):
    assert log10_norm(base * np.eye(3), steps) == pytest.approx(steps * math.log10(base), rel=1e-14)


def test_half_to_the_millionth_as_published():
    assert log10_norm(0.5 * np.eye(2), 10**6) == pytest.approx(-301029.9957, abs=5e-5)


@pytest.mark.parametrize("steps", [1, 9, 10, 99, 1000, 5000])
@pytest.mark.parametrize("eigenvalue", [0.5, 0.9, 0.99, 1.0])
def test_jordan_blocks_against_their_closed_form(eigenvalue, steps):
    with mpmath.workdps(30):
        a, b = mpmath.mpf(eigenvalue) ** steps, steps * mpmath.mpf(eigenvalue) ** (steps - 1)
        expected = float(mpmath.log10((b + mpmath.sqrt(b * b + 4 * a * a)) / 2))
    assert log10_norm([[eigenvalue, 1], [0, eigenvalue]], steps) == pytest.approx(expected, abs=1e-11)


def test_jordan_peaks_as_published():
    assert jordan_norm(0.9, 10) == pytest.approx(3.905335799, abs=5e-10)
    assert 10 ** log10_norm([[0.9, 1], [0, 0.9]], 9) == pytest.approx(3.912567078, abs=5e-10)
    assert 10 ** log10_norm([[0.99, 1], [0, 0.99]], 99) == pytest.approx(36.97666069, abs=5e-9)


def test_nilpotent_is_exactly_zero_from_its_index_on():
    shift = Scaled(np.eye(10, k=1))
    norms = [spectral_norm(power.value).value() for power in successive_powers(shift, range(13))]
    assert norms == [1.0] * 10 + [0.0] * 3


@pytest.mark.parametrize("gain", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("steps", [7, 100, 999])
def test_random_matrices_against_sixty_digits(gain, steps):
    matrix = gain * np.random.default_rng(steps).standard_normal((4, 4)) / 2
    expected = power_log10_norm(matrix, steps)
    power = matrix_power(Scaled(matrix), steps)
    assert spectral_norm(power.value).log10() == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("steps", [3, 50, 1000])
def test_the_error_bound_holds_against_sixty_digits(seed, steps):
    matrix = similar(np.diag([0.9, 0.7, 0.5, -0.8]), seed)
    power = matrix_power(Scaled(matrix), steps)
    with mpmath.workdps(60):
        exact = mpmath.matrix(matrix.tolist()) ** steps
        computed = mpmath.matrix(power.value.array.tolist()) * mpmath.mpf(2) ** power.value.exponent
        error = float(mpmath.mnorm(computed - exact, "f") / mpmath.mnorm(exact, "f"))
    assert error <= power.error
    assert power.error < 1e-6


@given(st.integers(0, 10**18))
def test_table_steps_are_increasing_and_end_at_the_last(steps):
    listed = table_steps(steps)
    assert listed == sorted(set(listed))
    assert listed[-1] == steps
    assert listed[: min(steps, 1000) + 1] == list(range(min(steps, 1000) + 1))
    assert all(later <= 1.3 * earlier for earlier, later in pairwise(listed[1000:]))


@pytest.mark.parametrize("steps", [0, 1, 2, 1000, 1001, 1250, 4000, 123_456])
def test_successive_powers_are_the_powers(steps):
    matrix = Scaled(np.random.default_rng(5).standard_normal((3, 3)))
    listed = table_steps(steps)
    powers = list(successive_powers(matrix, listed))
    assert len(powers) == len(listed)
    for k, power in list(zip(listed, powers, strict=True))[:: max(1, len(listed) // 40)]:
        expected = spectral_norm(matrix_power(matrix, k).value).log10()
        assert spectral_norm(power.value).log10() == pytest.approx(expected, abs=1e-8)
