"""Many small products at once are what each is alone."""

import numpy as np
import pytest

from gradflow.linalg import batch
from gradflow.linalg.batch import batch_norms
from gradflow.linalg.chain import chain_norms
from gradflow.linalg.scaled import number

# Two routes to one number, each right to n·eps; 1e-12 is what is promised.
RELATIVE = 1e-12
STEPS = 80


def agree(found, expected, within=RELATIVE):
    """Whether norms given by their log₁₀ agree, relative; an exact 0 only with an exact 0."""
    with np.errstate(invalid="ignore"):
        apart = np.where(np.equal(found, expected), 0.0, found - expected)
    return np.abs(np.expm1(apart * np.log(10))).max() <= within


def factors(scales, size=6, steps=STEPS, seed=0):
    """Random factors, shape (steps, seeds, size, size), each seed's of its own scale."""
    draws = np.random.default_rng(seed).standard_normal((steps, len(scales), size, size))
    return np.asarray(scales)[:, None, None] * draws


@pytest.mark.parametrize("rows", [slice(None), slice(2, 5), np.r_[0, 4]], ids=["all", "slice", "index"])
def test_every_seed_is_what_its_chain_is_whatever_the_scales(rows):
    several = factors([1.0, 1e-5, 1e5, 0.3, 0.0])
    start = np.eye(6)[:, :4]
    found = batch_norms(lambda k, b: several[k] @ b, STEPS, np.stack([start] * 5), rows=rows)
    for seed in range(5):
        alone = chain_norms(lambda k, b, seed=seed: several[k, seed] @ b, STEPS, start, rows=rows, exact=True)
        assert agree(found.two[seed], alone.two)
        assert agree(found.frobenius[seed], alone.frobenius)
    assert found.two[1, -1] < -350
    assert found.two[2, -1] > 350
    assert found.two[4].tolist() == [-np.inf] * STEPS


def test_a_seed_that_becomes_zero_does_not_disturb_the_others():
    several = factors([1.0, 1.0])
    several[40, 1] = 0.0
    found = batch_norms(lambda k, b: several[k] @ b, STEPS, np.stack([np.eye(6)] * 2))
    assert np.isfinite(found.two[1, :40]).all()
    assert found.two[1, 40:].tolist() == [-np.inf] * 40
    alone = chain_norms(lambda k, b: several[k, 0] @ b, STEPS, np.eye(6), exact=True)
    assert agree(found.two[0], alone.two)


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e170, 1e300])
def test_a_single_factor_may_reach_either_end_of_the_doubles(scale):
    orthogonal = np.linalg.qr(factors([1.0], steps=1)[0, 0])[0]
    found = batch_norms(lambda k, b: scale * orthogonal @ b, 4, np.stack([np.eye(6)] * 2))
    # a logarithm of 1200 has an eps of 2e-13
    np.testing.assert_allclose(found.two, [np.log10(scale) * np.arange(1, 5)] * 2, rtol=1e-13)


@pytest.mark.parametrize("small", [1e-9, 1e-100, 1e-200])
def test_a_block_far_smaller_than_the_whole_keeps_its_digits(small):
    several = factors([1.0])
    scales = np.r_[np.ones(3), np.full(3, small)]
    start = np.eye(6)[None, :, :3]

    def norms(these):
        return batch_norms(lambda k, b: these[k] @ b, STEPS, start, rows=slice(3, 6))

    expected = norms(several).two + number(small).log10()
    assert agree(norms(scales[:, None] * several / scales).two, expected)


def test_measuring_in_stretches_is_measuring_at_once(monkeypatch):
    several = factors([1.0, 0.5])

    def norms():
        return batch_norms(lambda k, b: several[k] @ b, STEPS, np.stack([np.eye(6)] * 2))

    whole = norms()
    monkeypatch.setattr(batch, "MAX_PENDING_ENTRIES", 200)
    stretches = norms()
    assert agree(stretches.two, whole.two)
    assert agree(stretches.frobenius, whole.frobenius)


@pytest.mark.parametrize("part", [slice(0, 2), np.r_[1, 3], slice(None)], ids=["slice", "index", "all"])
def test_the_norm_of_a_part_of_the_columns_is_that_of_these_columns_alone(part):
    several = factors([1.0, 1e-5, 1e5, 0.0])
    start = np.stack([np.eye(6)[:, :4]] * 4)
    found = batch_norms(lambda k, b: several[k] @ b, STEPS, start, part=part, wanted=lambda lag: lag == 7)
    for seed in range(4):
        alone = chain_norms(
            lambda k, b, seed=seed: several[k, seed] @ b, STEPS, start[0][:, part], exact=True
        )
        assert agree(found.part[seed], alone.frobenius)
    assert np.isfinite(found.two[0]).tolist() == [lag == 7 for lag in range(1, STEPS + 1)]
    assert not found.part_bounds.any()


@pytest.mark.parametrize("small", [1e-9, 1e-20, 1e-200])
def test_columns_far_smaller_than_the_others_keep_their_digits(small):
    # the last three units feed nothing but themselves, and their columns shrink at every step
    several = factors([1.0, 0.5])
    several[..., :3, 3:] = several[..., 3:, :3] = 0.0
    several[:4, ..., 3:, 3:] *= small**0.25
    start = np.stack([np.eye(6)] * 2)
    found = batch_norms(lambda k, b: several[k] @ b, STEPS, start, part=slice(3, 6))
    for seed in range(2):
        alone = chain_norms(
            lambda k, b, seed=seed: several[k, seed, 3:, 3:] @ b, STEPS, np.eye(3), exact=True
        )
        assert agree(found.part[seed], alone.frobenius)
    assert not found.part_bounds.any()
    assert found.error <= 1e-4  # with less, the columns are multiplied by themselves


def test_a_part_that_is_0_by_structure_is_exactly_0_beside_others_that_are_not():
    several = factors([1.0, 2.0])
    several[..., 3] = 0.0
    found = batch_norms(lambda k, b: several[k] @ b, STEPS, np.stack([np.eye(6)] * 2), part=slice(3, 4))
    assert np.isneginf(found.part).all()
    assert np.isfinite(found.two).all()
    assert not found.part_bounds.any()
