"""Keras files without a configuration: defaults of versions, names of Keras 1, cells of other classes."""

import io
import json

import h5py
import numpy as np
import pytest

from gradflow import from_state_dict, load
from gradflow.errors import DataError
from gradflow.layouts.keras_defaults import choose_default_reset, list_activations
from tests.layouts.test_keras_places import HIDDEN, INPUT, by_name, by_number, cell, hdf5

FED = np.random.default_rng(2).standard_normal((7, INPUT))
OLD, NEW = "hard_sigmoid(0.2,0.5)", "sigmoid"


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


FUNCTIONS = {
    OLD: lambda z: np.minimum(np.maximum(0.2 * z + 0.5, 0), 1),
    "x/6 + 1/2": lambda z: np.minimum(np.maximum(z / 6 + 0.5, 0), 1),
    NEW: sigmoid,
}


def run_lstm(kernel, recurrent, bias, gate):
    """Return the states of an LSTM of Keras, step by step."""
    h, c, states = np.zeros(HIDDEN), np.zeros(HIDDEN), [np.zeros(2 * HIDDEN)]
    for x in FED:
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
        states.append(np.append(h, c))
    return states


def run_gru(kernel, recurrent, bias, gate):
    """Return the states of a GRU of Keras with the reset gate before the product."""
    h, states = np.zeros(HIDDEN), [np.zeros(HIDDEN)]
    split = [np.split(array, 3, axis=-1) for array in (kernel, recurrent, bias)]
    (kz, kr, kh), (uz, ur, uh), (bz, br, bh) = split
    for x in FED:
        z, r = gate(x @ kz + h @ uz + bz), gate(x @ kr + h @ ur + br)
        h = z * h + (1 - z) * np.tanh(x @ kh + (r * h) @ uh + bh)
        states.append(h)
    return states


@pytest.fixture
def place(tmp_path):
    def write(arrays, assume=None, names=None, **attributes):
        path = tmp_path / "weights.h5"
        path.write_bytes(hdf5(arrays, names, **attributes))
        return load(path, assume=assume)

    return write


@pytest.mark.parametrize(
    ("version", "gates", "is_noted"),
    [
        ("1.2.2", OLD, False),
        ("2.0.8", OLD, False),
        ("2.2.5", OLD, False),
        ("2.1.6-tf", OLD, True),
        ("2.2.4-tf", NEW, True),
        ("2.3.0", NEW, False),
        ("2.4.0", NEW, False),
        ("2.15.0", NEW, False),
        ("3.5.0", NEW, False),
    ],
)
def test_default_gates_follow_the_version(version, gates, is_noted, place):
    weights = cell()
    checkpoint = place(by_name("lstm/lstm", weights), keras_version=version)
    (layer,) = checkpoint.layers
    np.testing.assert_allclose(layer.cell.run(FED), run_lstm(*weights, FUNCTIONS[gates]), rtol=0, atol=1e-12)
    assert f"gate_activation={gates}" in layer.assumed
    assert [("hard_sigmoid" in remark, "TensorFlow 1" in remark) for remark in checkpoint.remarks] == [
        (True, True)
    ] * is_noted
    told = place(by_name("lstm/lstm", weights), {"gate_activation": "sigmoid"}, keras_version=version)
    assert not told.remarks


@pytest.mark.parametrize(
    ("version", "gates"), [("2.2.4", OLD), ("2.15.0", OLD), ("2.2.4-tf", OLD), ("3.0.1", "x/6 + 1/2")]
)
def test_assumed_hard_sigmoid_is_that_of_the_version(version, gates, place):
    weights, assume = cell(), {"gate_activation": "hard_sigmoid"}
    (layer,) = place(by_name("lstm/lstm", weights), assume, keras_version=version).layers
    np.testing.assert_allclose(layer.cell.run(FED), run_lstm(*weights, FUNCTIONS[gates]), rtol=0, atol=1e-12)
    numeric = {"gate_activation": OLD}
    (layer,) = place(by_name("lstm/lstm", weights), numeric, keras_version=version).layers
    np.testing.assert_allclose(layer.cell.run(FED), run_lstm(*weights, FUNCTIONS[OLD]), rtol=0, atol=1e-12)


def test_files_without_a_version_show_it_by_their_groups(place):
    weights, assume = cell(), {"gate_activation": "hard_sigmoid"}
    for group, gates in (("layers", "x/6 + 1/2"), ("_layer_checkpoint_dependencies", OLD)):
        (layer,) = place(by_number(f"{group}/lstm/cell", weights), assume).layers
        np.testing.assert_allclose(
            layer.cell.run(FED), run_lstm(*weights, FUNCTIONS[gates]), rtol=0, atol=1e-12
        )


def test_reset_gate_without_bias_follows_the_version(place):
    arrays = by_name("gru/gru", cell(3)[:2])
    for version, reset in (("2.2.4", "before"), ("2.3.1", "before"), ("2.4.0", "after"), ("3.5.0", "after")):
        (layer,) = place(arrays, keras_version=version).layers
        assert (layer.cell.reset, f"reset={reset}" in layer.assumed) == (reset, True)
    assert choose_default_reset("2.2.4-tf") == "after"
    remarks = place(arrays, keras_version="2.2.4-tf").remarks
    assert [("gates in" in remark, "reset=before" in remark) for remark in remarks] == [
        (True, False),
        (False, True),
    ]


def split_gates(layer, weights, order, pattern="{layer}_{role}_{gate}"):
    """Return the arrays of each gate under the names of Keras 1; ``weights`` are in the order of Keras 2."""
    return {
        f"{layer}/{pattern.format(layer=layer, role=role, gate=gate)}": part
        for role, whole in zip("WUb", weights, strict=True)
        for gate, part in zip(order, np.split(whole, len(order), axis=-1), strict=True)
    }


def number_weights(named, order):
    """Return the same arrays as param_0, param_1, … in Keras 1's order of a layer's weights."""
    ends = [f"_{role}_{gate}" for gate in order for role in "WUb"]
    listed = [next(array for name, array in named.items() if name.endswith(end)) for end in ends]
    return {f"layer_0/param_{k}": array for k, array in enumerate(listed)}


@pytest.mark.parametrize("start", ["", "model_weights/"])
@pytest.mark.parametrize("form", ["gates", "tensorflow", "numbers", "gpu"])
@pytest.mark.parametrize(("kind", "order"), [("lstm", "ifco"), ("gru", "zrh")])
def test_keras_1_has_an_array_of_each_gate(kind, order, form, start, place):
    weights = cell(len(order))
    arrays = split_gates("enc", weights, order)
    if form == "tensorflow":
        arrays = {f"{name}:0": array for name, array in arrays.items()}
    elif form == "numbers":
        arrays = number_weights(arrays, "icfo" if kind == "lstm" else order)
    elif form == "gpu":
        arrays = {f"enc/enc_{role}": whole for role, whole in zip("WUb", weights, strict=True)}
    (layer,) = place({f"{start}{name}": array for name, array in arrays.items()}).layers
    assert (layer.kind, layer.name) == (kind, "layer_0" if form == "numbers" else "enc")
    assert layer.parameters == sum(weight.size for weight in weights)
    expected = {"lstm": run_lstm, "gru": run_gru}[kind](*weights, FUNCTIONS[OLD])
    np.testing.assert_allclose(layer.cell.run(FED), expected, rtol=0, atol=1e-12)


def test_keras_1_names_directions(place):
    arrays = {
        name: array
        for way in ("forward", "backward")
        for name, array in split_gates("bi", cell(), "ifco", f"{way}_enc_{{role}}_{{gate}}").items()
    }
    layers = place(arrays).layers
    assert [(layer.name, layer.direction) for layer in layers] == [
        ("bi.l0", "forward"),
        ("bi.l0_reverse", "backward"),
    ]


@pytest.mark.parametrize("shape", [(3, 3), (HIDDEN,), (), (0, 0)])
def test_keras_1_gates_of_other_shapes_are_no_cell(shape, place):
    arrays = split_gates("enc", cell(), "ifco")
    arrays["enc/enc_U_f"] = np.ones(shape)
    with pytest.raises(DataError, match="holds no recurrent layer"):
        place(arrays)


def test_such_names_elsewhere_are_not_taken_for_keras_1():
    with pytest.raises(DataError, match="holds no recurrent layer"):
        from_state_dict(split_gates("enc", cell(), "ifco"))


RNN_GROUP = "layers/rnn/cell"


@pytest.mark.parametrize(
    ("names", "word"),
    [
        ({"layers/rnn": "own", RNN_GROUP: "normed_cell"}, "'normed_cell'"),
        ({"layers/rnn": "own", RNN_GROUP: "mine"}, "'mine'"),
        ({"layers/rnn": "own", RNN_GROUP: "lstm_cell_3"}, None),
        ({}, "'cell'"),
    ],
)
def test_cell_of_another_name_is_noted(names, word, place):
    remarks = place(by_number(RNN_GROUP, cell()), names=names).remarks
    assert [word in remark for remark in remarks] == [True] * bool(word)


def test_cell_of_an_own_layer_of_keras_needs_no_name(place):
    assert not place(by_number("layers/lstm_2/cell", cell())).remarks
    assert not place(by_number("layers/bidirectional/forward_layer/cell", cell()),
                     names={"layers/bidirectional/forward_layer/cell": "lstm_cell"}).remarks  # fmt: skip
    (remark,) = place(by_name("own/own/normed_cell", cell())).remarks
    assert "layer 'own' has a cell named 'normed_cell'" in remark


@pytest.mark.parametrize("start", [RNN_GROUP, "model_weights/own/own/normed_cell"])
def test_other_arrays_of_a_cell_are_refused_by_name(start, place):
    make = by_number if start == RNN_GROUP else by_name
    fine = by_name("fine/fine", cell())
    for extra in ("norm/vars/0", "vars/3", "gamma"):
        checkpoint = place(fine | make(start, cell()) | {f"{start}/{extra}": np.ones(4 * HIDDEN)})
        assert [layer.name for layer in checkpoint.layers] == ["fine"]
        (remark,) = [remark for remark in checkpoint.remarks if "left out" in remark]
        assert f"{start}/{extra} (16,)" in remark


def test_control_characters_of_names_are_escaped_in_refusals(place):
    arrays = by_name("own/own/lstm_cell", cell()) | {"own/own/lstm_cell/gamma\x1b[2J": np.ones(4)}
    with pytest.raises(DataError, match=r"gamma\\x1b\[2J") as caught:
        place(arrays)
    assert str(caught.value).isprintable()


def test_state_of_dropout_is_no_weight_of_a_cell(place):
    seed = {f"{RNN_GROUP}/seed_generator/vars/0": np.ones(2, np.uint32)}
    (layer,) = place(by_number(RNN_GROUP, cell()) | seed, names={RNN_GROUP: "lstm_cell"}).layers
    assert layer.kind == "lstm"


def test_cell_of_another_kind_is_refused(place):
    with pytest.raises(DataError, match="'rnn' is a 'GRU'; expected Keras's own LSTM"):
        place(by_number(RNN_GROUP, cell()), names={RNN_GROUP: "gru_cell"})


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "glu", "sparsemax"])
def test_activation_of_all_units_is_refused_by_name(name, tmp_path):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for path, array in by_name("model_weights/a/a", cell(1)).items():
            file[path] = array
        file.attrs["model_config"] = (
            '{"class_name": "Sequential", "config": {"name": "m", "layers": [{"class_name": "SimpleRNN", '
            f'"config": {{"name": "a", "activation": "{name}"}}}}]}}}}'
        )
    path = tmp_path / "model.h5"
    path.write_bytes(stream.getvalue())
    with pytest.raises(DataError, match=f"activation '{name}' of layer 'a' is not elementwise"):
        load(path)


def test_only_hard_sigmoid_changed_between_versions():
    old, new = list_activations("2.11.0"), list_activations("3.0.0")
    assert {name for name in new if old[name] != new[name]} == {"hard_sigmoid"}


def test_keras_1_states_its_gates_under_another_name(place):
    told = {"name": "enc", "inner_activation": "hard_sigmoid", "activation": "tanh"}
    config = json.dumps({"class_name": "Sequential", "config": [{"class_name": "LSTM", "config": told}]})
    weights = cell()
    arrays = {f"model_weights/{name}": part for name, part in split_gates("enc", weights, "ifco").items()}
    (layer,) = place(arrays, model_config=config, keras_version="1.2.2").layers
    assert layer.assumed == ()
    np.testing.assert_allclose(layer.cell.run(FED), run_lstm(*weights, FUNCTIONS[OLD]), rtol=0, atol=1e-12)
