import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradflow
from gradflow.analysis.compare.measure import ComparisonQuestion, measure
from gradflow.analysis.compare.step_norms import measure_step_norms
from gradflow.analysis.shared.product_norms import View
from gradflow.analysis.shared.trajectory import follow
from gradflow.cells.rnn import RNN, RNNFactor
from gradflow.cells.spec import parse_cell
from gradflow.errors import DataError, UsageError


def run(cell, inputs, initial=None):
    """One draw measured: the spectral norm of the whole state at every lag."""
    return measure([cell], [inputs], ask(inputs), initial)[0]


def ask(inputs):
    lags = tuple(range(1, len(inputs) + 1))
    return ComparisonQuestion(View("backward", ("state",), ("2",), lags, False))


def log10_step_norms(cell, inputs):
    return measure_step_norms([cell], [inputs], ask(inputs))[0].log10


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["tanh", "sigmoid"]), st.floats(0.1, 5.0), st.integers(1, 12))
def test_pascanus_bound_is_never_exceeded(seed, activation, gain, hidden):
    # (γ σ_max(W))^k with γ = 1 for tanh and 1/4 for the sigmoid (Pascanu et al. 2013)
    generator = np.random.default_rng(seed)
    cell = parse_cell(f"rnn:activation={activation},gain={gain}").make(hidden, 2, generator)
    inputs = generator.standard_normal((20, 2))
    measured = run(cell, inputs)
    slope = {"tanh": 1.0, "sigmoid": 0.25}[activation]
    bound = math.log10(slope * np.linalg.norm(cell.weight_hh, 2))
    lags = np.arange(1, 21)
    assert np.all(measured.log10_norms["state", "2"] <= lags * bound + 1e-12)
    assert np.all(log10_step_norms(cell, inputs) <= bound + 1e-13)


@pytest.mark.parametrize("spec", ["rnn:gain=1.3", "lstm:forget_bias=1"])
def test_norms_are_submultiplicative_in_the_single_steps(spec):
    generator = np.random.default_rng(2)
    cell, inputs = parse_cell(spec).make(8, 3, generator), generator.standard_normal((60, 3))
    bounds = np.cumsum(log10_step_norms(cell, inputs))
    assert np.all(run(cell, inputs).log10_norms["state", "2"] <= bounds + 1e-12)


def rate(cell, inputs, initial=None):
    """Growth in nats per step between lags 50 and 300."""
    norms = run(cell, inputs, initial).log10_norms["state", "2"]
    return (norms[299] - norms[49]) / 250 * math.log(10)


def test_rate_of_a_large_random_tanh_network_is_the_mean_field_one():
    # λ₁ = ½ ln(g² ∫Dz sech⁴(√q z)); the finite-size bias is about −4/N (Engelken et al. 2023)
    gain, expected, size, rates = 2.0, 0.154724, 200, []
    for seed in range(4):
        generator = np.random.default_rng(seed)
        weights = gain * generator.standard_normal((size, size)) / np.sqrt(size)
        cell = RNN(np.zeros((size, 1)), weights, np.zeros(size))
        rates.append(rate(cell, np.zeros((400, 1)), generator.standard_normal(size)))
    # the four rates' own scatter bounds the error of their mean
    error = np.std(rates, ddof=1) / 2
    assert np.mean(rates) == pytest.approx(expected - 4 / size, abs=4 * error + 2 / size)


def test_rate_under_white_noise_is_the_mean_field_one():
    size, generator = 300, np.random.default_rng(0)
    weights = generator.standard_normal((size, size)) / np.sqrt(size)
    cell = RNN(np.eye(size), weights, np.zeros(size))
    assert rate(cell, generator.standard_normal((400, size))) == pytest.approx(-0.459549, abs=0.03)


def test_torch_default_linearised_rate():
    # gain 1/√3: −0.5493 nats a step where nothing saturates. At the zero state the product is W^k, and the
    # edge of a finite spectrum lies a little outside the circle: the mean of ln|λ| has ½ less than ln gain.
    cell = parse_cell("rnn").make(400, 1, np.random.default_rng(1))
    factor = follow(RNN(np.zeros((400, 1)), cell.weight_hh, np.zeros(400)), np.zeros((1, 1))).jacobian(0)
    mean = np.linalg.slogdet(factor.todense())[1] / 400
    assert mean + 0.5 == pytest.approx(-0.5493, abs=0.02)


def test_the_record_is_what_single_runs_give():
    result = gradflow.compare("rnn", "lstm:forget_bias=1", hidden=5, steps=12, seeds=3, features=2, seed=7)
    for place, spec in enumerate(["rnn", "lstm:forget_bias=1"]):
        logs = []
        for draw in range(3):
            cell = parse_cell(spec).make(5, 2, np.random.default_rng([7, draw, 1]))
            inputs = np.random.default_rng([7, draw, 0]).standard_normal((12, 2))
            logs.append(run(cell, inputs).log10_norms["state", "2"])
        rows = slice(12 * place, 12 * place + 12)
        np.testing.assert_array_equal(result.flow.log10_norm[rows], np.median(logs, axis=0))
        rates = [(log[11] - log[5]) / 6 * math.log(10) for log in logs]
        assert result.cells.rate[place] == pytest.approx(np.median(rates), rel=1e-12)
        low, high = np.quantile(rates, [0.05, 0.95])
        assert result.cells.rate_low[place] == pytest.approx(low, rel=1e-12)
        assert result.cells.rate_high[place] == pytest.approx(high, rel=1e-12)
    assert result.cells.state_size == [5, 10]
    assert result.flow.lag == [*range(1, 13)] * 2


def test_a_further_cell_does_not_change_the_others():
    alone = gradflow.compare("lstm", hidden=4, steps=10, seeds=2)
    beside = gradflow.compare("rnn", "lstm", hidden=4, steps=10, seeds=2)
    np.testing.assert_array_equal(beside.flow.log10_norm[10:], alone.flow.log10_norm)


def test_rate_half_life_and_horizons_of_a_known_decay():
    # W = 0.9 I, identity activation: norm 0.9^k exactly, smallest normal float16 2^-14
    result = measured_decay(0.9, 1000)
    assert result.cells.rate[0] == pytest.approx(math.log(0.9), rel=1e-12)
    assert result.cells.half_life[0] == pytest.approx(math.log(2) / -math.log(0.9), rel=1e-12)
    assert result.cells.horizon_float16 == [math.ceil(14 * math.log(2) / -math.log(0.9))]
    assert result.cells.horizon_float32 == [math.ceil(126 * math.log(2) / -math.log(0.9))]
    assert result.cells.horizon_bfloat16 == result.cells.horizon_float32
    assert result.cells.verdict == ["vanishing"]


@pytest.mark.parametrize(
    ("factor", "steps", "verdict"),
    [
        # what is left is the factor to the power of the steps
        (0.9, 4, "stable"),
        (0.9, 60, "borderline"),  # 1.8e-3
        (0.9, 100, "vanishing"),  # 2.7e-5
        (0.99, 20, "stable"),
        (0.99, 500, "borderline"),  # 6.6e-3
        (1.1, 4, "stable"),
        (1.01, 60, "stable"),
        (1.01, 500, "exploding"),  # 145
        (1.0, 500, "stable"),
    ],
)
def test_verdict_is_on_what_is_left_after_all_steps(factor, steps, verdict):
    result = measured_decay(factor, steps)
    assert result.cells.log10_share == pytest.approx([steps * math.log10(factor)], abs=1e-9)
    assert result.cells.verdict == [verdict]
    assert result.get_verdicts() == {verdict}


def test_growth_has_horizons_too():
    result = measured_decay(2.0, 200)
    assert result.cells.horizon_float16 == [16]  # 65504 < 2^16
    assert result.cells.horizon_float32 == [128]
    assert math.isinf(result.cells.half_life[0])


def measured_decay(factor, steps):
    """The record for a cell whose product is exactly factor^k, by way of an orthogonal W and no input."""
    return gradflow.compare(
        f"rnn:activation=identity,init=orthogonal,gain={factor}",
        hidden=4,
        seeds=2,
        input=np.zeros((steps, 3)),
    )


def test_inputs_from_an_array_a_file_and_a_batch(tmp_path):
    data = np.random.default_rng(3).standard_normal((2, 15, 4))
    np.save(tmp_path / "one.npy", data[0])
    np.save(tmp_path / "batch.npy", data)
    given_array = gradflow.compare("rnn", hidden=3, seeds=2, input=data[0])
    from_file = gradflow.compare("rnn", hidden=3, seeds=2, input=tmp_path / "one.npy")
    np.testing.assert_array_equal(given_array.flow.log10_norm, from_file.flow.log10_norm)
    assert from_file.params["steps"] == 15
    assert (from_file.params["features"], from_file.features) == (None, 4)
    batch = gradflow.compare("rnn", hidden=3, seeds=2, input=tmp_path / "batch.npy")
    assert not np.array_equal(batch.flow.log10_norm, from_file.flow.log10_norm)
    shorter = gradflow.compare("rnn", hidden=3, seeds=2, steps=6, input=data[0])
    assert shorter.flow.lag == [1, 2, 3, 4, 5, 6]


def test_input_scale_multiplies_the_inputs():
    data = np.random.default_rng(3).standard_normal((10, 4))
    scaled = gradflow.compare("lstm", hidden=3, seeds=1, input=data, input_scale=2.0)
    doubled = gradflow.compare("lstm", hidden=3, seeds=1, input=2.0 * data)
    np.testing.assert_array_equal(scaled.flow.log10_norm, doubled.flow.log10_norm)


@pytest.mark.parametrize(
    ("arguments", "options", "part"),
    [
        ((), {}, "no cell"),
        (("rnn", "rnn"), {}, "'rnn' is named twice"),
        (("rnn",), {"hidden": 0}, "hidden 0"),
        (("rnn",), {"seeds": 0}, "seeds 0"),
        (("rnn",), {"steps": 0}, "steps 0"),
        (("rnn",), {"features": -1}, "features -1"),
        (("rnn",), {"seed": -1}, "seed -1"),
        (("rnn",), {"input_scale": math.nan}, "input scale nan"),
        (("rnn",), {"key": "x"}, "'x'"),
        (("rnn",), {"input": np.zeros((5, 2)), "steps": 6}, "steps 6: the input has 5"),
        (
            ("rnn",),
            {"input": np.zeros((5, 2)), "features": 3},
            "features 3 has no effect with an input, which has 2",
        ),
    ],
)
def test_bad_usage_is_refused_with_the_value(arguments, options, part):
    with pytest.raises(UsageError, match=part):
        gradflow.compare(*arguments, **options)


@pytest.mark.parametrize("data", [np.zeros(3), np.full((3, 2), np.nan), np.zeros((2, 2)) * 1j, [["a", "b"]]])
def test_bad_inputs_are_refused(data):
    with pytest.raises(DataError):
        gradflow.compare("rnn", input=data)


def test_exact_zeros_among_the_seeds_keep_quantiles_without_nan():
    result = gradflow.compare("rnn:activation=relu,gain=0.3", hidden=2, steps=60, seeds=7)
    for name in ("log10_norm", "log10_norm_low", "log10_norm_high", "log10_step_norm"):
        values = getattr(result.flow, name)
        assert not np.isnan(values).any()
    assert result.flow.log10_norm_low[-1] == -math.inf
    parsed = json.loads(gradflow.to_text(result, "json"))
    assert parsed["tables"]["flow"][-1]["log10_norm_low"] is None


def test_notebooks_get_html():
    html = gradflow.compare("rnn", hidden=3, steps=5, seeds=1)._repr_html_()
    assert html.count("<table>") == 2
    assert "verdict" in html


def test_slopes_too_small_for_a_double_are_owned_up_to():
    saturated = gradflow.compare("rnn", hidden=8, steps=20, seeds=2, input_scale=1000.0)
    assert any(note.startswith("rnn: some units") and "under 1e-308" in note for note in saturated.notes)
    assert gradflow.compare("rnn", "lstm", hidden=8, steps=20, seeds=2).notes == ()


def test_sequences_left_unused_are_told():
    result = gradflow.compare("rnn", hidden=3, seeds=2, input=np.zeros((5, 4, 3)))
    assert any("5 sequences; only the first 2 are used" in note for note in result.notes)


def test_step_norms_are_measured_when_they_are_read_and_along_the_same_trajectories():
    inputs = np.random.default_rng(0).standard_normal((3, 30, 4))
    arrays = {
        "weight_ih_l0": np.random.default_rng(1).standard_normal((48, 4)),
        "weight_hh_l0": np.random.default_rng(2).standard_normal((48, 48)),
    }
    network = gradflow.from_state_dict(arrays)["rnn"]
    jacobians = [
        trajectory.jacobian(place).todense()
        for trajectory in (follow(network.make_cell(), one) for one in inputs)
        for place in range(30)
    ]
    every = np.linalg.norm(np.reshape(jacobians, (3, 30, 48, 48)), 2, axis=(-2, -1))
    result = gradflow.compare(network, "lstm:projection=2", input=inputs, seeds=3, hidden=3)
    assert "log10_step_norm" not in vars(result.flow)
    # what changes in the caller's arrays after the call does not count
    inputs[:] = 0.0
    for layer in network.layers:
        for weight in layer.cell.weights().values():
            weight[:] = 0.0
    own = [row["log10_step_norm"] for row in result.flow if row["cell"] == result.flow.cell[0]]
    np.testing.assert_allclose(10 ** np.array(own), np.median(every, axis=0)[::-1], rtol=1e-10)
    assert (result.cells.step_norm_error < 1e-3).all()


def test_jacobians_of_another_size_than_the_state_are_refused():
    class ShortRNN(RNN):
        def linearize(self, states, inputs):
            factor = super().linearize(states, inputs)
            return RNNFactor(factor.slope[..., :2], factor.weight_hh[:2, :2], factor.weight_ih[:2])

    cell = ShortRNN(np.ones((3, 1)), 0.1 * np.eye(3), np.zeros(3))
    with pytest.raises(UsageError, match="Jacobians of ShortRNN have 2 rows; expected 3"):
        follow(cell, np.ones((4, 1))).jacobian(0)
