"""The largest eigenvalue alone: matrices of known spectra, and those on which Lanczos fails."""

import numpy as np
import pytest

from gradflow.linalg.largest_eigenvalue import MIN_LANCZOS_SIZE, has_cholesky_factor, largest_eigenvalue
from gradflow.linalg.norms import spectral_norm
from gradflow.linalg.scaled import Scaled

SIZE = MIN_LANCZOS_SIZE + 60
ROUNDING = 4 * SIZE * np.finfo(float).eps
GENERATOR = np.random.default_rng(0)

SPECTRA = {
    "even": np.linspace(0.0, 1.0, SIZE),
    "one large": np.append(np.linspace(0.0, 0.1, SIZE - 1), 1.0),
    "a close pair": np.append(np.linspace(0.0, 0.9, SIZE - 2), [1.0, 1.0 - 1e-13]),
    "a double one": np.append(np.linspace(0.0, 0.9, SIZE - 2), [1.0, 1.0]),
    "all equal": np.ones(SIZE),
    "low rank": np.append(np.zeros(SIZE - 3), [0.5, 0.7, 1.0]),
    "crowded at the end": np.cos(np.linspace(0.0, np.pi / 2, SIZE)),
    "far apart": np.geomspace(1e-200, 1.0, SIZE),
}


def basis(kind):
    """Return a random orthogonal or unitary matrix."""
    matrix = GENERATOR.standard_normal((SIZE, SIZE))
    if kind == "complex":
        matrix = matrix + 1j * GENERATOR.standard_normal((SIZE, SIZE))
    return np.linalg.qr(matrix)[0]


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA)
def test_known_spectra(spectrum, kind):
    vectors = basis(kind)
    matrix = (vectors * spectrum) @ vectors.conj().T
    matrix = (matrix + matrix.conj().T) / 2
    assert largest_eigenvalue(matrix) == pytest.approx(1.0, rel=ROUNDING)
    assert largest_eigenvalue(1e-80 * matrix) == pytest.approx(1e-80, rel=ROUNDING)


def test_an_eigenvector_that_the_first_vector_has_no_part_of_is_not_missed():
    # Lanczos would converge to the second eigenvalue; the factorization says no
    start = np.random.default_rng(0).standard_normal(SIZE)
    hidden = GENERATOR.standard_normal(SIZE)
    hidden -= start * (start @ hidden) / (start @ start)
    hidden /= np.linalg.norm(hidden)
    others = np.linalg.qr(np.column_stack([hidden, GENERATOR.standard_normal((SIZE, SIZE - 1))]))[0][:, 1:]
    matrix = (others * np.linspace(0.0, 0.999999, SIZE - 1)) @ others.T + np.outer(hidden, hidden)
    assert largest_eigenvalue((matrix + matrix.T) / 2) == pytest.approx(1.0, rel=ROUNDING)


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (SIZE, 2 * SIZE), (3 * SIZE, SIZE)])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_norm_of_a_large_matrix_is_its_largest_singular_value(shape, kind):
    matrix = GENERATOR.standard_normal(shape)
    if kind == "complex":
        matrix = matrix + 1j * GENERATOR.standard_normal(shape)
    assert spectral_norm(Scaled(matrix)).value() == pytest.approx(np.linalg.norm(matrix, 2), rel=ROUNDING)


def test_zero_has_norm_zero():
    assert spectral_norm(Scaled(np.zeros((SIZE, SIZE)))).value() == 0.0


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("size", [30, 520])
def test_only_positive_matrices_have_a_factor(size, kind):
    matrix = GENERATOR.standard_normal((size, size))
    if kind == "complex":
        matrix = matrix + 1j * GENERATOR.standard_normal((size, size))
    vectors = np.linalg.qr(matrix)[0]
    values = np.linspace(1e-6, 1.0, size)
    for least, positive in ((1e-6, True), (-1e-6, False)):
        values[0] = least
        assert has_cholesky_factor((vectors * values) @ vectors.conj().T) is positive
