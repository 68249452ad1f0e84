"""The gates at every step: against gates that never move, quantiles taken by hand, and draws that end."""

import numpy as np
import pytest

import gradflow
from gradflow.analysis.shared.gates import GateSummary, over_draws, step_quantiles
from gradflow.cells.base import Gate

SIGMA_1 = 1 / (1 + np.exp(-1.0))
BLOCKS = {"i": slice(0, 3), "f": slice(3, 6), "g": slice(6, 9), "o": slice(9, 12)}


def rows(table, **chosen):
    """Return (low, median, high) of the rows of a gate, by step."""
    places = [
        k
        for k in range(len(table.step))
        if all(getattr(table, name)[k] == want for name, want in chosen.items())
    ]
    assert [table.step[k] for k in places] == list(range(1, len(places) + 1))
    return np.array([[table.low[k], table.median[k], table.high[k]] for k in places])


def test_gates_of_biases_alone_stand_at_their_sigmoid_at_every_step():
    bias = np.concatenate([np.full(3, value) for value in (0.0, 1.0, 0.0, 1.0)])
    state = {"weight_ih_l0": np.zeros((12, 2)), "weight_hh_l0": np.zeros((12, 3)), "bias_ih_l0": bias}
    state["bias_hh_l0"] = np.zeros(12)
    result = gradflow.inspect(gradflow.from_state_dict(state), length=20, gate_steps=True)
    found = result.gate_steps
    assert set(found.layer) == {"lstm"} == set(found.cell)
    for gate, value in {"i": 0.5, "f": SIGMA_1, "g": 0.0, "o": SIGMA_1}.items():
        course = rows(found, gate=gate)
        assert course == pytest.approx(np.full((result.steps, 3), value), abs=1e-15)


def test_quantiles_are_those_of_the_units_that_a_run_by_hand_shows():
    random = np.random.default_rng(4)
    inputs = random.standard_normal((7, 2))
    arrays = [random.standard_normal(shape) for shape in ((12, 2), (12, 3), (12,))]
    state = dict(zip(("weight_ih", "weight_hh", "bias_ih"), arrays, strict=True)) | {"bias_hh": np.zeros(12)}
    checkpoint = gradflow.from_state_dict(state)
    found = gradflow.inspect(checkpoint, input=inputs, gate_steps=True).gate_steps
    h, c = np.zeros(3), np.zeros(3)
    for step, x in enumerate(inputs):
        z = arrays[0] @ x + arrays[1] @ h + arrays[2]
        i, f, o = (1 / (1 + np.exp(-z[BLOCKS[gate]])) for gate in "ifo")
        c = f * c + i * np.tanh(z[BLOCKS["g"]])
        h = o * np.tanh(c)
        low, middle, high = np.sort(f)[[0, 1, 2]]
        expected = [low + 0.1 * (middle - low), middle, high - 0.1 * (high - middle)]  # of three units
        assert rows(found, gate="f")[step] == pytest.approx(expected, abs=1e-14)


def test_a_comparison_has_every_gate_of_every_cell_and_layer_and_none_of_a_plain_network():
    found = gradflow.compare(
        "rnn", "lstm:layers=2", "gru", hidden=4, steps=9, seeds=3, features=2, gate_steps=True
    ).gate_steps
    series = {
        (cell, layer, gate) for cell, layer, gate in zip(found.cell, found.layer, found.gate, strict=True)
    }
    assert series == {("lstm:layers=2", layer, gate) for layer in (1, 2) for gate in "ifgo"} | {
        ("gru", 1, gate) for gate in "rzn"
    }
    for cell, layer, gate in series:
        course = rows(found, cell=cell, layer=layer, gate=gate)
        assert course.shape == (9, 3)
        assert (np.diff(course, axis=1) >= 0).all()


def test_one_draw_is_no_median_and_several_are_the_median_of_each():
    asked = {"hidden": 5, "steps": 6, "features": 2, "gate_steps": True}
    together = gradflow.compare("gru", seeds=3, **asked).gate_steps
    alone = gradflow.compare("gru", "gru:layers=1", seeds=1, **asked).gate_steps
    assert rows(alone, cell="gru", gate="z") == pytest.approx(
        rows(alone, cell="gru:layers=1", gate="z"), abs=0
    )
    assert not np.allclose(rows(together, gate="z"), rows(alone, cell="gru", gate="z"))


def test_the_mean_over_steps_of_a_symmetric_gate_is_that_of_the_table_of_gates():
    flow = gradflow.compare("lstm", hidden=1, steps=50, seeds=1, gate_steps=True)
    for gate, mean in zip(flow.gates.gate, flow.gates.mean, strict=True):  # of one unit every quantile is it
        assert rows(flow.gate_steps, gate=gate).mean() == pytest.approx(mean, rel=1e-13)


def test_without_being_asked_for_it_is_absent_and_its_name_says_how():
    assert gradflow.compare("lstm", hidden=2, steps=3, seeds=1).gate_steps is None
    with pytest.raises(gradflow.GradflowError, match="gate steps has no effect"):
        gradflow.compare("rnn", hidden=2, steps=3, seeds=1, gate_steps=True)
    with pytest.raises(gradflow.GradflowError, match="add `gate_steps=True`"):
        gradflow.to_text(gradflow.compare("rnn", hidden=2, steps=3, seeds=1), "csv", table="gate_steps")


def test_draws_that_overflow_end_the_rows_at_the_shortest():
    gate = GateSummary(1, "f", Gate("keeps", 0.0, 1.0), *[np.zeros(())] * 5)
    draws = [[np.full((length, 3), value)] for length, value in ((4, 1.0), (6, 3.0))]
    (course,) = over_draws("lstm", [gate], draws)
    assert course.quantiles.tolist() == [[2.0] * 3] * 4


def test_quantiles_of_many_draws_keep_their_axes():
    values = np.arange(2 * 5 * 3, dtype=float).reshape(2, 5, 3)
    found = step_quantiles(values)
    assert found.shape == (2, 5, 3)
    assert (found[..., 1] == values[..., 1]).all()
