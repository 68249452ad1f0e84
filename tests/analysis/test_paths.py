"""The four terms of ∂c_t/∂c_{t−1}: their sum is the derivative, their norms what the table has."""

import numpy as np
import pytest

import gradflow
from gradflow.analysis.compare.paths import PATHS, make_terms, measure_paths
from gradflow.analysis.shared.trajectory import follow
from gradflow.cells.lstm import LSTM
from gradflow.cells.spec import parse_cell
from gradflow.errors import UsageError
from tests.slow import central_differences

HIDDEN, FEATURES, STEPS = 4, 3, 5
SPECS = [
    "lstm",
    "lstm:peephole=on",
    "lstm:coupled=on",
    "lstm:coupled=on,peephole=on",
    "lstm:forget_gate=off",
    "lstm:forget_gate=off,peephole=on",
    "lstm:projection=2",
    "lstm:projection=3,peephole=on,coupled=on",
    "lstm:layers=2",
    "lstm:layers=2,projection=2,peephole=on",
]


@pytest.fixture(params=SPECS)
def layers(request):
    """Each layer of a cell with its states and its inputs, along random ones."""
    generator = np.random.default_rng(8)
    cell = parse_cell(request.param).make(HIDDEN, FEATURES, generator)
    inputs = generator.standard_normal((STEPS, FEATURES))
    return cell.split_layers(cell.run(inputs, generator.standard_normal(cell.state_size)), inputs)


def output_gates(cell, states, inputs):
    """The output gate at every step."""
    return {gate.name: gate.values for gate in cell.gates(states, inputs)}["o"]


def four_terms(paths, place):
    """The terms of one step as matrices, by path; 0 where a gate is fixed."""
    found = {name: [*make_terms(paths, name)][place] for name in paths.into}
    return {"direct": np.diag(paths.direct[place]), **found}


def test_the_sum_of_the_terms_is_the_derivative_with_the_output_gate_held_fixed(layers):
    for cell, states, inputs in layers:
        paths, o = cell.paths(states, inputs), output_gates(cell, states, inputs)
        size = cell.output_size

        def next_cell(before, t, cell=cell, inputs=inputs, o=o, size=size):
            shown = o[t - 1] * np.tanh(before)
            h = shown if cell.weight_hr is None else cell.weight_hr @ shown
            return cell.run(inputs[t : t + 1], np.concatenate([h, before]))[1][size:]

        for t in range(1, STEPS):
            expected = central_differences(lambda c, t=t, f=next_cell: f(c, t), states[t][size:])
            # differences of fourth order with a step of 1e-3 are right to about 1e-10
            np.testing.assert_allclose(sum(four_terms(paths, t - 1).values()), expected, atol=2e-9)


def test_each_term_is_the_derivative_through_its_gate_alone(layers):
    # the gates as functions of c_{t−1}, all but one held at their values
    for cell, states, inputs in layers:
        paths, size = cell.paths(states, inputs), cell.output_size
        values = {gate.name: gate.values for gate in cell.gates(states, inputs)}
        for t in range(1, STEPS):
            before, shown = states[t][size:], values["o"][t - 1]

            def gates(c, t=t, cell=cell, inputs=inputs, shown=shown):
                h = shown * np.tanh(c)
                h = h if cell.weight_hr is None else cell.weight_hr @ h
                state = np.concatenate([h, c])
                two = np.stack([state, state])
                return {gate.name: gate.values[0] for gate in cell.gates(two, inputs[t : t + 1])}

            fixed = {name: value[t] for name, value in values.items()}
            through = {
                "f": lambda c, g=gates, b=before: g(c)["f"] * b,
                "i": lambda c, g=gates, v=fixed: g(c)["i"] * v["g"],
                "g": lambda c, g=gates, v=fixed: v["i"] * g(c)["g"],
            }
            found = four_terms(paths, t - 1)
            np.testing.assert_array_equal(found.pop("direct"), np.diag(fixed["f"]))
            for name, term in found.items():
                np.testing.assert_allclose(term, central_differences(through[name], before), atol=2e-9)
            for name in set("fig") - set(found):
                np.testing.assert_allclose(central_differences(through[name], before), 0, atol=2e-9)


@pytest.mark.parametrize("hidden", [4, 40])
@pytest.mark.parametrize("spec", ["lstm", "lstm:layers=2,peephole=on", "lstm:forget_gate=off"])
def test_norms_are_the_spectral_norms_of_the_terms(spec, hidden):
    generator = np.random.default_rng(9)
    cell = parse_cell(spec).make(hidden, FEATURES, generator)
    inputs = generator.standard_normal((STEPS, FEATURES))
    trajectory = follow(cell, inputs)
    found = measure_paths(trajectory)
    every = cell.split_layers(trajectory.states, inputs)
    assert len(found) == len(every)
    for norms, (layer, states, fed) in zip(found, every, strict=True):
        paths = layer.paths(states, fed)
        for place in range(STEPS - 1):
            matrices = four_terms(paths, place)
            expected = [np.linalg.norm(matrices[name], 2) if name in matrices else 0.0 for name in PATHS]
            np.testing.assert_allclose(norms[place], expected, rtol=1e-10)


def test_shares_sum_to_one_and_belong_to_the_norms():
    result = gradflow.compare("lstm:layers=2", hidden=5, steps=6, seeds=1, paths=True)
    table, means = result.paths, result.path_means
    shares = np.array(table.share).reshape(-1, 4)
    norms = 10 ** np.array(table.log10_norm).reshape(-1, 4)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(shares, norms / norms.sum(axis=1, keepdims=True), rtol=1e-12)
    assert table.path[:4] == list(PATHS)
    assert list(dict.fromkeys(zip(table.layer, table.step, strict=True))) == [
        (layer, step) for layer in (1, 2) for step in range(2, 7)
    ]
    np.testing.assert_allclose(
        10 ** means.log10_norm.reshape(2, 4), norms.reshape(2, 5, 4).mean(axis=1), rtol=1e-12
    )
    np.testing.assert_allclose(means.share.reshape(2, 4), shares.reshape(2, 5, 4).mean(axis=1), rtol=1e-12)


def test_in_a_carousel_the_direct_path_is_exactly_one_and_all_there_is():
    # σ(±800) is 1 and 0 in doubles, and so are their slopes 0
    bias = np.repeat([-800.0, 800.0, 0.3, 0.0], HIDDEN)
    weights = np.random.default_rng(1).standard_normal((4 * HIDDEN, HIDDEN))
    cell = LSTM(np.zeros((4 * HIDDEN, 1)), weights, bias)
    norms = measure_paths(follow(cell, np.zeros((STEPS, 1)), np.linspace(-1, 1, 2 * HIDDEN)))[0]
    np.testing.assert_array_equal(norms, [[1.0, 0.0, 0.0, 0.0]] * (STEPS - 1))


def test_cells_without_a_cell_state_and_runs_of_one_step_have_no_paths():
    with pytest.raises(UsageError, match="paths has no effect without an lstm"):
        gradflow.compare("rnn", "gru", hidden=3, steps=4, seeds=1, paths=True)
    assert gradflow.compare("lstm", hidden=3, steps=1, seeds=1, paths=True).paths is None
    beside = gradflow.compare("rnn", "lstm", hidden=3, steps=4, seeds=1, paths=True)
    assert set(beside.paths.cell) == {"lstm"}
    assert gradflow.compare("lstm", hidden=3, steps=4, seeds=1).paths is None
