import numpy as np
import pytest

from gradflow.errors import UsageError
from gradflow.linalg import ENSEMBLES
from gradflow.linalg.ensembles import random_matrix


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_same_seed_same_matrix_and_the_size_asked_for(ensemble):
    first, second = (random_matrix(ensemble, 5, gain=0.8, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (5, 5)
    assert np.isfinite(first).all()


@pytest.mark.parametrize("ensemble", [name for name in ENSEMBLES if name != "jordan"])
def test_another_seed_another_matrix(ensemble):
    assert not np.array_equal(random_matrix(ensemble, 5, seed=0), random_matrix(ensemble, 5, seed=1))


@pytest.mark.parametrize(("ensemble", "expected"), [("ginibre", 1.3), ("uniform", 1.3), ("symmetric", 2.6)])
def test_the_gain_sets_the_spectral_radius_of_a_large_matrix(ensemble, expected):
    radius = np.abs(np.linalg.eigvals(random_matrix(ensemble, 250, gain=1.3))).max()
    assert radius == pytest.approx(expected, rel=0.1)


def test_orthogonal_is_orthogonal_and_symmetric_symmetric():
    q = random_matrix("orthogonal", 30, gain=0.5)
    np.testing.assert_allclose(q @ q.T, 0.25 * np.eye(30), atol=1e-14)
    s = random_matrix("symmetric", 30)
    np.testing.assert_array_equal(s, s.T)


def test_haar_measure_has_no_preferred_sign():
    traces = [np.trace(random_matrix("orthogonal", 3, seed=seed)) for seed in range(400)]
    # for the Haar measure E tr = 0 and Var tr = 1
    assert abs(np.mean(traces)) < 4 / np.sqrt(400)


@pytest.mark.parametrize(("size", "gain"), [(0, 1.0), (-3, 1.0), (3, np.nan), (3, np.inf)])
def test_bad_numbers_are_refused_by_value(size, gain):
    with pytest.raises(UsageError, match=str(size if size < 1 else gain)):
        random_matrix("ginibre", size, gain=gain)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'ginibre'"):
        random_matrix("ginbire", 3)
