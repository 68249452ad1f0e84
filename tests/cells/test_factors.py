"""Every cell's Jacobian factor: against differences, its own dense form, and its own adjoint."""

import numpy as np
import pytest

from gradflow.cells import CELLS
from gradflow.cells.activations import ACTIVATIONS
from gradflow.cells.spec import parse_cell
from tests.slow import central_differences

VARIANTS = {
    "rnn": ["rnn", *(f"rnn:activation={name}" for name in ACTIVATIONS), "rnn:init=orthogonal,gain=1.5"],
    "lstm": ["lstm", "lstm:forget_bias=2", "lstm:init=orthogonal,gain=2"],
}
SPECS = [spec for variants in VARIANTS.values() for spec in variants]


def test_every_cell_is_tested_here():
    assert set(VARIANTS) == set(CELLS)


@pytest.fixture(params=SPECS)
def stepped(request):
    """A cell, a state, an input, and the factor at that state."""
    generator = np.random.default_rng(11)
    cell = parse_cell(request.param).make(5, 3, generator)
    state, x = generator.standard_normal(cell.state_size), generator.standard_normal(3)
    return cell, state, x, cell.step(state, x)[1]


def test_factor_is_the_derivative_of_the_step(stepped):
    cell, state, x, factor = stepped
    expected = central_differences(lambda s: cell.step(s, x)[0], state)
    np.testing.assert_allclose(factor.todense(), expected, atol=2e-10)


def test_matmat_and_rmatmat_are_the_dense_matrix_and_its_transpose(stepped):
    cell, _, _, factor = stepped
    block = np.random.default_rng(1).standard_normal((cell.state_size, 4))
    np.testing.assert_allclose(factor.matmat(block), factor.todense() @ block, atol=1e-14)
    np.testing.assert_allclose(factor.rmatmat(block), factor.todense().T @ block, atol=1e-14)
    assert factor.size == cell.state_size


def test_adjoint_by_the_dot_test(stepped):
    cell, _, _, factor = stepped
    generator = np.random.default_rng(2)
    u, v = generator.standard_normal((2, cell.state_size, 1))
    forward, backward = (v.T @ factor.matmat(u)).item(), (factor.rmatmat(v).T @ u).item()
    assert forward == pytest.approx(backward, rel=1e-13, abs=1e-14)


def test_step_keeps_its_shapes(stepped):
    cell, state, x, factor = stepped
    following, _ = cell.step(state, x)
    assert following.shape == (cell.state_size,)
    assert factor.todense().shape == (cell.state_size, cell.state_size)
    assert cell.input_size == 3
