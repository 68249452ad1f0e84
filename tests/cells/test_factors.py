"""Every cell's Jacobian factor: against differences, its own dense form, and its own adjoint."""

import itertools

import numpy as np
import pytest

from gradflow.cells import CELLS
from gradflow.cells.activations import ACTIVATIONS
from gradflow.cells.spec import parse_cell
from gradflow.cells.stack import Stack
from gradflow.errors import DataError
from tests.slow import central_differences

VARIANTS = {
    "rnn": [
        *(f"rnn:activation={name}" for name in ACTIVATIONS),
        "rnn:init=orthogonal,gain=1.5",
        "rnn:layers=3",
    ],
    "lstm": [
        "lstm:forget_bias=2",
        "lstm:peephole=on",
        "lstm:coupled=on",
        "lstm:forget_gate=off",
        "lstm:projection=2",
        "lstm:projection=5,peephole=on,coupled=on",
        "lstm:layers=2",
        "lstm:layers=3,projection=3,peephole=on",
    ],
    "leaky": [
        "leaky",
        "leaky:a=1",
        "leaky:a=0.3,activation=relu",
        "leaky:a=0.2,layers=3",
    ],
    "gru": ["gru:update_bias=1", "gru:reset=before", "gru:layers=2", "gru:reset=before,layers=2"],
}
SPECS = [spec for variants in VARIANTS.values() for spec in variants]


def test_every_cell_is_tested_here():
    assert set(VARIANTS) == set(CELLS)


SIZE, FEATURES, STEPS = 5, 3, 4


@pytest.fixture(params=SPECS)
def walked(request):
    """A cell, its states from a random one, its inputs, and its factor at every step."""
    generator = np.random.default_rng(11)
    cell = parse_cell(request.param).make(SIZE, FEATURES, generator)
    inputs = generator.standard_normal((STEPS, FEATURES))
    states = cell.run(inputs, generator.standard_normal(cell.state_size))
    return cell, states, inputs, cell.linearize(states, inputs)


def test_factor_is_the_derivative_of_the_step(walked):
    cell, states, inputs, factor = walked
    for t in range(STEPS):
        expected = central_differences(lambda s, t=t: cell.run(inputs[t : t + 1], s)[1], states[t])
        np.testing.assert_allclose(factor.at(t).todense(), expected, atol=2e-9)


def test_input_factor_is_the_derivative_by_the_input(walked):
    cell, states, inputs, factor = walked
    if isinstance(cell, Stack):
        with pytest.raises(NotImplementedError):
            factor.at(0).input_matmat(np.eye(FEATURES))
        return
    for t in range(STEPS):
        expected = central_differences(lambda x, t=t: cell.run(x[None], states[t])[1], inputs[t])
        np.testing.assert_allclose(factor.at(t).input_matmat(np.eye(FEATURES)), expected, atol=2e-9)
        found = factor.at(t).input_rmatmat(np.eye(cell.state_size))
        np.testing.assert_allclose(found, expected.T, atol=2e-9)


def test_matmat_and_rmatmat_are_the_dense_matrix_and_its_transpose(walked):
    cell, _, _, factor = walked
    last = factor.at(STEPS - 1)
    for columns in (1, 40):
        block = np.random.default_rng(1).standard_normal((cell.state_size, columns))
        np.testing.assert_allclose(last.matmat(block), last.todense() @ block, atol=1e-13)
        np.testing.assert_allclose(last.rmatmat(block), last.todense().T @ block, atol=1e-13)
    assert last.size == cell.state_size


def test_solve_and_rsolve_undo_matmat_and_rmatmat(walked):
    cell, _, _, factor = walked
    last = factor.at(STEPS - 1)
    block = np.random.default_rng(3).standard_normal((cell.state_size, 2))
    condition = np.linalg.cond(last.todense())
    if condition > 1e12:  # relu: a dead unit is a row of zeros
        with pytest.raises(np.linalg.LinAlgError):
            last.solve(block)
        with pytest.raises(np.linalg.LinAlgError):
            last.rsolve(block)
        assert "relu" in str(cell)
        return
    allowed = 100 * condition * np.finfo(float).eps
    np.testing.assert_allclose(last.matmat(last.solve(block)), block, atol=allowed)
    np.testing.assert_allclose(last.rmatmat(last.rsolve(block)), block, atol=allowed)


def test_a_batch_of_draws_is_what_each_is_alone(walked):
    cell, _, _, _ = walked
    other = cell.with_weights(lambda weights: 0.5 * weights[0])
    together = cell.with_weights(np.stack, [other])
    inputs = np.random.default_rng(4).standard_normal((2, STEPS, FEATURES))
    states = together.run(inputs)
    factor = together.linearize(states, inputs).at(2)
    block = np.random.default_rng(5).standard_normal((2, cell.state_size, 3))
    for k, alone in enumerate([cell, other]):
        own = alone.run(inputs[k])
        np.testing.assert_allclose(states[k], own, rtol=0, atol=1e-14)
        one = alone.linearize(own, inputs[k]).at(2)
        np.testing.assert_allclose(factor.todense()[k], one.todense(), atol=1e-14)
        np.testing.assert_allclose(factor.matmat(block)[k], one.matmat(block[k]), atol=1e-13)
        np.testing.assert_allclose(factor.rmatmat(block)[k], one.rmatmat(block[k]), atol=1e-13)


def test_float32_stays_float32(walked):
    cell, _, inputs, _ = walked
    single = cell.astype(np.dtype("float32"))
    states = single.run(inputs.astype(np.float32))
    factor = single.linearize(states, inputs.astype(np.float32)).at(0)
    block = np.eye(cell.state_size, dtype=np.float32)
    kinds = {states.dtype, factor.todense().dtype, factor.matmat(block).dtype, factor.rmatmat(block).dtype}
    assert kinds == {np.dtype("float32")}
    assert factor.dtype == np.float32
    np.testing.assert_allclose(states, cell.run(inputs), atol=1e-4)


def test_parts_cover_the_state_once(walked):
    cell, states, _, _ = walked
    places = np.concatenate([np.arange(cell.state_size)[part] for part in cell.parts.values()])
    assert sorted(places) == list(range(cell.state_size))
    assert states.shape == (STEPS + 1, cell.state_size)


@pytest.mark.parametrize("spec", ["rnn", "lstm", "gru", "leaky", "lstm:layers=2"])
def test_a_weight_that_is_not_finite_is_refused_with_its_place(spec):
    cell = parse_cell(spec).make(2, 2, np.random.default_rng(0))

    def spoiled(weights):
        broken = weights[0].copy()
        broken.flat[1] = np.nan
        return broken

    with pytest.raises(DataError, match=r"weight_ih\[0, 1\] is nan in float64; expected finite"):
        cell.with_weights(spoiled)


def test_log_abs_dets_are_those_of_the_dense_matrices(walked):
    _, _, _, factor = walked
    dense = np.stack([factor.at(t).todense() for t in range(STEPS)])
    even = dense / np.abs(dense).max(axis=-1, keepdims=True).clip(1e-300)
    for found, matrix, condition in zip(
        factor.log_abs_dets(), dense, np.linalg.cond(even).clip(1), strict=True
    ):
        expected = np.linalg.slogdet(matrix)[1]
        # a pivot is right to eps and the condition, rows having been evened out: relu's dead units have none
        assert (
            found == expected or abs(found - expected) < 100 * len(matrix) * condition * np.finfo(float).eps
        )


def test_log_abs_dets_of_a_batch_are_those_of_each_draw(walked):
    cell, _, _, _ = walked
    other = cell.with_weights(lambda weights: 0.5 * weights[0])
    together = cell.with_weights(np.stack, [other])
    inputs = np.random.default_rng(4).standard_normal((2, STEPS, FEATURES))
    found = together.linearize(together.run(inputs), inputs).log_abs_dets()
    assert found.shape == (2, STEPS)
    for k, alone in enumerate([cell, other]):
        own = alone.linearize(alone.run(inputs[k]), inputs[k]).log_abs_dets()
        np.testing.assert_allclose(found[k], own, rtol=1e-10, atol=1e-9)


def test_the_stages_one_after_the_other_are_the_matrix(walked):
    cell, _, _, factor = walked
    for t, columns in itertools.product(range(STEPS), (1, 40)):
        block = np.random.default_rng(6).standard_normal((cell.state_size, columns))
        one = factor.at(t)
        staged = one.apply_mixing(one.apply_graded(one.apply_scale(block)))
        np.testing.assert_allclose(staged, one.todense() @ block, atol=1e-13)


def test_stages_have_the_determinants_that_they_claim(walked):
    # det L = ±1, D diagonal: ln |det Z D| is all of it
    cell, _, _, factor = walked
    eye, one = np.eye(cell.state_size), factor.at(1)
    scaled, graded, mixed = one.apply_scale(eye), one.apply_graded(eye), one.apply_mixing(eye)
    np.testing.assert_array_equal(scaled, np.diag(np.diagonal(scaled)))
    assert np.linalg.slogdet(mixed)[1] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_array_equal(np.diagonal(mixed), 1)
    if not one.has_stages:
        np.testing.assert_array_equal(scaled, eye)
        np.testing.assert_array_equal(mixed, eye)
    elif not np.array_equal(scaled @ mixed, eye):
        with np.errstate(divide="ignore"):
            total = np.linalg.slogdet(graded)[1] + np.log(np.abs(np.diagonal(scaled))).sum()
        dets = factor.log_abs_dets()[1]
        assert total == dets or total == pytest.approx(dets, abs=1e-9)


@pytest.mark.parametrize(
    "spec", ["lstm:forget_bias=-200", "lstm:forget_bias=-200,layers=2", "lstm:forget_bias=-30"]
)
def test_what_the_dense_matrix_rounds_away_the_determinant_keeps(spec):
    # det ∂[h'; c']/∂[h; c] = ∏ k ∏ q det U_o, k = σ(z_f) next to nothing: by hand from gates and weights
    cell = parse_cell(spec).make(SIZE, FEATURES, np.random.default_rng(0))
    inputs = np.random.default_rng(1).standard_normal((STEPS, FEATURES))
    states = cell.run(inputs)
    found = cell.linearize(states, inputs).log_abs_dets()
    expected = np.zeros(STEPS)
    for layer, own, fed in cell.split_layers(states, inputs):
        gates = {gate.name: gate.values for gate in layer.gates(own, fed)}
        c = own[1:, SIZE:]
        slope = gates["o"] * (1 - gates["o"]) * np.abs(np.tanh(c))
        weights = layer.weight_hh[3 * SIZE :]
        expected += np.log(gates["f"]).sum(axis=1) + np.log(slope).sum(axis=1)
        expected += np.linalg.slogdet(weights)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
