import numpy as np
import pytest

from gradflow.cells.lstm import LSTM
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell
from gradflow.errors import UsageError


def made(spec, hidden=6, seed=0):
    return parse_cell(spec).make(hidden, 4, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("rnnn", ["'rnnn'", "did you mean 'rnn'", "lstm"]),
        ("lstm:forgetbias=1", ["'forgetbias'", "did you mean 'forget_bias'"]),
        ("rnn:forget_bias=1", ["'forget_bias'", "activation"]),
        ("rnn:gain", ["'gain'", "option=value"]),
        ("rnn:", ["option=value"]),
        ("rnn:gain=", ["option=value"]),
        ("rnn:gain=abc", ["gain", "'abc'", "finite number"]),
        ("rnn:gain=nan", ["gain", "'nan'", "finite number"]),
        ("rnn:gain=1,gain=2", ["'gain'", "twice"]),
        ("", ["''", "rnn"]),
    ],
)
def test_a_bad_spec_says_what_which_and_what_is_valid(spec, parts):
    with pytest.raises(UsageError) as caught:
        parse_cell(spec)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "part"), [("rnn:activation=tahn", "tanh"), ("lstm:init=orthogonl", "orthogonal")]
)
def test_a_bad_word_for_an_option_is_met_with_the_nearest(spec, part):
    with pytest.raises(UsageError, match=f"did you mean '{part}'"):
        made(spec)


def test_torch_initialization_is_uniform_within_its_bound():
    cell = made("lstm", hidden=64)
    assert isinstance(cell, LSTM)
    for weights in (cell.weight_ih, cell.weight_hh):
        assert np.abs(weights).max() <= 1 / 8
        assert weights.std() == pytest.approx(1 / 8 / np.sqrt(3), rel=0.05)
    assert 1 / 8 < np.abs(cell.bias).max() <= 2 / 8  # the sum of two


def test_torch_default_recurrent_gain_is_one_over_root_three():
    cell = made("rnn", hidden=400)
    assert isinstance(cell, RNN)
    radius = np.abs(np.linalg.eigvals(cell.weight_hh)).max()
    assert radius == pytest.approx(0.57735, rel=0.06)


def test_gain_multiplies_the_recurrent_weights_alone():
    plain, scaled = made("rnn"), made("rnn:gain=1.5")
    np.testing.assert_array_equal(scaled.weight_hh, 1.5 * plain.weight_hh)
    np.testing.assert_array_equal(scaled.weight_ih, plain.weight_ih)
    np.testing.assert_array_equal(scaled.bias, plain.bias)


def test_orthogonal_initialization_is_orthogonal_gate_by_gate():
    cell = made("lstm:init=orthogonal,gain=0.9")
    for block in np.split(cell.weight_hh, 4):
        np.testing.assert_allclose(block @ block.T, 0.81 * np.eye(6), atol=1e-14)


def test_forget_bias_replaces_the_forget_gates_bias_alone():
    plain, biased = made("lstm"), made("lstm:forget_bias=2.5")
    np.testing.assert_array_equal(biased.bias[6:12], 2.5)
    np.testing.assert_array_equal(np.delete(biased.bias, np.s_[6:12]), np.delete(plain.bias, np.s_[6:12]))
