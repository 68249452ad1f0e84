"""Every array of a layer's module is read, or named in a refusal or, if it changes no step, in a note."""

import numpy as np
import pytest

from gradflow import from_state_dict
from gradflow.errors import DataError, UsageError

INPUT, HIDDEN = 3, 5
ROWS = 4 * HIDDEN


def uniform(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-0.8, 0.8, shape)


def torch_layer(path="", gates=4, suffix="", bias=True):
    rows = gates * HIDDEN
    arrays = {"weight_ih": uniform(rows, INPUT), "weight_hh": uniform(rows, HIDDEN)}
    if bias:
        arrays |= {"bias_ih": uniform(rows), "bias_hh": uniform(rows, seed=1)}
    return {f"{path}{name}{suffix}": array for name, array in arrays.items()}


def keras_layer(path, gates=4):
    shapes = {
        "kernel": (INPUT, gates * HIDDEN),
        "recurrent_kernel": (HIDDEN, gates * HIDDEN),
        "bias": (gates * HIDDEN,),
    }
    return {f"{path}{name}": uniform(*shape) for name, shape in shapes.items()}


def flax_layer(path):
    arrays = {f"{path}i{gate}.kernel": uniform(INPUT, HIDDEN, seed=k) for k, gate in enumerate("ifgo")}
    for k, gate in enumerate("ifgo"):
        arrays |= {
            f"{path}h{gate}.kernel": uniform(HIDDEN, HIDDEN, seed=k),
            f"{path}h{gate}.bias": uniform(HIDDEN, seed=k),
        }
    return arrays


def gru_of_haiku(path):
    return {f"{path}w_i": uniform(INPUT, 15), f"{path}w_h": uniform(HIDDEN, 15), f"{path}b": uniform(15)}


def equinox_layer(path):
    layer = torch_layer(path, bias=False)
    return layer | {f"{path}bias": uniform(ROWS)}


def norm(path, size=ROWS):
    return {f"{path}.weight": uniform(size), f"{path}.bias": uniform(size)}


ONE_BIAS_GRU = torch_layer("c.", 3, bias=False) | {"c.bias": uniform(15)}
FACTORS = {"c.weight_hh_l0_A": uniform(ROWS, 2), "c.weight_hh_l0_B": uniform(2, HIDDEN)}

# Layers that must not be read, and an array that the refusal names.
REFUSED = {
    "norms called a, b, c": (
        torch_layer("c.") | norm("c.a") | norm("c.b") | norm("c.c", HIDDEN),
        "c.b.weight",
    ),
    "norms in a list": (torch_layer("c.") | norm("c.norms.0") | norm("c.norms.1"), "c.norms.1.bias"),
    "norms at the root": (torch_layer() | norm("bn_ih") | norm("bn_hh"), "bn_hh.weight"),
    "norms in a wrapped model": (torch_layer("module.") | norm("module.ln_hh"), "module.ln_hh.weight"),
    "a norm of Equinox": (equinox_layer("c.") | norm("c.layer_norm", HIDDEN), "c.layer_norm.weight"),
    "a norm of Flax": (flax_layer("c.") | {"c.LayerNorm_0.scale": uniform(ROWS)}, "c.LayerNorm_0.scale"),
    "a norm of Haiku": (
        gru_of_haiku("m/gru/") | {"m/gru/layer_norm/scale": uniform(HIDDEN)},
        "m/gru/layer_norm/scale",
    ),
    "a norm of Keras": (keras_layer("l/cell/") | {"l/cell/norm/gamma": uniform(HIDDEN)}, "l/cell/norm/gamma"),
    "a norm in a cell of TensorFlow 1": (
        {"r/lstm_cell/kernel": uniform(INPUT + HIDDEN, ROWS), "r/lstm_cell/gamma": uniform(HIDDEN)},
        "r/lstm_cell/gamma",
    ),
    "peepholes in one array": (torch_layer("c.") | {"c.weight_ch": uniform(15)}, "c.weight_ch"),
    "peepholes of each gate": (
        torch_layer("c.") | {f"c.weight_c{g}": uniform(HIDDEN) for g in "ifo"},
        "c.weight_cf",
    ),
    "a multiplicative LSTM": (
        equinox_layer("c.") | {"c.weight_mhh": uniform(HIDDEN, HIDDEN)},
        "c.weight_mhh",
    ),
    "decays": (
        torch_layer("c.", 3, "_l0") | {"c.weight_dg_h_l0": uniform(HIDDEN, INPUT)},
        "c.weight_dg_h_l0",
    ),
    "decays in a module": (
        torch_layer("c.", 3) | {"c.decay_h.weight": uniform(HIDDEN, INPUT)},
        "c.decay_h.weight",
    ),
    "a third bias": (torch_layer("c.", 4, "_l0") | {"c.bias_l0": uniform(ROWS)}, "c.bias_l0"),
    "one bias of a GRU": (ONE_BIAS_GRU, "c.bias"),
    "attention": (torch_layer("c.", 3) | {"c.attn.weight": uniform(HIDDEN, 10)}, "c.attn.weight"),
    "an output gate": (
        torch_layer("c.") | {"c.output_gate.weight": uniform(HIDDEN, HIDDEN)},
        "c.output_gate.weight",
    ),
    "a mask of the weights": (torch_layer("c.", 1) | {"c.mask": np.eye(HIDDEN, dtype=bool)}, "c.mask"),
    "a leak": (torch_layer("c.", 1) | {"c.alpha": np.array(0.1)}, "c.alpha"),
    "zoneout": (torch_layer("c.") | {"c.zoneout": np.array([0.1])}, "c.zoneout"),
    "adapters": (
        torch_layer("c.") | {"c.lora_a": uniform(2, HIDDEN), "c.lora_b": uniform(ROWS, 2)},
        "c.lora_b",
    ),
    "the bias of a fused GRU": (keras_layer("c.", 3) | {"c.recurrent_bias": uniform(15)}, "c.recurrent_bias"),
    "the norms of a fused LSTM": (keras_layer("c.") | {"c.gamma_h": uniform(HIDDEN)}, "c.gamma_h"),
    "two gates": ({"c.weight_ih": uniform(10, INPUT), "c.weight_hh": uniform(10, HIDDEN)}, "c.weight_hh"),
    "a factored weight": ({"c.weight_ih_l0": uniform(ROWS, INPUT), **FACTORS}, "c.weight_ih_l0"),
    "convolutions": (
        {"c.weight_ih": uniform(20, 3, 3, 3), "c.weight_hh": uniform(20, 5, 3, 3)},
        "c.weight_hh",
    ),
    "a norm beside the only matrix of Haiku": (
        {"r/lstm/linear/w": uniform(INPUT + HIDDEN, ROWS), "r/lstm/linear/b": uniform(ROWS)}
        | {"r/lstm/layer_norm/scale": uniform(HIDDEN)},
        "r/lstm/layer_norm/scale",
    ),
    "an adapter around a layer": (
        torch_layer("rnn.base_layer.", 4, "_l0") | {"rnn.lora_A.default.weight": uniform(2, INPUT)},
        "rnn.lora_A.default.weight",
    ),
    "a time scale": (torch_layer("c.") | {"c.time_scale": uniform(1)}, "c.time_scale"),
    "a gain of the output": (torch_layer("c.") | {"c.out_gain": uniform(HIDDEN)}, "c.out_gain"),
    "a matrix of the values": (
        torch_layer("c.") | {"c.value_proj.weight": uniform(HIDDEN, HIDDEN)},
        "c.value_proj.weight",
    ),
    "a square matrix to the output": (torch_layer("c.") | {"c.h2o": uniform(HIDDEN, HIDDEN)}, "c.h2o"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_layer_with_arrays_that_can_change_it_is_refused_by_their_names(case):
    arrays, name = REFUSED[case]
    with pytest.raises(DataError, match=rf"holds no recurrent layer that can be read: .*{name}\b"):
        from_state_dict(arrays)
    checkpoint = from_state_dict(arrays | torch_layer("plain.", 3))
    assert [layer.name.rpartition(".")[2] for layer in checkpoint.layers] == ["plain"]
    assert any(remark.startswith("left out: ") and name in remark for remark in checkpoint.remarks)


HEADS = {"fc.weight": uniform(2, HIDDEN), "fc.bias": uniform(2), "embedding.weight": uniform(9, INPUT)}
# Layers that must be read, and an array that a note names; none if nothing is said.
READ = {
    "a head beside a layer": (
        torch_layer("rnn.") | norm("norm", HIDDEN) | {"head.weight": uniform(2, HIDDEN)},
        "",
    ),
    "a head at the root": (torch_layer("", 4, "_l0") | HEADS, "fc.weight"),
    "a head of a wrapped model": (
        torch_layer("model.") | {f"model.{n}": a for n, a in HEADS.items()},
        "model.fc.bias",
    ),
    "layers of any name": (
        torch_layer() | {"linear1.weight": uniform(18, HIDDEN), "linear1.bias": uniform(18)},
        "linear1.bias",
    ),
    "numbers of training": (torch_layer() | {"epoch": np.array(7), "val_loss": np.array(0.3)}, "val_loss"),
    "data": (torch_layer() | {"inputs": uniform(9, INPUT), "states": uniform(9, HIDDEN)}, "states"),
    "an initial state": (
        torch_layer("c.") | {"c.h0": uniform(1, 1, HIDDEN), "c.c0": uniform(1, 1, HIDDEN)},
        "c.c0",
    ),
    "an initial state in words": (torch_layer("c.") | {"c.init_hidden": uniform(1, HIDDEN)}, "c.init_hidden"),
    "a counter": (torch_layer("c.") | {"c.num_batches_tracked": np.array(3)}, "c.num_batches_tracked"),
    "a mask of dropout": (torch_layer("c.") | {"c.dropout_mask": uniform(2, HIDDEN)}, "c.dropout_mask"),
    "the state of a random generator": (
        keras_layer("l/lstm_cell/") | {"l/lstm_cell/seed_generator/state": np.arange(2)},
        "l/lstm_cell/seed_generator/state",
    ),
    "an average of a weight": (
        torch_layer("c.") | {"c.weight_hh/Average": uniform(ROWS, HIDDEN)},
        "c.weight_hh/Average",
    ),
    "a bias of another size": (torch_layer("c.", 4, "_l0") | {"c.bias": uniform(7)}, "c.bias"),
    "one bias": (torch_layer("c.", 4, "_l0", bias=False) | {"c.bias_l0": uniform(ROWS)}, "c.bias_l0"),
    "one bias of an RNN": (torch_layer("c.", 1, bias=False) | {"c.bias": uniform(HIDDEN)}, "c.bias"),
    "dense layers beside a cell of Flax": (
        flax_layer("p.LSTMCell_0.") | {"p.Dense_0.kernel": uniform(HIDDEN, HIDDEN)},
        "",
    ),
    "dense layers beside a cell of TensorFlow 1": (
        {"r/lstm_cell/kernel": uniform(INPUT + HIDDEN, ROWS), "r/dense/kernel": uniform(HIDDEN, HIDDEN)},
        "",
    ),
    "layers inside a layer": (torch_layer() | torch_layer("decoder."), ""),
    "an unknown cell beside a known one": (
        torch_layer("c.") | {"sru.0.weight": uniform(3, 15)},
        "sru.0.weight",
    ),
    "a cell of gates beside a known one": (
        torch_layer("c.") | {"own.W_hi": uniform(5, 5), "own.b_i": uniform(5)},
        "own.W_hi",
    ),
}


@pytest.mark.parametrize("case", READ)
def test_layer_with_other_arrays_is_read_and_they_are_named(case):
    arrays, name = READ[case]
    checkpoint = from_state_dict(arrays)
    assert checkpoint.layers
    assert len(checkpoint.remarks) == bool(name)
    assert all(f"'{name}'" in remark for remark in checkpoint.remarks)


def test_order_of_gates_that_no_layer_has_is_refused():
    with pytest.raises(UsageError, match="expected an order of the gates in the file, i, f, g, o of an lstm"):
        from_state_dict(keras_layer("c."), assume={"gate_order": "rzn"})


def test_only_bias_is_used():
    arrays = torch_layer("c.", 4, "_l0", bias=False)
    bias = uniform(ROWS)
    (layer,) = from_state_dict(arrays | {"c.bias_l0": bias}).layers
    (other,) = from_state_dict(arrays | {"c.bias_ih_l0": bias}).layers
    np.testing.assert_array_equal(layer.cell.bias, other.cell.bias)
    np.testing.assert_array_equal(layer.cell.bias, bias)


def test_refusal_is_overruled_by_the_assumption_that_it_names():
    arrays = torch_layer("c.") | {"c.weight_ch": uniform(15), "c.h0": uniform(1, HIDDEN)}
    with pytest.raises(DataError, match="`assume` unread=ignored reads it"):
        from_state_dict(arrays)
    checkpoint = from_state_dict(arrays, assume={"unread": "ignored"})
    (plain,) = from_state_dict(torch_layer("c.")).layers
    np.testing.assert_array_equal(checkpoint["c"].make_cell().weight_hh, plain.cell.weight_hh)
    ignored, initial = checkpoint.remarks
    assert "without arrays that can change its step" in ignored
    assert "'c.weight_ch' (15,)" in ignored
    assert "starts from 0" in initial
    assert "'c.h0'" in initial
    with pytest.raises(UsageError, match="unread=yes: expected unread=ignored"):
        from_state_dict(arrays, assume={"unread": "yes"})
    with pytest.raises(UsageError, match="leave unread out"):
        from_state_dict(torch_layer("c."), assume={"unread": "ignored"})


def test_gates_under_the_names_of_keras_have_the_order_that_is_said():
    arrays = keras_layer("c.")
    assumed, said = from_state_dict(arrays), from_state_dict(arrays, assume={"gate_order": "igfo"})
    assert "gate_order=ifgo" in assumed.layers[0].assumed
    assert "the gate order of 'c' is assumed" in assumed.remarks[0]
    assert said.remarks == ()
    i, g, f, o = np.split(arrays["c.kernel"], 4, axis=1)
    np.testing.assert_array_equal(said.layers[0].cell.weight_ih, np.hstack([i, f, g, o]).T)
    i, g, f, o = np.split(arrays["c.bias"], 4)
    np.testing.assert_array_equal(said.layers[0].cell.bias, np.hstack([i, f, g, o]))
    with pytest.raises(UsageError, match="gate_order=ig: expected an order of i, f, g, o"):
        from_state_dict(arrays, assume={"gate_order": "ig"})


def test_gates_of_a_gru_have_the_order_that_is_said():
    arrays = keras_layer("c.", 3) | {"c.bias": uniform(2, 15)}
    (layer,) = from_state_dict(arrays, assume={"gate_order": "rzn"}).layers
    np.testing.assert_array_equal(layer.cell.weight_hh, arrays["c.recurrent_kernel"].T)
    np.testing.assert_array_equal(layer.cell.bias[:10], arrays["c.bias"].sum(axis=0)[:10])
    np.testing.assert_array_equal(layer.cell.bias_hn, arrays["c.bias"][1, 10:])


def test_files_of_keras_state_the_order_of_gates():
    checkpoint = from_state_dict(keras_layer("lstm/lstm_cell/"))
    assert checkpoint.remarks == ()
    assert "gate_order" not in checkpoint.left_open
