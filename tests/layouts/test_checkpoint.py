"""Checkpoints: the names and choice of layers, assumptions, and refusals."""

import re

import numpy as np
import pytest

from gradflow import from_state_dict
from gradflow.errors import DataError, UsageError

INPUT, HIDDEN = 3, 4


def uniform(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-0.8, 0.8, shape)


def torch_cell(path, gates=1, features=INPUT, suffix=""):
    return {
        f"{path}weight_ih{suffix}": uniform(gates * HIDDEN, features),
        f"{path}weight_hh{suffix}": uniform(gates * HIDDEN, HIDDEN),
    }


def keras_cell(path, gates=1):
    return {
        f"{path}kernel": uniform(INPUT, gates * HIDDEN),
        f"{path}recurrent_kernel": uniform(HIDDEN, gates * HIDDEN),
    }


def at(*paths, cell=torch_cell):
    """Return a cell at each of the paths, which end with a separator."""
    return {name: array for path in paths for name, array in cell(path).items()}


def names(checkpoint):
    return [network.name for network in checkpoint.networks]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["encoder.rnn.", "decoder."], ["encoder.rnn", "decoder"]),
        (["b/", "a/"], ["b", "a"]),  # in the order of the file
        (["model.encoder.", "model.decoder."], ["encoder", "decoder"]),
        (["state_dict.module.encoder.", "state_dict.module.decoder."], ["encoder", "decoder"]),
        (["model_state_dict._orig_mod.lstm."], ["lstm"]),
        (["params/cell/"], ["cell"]),
        # A wrapper that only some of them share stays.
        (["model.encoder.", "decoder."], ["model.encoder", "decoder"]),
        (["model.encoder.", "module.encoder."], ["model.encoder", "module.encoder"]),
        (["model.encoder.model.", "model.encoder.module."], ["encoder.model", "encoder.module"]),
        (["encoder.model.rnn.", "encoder.model.gru."], ["encoder.model.rnn", "encoder.model.gru"]),
        (["models.rnn."], ["models.rnn"]),
        # The root is named after its kind, or otherwise if that name is taken.
        ([""], ["rnn"]),
        (["model."], ["rnn"]),
        (["", "head."], ["rnn", "head"]),
        (["model.", "model.rnn."], ["root", "rnn"]),
        (["rnn.", ""], ["rnn", "root"]),
        (["", "rnn.", "root."], [..., "rnn", "root"]),
    ],
)
def test_networks_are_named_by_unwrapped_path(paths, expected):
    found = names(from_state_dict(at(*paths)))
    assert [name for name, told in zip(found, expected, strict=True) if told is not ...] == [
        told for told in expected if told is not ...
    ]
    assert len(set(found)) == len(paths)


@pytest.mark.parametrize(("gates", "kind"), [(1, "rnn"), (3, "gru"), (4, "lstm")])
def test_root_is_named_after_its_kind(gates, kind):
    assert names(from_state_dict(torch_cell("", gates))) == [kind]


def test_layers_are_named_by_level_and_direction():
    arrays = {}
    for k, features in enumerate([INPUT, 2 * HIDDEN]):
        for way in ("", "_reverse"):
            arrays |= torch_cell("tagger.lstm.", 4, features, f"_l{k}{way}")
    checkpoint = from_state_dict(arrays)
    expected = ["tagger.lstm.l0", "tagger.lstm.l0_reverse", "tagger.lstm.l1", "tagger.lstm.l1_reverse"]
    assert [layer.name for layer in checkpoint.layers] == expected
    for name, layer in zip(expected, checkpoint.layers, strict=True):
        (alone,) = checkpoint[name].layers
        assert alone is layer
        assert layer.direction == ("backward" if name.endswith("_reverse") else "forward")
        assert {stored.name.rpartition("_l")[2] for stored in layer.stored} == {name.rpartition(".l")[2]}


def test_brackets_of_jax_are_path_elements():
    arrays = {
        f"['params']['encoder']['cell']['{source}{gate}']['kernel']": uniform(rows, HIDDEN, seed=ord(gate))
        for source, rows in (("i", INPUT), ("h", HIDDEN))
        for gate in "ifgo"
    }
    (layer,) = from_state_dict(arrays).layers
    assert (layer.name, layer.framework, layer.kind) == ("encoder.cell", "flax", "lstm")
    stacked = np.hstack([uniform(HIDDEN, HIDDEN, seed=ord(gate)) for gate in "ifgo"])
    np.testing.assert_array_equal(layer.cell.weight_hh, stacked.T)


CHOICE = at("encoder.rnn.", "decoder.rnn.", "decoder.top.gru.", "speech/rnn_2/")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("encoder.rnn", "encoder.rnn"),
        ("gru", "decoder.top.gru"),
        ("top.gru", "decoder.top.gru"),
        ("rnn_2", "speech/rnn_2"),
    ],
)
def test_layer_is_chosen_by_part_of_its_name(asked, found):
    assert from_state_dict(CHOICE)[asked].name == found


def test_whole_name_wins_over_a_part():
    assert from_state_dict(at("encoder.rnn.", "rnn."))["rnn"].name == "rnn"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("rnn", "'rnn' could be encoder.rnn, decoder.rnn; say which"),
        ("nn", "unknown layer 'nn'"),  # Only complete elements match.
        ("decoder", "could be decoder.rnn, decoder.top.gru"),
        ("decodr.rnn", "did you mean 'decoder.rnn'.*encoder.rnn.*decoder.top.gru"),
        ("", "unknown layer ''"),
    ],
)
def test_unknown_layer_is_refused_with_a_list(asked, words):
    with pytest.raises(UsageError, match=f"state dict: .*{words}"):
        from_state_dict(CHOICE)[asked]


def test_nearest_of_many_layers_is_listed():
    many = from_state_dict(at(*(f"block{k}.rnn." for k in range(30))))
    with pytest.raises(UsageError, match=r"did you mean 'block27\.rnn'"):
        many["blok27.rnn"]


# "cell/h/kernel" fits a dense layer of Flax and a layer of Keras.
AMBIGUOUS = {
    f"cell/{leaf}": uniform(HIDDEN, HIDDEN) for leaf in ("i/kernel", "h/kernel", "h/recurrent_kernel")
} | {"cell/i/bias": uniform(HIDDEN)}


def test_ambiguous_arrays_are_refused():
    with pytest.raises(
        DataError, match=r"'cell/h/kernel'.* as keras \('cell/h'\) and as flax \('cell'\).*`layout`"
    ):
        from_state_dict(AMBIGUOUS)


@pytest.mark.parametrize(
    ("layout", "assume", "name"), [("keras", None, "cell/h"), ("flax", {"unread": "ignored"}, "cell")]
)
def test_layout_decides_between_readings(layout, assume, name):
    (layer,) = from_state_dict(AMBIGUOUS, layout=layout, assume=assume).layers
    assert (layer.framework, layer.name) == (layout, name)


def test_layout_limits_to_one_framework():
    arrays = at("a.") | at("b/", cell=keras_cell)
    assert [layer.framework for layer in from_state_dict(arrays).layers] == ["torch", "keras"]
    assert names(from_state_dict(arrays, layout="keras")) == ["b"]
    with pytest.raises(DataError, match="holds no recurrent layer"):
        from_state_dict(arrays, layout="haiku")
    with pytest.raises(UsageError, match="unknown layout 'kears'; did you mean 'keras'"):
        from_state_dict(arrays, layout="kears")


def test_cell_of_chainer_is_named():
    arrays = {"lstm/upward/W": uniform(8, 3), "lstm/upward/b": uniform(8), "lstm/lateral/W": uniform(8, 2)}
    with pytest.raises(DataError, match=r"names of Chainer, which are not read; .*W\.reshape"):
        from_state_dict(arrays)


def test_assumption_changes_the_cell():
    arrays, inputs = torch_cell("a."), uniform(6, INPUT)
    assumed, said = from_state_dict(arrays), from_state_dict(arrays, assume={"activation": "relu"})
    assert assumed.layers[0].assumed == ("activation=tanh",)
    assert said.layers[0].assumed == ()
    for checkpoint, activation in ((assumed, np.tanh), (said, lambda z: np.maximum(z, 0))):
        h, states = np.zeros(HIDDEN), [np.zeros(HIDDEN)]
        for x in inputs:
            h = activation(arrays["a.weight_ih"] @ x + arrays["a.weight_hh"] @ h)
            states.append(h)
        np.testing.assert_allclose(checkpoint.layers[0].cell.run(inputs), states, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("arrays", "open_"),
    [
        (torch_cell("a."), {"activation"}),
        (torch_cell("a.", 3), set()),
        (torch_cell("a.", 4), set()),
        (torch_cell("a.", 4) | torch_cell("b."), {"activation"}),
        (keras_cell("a/", 4), {"activation", "gate_activation"}),
        (keras_cell("a/", 3), {"activation", "gate_activation", "reset"}),
        ({"lstm/linear/w": uniform(INPUT + HIDDEN, 4 * HIDDEN)}, {"forget_bias"}),
    ],
)
def test_only_open_options_may_be_assumed(arrays, open_):
    checkpoint = from_state_dict(arrays)
    assert checkpoint.left_open == open_
    told = {one.partition("=")[0] for layer in checkpoint.layers for one in layer.assumed}
    assert told == open_
    values = {"activation": "relu", "gate_activation": "hard_sigmoid", "reset": "before", "forget_bias": 0}
    for option, value in values.items():
        if option in open_:
            said = from_state_dict(arrays, assume={option: value})
            assert not any(one.startswith(f"{option}=") for layer in said.layers for one in layer.assumed)
        else:
            with pytest.raises(UsageError, match=f"itself says what {option} is .*leave {option} out"):
                from_state_dict(arrays, assume={option: value})


@pytest.mark.parametrize(
    ("assume", "words"),
    [
        (
            {"activaton": "relu"},
            "unknown assumption 'activaton'; did you mean 'activation'.*reset, forget_bias",
        ),
        ({"activation": "rellu"}, "unknown activation 'rellu'; did you mean 'relu'"),
    ],
)
def test_unknown_assumption_is_refused(assume, words):
    with pytest.raises(UsageError, match=words):
        from_state_dict(torch_cell("a."), assume=assume)


# Arrays with the names of a recurrent layer but not its shapes, and the message about them.
MISFITS = {
    "rows": (torch_cell("a.", 2), r"1, 3 or 4 gates .* of 4 units, not 8 rows"),
    "other-rows": (
        torch_cell("a.", 4) | {"a.weight_ih": uniform(15, INPUT)},
        r"'a.weight_ih' .*\(15, 3\); expected \(16, 3\)",
    ),
    "bias": (torch_cell("a.", 4) | {"a.bias_hh": uniform(4)}, r"'a.bias_hh' .*\(4,\); expected \(16,\)"),
    "vector": (torch_cell("a.") | {"a.weight_hh": uniform(4)}, "expected 2 dimensions"),
    "half": ({"a.weight_hh": uniform(4, 4)}, "has no weight_ih"),
    "gap": (torch_cell("a.", 1, 3, "_l0") | torch_cell("a.", 1, 4, "_l2"), "without a gap"),
    "chain": (torch_cell("a.", 1, 3, "_l0") | torch_cell("a.", 1, 3, "_l1"), r"\(4, 3\); expected \(4, 4\)"),
    "kernels": (keras_cell("a/", 2), "1, 3 or 4 gates"),
    "root-kernels": (keras_cell("", 2), "1, 3 or 4 gates"),
    "haiku-rows": ({"a/lstm/linear/w": uniform(HIDDEN - 1, 4 * HIDDEN)}, "expected rows for inputs"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_misfit_alone_is_an_error(case):
    arrays, words = MISFITS[case]
    with pytest.raises(DataError, match=words) as caught:
        from_state_dict(arrays)
    assert "holds no recurrent layer" in str(caught.value)


@pytest.mark.parametrize("case", MISFITS)
def test_misfit_beside_a_layer_is_a_remark(case):
    arrays, words = MISFITS[case]
    checkpoint = from_state_dict(arrays | at("fine."))
    assert names(checkpoint) == ["fine"]
    (remark,) = checkpoint.remarks
    assert re.search(words, remark)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.where(np.eye(4) > 0, 0.5, np.nan), r"entry \(0, 1\) .*'lost.weight_hh' is nan"),
        (np.diag([1.0, 1.0, -np.inf, 1.0]), r"entry \(2, 2\) .*'lost.weight_hh' is -inf"),
        (np.eye(4) * 1j, "'lost.weight_hh' is complex; expected real weights"),
        (np.eye(4) * 1e308, r"'lost.weight_hh' holds 1e\+308; expected weights of at most 1e\+300"),
    ],
)
def test_unusable_weight_is_refused_by_position(weight, words):
    lost = at("lost.") | {"lost.weight_hh": weight}
    with pytest.raises(DataError, match=words) as caught:
        from_state_dict(lost)
    assert str(caught.value).count("state dict") == 1
    found = from_state_dict(lost | at("fine."))
    assert names(found) == ["fine"]
    (remark,) = found.remarks
    assert re.search(words, remark)
