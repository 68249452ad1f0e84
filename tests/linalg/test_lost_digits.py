"""Products whose largest part dies: what is left keeps its digits, or is said to be an upper bound."""

import numpy as np
import pytest

from gradflow.linalg.batch import batch_norms
from gradflow.linalg.chain import chain_norms
from gradflow.linalg.matrix_free import matrix_free_norms

STEPS = 460


def engine_norms(engine, factors, lags=None):
    """log₁₀ of the spectral norms by one of the engines, the claimed error, and which are upper bounds."""

    def act(k, block):
        return factors[k] @ block

    start = np.eye(len(factors[0]), dtype=factors[0].dtype)
    if engine == "batch":
        norms = batch_norms(act, len(factors), start[None])
        return norms.two[0], norms.error, norms.bounds[0]
    if engine == "matrix_free":
        norms = matrix_free_norms(act, lambda k, b: factors[k].T @ b, len(factors), lags, start)
    else:
        norms = chain_norms(act, len(factors), start, exact=engine == "exact")
    return norms.two, norms.error, norms.bounds


def relative(found, expected):
    """Relative errors of numbers given by their log₁₀; two exact zeros agree."""
    with np.errstate(invalid="ignore"):
        return np.where(np.equal(found, expected), 0.0, np.abs(np.expm1((found - expected) * np.log(10))))


def longdouble_log10_norms(factors):
    """log₁₀ of the Frobenius norm of every product, in 64 bits of mantissa and a range of 1e±4932."""
    product, logs = np.eye(len(factors[0]), dtype=np.longdouble), []
    for factor in factors:
        product = factor.astype(np.longdouble) @ product
        with np.errstate(divide="ignore"):
            logs.append(float(np.log10(np.sqrt((product**2).sum()))))
    return np.array(logs)


def block_diagonal(*blocks):
    size = sum(map(len, blocks))
    matrix, place = np.zeros((size, size)), 0
    for block in blocks:
        matrix[place : place + len(block), place : place + len(block)] = block
        place += len(block)
    return matrix


def orthogonal(generator, size):
    return np.linalg.qr(generator.standard_normal((size, size)))[0]


def dying(size, steps, kills, seed=0):
    """Blocks of gain 3 and 0.5, rows in random order; at some steps the first has another gain."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(2 * size)
    strong, weak = orthogonal(generator, size), orthogonal(generator, size)
    gains = [kills.get(k, 3.0) for k in range(1, steps + 1)]
    factors = {
        gain: block_diagonal(gain * strong, 0.5 * weak)[np.ix_(order, order)] for gain in dict.fromkeys(gains)
    }
    with np.errstate(divide="ignore"):
        return [factors[gain] for gain in gains], np.cumsum(np.log10(gains))


ENGINES = [("quick", 3), ("exact", 3), ("batch", 3), ("matrix_free", 3), ("quick", 13)]


@pytest.mark.parametrize(("engine", "size"), ENGINES)
@pytest.mark.parametrize("kills", [{430: 0.0}, {400: 1e-300, 401: 1e-300}], ids=["once", "twice"])
def test_a_block_under_double_range_is_there_when_the_dominant_one_dies(engine, size, kills):
    factors, strong = dying(size, STEPS, kills)
    expected = np.maximum(strong, np.log10(0.5) * np.arange(1, STEPS + 1))
    found, error, bounds = engine_norms(engine, factors, [10, 399, 401, 430, 460])
    asked = ~np.isnan(found)
    # the weak block is (0.5 / 3)^k of the strong one: under 1e-308 from step 396 on
    # a logarithm of 205 has itself an eps of 5e-14
    assert relative(found, expected)[asked].max() <= error + 2e-13
    assert error < 1e-7
    assert not bounds.any()
    assert found[429] < -129


@pytest.mark.parametrize("engine", ["quick", "exact", "batch", "matrix_free"])
@pytest.mark.parametrize("weak", [0.9, 0.3])
def test_what_rounding_has_replaced_is_an_upper_bound(engine, weak):
    # turned by an orthogonal matrix the weak block is under eps of every entry from some lag on
    generator, steps = np.random.default_rng(3), 300
    turn = orthogonal(generator, 6)
    factors = [
        turn @ block_diagonal((0.0 if k == 200 else 1.5) * np.eye(3), weak * np.eye(3)) @ turn.T
        for k in range(steps)
    ]
    truth = longdouble_log10_norms(factors)
    found, error, bounds = engine_norms(engine, factors, [1, 100, 200, 201, 250, 300])
    asked = ~np.isnan(found)
    assert bounds[[200, 249, 299]].all()
    assert not bounds[:200].any()
    assert np.all(found[bounds] >= truth[bounds] - 0.3)  # the spectral norm is up to √3 under Frobenius
    before = np.flatnonzero(asked & ~bounds)
    # the factors themselves are 1.5 times an orthogonal matrix but for rounding
    assert relative(found[before], np.log10(1.5) * (before + 1)).max() <= error + 1e-12
    assert np.isfinite(found[asked]).all()


@pytest.mark.parametrize("engine", ["quick", "exact", "batch", "matrix_free"])
def test_a_zero_that_only_cancellation_makes_is_never_claimed(engine):
    # W² = 0, but in the arithmetic of doubles nothing proves it
    found, _, bounds = engine_norms(engine, [np.array([[1.0, -1.0], [1.0, -1.0]])] * 30, range(1, 31))
    assert found[0] == pytest.approx(np.log10(2))
    assert bounds[1:].all()
    assert np.isfinite(found).all()
    assert found[1] < -11


@pytest.mark.parametrize("engine", ["quick", "exact", "batch", "matrix_free"])
def test_a_zero_by_structure_is_exact(engine):
    # blocks of which the first feeds the second, which feeds nothing: the third product is 0
    generator = np.random.default_rng(0)
    factor = np.zeros((6, 6))
    factor[2:4, :2], factor[4:, 2:4] = generator.standard_normal((2, 2, 2))
    found, error, bounds = engine_norms(engine, [1e-290 * factor, 1e-290 * factor, factor], [1, 2, 3])
    assert found[2] == -np.inf
    assert -590 < found[1] < -570
    assert error < 1e-7
    assert not bounds.any()


@pytest.mark.parametrize("family", range(5))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_claimed_error_bounds_the_true_one(family, dtype):
    for seed in range(6):
        generator = np.random.default_rng((seed, family))
        size, steps, gain = generator.integers(2, 7), 120, generator.uniform(0.7, 1.4)
        factors = gain / np.sqrt(size) * generator.standard_normal((steps, size, size))
        if family == 1:
            factors = np.linalg.qr(factors)[0] * np.exp(-0.1 * generator.random(size))
        elif family == 2:
            factors[:, size // 2 :, : size // 2] = 0.0
            factors[60, : size // 2] = 0.0
        elif family == 3:
            factors[60] = factors[60, :, :1] * factors[61, :1]
        elif family == 4:
            factors[60] @= np.diag(np.r_[np.zeros(size - 1), 1.0])
        truth = longdouble_log10_norms(list(factors))
        start, given = np.eye(size, dtype=dtype), factors.astype(dtype)
        for norms in (
            chain_norms(lambda k, b, given=given: given[k] @ b, steps, start),
            batch_norms(lambda k, b, given=given: given[k] @ b, steps, start[None]),
        ):
            found, bounds = norms.frobenius.reshape(-1), norms.bounds.reshape(-1)
            assert relative(found, truth)[~bounds].max() <= norms.error + 1e-13
            assert np.all(found[bounds] >= truth[bounds])


@pytest.mark.parametrize("gap", [1e-9, 1e-6, 1e-13])
def test_one_singular_value_just_over_all_others_is_found(gap):
    generator = np.random.default_rng(0)
    direction = generator.standard_normal(300)
    direction /= np.linalg.norm(direction)
    factors = [np.eye(300) + gap * np.outer(direction, direction)] * 3
    for engine in ("quick", "matrix_free"):
        found, error, _ = engine_norms(engine, factors, [1, 3])
        places = [0, 2]
        expected = np.log1p(gap) / np.log(10) * np.array([1, 3])
        assert relative(found[places], expected).max() <= error + 1e-14
        assert error < 1e-7
