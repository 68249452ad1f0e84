"""A spectrum that does not add up to the mean of ln |det J| is no result."""

import math

import numpy as np
import pytest

import gradflow
from gradflow.errors import NumericalError
from gradflow.linalg import orthonormal

STACK = np.random.default_rng(0).standard_normal((200, 4, 4))


@pytest.mark.parametrize("share", [1e-4, 1e-2, 1.0])
def test_wrong_exponents_are_refused_with_both_sums(monkeypatch, share):
    right = gradflow.lyapunov(jacobians=STACK)
    reflect = orthonormal.reflect_block
    monkeypatch.setattr(
        orthonormal,
        "reflect_block",
        lambda block: (found := reflect(block))._replace(diagonal=found.diagonal * (1 + share)),
    )
    with pytest.raises(NumericalError, match="sum rule fails") as refused:
        gradflow.lyapunov(jacobians=STACK)
    assert f"{right.mean_log_abs_det:.6g}" in str(refused.value)
    # leading exponents alone have nothing to be compared with
    assert math.isfinite(gradflow.lyapunov(jacobians=STACK, count=1).largest)


@pytest.mark.parametrize("decades", [2, 4, 6, 7, 8, 9])
@pytest.mark.parametrize("size", [2, 3, 8])
def test_ill_conditioned_jacobians_are_no_failure_and_rounding_that_shows_is_told(decades, size):
    generator = np.random.default_rng([decades, size])
    turns = np.linalg.qr(generator.standard_normal((2, 100, size, size)))[0]
    found = gradflow.lyapunov(jacobians=turns[0] * np.logspace(-decades, decades, size) @ turns[1])
    told = any("rounding shows" in note for note in found.notes)
    size = 1 + np.abs(found.exponents.exponent).sum()
    assert told == (np.isfinite(found.sum) and found.sum_rule_error > 1e-6 * size)
    # |det| is exactly 1
    if decades <= 4:
        assert abs(found.sum) < 1e-6
