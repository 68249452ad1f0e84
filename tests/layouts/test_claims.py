"""Arrays of plain cells are recognized, and other arrays are not."""

import numpy as np
import onnx
import pytest

from gradflow import from_state_dict, load
from gradflow.errors import DataError


def uniform(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-0.5, 0.5, shape)


def torch_lstm(prefix="", suffix="", features=3, hidden=4):
    return {
        f"{prefix}weight_ih{suffix}": uniform(4 * hidden, features),
        f"{prefix}weight_hh{suffix}": uniform(4 * hidden, hidden),
        f"{prefix}bias_ih{suffix}": uniform(4 * hidden),
        f"{prefix}bias_hh{suffix}": uniform(4 * hidden, seed=1),
    }


def flax_lstm(prefix, features=3, hidden=4):
    gates = {f"{prefix}/i{gate}/kernel": uniform(features, hidden, seed=k) for k, gate in enumerate("ifgo")}
    for k, gate in enumerate("ifgo"):
        gates[f"{prefix}/h{gate}/kernel"] = uniform(hidden, hidden, seed=k)
        gates[f"{prefix}/h{gate}/bias"] = uniform(hidden, seed=k)
    return gates


FINE = torch_lstm("fine.")
# Arrays that only look like a layer, and a word of the remark about them, if there is one.
NO_LAYERS = {
    # A parametrization of which one part is missing.
    "a computed matrix": (
        {
            **torch_lstm("a.", "_l0"),
            **{name: w for name, w in torch_lstm("a.", "_l1", 4).items() if "weight_hh" not in name},
            "a.parametrizations.weight_hh_l1.original0": uniform(16, 1),
        },
        "remove_parametrizations",
    ),
    # Equinox writes a second bias for three gates.
    "three gates and one bias": (
        {"a.weight_ih": uniform(12, 5), "a.weight_hh": uniform(12, 4), "a.bias": uniform(12)},
        "behind the reset gate",
    ),
    # Haiku's linear layers in a custom module.
    "a classifier": (
        {"lstm_classifier/linear/w": uniform(32, 40), "lstm_classifier/linear/b": uniform(40)},
        "",
    ),
    "two dense layers": (
        {f"rnn_model/linear{end}/w": uniform(16, 16, seed=k) for k, end in enumerate(["", "_1"])},
        "",
    ),
    "four blocks for a GRU": ({"a/w_i": uniform(5, 16), "a/w_h": uniform(4, 16)}, "3 gates"),
    "one block for a GRU": ({"a/w_i": uniform(5, 4), "a/w_h": uniform(4, 4)}, "3 gates"),
    "dense layers called i and h": (
        {f"a/{name}/{leaf}": uniform(*(4,) * k) for name in "ih" for k, leaf in ((1, "bias"), (2, "kernel"))},
        "",
    ),
    "the moments of an optimizer": (
        flax_lstm("opt_state/0/mu/cell") | {f"optimizer.{name}": w for name, w in torch_lstm().items()},
        "",
    ),
    "gradients": (torch_lstm("grad."), ""),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_LAYERS)
def test_other_arrays_are_not_read_as_a_cell(case):
    arrays, word = NO_LAYERS[case]
    with pytest.raises(DataError, match="holds no recurrent layer"):
        from_state_dict(arrays)
    checkpoint = from_state_dict(arrays | FINE)
    assert [layer.name for layer in checkpoint.layers] == ["fine"]
    assert len(checkpoint.remarks) == bool(word)
    assert all(word in remark for remark in checkpoint.remarks)


def test_backward_flax_layer_has_its_direction():
    arrays = flax_lstm("params/bi/forward_rnn/cell") | flax_lstm("params/bi/backward_rnn/cell")
    found = {layer.name: layer.direction for layer in from_state_dict(arrays).layers}
    assert found == {"bi/forward_rnn/cell": "forward", "bi/backward_rnn/cell": "backward"}


def test_two_spellings_of_a_name_are_refused():
    with pytest.raises(DataError, match=r"'a\.weight_hh' and 'a/weight_hh'"):
        from_state_dict(torch_lstm("a.") | {"a/weight_hh": uniform(8, 8)})


def test_lists_are_walked_but_not_circles():
    nested = {"layers": [torch_lstm(), {"epoch": 3}]}
    assert [layer.name for layer in from_state_dict(nested).layers] == ["layers.0"]
    nested["self"] = nested
    with pytest.raises(DataError, match="contains itself"):
        from_state_dict(nested)


@pytest.fixture
def write_node(tmp_path):
    """Write an ONNX model of one LSTM node, and return its path."""

    def write_node(**attributes):
        weights = {"W": uniform(1, 16, 3), "R": uniform(1, 16, 4)}
        tensors = [onnx.numpy_helper.from_array(weight, name) for name, weight in weights.items()]
        node = onnx.helper.make_node("LSTM", ["x", "W", "R"], ["y"], name="n", **attributes)
        model = onnx.helper.make_model(onnx.helper.make_graph([node], "graph", [], [], tensors))
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        return tmp_path / "model.onnx"

    return write_node


@pytest.mark.parametrize(
    "attributes",
    [
        {"direction": ["forward"]}, {"direction": 3}, {"activations": 3}, {"activations": [3]},
        {"activations": ["Sigmoid"]}, {"activations": ["Gelu", "Tanh", "Tanh"]}, {"clip": 1.0},
        {"activation_alpha": 0.2}, {"activation_alpha": ["x"]}, {"activation_beta": [float("nan")]},
    ],
)  # fmt: skip
def test_false_attributes_are_a_data_error(attributes, write_node):
    with pytest.raises(DataError):
        load(write_node(**attributes))


def test_node_may_lack_attributes(write_node):
    (layer,) = load(write_node()).layers
    assert (layer.kind, layer.direction, layer.cell.hidden_size) == ("lstm", "forward", 4)


def test_projection_of_full_size_is_read(tmp_path):
    np.savez(tmp_path / "model.npz", **torch_lstm("a."), **{"a.weight_hr": uniform(4, 4)})
    (layer,) = load(tmp_path / "model.npz").layers
    assert layer.cell.weight_hr.shape == (4, 4)


def test_flax_residual_adds_the_state():
    arrays = {"cell/i/kernel": uniform(3, 4), "cell/i/bias": uniform(4), "cell/h/kernel": uniform(4, 4)}
    inputs, state = uniform(6, 3, seed=2), np.zeros(4)
    plain = from_state_dict(arrays).layers[0]
    residual = from_state_dict(arrays, assume={"residual": "on"}).layers[0]
    assert "residual=off" in plain.assumed
    for x, found in zip(inputs, residual.cell.run(inputs)[1:], strict=True):
        state = np.tanh(
            x @ arrays["cell/i/kernel"] + arrays["cell/i/bias"] + state @ arrays["cell/h/kernel"] + state
        )
        np.testing.assert_allclose(found, state, rtol=1e-13)


def test_activation_without_alpha_is_refused(write_node):
    with pytest.raises(DataError, match="alpha or beta"):
        load(write_node(activations=["Affine", "Tanh", "Tanh"]))


def test_names_in_refusals_are_printable():
    with pytest.raises(DataError) as refusal:
        from_state_dict({"\x1cnn.weight_ih_l0": np.ones((20, 5))})
    assert "\\x1cnn.weight_ih_l0 (20, 5)" in str(refusal.value)
    assert str(refusal.value).isprintable()
