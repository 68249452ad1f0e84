"""A list of Keras's layers in JSON, as RTNeural writes it, is a model of Keras."""

import json

import numpy as np
import pytest

from gradflow import load, read_arrays
from gradflow.layouts.feeds import UnknownFeed

DRAW = np.random.default_rng(7).normal
SHAPES = {"lstm": [(3, 8), (2, 8), (8,)], "gru": [(2, 6), (2, 6), (2, 6)], "dense": [(2, 1), (1,)]}


def layer(kind, activation=""):
    weights = [DRAW(size=shape) for shape in SHAPES[kind]]
    described = {"type": kind, "activation": activation, "shape": [None, None, 2]}
    return weights, described | {"weights": [array.tolist() for array in weights]}


def placed(place, *layers):
    return place(json.dumps({"in_shape": [None, None, 3], "layers": list(layers)}), "model.json")


def test_layers_are_keras_cells_whose_activations_are_stated(place):
    (kernel, recurrent, bias), lstm = layer("lstm", "tanh")
    checkpoint = load(
        placed(place, lstm, layer("gru", "tanh")[1], layer("gru", "tanh")[1], layer("dense")[1])
    )
    assert [(one.name, one.kind) for one in checkpoint.layers] == [
        ("lstm", "lstm"),
        ("gru", "gru"),
        ("gru_1", "gru"),
    ]
    assert all(one.assumed == () for one in checkpoint.layers)
    cell = checkpoint["lstm"].make_cell()
    np.testing.assert_array_equal(cell.weight_hh[4:6], recurrent.T[4:6])
    np.testing.assert_array_equal(cell.weight_ih[:2], kernel.T[:2])
    np.testing.assert_array_equal(cell.bias, bias)


def test_step_equals_the_equations_of_keras(place):
    (kernel, recurrent, bias), gru = layer("gru", "tanh")
    cell = load(placed(place, gru)).layers[0].cell
    x, h = DRAW(size=2), DRAW(size=2)
    zx, rx, nx = np.split(x @ kernel + bias[0], 3)
    zh, rh, nh = np.split(h @ recurrent + bias[1], 3)
    z, r = 1 / (1 + np.exp(-zx - zh)), 1 / (1 + np.exp(-rx - rh))
    expected = z * h + (1 - z) * np.tanh(nx + r * nh)
    np.testing.assert_allclose(cell.run(x[np.newaxis], h)[1], expected, rtol=1e-14)


def test_bare_list_of_layers_is_read_too(place):
    checkpoint = load(place(json.dumps([layer("lstm")[1], layer("dense")[1]]), "model.json"))
    assert [(one.name, one.kind) for one in checkpoint.layers] == [("lstm", "lstm")]


def test_names_are_those_of_keras(place):
    path = placed(place, layer("dense")[1], {"type": "activation", "activation": "relu"}, layer("dense")[1])
    assert list(read_arrays(path)) == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]


@pytest.mark.parametrize(
    "layers", [3, [], [1], [{"type": 3}], [{"type": "lstm", "weights": 4}], [{"type": "lstm"}]]
)
def test_other_json_with_layers_is_read_as_json(layers, place):
    assert list(read_arrays(place(json.dumps({"layers": layers, "weight": [[1, 2]]}))))[-1] == "weight"


def test_ragged_weights_are_refused_where_they_are_used(place, check_refused):
    described = layer("lstm")[1]
    described["weights"][1][0] = [1.0]
    check_refused(lambda: load(placed(place, described)), "lstm/recurrent_kernel")


def between(kind, *arrays, **options):
    return {"type": kind, "activation": "", "weights": [array.tolist() for array in arrays], **options}


def computed_between(place, described, h):
    """Return what the second of two LSTMs is fed if the first gives out h."""
    upper = layer("lstm")[1]
    upper["weights"][0] = upper["weights"][0][: h.shape[2]]
    feed = load(placed(place, layer("lstm")[1], described, upper))["lstm_1"].feed
    return feed.compute({"lstm": h})


H = DRAW(size=(2, 6, 2))
GAMMA, BETA, MEAN, VARIANCE = (np.exp(DRAW(size=2)) for _ in range(4))


@pytest.mark.parametrize("epsilon", [0.001, 1.0])
def test_batchnorm_has_its_epsilon(epsilon, place):
    expected = (H - MEAN) / np.sqrt(VARIANCE + epsilon)
    plain = between("batchnorm", MEAN, VARIANCE, epsilon=epsilon)
    np.testing.assert_allclose(computed_between(place, plain, H), expected, rtol=1e-14)
    scaled = between("batchnorm", GAMMA, BETA, MEAN, VARIANCE, epsilon=epsilon)
    np.testing.assert_allclose(computed_between(place, scaled, H), GAMMA * expected + BETA, rtol=1e-13)


def test_convolution_sees_no_later_step_and_has_its_dilation(place):
    kernel, bias = DRAW(size=(2, 2, 2)), DRAW(size=2)
    earlier = np.concatenate([np.zeros((2, 3, 2)), H[:, :-3]], axis=1)
    described = between("conv1d", kernel, bias, kernel_size=[2], dilation=[3])
    expected = earlier @ kernel[0] + H @ kernel[1] + bias
    np.testing.assert_allclose(computed_between(place, described, H), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (between("batchnorm", GAMMA, BETA, MEAN, VARIANCE), "epsilon of layer 'batchnorm'"),
        (between("conv1d", np.ones((2, 2, 2)), MEAN, kernel_size=[2]), "dilation_rate of layer 'conv1d'"),
        (between("unknown"), "type 'unknown' of RTNeural"),
        (between("Dropout"), "type 'Dropout' of RTNeural"),
        (between("dense", np.eye(2), MEAN, skip=1), "dense with the unknown option 'skip'"),
    ],
)
def test_layer_of_which_something_is_not_known_is_named(described, words, place):
    feed = load(placed(place, layer("lstm")[1], described, layer("lstm")[1]))["lstm_1"].feed
    assert isinstance(feed, UnknownFeed)
    assert words in feed.reason
