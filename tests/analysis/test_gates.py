"""What gates do: in closed form where the weights are 0, and by the plainest count where they are not."""

import math

import numpy as np
import pytest

import gradflow
from gradflow.analysis.compare.measure import ComparisonQuestion, measure
from gradflow.analysis.shared.product_norms import View
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.spec import parse_cell

HIDDEN, STEPS = 3, 12


def sigma(z):
    return 1 / (1 + math.exp(-z))


def summaries(cell, inputs=None, initial=None):
    """The summary of every gate of one draw, by layer and name."""
    inputs = np.zeros((STEPS, 1)) if inputs is None else inputs
    question = ComparisonQuestion(View("backward", ("state",), ("2",), (1,), False))
    found = measure([cell], [inputs], question, initial)[0].gates
    return {(gate.layer, gate.name): gate for gate in found}


def bias_only_lstm(**biases):
    """An LSTM whose weights are all 0, its gates where the biases say; a gate not named has bias 0."""
    bias = np.repeat([biases.get(name, 0.0) for name in "ifgo"], HIDDEN)
    return LSTM(np.zeros((4 * HIDDEN, 1)), np.zeros((4 * HIDDEN, HIDDEN)), bias)


def assert_stands_at(gate, value, saturated):
    """Mean and quantiles are the one value that there is; so is the share of saturated units."""
    for found in (gate.mean, gate.low, gate.high):
        assert found == pytest.approx(value, rel=1e-14)
    assert gate.saturated == saturated


def test_gates_of_a_bias_only_lstm_stand_where_the_biases_say():
    found = summaries(bias_only_lstm(i=-3.0, f=1.0, g=0.5, o=2.5))
    # within a tenth of the range: σ(−3) = 0.047 and σ(2.5) = 0.924 are, σ(1) = 0.731 and tanh ½ = 0.462 not
    assert_stands_at(found[1, "i"], sigma(-3.0), 1.0)
    assert_stands_at(found[1, "f"], sigma(1.0), 0.0)
    assert_stands_at(found[1, "g"], math.tanh(0.5), 0.0)
    assert_stands_at(found[1, "o"], sigma(2.5), 1.0)


@pytest.mark.parametrize("bias", [-5.0, 0.0, 1.0, 5.0])
def test_time_constant_is_one_over_the_logarithm_of_the_gate_that_keeps(bias):
    lstm = summaries(bias_only_lstm(f=bias))
    assert lstm[1, "f"].time_constant == pytest.approx(-1 / math.log(sigma(bias)), rel=1e-12)
    gru = GRU(np.zeros((9, 1)), np.zeros((9, 3)), np.repeat([0.0, bias, 0.0], 3))
    assert summaries(gru)[1, "z"].time_constant == pytest.approx(-1 / math.log(sigma(bias)), rel=1e-12)
    for gate in (lstm[1, "i"], lstm[1, "g"], lstm[1, "o"], summaries(gru)[1, "r"], summaries(gru)[1, "n"]):
        assert math.isnan(gate.time_constant)


def test_a_gate_that_never_closes_keeps_for_ever_and_one_that_shuts_not_at_all():
    # σ(±800) is 1 and 0 in doubles
    assert summaries(bias_only_lstm(f=800.0))[1, "f"].time_constant == math.inf
    assert summaries(bias_only_lstm(f=-800.0))[1, "f"].time_constant == 0.0


@pytest.mark.parametrize(("candidate", "saturated"), [(1.09, 0.0), (1.11, 1.0), (-1.11, 1.0), (-1.09, 0.0)])
def test_a_candidate_is_saturated_in_a_tenth_of_its_own_range_of_two(candidate, saturated):
    # the range is −1 to 1: a tenth from the end is ±0.8 = tanh ±1.0986
    assert summaries(bias_only_lstm(g=candidate))[1, "g"].saturated == saturated


@pytest.mark.parametrize(("bias", "saturated"), [(2.19, 0.0), (2.2, 1.0), (-2.2, 1.0), (-2.19, 0.0)])
def test_a_gate_is_saturated_in_a_tenth_of_its_range_of_one(bias, saturated):
    # σ(±2.1972) = 0.9 and 0.1
    assert summaries(bias_only_lstm(f=bias))[1, "f"].saturated == saturated


def test_an_absent_forget_gate_is_one():
    cell = parse_cell("lstm:forget_gate=off").make(4, 2, np.random.default_rng(0))
    gate = summaries(cell, np.random.default_rng(1).standard_normal((STEPS, 2)))[1, "f"]
    assert_stands_at(gate, 1.0, 1.0)
    assert gate.time_constant == math.inf


def test_a_coupled_input_gate_is_what_the_forget_gate_leaves():
    cell = parse_cell("lstm:coupled=on").make(4, 2, np.random.default_rng(0))
    inputs = np.random.default_rng(1).standard_normal((STEPS, 2))
    found = summaries(cell, inputs)
    i, f = found[1, "i"], found[1, "f"]
    assert i.mean == pytest.approx(1 - f.mean, rel=1e-13)
    assert (i.low, i.high) == (pytest.approx(1 - f.high, rel=1e-13), pytest.approx(1 - f.low, rel=1e-13))
    assert i.saturated == f.saturated
    values = {gate.name: gate.values for gate in cell.gates(cell.run(inputs), inputs)}
    np.testing.assert_allclose(values["i"], 1 - values["f"], rtol=1e-14)


@pytest.mark.parametrize("spec", ["lstm:peephole=on", "gru", "gru:reset=before", "lstm:layers=2"])
def test_summaries_are_the_plain_statistics_of_what_the_cell_does(spec):
    cell = parse_cell(spec).make(4, 2, np.random.default_rng(2))
    inputs = 3 * np.random.default_rng(3).standard_normal((STEPS, 2))
    found = summaries(cell, inputs)
    for layer, name, gate, values in cell.gates(cell.run(inputs), inputs):
        one, tenth = found[layer, name], (gate.high - gate.low) / 10
        every = sorted(values.ravel())
        ends = [value for value in every if value - gate.low < tenth or gate.high - value < tenth]
        assert gate.low <= every[0] <= every[-1] <= gate.high
        assert one.mean == pytest.approx(math.fsum(every) / len(every), rel=1e-13)
        assert one.saturated == pytest.approx(len(ends) / len(every))
        assert sum(value <= one.low for value in every) / len(every) == pytest.approx(
            0.05, abs=1 / len(every)
        )
        assert sum(value <= one.high for value in every) / len(every) == pytest.approx(
            0.95, abs=1 / len(every)
        )
        if gate.retains:
            keeps = math.fsum(map(math.log, every)) / len(every)
            assert one.time_constant == pytest.approx(-1 / keeps, rel=1e-12)


def test_the_table_has_every_gate_of_every_layer_of_every_cell():
    result = gradflow.compare("lstm:layers=2", "rnn", "gru", hidden=4, steps=5, seeds=3)
    table = result.gates
    rows = list(zip(table.cell, table.layer, table.gate, strict=True))
    assert rows == [
        *(("lstm:layers=2", layer, gate) for layer in (1, 2) for gate in "ifgo"),
        *(("gru", 1, gate) for gate in "rzn"),
    ]
    ranges = dict(zip(table.gate, zip(table.range_low, table.range_high, strict=True), strict=True))
    assert {gate for gate, ends in ranges.items() if ends == (-1.0, 1.0)} == {"g", "n"}
    assert {gate for gate, ends in ranges.items() if ends == (0.0, 1.0)} == set("ifozr")
    positive = dict(zip(table.gate, table.always_positive, strict=True))
    assert {gate for gate, always in positive.items() if not always} == {"g", "n"}


def test_a_cell_without_gates_has_no_table():
    assert gradflow.compare("rnn", hidden=3, steps=4, seeds=1).gates is None


@pytest.mark.parametrize("hidden", [4, 40])
def test_the_table_has_the_median_of_the_seeds(hidden):
    result = gradflow.compare("lstm", hidden=hidden, steps=6, seeds=3, features=2)
    means = []
    for seed in range(3):
        cell = parse_cell("lstm").make(hidden, 2, np.random.default_rng([0, seed, 1]))
        inputs = np.random.default_rng([0, seed, 0]).standard_normal((6, 2))
        means.append([gate.values.mean() for gate in cell.gates(cell.run(inputs), inputs)])
    np.testing.assert_allclose(result.gates.mean, np.median(means, axis=0), rtol=1e-12)
