"""How far a state depends on its first input: closed forms, and a latch whose gradient vanishes."""

import math

import numpy as np
import pytest

from gradflow.analysis.shared.gradient_share import measure_share
from gradflow.analysis.shared.memory import measure_memory
from gradflow.analysis.shared.trajectory import follow
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell


def linear(factor):
    """The cell h' = a h + x."""
    return RNN(np.ones((1, 1)), np.array([[factor]]), np.zeros(1), "identity")


def sequences(count, steps, seed=0):
    return np.random.default_rng(seed).standard_normal((count, steps, 1))


@pytest.mark.parametrize("factor", [0.5, 0.9, -0.7, 1.0, 1.2])
@pytest.mark.parametrize(("count", "steps"), [(2, 1), (2, 7), (5, 20), (8, 33)])
def test_a_linear_network_keeps_a_power_of_its_factor(factor, count, steps):
    inputs = sequences(count, steps + 4)
    # h_k = Σ a^(k−t) x_t; with another first input it moves by a^(k−1) times the difference
    weights = factor ** np.arange(steps - 1, -1, -1.0)
    final = inputs[:, :steps, 0] @ weights
    moved = np.abs(weights[0] * (np.roll(inputs[:, 0, 0], 1) - inputs[:, 0, 0]))
    pairs = [(final[i] - final[j]) ** 2 for i in range(count) for j in range(count) if i != j]
    exact = np.median(moved) / math.sqrt(np.mean(pairs))
    assert measure_memory(follow(linear(factor), inputs), steps) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1.0, 1e200])
def test_memory_does_not_depend_on_the_unit_of_the_state(scale):
    inputs = sequences(4, 30)
    plain = measure_memory(follow(linear(0.9), inputs), 30)
    assert measure_memory(follow(linear(0.9), scale * inputs), 30) == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize("size", [1, 6])
def test_a_latch_remembers_the_sign_of_its_first_input_though_its_gradient_vanishes(size):
    # h' = tanh(5 h + 5 x): far from 0 the state stays at ±tanh(5 h), where the slope is about 2e-4
    cell = RNN(np.full((size, 1), 5.0), 5 * np.eye(size), np.zeros(size))
    inputs = np.zeros((8, 60, 1))
    inputs[:, 0, 0] = [1.0, -1.0] * 4
    trajectory = follow(cell, inputs)
    end = 1.0
    for _ in range(100):
        end = math.tanh(5 * end)
    assert trajectory.states[:, 60, 0] == pytest.approx([end, -end] * 4, rel=1e-12)
    # every exchange turns the sign: 2 h beside a root mean square over all pairs, of which 4/7 differ in sign
    assert measure_memory(trajectory, 60) == pytest.approx(math.sqrt(7 / 4), rel=1e-9)
    assert measure_memory(follow(cell, inputs[:2]), 60) == pytest.approx(1.0, rel=1e-9)
    share = measure_share(trajectory, 60, ends=1)
    assert share.verdict == "vanishing"
    assert share.log10_share == pytest.approx(59 * math.log10(5 * (1 - end**2)), rel=0.05)


@pytest.mark.parametrize("spec", ["rnn:gain=0.5", "lstm", "gru"])
def test_of_a_cell_it_is_the_distance_of_two_runs_beside_that_of_different_sequences(spec):
    cell = parse_cell(spec).make(5, 2, np.random.default_rng(1))
    inputs = np.random.default_rng(2).standard_normal((3, 12, 2))
    states = [cell.run(one)[9] for one in inputs]
    moved = []
    for k, one in enumerate(inputs):
        other = one.copy()
        other[0] = inputs[k - 1][0]
        moved.append(np.linalg.norm(cell.run(other)[9] - states[k]))
    pairs = [np.linalg.norm(a - b) ** 2 for i, a in enumerate(states) for b in states[:i]]
    exact = np.median(moved) / math.sqrt(np.mean(pairs))
    assert measure_memory(follow(cell, inputs), 9) == pytest.approx(exact, rel=1e-9)


def test_where_nothing_can_be_measured_there_is_no_memory():
    inputs = sequences(4, 30)
    same = inputs.copy()
    same[:, 0] = 0.5
    assert measure_memory(follow(linear(0.9), same), 30) is None  # no first input to exchange
    assert measure_memory(follow(linear(0.9), np.repeat(inputs[:1], 4, axis=0)), 30) is None
    assert measure_memory(follow(linear(0.9), inputs[:1]), 30) is None
    assert measure_memory(follow(linear(0.9), inputs[0]), 30) is None
    assert measure_memory(follow(linear(0.9), inputs), 31) is None  # fewer steps than asked for
    dead = RNN(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros(1))
    assert measure_memory(follow(dead, inputs), 30) is None  # all states alike
    assert measure_memory(follow(linear(1e30), inputs), 30) is None  # overflows
    # a run that stays finite overflows with the first input of the other: 2⁴⁰⁰ˑᵏ after k steps
    inputs = np.zeros((2, 3, 1))
    inputs[0, :2, 0], inputs[1, 0] = [2.0**400, -(2.0**800)], 1.0
    trajectory = follow(linear(2.0**400), inputs)
    assert trajectory.blow_up is None
    assert measure_memory(trajectory, 2) is not None
    assert measure_memory(trajectory, 3) is None


def test_sequences_with_the_same_first_input_are_left_out():
    inputs = sequences(4, 10)
    inputs[1, 0] = inputs[0, 0]  # the first of the second sequence becomes itself
    found = measure_memory(follow(linear(0.9), inputs), 10)
    weights = 0.9 ** np.arange(9, -1, -1.0)
    final = inputs[:, :, 0] @ weights
    moved = np.abs(weights[0] * (np.roll(inputs[:, 0, 0], 1) - inputs[:, 0, 0]))[[0, 2, 3]]
    pairs = [(final[i] - final[j]) ** 2 for i in range(4) for j in range(i)]
    assert found == pytest.approx(np.median(moved) / math.sqrt(np.mean(pairs)), rel=1e-9)
