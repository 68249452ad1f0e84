"""The places of Keras layers: the same layers in every kind of file, as the configuration describes them."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from gradflow import from_state_dict, load
from gradflow.errors import DataError
from tests.layouts.test_files import FILES, expected

INPUT, HIDDEN = 4, 4
FORMATS = ("h5", "keras", "weights.h5")
CASES = sorted({path.name.partition(".")[0] for path in FILES.glob("keras_*.*h5")} | {"keras_two"})


def cell(gates=4, features=INPUT, units=HIDDEN, bias=None):
    """Return kernel, recurrent kernel and bias in Keras's order."""
    generator = np.random.default_rng([gates, features, units])
    shapes = [(features, gates * units), (units, gates * units), bias or (gates * units,)]
    return [generator.uniform(-0.8, 0.8, shape) for shape in shapes]


LSTM, GRU = cell(), cell(3, bias=(2, 3 * HIDDEN))


def by_name(path, weights):
    """Return the arrays under the names of an .h5 file."""
    return dict(
        zip([f"{path}/{name}" for name in ("kernel", "recurrent_kernel", "bias")], weights, strict=False)
    )


def by_number(path, weights):
    """Return the arrays under the names of a .weights.h5 file."""
    return {f"{path}/vars/{k}": weight for k, weight in enumerate(weights)}


def hdf5(arrays, names=None, **attributes):
    """Return the bytes of a file; ``names`` maps groups to their attribute ``name``."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for path, array in arrays.items():
            file[path] = array
        for path, name in (names or {}).items():
            file.require_group(f"{path}/vars").attrs["name"] = name
        file.attrs.update(attributes)
    return stream.getvalue()


def model(*layers, name="model"):
    return {"class_name": "Functional", "config": {"name": name, "layers": list(layers)}}


def layer(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, **config}}


@pytest.fixture
def place(tmp_path):
    """Write and load a Keras file: an .h5 with a configuration, a .keras, or weights alone."""

    def place(arrays, config=None, names=None, version="3.15.1", kind=None):
        path = tmp_path / "file"
        if kind == "keras":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("metadata.json", json.dumps({"keras_version": version}))
                archive.writestr("config.json", json.dumps(config))
                archive.writestr("model.weights.h5", hdf5(arrays, names))
        else:
            told = {"model_config": json.dumps(config), "keras_version": version} if config else {}
            path.write_bytes(hdf5(arrays, names, **told))
        return load(path)

    return place


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_file_gives_the_same_layers(case):
    truth = expected(FILES / f"{case}.any")
    assume = dict(one.split("=") for one in truth["assume"]) if "assume" in truth else {}
    found = [
        load(path, assume=assume).layers
        for path in (FILES / f"{case}.{ending}" for ending in FORMATS)
        if path.exists()
    ]
    for layers in found:
        assert [one.name for one in layers] == [
            n.removeprefix("states/") for n in truth.files if "states/" in n
        ]
        for one, other in zip(layers, found[0], strict=True):
            assert (one.kind, one.direction) == (other.kind, other.direction)
            for name, weight in one.cell.weights().items():
                np.testing.assert_array_equal(weight, other.cell.weights()[name])


STACK = "layers/rnn/cell/cells/"


def stacked(*names):
    cells = [layer("GRUCell" if "gru" in name else "LSTMCell", name) for name in names]
    return model(layer("RNN", "deep", cell=layer("StackedRNNCells", "stack", cells=cells)))


@pytest.mark.parametrize("order", [("gru_cell", "lstm_cell"), ("lstm_cell", "gru_cell")])
@pytest.mark.parametrize("kind", ["h5", "keras"])
def test_configuration_orders_stacked_cells(order, kind, place):
    # Both have 4 inputs and 4 outputs, so the sizes do not show which comes first.
    weights = {"gru_cell": GRU, "lstm_cell": LSTM}
    if kind == "h5":
        start = "model_weights/deep/deep/stacked_rnn_cells/"
        arrays = {n: a for name in weights for n, a in by_name(start + name, weights[name]).items()}
        (network,) = place(arrays, stacked(*order)).networks
    else:
        arrays = {n: a for name in weights for n, a in by_number(STACK + name, weights[name]).items()}
        names = {"layers/rnn": "deep"} | {STACK + name: name for name in weights}
        (network,) = place(arrays, stacked(*order), names, kind="keras").networks
    assert [one.name for one in network.layers] == ["deep.l0", "deep.l1"]
    assert [f"{one.kind}_cell" for one in network.layers] == list(order)
    assert [len(level) for level in network.levels] == [1, 1]


@pytest.mark.parametrize(
    ("sizes", "order"),
    [
        ({"a": (3, 5), "b": (5, 2)}, "ab"),
        ({"a": (5, 2), "b": (3, 5)}, "ba"),
        ({"a": (5, 2), "b": (3, 4), "c": (4, 5)}, "bca"),
    ],
)
def test_sizes_order_stacked_cells(sizes, order, place):
    weights = {name: cell(4, features, units) for name, (features, units) in sizes.items()}
    arrays = {n: a for name in sizes for n, a in by_number(STACK + name, weights[name]).items()}
    names = {STACK + name: name for name in sizes}
    (network,) = place(arrays, names=names).networks
    found = [(one.cell.input_size, one.cell.hidden_size) for one in network.layers]
    assert found == [sizes[name] for name in order]


SQUARE = by_number(f"{STACK}lstm_cell", LSTM) | by_number(f"{STACK}lstm_cell_1", cell(4, 4, 4))


def test_ambiguous_order_is_refused():
    words = "'rnn' fit together in the orders: lstm_cell, lstm_cell_1 or lstm_cell_1, lstm_cell"
    with pytest.raises(DataError, match=words):
        from_state_dict(SQUARE)


def test_impossible_order_is_refused():
    arrays = by_number(f"{STACK}a", cell(4, 3, 5)) | by_number(f"{STACK}b", cell(4, 4, 2))
    with pytest.raises(DataError, match="'rnn' fit together in the orders: none"):
        from_state_dict(arrays)


def test_cells_of_one_name_are_not_two_directions(place):
    arrays = by_number(f"{STACK}lstm_cell", cell(4, 3, 5)) | by_number(f"{STACK}lstm_cell_1", cell(4, 5, 2))
    (network,) = place(arrays, names={f"{STACK}lstm_cell": "c", f"{STACK}lstm_cell_1": "c"}).networks
    assert [len(level) for level in network.levels] == [1, 1]


@pytest.mark.parametrize("arrays", [SQUARE, by_name("a/lstm_cell", LSTM) | by_name("a/lstm_cell_1", LSTM)])
def test_ambiguous_cells_do_not_hide_others(arrays):
    assert "fine" in [one.name for one in from_state_dict(arrays | by_name("fine", LSTM)).layers]


def test_bidirectional_stacks_are_separate():
    # The upper forward cell reads the lower forward cell only.
    arrays = {}
    for way in ("forward", "backward"):
        for name, weights in (("lstm_cell", cell(4, 3, 4)), ("lstm_cell_1", cell(4, 4, 5))):
            arrays |= by_number(f"layers/bidirectional/{way}_layer/cell/cells/{name}", weights)
    checkpoint = from_state_dict(arrays)
    assert len(checkpoint.layers) == 4
    for network in checkpoint.networks:
        for below, level in zip(network.levels, network.levels[1:], strict=False):
            for one in level:
                assert one.cell.input_size == sum(other.cell.output_size for other in below)


H5 = "model_weights/enc/enc/lstm_cell"


@pytest.mark.parametrize("told", [True, False])
def test_go_backwards_is_a_direction(told, place):
    (one,) = place(by_name(H5, LSTM), model(layer("LSTM", "enc", go_backwards=told))).layers
    assert one.direction == ("backward" if told else "forward")
    (real,) = load(FILES / "keras_go_backwards.keras").layers
    assert real.direction == "backward"


def test_backward_half_is_reversed_once(place):
    # Keras also sets go_backwards in the configuration of the backward layer.
    inner = {"layer": layer("LSTM", "lstm"), "backward_layer": layer("LSTM", "lstm", go_backwards=True)}
    arrays = by_name("model_weights/bi/bi/forward_lstm/lstm_cell", LSTM)
    arrays |= by_name("model_weights/bi/bi/backward_lstm/lstm_cell", LSTM)
    layers = place(arrays, model(layer("Bidirectional", "bi", **inner))).layers
    assert [(one.name, one.direction) for one in layers] == [
        ("bi.l0", "forward"),
        ("bi.l0_reverse", "backward"),
    ]


@pytest.mark.parametrize(
    "beside",
    [
        by_name("model_weights/dense/dense", [np.eye(4), np.ones(4)])
        | {"model_weights/dense/dense/bias": np.ones(4)},
        {"layers/dense/vars/0": np.eye(4), "layers/dense/vars/1": np.ones(4)},
        {"layers/mine/cell/vars/0": np.eye(4), "layers/mine/cell/vars/1": np.ones(4)},
        {"layers/conv1d/vars/0": np.ones((3, 4, 4)), "layers/conv1d/vars/1": np.ones(4)},
    ],
    ids=["by-name", "by-number", "dense-called-cell", "convolution"],
)
def test_other_layers_are_not_recurrent(beside, place):
    found = place(by_name(H5, LSTM) | beside)
    assert [one.name for one in found.layers] == ["enc"]
    with pytest.raises(DataError, match="holds no recurrent layer"):
        place(beside)


# Version of Keras → its hard_sigmoid.
HARD = {
    "2.2.4": lambda z: np.clip(0.2 * z + 0.5, 0, 1),
    "2.15.0": lambda z: np.clip(0.2 * z + 0.5, 0, 1),
    "3.15.1": lambda z: np.clip(z / 6 + 0.5, 0, 1),
}


@pytest.mark.parametrize(
    ("version", "kind"), [("2.2.4", "h5"), ("2.15.0", "keras"), ("3.15.1", "h5"), ("3.15.1", "keras")]
)
def test_hard_sigmoid_depends_on_the_version(version, kind, place):
    kernel, recurrent, bias = LSTM
    arrays = by_name(H5, LSTM) if kind == "h5" else by_number("layers/lstm/cell", LSTM)
    config = model(layer("LSTM", "enc", activation="tanh", recurrent_activation="hard_sigmoid"))
    (one,) = place(arrays, config, {"layers/lstm": "enc"}, version, kind).layers
    fed, hard = np.random.default_rng(1).standard_normal((5, INPUT)), HARD[version]
    h, c, states = np.zeros(HIDDEN), np.zeros(HIDDEN), [np.zeros(2 * HIDDEN)]
    for x in fed:
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        c = hard(f) * c + hard(i) * np.tanh(g)
        h = hard(o) * np.tanh(c)
        states.append(np.append(h, c))
    np.testing.assert_allclose(one.cell.run(fed), states, rtol=0, atol=1e-12)


def test_same_name_in_two_models(place):
    arrays, names = {}, {}
    for k, inner in enumerate("ab"):
        group = f"layers/functional{'_1' * k}"
        arrays |= by_number(f"{group}/layers/simple_rnn/cell", cell(1))
        names |= {group: inner, f"{group}/layers/simple_rnn": "rnn"}
    told = {"a": "relu", "b": "softsign"}
    config = model(*(model(layer("SimpleRNN", "rnn", activation=told[name]), name=name) for name in "ab"))
    layers = place(arrays, config, names, kind="keras").layers
    assert {one.name: one.cell.activation for one in layers} == {"a/rnn": "relu", "b/rnn": "softsign"}


@pytest.mark.parametrize("activation", ["mine", {"class_name": "Mine"}, ["tanh"], None, 3])
def test_unknown_activation_is_refused(activation, place):
    with pytest.raises(DataError, match=r"activation .* of layer 'enc' is not known; expected one of tanh"):
        place(by_name(H5, LSTM), model(layer("LSTM", "enc", activation=activation)))


@pytest.mark.parametrize(
    "config",
    [
        [], "text", 3, {"class_name": ["LSTM"], "config": {"name": "enc"}},
        model(layer("LSTM", "enc", cell={"config": []})),
        model(layer("LSTM", "enc", cell={"config": None})),
        model(layer("RNN", "enc", cell={"config": {"cells": 3}})),
        model(layer("RNN", "enc", cell={"config": {"cells": [{"config": None}]}})),
        model(layer("Bidirectional", "enc", layer="text")),
        model(layer("Bidirectional", "enc", layer={"config": 3})),
        model(layer("LSTM", "enc", reset_after=[], go_backwards={})),
    ],
)  # fmt: skip
def test_false_configuration_is_harmless(config, place):
    try:
        (one,) = place(by_name(H5, LSTM), config).layers
    except DataError:
        return
    np.testing.assert_array_equal(one.cell.weight_hh, LSTM[1].T)


@pytest.mark.parametrize("inner_first", [False, True])
def test_same_name_in_an_inner_model(place, inner_first):
    inner = model(layer("SimpleRNN", "rnn", activation="relu"), name="inner")
    listed = [layer("SimpleRNN", "rnn", activation="softsign"), inner]
    arrays = by_number("layers/simple_rnn/cell", cell(1))
    arrays |= by_number("layers/functional/layers/simple_rnn/cell", cell(1))
    names = {"layers/simple_rnn": "rnn", "layers/functional": "inner"}
    names["layers/functional/layers/simple_rnn"] = "rnn"
    found = place(arrays, model(*(listed[::-1] if inner_first else listed)), names, kind="keras").layers
    assert {one.name: one.cell.activation for one in found} == {"rnn": "softsign", "inner/rnn": "relu"}


@pytest.mark.parametrize("kind", ["PeepCell", "MinimalGRUCell"])
def test_custom_cell_is_refused(place, kind):
    wrapped = layer("RNN", "enc", cell={"class_name": kind, "config": {"name": "peep", "units": HIDDEN}})
    with pytest.raises(DataError, match=f"'enc' is a '{kind}'; expected Keras's own LSTM"):
        place(by_name(H5, LSTM), model(wrapped))


def test_wrapped_backward_layer_reverses_the_other_half(place):
    inner = {"layer": layer("LSTM", "lstm", go_backwards=True), "backward_layer": layer("LSTM", "lstm")}
    arrays = by_name("model_weights/bi/bi/forward_lstm/lstm_cell", LSTM)
    arrays |= by_name("model_weights/bi/bi/backward_lstm/lstm_cell", LSTM)
    found = place(arrays, model({"class_name": "Bidirectional", "config": {"name": "bi", **inner}})).layers
    directions = {one.stored[0].name.split("/")[-3]: one.direction for one in found}
    assert directions == {"forward_lstm": "backward", "backward_lstm": "forward"}
