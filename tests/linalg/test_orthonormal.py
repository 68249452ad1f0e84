"""Growth of volumes along a product: against more digits, closed forms, and products made to lose digits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradflow.errors import NumericalError
from gradflow.linalg.orthonormal import MAX_STEPS_BETWEEN_QR, Frame, factor_block, factor_graded_block
from gradflow.linalg.products import Dense
from tests.slow import product_triangle_logs, triangle_logs

# What is promised, in nats per step. A step J Q = Q′R in doubles is right to eps cond(J): conditions, but
# for those that scaling the rows undoes, stay under some 1e7 here.
PER_STEP = 1e-8


def ginibre(size, steps, seed=0):
    return np.random.default_rng(seed).standard_normal((steps, size, size)) / math.sqrt(size)


def rotations(size, steps, seed=0):
    return np.linalg.qr(ginibre(size, steps, seed))[0]


def graded(lowest):
    """Rows from 1 down to ``lowest``."""
    return lambda size, steps: np.geomspace(1.0, lowest, size)[:, None] * ginibre(size, steps)


ENSEMBLES = {
    "ginibre": ginibre,
    "graded_rows": graded(1e-6),
    "graded_columns": lambda size, steps: ginibre(size, steps) * np.geomspace(1.0, 1e-3, size),
    "orthogonal": rotations,
    "orthogonal_and_noise": lambda size, steps: rotations(size, steps) + 1e-6 * ginibre(size, steps, 1),
    "near_the_identity": lambda size, steps: np.eye(size) + 1e-3 * ginibre(size, steps),
    "near_degenerate": lambda size, steps: np.diag(1 - 1e-7 * np.arange(size)) + 1e-9 * ginibre(size, steps),
    "near_rank_one": lambda size, steps: np.ones((size, size)) + 1e-4 * ginibre(size, steps),
    "one_matrix": lambda size, steps: np.repeat(ginibre(size, 1), steps, axis=0),
    "never_alike": lambda size, steps: (
        10.0 ** np.random.default_rng(2).uniform(-20, 20, (steps, 1, 1)) * ginibre(size, steps)
    ),
}


def carried(factors, count=None, seed=3, start=None):
    """A frame at the end of the factors, all given at once, and where it began."""
    size = factors.shape[-1]
    frame = Frame(size, count or size, np.random.default_rng(seed))
    if start is not None:
        frame.columns = start
    first = frame.columns.copy()
    frame.advance([Dense(factor) for factor in factors])
    return frame, first


def assert_sum_rule(frame, factors):
    """Σ ln r_ii = Σ ln |det J|."""
    expected = np.linalg.slogdet(factors)[1].sum()
    assert abs(frame.logs.sum() - expected) <= PER_STEP * len(factors)


@pytest.mark.parametrize("ensemble", ENSEMBLES.values(), ids=ENSEMBLES)
def test_blocks_of_steps_give_what_a_qr_of_each_step_gives_in_more_digits(ensemble):
    for size, steps in ((2, 60), (8, 60), (32, 30)):
        factors = ensemble(size, steps)
        frame, first = carried(factors)
        assert np.abs(frame.logs - triangle_logs(factors, first)).max() <= PER_STEP * steps
        assert_sum_rule(frame, factors)


@pytest.mark.parametrize("ensemble", ENSEMBLES.values(), ids=ENSEMBLES)
def test_columns_are_orthonormal_at_the_end_of_every_advance(ensemble):
    frame = Frame(12, 7, np.random.default_rng(0))
    for factors in np.split(ensemble(12, 60), [1, 2, 9, 40]):
        frame.advance([Dense(factor) for factor in factors])
        # Householder: n k eps
        np.testing.assert_allclose(frame.columns.T @ frame.columns, np.eye(7), atol=1e-13)


def test_a_hundred_and_twenty_eight_columns_grow_as_numpys_qr_of_each_step_has_it():
    factors = ginibre(128, 200)
    frame, columns = carried(factors)
    logs = np.zeros(128)
    for factor in factors:
        columns, upper = np.linalg.qr(factor @ columns)
        logs += np.log(np.abs(np.diagonal(upper)))
    assert np.abs(frame.logs - logs).max() <= PER_STEP * 200
    assert_sum_rule(frame, factors)


@pytest.mark.parametrize("ensemble", ENSEMBLES.values(), ids=ENSEMBLES)
@pytest.mark.parametrize("size", [8, 32])
def test_leading_columns_do_not_know_whether_others_follow(ensemble, size):
    factors, count = ensemble(size, 80), size // 4
    whole, first = carried(factors)
    few, _ = carried(factors, count, start=first[:, :count])
    assert np.abs(few.logs - whole.logs[:count]).max() <= PER_STEP * 80
    assert_sum_rule(whole, factors)


def test_how_the_steps_are_handed_over_makes_no_difference():
    factors = ginibre(10, 150)
    together, _ = carried(factors)
    frame = Frame(10, 10, np.random.default_rng(3))
    for k in range(0, 150, 7):
        frame.advance([Dense(factor) for factor in factors[k : k + 7]])
    assert np.abs(frame.logs - together.logs).max() <= PER_STEP * 150
    assert_sum_rule(frame, factors)


def test_steps_that_keep_columns_apart_are_taken_many_at_once():
    counted = []

    class Counted(Dense):
        def matmat(self, block):
            counted.append(1)
            return super().matmat(block)

    frame, few = Frame(6, 6, np.random.default_rng(0)), []
    keep = frame._store_columns
    frame._store_columns = lambda *found: (few.append(1), keep(*found))
    frame.advance([Counted(rotation) for rotation in rotations(6, 10 * MAX_STEPS_BETWEEN_QR)])
    assert len(counted) == 10 * MAX_STEPS_BETWEEN_QR  # no step is taken twice
    assert len(few) <= 10 + math.log2(MAX_STEPS_BETWEEN_QR) + 1
    assert np.abs(frame.logs).max() <= 1e-12


@pytest.mark.parametrize("transform", ["as_it_is", "reversed", "transposed"])
def test_the_first_factor_is_applied_first(transform):
    factors = np.array([[[1.0, 2.0], [0.0, 1.0]], [[1.0, 0.0], [3.0, 1.0]], [[2.0, 1.0], [1.0, 0.2]]])
    frame, first = carried(factors)
    expected = product_triangle_logs(factors, first, 40)
    other = {"as_it_is": factors, "reversed": factors[::-1], "transposed": factors.transpose(0, 2, 1)}
    found, _ = carried(other[transform], start=first)
    apart = np.abs(found.logs - expected).max()
    assert apart < 1e-14 if transform == "as_it_is" else apart > 0.1
    assert_sum_rule(frame, factors)


SLOPES = {
    "one_of_1e-30": [1, 1, 1, 1, 1, 1e-30],
    "one_of_1e-300": [1, 1, 1e-300, 1, 1, 1],
    "the_first_alone_alive": [1, 1e-30, 1e-30, 1e-30, 1e-30, 1e-30],
    "a_ladder": [1e-50, 1e-40, 1e-30, 1e-20, 1e-10, 1],
    "all_small_but_alike": [1e-30] * 6,
}


@pytest.mark.parametrize("slopes", SLOPES.values(), ids=SLOPES)
def test_rows_of_any_size_keep_their_digits(slopes):
    # diag(φ′) W of a saturated network, the rows in another order at every step
    generator = np.random.default_rng(8)
    scales = np.array([generator.permutation(slopes) for _ in range(30)])
    factors = scales[:, :, None] * ginibre(6, 30, 4)
    frame, first = carried(factors)
    lost = -np.log10(scales).sum()  # digits between the largest and the smallest volume
    expected = product_triangle_logs(factors, first, int(lost) + 60)
    assert np.abs(frame.logs - expected).max() <= PER_STEP * 30
    total = np.log(scales).sum() + np.linalg.slogdet(ginibre(6, 30, 4))[1].sum()
    assert frame.logs.sum() == pytest.approx(total, rel=1e-13, abs=1e-10)


@pytest.mark.parametrize("small", [1e-10, 1e-30, 1e-150])
def test_diagonal_times_rotations_has_the_volume_of_the_diagonal(small):
    scales = np.r_[np.ones(5), np.full(4, small)]
    frame, _ = carried(scales[:, None] * rotations(9, 100))
    assert frame.logs.sum() == pytest.approx(400 * math.log(small), rel=1e-13)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 2.0**1000, 2.0**-1000])
def test_a_scale_of_every_step_adds_its_logarithm_and_nothing_else(scale):
    factors = ginibre(7, 90)
    plain, scaled = carried(factors)[0].logs, carried(scale * factors)[0].logs
    # a sum of 90 logarithms of some 500 to 700 each, rounded at every step
    np.testing.assert_allclose(scaled - 90 * math.log(scale), plain, rtol=0, atol=PER_STEP)


def test_scales_that_come_and_go_add_up():
    scales = 10.0 ** np.random.default_rng(1).uniform(-250, 250, 90)
    factors = ginibre(7, 90)
    plain, scaled = carried(factors)[0].logs, carried(scales[:, None, None] * factors)[0].logs
    np.testing.assert_allclose(scaled - np.log(scales).sum(), plain, rtol=0, atol=PER_STEP)


def test_large_doubles_are_no_overflow_yet_but_their_sum_is():
    frame, _ = carried(np.tile(8e307 * np.eye(3), (5, 1, 1)))
    np.testing.assert_allclose(frame.logs, 5 * math.log(8e307), rtol=1e-14)
    with pytest.raises(NumericalError, match="overflows within one step"):
        # what is left of the first step is ones/3, and nine times 8e307/3 is too much
        carried(np.array([1.0, 8e307])[:, None, None] * np.ones((2, 9, 9)))


def shift(size):
    return np.eye(size, k=1)


def projection(rank, size, steps):
    """Factors of that rank, up to the rounding of a product of two."""
    return ginibre(size, steps)[:, :, :rank] @ ginibre(size, steps, 1)[:, :rank]


def zero_column(size, steps, place):
    factors = rotations(size, steps)
    factors[place, :, 2] = 0
    return factors


SINGULAR = {
    "zero": (np.zeros((4, 5, 5)), 0),
    "one_zero_among_many": (np.concatenate([ginibre(5, 9), np.zeros((1, 5, 5)), ginibre(5, 9)]), 0),
    "rank_one": (np.tile(np.outer(np.arange(1.0, 6), np.ones(5)), (20, 1, 1)), 1),
    "rank_three_of_eight": (projection(3, 8, 50), 3),
    "rank_seven_of_eight": (projection(7, 8, 50), 7),
    "a_zero_column_at_first": (zero_column(6, 41, 0), 5),
    "a_zero_row_in_the_end": (zero_column(6, 41, 0).transpose(0, 2, 1)[::-1], 5),
    "shift_not_yet_nothing": (np.tile(shift(6), (4, 1, 1)), 2),
    "shift_as_often_as_its_size": (np.tile(shift(6), (6, 1, 1)), 0),
    "dead_units": (np.r_[1.0, 0, 1, 0, 1][:, None] * ginibre(5, 30), 3),
    "dead_units_that_change": (np.array([[1.0, 0, 1, 1], [1, 1, 0, 1]] * 9)[:, :, None] * ginibre(4, 18), 3),
    "tiny_and_dead": (np.r_[1.0, 1e-30, 1e-60, 0][:, None] * ginibre(4, 20), 3),
}


@pytest.mark.parametrize(("factors", "rank"), SINGULAR.values(), ids=SINGULAR)
def test_as_many_columns_live_as_the_product_has_rank(factors, rank):
    for parts in ([factors], factors[:, None]):  # at once, and step by step
        frame = Frame(factors.shape[-1], factors.shape[-1], np.random.default_rng(3))
        for part in parts:
            frame.advance([Dense(factor) for factor in part])
        check_living(frame, factors.shape[-1], rank)


def check_living(frame, size, rank):
    assert not np.isnan(frame.logs).any()
    assert np.isfinite(frame.logs).tolist() == [True] * rank + [False] * (size - rank)
    assert frame.alive.tolist() == list(range(rank))
    assert frame.columns.shape == (size, rank)
    np.testing.assert_allclose(frame.columns.T @ frame.columns, np.eye(rank), atol=1e-13)


@pytest.mark.parametrize("size", [2, 4, 8, 32])
def test_a_zero_column_in_the_middle_kills_one_direction_whatever_the_seed(size):
    # what is left of the dead column is rounding, blown up by whatever stands before it
    for seed in range(25):
        factors = np.random.default_rng(seed).standard_normal((21, size, size))
        factors[10, :, 1] = 0
        frame = Frame(size, size, np.random.default_rng(seed))
        frame.advance([Dense(factor) for factor in factors])
        assert np.isfinite(frame.logs).tolist() == [True] * (size - 1) + [False], seed


@pytest.mark.parametrize("size", [2, 6, 32, 100])
def test_a_matrix_of_half_the_rank_keeps_half_of_the_columns_whatever_the_seed(size):
    for seed in range(25):
        generator = np.random.default_rng(seed)
        half = generator.standard_normal((size, size // 2)) @ generator.standard_normal((size // 2, size))
        frame = Frame(size, size, generator)
        frame.advance([Dense(half)])
        assert frame.alive.tolist() == list(range(size // 2)), seed


def test_an_entry_next_to_the_largest_double_is_no_overflow():
    frame = Frame(3, 3, np.random.default_rng(3))
    frame.advance([Dense(1.7e308 * np.eye(3))] * 4)
    np.testing.assert_allclose(frame.logs / 4, math.log(1.7e308), rtol=1e-14)


def test_columns_that_live_on_measure_what_is_left():
    # rank 3 by construction: A_t B_t, so the product is A_T (B_T A_{T−1}) ⋯ (B_2 A_1) B_1 Q_0
    a, b = ginibre(8, 40)[:, :, :3], ginibre(8, 40, 1)[:, :3]
    frame, first = carried(a @ b)
    inner = b[1:] @ a[:-1]
    total = np.linalg.slogdet(inner)[1].sum()
    total += np.linalg.slogdet(b[0] @ first[:, :3])[1] + np.log(np.linalg.svd(a[-1])[1]).sum()
    assert frame.logs[:3].sum() == pytest.approx(total, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6), st.integers(-200, 200))
def test_q_times_r_is_the_block(size, count, seed, exponent):
    count = min(size, count)
    block = math.ldexp(1.0, exponent) * np.random.default_rng(seed).standard_normal((size, count))
    plain, step = factor_block(block), factor_graded_block(block)
    assert step.living.tolist() == list(range(count))
    for found, scale in ((plain, 1.0), (step.triangle, math.ldexp(1.0, step.shift))):
        np.testing.assert_allclose(found.columns.T @ found.columns, np.eye(count), atol=1e-13)
        upper = found.columns.T @ (block / scale)
        np.testing.assert_allclose(np.tril(upper, -1), 0, atol=1e-13 * np.abs(block / scale).max())
        np.testing.assert_allclose(np.abs(np.diagonal(upper)), found.diagonal, rtol=1e-8)
        np.testing.assert_allclose(found.columns @ upper, block / scale, atol=1e-13 * np.abs(upper).max())


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_an_entry_that_is_not_finite_is_refused(wrong):
    block = np.eye(3)
    block[1, 2] = wrong
    with pytest.raises(NumericalError, match="overflows within one step"):
        factor_graded_block(block)


def test_the_same_seed_gives_the_same_bits_and_another_another_start():
    factors = ginibre(6, 50)
    one, two, other = (carried(factors, seed=seed)[0].logs for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-6
