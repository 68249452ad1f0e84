"""What is known in closed form about single cells: exact values, eigenvalues, and the bias-only LSTM."""

import math

import numpy as np
import pytest

from gradflow.analysis.compare.measure import ComparisonQuestion, measure
from gradflow.analysis.compare.step_norms import measure_step_norms
from gradflow.analysis.shared.product_norms import View
from gradflow.analysis.shared.trajectory import follow
from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN


def run(cell, inputs, state=None):
    """The cell measured along inputs, spectral norm of the whole state at every lag."""
    return measure([cell], [inputs], ask(inputs), state)[0]


def ask(inputs):
    lags = tuple(range(1, len(inputs) + 1))
    return ComparisonQuestion(View("backward", ("state",), ("2",), lags, False))


def norms(cell, inputs, state=None):
    return run(cell, inputs, state).log10_norms["state", "2"]


def sigma(z):
    return 1 / (1 + math.exp(-z))


def bias_only(forget=0.0, i=0.0, g=0.0, o=0.0, hidden=3):
    """An LSTM whose weights are all 0: its gates are what the biases say."""
    bias = np.repeat([i, forget, g, o], hidden).astype(float)
    return LSTM(np.zeros((4 * hidden, 1)), np.zeros((4 * hidden, hidden)), bias)


def blocks(cell, steps, state=None):
    """The four blocks of the product of all the steps' Jacobians."""
    product = np.eye(cell.state_size)
    trajectory = follow(cell, np.zeros((steps, 1)), state)
    for t in range(steps):
        product = trajectory.jacobian(t).matmat(product)
    (hh, hc), (ch, cc) = ([*np.split(half, 2, axis=1)] for half in np.split(product, 2))
    return hh, hc, ch, cc


@pytest.mark.parametrize(("forget", "expected"), [(0, 7.889e-31), (1, 2.484e-14), (2, 3.073e-6), (5, 0.5109)])
def test_direct_path_of_a_bias_only_lstm_after_a_hundred_steps(forget, expected):
    cc = blocks(bias_only(forget), 100)[3]
    np.testing.assert_allclose(cc, sigma(forget) ** 100 * np.eye(3), rtol=1e-12)
    assert cc[0, 0] == pytest.approx(expected, rel=2e-4)


def test_whole_state_of_a_bias_only_lstm():
    # ‖∂s_T/∂s_0‖ = f^T √(1 + o² sech⁴ c_T), and c_T of the affine recursion c' = f c + i g
    f, i, g, o = sigma(1.0), 0.5, math.tanh(0.5), 0.5
    c = sum(f**k * i * g for k in range(50))
    expected = f**50 * math.sqrt(1 + o**2 * math.cosh(c) ** -4)
    found = norms(bias_only(1.0, g=0.5), np.zeros((50, 1)))[-1]
    assert 10**found == pytest.approx(expected, rel=1e-12)
    assert 10**found == pytest.approx(1.627773754713e-07, rel=1e-12)


def test_whoever_freezes_the_cell_state_gets_zero():
    hh = blocks(bias_only(1.0, g=0.5), 50)[0]
    np.testing.assert_array_equal(hh, 0)


def test_carousel_carries_the_cell_state_unchanged():
    # σ(±800) is 1 and 0 in double precision: f = 1, i = 0
    cc = blocks(bias_only(800.0, i=-800.0, g=0.3), 200, state=np.linspace(-1, 1, 6))[3]
    np.testing.assert_array_equal(cc, np.eye(3))


def test_chrono_bias_leaves_one_over_e():
    cc = blocks(bias_only(math.log(99)), 100)[3]
    assert cc[0, 0] == pytest.approx(0.366032341, abs=5e-10)
    assert cc[0, 0] == pytest.approx(0.99**100, rel=1e-12)


def test_lstm_eigenvalues_at_the_zero_state():
    # σ(b_f) + σ(b_i)σ(b_o) ν_k(U_g) where b_g = 0, beside N zeros
    size, generator = 5, np.random.default_rng(4)
    weight_hh = generator.standard_normal((4 * size, size))
    bias = np.repeat([0.3, 1.2, 0.0, -0.4], size)
    factor = follow(LSTM(np.zeros((4 * size, 1)), weight_hh, bias), np.zeros((1, 1))).jacobian(0)
    recurrent = weight_hh.reshape(4, size, size)[2]
    expected = np.append(sigma(1.2) + sigma(0.3) * sigma(-0.4) * np.linalg.eigvals(recurrent), np.zeros(size))
    found = np.linalg.eigvals(factor.todense())
    for value in expected:
        assert np.abs(found - value).min() < 1e-12


def test_scalar_tanh_fixed_point():
    # h* = tanh(2h*), J = 2(1 − h*²), rate ln J, all from the root in 30 digits: a root cut to 12 gives J
    # only 11, and so is often printed
    cell, fixed = RNN(np.zeros((1, 1)), np.array([[2.0]]), np.zeros(1)), 0.9
    for _ in range(60):
        fixed = math.tanh(2 * fixed)
    assert fixed == pytest.approx(0.957504024077, abs=5e-13)
    inputs, state = np.zeros((40, 1)), np.array([fixed])
    measured = run(cell, inputs, state)
    (steps,) = measure_step_norms([cell], [inputs], ask(inputs), state)
    assert 10 ** steps.log10[0] == pytest.approx(0.166372087751674, rel=1e-13)
    assert measured.log10_norms["state", "2"][-1] * math.log(10) / 40 == pytest.approx(
        -1.793528506542228, rel=1e-13
    )


def test_identity_cell_with_positive_state_passes_everything():
    cell = RNN(np.zeros((4, 1)), np.eye(4), np.zeros(4), "relu")
    np.testing.assert_array_equal(norms(cell, np.zeros((300, 1)), np.ones(4)), 0)


def test_dead_relu_is_an_exact_zero_not_a_nan():
    cell = RNN(np.zeros((2, 1)), np.eye(2), -np.ones(2), "relu")
    assert norms(cell, np.zeros((5, 1))).tolist() == [-math.inf] * 5
