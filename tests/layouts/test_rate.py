"""Rate networks: read where the user says what the file does not, and refused by name otherwise."""

import numpy as np
import pytest

from gradflow import from_state_dict
from gradflow.errors import DataError, UsageError

INPUT, HIDDEN, STEPS = 3, 5, 7


def uniform(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-0.8, 0.8, shape)


W, U, B = uniform(HIDDEN, HIDDEN), uniform(HIDDEN, INPUT), uniform(HIDDEN)
NEUROGYM = {"rnn.input2h.weight": U, "rnn.input2h.bias": B, "rnn.h2h.weight": W, "rnn.h2h.bias": B}
NAMED = {"W_in": U, "W_rec": W, "b_rec": 2 * B, "W_out": uniform(2, HIDDEN)}
SAID = {"leak": 0.2, "activation": "relu"}


def run_rate(leak):
    h, states = np.zeros(HIDDEN), [np.zeros(HIDDEN)]
    for x in uniform(STEPS, INPUT):
        h = (1 - leak) * h + leak * np.maximum(W @ h + U @ x + 2 * B, 0)
        states.append(h)
    return states


@pytest.mark.parametrize(
    "arrays", [NEUROGYM, NAMED, NAMED | {"W_in": U.T, "W_rec": W.T}], ids=["neurogym", "rows", "columns"]
)
def test_rate_network_is_a_leaky_cell_with_what_the_user_says(arrays):
    checkpoint = from_state_dict(arrays, assume=SAID)
    (layer,) = checkpoint.layers
    np.testing.assert_allclose(layer.cell.run(uniform(STEPS, INPUT)), run_rate(0.2), rtol=0, atol=1e-14)
    assert layer.assumed == ()
    assert any("(1 - leak) h + leak activation(W h" in remark for remark in checkpoint.remarks)


def test_leak_that_the_file_has_is_used():
    (layer,) = from_state_dict(NAMED | {"alpha": np.array(0.3)}, assume={"activation": "relu"}).layers
    np.testing.assert_allclose(layer.cell.run(uniform(STEPS, INPUT)), run_rate(0.3), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("arrays", "assume", "words"),
    [
        (NEUROGYM, {}, r"rnn.h2h.weight \(5, 5\).*`assume` leak=0.2,activation=relu"),
        (NAMED, {"activation": "relu"}, "leak and activation.*`assume` leak=0.2 "),
        (NAMED | {"alpha": np.array(0.3)}, {}, "`assume` activation=relu"),
        (NAMED | {"init_state": uniform(1, HIDDEN)}, SAID, "PsychRNN, which applies it before them"),
        (NAMED | {"W_in": W}, SAID, "W_in of which one side alone has 5"),
    ],
)
def test_what_the_file_does_not_say_is_asked_for(arrays, assume, words):
    with pytest.raises(DataError, match=words):
        from_state_dict(arrays, assume=assume)


def test_leak_out_of_range_is_refused():
    with pytest.raises(UsageError, match=r"a=2\.0: expected a number over 0 and at most 1"):
        from_state_dict(NEUROGYM, assume=SAID | {"leak": 2})
