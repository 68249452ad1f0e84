"""Cells of TensorFlow 1 compared with slow twins, which compute step by step what tf.nn.rnn_cell documents.

TensorFlow 1 can no longer be installed, so its formulas are written out here: inputs and state side
by side, times a kernel.
"""

import numpy as np
import pytest

from gradflow import from_state_dict, load
from gradflow.errors import DataError, UsageError

INPUT, HIDDEN, PROJECTION, STEPS = 3, 4, 2, 8
EXACT = 1e-12


def sigma(z):
    return 1 / (1 + np.exp(-z))


def relu(z):
    return np.maximum(z, 0)


def basic_rnn_cell(weights, x, state, activation=np.tanh):
    return [activation(np.append(x, state[0]) @ weights["kernel"] + weights["bias"])]


def lstm_cell(weights, x, state, activation=np.tanh, forget_bias=1.0):
    m, c = state
    i, j, f, o = np.split(np.append(x, m) @ weights["kernel"] + weights["bias"], 4)
    w_i, w_f, w_o = (weights.get(f"w_{gate}_diag", 0.0) for gate in "ifo")
    c = sigma(f + forget_bias + w_f * c) * c + sigma(i + w_i * c) * activation(j)
    m = sigma(o + w_o * c) * activation(c)
    return [m @ weights["projection/kernel"] if "projection/kernel" in weights else m, c]


def gru_cell(weights, x, state, activation=np.tanh):
    (h,) = state
    r, u = np.split(sigma(np.append(x, h) @ weights["gates/kernel"] + weights["gates/bias"]), 2)
    candidate = np.append(x, r * h) @ weights["candidate/kernel"] + weights["candidate/bias"]
    return [u * h + (1 - u) * activation(candidate)]


def lstm_shapes(features, units, seen=None):
    return {"kernel": (features + (seen or units), 4 * units), "bias": (4 * units,)}


def peephole_shapes(units):
    return {f"w_{gate}_diag": (units,) for gate in "fio"}


# Name in the tests → name in a checkpoint, twin, and shapes as a function of (features, units).
CELLS = {
    "rnn": ("basic_rnn_cell", basic_rnn_cell, lambda i, h: {"kernel": (i + h, h), "bias": (h,)}),
    "basic lstm": ("basic_lstm_cell", lstm_cell, lstm_shapes),
    "lstm": ("lstm_cell", lstm_cell, lstm_shapes),
    "peepholes": ("lstm_cell", lstm_cell, lambda i, h: lstm_shapes(i, h) | peephole_shapes(h)),
    "projection": (
        "lstm_cell", lstm_cell,
        lambda i, h: lstm_shapes(i, h, PROJECTION) | {"projection/kernel": (h, PROJECTION)},
    ),
    "both": (
        "lstm_cell", lstm_cell,
        lambda i, h: lstm_shapes(i, h, PROJECTION) | peephole_shapes(h)
        | {"projection/kernel": (h, PROJECTION)},
    ),
    "gru": (
        "gru_cell", gru_cell,
        lambda i, h: {
            "gates/kernel": (i + h, 2 * h), "gates/bias": (2 * h,),
            "candidate/kernel": (i + h, h), "candidate/bias": (h,),
        },
    ),
}  # fmt: skip


class Made:
    """A cell: its weights, its arrays under the names of a checkpoint, and the states of its twin."""

    def __init__(self, case, path="rnn/", features=INPUT, units=HIDDEN, seed=0):
        self.units = units
        self.cell, self.twin, shapes = CELLS[case]
        generator = np.random.default_rng([seed, *case.encode()])
        self.weights = {
            name: generator.uniform(-0.8, 0.8, shape) for name, shape in shapes(features, units).items()
        }
        self.arrays = {f"{path}{self.cell}/{name}": weight for name, weight in self.weights.items()}

    def run(self, inputs, **options):
        """Return the states (m, then c) before and after every step, and the outputs for a cell above."""
        shown = PROJECTION if "projection/kernel" in self.weights else self.units
        state = [np.zeros(shown)] + [np.zeros(self.units)] * (self.twin is lstm_cell)
        states = [np.concatenate(state)]
        for x in inputs:
            state = self.twin(self.weights, x, state, **options)
            states.append(np.concatenate(state))
        return np.array(states), np.array(states)[1:, :shown]


def inputs(features=INPUT):
    return np.random.default_rng(5).standard_normal((STEPS, features))


def check(layer, made, fed, **options):
    states, outputs = made.run(fed, **options)
    np.testing.assert_allclose(layer.cell.run(fed), states, rtol=0, atol=EXACT)
    assert layer.framework == "tensorflow1"
    return outputs


@pytest.mark.parametrize("case", CELLS)
def test_states_are_those_of_the_formulas(case):
    made = Made(case)
    (layer,) = from_state_dict(made.arrays).layers
    check(layer, made, inputs())
    assert layer.name == "rnn"
    assert layer.parameters == sum(weight.size for weight in made.weights.values())


def older(name):
    return name.replace("kernel", "weights").replace("bias", "biases")


# Spelling of a variable → the name of its layer.
SPELLINGS = {
    "rnn/{cell}/{leaf}": "rnn",
    "rnn/{cell}/{leaf}:0": "rnn",
    "{cell}/{leaf}": None,  # named after the kind of the cell
    "net/decoder/{cell}_1/{leaf}": "net/decoder",
    "seq2seq/encoder/rnn/{cell}/{leaf}": "seq2seq/encoder/rnn",
    "rnn/multi_rnn_cell/cell_0/{cell}/{leaf}": "rnn",
}


@pytest.mark.parametrize("case", ["rnn", "basic lstm", "both", "gru"])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("spelt", [str, older])
def test_every_spelling_of_a_variable_is_known(case, spelling, spelt, tmp_path):
    made = Made(case)
    arrays = {
        spelling.format(cell=made.cell, leaf=spelt(leaf)): weight for leaf, weight in made.weights.items()
    }
    # Other variables of a checkpoint.
    arrays |= {f"{name}/Adam": weight for name, weight in arrays.items()}
    arrays |= {"global_step": np.array(7), "dense/kernel": np.eye(3), "dense/bias": np.zeros(3)}
    np.savez(tmp_path / "exported.npz", **arrays)
    (layer,) = load(tmp_path / "exported.npz").layers
    assert layer.name == (SPELLINGS[spelling] or layer.kind)
    assert len(layer.stored) == len(made.weights)
    check(layer, made, inputs())


@pytest.mark.parametrize("forget_bias", [0, 1, "2.5"])
@pytest.mark.parametrize("case", ["basic lstm", "both"])
def test_forget_bias_is_added_and_can_be_set(case, forget_bias):
    made = Made(case)
    (layer,) = from_state_dict(made.arrays, assume={"forget_bias": forget_bias}).layers
    check(layer, made, inputs(), forget_bias=float(forget_bias))
    assert layer.assumed == ("activation=tanh",)


@pytest.mark.parametrize("case", CELLS)
def test_activation_can_be_set(case):
    made = Made(case)
    (layer,) = from_state_dict(made.arrays, assume={"activation": "relu"}).layers
    check(layer, made, inputs(), activation=relu)


@pytest.mark.parametrize("case", CELLS)
def test_assumptions_are_listed(case):
    (layer,) = from_state_dict(Made(case).arrays).layers
    lstm = {"forget_bias=1"} if CELLS[case][1] is lstm_cell else set()
    assert set(layer.assumed) == lstm | {"activation=tanh"}


@pytest.mark.parametrize("case", ["rnn", "gru"])
def test_no_forget_gate_has_no_forget_bias(case):
    with pytest.raises(UsageError, match=r"leaves open activation.*leave forget_bias out"):
        from_state_dict(Made(case).arrays, assume={"forget_bias": 0})


@pytest.mark.parametrize(
    "cases", [("basic lstm", "basic lstm"), ("gru", "both", "rnn"), ("projection", "lstm"), ("rnn",) * 11]
)
def test_multi_rnn_cells_are_levels_by_number(cases):
    made, features = [], INPUT
    for k, case in enumerate(cases):
        one = Made(case, f"rnn/multi_rnn_cell/cell_{k}/", features, HIDDEN + k % 3, seed=k)
        features = PROJECTION if "projection/kernel" in one.weights else one.units
        made.append(one)
    arrays = {name: array for one in made for name, array in one.arrays.items()}
    # A checkpoint sorts its variables by name: cell_10 comes before cell_2.
    (network,) = from_state_dict(dict(sorted(arrays.items()))).networks
    assert [layer.name for layer in network.layers] == [f"rnn.l{k}" for k in range(len(cases))]
    assert [len(level) for level in network.levels] == [1] * len(cases)
    fed, states = inputs(), []
    for one, layer in zip(made, network.layers, strict=True):
        states.append(one.run(fed)[0])
        fed = check(layer, one, fed)
    np.testing.assert_allclose(network.make_cell().run(inputs()), np.hstack(states), rtol=0, atol=EXACT)


def bidirectional(case, path, features=INPUT, seed=0):
    """Return a cell for each direction, and the arrays of both."""
    ahead, back = (Made(case, f"{path}{way}/", features, seed=seed + k) for k, way in enumerate(["fw", "bw"]))
    return ahead, back, ahead.arrays | back.arrays


@pytest.mark.parametrize(
    ("path", "name"), [("bidirectional_rnn/", None), ("tagger/bidirectional_rnn/", "tagger")]
)
@pytest.mark.parametrize("case", ["rnn", "both", "gru"])
def test_fw_and_bw_are_directions_of_one_level(case, path, name):
    ahead, back, arrays = bidirectional(case, path)
    # Sorted by name, bw comes first.
    (network,) = from_state_dict(dict(sorted(arrays.items()))).networks
    name = name or network.layers[0].kind
    assert [layer.name for layer in network.layers] == [f"{name}.l0", f"{name}.l0_reverse"]
    assert [layer.direction for layer in network.layers] == ["forward", "backward"]
    assert len(network.levels) == 1
    check(network.layers[0], ahead, inputs())
    check(network.layers[1], back, inputs()[::-1])


def test_both_directions_feed_the_level_above():
    path = "stack_bidirectional_rnn/cell_{}/bidirectional_rnn/"
    lower, lower_back, arrays = bidirectional("lstm", path.format(0))
    upper, upper_back, above = bidirectional("lstm", path.format(1), 2 * HIDDEN, seed=2)
    (network,) = from_state_dict(arrays | above).networks
    assert [[layer.direction for layer in level] for level in network.levels] == [["forward", "backward"]] * 2
    first, second, third, fourth = network.layers
    h, h_back = check(first, lower, inputs()), check(second, lower_back, inputs()[::-1])
    fed = np.hstack([h, h_back[::-1]])
    check(third, upper, fed)
    check(fourth, upper_back, fed[::-1])


def test_bidirectional_stacks_are_separate():
    # bidirectional_dynamic_rnn of two MultiRNNCells: the upper forward cell reads only the lower one.
    made = {
        (way, k): Made("lstm", f"bidirectional_rnn/{way}/multi_rnn_cell/cell_{k}/", features, seed=k)
        for way in ("fw", "bw")
        for k, features in enumerate([INPUT, HIDDEN])
    }
    checkpoint = from_state_dict({n: a for one in made.values() for n, a in one.arrays.items()})
    assert len(checkpoint.layers) == 4
    for network in checkpoint.networks:
        for below, level in zip(network.levels, network.levels[1:], strict=False):
            for layer in level:
                assert layer.cell.input_size == sum(one.cell.output_size for one in below)


@pytest.mark.parametrize("count", [2, 3])
def test_sibling_cells_are_all_read(count):
    several = [Made("lstm", seed=k).weights for k in range(count)]
    arrays = {
        f"decoder/lstm_cell{f'_{k}' if k else ''}/{leaf}": weight
        for k, weights in enumerate(several)
        for leaf, weight in weights.items()
    }
    found = from_state_dict(arrays)
    assert {stored.name for layer in found.layers for stored in layer.stored} == set(arrays)
    assert len({layer.name for layer in found.layers}) == count


@pytest.mark.parametrize("lacking", ["w_i_diag", "w_f_diag", "w_o_diag"])
def test_incomplete_peepholes_are_refused(lacking):
    made = Made("peepholes")
    del made.arrays[f"rnn/lstm_cell/{lacking}"]
    with pytest.raises(DataError, match=r"can be read: .*diag"):
        from_state_dict(made.arrays)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"lstm_cell/kernel": np.ones((7, 15))}, r"\(7, 15\): expected 4 gates"),
        ({"lstm_cell/kernel": np.ones((4, 16))}, "rows for inputs and state"),
        ({"basic_rnn_cell/kernel": np.ones((4, 4))}, "rows for inputs and state"),
        (
            {"lstm_cell/kernel": np.ones((7, 16)), "lstm_cell/bias": np.ones(15)},
            r"'lstm_cell/bias' has shape \(15,\); expected \(16,\)",
        ),
        ({"gru_cell/gates/kernel": np.ones((7, 8))}, "expected gates and candidate"),
        (
            {"gru_cell/gates/kernel": np.ones((7, 8)), "gru_cell/candidate/kernel": np.ones((6, 4))},
            r"'gru_cell/gates/kernel' has shape \(7, 8\); expected \(6, 8\)",
        ),
        (
            Made("lstm", "multi_rnn_cell/cell_0/").arrays | Made("lstm", "multi_rnn_cell/cell_2/").arrays,
            r"cells \[0, 2\] .* without a gap",
        ),
        (
            Made("lstm", "multi_rnn_cell/cell_0/").arrays
            | Made("lstm", "multi_rnn_cell/cell_1/", features=HIDDEN + 1).arrays,
            "expected 4 inputs, which are the outputs of the layer below, not 5",
        ),
    ],
    ids=["columns", "no-inputs", "square", "bias", "half-a-gru", "gru-rows", "gap", "sizes-do-not-chain"],
)
def test_false_shapes_are_refused(arrays, words):
    with pytest.raises(DataError, match=words):
        from_state_dict(arrays)
