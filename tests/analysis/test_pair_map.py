"""The norm of ∂s_t/∂s_k for every pair of steps: against dense products, and against the flow."""

import math

import numpy as np
import pytest

import gradflow
from gradflow.analysis.compare.measure import ComparisonQuestion, measure
from gradflow.analysis.shared.arguments import MAX_MAP_STEPS
from gradflow.analysis.shared.product_norms import View
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell
from gradflow.errors import UsageError


def mapped(cell, inputs, block="state", norm="2", exact=False):
    """log₁₀ ‖∂s_t/∂s_k‖ at [t, k]."""
    question = ComparisonQuestion(View("backward", (block,), (norm,), (1,), exact), pair_map=True)
    return measure([cell], [inputs], question)[0].pairs


def drawn(spec, hidden, steps):
    generator = np.random.default_rng(12)
    cell = parse_cell(spec).make(hidden, 3, generator)
    return cell, generator.standard_normal((steps, 3))


@pytest.mark.parametrize(
    ("spec", "hidden", "steps", "block"),
    [
        ("rnn", 5, 9, "state"),
        ("gru", 5, 9, "hh"),
        ("lstm", 4, 9, "state"),
        ("lstm", 4, 9, "cc"),
        ("lstm", 4, 9, "ch"),
        ("lstm:layers=2,projection=2", 3, 7, "hc"),
        ("rnn", 70, 12, "state"),
        ("lstm", 35, 12, "cc"),
        ("lstm", 35, 12, "hc"),
    ],
)
@pytest.mark.parametrize("norm", ["2", "fro"])
@pytest.mark.parametrize("exact", [False, True])
def test_every_pair_has_the_norm_of_the_dense_product(spec, hidden, steps, block, norm, exact):
    cell, inputs = drawn(spec, hidden, steps)
    factor = cell.linearize(cell.run(inputs), inputs)
    parts = {"state": (slice(None), slice(None))}
    parts |= {to + of: (cell.parts[to], cell.parts[of]) for to in cell.parts for of in cell.parts}
    rows, columns = (np.arange(cell.state_size)[part] for part in parts[block])
    found = mapped(cell, inputs, block, norm, exact)
    assert found.shape == (steps + 1, steps + 1)
    for k in range(steps):
        product = np.eye(cell.state_size)
        for t in range(k + 1, steps + 1):
            product = factor.at(t - 1).todense() @ product
            expected = np.linalg.norm(product[np.ix_(rows, columns)], 2 if norm == "2" else "fro")
            assert 10 ** found[t, k] == pytest.approx(expected, rel=1e-10)
    assert np.isnan(found[np.triu_indices(steps + 1)]).all()


def test_pairs_far_outside_a_doubles_range_and_exact_zeros_keep_their_logarithm():
    # identity activation: the product over k steps is 1e-50^k; a dead step makes all pairs across it 0
    cell = RNN(np.zeros((2, 1)), 1e-50 * np.eye(2), np.zeros(2), "identity")
    found = mapped(cell, np.zeros((12, 1)))
    later, earlier = np.tril_indices(13, -1)
    np.testing.assert_allclose(found[later, earlier], -50.0 * (later - earlier), rtol=1e-12)
    relu = RNN(np.eye(2), 0.5 * np.eye(2), np.zeros(2), "relu")
    inputs = np.ones((6, 2))
    inputs[3] = -9.0
    across = mapped(relu, inputs)
    for t in range(1, 7):
        for k in range(t):
            assert across[t, k] == (-math.inf if k < 4 <= t else pytest.approx((t - k) * math.log10(0.5)))


@pytest.mark.parametrize("spec", ["gru", "lstm"])
def test_the_last_row_is_the_backward_flow_and_the_first_column_the_forward_one(spec):
    common = {"hidden": 4, "steps": 10, "seeds": 3}
    result = gradflow.compare(spec, pair_map=True, **common)
    table = result.map
    pairs = dict(zip(zip(table.t, table.k, strict=True), table.log10_norm, strict=True))
    assert len(table.t) == 10 * 11 // 2 == len(pairs)
    np.testing.assert_allclose(
        [pairs[10, 10 - lag] for lag in result.flow.lag], result.flow.log10_norm, atol=1e-11
    )
    forward = gradflow.compare(spec, view="forward", **common).flow
    np.testing.assert_allclose([pairs[lag, 0] for lag in forward.lag], forward.log10_norm, atol=1e-11)


def test_the_map_is_of_the_first_norm_and_block_and_of_every_cell():
    result = gradflow.compare(
        "lstm", "gru", hidden=4, steps=5, seeds=2, norm="fro,2", block="hh,state", pair_map=True
    )
    alone = gradflow.compare("gru", hidden=4, steps=5, seeds=2, norm="fro", block="hh", pair_map=True)
    assert result.map.cell == ["lstm"] * 15 + ["gru"] * 15
    np.testing.assert_array_equal(result.map.log10_norm[15:], alone.map.log10_norm)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"norm": "min"}, "norm 'min'"),
        ({"norm": "cond,2"}, "norm 'cond'"),
        ({"block": "direct"}, "block 'direct'"),
        ({"steps": MAX_MAP_STEPS + 1}, f"{MAX_MAP_STEPS + 1} steps"),
    ],
)
def test_a_map_that_cannot_be_had_is_refused_with_the_value(options, part):
    with pytest.raises(UsageError, match=part):
        gradflow.compare("lstm", **{"hidden": 3, "steps": 5, "seeds": 1, "pair_map": True, **options})


def test_without_asking_there_is_no_map():
    assert gradflow.compare("lstm", hidden=3, steps=4, seeds=1).map is None
