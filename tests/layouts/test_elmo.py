"""ELMo's LSTMs compared with slow twins of the cells of AllenNLP and bilm-tf, which cannot be installed."""

import numpy as np
import pytest

from gradflow import from_state_dict
from gradflow.errors import DataError, UsageError
from gradflow.layouts.feeds import Feed, UnknownFeed

INPUT, UNITS, PROJECTED, STEPS = 3, 5, 2, 6


def uniform(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-0.8, 0.8, shape)


def sigma(z):
    return 1 / (1 + np.exp(-z))


def allennlp(path, features=INPUT, outputs=PROJECTED, seed=0):
    return {
        f"{path}input_linearity.weight": uniform(4 * UNITS, features, seed=seed),
        f"{path}state_linearity.weight": uniform(4 * UNITS, outputs, seed=seed + 1),
        f"{path}state_linearity.bias": uniform(4 * UNITS, seed=seed),
        f"{path}state_projection.weight": uniform(outputs, UNITS, seed=seed),
    }


def run_allennlp(arrays, path, inputs):
    h, c = np.zeros(PROJECTED), np.zeros(UNITS)
    states = [np.append(h, c)]
    for x in inputs:
        rows = arrays[f"{path}input_linearity.weight"] @ x + arrays[f"{path}state_linearity.weight"] @ h
        i, f, g, o = np.split(rows + arrays[f"{path}state_linearity.bias"], 4)
        c = sigma(i) * np.tanh(g) + sigma(f) * c
        h = arrays[f"{path}state_projection.weight"] @ (sigma(o) * np.tanh(c))
        states.append(np.append(h, c))
    return np.array(states)


def test_allennlp_cell_is_an_lstm_with_a_projection():
    arrays, inputs = allennlp("elmo.forward_layer_0."), uniform(STEPS, INPUT)
    (layer,) = from_state_dict(arrays).layers
    expected = run_allennlp(arrays, "elmo.forward_layer_0.", inputs)
    np.testing.assert_allclose(layer.cell.run(inputs), expected, rtol=0, atol=1e-14)
    assert (layer.kind, layer.framework, layer.direction) == ("lstm", "elmo", "forward")
    assert layer.assumed == ("clip=none",)


def test_weight_file_of_bilm_is_read_with_the_forget_bias_that_it_adds():
    path = "RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/"
    arrays = {
        f"{path}W_0": uniform(INPUT + PROJECTED, 4 * UNITS),
        f"{path}B": uniform(4 * UNITS),
        f"{path}W_P_0": uniform(UNITS, PROJECTED),
    }
    inputs, h, c = uniform(STEPS, INPUT), np.zeros(PROJECTED), np.zeros(UNITS)
    (layer,) = from_state_dict(arrays).layers
    states = layer.cell.run(inputs)
    for x, found in zip(inputs, states[1:], strict=True):
        i, j, f, o = np.split(np.append(x, h) @ arrays[f"{path}W_0"] + arrays[f"{path}B"], 4)
        c = sigma(f + 1) * c + sigma(i) * np.tanh(j)
        h = sigma(o) * np.tanh(c) @ arrays[f"{path}W_P_0"]
        np.testing.assert_allclose(found, np.append(h, c), rtol=0, atol=1e-14)
    assert layer.direction == "backward"
    assert layer.assumed == ("forget_bias=1", "clip=none")


def test_upper_layers_are_fed_the_sum_of_the_outputs_below():
    sizes = [INPUT, PROJECTED, PROJECTED]
    arrays = {}
    for way in ("forward", "backward"):
        for k, features in enumerate(sizes):
            arrays |= allennlp(f"elmo.{way}_layer_{k}.", features, seed=k)
    networks = {network.name: network for network in from_state_dict(arrays).networks}
    assert {network.layers[0].direction for network in networks.values()} == {"forward", "backward"}
    assert networks["elmo.forward_layer_0"].feed is None
    feed = networks["elmo.backward_layer_2"].feed
    assert isinstance(feed, Feed)
    assert feed.sources == ("elmo.backward_layer_0", "elmo.backward_layer_1")
    outputs = {source: uniform(1, STEPS, PROJECTED, seed=k) for k, source in enumerate(feed.sources)}
    np.testing.assert_array_equal(feed.compute(outputs), sum(outputs.values()))


def test_layer_without_projection_does_not_say_what_feeds_it():
    arrays = {}
    for k in range(2):
        layer = allennlp(f"s.layer_{k}.", UNITS if k else INPUT, UNITS, seed=k)
        arrays |= {name: array for name, array in layer.items() if "projection" not in name}
    lower, upper = from_state_dict(arrays).networks
    assert (lower.layers[0].direction, upper.layers[0].direction) == ("forward", "backward")
    assert isinstance(upper.feed, UnknownFeed)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {
                "l.input_linearity.weight": uniform(6 * UNITS, INPUT),
                "l.state_linearity.weight": uniform(5 * UNITS, UNITS),
            },
            "without highway connections",
        ),
        (
            {"l.input_linearity.weight": uniform(8, 3), "l.input_linearity.bias": uniform(8)},
            "state_linearity.weight too",
        ),
        (
            {"l.input_linearity.weight": uniform(9, 3), "l.state_linearity.weight": uniform(9, 3)},
            "4 gates of 3 units",
        ),
    ],
)
def test_other_cells_with_these_names_are_refused(arrays, words):
    with pytest.raises(DataError, match=words):
        from_state_dict(arrays)


def test_clip_is_refused_unless_none():
    with pytest.raises(UsageError, match="clip=3: a clipped state is not supported"):
        from_state_dict(allennlp("l."), assume={"clip": 3})
    assert from_state_dict(allennlp("l."), assume={"clip": "none"}).layers[0].assumed == ()
