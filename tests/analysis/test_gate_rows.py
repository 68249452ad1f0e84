"""What a trained gate looks like: blocks planted in its weights, units shut or opened on purpose."""

import math

import numpy as np
import pytest

import gradflow
from gradflow.analysis.inspect.gate_rows import gate_rows, norm, spectral_radius
from gradflow.analysis.shared.gates import time_constants
from gradflow.cells.gru import GRU
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell
from tests.truths import EXERCISE, similar

HIDDEN, FEATURES, STEPS = 6, 3, 40
QUANTILES = (0.05, 0.5, 0.95)
CELLS = {"rnn": (RNN, "h"), "lstm": (LSTM, "ifgo"), "gru": (GRU, "rzn")}
SHUT, OPEN = -1e3, 1e3  # σ and tanh are at an end there, whatever weights and inputs do


def sigma(z):
    return 1 / (1 + math.exp(-z))


def draw(seed=0):
    return np.random.default_rng(seed).standard_normal


def rows(cell, inputs=None):
    """The rows of a cell by gate, along draws unless told otherwise."""
    inputs = draw(9)((STEPS, cell.input_size)) if inputs is None else inputs
    return {row.gate: row for row in gate_rows(cell, cell.activity(cell.run(inputs), inputs))}


def planted(kind, seed=0, **biases):
    """A cell of random blocks, with its blocks by gate; ``biases`` are added to those of single units."""
    make, names = CELLS[kind]
    blocks = {name: draw([seed, k])((HIDDEN, HIDDEN)) for k, name in enumerate(names)}
    bias = {name: 0.1 * draw([seed, k, 1])(HIDDEN) for k, name in enumerate(names)}
    for name, added in biases.items():
        for unit, value in added.items():
            bias[name][unit] += value
    features = 0.1 * draw([seed, 7])((len(names) * HIDDEN, FEATURES))
    cell = make(features, np.concatenate(list(blocks.values())), np.concatenate(list(bias.values())))
    return cell, blocks, bias


@pytest.mark.parametrize("kind", CELLS)
def test_radius_and_norm_are_those_of_the_gates_own_block(kind):
    cell, blocks, _ = planted(kind)
    found = rows(cell)
    assert list(found) == list(blocks)
    for name, block in blocks.items():
        assert found[name].spectral_radius == pytest.approx(max(abs(np.linalg.eigvals(block))), rel=1e-12)
        assert found[name].norm == pytest.approx(np.linalg.svd(block)[1][0], rel=1e-12)


def test_under_a_projection_they_are_those_of_the_block_times_the_projection():
    made = [draw(k)(shape) for k, shape in enumerate([(4 * HIDDEN, FEATURES), (4 * HIDDEN, 2), (2, HIDDEN)])]
    cell = LSTM(made[0], made[1], np.zeros(4 * HIDDEN), weight_hr=made[2])
    for k, row in enumerate(rows(cell).values()):
        seen = made[1][k * HIDDEN : (k + 1) * HIDDEN] @ made[2]
        # the eigenvalues of U P are those of P U, which is 2×2, and zeros
        small = made[2] @ made[1][k * HIDDEN : (k + 1) * HIDDEN]
        assert row.spectral_radius == pytest.approx(max(abs(np.linalg.eigvals(small))), rel=1e-9)
        assert row.norm == pytest.approx(np.linalg.svd(seen)[1][0], rel=1e-12)


def test_radius_and_norm_of_matrices_with_known_ones():
    assert spectral_radius(EXERCISE) == pytest.approx(0.9, rel=1e-12)
    assert norm(EXERCISE) == pytest.approx(0.9, rel=1e-12)
    assert spectral_radius(similar(np.diag([0.5, -2.0, 1.0]), 3)) == pytest.approx(2.0, rel=1e-9)
    assert (spectral_radius(np.eye(4, k=1)), norm(7 * np.eye(4, k=1))) == (0.0, pytest.approx(7.0))
    assert norm(np.zeros((3, 3))) == 0.0


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-100, 1e100, 1e200, 1e300])
def test_a_norm_holds_over_the_range_of_doubles(size):
    with np.errstate(over="raise", invalid="raise"):
        assert norm(size * np.array([[3.0, 0.0], [0.0, 4.0]])) == pytest.approx(4 * size, rel=1e-12, abs=0)


@pytest.mark.parametrize("kind", CELLS)
def test_bias_quantiles_are_those_of_the_gates_own_units(kind):
    cell, _, bias = planted(kind, seed=1)
    for name, row in rows(cell).items():
        np.testing.assert_allclose(row.bias, np.quantile(bias[name], QUANTILES), rtol=1e-13)


def weights(gates):
    return {
        "weight_ih_l0": draw(1)((gates * HIDDEN, FEATURES)),
        "weight_hh_l0": draw(2)((gates * HIDDEN, HIDDEN)),
        "bias_ih_l0": draw(3)(gates * HIDDEN),
        "bias_hh_l0": draw(4)(gates * HIDDEN),
    }


def by_gate(table, column):
    return dict(zip(table.gate, getattr(table, column), strict=True))


def test_of_torch_the_cell_sees_the_sum_of_two_biases():
    arrays = weights(4)
    gates = gradflow.inspect(gradflow.from_state_dict(arrays)).gates
    both = (arrays["bias_ih_l0"] + arrays["bias_hh_l0"]).reshape(4, HIDDEN)
    for k, name in enumerate("ifgo"):
        wanted = np.quantile(both[k], QUANTILES)
        for column, value in zip(("bias_low", "bias", "bias_high"), wanted, strict=True):
            assert by_gate(gates, column)[name] == pytest.approx(value, rel=1e-12)


def test_of_a_torch_gru_the_candidate_has_the_bias_outside_the_reset_gate():
    arrays = weights(3)
    gates = gradflow.inspect(gradflow.from_state_dict(arrays)).gates
    outside = arrays["bias_ih_l0"].reshape(3, HIDDEN)
    both = outside + arrays["bias_hh_l0"].reshape(3, HIDDEN)
    for name, seen in {"r": both[0], "z": both[1], "n": outside[2]}.items():
        assert by_gate(gates, "bias")[name] == pytest.approx(np.median(seen), rel=1e-12)


@pytest.mark.parametrize("added", [None, 0.0, 2.5])
def test_of_haiku_the_forget_gate_sees_what_is_added_at_run_time(added):
    bias = draw(5)(4 * HIDDEN)
    arrays = {"lstm/linear/w": draw(6)((FEATURES + HIDDEN, 4 * HIDDEN)), "lstm/linear/b": bias}
    assume = {} if added is None else {"forget_bias": added}
    found = gradflow.inspect(gradflow.from_state_dict(arrays, assume=assume))
    own = dict(zip("igfo", bias.reshape(4, HIDDEN), strict=True))
    seen = own["f"] + (1.0 if added is None else added)
    assert by_gate(found.gates, "bias")["f"] == pytest.approx(np.median(seen), rel=1e-12)
    assert found.layers.forget_bias == [pytest.approx(seen.mean(), rel=1e-12)]
    for name in "igo":
        assert by_gate(found.gates, "bias")[name] == pytest.approx(np.median(own[name]), rel=1e-12)


GATES = [(kind, gate) for kind, (_, gates) in CELLS.items() for gate in gates]


@pytest.mark.parametrize(("kind", "gate"), GATES)
def test_units_that_were_shut_or_opened_are_found_by_number_and_no_others(kind, gate):
    cell, _, _ = planted(kind, **{gate: {0: SHUT, 3: OPEN, 5: SHUT}})
    # of small blocks no gate is led to an end, whatever the units do
    found = rows(cell.replace_arrays(weight_hh=0.05 * cell.weight_hh))
    assert (found[gate].shut, found[gate].opened) == ((0, 5), (3,))
    low = -1.0 if gate in "hgn" else 0.0
    np.testing.assert_allclose(found[gate].mean[[0, 3, 5]], [low, 1.0, low], atol=1e-12)
    for other in found.keys() - {gate}:
        assert (found[other].shut, found[other].opened) == ((), ())


def bias_only(bias, gates=4, **options):
    """An LSTM of one bias in all gates and units, and no weights."""
    shape = gates * HIDDEN
    return LSTM(np.zeros((shape, FEATURES)), np.zeros((shape, HIDDEN)), np.full(shape, bias), **options)


@pytest.mark.parametrize(
    ("bias", "gates", "candidate"),
    [(1.09, "", ""), (1.11, "", "open"), (2.19, "", "open"), (2.2, "open", "open"), (-1.09, "", ""),
     (-1.11, "", "shut"), (-2.19, "", "shut"), (-2.2, "shut", "shut")],
)  # fmt: skip
def test_a_unit_is_dead_within_a_tenth_of_the_range_of_its_gate(bias, gates, candidate):
    # σ(2.1972) = 0.9 of a range of one, tanh(1.0986) = 0.8 of a range of two
    every = tuple(range(HIDDEN))
    for name, row in rows(bias_only(bias)).items():
        end = candidate if name == "g" else gates
        assert row.shut == (every if end == "shut" else ())
        assert row.opened == (every if end == "open" else ())


def test_a_unit_that_opens_once_is_not_dead():
    inputs = np.full((STEPS, FEATURES), -1.0)
    inputs[17] = 1.0
    cell = bias_only(0.0).replace_arrays(weight_ih=np.full((4 * HIDDEN, FEATURES), 10.0))
    for row in rows(cell, inputs).values():
        assert (row.shut, row.opened) == ((), ())
        assert row.saturated == 1.0
    for row in rows(cell, np.delete(inputs, 17, axis=0)).values():
        assert row.shut == tuple(range(HIDDEN))


def test_relu_units_that_are_0_throughout_are_shut_and_none_is_ever_open():
    cell, _, _ = planted("rnn", h={1: SHUT, 2: OPEN, 4: SHUT})
    inputs = draw(8)((STEPS, FEATURES))
    relu = RNN(cell.weight_ih, 0.01 * np.abs(cell.weight_hh), cell.bias, "relu")
    (row,) = rows(relu, inputs).values()
    states = relu.run(inputs)[1:]
    assert {1, 4} <= set(row.shut) == set(np.flatnonzero(states.max(axis=0) == 0))
    assert 2 not in row.shut
    assert row.opened == ()
    assert math.isnan(row.saturated)  # of a range without an end there is no tenth


def test_a_relu_candidate_that_is_0_throughout_is_shut():
    cell, _, _ = planted("lstm", g={2: SHUT})
    relu = LSTM(cell.weight_ih, 0.01 * cell.weight_hh, cell.bias + 0.5, activation="relu")
    assert rows(relu)["g"].shut == (2,)


def test_a_gate_that_is_fixed_has_no_matrix_and_no_bias():
    cell = parse_cell("lstm:forget_gate=off").make(HIDDEN, FEATURES, np.random.default_rng(0))
    found = rows(cell)
    assert (found["f"].spectral_radius, found["f"].norm) == (None, None)
    assert all(math.isnan(value) for value in found["f"].bias)
    assert found["f"].values == (1.0, 1.0, 1.0)
    np.testing.assert_array_equal(found["f"].time_constants, np.full(HIDDEN, math.inf))
    for k, name in enumerate("igo"):
        block = cell.weight_hh[k * HIDDEN : (k + 1) * HIDDEN]
        assert found[name].norm == pytest.approx(np.linalg.svd(block)[1][0], rel=1e-12)


def test_a_coupled_input_gate_has_no_matrix_of_its_own():
    cell = parse_cell("lstm:coupled=on").make(HIDDEN, FEATURES, np.random.default_rng(0))
    found = rows(cell)
    assert (found["i"].spectral_radius, found["i"].norm) == (None, None)
    assert all(math.isnan(value) for value in found["i"].bias)
    np.testing.assert_allclose(found["i"].mean, 1 - found["f"].mean, rtol=1e-12)
    assert found["f"].norm == pytest.approx(np.linalg.svd(cell.weight_hh[:HIDDEN])[1][0], rel=1e-12)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_without_weights_a_time_constant_is_one_over_the_logarithm_of_the_bias_seen(kind):
    make, names = CELLS[kind]
    keeps = "f" if kind == "lstm" else "z"
    biases = np.linspace(-4, 6, HIDDEN)
    bias = np.concatenate([biases if name == keeps else np.zeros(HIDDEN) for name in names])
    cell = make(np.zeros((len(bias), FEATURES)), np.zeros((len(bias), HIDDEN)), bias)
    found = rows(cell)
    wanted = [-1 / math.log(sigma(value)) for value in biases]
    np.testing.assert_allclose(found[keeps].time_constants, wanted, rtol=1e-12)
    assert all(found[name].time_constants is None for name in found.keys() - {keeps})


def test_a_time_constant_is_that_of_the_geometric_mean_of_the_gate():
    # of 1/2 and 1/8 in turn 1/4 is kept a step; of a gate that shuts once nothing is, of an open one all
    values = np.array([[0.5, 1.0, 1.0], [0.125, 0.0, 1.0], [0.5, 1.0, 1.0], [0.125, 1.0, 1.0]])
    np.testing.assert_allclose(time_constants(values, over=0), [1 / math.log(4), 0.0, math.inf], rtol=1e-14)


@pytest.mark.parametrize("kind", CELLS)
def test_values_and_saturation_are_the_plain_statistics_of_the_run(kind):
    cell, _, _ = planted(kind, seed=3)
    inputs = 2 * draw(9)((STEPS, FEATURES))
    found = rows(cell, inputs)
    states = cell.run(inputs)
    plain = (
        {"h": states[1:]} if kind == "rnn" else {one.name: one.values for one in cell.gates(states, inputs)}
    )
    for name, values in plain.items():
        np.testing.assert_allclose(found[name].values, np.quantile(values, QUANTILES), rtol=1e-12)
        np.testing.assert_allclose(found[name].mean, values.mean(axis=0), rtol=1e-12)
        near = np.abs(values) > 0.8 if name in "hgn" else np.abs(values - 0.5) > 0.4
        assert found[name].saturated == pytest.approx(near.mean(), abs=1e-12)


@pytest.mark.parametrize(("option", "fixed"), [("forget_gate=off", "f"), ("coupled=on", "i")])
def test_units_of_a_gate_that_has_no_weights_are_not_dead(option, fixed):
    cell = parse_cell(f"lstm:{option},forget_bias=40" if fixed == "i" else f"lstm:{option}").make(
        HIDDEN, FEATURES, np.random.default_rng(0)
    )
    found = rows(cell)
    assert (found[fixed].shut, found[fixed].opened) == ((), ())
    if fixed == "i":  # i = 1 − f is shut wherever f is open, and f it is that is told of
        assert found["f"].opened == tuple(range(HIDDEN))


def test_time_constants_of_what_keeps_amplifies_or_changes_sign():
    values = np.array([[1.0, 2.0, 0.5, -0.5, 0.0], [1.0, 2.0, 0.5, 0.5, 0.5]])
    halving = 1 / math.log(2)
    np.testing.assert_allclose(time_constants(values, over=0), [np.inf, np.inf, halving, halving, 0.0])
