"""Fresh weights: what each initialization promises, and what the options may change."""

import math

import numpy as np
import pytest

from gradflow.analysis.compare.measure import ComparisonQuestion, measure
from gradflow.analysis.shared.product_norms import View
from gradflow.cells import CELLS
from gradflow.cells.initialization import INITIALIZATIONS, draw_fresh_weights
from gradflow.cells.spec import parse_cell
from gradflow.errors import UsageError

GATED = {"rnn": 1, "lstm": 4, "gru": 3, "leaky": 1}


def made(spec, hidden=20, features=7, seed=0):
    return parse_cell(spec).make(hidden, features, np.random.default_rng(seed))


def gates(array, hidden=20):
    """The parts of stacked weights or biases, gate by gate."""
    return array.reshape(-1, hidden, *array.shape[1:])


def assert_variance(sample, variance, kurtosis):
    """Mean 0 and this variance, within five standard errors of a sample of independent numbers."""
    count = sample.size
    assert abs(sample.mean()) < 5 * math.sqrt(variance / count)
    assert abs(sample.var() - variance) < 5 * variance * math.sqrt((kurtosis - 1) / count)


def test_every_initialization_and_cell_is_tested_here():
    assert set(INITIALIZATIONS) == {"torch", "keras", "ginibre", "orthogonal", "identity", "chrono"}
    assert set(CELLS) == set(GATED)


def test_torch_is_uniform_on_one_over_the_root_of_the_hidden_size():
    weights = draw_fresh_weights("torch", 4, (50, 50, 30), 1.0, np.random.default_rng(0))
    for one in weights:
        assert np.abs(one).max() <= 1 / math.sqrt(50)
        assert np.abs(one).max() > 0.95 / math.sqrt(50)
        assert_variance(one, 1 / 150, 1.8)


def test_torch_adds_the_two_biases_that_it_keeps():
    # a sum of two uniform numbers is triangular: variance 2/(3H), kurtosis 2.4
    cell = made("lstm", 500, 2)
    assert_variance(cell.bias, 2 / 1500, 2.4)
    assert np.abs(cell.bias).max() > 1.5 / math.sqrt(500)


@pytest.mark.parametrize("spec", GATED)
def test_keras_has_orthonormal_columns_over_all_gates_together(spec):
    cell = made(f"{spec}:init=keras")
    np.testing.assert_allclose(cell.weight_hh.T @ cell.weight_hh, np.eye(20), atol=1e-13)
    bound = math.sqrt(6 / (7 + 20 * GATED[spec]))
    assert 0.9 * bound < np.abs(cell.weight_ih).max() <= bound
    if GATED[spec] > 1:  # a gate alone is then no orthogonal matrix
        assert np.linalg.norm(gates(cell.weight_hh)[0], 2) < 1


def test_keras_has_no_biases_but_an_lstm_forgets_with_one():
    for spec in ("rnn", "gru", "leaky"):
        assert not made(f"{spec}:init=keras").bias.any()
    assert not made("gru:init=keras").bias_hn.any()
    np.testing.assert_array_equal(made("lstm:init=keras").bias, np.repeat([0.0, 1.0, 0.0, 0.0], 20))
    np.testing.assert_array_equal(made("lstm:init=keras,coupled=on").bias, np.repeat([1.0, 0.0, 0.0], 20))
    np.testing.assert_array_equal(
        made("lstm:init=keras,forget_bias=3").bias, np.repeat([0.0, 3.0, 0.0, 0.0], 20)
    )
    assert not made("lstm:init=keras,forget_gate=off").bias.any()


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_ginibre_has_the_variance_of_mean_field_theory(gain):
    weights = draw_fresh_weights("ginibre", 3, (80, 80, 40), gain, np.random.default_rng(1))
    assert_variance(weights.weight_hh, gain**2 / 80, 3.0)
    assert_variance(weights.weight_ih, 1 / 40, 3.0)
    assert not weights.bias_ih.any()
    assert not weights.bias_hh.any()


@pytest.mark.parametrize("spec", GATED)
def test_orthogonal_is_so_gate_by_gate(spec):
    for gate in gates(made(f"{spec}:init=orthogonal,gain=1.5").weight_hh):
        np.testing.assert_allclose(gate.T @ gate, 2.25 * np.eye(20), atol=1e-13)


def test_orthogonal_under_a_projection_has_orthonormal_columns():
    for gate in gates(made("lstm:init=orthogonal,projection=6").weight_hh):
        np.testing.assert_allclose(gate.T @ gate, np.eye(6), atol=1e-13)


def test_identity_is_the_network_of_le_jaitly_and_hinton():
    cell = made("rnn:activation=relu,init=identity", 40, 50)
    np.testing.assert_array_equal(cell.weight_hh, np.eye(40))
    assert not cell.bias.any()
    assert_variance(cell.weight_ih, 1e-6, 3.0)
    for gate in gates(made("lstm:init=identity,gain=0.5").weight_hh):
        np.testing.assert_array_equal(gate, 0.5 * np.eye(20))


@pytest.mark.parametrize("horizon", [2, 10, 784])
def test_chrono_spreads_the_forget_bias_up_to_the_horizon(horizon):
    # e^b is uniform on [1, horizon − 1], and b_i = −b_f (Tallec & Ollivier 2018, eq. 16)
    i, f, g, o = gates(made(f"lstm:init=chrono,horizon={horizon}", 600, 1).bias, 600)
    assert f.min() >= 0
    assert f.max() <= math.log(horizon - 1)
    if horizon > 2:
        assert_variance(np.exp(f) - horizon / 2, (horizon - 2) ** 2 / 12, 1.8)
    np.testing.assert_array_equal(i, -f)
    assert not g.any()
    assert not o.any()


def test_chrono_spreads_the_update_bias_of_a_gru_and_a_coupled_gate_once():
    r, z, n = gates(made("gru:init=chrono,horizon=50").bias)
    assert 0 <= z.min() <= z.max() <= math.log(49)
    assert len(np.unique(z)) == 20
    assert not r.any()
    assert not n.any()
    f, g, o = gates(made("lstm:init=chrono,coupled=on,horizon=50").bias)
    assert 0 <= f.min() <= f.max() <= math.log(49)
    assert not g.any()
    assert not o.any()


@pytest.mark.parametrize("init", INITIALIZATIONS)
@pytest.mark.parametrize("spec", [*GATED, "lstm:projection=6", "lstm:peephole=on"])
def test_gain_multiplies_the_recurrent_weights_alone(init, spec):
    if init == "chrono" and GATED.get(spec) == 1:  # refused: no gate keeps the state
        return
    name, _, options = spec.partition(":")
    plain, louder = (
        made(f"{name}:init={init},gain={gain}" + f",{options}" * bool(options)).weights() for gain in (1, 3)
    )
    np.testing.assert_allclose(louder.pop("weight_hh"), 3 * plain.pop("weight_hh"), rtol=1e-14)
    for weight in plain:
        np.testing.assert_array_equal(louder[weight], plain[weight])


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("rnn:init=chrono", "chrono"),
        ("leaky:init=chrono", "chrono"),
        ("leaky:a=0", r"a=0\.0: expected a number over 0 and at most 1"),
        ("leaky:a=-0.5", "a=-0.5"),
        ("leaky:a=1.0000001", r": a=1\.0000001: expected"),
        ("lstm:init=chrono,forget_bias=1", "leave forget_bias out"),
        ("gru:init=chrono,update_bias=1", "leave update_bias out"),
        ("lstm:forget_gate=off,forget_bias=1", "forget_gate=off"),
        ("lstm:forget_gate=off,init=chrono", "forget_gate=off"),
        ("lstm:forget_gate=off,coupled=on", "coupled=on"),
        ("lstm:init=chrono,horizon=1.9", "horizon 1.9"),
        ("gru:init=chrono,horizon=-5", "horizon -5"),
        ("lstm:projection=21", "projection=21"),
        ("lstm:init=Chrono", "'Chrono'"),
        ("gru:init=xavier", "'xavier'"),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_cell_and_the_value(spec, part):
    with pytest.raises(UsageError, match=part) as caught:
        made(spec)
    assert spec in str(caught.value)


def test_the_same_seed_is_the_same_draw_across_options():
    plain = made("lstm").weights()
    for options in ("forget_bias=2", "peephole=on"):
        other = made(f"lstm:{options}").weights()
        np.testing.assert_array_equal(other["weight_ih"], plain["weight_ih"])
        np.testing.assert_array_equal(other["weight_hh"], plain["weight_hh"])
    biased = gates(made("lstm:forget_bias=2").bias)
    np.testing.assert_array_equal(biased[1], np.full(20, 2.0))
    np.testing.assert_array_equal(biased[[0, 2, 3]], gates(plain["bias"])[[0, 2, 3]])
    for name in ("rnn", "rnn:activation=relu", "rnn:gain=1"):
        np.testing.assert_array_equal(made(name).weight_hh, made("rnn").weight_hh)
    one, two = made("gru:layers=2"), made("gru")
    np.testing.assert_array_equal(one.layers[0].weight_hh, two.weight_hh)
    chrono, default = made("lstm:init=chrono"), made("lstm")
    np.testing.assert_array_equal(chrono.weight_hh, default.weight_hh)
    np.testing.assert_array_equal(chrono.weight_ih, default.weight_ih)


def test_another_seed_is_another_draw():
    for init in ("torch", "keras", "ginibre", "orthogonal"):
        one, other = (made(f"gru:init={init}", seed=seed) for seed in (0, 1))
        assert not np.any(one.weight_hh == other.weight_hh)


def test_bias_inside_the_reset_gate_is_kept_apart_or_left_to_the_outside():
    after, before = made("gru"), made("gru:reset=before")
    assert after.bias_hn.shape == (20,)
    assert before.bias_hn is None
    bound = 1 / math.sqrt(20)
    assert np.abs(gates(after.bias)[2]).max() <= bound  # of the candidate one bias is left, not the sum
    assert np.abs(after.bias_hn).max() <= bound


def test_white_noise_gives_a_ginibre_network_the_rate_of_mean_field_theory():
    # variance of the pre-activation q = ∫Dz tanh²(√q z) + 1, λ = ½ ln ∫Dz sech⁴(√q z): −0.459549 at gain 1;
    # inputs of variance 1 through weights of variance 1/I add the 1
    size, features, rates = 150, 50, []
    lags = (50, 300)
    for seed in range(4):
        generator = np.random.default_rng(seed)
        cell = parse_cell("rnn:init=ginibre").make(size, features, generator)
        inputs = generator.standard_normal((350, features))
        question = ComparisonQuestion(View("backward", ("state",), ("2",), lags, False))
        norms = measure([cell], [inputs], question)[0].log10_norms["state", "2"]
        rates.append((norms[299] - norms[49]) / 250 * math.log(10))
    # the bias of a finite size is about −4/N; the rates' own scatter bounds the error of their mean
    assert np.mean(rates) == pytest.approx(-0.459549 - 4 / size, abs=4 * np.std(rates, ddof=1) / 2 + 2 / size)


def test_white_noise_makes_the_pre_activations_variance_that_of_mean_field_theory():
    # the fixed point of q = ∫Dz tanh²(√q z) + 1, by Gauss–Hermite
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    variance = 1.0
    for _ in range(100):
        variance = 1 + weights @ np.tanh(math.sqrt(variance) * nodes) ** 2
    rate = math.log(weights @ np.cosh(math.sqrt(variance) * nodes) ** -4) / 2
    assert rate == pytest.approx(-0.459549, abs=1e-6)
    cell, inputs = made("rnn:init=ginibre", 300, 60), np.random.default_rng(5).standard_normal((300, 60))
    states = cell.run(inputs)
    found = np.arctanh(states[50:]).var()
    # 250 steps of 300 units, which share their weights: some 0.02, by the scatter of other seeds
    assert found == pytest.approx(variance, abs=0.05)


@pytest.mark.parametrize("init", [name for name, one in INITIALIZATIONS.items() if one.scales])
@pytest.mark.parametrize("gates", [1, 3, 4])
@pytest.mark.parametrize("sizes", [(150, 150, 60), (90, 30, 200)])
def test_scales_are_the_standard_deviations_of_weights_that_are_drawn(init, gates, sizes):
    weights = draw_fresh_weights(init, gates, sizes, 1.7, np.random.default_rng(gates))
    scales = INITIALIZATIONS[init].scales(gates, sizes)
    recurrent = 1.7**2 * scales.recurrent**2 / sizes[1]
    if init in ("keras", "orthogonal"):  # the squares of orthonormal columns add up to 1 each
        assert np.square(weights.weight_hh).mean() == pytest.approx(recurrent, rel=1e-12)
    else:
        assert_variance(weights.weight_hh, recurrent, 3.0 if init == "ginibre" else 1.8)
    assert_variance(weights.weight_ih, scales.inputs**2, 3.0 if init == "ginibre" else 1.8)
    bias = weights.bias_ih + weights.bias_hh
    if scales.bias:
        assert_variance(bias, scales.bias**2, 2.4)
    else:
        assert not bias.any()


def test_scales_are_those_of_the_published_formulas():
    # torch: variance 1/(3H); Keras: Glorot & Bengio 2010, eq. 16, 2/(fan in + fan out); ginibre: 1/R and 1/I
    sizes = (64, 64, 36)
    scales = {name: one.scales(4, sizes) for name, one in INITIALIZATIONS.items() if one.scales}
    root = math.sqrt(1 / 3)
    assert scales["torch"] == pytest.approx((root, root / 8, math.sqrt(2 / 3) / 8), rel=1e-14)
    assert scales["chrono"] == pytest.approx((root, root / 8, 0), rel=1e-14)
    assert scales["orthogonal"] == pytest.approx((1, root / 8, math.sqrt(2 / 3) / 8), rel=1e-14)
    assert scales["keras"] == pytest.approx((0.5, math.sqrt(2 / (36 + 256)), 0), rel=1e-14)
    assert scales["ginibre"] == pytest.approx((1, 1 / 6, 0), rel=1e-14)


def test_identity_alone_is_not_random_and_has_no_scales():
    assert [name for name, one in INITIALIZATIONS.items() if one.scales is None] == ["identity"]
