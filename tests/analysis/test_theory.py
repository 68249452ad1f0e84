"""What theory predicts beside what is measured: closed forms, exact formulas draw by draw, large networks."""

import math
import warnings
from functools import cache

import numpy as np
import pytest
from scipy import stats

import gradflow
from gradflow.analysis.shared.exponents import plan_of
from gradflow.analysis.shared.inputs import Inputs
from gradflow.analysis.theory.mean_field import normal_mean
from gradflow.analysis.theory.subjects.case import CIRCULAR_LAW, TheoryCase
from gradflow.analysis.theory.subjects.gated import Alike
from gradflow.analysis.theory.sweep import parse_asked
from gradflow.analysis.theory.theory import find_theory
from gradflow.cells.activations import parse_activation
from gradflow.cells.spec import parse_cell
from gradflow.errors import UsageError
from tests.truths import newman


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def rows(found):
    """Each prediction by name: predicted, measured, standard error and deviation."""
    table = found.predictions
    columns = zip(table.predicted, table.measured, table.standard_error, table.deviation, strict=True)
    return dict(zip(table.quantity, columns, strict=True))


def predicted(cell, **options):
    """What theory alone says."""
    found = rows(gradflow.theory(cell, measure=False, **options))
    assert all(math.isnan(number) for row in found.values() for number in row[1:])
    return {name: row[0] for name, row in found.items()}


def measured_draws(
    cell, seeds, *, hidden, steps, features, gain=None, transient=None, seed=0, input_scale=1.0
):
    """What is measured of each draw of a simple recurrent network, by the name of the quantity."""
    variant = parse_asked(cell, gain, None).at()
    inputs = Inputs.of(
        None, key=None, format=None, steps=None, features=features, scale=input_scale, seed=seed, count=seeds
    )
    plan = plan_of(steps, transient, None)
    case = TheoryCase(variant.text, variant.options, variant.spec, hidden, inputs, plan, seed, seeds)
    measures = {one.quantity: one.measure for one in find_theory("rnn").predict(case) if one.measure}
    return [{name: measure(case, draw) for name, measure in measures.items()} for draw in range(seeds)]


def fresh(cell, hidden, features, draw, seed=0):
    """The cell of a draw, as every command draws it."""
    return parse_cell(cell).make(hidden, features, np.random.default_rng([seed, draw, 1]))


# --- the simple recurrent network


@pytest.mark.parametrize(("gain", "expected"), [(1.5, 0.065217), (2.0, 0.154724), (3.0, 0.310249)])
def test_random_tanh_network_has_the_published_exponents(gain, expected):
    # Sompolinsky, Crisanti & Sommers 1988, to six digits
    found = predicted("rnn:init=ginibre", gain=gain, input="zero")
    assert found["largest_exponent"] == pytest.approx(expected, abs=6e-7)
    assert found["critical_gain"] == pytest.approx(1.0, abs=1e-12)
    assert found["spectral_radius"] == gain
    assert found["zero_state_rate"] == pytest.approx(math.log(gain), abs=1e-14)


@pytest.mark.parametrize("features", [1, 32])
def test_noise_of_variance_1_on_every_unit_has_the_published_exponent(features):
    found = predicted("rnn:init=ginibre", features=features)
    assert found["largest_exponent"] == pytest.approx(-0.459549, abs=6e-7)


def test_scale_of_the_inputs_is_that_of_the_noise():
    data = np.full((50, 4), 0.7)  # |x|² / 4 = 0.49
    given, noise = predicted("rnn:init=ginibre", input=data), predicted("rnn:init=ginibre", input_scale=0.7)
    assert given == pytest.approx({name: noise[name] for name in given}, rel=1e-12)
    assert given["largest_exponent"] > predicted("rnn:init=ginibre")["largest_exponent"]


def test_torch_default_has_a_gain_of_one_over_the_root_of_three():
    found = predicted("rnn", hidden=10**8, input="zero")
    assert found["spectral_radius"] == pytest.approx(1 / math.sqrt(3), rel=1e-14)
    # biases of variance 2/(3H) are nothing at this size: −½ ln 3 = −0.5493
    for name in ("zero_state_rate", "largest_exponent"):
        assert found[name] == pytest.approx(-0.5 * math.log(3), abs=1e-7)
    # drive s puts the critical gain off by q, s = 4q³/3:
    # ⟨tanh²⟩ = q − 2q² + 17q³/3 and ⟨sech⁴⟩ = 1 − 2q + 7q²
    shift = (3 / 4 * 2 / 3e8) ** (1 / 3)
    assert found["critical_gain"] == pytest.approx(math.sqrt(3) * (1 + shift), abs=20 * shift**2)
    # σ_max of W is twice its radius (Marchenko & Pastur 1967), and no activation is steeper than 1
    assert found["rate_bound"] == pytest.approx(math.log(2 / math.sqrt(3)), rel=1e-13)


def test_biases_of_torch_count_as_drive():
    # erf has all in closed form: ⟨erf′(√s z)²⟩ = (4/π)/√(1 + 4s) next to the state 0, s = 2/(3H)
    found = predicted("rnn:activation=erf", hidden=50, input="zero")
    expected = 0.5 * math.log(4 / math.pi / 3 / math.sqrt(1 + 4 * 2 / 150))
    assert found["zero_state_rate"] == pytest.approx(expected, abs=1e-12)
    q = found["variance"]
    assert q == pytest.approx(2 / 150 + 2 / math.pi * math.asin(2 * q / (1 + 2 * q)) / 3, rel=1e-11)


@pytest.mark.parametrize(
    ("activation", "init", "gain"),
    [
        ("tanh", "torch", 2.5),
        ("relu", "keras", 1.2),
        ("sigmoid", "ginibre", 0.4),
        ("erf", "orthogonal", 1.2),
        ("identity", "torch", 2.5),
    ],
)
def test_pascanus_bound_is_over_every_exponent_predicted_or_measured(init, activation, gain):
    cell, options = f"rnn:init={init},activation={activation}", {"gain": gain, "hidden": 10, "steps": 30}
    with np.errstate(over="ignore"):
        found = rows(gradflow.theory(cell, seeds=3, features=3, **options))
        draws = measured_draws(cell, 3, features=3, **options)
    assert found["rate_bound"][0] >= found["largest_exponent"][0] - 1e-12
    for values in draws:
        assert values["rate_bound"] >= values["largest_exponent"] - 1e-12


@pytest.mark.parametrize(
    ("activation", "steepest"),
    [("tanh", 1), ("sigmoid", 0.25), ("relu", 1), ("identity", 1), ("erf", 2 / math.sqrt(math.pi))],
)
def test_bound_is_the_steepest_slope_times_twice_the_gain_or_once_where_orthogonal(activation, steepest):
    for init, spread in (("ginibre", 2), ("torch", 2 / math.sqrt(3)), ("orthogonal", 1), ("keras", 1)):
        found = predicted(f"rnn:init={init},activation={activation}", gain=0.8, input="zero")
        assert found["rate_bound"] == pytest.approx(math.log(steepest * spread * 0.8), abs=1e-13)


def test_critical_gain_is_where_the_predicted_exponent_is_0():
    for cell in ("rnn:init=ginibre", "rnn", "rnn:init=keras,activation=erf"):
        critical = predicted(cell)["critical_gain"]
        assert predicted(cell, gain=critical)["largest_exponent"] == pytest.approx(0.0, abs=1e-11)
        assert predicted(cell, gain=0.98 * critical)["largest_exponent"] < 0
        assert predicted(cell, gain=1.02 * critical)["largest_exponent"] > 0


def test_what_overflows_has_no_variance_and_no_digit_less_of_an_exponent():
    found = predicted("rnn:init=ginibre,activation=relu", gain=2.0)
    assert math.isnan(found["variance"])
    assert found["largest_exponent"] == pytest.approx(0.5 * math.log(2), abs=1e-12)
    assert found["critical_gain"] == pytest.approx(math.sqrt(2), abs=1e-9)


def test_sign_of_the_gain_changes_nothing_of_what_is_predicted():
    for cell in ("rnn", "rnn:init=orthogonal", "lstm", "gru:init=ginibre", "ginibre"):
        assert predicted(cell, gain=-1.3, hidden=5) == pytest.approx(
            predicted(cell, gain=1.3, hidden=5), nan_ok=True
        )


# --- measured beside predicted


@cache
def tanh_network(gain, hidden, seeds, source):
    return rows(
        gradflow.theory(
            "rnn:init=ginibre", gain=gain, hidden=hidden, seeds=seeds, steps=500, input=source, seed=1
        )
    )


def test_exponent_of_a_large_chaotic_network_is_the_mean_field_one_less_4_over_its_size():
    # Engelken et al. 2023 for the bias; 4 standard errors of the mean, and 2/N for what is not linear in 1/N
    expected, measured, error, _ = tanh_network(2.0, 256, 8, "zero")["largest_exponent"]
    assert abs(measured - (expected - 4 / 256)) < 4 * error + 2 / 256


def test_bias_of_a_chaotic_exponent_is_negative_and_shrinks_with_the_size():
    (small, large) = (tanh_network(2.0, hidden, seeds, "zero") for hidden, seeds in ((64, 16), (256, 8)))
    (p, m, e, _), (q, n, f, _) = small["largest_exponent"], large["largest_exponent"]
    assert p == q  # predictions are for N → ∞
    assert m - p < -3 * e  # by some 4/64, of which the standard error is a seventh
    assert abs(n - q) < abs(m - p)
    assert abs(4 * (n - q) - (m - p)) < 4 * math.hypot(4 * f, e) + 2 / 64  # as 1/N


def test_exponent_under_noise_is_the_mean_field_one():
    gain = 1.855589  # the prediction is 0: the critical gain under noise of variance 1
    found = tanh_network(gain, 256, 8, "normal")
    expected, measured, error, _ = found["largest_exponent"]
    assert expected == pytest.approx(0.0, abs=1e-6)
    assert abs(measured - expected) < 4 * error + 4 / 256
    expected, measured, error, _ = found["variance"]
    assert abs(measured - expected) < 4 * error + 4 / 256


def test_variance_of_a_chaotic_network_is_the_mean_field_one():
    expected, measured, error, _ = tanh_network(2.0, 256, 8, "zero")["variance"]
    # N has an effect of some 8/N, as at N = 64
    assert abs(measured - expected) < 4 * error + 8 / 256


@pytest.mark.parametrize(("source", "gain"), [("zero", 1.0), ("normal", 0.7)])
def test_relu_networks_have_half_the_logarithm_of_half_their_gain(source, gain):
    found = rows(
        gradflow.theory(
            "rnn:init=ginibre,activation=relu",
            gain=gain,
            hidden=256,
            seeds=8,
            steps=400,
            input=source,
            seed=1,
        )
    )
    expected, measured, error, _ = found["largest_exponent"]
    assert expected == pytest.approx(0.5 * math.log(gain**2 / 2), abs=1e-12)
    assert abs(measured - expected) < 4 * error + 4 / 256
    expected, measured, error, _ = found["variance"]
    assert expected == pytest.approx(0 if source == "zero" else 1 / (1 - gain**2 / 2), abs=1e-11)
    assert abs(measured - expected) < 4 * error + 4 / 256


def test_orthogonal_weights_have_their_gain_as_radius_and_bound_exactly():
    for init in ("orthogonal", "keras"):
        found = rows(
            gradflow.theory(f"rnn:init={init}", gain=1.3, hidden=40, seeds=3, steps=20, input="zero")
        )
        for name, expected in (("spectral_radius", 1.3), ("rate_bound", math.log(1.3))):
            assert found[name][0] == pytest.approx(expected, rel=1e-14)
            assert found[name][1] == pytest.approx(expected, rel=1e-12)
        assert found["spectral_radius"][3] == 0  # what is but rounding is no deviation
        assert math.isnan(found["rate_bound"][3])  # nothing deviates from a bound


@pytest.mark.parametrize("cell", ["ginibre", "rnn", "rnn:init=ginibre"])
def test_circular_law_holds_at_four_hundred_rows(cell):
    # Girko 1984; the edge of a finite spectrum is some √(ln N / 4N) outside: and scatters, 8 % at most
    fed = {} if cell == "ginibre" else {"input": "zero"}
    found = gradflow.theory(cell, gain=1.5, hidden=400, seeds=2, steps=1, transient=0, **fed)
    expected, measured, _, _ = rows(found)["spectral_radius"]
    assert expected == pytest.approx(1.5 / math.sqrt(3) if cell == "rnn" else 1.5, rel=1e-14)
    assert measured == pytest.approx(expected, rel=0.08)
    assert found.predictions.source[found.predictions.quantity.index("spectral_radius")] == CIRCULAR_LAW


# --- inputs that are stronger at one step than at another


def along(field, squares, deviation, drive):
    """q_t and ½ ln(σ²⟨φ′²⟩) by the letter: a quadrature at every step, from a state of deviation 0.1."""
    q, variances, exponents = None, [], []
    for square in squares:
        seen = 0.01 if q is None else normal_mean(lambda z, q=q: np.square(field.value(z)), q).value
        q = deviation**2 * seen + square + drive
        variances.append(q)
        slope = normal_mean(lambda z: np.square(field.slope(z)), q).value
        exponents.append(math.log(deviation) + 0.5 * math.log(slope))
    return np.array(variances), np.array(exponents)


@pytest.mark.parametrize(
    ("activation_name", "features"), [("tanh", 1), ("erf", 8), ("sigmoid", 1), ("relu", 8)]
)
def test_mean_field_along_the_inputs_is_a_quadrature_at_every_step(activation_name, features):
    inputs = np.random.default_rng(3).standard_normal((30, features)) * np.linspace(0, 2, 30)[:, None]
    found = predicted(f"rnn:init=ginibre,gain=1.2,activation={activation_name}", input=inputs, transient=10)
    squares = np.square(inputs).sum(axis=1) / features
    variances, exponents = along(parse_activation(activation_name), squares, 1.2, 0.0)
    # cubic splines 0.02 apart in ln q
    assert found["variance"] == pytest.approx(variances[10:].mean(), rel=1e-8)
    assert found["largest_exponent"] == pytest.approx(exponents[10:].mean(), abs=1e-8)


def test_with_one_feature_the_way_of_the_inputs_predicts_what_noise_of_their_mean_strength_does_not():
    found = rows(gradflow.theory("rnn:init=ginibre", hidden=256, features=1, seeds=10, steps=200))
    noise, way = found["largest_exponent"], found["largest_exponent_along_inputs"]
    assert noise[1:3] == way[1:3]  # one measurement
    for (expected, measured, error, _), agrees in ((way, True), (noise, False)):
        assert (abs(measured - expected) < 4 * error + 4 / 256) == agrees
    assert abs(way[3]) < 2
    assert predicted("rnn:init=ginibre", features=1)["largest_exponent"] == pytest.approx(-0.459549, abs=6e-7)


def test_critical_gain_along_data_is_where_the_exponent_along_them_is_0():
    data = np.random.default_rng(5).standard_normal((80, 2))
    gain = predicted("rnn:init=ginibre", input=data)["critical_gain"]
    found = predicted("rnn:init=ginibre", gain=gain, input=data)
    assert found["largest_exponent"] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("scale", [1e-17, 1e-14, 1e-12, 1e-9, 1e-3])
def test_the_weakest_noise_leaves_the_network_as_it_is_without_any(scale):
    weak = predicted("rnn:init=ginibre,gain=1.5", input_scale=scale, steps=300)
    none = predicted("rnn:init=ginibre,gain=1.5", input="zero")
    # noise adds some scale² to q, and the state settles within the transient
    for name in ("variance", "largest_exponent"):
        assert weak[name] == pytest.approx(none[name], abs=1e-5)
        assert weak[f"{name}_along_inputs"] == pytest.approx(none[name], abs=1e-4)


# --- each draw by the most literal formula


def test_every_draw_of_an_rnn_is_measured_as_formulas_have_it():
    options = {"hidden": 12, "steps": 40, "transient": 7, "features": 3, "seed": 4, "input_scale": 0.6}
    cell = "rnn:gain=2"
    found = rows(gradflow.theory(cell, seeds=3, **options))
    values = measured_draws(cell, 3, **options)
    for draw in range(3):
        made = fresh(cell, 12, 3, draw, seed=4)
        assert values[draw]["spectral_radius"] == pytest.approx(
            abs(np.linalg.eigvals(made.weight_hh)).max(), rel=1e-12
        )
        at_zero = (1 - np.tanh(made.bias) ** 2)[:, None] * made.weight_hh
        expected = math.log(abs(np.linalg.eigvals(at_zero)).max())
        assert values[draw]["zero_state_rate"] == pytest.approx(expected, abs=1e-12)
        bound = math.log(np.linalg.norm(made.weight_hh, 2))
        assert values[draw]["rate_bound"] == pytest.approx(bound, abs=1e-13)
        state = np.random.default_rng([4, draw, 2]).normal(0.0, 0.1, 12)
        squares = []
        for x in 0.6 * np.random.default_rng([4, draw, 0]).standard_normal((47, 3)):
            z = made.weight_ih @ x + made.weight_hh @ state + made.bias
            squares.append(np.square(z).mean())
            state = np.tanh(z)
        assert values[draw]["variance"] == pytest.approx(np.mean(squares[7:]), rel=1e-12)
    alone = gradflow.lyapunov(cell, count=1, **options).exponents.exponent[0]
    assert values[0]["largest_exponent"] == pytest.approx(alone, abs=1e-12)
    for name, (_, mean, error, deviation) in rows_with_draws(found):
        sample = np.array([values[draw][name] for draw in range(3)])
        assert mean == pytest.approx(sample.mean(), rel=1e-14)
        assert error == pytest.approx(sample.std(ddof=1) / math.sqrt(3), rel=1e-12)
        assert math.isnan(deviation)  # so few units leave the limit N → ∞ unknown


def rows_with_draws(found):
    measured = [(name, row) for name, row in found.items() if not math.isnan(row[1])]
    assert len(measured) == len(found) - 1  # all but critical_gain
    return measured


def test_variance_is_measured_the_same_however_long_the_run():
    # the state is followed piece by piece: pieces are invisible in what is measured
    cell, hidden = "rnn:init=ginibre,gain=1.4", 5
    for steps, transient in ((2100, 0), (700, 1300)):
        found = rows(
            gradflow.theory(cell, hidden=hidden, features=2, seeds=1, steps=steps, transient=transient)
        )
        made, squares = fresh(cell, hidden, 2, 0), []
        state = np.random.default_rng([0, 0, 2]).normal(0.0, 0.1, hidden)
        inputs = np.random.default_rng([0, 0, 0])
        for _ in range(transient + steps):
            z = made.weight_ih @ inputs.standard_normal(2) + made.weight_hh @ state + made.bias
            squares.append(np.square(z).mean())
            state = np.tanh(z)
        # of chaos nothing is left but the rounding's: there is none at this gain under noise
        assert found["variance"][1] == pytest.approx(np.mean(squares[transient:]), rel=1e-9)


def test_one_draw_has_no_standard_error_and_no_deviation():
    for name, row in rows(gradflow.theory("rnn", hidden=5, steps=20, seeds=1)).items():
        assert math.isnan(row[2])
        assert math.isnan(row[3])
        assert math.isnan(row[1]) == (name == "critical_gain")


# --- products of random matrices


@pytest.mark.parametrize(("hidden", "gain"), [(2, math.sqrt(2)), (4, 2.0), (7, 0.3)])
def test_newmans_exponents_are_exact_at_any_size_and_their_errors_are_known(hidden, gain):
    steps, seeds = 400, 24
    found = rows(gradflow.theory("ginibre", gain=gain, hidden=hidden, steps=steps, seeds=seeds))
    expected, variances = newman(hidden)
    expected = expected + math.log(gain / math.sqrt(hidden))
    assert list(found) == ["spectral_radius", *(f"exponent_{k + 1}" for k in range(hidden))]
    for place in range(hidden):
        value, measured, error, deviation = found[f"exponent_{place + 1}"]
        assert value == pytest.approx(expected[place], abs=1e-13)
        exact = math.sqrt(variances[place] / (steps * seeds))
        assert abs(measured - value) < 5 * exact
        # a standard deviation of 24 draws is itself off by 1/√46, five of which are 0.74
        assert 0.26 * exact < error < 1.74 * exact
        # Student's t of 24 draws, as a normal deviate
        ratio = (measured - value) / error
        expected_deviation = math.copysign(stats.norm.isf(stats.t.sf(abs(ratio), seeds - 1)), ratio)
        assert deviation == pytest.approx(expected_deviation, rel=1e-9)


def test_newmans_published_exponents():
    # entries of variance 1: gain √N
    two = predicted("ginibre", gain=math.sqrt(2), hidden=2)
    assert [two["exponent_1"], two["exponent_2"]] == pytest.approx([0.05796576, -0.63518142], abs=6e-9)
    four = predicted("ginibre", gain=2.0, hidden=4)
    expected = [0.55796576, 0.36481858, 0.05796576, -0.63518142]
    assert [four[f"exponent_{k}"] for k in range(1, 5)] == pytest.approx(expected, abs=6e-9)


def test_measurements_are_extrapolated_by_the_line_through_the_two_largest_sizes():
    options = {"gain": 1.5, "input": "zero", "seeds": 3, "steps": 100}
    found = gradflow.theory("rnn:init=ginibre", hidden=64, **options).predictions
    several = [
        gradflow.theory("rnn:init=ginibre", hidden=size, **options).predictions for size in (64, 32, 16)
    ]
    for name, power in (("largest_exponent", 1.0), ("variance", 1.0), ("spectral_radius", 0.5)):
        place = found.quantity.index(name)
        means, errors = (
            np.array([getattr(one, column)[place] for one in several])
            for column in ("measured", "standard_error")
        )
        sizes = np.array([64.0, 32.0, 16.0])
        value, all_sizes, slow = (
            np.polyfit(sizes[:last] ** -exponent, means[:last], 1)[1]
            for last, exponent in ((2, power), (3, power), (2, 0.5))
        )
        assert found.extrapolated[place] == pytest.approx(value, rel=1e-9)
        ratio = 2.0**power
        terms = [ratio * errors[0] / (ratio - 1), errors[1] / (ratio - 1)]
        if name == "spectral_radius":  # an edge: the spread of single draws counts with the largest size
            terms[0] = math.hypot(terms[0], errors[0] * math.sqrt(3))
        error = math.hypot(*terms, value - all_sizes, value - slow)
        # the state at gain 1.5 forgets its beginning within the transient, but for less than this
        assert found.extrapolation_error[place] == pytest.approx(error, rel=1e-3)
        degrees = (terms[0] ** 2 + terms[1] ** 2) ** 2 / (terms[0] ** 4 / 2 + terms[1] ** 4 / 2)
        deviation = stats.norm.isf(stats.t.sf((value - found.predicted[place]) / error, degrees))
        assert found.deviation[place] == pytest.approx(deviation, rel=2e-3)


def test_the_bias_of_a_finite_size_is_no_refutation():
    # at 128 units the exponent is five errors below the mean field; the extrapolation is not
    found = gradflow.theory("rnn:init=ginibre", gain=1.5, input="zero").predictions
    place = found.quantity.index("largest_exponent")
    assert abs(found.measured[place] - found.predicted[place]) > 4 * found.standard_error[place]
    assert abs(found.deviation[place]) < 3


def test_newmans_law_needs_no_warning_of_a_finite_size():
    exact = gradflow.theory("ginibre", hidden=3, steps=20, seeds=2)
    limit = gradflow.theory("rnn", hidden=3, steps=20, seeds=2)
    assert not exact.notes
    assert any("N → ∞" in note and "N = 3" in note for note in limit.notes)


# --- gated cells


@pytest.mark.parametrize(
    ("cell", "kept", "through"),
    [
        # c' = f⊙c + i⊙g, h' = o⊙tanh c': k = σ(b_f), a = σ(b_i)σ(b_o), times r of U_g
        ("lstm:init=ginibre", 0.5, 0.25),
        ("lstm:init=ginibre,forget_bias=1", sigmoid(1), 0.25),
        ("lstm:init=ginibre,forget_bias=-2", sigmoid(-2), 0.25),
        ("lstm:init=ginibre,forget_bias=1,peephole=on", sigmoid(1), 0.25),
        ("lstm:init=ginibre,coupled=on,forget_bias=1", sigmoid(1), sigmoid(-1) / 2),
        ("lstm:init=ginibre,forget_gate=off", 1.0, 0.25),
        ("lstm:init=ginibre,gain=3", 0.5, 0.75),
        ("lstm:init=orthogonal,gain=0.7", 0.5, 0.7 / 4),
        ("lstm", 0.5, 0.25 / math.sqrt(3)),
        # Keras shares its orthonormal columns over four gates (three): radius ½ (1/√3), and b_f = 1
        ("lstm:init=keras", sigmoid(1), 0.125),
        ("lstm:init=keras,coupled=on", sigmoid(1), sigmoid(-1) / 2 / math.sqrt(3)),
        ("lstm:init=keras,forget_gate=off", 1.0, 0.25 / math.sqrt(3)),
        ("lstm:init=keras,forget_bias=0", 0.5, 0.125),
        # k = σ(b_z), a = (1 − σ(b_z))σ(b_r), times r of U_n
        ("gru:init=ginibre", 0.5, 0.25),
        ("gru:init=ginibre,update_bias=2", sigmoid(2), sigmoid(-2) / 2),
        ("gru:init=ginibre,update_bias=2,reset=before", sigmoid(2), sigmoid(-2) / 2),
        ("gru:init=keras", 0.5, 0.25 / math.sqrt(3)),
        ("gru", 0.5, 0.25 / math.sqrt(3)),
    ],
)
def test_gated_cells_next_to_0_fill_a_disc_around_what_they_keep(cell, kept, through):
    found = predicted(cell)
    assert found["zero_state_rate"] == pytest.approx(math.log(kept + through), abs=1e-12)
    if kept == 1:  # what is kept for ever is critical at no gain but 0
        assert math.isnan(found["critical_gain"])
    else:
        gain = parse_cell(cell).options.get("gain", 1.0)
        critical = (1 - kept) / (through / gain)
        assert found["critical_gain"] == pytest.approx(critical, rel=1e-12)
        name, _, options = cell.partition(":")
        rest = [option for option in options.split(",") if option and not option.startswith("gain")]
        at = predicted(":".join(filter(None, [name, ",".join(rest)])), gain=critical)
        assert at["zero_state_rate"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("cell", "gate", "kept", "through"),
    [
        ("lstm:init=ginibre,forget_bias=1", "g", sigmoid(1), 0.25),
        ("lstm:init=ginibre,forget_bias=-1,gain=4", "g", sigmoid(-1), 0.25),
        ("lstm:init=ginibre,coupled=on,forget_bias=0.5", "g", sigmoid(0.5), sigmoid(-0.5) / 2),
        ("lstm:init=ginibre,forget_gate=off,gain=2", "g", 1.0, 0.25),
        ("lstm:init=ginibre,peephole=on", "g", 0.5, 0.25),
        ("lstm:init=keras", "g", sigmoid(1), 0.25),
        ("gru:init=ginibre,update_bias=1,gain=3", "n", sigmoid(1), sigmoid(-1) / 2),
        ("gru:init=ginibre,reset=before", "n", 0.5, 0.25),
    ],
)
def test_zero_state_rate_of_a_draw_without_biases_is_exact_in_the_eigenvalues_of_its_candidate(
    cell, gate, kept, through
):
    # σ(b_f) + σ(b_i)σ(b_o) ν_k(U_g), plus N zeros; σ(b_z) + (1 − σ(b_z))σ(b_r) ν_k(U_n)
    found = rows(gradflow.theory(cell, hidden=15, features=2, seeds=1))
    eigenvalues = np.linalg.eigvals(fresh(cell, 15, 2, 0).recurrent(gate))
    expected = math.log(abs(kept + through * eigenvalues).max())
    assert found["zero_state_rate"][1] == pytest.approx(expected, abs=1e-9)
    assert found["spectral_radius"][1] == pytest.approx(abs(eigenvalues).max(), rel=1e-12)


@pytest.mark.parametrize(
    "cell", ["lstm:gain=3", "lstm:init=keras,coupled=on", "gru:gain=3", "lstm:init=chrono"]
)
def test_zero_state_rate_of_large_gated_cells_is_measured_as_predicted(cell):
    expected, measured, error, _ = rows(gradflow.theory(cell, hidden=150, seeds=6, features=2))[
        "zero_state_rate"
    ]
    # the edge of a finite spectrum scatters and lies out by some 1/√N of the disc's radius, here at most 0.75
    assert abs(measured - expected) < 4 * error + 0.75 / math.sqrt(150) * 0.5


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999, 1.0])
@pytest.mark.parametrize("reach", [0.0, 1e-300, 1e-6, 1e-3, 0.25, 40.0])
def test_edge_of_units_that_are_all_alike_is_that_of_a_disc(kept, reach):
    assert Alike(kept, 0.25).edge(4 * reach) == pytest.approx(kept + reach, rel=1e-15, abs=0)


def chrono_edge(deviation, horizon):
    """The edge in closed form: with v = 1 + u uniform on [2, T], k = 1 − 1/v and a = 1/(2v),

    ⟨r²a²/(1 + w − k)²⟩ = r²/4 ⟨(1 + w v)⁻²⟩ = r²/4 / ((1 + 2w)(1 + Tw)) = 1, a quadratic equation of w.
    """
    total = horizon + 2
    root = math.sqrt(total**2 - 8 * horizon * (1 - deviation**2 / 4))
    return 1 + (root - total) / (4 * horizon)


@pytest.mark.parametrize("cell", ["lstm", "gru", "lstm:coupled=on"])
@pytest.mark.parametrize(("gain", "horizon"), [(0.4, 30), (1.0, 100), (4.0, 10), (7.0, 1000), (1.0, 2)])
def test_edge_of_chrono_initialization_is_its_closed_form(cell, gain, horizon):
    name, _, option = cell.partition(":")
    text = f"{name}:init=chrono,horizon={horizon},gain={gain}" + f",{option}" * bool(option)
    found = predicted(text)
    expected = chrono_edge(gain / math.sqrt(3), horizon)
    assert found["zero_state_rate"] == pytest.approx(math.log(expected), rel=1e-9, abs=1e-12)
    # at z = 1 the mean is r²/4, whatever the memories: critical at r = 2
    assert found["critical_gain"] == pytest.approx(2 * math.sqrt(3), rel=1e-12)


def test_edge_of_chrono_initialization_is_that_of_a_large_sampled_matrix():
    size, horizon, deviation = 1000, 10, 4.0
    generator = np.random.default_rng(1)
    memories = generator.uniform(1, horizon - 1, size)
    random = generator.standard_normal((size, size)) * deviation / math.sqrt(size)
    matrix = np.diag(memories / (1 + memories)) + (0.5 / (1 + memories))[:, None] * random
    assert chrono_edge(deviation, horizon) == pytest.approx(abs(np.linalg.eigvals(matrix)).max(), rel=0.03)


# --- what is refused


@pytest.mark.parametrize(
    ("cell", "part"),
    [
        ("lstm:projection=8", "projection"),
        ("rnn:layers=2", "layers"),
        ("lstm:layers=3", "layers"),
        ("rnn:init=identity", "expected an init of torch, keras, ginibre, orthogonal"),
        ("gru:init=identity", "expected an init of"),
        ("nonsense", "'nonsense'"),
        ("gri", "did you mean 'gru'"),
        ("", "Valid: rnn, lstm, gru, ginibre"),
        ("ginibre:activation=relu", "unknown option 'activation'"),
        ("rnn:foo=1", "unknown option 'foo'"),
        ("rnn:activation=tan", "'tan'"),
    ],
)
def test_what_no_theory_is_of_is_refused_by_name(cell, part):
    with pytest.raises(UsageError, match=part):
        gradflow.theory(cell, measure=False)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"hidden": 0}, "hidden 0"),
        ({"seeds": 0}, "seeds 0"),
        ({"seed": -1}, "seed -1"),
        ({"gain": math.nan}, "nan"),
        ({"gain": math.inf}, "inf"),
        ({"input_scale": math.inf}, "inf"),
        ({"features": 0}, "features 0"),
        ({"input": np.zeros((10, 2)), "features": 3}, "features 3"),
        ({"input": np.zeros((10, 2)), "steps": 11}, "steps 11"),
    ],
)
def test_bad_flags_are_refused_with_the_value(options, part):
    with pytest.raises(UsageError, match=part):
        gradflow.theory("rnn", measure=False, **options)


# --- the summary


@pytest.mark.parametrize(
    ("gain", "verdict"),
    # ln 0.9 × 1000 steps = −105, ln 100 = 4.6: vanishing; at gain 2 0.15 × 1000 = 155: exploding
    [(0.9, "vanishing"), (0.9999, "stable"), (2.0, "exploding")],
)
def test_verdict_is_that_of_the_predicted_rate_over_the_steps(gain, verdict):
    found = gradflow.theory("rnn:init=ginibre", gain=gain, input="zero", measure=False)
    assert found.verdict == verdict
    assert found.get_verdicts() == {verdict}
    assert found.rate == rows(found)["largest_exponent"][0]


@pytest.mark.parametrize(
    ("cell", "name", "subject"),
    [
        ("rnn", "largest_exponent", "The largest exponent is"),
        ("lstm", "zero_state_rate", "The zero state rate is"),
        ("gru", "zero_state_rate", "The zero state rate is"),
        ("ginibre", "exponent_1", "Exponent 1 is"),
    ],
)
def test_rate_is_that_of_the_leading_exponent_of_the_subject(cell, name, subject):
    found = gradflow.theory(cell, hidden=4, measure=False)
    assert found.rate == rows(found)[name][0]
    assert found.conclusion.startswith(f"{subject} {found.rate:.6g} nats per step by theory")
    assert found.parameter is found.critical_value is found.critical_measured is found.sweep is None


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"steps": -3}, {"transient": -1}, {"steps": 10**30}, {"seed": -1}],
)
@pytest.mark.parametrize("subject", ["rnn", "ginibre"])
def test_numbers_out_of_range_are_refused(subject, options):
    (name,) = options
    with pytest.raises(UsageError, match=f"^{name} .*: expected an integer from "):
        gradflow.theory(subject, hidden=4, **options)


def test_an_overflowing_spread_of_squares_is_no_warning():
    # a growing relu network reaches 1e200, whose square no double holds
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gradflow.theory("rnn:activation=relu,init=ginibre,gain=9", hidden=16, seeds=2, steps=150)
    assert found.conclusion
