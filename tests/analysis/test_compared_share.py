"""What compare and inspect say of the same weights and inputs is one number, that of the dense product."""

import math

import numpy as np
import pytest

import gradflow
from gradflow.analysis.shared.product_norms import MAX_BATCHED_STATE

STEPS = 40


def checkpoint(gates, hidden):
    """An lstm, a gru or an rnn under torch's names."""
    generator = np.random.default_rng([gates, hidden])
    shapes = {"weight_ih_l0": (gates * hidden, 3), "weight_hh_l0": (gates * hidden, hidden)}
    bound = 2.0 / math.sqrt(hidden)
    arrays = {name: generator.uniform(-bound, bound, shape) for name, shape in shapes.items()}
    return gradflow.from_state_dict(arrays)


def dense_shares(cell, inputs, view):
    """log₁₀ of ‖rows of h‖_F / √H of the product at every lag."""
    factor = cell.linearize(cell.run(inputs), inputs)
    product, logs = np.eye(cell.state_size), []
    for k in range(STEPS):
        step = factor.at(k if view == "forward" else STEPS - 1 - k).todense()
        product = step @ product if view == "forward" else product @ step
        rows = product[cell.output]
        logs.append(math.log10(np.linalg.norm(rows) / math.sqrt(len(rows))))
    return logs


@pytest.mark.parametrize(("gates", "hidden"), [(1, 5), (3, 5), (4, 5), (1, 70), (3, 70), (4, 40)])
def test_compare_inspect_and_the_dense_product_agree(gates, hidden):
    model = checkpoint(gates, hidden)
    inputs = np.random.default_rng(7).standard_normal((STEPS, 3))
    network = model.networks[0]
    cell = network.make_cell()
    assert (cell.state_size <= MAX_BATCHED_STATE) == (hidden == 5)  # many draws at once, or one by one
    backward, forward = (dense_shares(cell, inputs, view) for view in ("backward", "forward"))
    inspected = gradflow.inspect(model, input=inputs, advice="none")
    assert inspected.layers.log10_share == pytest.approx([backward[-1]], abs=1e-8)
    np.testing.assert_allclose(inspected.curve.log10_share, backward, atol=1e-8)
    for view, logs in (("backward", backward), ("forward", forward)):
        found = gradflow.compare(network, input=inputs, seeds=1, view=view)
        assert found.cells.log10_share == pytest.approx([logs[-1]], abs=1e-8)
        assert found.cells.verdict == inspected.layers.verdict
        early = gradflow.compare(network, input=inputs, seeds=1, view=view, lags=[3, 9])
        assert early.cells.log10_share == pytest.approx([logs[8]], abs=1e-8)


@pytest.mark.parametrize("hidden", [3, 20])
@pytest.mark.parametrize("gates", [1, 3, 4])
def test_the_output_of_a_stack_is_that_of_its_highest_layer(gates, hidden):
    generator = np.random.default_rng([gates, hidden, 2])
    rows, bound = gates * hidden, 2.0 / math.sqrt(hidden)
    shapes = {
        "weight_ih_l0": (rows, 3), "weight_hh_l0": (rows, hidden),
        "weight_ih_l1": (rows, hidden), "weight_hh_l1": (rows, hidden),
    }  # fmt: skip
    model = gradflow.from_state_dict({k: generator.uniform(-bound, bound, v) for k, v in shapes.items()})
    network, inputs = model.networks[0], generator.standard_normal((STEPS, 3))
    cell = network.make_cell()
    product, factor = np.eye(cell.state_size), cell.linearize(cell.run(inputs), inputs)
    for k in range(STEPS):
        product = factor.at(k).todense() @ product
    highest = product[cell.state_size // 2 :][:hidden]  # [h, c] of the second of two layers of one size
    share = math.log10(np.linalg.norm(highest) / math.sqrt(hidden))
    for view in ("backward", "forward"):
        found = gradflow.compare(network, input=inputs, seeds=1, view=view)
        assert found.cells.log10_share == pytest.approx([share], abs=1e-8)


@pytest.mark.parametrize("seeds", [3, 10])
def test_given_sequences_of_a_trained_network_are_measured_once_each(seeds):
    draw = np.random.default_rng(1).standard_normal
    model = {"weight_ih_l0": 0.5 * draw((6, 4)), "weight_hh_l0": 0.9 * draw((6, 6)) / np.sqrt(6)}
    inputs = draw((3, 30, 4))
    found = gradflow.compare(model, input=inputs, seeds=seeds)
    alone = [gradflow.compare(model, input=one).cells.log10_share[0] for one in inputs]
    cells = found.cells
    assert (cells.draws, cells.median_confidence) == ([3], [0.75])
    assert cells.log10_share == pytest.approx([np.median(alone)], abs=1e-12)
    assert (cells.median_low[0], cells.median_high[0]) == pytest.approx((min(alone), max(alone)), abs=1e-12)


def test_a_trained_network_on_one_sequence_says_that_it_is_one():
    model = {"weight_ih_l0": np.full((4, 2), 0.1), "weight_hh_l0": 0.5 * np.eye(4)}
    for inputs in (np.ones((9, 2)), "zero"):
        found = gradflow.compare(model, input=inputs)
        assert (found.cells.draws, found.cells.median_confidence) == ([1], [None])
    assert "from one sequence" in gradflow.compare(model, input=np.ones((9, 2))).conclusion


def test_the_share_of_a_block_that_is_not_square_is_that_of_its_rows():
    cell = "lstm:projection=3"
    found = gradflow.compare(cell, hidden=8, steps=12, seeds=1, block="hc", norm="fro")
    # of a block with P rows: ‖∂h/∂c‖_F / √P
    norm = found.flow.log10_norm[-1]
    assert found.cells.log10_share[0] == pytest.approx(norm - 0.5 * np.log10(3), abs=1e-12)


@pytest.mark.parametrize("hidden", [5, 70])
def test_where_a_draw_overflows_the_shares_of_the_others_are_those_at_the_lag_that_all_reach(hidden):
    # a linear layer whose second sequence of inputs is large enough to overflow early
    inputs = np.random.default_rng(0).standard_normal((3, STEPS, 2))
    inputs[1] *= 1e290
    weights = 10.0 * np.random.default_rng(1).standard_normal((hidden, hidden))
    model = gradflow.from_state_dict(
        {"weight_ih_l0": np.ones((hidden, 2)), "weight_hh_l0": weights}, assume={"activation": "identity"}
    )
    found = gradflow.compare(model.networks[0], input=inputs, seeds=3)
    last = max(found.flow.lag)
    assert last == found.cells.blow_up_step[0] - 1 < STEPS
    share = math.log10(np.linalg.norm(np.linalg.matrix_power(weights, last)) / math.sqrt(hidden))
    # one of three overflows: the median is the share of the others, as the Jacobian is the same for all
    assert found.cells.log10_share == pytest.approx([share], abs=1e-8)


def test_where_draws_overflow_before_every_requested_lag_there_are_no_rows():
    found = gradflow.compare("rnn:activation=relu,gain=3", hidden=4, steps=1300, lags=[1280], seeds=6)
    blow_up = found.cells.blow_up_step[0]
    assert blow_up is not None
    assert blow_up <= 1280
    assert len(found.flow) == 0
    assert np.isnan(found.cells.log10_share[0]) or np.isinf(found.cells.log10_share[0])
