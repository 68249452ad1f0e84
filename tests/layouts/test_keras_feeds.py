"""What feeds the recurrent layers of Keras models: the expected inputs are computed step by step."""

import io
import json
import math
import pickle
import zipfile

import h5py
import numpy as np
import pytest

from gradflow import inspect, load
from gradflow import run as run_file
from gradflow.errors import DataError
from gradflow.layouts import keras_feeds, keras_symbols
from gradflow.layouts.feeds import Feed, UnknownFeed
from tests.layouts.test_files import run_network

STEPS, FEATURES, UNITS = 6, 3, 4
generator = np.random.default_rng(5)
INPUTS = generator.standard_normal((2, STEPS, FEATURES))


def draw(*shape):
    return generator.uniform(-0.8, 0.8, shape)


def rnn(name, features, units=UNITS, **config):
    """Return a SimpleRNN: its configuration and its arrays."""
    arrays = {"kernel": draw(features, units), "recurrent_kernel": draw(units, units), "bias": draw(units)}
    return {"class_name": "SimpleRNN", "config": {"name": name, "return_sequences": True, **config}}, {
        f"{name}/simple_rnn_cell/{role}": array for role, array in arrays.items()
    }


def layer(class_name, name, arrays=None, **config):
    """Return another layer: its configuration and its arrays."""
    return {"class_name": class_name, "config": {"name": name, **config}}, {
        f"{name}/{role}": array for role, array in (arrays or {}).items()
    }


def wrap(class_name, name, inner, **config):
    """Return a wrapper of a layer."""
    told, arrays = inner
    return {"class_name": class_name, "config": {"name": name, "layer": told, **config}}, {
        f"{name}/{path}": array for path, array in arrays.items()
    }


def sequential(*layers):
    """Return the configuration of a sequential model, and its arrays as an .h5 file has them."""
    told = [one for one, _ in layers]
    told[0] = {**told[0], "config": {"batch_input_shape": [None, STEPS, FEATURES], **told[0]["config"]}}
    return {"class_name": "Sequential", "config": {"name": "model", "layers": told}}, join(layers)


def join(layers):
    return {
        f"model_weights/{told['config']['name']}/{path}": array
        for told, arrays in layers
        for path, array in arrays.items()
    }


def functional(*calls):
    """Return a functional model in Keras 2's words: each layer with its nodes."""
    first = {
        "class_name": "InputLayer",
        "config": {"name": "x", "batch_input_shape": [None, STEPS, FEATURES]},
    }
    listed = [{**first, "name": "x", "inbound_nodes": []}]
    for (told, _), nodes in calls:
        listed.append({**told, "name": told["config"]["name"], "inbound_nodes": nodes})
    config = {"name": "model", "layers": listed, "input_layers": [["x", 0, 0]], "output_layers": []}
    return {"class_name": "Functional", "config": config}, join([layers for layers, _ in calls])


def node(*names, **others):
    return [[name, 0, 0, others] for name in names]


@pytest.fixture
def networks(tmp_path):
    """Write a model and return its networks by name."""

    def read(model, version="2.11.0"):
        config, arrays = model
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            for path, array in arrays.items():
                file[path] = array
            file.attrs.update({"model_config": json.dumps(config), "keras_version": version})
        path = tmp_path / "model.h5"
        path.write_bytes(stream.getvalue())
        return {network.name: network for network in load(path).networks}

    return read


def run(network, fed):
    return np.stack([run_network(network, one) for one in fed])


def compute(network, **outputs):
    """Return what feeds a network, by a copy that was pickled."""
    feed = pickle.loads(pickle.dumps(network.feed))
    assert set(feed.sources) == {name.replace("input", "") for name in outputs}
    return feed.compute({name.replace("input", ""): output for name, output in outputs.items()})


def loop_steps(function, sequences):
    """Apply a function of one step to all steps, one by one."""
    return np.array([[function(step) for step in sequence] for sequence in sequences])


def gelu(z):
    return np.array([0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in z])


def test_layers_of_a_sequential_model_feed_each_other(networks):
    mean, variance, beta = draw(UNITS), np.abs(draw(UNITS)), draw(UNITS)
    kernel, bias, alpha = draw(UNITS, 5), draw(5), draw(1, 5)
    norm = {"beta": beta, "moving_mean": mean, "moving_variance": variance}
    model = sequential(
        rnn("a", FEATURES),
        layer("Dropout", "drop", rate=0.5),
        layer("BatchNormalization", "norm", norm, axis=[2], scale=False, epsilon=0.01),
        wrap(
            "TimeDistributed",
            "each",
            layer("Dense", "d", {"kernel": kernel, "bias": bias}, activation="gelu"),
        ),
        layer("PReLU", "prelu", {"alpha": alpha}, shared_axes=[1]),
        layer("Softmax", "softmax", axis=-1),
        rnn("b", 5),
    )
    found = networks(model)
    assert found["a"].feed is None
    assert found["b"].feed.through == (
        "Dropout", "BatchNormalization", "Dense", "PReLU", "Softmax",
    )  # fmt: skip

    def between(h):
        z = (h - mean) / np.sqrt(variance + 0.01) + beta
        z = gelu([sum(z[i] * kernel[i, j] for i in range(UNITS)) + bias[j] for j in range(5)])
        z = np.array([x if x > 0 else alpha[0, j] * x for j, x in enumerate(z)])
        return np.exp(z) / sum(math.exp(x) for x in z)

    h = run(found["a"], INPUTS)
    np.testing.assert_allclose(compute(found["b"], a=h), loop_steps(between, h), rtol=0, atol=1e-14)


def test_functional_model_joins_layers(networks):
    gamma, kernel = draw(FEATURES + UNITS), draw(FEATURES, UNITS)
    both = wrap("Bidirectional", "both", rnn("rnn", UNITS), merge_mode="mul")
    for way in ("forward", "backward"):
        _, arrays = rnn(f"{way}_rnn", UNITS)
        both = (
            both[0],
            {
                **{path: array for path, array in both[1].items() if path.startswith(("both/f", "both/b"))},
                **{f"both/{path}": array for path, array in arrays.items()},
            },
        )
    model = functional(
        (layer("Dense", "dense", {"kernel": kernel}, use_bias=False, activation="linear"), [node("x")]),
        (both, [node("dense")]),
        (layer("Add", "add"), [node("both", "dense")]),
        (layer("Concatenate", "join", axis=-1), [node("x", "add")]),
        (layer("LayerNormalization", "norm", {"gamma": gamma}, axis=[2], center=False), [node("join")]),
        (rnn("top", FEATURES + UNITS), [node("norm")]),
    )
    found = networks(model)
    dense = loop_steps(lambda x: [sum(x * kernel[:, j]) for j in range(UNITS)], INPUTS)
    assert found["both"].feed.input_size == FEATURES
    np.testing.assert_allclose(compute(found["both"], input=INPUTS), dense, rtol=0, atol=1e-14)
    h = run(found["both"], dense)
    rows = np.concatenate([INPUTS, h[..., :UNITS] * h[..., UNITS:] + dense], axis=-1)

    def normalize(v):
        center = v - sum(v) / len(v)
        return gamma * center / math.sqrt(sum(center**2) / len(v) + 1e-3)

    fed = compute(found["top"], input=INPUTS, both=h)
    np.testing.assert_allclose(fed, loop_steps(normalize, rows), rtol=0, atol=1e-13)


def test_backward_layer_gives_out_its_own_order(networks):
    found = networks(sequential(rnn("a", FEATURES, go_backwards=True), rnn("b", UNITS)))
    h = run(found["a"], INPUTS)  # in the order of the inputs
    np.testing.assert_array_equal(compute(found["b"], a=h), h[:, ::-1])


@pytest.mark.parametrize("backward", [False, True])
def test_repeated_vector_is_the_last_output(networks, backward):
    first = rnn("a", FEATURES, go_backwards=backward, return_sequences=False)
    count = STEPS - 2
    found = networks(sequential(first, layer("RepeatVector", "repeat", n=count), rnn("b", UNITS)))
    h = run(found["a"], INPUTS[:, :count])
    last = h[:, 0] if backward else h[:, -1]
    np.testing.assert_array_equal(compute(found["b"], a=h), np.stack([last] * count, axis=1))
    with pytest.raises(DataError, match="RepeatVector gives 4 steps and the input has 6"):
        compute(found["b"], a=run(found["a"], INPUTS))


@pytest.mark.parametrize("dilation", [1, 2, 4, 10**30])
@pytest.mark.parametrize("padding", ["causal", "same"])
def test_convolution_is_computed(padding, dilation, networks):
    kernel, bias = draw(3, FEATURES, UNITS), draw(UNITS)
    told = {"padding": padding, "dilation_rate": [dilation], "strides": [1], "activation": "relu"}
    found = networks(
        sequential(layer("Conv1D", "conv", {"kernel": kernel, "bias": bias}, **told), rnn("a", UNITS))
    )
    expected = np.zeros((2, STEPS, UNITS))
    for n, t in np.ndindex(2, STEPS):
        places = {k: t + (k - (2 if padding == "causal" else 1)) * dilation for k in range(3)}
        z = bias + sum(INPUTS[n, place] @ kernel[k] for k, place in places.items() if 0 <= place < STEPS)
        expected[n, t] = np.maximum(z, 0)
    np.testing.assert_allclose(compute(found["a"], input=INPUTS), expected, rtol=0, atol=1e-14)


STATE = {"initial_state": [["a", 0, 1], ["a", 0, 2]]}
UNKNOWN = {
    "Lambda": (layer("Lambda", "mine"), r"layer 'mine' \(Lambda\)"),
    "own class": (layer("Custom>Gate", "gate"), r"layer 'gate' \(Custom>Gate\)"),
    "own class of a known name": (({**layer("Dense", "d")[0], "registered_name": "my>Dense"}, {}), "'d'"),
    "tokens": (layer("Embedding", "words"), "the model's input are tokens, of which layer 'words'"),
    "flattened": (layer("Flatten", "flat"), "layer 'flat' .* joins the steps"),
    "pooled": (layer("MaxPooling1D", "pool"), "layer 'pool' .* changes the number of steps"),
    "transposed": (layer("Permute", "turn", dims=[2, 1]), "layer 'turn' .* rearranges the steps"),
    "without weights": (layer("Dense", "d"), "the weights of layer 'd' .* are none; expected kernel, bias"),
    "of another size": (
        layer("Dense", "d", {"kernel": np.ones((7, 4)), "bias": np.ones(4)}),
        "7 features, not",
    ),
    "of another mode": (
        layer("BatchNormalization", "norm", mode=1),
        "layer 'norm' .* mode '1' is not computed",
    ),
    "of another activation": (layer("Activation", "act", activation="mine"), "'mine' of layer 'act'"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_layer_that_is_not_computed_is_named(case, networks):
    between, words = UNKNOWN[case]
    found = networks(sequential(rnn("a", FEATURES), between, rnn("b", UNITS), rnn("c", UNITS)))
    assert found["a"].feed is None
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found["b"].feed.reason)
    assert found["c"].feed.sources == ("b",)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([node("a", **STATE)], "gives it its first state"),
        ([node("a"), node("x")], "calls it 2 times"),
        ([[["a", 0, 3, {}]]], "output of layer 'a'"),
        ([], "does not say which layer calls it"),
    ],
)
def test_calls_that_cannot_be_followed_are_named(nodes, words, networks):
    found = networks(functional((rnn("a", FEATURES), [node("x")]), (rnn("b", UNITS), nodes)))
    assert isinstance(found["b"].feed, UnknownFeed)
    assert words in found["b"].feed.reason


def test_masked_step_is_refused(networks):
    found = networks(sequential(layer("Masking", "mask", mask_value=-1.0), rnn("a", FEATURES)))
    np.testing.assert_array_equal(compute(found["a"], input=INPUTS), INPUTS)
    padded = INPUTS.copy()
    padded[1, 4:] = -1.0
    with pytest.raises(DataError, match=r"step 4 .* of sequence 1 has only -1, and layer 'mask' \(Masking\)"):
        compute(found["a"], input=padded)


MASK_OPERATIONS = ("NotEqual", "Any", "LogicalOr", "LogicalAnd", "ExpandDims", "ZerosLike", "OnesLike", "All")


def keras3(*calls, shape=(None, STEPS, FEATURES)):
    """Return a functional model in Keras 3's words; each layer with its arguments and its mask."""
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": shape}, "inbound_nodes": []}
    listed = [{**first, "name": "x"}]

    def tensor(name):
        return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}

    for (told, _), given, mask in calls:
        arguments = [tensor(one) if isinstance(one, str) else one for one in given]
        named = {"training": False} | ({"mask": tensor(mask)} if mask else {})
        nodes = [{"args": arguments, "kwargs": named}]
        module = "keras.src.ops.numpy" if told["class_name"] in MASK_OPERATIONS else "keras.layers"
        listed.append({**told, "module": module, "name": told["config"]["name"], "inbound_nodes": nodes})
    config = {"name": "model", "layers": listed, "input_layers": [["x", 0, 0]], "output_layers": []}
    return {"class_name": "Functional", "config": config}, join([layers for layers, *_ in calls])


def test_masks_of_keras_3_are_computed_and_are_no_states(networks):
    found = networks(
        keras3(
            (layer("NotEqual", "differs"), ("x", 0.0), ""),
            (layer("Masking", "masking", mask_value=0.0), ("x",), ""),
            (layer("Any", "any", axis=-1, keepdims=False), ("differs",), ""),
            (rnn("a", FEATURES), ("masking",), "any"),
            (layer("Dropout", "drop"), ("a",), ""),
            (rnn("b", UNITS), ("drop",), "any"),
            (rnn("c", FEATURES), ("x",), "any"),
        )
    )
    np.testing.assert_array_equal(compute(found["a"], input=INPUTS), INPUTS)
    np.testing.assert_array_equal(compute(found["c"], input=INPUTS), INPUTS)
    h = run(found["a"], INPUTS)
    np.testing.assert_array_equal(compute(found["b"], a=h), h)
    padded = INPUTS.copy()
    padded[1, 4:] = 0.0
    for name in ("a", "c"):
        with pytest.raises(DataError, match=r"step 4 .* of sequence 1.* give sequences without padding"):
            compute(found[name], input=padded)


@pytest.mark.parametrize("all_steps", [False, True])
def test_masks_of_joined_layers_are_computed(networks, all_steps):
    """Keras 3 writes the mask of Concatenate so; with All and ones in place of zeros it hides no step."""
    like, join, reduce = ("OnesLike", "LogicalOr", "All") if all_steps else ("ZerosLike", "LogicalOr", "Any")
    found = networks(
        keras3(
            (layer("NotEqual", "differs"), ("x", 0.0), ""),
            (layer("Any", "any", axis=-1, keepdims=False), ("differs",), ""),
            (rnn("a", FEATURES), ("x",), ""),
            (layer("ExpandDims", "column", axis=-1), ("any",), ""),
            (layer("LogicalAnd", "again"), ("column", "column"), ""),
            (layer(like, "like"), ("a",), ""),
            (layer(join, "or"), ("again", "like"), ""),
            (layer("Concatenate", "joined", axis=-1), ("or", "or"), ""),
            (layer(reduce, "whole", axis=-1, keepdims=False), ("joined",), ""),
            (layer("Concatenate", "both", axis=-1), ("a", "a"), ""),
            (rnn("b", 2 * UNITS), ("both",), "whole"),
        )
    )
    h = run(found["a"], INPUTS)
    expected = np.concatenate([h, h], axis=-1)
    np.testing.assert_array_equal(compute(found["b"], a=h, input=INPUTS), expected)
    padded = INPUTS.copy()
    padded[1, 4:] = 0.0
    if all_steps:
        np.testing.assert_array_equal(compute(found["b"], a=h, input=padded), expected)
    else:
        with pytest.raises(DataError, match="mask hides step 4 "):
            compute(found["b"], a=h, input=padded)


def test_masks_of_tokens_are_named_and_the_layer_above_is_fed(networks):
    found = networks(
        keras3(
            (layer("Embedding", "words", mask_zero=True), ("x",), ""),
            (layer("NotEqual", "differs"), ("x", 0), ""),
            (rnn("a", FEATURES), ("words",), "differs"),
            (rnn("b", UNITS), ("a",), "differs"),
            shape=(None, STEPS),
        )
    )
    assert found["a"].feed.reason.endswith(
        "layer 'words' (Embedding) makes vectors, and it masks the token 0"
    )
    assert found["b"].feed.sources == ("a",)


def test_masks_that_are_not_computed_are_named(networks):
    found = networks(
        keras3((layer("Lambda", "mine"), ("x",), ""), (rnn("a", FEATURES), ("x",), "mine")),
    )
    assert found["a"].feed.reason == (
        "the model gives it a mask of steps that is not known: layer 'mine' (Lambda) stands before it, which "
        "is not computed"
    )


def test_layers_that_the_user_names_take_inputs_of_their_own(networks, tmp_path):
    networks(
        sequential(
            rnn("a", UNITS, batch_input_shape=[None, STEPS, UNITS]), layer("Lambda", "mine"), rnn("b", UNITS)
        )
    )
    path, data = tmp_path / "model.h5", np.random.default_rng(1).standard_normal((2, STEPS, UNITS))
    whole = inspect(path, input=data, advice="none")
    assert whole.layers.fed == ["input", "unit normal"]
    assert "b, fed unit normal inputs because layer 'mine' (Lambda)" in whole.conclusion
    assert run_file(path, data).layers.layer == ["a"]
    assert inspect(f"{path}::b", input=data, advice="none").layers.fed == ["input"]
    assert run_file(f"{path}::b", data).layers.fed == ["input"]
    assert run_file(load(path)["b"], data).layers.fed == ["input"]
    assert inspect(load(path)["b"], input=data, advice="none").layers.fed == ["input"]


def test_inputs_that_the_only_layer_does_not_take_are_said(networks, tmp_path):
    networks(sequential(layer("Lambda", "mine"), rnn("a", FEATURES)))
    found = inspect(tmp_path / "model.h5", input=INPUTS, advice="none")
    assert found.conclusion.startswith(
        "a, fed unit normal inputs because layer 'mine' (Lambda) stands before"
    )


def test_layers_between_that_grow_without_end_are_refused_alone(networks):
    doubled = [(layer("Concatenate", f"c{k}"), [node(*[f"c{k - 1}" if k else "a"] * 2)]) for k in range(1000)]
    upper = [(rnn("top", UNITS), [node("c999")]), (rnn("wide", UNITS), [node("c3")])]
    found = networks(functional((rnn("a", FEATURES), [node("x")]), *doubled, *upper))
    assert "(Concatenate) stands before it, which gives more than" in found["top"].feed.reason
    assert found["wide"].feed.reason == (
        f"its weights are for {UNITS} features, and the layers below give {16 * UNITS}"
    )


def test_a_wide_convolution_reads_zeros_beyond_the_ends(networks):
    kernel, bias = draw(3, FEATURES, UNITS), draw(UNITS)
    told = {"padding": "same", "dilation_rate": [10**9], "activation": "linear"}
    found = networks(
        sequential(layer("Conv1D", "conv", {"kernel": kernel, "bias": bias}, **told), rnn("a", UNITS))
    )
    expected = loop_steps(lambda step: step @ kernel[1] + bias, INPUTS)
    np.testing.assert_allclose(compute(found["a"], input=INPUTS), expected, rtol=0, atol=1e-14)


def test_arrays_between_are_bounded(networks, monkeypatch):
    added = [(layer("Add", f"d{k}"), [node(*[f"d{k - 1}" if k else "x"] * 2)]) for k in range(200)]
    found = networks(functional(*added, (rnn("a", FEATURES), [node("d199")])))
    np.testing.assert_array_equal(compute(found["a"], input=INPUTS), 2.0**200 * INPUTS)
    monkeypatch.setattr(keras_symbols, "_MAX_BETWEEN_BYTES", 0)
    with pytest.raises(DataError, match=r"the layers between \(Add\) make arrays too large"):
        compute(found["a"], input=INPUTS)


def test_networks_with_the_same_layers_below_share_their_computation(networks, monkeypatch):
    compiled = []
    original = keras_feeds.compile_symbol
    monkeypatch.setattr(keras_feeds, "compile_symbol", lambda one: compiled.append(one) or original(one))
    added = [(layer("Add", f"d{k}"), [node(*[f"d{k - 1}" if k else "x"] * 2)]) for k in range(9)]
    uppers = [(rnn(f"r{k}", FEATURES), [node("d8")]) for k in range(7)]
    found = networks(functional(*added, *uppers))
    assert len(compiled) == 1
    for network in found.values():
        np.testing.assert_array_equal(compute(network, input=INPUTS), 2.0**9 * INPUTS)


def test_computations_of_all_networks_together_are_bounded(networks, monkeypatch):
    monkeypatch.setattr(keras_feeds, "MAX_INSTRUCTIONS", 100)
    added = [(layer("Add", f"d{k}"), [node(*[f"d{k - 1}" if k else "x"] * 2)]) for k in range(60)]
    uppers = [(rnn(f"r{k}", FEATURES), [node(f"d{40 + k}")]) for k in range(9)]
    feeds = [network.feed for network in networks(functional(*added, *uppers)).values()]
    assert [isinstance(feed, Feed) for feed in feeds] == [True] * 3 + [False] * 6
    assert "more than 100 computations" in feeds[-1].reason


def test_inputs_of_a_model_with_several_are_named(networks):
    config, arrays = functional(
        (layer("Concatenate", "join"), [node("x", "y")]),
        (rnn("a", 2 * FEATURES), [node("join")]),
        (rnn("b", FEATURES), [node("y")]),
    )
    other = dict(config["config"]["layers"][0], name="y")
    other["config"] = {**other["config"], "name": "y"}
    config["config"]["layers"].insert(1, other)
    found = networks((config, arrays))
    assert "2 inputs ('x', 'y')" in found["a"].feed.reason
    assert "2 inputs ('x', 'y')" in found["b"].feed.reason
    assert found["b"].feed.input_name == "y"


def test_model_without_configuration_says_nothing(networks):
    config, arrays = sequential(rnn("a", FEATURES), rnn("b", UNITS))
    assert isinstance(networks((config, arrays))["b"].feed, Feed)
    assert all(network.feed is None for network in networks((None, arrays)).values())


def test_models_in_models_do_not_take_forever(networks):
    told, arrays = rnn("a", FEATURES)
    top, more = rnn("top", FEATURES)
    first = {"class_name": "InputLayer", "name": "x", "config": {"name": "x"}, "inbound_nodes": []}
    model = {"class_name": "Dropout", "config": {"name": "drop"}}
    for k in range(40):  # Each model calls the one inside twice.
        inner = {**model, "name": model["config"]["name"]}
        nodes = [node("x"), [[inner["name"], 0, 0, {}]]]
        config = {"name": f"m{k}", "layers": [first, {**inner, "inbound_nodes": nodes}]}
        config |= {"input_layers": [["x", 0, 0]], "output_layers": [[inner["name"], 1, 0]]}
        model = {"class_name": "Functional", "config": config}
    found = networks(
        functional(((told, arrays), [node("x")]), ((model, {}), [node("a")]), ((top, more), [node("m39")]))
    )
    assert "more than 20000 layers" in found["top"].feed.reason


def test_names_of_groups_follow_the_classes_where_files_have_no_names(tmp_path):
    # Keras 2 numbered the groups of a class, and did not write the names of layers.
    first, second, dense = (draw(FEATURES, UNITS), draw(UNITS, UNITS), draw(UNITS)), None, draw(UNITS, 5)
    second = draw(5, UNITS), draw(UNITS, UNITS), draw(UNITS)
    start = "_layer_checkpoint_dependencies"
    layers = [
        rnn("lower", FEATURES, activation="relu")[0],
        layer("Dense", "between", use_bias=False)[0],
        rnn("upper", 5, activation="softsign")[0],
    ]
    layers[0]["config"]["batch_input_shape"] = [None, STEPS, FEATURES]
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for group, weights in (("simple_rnn", first), ("simple_rnn_2", second)):
            for k, weight in enumerate(weights):
                file[f"{start}/{group}/cell/vars/{k}"] = weight
        file[f"{start}/dense/vars/0"] = dense
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.13.1"}))
        archive.writestr(
            "config.json", json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": layers}})
        )
        archive.writestr("model.weights.h5", stream.getvalue())
    found = {network.name: network for network in load(path).networks}
    assert {name: one.layers[0].cell.activation for name, one in found.items()} == {
        "lower": "relu",
        "upper": "softsign",
    }
    h = run(found["lower"], INPUTS)
    np.testing.assert_allclose(compute(found["upper"], lower=h), h @ dense, rtol=0, atol=1e-14)


def test_layer_in_a_layer_of_another_class_is_not_followed(networks):
    inner, arrays = rnn("a", FEATURES)
    own = (
        {"class_name": "mine>Encoder", "config": {"name": "enc", "inside": inner}},
        {f"enc/{path}": array for path, array in arrays.items()},
    )
    found = networks(sequential(own, rnn("b", UNITS)))
    assert "stands in layer 'enc' (mine>Encoder)" in found["enc/a"].feed.reason
    assert "layer 'enc' (mine>Encoder) stands before it" in found["b"].feed.reason


def test_nested_model_is_followed(networks):
    kernel = draw(UNITS, 5)
    lower, dense = rnn("a", FEATURES), layer("Dense", "d", {"kernel": kernel}, use_bias=False)
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [lower[0], dense[0]]}}
    arrays = {f"inner/{path}": array for one in (lower, dense) for path, array in one[1].items()}
    found = networks(functional(((inner, arrays), [node("x")]), (rnn("b", 5), [node("inner")])))
    assert found["inner/a"].feed is None
    h = run(found["inner/a"], INPUTS)
    np.testing.assert_allclose(compute(found["b"], **{"inner/a": h}), h @ kernel, rtol=0, atol=1e-14)


def test_model_of_keras_1_is_followed(networks):
    dense = layer("Dense", "d", {"d_W": draw(UNITS, 5), "d_b": draw(5)}, activation="softsign")
    arrays = {}
    for name, features in (("low", FEATURES), ("high", 5)):
        parts = {"W": draw(features, UNITS), "U": draw(UNITS, UNITS), "b": draw(UNITS)}
        arrays |= {f"model_weights/{name}/{name}_{role}": part for role, part in parts.items()}
    told = {"return_sequences": True, "output_dim": UNITS, "activation": "relu"}
    layers = [
        layer("SimpleRNN", "low", batch_input_shape=[None, STEPS, FEATURES], **told)[0],
        dense[0],
        layer("SimpleRNN", "high", **told)[0],
    ]
    # A sequential model of Keras 1 is a list without a name.
    model = {"class_name": "Sequential", "config": layers}, arrays | join([dense])
    found = networks(model, version="1.2.2")
    assert found["low"].feed is None
    h = run(found["low"], INPUTS)
    z = h @ dense[1]["d/d_W"] + dense[1]["d/d_b"]
    np.testing.assert_allclose(compute(found["high"], low=h), z / (1 + abs(z)), rtol=0, atol=1e-14)
    assert found["high"].layers[0].assumed == ()
