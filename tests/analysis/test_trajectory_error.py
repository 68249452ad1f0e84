"""How far rounding of the states moves norms: against last places that move, and against mpmath."""

import math

import mpmath
import numpy as np
import pytest

import gradflow
from gradflow.analysis.compare.measure import ComparisonQuestion, measure
from gradflow.analysis.shared.product_norms import View
from gradflow.cells.rnn import RNN

EPS = np.finfo(np.float64).eps


def one_ulp_apart(inputs, seed):
    """Inputs whose every number is the next double, up or down at random."""
    signs = np.random.default_rng(seed).choice([-np.inf, np.inf], inputs.shape)
    return np.nextafter(inputs, signs)


def largest_change(one, other):
    """By how much log10 of the norms of two comparisons differ at most."""
    before, after = one.flow.log10_norm, other.flow.log10_norm
    with np.errstate(invalid="ignore"):
        return float(np.where(before == after, 0.0, np.abs(after - before)).max())


CELLS = [
    # a cell, its size, steps, and the least error that it must have, where chaos is sure
    ("rnn:init=ginibre,gain=3", 72, 250, 0.1),
    ("rnn:init=ginibre,gain=3", 20, 200, 0.0),  # as a batch
    ("rnn:init=ginibre,gain=2", 60, 100, 0.0),
    ("rnn:layers=2,init=ginibre,gain=3", 20, 80, 0.0),
    ("lstm:init=ginibre,gain=5", 16, 100, 0.0),
    ("gru:init=ginibre,gain=5", 30, 80, 0.0),
    ("rnn:activation=relu,init=ginibre,gain=1.4", 20, 100, 0.0),
]


@pytest.mark.parametrize(("cell", "hidden", "steps", "least"), CELLS)
@pytest.mark.parametrize("seed", range(3))
def test_last_places_of_the_inputs_move_norms_by_three_times_the_error_at_most(
    cell, hidden, steps, least, seed
):
    inputs = 0.3 * np.random.default_rng(seed).standard_normal((steps, 4))
    common = {"hidden": hidden, "seeds": 1, "seed": seed, "exact": True}
    found = gradflow.compare(cell, input=inputs, **common)
    error = found.cells.trajectory_error[0]
    assert error >= least
    for draw in range(2):
        other = gradflow.compare(cell, input=one_ulp_apart(inputs, draw), **common)
        assert largest_change(found, other) <= 3 * error + 1e-13
    assert any("trajectory_error" in note for note in found.notes) == (error > 1e-6)


@pytest.mark.parametrize("view", ["backward", "forward"])
@pytest.mark.parametrize(
    ("cell", "asked"),
    [
        ("lstm:init=ginibre,gain=8", {"block": "hh,hc,ch,cc,direct"}),
        ("rnn:init=ginibre,gain=3", {"norm": "2,fro,min,cond"}),
    ],
)
def test_blocks_and_norms_have_errors_of_their_own(cell, asked, view):
    inputs = 0.3 * np.random.default_rng(1).standard_normal((60, 4))
    common = {"hidden": 24, "seeds": 1, "view": view, "exact": True, **asked}
    found = gradflow.compare(cell, input=inputs, **common)
    for draw in range(2):
        other = gradflow.compare(cell, input=one_ulp_apart(inputs, draw), **common)
        change = np.abs(found.flow.log10_norm - other.flow.log10_norm).reshape(-1, 60).max(axis=1)
        # the product of the inverses has a rounding of its own, told by norm_error
        slack = 1e-13 + found.cells.norm_error
        assert np.all(change <= 3 * found.cells.trajectory_error + slack)


def test_a_linear_network_has_no_such_error():
    found = gradflow.compare(
        "rnn:activation=identity", "rnn:activation=identity,layers=2", hidden=30, steps=60, view="forward"
    )
    assert found.cells.trajectory_error.tolist() == [0.0, 0.0]


def test_the_state_0_has_none():
    weights = 3.0 * np.random.default_rng(0).standard_normal((20, 20)) / math.sqrt(20)
    still = RNN(np.ones((20, 2)), weights, np.zeros(20))
    assert errors(still, np.zeros((50, 2))) == 0.0


@pytest.mark.parametrize("cell", ["rnn", "rnn:init=ginibre,gain=0.9", "lstm", "lstm:forget_bias=3", "gru"])
def test_what_contracts_has_the_error_of_a_few_roundings(cell):
    found = gradflow.compare(cell, hidden=40, steps=200, seeds=2)
    assert found.cells.trajectory_error[0] < 1e-12
    assert not any("trajectory_error" in note for note in found.notes)


def test_float32_has_the_error_of_its_own_last_place():
    common = {"hidden": 20, "steps": 30, "seeds": 3}
    single, double = (
        gradflow.compare("rnn:init=ginibre,gain=3", dtype=dtype, **common).cells.trajectory_error[0]
        for dtype in ("float32", "float64")
    )
    assert 2.0**27 < single / double < 2.0**31


def errors(cell, inputs, initial=None):
    """The largest change over three runs, of the spectral norm."""
    view = View("backward", ("state",), ("2",), tuple(range(1, len(inputs) + 1)), exact=False)
    return measure([cell], [inputs], ComparisonQuestion(view), initial)[0].trajectory_errors["state", "2"]


def exact_log10_norms(weight, bias, initial, steps):
    """log₁₀ |∂h_T/∂h_{T−k}| of h' = tanh(w h + b) for k = 1 … T in 60 digits."""
    state, slopes = initial, []
    for _ in range(steps):
        state = mpmath.tanh(weight * state + bias)
        slopes.append(mpmath.log10(abs(weight * (1 - state**2))))
    return [mpmath.fsum(slopes[steps - lag :]) for lag in range(1, steps + 1)]


@pytest.mark.parametrize(
    ("weight", "bias"), [(3.0, 0.1), (-2.5, 0.3), (1.7, -0.05), (5.0, 0.9), (-7.0, 1.1), (2.0, 0.2)]
)
@pytest.mark.parametrize("distance", [1e-3, 1e-7])
def test_near_an_unstable_point_it_is_the_sensitivity_to_every_number(weight, bias, distance):
    # h* = tanh(w h* + b) with |w sech²(…)| > 1: what is near it goes away from it, errors with it
    with mpmath.workdps(60):
        point = mpmath.findroot(lambda h: h - mpmath.tanh(weight * h + bias), -bias / (weight - 1))
        assert abs(weight * (1 - point**2)) > 1
        numbers = [mpmath.mpf(weight), mpmath.mpf(bias), mpmath.mpf(float(point) + distance)]
        steps = 40
        norms = exact_log10_norms(*numbers, steps)
        sensitivities = np.zeros(steps)
        for place in range(3):
            moved = list(numbers)
            moved[place] *= 1 + mpmath.mpf("1e-30")
            ends = exact_log10_norms(*moved, steps)
            sensitivities += [float(abs(end - norm)) * 1e30 for end, norm in zip(ends, norms, strict=True)]
    largest = EPS * sensitivities.max()  # all last places moved the worst way
    cell = RNN(np.zeros((1, 1)), np.array([[weight]]), np.array([bias]))
    found = errors(cell, np.zeros((steps, 1)), np.array([float(numbers[2])]))
    assert largest / 10 < found < 1.1 * largest + 1e-14


@pytest.mark.parametrize("gain", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_it_covers_what_double_differs_from_longer_numbers(gain, seed):
    generator = np.random.default_rng(seed)
    size, steps = 12, 60
    weights = gain * generator.standard_normal((size, size)) / math.sqrt(size)
    cell = RNN(generator.standard_normal((size, 2)), weights, np.zeros(size))
    inputs = 0.3 * generator.standard_normal((steps, 2))
    with mpmath.workdps(60):
        recurrent, given = mpmath.matrix(weights.tolist()), mpmath.matrix(cell.weight_ih.tolist())
        state, slopes = mpmath.matrix(size, 1), []
        for x in inputs:
            z = recurrent * state + given * mpmath.matrix(x.tolist())
            state = z.apply(mpmath.tanh)
            slopes.append(np.array([float(1 - h**2) for h in state]))
    logs, product = [], np.eye(size)
    for slope in reversed(slopes):
        product = product @ (slope[:, None] * weights)
        logs.append(math.log10(np.linalg.norm(product, 2)))
    view = View("backward", ("state",), ("2",), tuple(range(1, steps + 1)), exact=True)
    measured = measure([cell], [inputs], ComparisonQuestion(view))[0]
    apart = np.abs(measured.log10_norms["state", "2"] - logs).max()
    assert apart <= 3 * measured.trajectory_errors["state", "2"] + 2e-14


def test_a_unit_that_rounding_alone_keeps_shut_has_no_digit_at_all():
    # relu(h − 0.1) from 0.1: shut at z = 0, open where z is a rounding more
    gate = RNN(np.zeros((1, 1)), np.ones((1, 1)), np.array([-0.1]), "relu")
    assert errors(gate, np.zeros((1, 1)), np.array([0.1])) == math.inf


@pytest.mark.parametrize("loss", ["mean", "final"])
@pytest.mark.parametrize("seed", range(3))
def test_last_places_of_the_inputs_move_a_gradient_by_three_times_the_error_at_most(loss, seed):
    inputs = 0.3 * np.random.default_rng(seed).standard_normal((100, 4))
    common = {"hidden": 40, "loss": loss, "seed": seed, "targets": np.zeros((100, 40))}
    cell = "rnn:init=ginibre,gain=3"
    found = gradflow.bptt(cell, input=inputs, **common)
    assert found.trajectory_error > 1e-10
    for draw in range(2):
        other = gradflow.bptt(cell, input=one_ulp_apart(inputs, draw), **common)
        moved = abs(math.expm1((other.log10_gradient_norm - found.log10_gradient_norm) * math.log(10)))
        assert moved <= 3 * found.trajectory_error
    assert any("trajectory_error" in note for note in found.notes) == (found.trajectory_error > 1e-6)


def test_a_gradient_through_a_contracting_cell_has_the_error_of_a_few_roundings():
    for cell in ("rnn", "lstm:layers=2", "gru"):
        assert gradflow.bptt(cell, hidden=8, steps=60, parameter="all", batch=3).trajectory_error < 1e-13


def test_a_layer_of_a_file_has_its_own():
    draw = np.random.default_rng(0).standard_normal
    chaotic = {"weight_ih_l0": draw((72, 4)), "weight_hh_l0": 4.0 * draw((72, 72)) / math.sqrt(72)}
    tame = {"weight_ih_l0": draw((72, 4)), "weight_hh_l0": 0.5 * draw((72, 72)) / math.sqrt(72)}
    inputs = draw((300, 4))
    wild, calm = (
        gradflow.inspect(
            gradflow.from_state_dict(weights, assume={"activation": "tanh"}), input=inputs, length=150
        )
        for weights in (chaotic, tame)
    )
    assert wild.layers.trajectory_error[0] > 1e-6
    assert any("trajectory_error" in note for note in wild.notes)
    assert calm.layers.trajectory_error[0] < 1e-12
    assert not any("trajectory_error" in note for note in calm.notes)


def test_a_layer_has_the_largest_of_its_sequences():
    # along zeros the state stays 0 and nothing is rounded; along others a gain of 4 makes chaos
    draw = np.random.default_rng(0).standard_normal
    model = gradflow.from_state_dict(
        {"weight_ih_l0": 0.1 * draw((40, 3)), "weight_hh_l0": 4.0 * draw((40, 40)) / math.sqrt(40)},
        assume={"activation": "tanh"},
    )
    zeros, noise = np.zeros((200, 3)), draw((200, 3))

    def error(*sequences):
        return gradflow.inspect(model, input=np.stack(sequences)).layers.trajectory_error[0]

    assert error(zeros) == 0
    assert error(noise) > 1e-6
    assert min(error(zeros, noise), error(noise, zeros)) > 1e-6
