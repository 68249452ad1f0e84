"""Norms of products that are never formed are those of the products."""

import numpy as np
import pytest

from gradflow.linalg.chain import chain_norms
from gradflow.linalg.matrix_free import matrix_free_norms


def both(factors, lags, start, rows=slice(None)):
    """Matrix-free norms, and those of the chain of the same factors, every one by all singular values."""
    steps = len(factors)
    free = matrix_free_norms(
        lambda k, b: factors[k] @ b, lambda k, b: factors[k].T @ b, steps, lags, start, rows=rows
    )
    return free, chain_norms(lambda k, b: factors[k] @ b, steps, start, rows=rows, exact=True)


def assert_agree(free, full, lags, within=1e-10):
    """The same at the lags, to what the error says and at most ``within``; nothing at others."""
    places = np.array(lags) - 1
    found, expected = free.two[places], full.two[places]
    with np.errstate(invalid="ignore"):
        apart = np.where(np.equal(found, expected), 0.0, found - expected)
    assert np.abs(np.expm1(apart * np.log(10))).max() <= min(within, free.error + 1e-12)
    assert np.isnan(np.delete(free.two, places)).all()
    assert np.isnan(free.frobenius).all()


def gaussian(size, steps, gain=1.0, seed=0):
    generator = np.random.default_rng(seed)
    return gain / np.sqrt(size) * generator.standard_normal((steps, size, size))


@pytest.mark.parametrize("gain", [1.0, 1e-12, 1e12])
def test_norms_are_those_of_the_product_at_any_scale(gain):
    lags = [1, 2, 5, 20, 40]
    assert_agree(*both(gaussian(90, 40, gain), lags, np.eye(90)), lags)


@pytest.mark.parametrize(
    ("columns", "rows"),
    [(slice(0, 40), slice(40, 90)), (slice(40, 90), slice(0, 40)), (np.r_[1:50:3], np.r_[2:90:5])],
)
def test_blocks_are_those_of_the_product(columns, rows):
    lags = [1, 3, 10, 30]
    assert_agree(*both(gaussian(90, 30), lags, np.eye(90)[:, columns], rows), lags)


@pytest.mark.parametrize("small", [1e-9, 1e-100, 1e-200])
def test_a_block_far_smaller_than_the_whole_keeps_its_digits(small):
    factors, lags = gaussian(60, 20), [1, 5, 20]
    scales = np.r_[np.ones(30), np.full(30, small)]
    start, rows = np.eye(60)[:, :30], slice(30, 60)
    free, _ = both(scales[:, None] * factors / scales, lags, start, rows)
    _, full = both(factors, lags, start, rows)
    full.two[:] += np.log10(small)
    assert_agree(free, full, lags)


def test_a_product_that_is_zero_is_so_from_there_on():
    factors, lags = gaussian(40, 12), [3, 6, 7, 12]
    factors[6] = 0.0
    free, full = both(factors, lags, np.eye(40))
    assert free.two[[6, 11]].tolist() == [-np.inf] * 2
    assert_agree(free, full, lags)


@pytest.mark.parametrize("kill", [1e-40, 0.0])
def test_what_is_left_when_the_dominant_block_dies_is_found(kill):
    factors, lags = np.zeros((60, 80, 80)), [10, 39, 40, 41, 45, 60]
    factors[:, :50, :50] = gaussian(50, 60)
    factors[:, 50:, 50:] = gaussian(30, 60, 0.4, seed=1)
    factors[40, :50, :50] *= kill
    assert_agree(*both(factors, lags, np.eye(80)), lags)


def test_a_block_that_is_exactly_zero_is_nothing():
    factors, lags = np.zeros((10, 60, 60)), [1, 4, 10]
    factors[:, :30, :30], factors[:, 30:, 30:] = gaussian(30, 10), gaussian(30, 10)
    free, _ = both(factors, lags, np.eye(60)[:, :30], slice(30, 60))
    assert free.two[[0, 3, 9]].tolist() == [-np.inf] * 3


@pytest.mark.parametrize("gap", [1e-13, 1e-9, 1e-6, 1e-4])
def test_values_too_close_to_tell_apart_are_right_to_the_error_owned_up_to(gap):
    orthogonal = np.array([np.linalg.qr(factor)[0] for factor in gaussian(200, 5)])
    start, lags = np.diag(1 - gap * np.arange(200) ** 2 / 200), [1, 3, 5]
    free, full = both(orthogonal, lags, start)
    np.testing.assert_allclose(full.two, 0, atol=1e-12)  # the truth: 1 at every lag
    assert_agree(free, full, lags, within=1e-3)


def test_float32_stays_float32():
    factors, kinds = gaussian(60, 10).astype(np.float32), set()

    def act(transpose):
        def acting(k, block):
            kinds.add(block.dtype)
            return (factors[k].T if transpose else factors[k]) @ block

        return acting

    free = matrix_free_norms(act(False), act(True), 10, [1, 10], np.eye(60, dtype=np.float32))
    full = chain_norms(lambda k, b: factors[k].astype(np.float64) @ b, 10, np.eye(60), exact=True)
    assert kinds == {np.dtype("float32")}
    np.testing.assert_allclose(free.two[[0, 9]], full.two[[0, 9]], atol=1e-5)
