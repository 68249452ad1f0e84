"""Norms along a long product: against 60 digits, dense products, and products made to hurt the shortcuts."""

import mpmath
import numpy as np
import pytest

from gradflow.linalg import chain
from gradflow.linalg.chain import chain_norms
from gradflow.linalg.compression import Compressible
from tests.slow import product_log10_norms

# What a user may rely on, ten times what the shortcuts allow themselves; n·eps of rounding is far below.
RELATIVE = 1e-10


def along(factors):
    """The action of dense factors, the first one first."""
    return lambda k, block: factors[k] @ block


def dense_log10_norms(factors, start=None, rows=slice(None)):
    """log₁₀ of spectral and Frobenius norms of every product, each whole and by all singular values."""
    product = np.eye(len(factors[0])) if start is None else start
    exponent, two, frobenius = 0, [], []
    for factor in factors:
        product = factor @ product
        largest = np.abs(product).max()
        shift = int(np.frexp(largest)[1])
        product, exponent = np.ldexp(product, -shift), exponent + shift
        values = np.linalg.svd(product[rows], compute_uv=False)
        with np.errstate(divide="ignore"):
            two.append(np.log10(values[0]) + exponent * np.log10(2))
            frobenius.append(np.log10(np.linalg.norm(values)) + exponent * np.log10(2))
    return np.array(two), np.array(frobenius)


def relative(found, expected):
    """Relative errors of numbers given by their log₁₀; two exact zeros agree."""
    same = np.equal(found, expected)
    with np.errstate(invalid="ignore"):
        return np.where(same, 0.0, np.abs(np.expm1((found - expected) * np.log(10))))


def assert_right(norms, expected, within=RELATIVE):
    """Both norms right, and the error that is owned up to bounds the true one, 1e-12 of rounding aside."""
    for found, truth in zip((norms.two, norms.frobenius), expected, strict=True):
        assert relative(found, truth).max() <= min(within, norms.error + 1e-12)


def gaussian(size, steps, seed=0, gain=1.0):
    generator = np.random.default_rng(seed)
    return list(gain / np.sqrt(size) * generator.standard_normal((steps, size, size)))


def rotations(size, steps, seed=0):
    return [np.linalg.qr(factor)[0] for factor in gaussian(size, steps, seed)]


def block_diagonal(*blocks):
    size = sum(len(block) for block in blocks)
    matrix, place = np.zeros((size, size)), 0
    for block in blocks:
        matrix[place : place + len(block), place : place + len(block)] = block
        place += len(block)
    return matrix


@pytest.fixture
def compressions(monkeypatch):
    """The widths before and after every compression that was worth it."""
    seen, plain = [], Compressible.compress

    def counted(self, *arguments):
        before = self.width
        worth = plain(self, *arguments)
        if worth:
            seen.append((before, self.width))
        return worth

    monkeypatch.setattr(Compressible, "compress", counted)
    return seen


@pytest.mark.parametrize("scale", [1e-10, 1e10])
def test_norms_are_those_of_sixty_digits_out_to_ten_to_the_five_hundred(scale):
    factors = [scale * factor for factor in gaussian(4, 50)]
    norms = chain_norms(along(factors), 50, np.eye(4))
    expected = product_log10_norms(
        [factor.T for factor in reversed(factors)]
    )  # a transposed product grows there
    assert abs(expected[-1]) > 490
    assert relative(norms.two, expected).max() < 1e-11


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_a_single_factor_may_reach_either_end_of_the_doubles(scale):
    factors = [scale * rotation for rotation in rotations(30, 4)]
    expected = np.log10(scale) * np.arange(1, 5)
    norms = chain_norms(along(factors), 4, np.eye(30))
    assert relative(norms.two, expected).max() < 1e-11
    assert relative(norms.frobenius, expected + 0.5 * np.log10(30)).max() < 1e-11


@pytest.mark.parametrize(
    ("size", "steps", "gain"), [(80, 150, 1.0), (100, 60, 1.0), (90, 100, 0.3), (90, 80, 4)]
)
def test_compressed_products_have_the_norms_of_dense_ones(size, steps, gain, compressions):
    factors = gaussian(size, steps, seed=size, gain=gain)
    norms = chain_norms(along(factors), steps, np.eye(size))
    assert compressions
    assert compressions[-1][1] < size / 2
    assert_right(norms, dense_log10_norms(factors))


def test_exact_takes_no_shortcut_and_agrees(compressions):
    factors = gaussian(80, 60)
    exact = chain_norms(along(factors), 60, np.eye(80), exact=True)
    assert not compressions
    assert_right(exact, dense_log10_norms(factors), 1e-12)
    quick = chain_norms(along(factors), 60, np.eye(80))
    assert_right(quick, (exact.two, exact.frobenius))


DIES = {
    "at_once": {100: 1e-80},
    "exactly": {100: 0.0},
    "gradually": dict.fromkeys(range(60, 120), 0.1),
    "soon_after_the_first_compression": {chain.FIRST_COMPRESSION_LAG + 25: 1e-40},
    "and_comes_back": {100: 1e-60, 120: 1e50},
}


@pytest.mark.parametrize("death", DIES.values(), ids=DIES)
@pytest.mark.parametrize("mixed", [False, True], ids=["unit_start", "mixed_start"])
def test_what_was_dropped_is_found_again_when_the_dominant_block_dies(death, mixed, compressions):
    # B falls off as 0.4^k: by the first compressions it is far under what A keeps, and is dropped.
    steps, lead, other = 150, gaussian(60, 150), gaussian(30, 150, seed=1, gain=0.4)
    factors = [
        block_diagonal(death.get(k, 1.0) * a, b) for k, (a, b) in enumerate(zip(lead, other, strict=True))
    ]
    start = rotations(90, 1)[0] if mixed else np.eye(90)
    norms = chain_norms(along(factors), steps, start)
    assert compressions
    assert min(after for _, after in compressions) < 60
    assert_right(norms, dense_log10_norms(factors, start))
    # the planted case is what it says: the truth is carried by B alone at some lag
    alone = dense_log10_norms(other)[0]
    assert np.any(relative(norms.two, alone) < RELATIVE)


@pytest.mark.parametrize("kill", [1e-70, 0.0])
def test_blocks_that_die_one_after_another_each_leave_the_next_to_be_found(kill):
    steps = 160
    blocks = [gaussian(40, steps, seed, gain) for seed, gain in enumerate((1.0, 0.5, 0.2, 0.1))]
    factors = [
        block_diagonal(*((kill if k == 50 + 30 * place else 1.0) * b for place, b in enumerate(several)))
        for k, several in enumerate(zip(*blocks, strict=True))
    ]
    assert_right(chain_norms(along(factors), steps, np.eye(160)), dense_log10_norms(factors))


@pytest.mark.parametrize("kill", [1e-200, 0.0])
def test_what_was_dropped_first_is_still_watched_after_more_was_dropped(kill, compressions):
    # C is gone by the first compression, B some forty lags later; then A and B die together
    steps, gains = 130, (1.0, 0.7, 0.1)
    lead, second, last = (
        gaussian(size, steps, size, gain) for size, gain in zip((50, 40, 30), gains, strict=True)
    )
    factors = [
        block_diagonal(*((kill if k == 100 else 1.0) * block for block in (a, b)), c)
        for k, (a, b, c) in enumerate(zip(lead, second, last, strict=True))
    ]
    assert_right(chain_norms(along(factors), steps, np.eye(120)), dense_log10_norms(factors))
    assert len(compressions) > 2


def test_a_block_that_dies_within_the_rows_asked_for_is_found_again():
    # the rows see little of A, all of B; A lives on elsewhere, so the whole never falls
    steps = 120
    lead, other = gaussian(60, steps), gaussian(30, steps, seed=1, gain=0.4)
    factors = [block_diagonal(a, b) for a, b in zip(lead, other, strict=True)]
    rows = np.r_[55:90]
    shown = [f.copy() for f in factors]
    shown[80][55:60] *= 1e-60  # at this step the rows that A has among them are as good as dead
    norms = chain_norms(along(shown), steps, np.eye(90), rows=rows)
    assert_right(norms, dense_log10_norms(shown, rows=rows))


@pytest.mark.parametrize("growth", [1.001, 1.0003, 1.00001])
def test_two_blocks_that_overtake_each_other_slowly_never_give_the_smaller(growth):
    # 0.9^k leaves enough columns at first, when the iteration is in charge, and drops all but two in the end
    values, steps = np.r_[1.0, 0.9 * np.linspace(1, 1.0005, 39)], 80
    factor = block_diagonal(np.diag(values), growth * np.diag(values))
    start = np.diag(np.r_[np.ones(40), np.full(40, growth ** -(steps / 2 + 0.5))])
    norms = chain_norms(along([factor] * steps), steps, start)
    expected = np.maximum(0.0, (np.arange(1, steps + 1) - steps / 2 - 0.5) * np.log10(growth))
    assert relative(norms.two, expected).max() <= min(RELATIVE, norms.error + 1e-12)


@pytest.mark.parametrize(
    "values",
    [
        1 - 1e-9 * np.arange(60),
        np.r_[np.ones(30), np.linspace(0, 0.5, 30)],
        np.ones(60),
        np.r_[1, 1 - 1e-13 * np.ones(59)],
        1 - 1e-5 * np.arange(60) ** 2,
    ],
    ids=["gaps_of_1e-9", "thirtyfold", "all_equal", "equal_to_rounding", "square_root_edge"],
)
def test_orthogonal_factors_leave_every_norm_as_it_was_however_close_the_values(values):
    scales = np.random.default_rng(5).uniform(0.5, 2, 60)
    factors = [scale * rotation for scale, rotation in zip(scales, rotations(60, 60), strict=True)]
    norms = chain_norms(along(factors), 60, np.diag(values))
    expected = np.cumsum(np.log10(scales))
    assert relative(norms.two, expected).max() < 1e-11
    assert relative(norms.frobenius, expected + np.log10(np.linalg.norm(values))).max() < 1e-11


@pytest.mark.parametrize("size", [10, 80])
def test_a_nilpotent_factor_gives_an_exact_zero_from_its_order_on(size):
    norms = chain_norms(along([2.0 * np.eye(size, k=1)] * (size + 5)), size + 5, np.eye(size))
    lags = np.arange(1, size)
    np.testing.assert_allclose(norms.two[: size - 1], lags * np.log10(2), rtol=1e-12)
    assert norms.two[size - 1 :].tolist() == [-np.inf] * 6
    assert norms.frobenius[size - 1 :].tolist() == [-np.inf] * 6


@pytest.mark.parametrize("rows", [slice(0, 20), slice(60, 90), np.r_[3:9, 70:90]], ids=str)
def test_a_block_of_rows_has_the_norms_of_the_dense_block(rows, compressions):
    factors, start = gaussian(90, 100), np.eye(90)[:, 10:70]
    norms = chain_norms(along(factors), 100, start, rows=rows)
    assert compressions
    assert_right(norms, dense_log10_norms(factors, start, rows))


@pytest.mark.parametrize("small", [1e-3, 1e-9, 1e-100, 1e-200])
def test_a_block_far_smaller_than_the_whole_keeps_its_digits(small):
    # D J D⁻¹ has the products D P D⁻¹: of its columns ``first`` the rows ``last`` are ``small`` times P's
    factors, first, last = gaussian(90, 60), slice(0, 50), slice(50, 90)
    scales = np.r_[np.ones(50), np.full(40, small)]
    seen = [scales[:, None] * factor / scales for factor in factors]
    start = np.eye(90)[:, first]
    norms = chain_norms(along(seen), 60, start, rows=last)
    expected = np.array(dense_log10_norms(factors, start, last)) + np.log10(small)
    assert_right(norms, expected)


def test_a_block_that_is_exactly_zero_is_nothing_at_every_lag():
    factors = [block_diagonal(a, b) for a, b in zip(gaussian(50, 40), gaussian(40, 40, 1), strict=True)]
    norms = chain_norms(along(factors), 40, np.eye(90)[:, :50], rows=slice(50, 90))
    assert norms.two.tolist() == [-np.inf] * 40
    assert norms.frobenius.tolist() == [-np.inf] * 40


def test_spectral_norms_not_wanted_are_left_nan_and_all_others_unchanged():
    factors = gaussian(80, 60)
    wanted = {1, 7, 30, 60}
    few = chain_norms(along(factors), 60, np.eye(80), wanted=wanted.__contains__)
    places = np.array(sorted(wanted)) - 1
    expected = np.array(dense_log10_norms(factors))
    assert relative(few.two[places], expected[0][places]).max() < RELATIVE
    assert np.isnan(np.delete(few.two, places)).all()
    assert relative(few.frobenius, expected[1]).max() < RELATIVE


def test_lags_not_wanted_are_nan_also_past_an_exact_zero():
    norms = chain_norms(along([np.zeros((3, 3))] * 4), 4, np.eye(3), wanted={2, 4}.__contains__)
    np.testing.assert_array_equal(norms.two, [np.nan, -np.inf, np.nan, -np.inf])


def test_float32_stays_float32_and_is_right_to_five_digits():
    factors, kinds = [factor.astype(np.float32) for factor in gaussian(80, 60)], set()

    def act(k, block):
        kinds.add(block.dtype)
        return factors[k] @ block

    norms = chain_norms(act, 60, np.eye(80, dtype=np.float32))
    assert kinds == {np.dtype("float32")}
    expected = dense_log10_norms([factor.astype(np.float64) for factor in factors])
    assert relative(norms.two, expected[0]).max() < 1e-5
    assert relative(norms.frobenius, expected[1]).max() < 1e-5
    assert norms.error >= relative(norms.two, expected[0]).max() - 1e-6


def test_float32_factors_at_the_end_of_their_range_are_no_zeros():
    factor = np.float32(1e-30) * np.eye(30, dtype=np.float32)
    norms = chain_norms(along([factor] * 5), 5, np.eye(30, dtype=np.float32))
    assert relative(norms.two, np.log10(float(np.float32(1e-30))) * np.arange(1, 6)).max() < 1e-5


def test_the_same_twice_bit_for_bit():
    factors = gaussian(80, 60)
    one, two = (chain_norms(along(factors), 60, np.eye(80)) for _ in range(2))
    np.testing.assert_array_equal(one.two, two.two)
    np.testing.assert_array_equal(one.frobenius, two.frobenius)
    assert one.error == two.error


def dense_log10_frobenius_of_columns(factors, columns):
    """log₁₀ of the Frobenius norm of some columns of every product, multiplied by themselves."""
    return dense_log10_norms(factors, np.eye(len(factors[0]))[:, columns])[1]


@pytest.mark.parametrize("lag", [1, 9, 30, 80])
@pytest.mark.parametrize("size", [60, 300])
@pytest.mark.parametrize("columns", [slice(0, 20), np.r_[1:6, 30:35]], ids=["slice", "places"])
def test_the_norm_of_some_columns_is_right_after_the_columns_were_mixed(size, columns, lag, compressions):
    # of the larger ones a pivoted QR orders the columns, of the smaller ones eigenvectors
    factors = gaussian(size, 80)
    norms = chain_norms(along(factors), 80, np.eye(size), part=columns, part_lag=lag)
    expected = dense_log10_frobenius_of_columns(factors[:lag], columns)
    assert relative(norms.part[lag - 1], expected[-1]) <= RELATIVE
    assert compressions


@pytest.mark.parametrize("share", [1e-3, 1e-8, 1e-14, 1e-30, 0.0])
def test_the_norm_of_columns_far_smaller_than_the_others_keeps_its_digits(share):
    # two blocks that never meet: the columns of the second are smaller by the share from the start
    first, second = gaussian(60, 60), gaussian(30, 60, seed=1)
    factors = [block_diagonal(a, b) for a, b in zip(first, second, strict=True)]
    factors[0][60:] *= share
    norms = chain_norms(along(factors), 60, np.eye(90), part=slice(60, 90))
    expected = dense_log10_frobenius_of_columns(factors, slice(60, 90))
    assert relative(norms.part[-1], expected[-1]) <= RELATIVE


@pytest.mark.parametrize("steps", [45, 50, 93])
def test_a_part_that_grows_and_dies_beside_constant_columns_is_right_or_an_upper_bound(steps):
    # rounding of the part's growth stays in its columns after the part itself has died
    generator = np.random.default_rng(0)
    rotation = np.linalg.qr(generator.standard_normal((20, 20)))[0]
    mixing = np.eye(20) + 0.3 * generator.standard_normal((20, 20))
    factors = []
    for k in range(steps):
        gain = 10.0 if k < 20 else 0.05
        part = gain * (mixing if k < 20 else np.linalg.inv(mixing))
        factors.append(block_diagonal(part, rotation))
    norms = chain_norms(along(factors), steps, np.eye(40), part=slice(0, 20))
    with mpmath.workdps(60):
        product = mpmath.eye(20)
        for factor in factors:
            product = mpmath.matrix(factor[:20, :20].tolist()) * product
        expected = float(mpmath.log10(mpmath.mnorm(product, "f")))
    off = relative(norms.part[-1], expected)
    assert off <= norms.error + 1e-12 or (norms.part_bounds[-1] and norms.part[-1] >= expected)
