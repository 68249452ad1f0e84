"""What is written for every framework reads back as the same cells, bit for bit, or is refused by name."""

import sys

import h5py
import numpy as np
import onnx
import pytest

from gradflow import convert, from_state_dict, load
from gradflow.cells.activations import parse_activation
from gradflow.errors import DataError, UsageError
from gradflow.layouts import EXPORTERS
from gradflow.layouts.checkpoint import Checkpoint
from gradflow.layouts.exports import export_cells, split_activation
from gradflow.layouts.network import name_layers
from gradflow.layouts.onnx import ONNX_ACTIVATIONS
from gradflow.registry import lookup
from gradflow.writers import WRITTEN_CONTAINERS
from tests.layouts.exported import FEATURES, HIDDEN, LACKING, NETWORKS, checkpoint, layer
from tests.layouts.test_files import FILES

STEPS = 7
REFUSED = [(to, name) for to, names in LACKING.items() for name in names]
WRITTEN = [(to, name) for to in EXPORTERS for name in NETWORKS if name not in LACKING[to]]
FILES_OF_ARRAYS = [
    ("keras", "weights.h5"),
    *((to, container) for to in EXPORTERS for container in ("npz", "safetensors")),
]


def check_same(wanted, found):
    """The layers are the same: kind, direction and every array, bit for bit."""
    for one, other in zip(wanted, found, strict=True):
        assert type(one.cell) is type(other.cell)
        arrays, others = one.cell.weights(), other.cell.weights()
        for key in {*arrays, *others}:
            # No peepholes are peepholes of 0.
            array, another = (named.get(key, np.zeros(1)) for named in (arrays, others))
            np.testing.assert_array_equal(*np.broadcast_arrays(array, another), err_msg=key)
        for option in ("reset", "coupled", "forget_gate"):
            assert getattr(one.cell, option, None) == getattr(other.cell, option, None)


def in_order(layers):
    """Return layers in an order that weights alone decide: HDF5 lists groups by name."""
    return sorted(layers, key=lambda one: float(one.cell.weight_hh.ravel()[0]))


@pytest.mark.parametrize(("to", "name"), REFUSED)
def test_what_a_framework_lacks_is_refused_by_name(to, name, tmp_path):
    with pytest.raises(DataError, match=f"left out: a.net.*{LACKING[to][name]}"):
        convert(checkpoint(name), tmp_path / "new.npz", to=to)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("to", "container"), FILES_OF_ARRAYS)
@pytest.mark.parametrize("name", NETWORKS)
def test_written_arrays_read_back_bit_for_bit(to, container, name, tmp_path):
    if name in LACKING[to]:
        return
    file = tmp_path / f"new.{container}"
    result = convert(checkpoint(name), file, to=to)
    assert set(result.arrays.dtype) == {"float64"}
    if to == "onnx" and name.startswith("coupled"):  # The arrays do not say it.
        with pytest.raises(DataError, match="input_forget=1"):
            load(file)
        return
    assume = {"reset": "before"} if to == "onnx" and "reset before" in name else None
    found = load(file, assume=assume).layers
    wanted = list(checkpoint(name).layers)
    if (to, name) == ("onnx", "both ways, resets differ"):
        assert [one.cell.reset for one in found] == ["after", "after"]
        return
    if container == "weights.h5":
        wanted, found = in_order(wanted), in_order(found)
    check_same(wanted, found)


@pytest.mark.parametrize("name", [name for to, name in WRITTEN if to == "onnx"])
def test_onnx_nodes_read_back_as_the_same_layers(name, tmp_path):
    """The expressions make nodes which, with the arrays as initializers, say all that the cells are."""
    result = convert(checkpoint(name), tmp_path / "new.npz", to="onnx")
    nodes = [eval(text, {"onnx": onnx}) for text in result.modules.constructor]
    for number, node in enumerate(nodes):
        node.name, node.output[0] = result.modules.module[number], f"Y{number}"
    weights = [
        onnx.numpy_helper.from_array(array, key) for key, array in np.load(tmp_path / "new.npz").items()
    ]
    x = onnx.helper.make_tensor_value_info("X", onnx.TensorProto.DOUBLE, [None, 1, None])
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [x], [], weights))
    onnx.save(model, tmp_path / "new.onnx")
    found, wanted = load(tmp_path / "new.onnx").layers, checkpoint(name).layers
    check_same(wanted, found)
    for one, other in zip(wanted, found, strict=True):
        assert one.direction == other.direction
        for option in ("gate_activation", "activation", "output_activation"):
            if hasattr(one.cell, option):
                pair = [split_activation(getattr(each.cell, option)) for each in (one, other)]
                assert pair[0] == pair[1]


def run_onnx(arrays, attributes, inputs):
    """Return the outputs of one direction of a node, as the text of the ONNX operators has it."""
    w, r, b = (arrays[key][0] for key in "WRB")
    gates = {1: "h", 3: "zrh", 4: "iofc"}[len(w) // HIDDEN]
    rows = {
        name: tuple(np.split(array, len(gates))[k] for array in (w, r, *np.split(b, 2)))
        for k, name in enumerate(gates)
    }
    p = dict(zip("iof", np.split(arrays["P"][0], 3) if "P" in arrays else np.zeros((3, HIDDEN)), strict=True))
    h, c, outputs = np.zeros(HIDDEN), np.zeros(HIDDEN), []

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def gate(name, x):
        w, r, wb, rb = rows[name]
        return w @ x + r @ h + wb + rb

    for x in inputs:
        if gates == "h":
            h = np.tanh(gate("h", x))
        elif gates == "zrh":
            z, reset = sigmoid(gate("z", x)), sigmoid(gate("r", x))
            w, r, wb, rb = rows["h"]
            after = attributes.get("linear_before_reset", 0)
            n = np.tanh(w @ x + (reset * (r @ h + rb) + wb if after else r @ (reset * h) + rb + wb))
            h = (1 - z) * n + z * h
        else:
            i = sigmoid(gate("i", x) + p["i"] * c)
            f = 1 - i if attributes.get("input_forget", 0) else sigmoid(gate("f", x) + p["f"] * c)
            c = f * c + i * np.tanh(gate("c", x))
            h = sigmoid(gate("o", x) + p["o"] * c) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


@pytest.mark.parametrize(
    "spec",
    [
        "rnn",
        "lstm",
        "lstm:peephole=on",
        "lstm:coupled=on",
        "lstm:coupled=on,peephole=on",
        "gru",
        "gru:reset=before",
    ],
)
def test_onnx_arrays_compute_the_states_of_the_cell(spec):
    cell = layer(spec).cell
    (module,) = export_cells(lookup(EXPORTERS, "onnx", "layout"), [cell])
    node = eval(module.constructor, {"onnx": onnx})
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    inputs = np.random.default_rng(5).standard_normal((STEPS, FEATURES))
    np.testing.assert_allclose(
        run_onnx(module.arrays, attributes, inputs), cell.run(inputs)[1:, :HIDDEN], rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("name", ONNX_ACTIVATIONS)
def test_every_activation_of_onnx_is_written(name):
    ours, defaults = ONNX_ACTIVATIONS[name]
    values = [0.5 + 0.25 * k for k in range(len(defaults))]
    cell = layer("rnn", activation=f"{ours}({','.join(map(str, values))})" if values else ours).cell
    (module,) = export_cells(lookup(EXPORTERS, "onnx", "layout"), [cell])
    attributes = {
        one.name: onnx.helper.get_attribute_value(one)
        for one in eval(module.constructor, {"onnx": onnx}).attribute
    }
    wanted = {} if name == "Tanh" else {"activations": [name.encode()]}
    wanted |= {
        key: [value] for key, value in zip(("activation_alpha", "activation_beta"), values, strict=False)
    }
    assert attributes == wanted | {"hidden_size": HIDDEN}


def test_the_identity_of_onnx_is_affine():
    (module,) = export_cells(lookup(EXPORTERS, "onnx", "layout"), [layer("rnn", activation="identity").cell])
    assert "activations=['Affine'], activation_alpha=[1.0], activation_beta=[0.0]" in module.constructor
    z = np.linspace(-3, 3, 7)
    np.testing.assert_array_equal(parse_activation("affine(1,0)").value(z), z)


def test_rounding_of_an_attribute_is_told(tmp_path):
    gates = f"hard_sigmoid({1 / 6!r},0.5)"
    model = Checkpoint("memory", (name_layers("a", ((layer("lstm", gate_activation=gates),),)),))
    rounded = float(np.float32(1 / 6))
    (note,) = convert(model, tmp_path / "new.npz", to="onnx").notes
    assert note.endswith(f"{gates} becomes hard_sigmoid({rounded!r},0.5).")


def list_datasets(content):
    """Return the arrays and the labels of an HDF5 file by path, without the group of the whole model."""
    found = {}

    def add(path, item):
        if isinstance(item, h5py.Dataset):
            found[path] = item[()]
        elif "name" in item.attrs and path != "vars":
            found[path] = item.attrs["name"]

    with h5py.File(content) as file:
        file.visititems(add)
    return found


@pytest.mark.parametrize("case", ["bidirectional", "gru_before", "lstm", "simple_relu_unsaid"])
def test_a_weights_file_of_keras_comes_back_as_keras_wrote_it(case, tmp_path):
    convert(FILES / f"keras_{case}.weights.h5", tmp_path / "new.weights.h5")
    new, old = (
        list_datasets(path) for path in (tmp_path / "new.weights.h5", FILES / f"keras_{case}.weights.h5")
    )
    assert list(new) == list(old)
    for path, value in old.items():
        if isinstance(value, str):
            assert new[path] == value
        else:
            assert new[path].dtype == value.dtype
            total = (
                (value.sum(axis=0), new[path].sum(axis=0)) if value.shape == (2, 12) else (value, new[path])
            )
            np.testing.assert_array_equal(*total)


def test_layers_of_one_class_are_numbered_as_in_keras(tmp_path):
    convert(FILES / "keras_two.keras", tmp_path / "new.weights.h5")
    new, old = (list_datasets(path) for path in (tmp_path / "new.weights.h5", FILES / "keras_two.weights.h5"))
    assert {path for path in old if "lstm" in path} == set(new)
    for path in new:
        np.testing.assert_array_equal(new[path], old[path])


def test_a_weights_file_has_the_same_bytes_each_time(tmp_path):
    for name in "ab":
        convert(checkpoint("stack of kinds"), tmp_path / f"{name}.weights.h5")
    assert (tmp_path / "a.weights.h5").read_bytes() == (tmp_path / "b.weights.h5").read_bytes()


def test_the_suffix_decides_unless_the_framework_is_named(tmp_path):
    found = convert(checkpoint("lstm"), tmp_path / "new.weights.h5")
    assert (found.params["to"], found.container) == ("keras", "weights.h5")
    assert convert(checkpoint("lstm"), tmp_path / "new.npz").params["to"] == "torch"


@pytest.mark.parametrize(
    "to", [name for name in EXPORTERS if name != WRITTEN_CONTAINERS["weights.h5"].layout]
)
def test_a_weights_file_takes_the_names_of_keras_alone(to, tmp_path):
    with pytest.raises(UsageError, match=f"names of keras alone, not of {to}"):
        convert(checkpoint("lstm"), tmp_path / "new.weights.h5", to=to)


def test_the_nearest_framework_is_suggested(tmp_path):
    with pytest.raises(UsageError, match="unknown framework to write 'kears'; did you mean 'keras'"):
        convert(checkpoint("lstm"), tmp_path / "new.npz", to="kears")


def test_a_missing_package_is_named_with_its_extra_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "gradflow.writers.keras_weights", raising=False)
    with pytest.raises(DataError, match=r"writing \.weights\.h5 files needs h5py.*\[hdf5\]"):
        convert(checkpoint("leaky"), tmp_path / "new.weights.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x\0y", "x\ny", "n" * 70000, "\ud800"])
def test_a_name_that_no_attribute_holds_is_refused(name, tmp_path):
    arrays = {f"{name}.weight_ih_l0": np.ones((8, 3)), f"{name}.weight_hh_l0": np.ones((8, 2))}
    with pytest.raises(DataError, match="cannot name a layer"):
        convert(from_state_dict(arrays), tmp_path / "new.weights.h5")
    assert not list(tmp_path.iterdir())


def test_two_layers_of_one_keras_name_are_refused(tmp_path):
    arrays = {f"{name}.weight_{kind}_l0": np.ones((8, 2)) for name in ("a.b", "a_b") for kind in ("ih", "hh")}
    with pytest.raises(DataError, match="would have the same name 'a_b'"):
        convert(from_state_dict(arrays), tmp_path / "new.weights.h5")


def test_directions_of_different_sizes_are_refused_for_keras(tmp_path):
    levels = ((layer("gru"), layer("gru", hidden=2, direction="backward")),)
    model = Checkpoint("memory", (name_layers("a", levels),))
    with pytest.raises(DataError, match="no Bidirectional of directions of different sizes, here 4 and 2"):
        convert(model, tmp_path / "new.weights.h5")


def test_bare_arrays_of_a_node_leave_its_attributes_open():
    arrays = {"gru/W": np.ones((2, 12, 3)), "gru/R": np.ones((2, 12, 4)), "gru/B": np.ones((2, 24))}
    forward, backward = from_state_dict(arrays).layers
    assert (forward.direction, backward.direction) == ("forward", "backward")
    assert forward.assumed == ("gate_activation=sigmoid", "activation=tanh", "reset=after")
    assert from_state_dict(arrays, assume={"reset": "before"}).layers[0].cell.reset == "before"
    with pytest.raises(UsageError, match=r"reset 'befor'.*'before'"):
        from_state_dict(arrays, assume={"reset": "befor"})


@pytest.mark.parametrize(
    "shapes", [((1, 12, 3), (1, 12, 5)), ((3, 12, 3), (3, 12, 4)), ((12, 3), (12, 4)), ((1, 8, 3), (1, 8, 4))]
)
def test_other_arrays_called_w_and_r_are_no_layer(shapes):
    arrays = {f"a/{name}": np.ones(shape) for name, shape in zip("WR", shapes, strict=True)}
    with pytest.raises(DataError, match="no recurrent layer"):
        from_state_dict(arrays)


def test_integers_called_w_and_r_are_no_layer():
    arrays = {"a/W": np.ones((1, 12, 3), np.int8), "a/R": np.ones((1, 12, 4), np.int8)}
    with pytest.raises(DataError, match="no recurrent layer"):
        from_state_dict(arrays)
