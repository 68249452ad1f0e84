"""What is no plain cell of a framework is not taken for one, and what is one is not lost."""

import numpy as np
import pytest

from gradflow.errors import DataError, GradflowError
from gradflow.layouts.checkpoint import from_state_dict, load
from gradflow.layouts.network import Choices
from gradflow.layouts.onnx import claims as onnx_claims
from gradflow.readers.stored import StoredArray


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
# arrays that look like a layer, and the word of the remark that says why they are none, if one is due
NO_LAYERS = {
    # weight norm leaves two matrices in place of the recurrent one
    "a computed matrix": (
        {
            **torch_lstm("a.", "_l0"),
            **{name: w for name, w in torch_lstm("a.", "_l1", 4).items() if "weight_hh" not in name},
            "a.parametrizations.weight_hh_l1.original0": uniform(16, 1),
        },
        "remove_parametrizations",
    ),
    "a cell with layer norm": (torch_lstm("a.") | {"a.layernorm_i.weight": uniform(16)}, "normalizes"),
    # Equinox writes a second bias with three gates, and has no cell of one
    "three gates and one bias": (
        {"a.weight_ih": uniform(12, 5), "a.weight_hh": uniform(12, 4), "a.bias": uniform(12)},
        "",
    ),
    "one gate and one bias": (
        {"a.weight_ih": uniform(4, 5), "a.weight_hh": uniform(4, 4), "a.bias": uniform(4)},
        "",
    ),
    # Haiku's linear layers in a module of a person's own
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
def test_what_is_no_plain_cell_is_not_read_as_one(case):
    arrays, word = NO_LAYERS[case]
    with pytest.raises(DataError, match="holds no recurrent layer"):
        from_state_dict(arrays)
    checkpoint = from_state_dict(arrays | FINE)
    assert [layer.name for layer in checkpoint.layers] == ["fine"]
    assert len(checkpoint.remarks) == bool(word)
    assert all(word in remark for remark in checkpoint.remarks)


def test_a_flax_layer_that_goes_backward_says_so():
    arrays = flax_lstm("params/bi/forward_rnn/cell") | flax_lstm("params/bi/backward_rnn/cell")
    found = {layer.name: layer.direction for layer in from_state_dict(arrays).layers}
    assert found == {"bi/forward_rnn/cell": "forward", "bi/backward_rnn/cell": "backward"}


def test_a_bias_beside_a_torch_layer_of_levels_is_somebody_elses():
    found = from_state_dict(torch_lstm("a.", "_l0") | {"a.bias": uniform(7)})
    assert [(layer.name, layer.framework) for layer in found.layers] == [("a", "torch")]


def test_two_arrays_that_would_be_one_are_refused_with_both():
    with pytest.raises(DataError, match=r"'a\.weight_hh' and 'a/weight_hh'"):
        from_state_dict(torch_lstm("a.") | {"a/weight_hh": uniform(8, 8)})


def test_lists_are_walked_and_a_dict_in_itself_is_refused():
    nested = {"layers": [torch_lstm(), {"epoch": 3}]}
    assert [layer.name for layer in from_state_dict(nested).layers] == ["layers.0"]
    nested["self"] = nested
    with pytest.raises(DataError, match="in itself"):
        from_state_dict(nested)


def node(**attributes):
    """The arrays of an ONNX node, as its reader gives them."""
    about = {"op": "LSTM", "attributes": attributes}
    arrays = {"n/W": uniform(1, 16, 3), "n/R": uniform(1, 16, 4)}
    return {
        name: StoredArray("model.onnx", name, array.shape, "float64", lambda array=array: array, about=about)
        for name, array in arrays.items()
    }  # fmt: skip


@pytest.mark.parametrize(
    "attributes",
    [
        {"direction": ["forward"]}, {"direction": 3}, {"activations": 3}, {"activations": [3]},
        {"activations": ["Sigmoid"]}, {"activations": ["Gelu", "Tanh", "Tanh"]}, {"clip": 1.0},
        {"activation_alpha": 0.2}, {"activation_alpha": ["x"]}, {"activation_beta": [float("nan")]},
    ],
)  # fmt: skip
def test_attributes_that_say_nothing_sensible_are_refused_as_data(attributes):
    (claim,) = onnx_claims(node(**attributes), Choices({}))
    with pytest.raises(GradflowError) as caught:
        claim.build()
    assert caught.value.exit_code == 1


def test_a_node_without_attributes_is_an_lstm():
    (claim,) = onnx_claims(node(), Choices({}))
    (((layer,),),) = (claim.build(),)
    assert (layer.kind, layer.direction, layer.cell.hidden_size) == ("lstm", "forward", 4)


def test_a_projection_of_full_size_is_read(tmp_path):
    np.savez(tmp_path / "model.npz", **torch_lstm("a."), **{"a.weight_hr": uniform(4, 4)})
    (layer,) = load(tmp_path / "model.npz").layers
    assert layer.cell.weight_hr.shape == (4, 4)


def test_a_residual_of_flax_adds_the_state_inside_the_activation():
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


def test_an_activation_without_the_numbers_that_it_needs_is_refused():
    (claim,) = onnx_claims(node(activations=["Affine", "Tanh", "Tanh"]), Choices({}))
    with pytest.raises(DataError, match="alpha or beta"):
        claim.build()
