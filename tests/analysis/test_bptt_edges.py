"""Gradients at the edges: nothing at all, one step, parts, losses and states out of a double's range."""

import json
import math

import numpy as np
import pytest

import gradflow
from gradflow.cells.rnn import RNN
from gradflow.errors import NumericalError
from tests.analysis.taken_apart import linear, network, planted_targets


def strict(found):
    """The JSON of a record, which knows no nan."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(gradflow.to_text(found, "json"), parse_constant=refuse)


@pytest.mark.parametrize("pair_map", [False, True])
def test_a_gradient_of_exactly_0_is_told_as_that(pair_map):
    # without input or bias the state is 0, and so is what the recurrent weights see
    found = gradflow.bptt(network(linear(0.5 * np.eye(2))), input="zero", steps=6, pair_map=pair_map)
    assert (found.log10_gradient_norm, found.gradient_norm) == (-math.inf, 0)
    assert (found.window_1pct, found.difference_error) == (None, None)
    assert math.isnan(found.effective_lag)
    assert found.conclusion == "The gradient of weight_hh is exactly 0: no step contributes to it."
    assert [note for note in found.notes if "drawn" not in note] == []
    summary, tables = strict(found)["summary"], strict(found)["tables"]
    assert (summary["log10_gradient_norm"], summary["gradient_norm"]) == (None, 0)
    assert summary["effective_lag"] is summary["window_1pct"] is summary["difference_error"] is None
    for row in tables["lags"]:
        assert (row["log10_norm"], row["norm"], row["share"]) == (None, 0, 0)
        assert row["truncation_error"] is row["truncation_cosine"] is None
    for row in tables.get("map", []):
        assert (row["log10_norm"], row["share"]) == (None, 0)


def test_parts_that_cancel_exactly_are_told_from_none():
    targets = planted_targets([[1.0], [2.0], [-3.0], [0.0]])
    found = gradflow.bptt(network(linear([[1.0]])), input="zero", steps=4, parameter="bias", targets=targets)
    assert found.gradient_norm == 0
    np.testing.assert_allclose(found.lags.norm, [1, 2, 3, 0], atol=1e-15)
    assert found.conclusion == "The gradient of bias is 0 to rounding: its parts cancel."
    assert strict(found)["summary"]["window_1pct"] is None


@pytest.mark.parametrize("spec", ["rnn", "gru", "lstm:peephole=on"])
def test_one_step_of_one_unit_has_one_part(spec):
    for parameter in ("weight_ih", "bias", "all"):
        found = gradflow.bptt(spec, hidden=1, features=1, steps=1, parameter=parameter, pair_map=True)
        assert (found.lags.lag, found.map.t, found.map.k) == ([0], [1], [1])
        assert found.lags.share[0] == pytest.approx(1, rel=1e-15)
        assert found.map.share[0] == pytest.approx(1, rel=1e-15)
        assert (found.lags.truncation_error[0], found.window_1pct, found.effective_lag) == (0, 1, 0)
        assert found.map.log10_norm[0] == pytest.approx(found.log10_gradient_norm, abs=1e-14)
        assert found.difference_error < 1e-8
    # nothing came before
    assert gradflow.bptt(spec, hidden=1, features=1, steps=1).gradient_norm == 0


def test_a_dead_relu_ends_every_stream():
    # the fifth input puts out both units: no part of ∂L_t/∂U comes across it
    cell = RNN(np.eye(2), 0.5 * np.eye(2), np.zeros(2), "relu")
    inputs = np.ones((8, 2))
    inputs[4] = -9.0
    found = gradflow.bptt(network(cell), input=inputs, loss="random", parameter="weight_ih", pair_map=True)
    across = [(t, k) for t, k in zip(found.map.t, found.map.k, strict=True) if k <= 5 <= t]
    zero = [
        (t, k)
        for t, k, log in zip(found.map.t, found.map.k, found.map.log10_norm, strict=True)
        if log == -math.inf
    ]
    assert zero == across
    assert found.lags.log10_norm[4:].tolist() == [-math.inf] * 4
    assert found.lags.truncation_error[3:].tolist() == [0.0] * 5


@pytest.mark.parametrize("power", [-33, 12])
def test_parts_out_of_range_keep_their_logarithm_and_have_no_norm(power):
    steps = 100
    found = gradflow.bptt(
        network(linear(2.0**power * np.eye(2))), loss="final", input="zero", steps=steps, parameter="bias",
    )  # fmt: skip
    apart = found.lags.log10_norm - found.lags.log10_norm[0]
    np.testing.assert_allclose(apart, power * math.log10(2) * np.arange(steps), rtol=1e-13, atol=1e-13)
    rows = strict(found)["tables"]["lags"]
    assert all(row["log10_norm"] is not None for row in rows)
    assert rows[-1]["norm"] is None
    assert rows[0]["norm"] == pytest.approx(10 ** found.lags.log10_norm[0], rel=1e-12)
    (note,) = (note for note in found.notes if "1e-308" in note)
    tiny = np.nonzero(found.lags.log10_norm < found.log10_gradient_norm - 307.66)[0]
    assert f"Parts of {len(tiny)} lags ({tiny[0]} to {tiny[-1]})" in note
    assert (tiny[0] == 0) == (power > 0)
    assert found.window_1pct == (1 if power < 0 else steps)


def test_what_no_double_holds_of_a_window_is_told_in_words():
    # a step multiplies by 2^-500, and the one before by tanh′ 230 = 1e-199 too: a window of 1 loses that
    cell = RNN(np.ones((1, 1)), np.array([[2.0**-500]]), np.zeros(1))
    inputs = np.array([[0.1], [230.0], [0.1]])
    found = gradflow.bptt(network(cell), input=inputs, loss="final", parameter="bias")
    expected = -500 * math.log10(2) + math.log10(4) - 460 / math.log(10)
    assert found.lags.log10_truncation_error[0] == pytest.approx(expected, abs=1e-3)
    assert np.isnan(found.windows.truncation_error[0])
    assert np.isnan(found.windows.detached_error[0])
    assert found.window_1pct == 1
    assert found.conclusion.endswith("A script that detaches the state every step loses under 1e-305 %.")
    assert strict(found)["summary"]["detached_error"] is None


def test_a_loss_out_of_range_is_told_and_its_gradient_is_there():
    options = {"steps": 200, "hidden": 3, "features": 2}
    found = gradflow.bptt("rnn:activation=identity,gain=8,init=orthogonal", **options)
    assert found.loss == math.inf
    assert any("loss leaves the range" in note for note in found.notes)
    assert 308 < found.log10_gradient_norm < 400
    assert found.difference_error is None
    assert found.lags.share.sum() == pytest.approx(1, abs=1e-9)
    summary = strict(found)["summary"]
    assert summary["loss"] is summary["gradient_norm"] is None


def test_a_state_out_of_range_is_refused_with_its_step():
    # 10^t > 1.8e308
    cell = RNN(np.ones((1, 1)), np.array([[10.0]]), np.zeros(1), "identity")
    for loss in ("mean", "final", "random"):
        with pytest.raises(NumericalError, match="overflows at step 310 of 320"):
            gradflow.bptt(network(cell), input=np.r_[1.0, np.zeros(319)][:, None], loss=loss)


@pytest.mark.parametrize("loss", ["mean", "final"])
def test_a_gradient_that_no_jacobian_multiplies_comes_from_lag_0(loss):
    arrays = {"weight_ih_l0": np.ones((2, 1)), "weight_hh_l0": np.zeros((2, 2))}
    found = gradflow.bptt(arrays, loss=loss, steps=5)
    assert found.lags.share.tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0, 0.0], abs=1e-15)
    assert found.conclusion.startswith(
        "At least half of the gradient of weight_hh comes from lag 0, the step of the loss itself. "
    )
