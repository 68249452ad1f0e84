"""Spectral norms of many small matrices: against all singular values, for every kind of spectrum."""

import numpy as np
import pytest

from gradflow.linalg.gram_norms import spectral_norms


def turned(values, generator):
    """A matrix with these singular values."""
    left, right = (np.linalg.qr(generator.standard_normal((len(values),) * 2))[0] for _ in range(2))
    return left * values @ right.T


SPECTRA = {
    "even": lambda n: np.linspace(0.1, 1, n),
    "close": lambda n: 1 - 1e-9 * np.arange(n),
    "equal": np.ones,
    "double": lambda n: np.r_[1.0, 1.0, 0.5 * np.ones(n - 2)],
    "one_apart": lambda n: np.r_[1.0, 0.5 * np.ones(n - 1)],
    "half": lambda n: np.r_[1.0, np.sqrt(0.5), np.zeros(n - 2)],
    "geometric": lambda n: 2.0 ** -np.arange(n),
    "rank_one": lambda n: np.r_[1.0, np.zeros(n - 1)],
}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("size", [1, 2, 11, 12, 32, 64])
@pytest.mark.parametrize("scale", [1e-60, 1.0, 1e60])
def test_norms_are_the_largest_singular_values(spectrum, size, scale):
    if size == 1 and spectrum in ("double", "half"):
        size = 2
    values = SPECTRA[spectrum](size)
    generator = np.random.default_rng(size)
    matrices = scale * np.stack([turned(values, generator) for _ in range(5)])
    np.testing.assert_allclose(spectral_norms(matrices), scale * values.max(), rtol=1e-13)


def test_every_matrix_of_a_mixture_has_its_own_norm_whatever_its_shape():
    generator = np.random.default_rng(0)
    for shape in ((7, 30, 20), (2, 3, 20, 30), (1, 4, 50)):
        matrices = generator.standard_normal(shape) * np.exp(generator.uniform(-9, 9, (*shape[:-2], 1, 1)))
        matrices[0] = 0.0
        expected = np.linalg.svd(matrices, compute_uv=False)[..., 0]
        np.testing.assert_allclose(spectral_norms(matrices), expected, rtol=1e-13)


def test_single_precision_has_its_own_digits():
    matrices = np.stack([turned(np.linspace(0.1, 1, 20), np.random.default_rng(k)) for k in range(9)])
    assert spectral_norms(matrices.astype(np.float32)) == pytest.approx(np.ones(9), rel=1e-5)
