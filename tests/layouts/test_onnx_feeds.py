"""What an ONNX graph feeds its recurrent nodes: the values of ONNX's own evaluator, or the reason why not."""

import pickle
from random import Random
from unittest.mock import Mock

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, reference

from gradflow import load
from gradflow.errors import GradflowError
from gradflow.layouts.feeds import MODEL_INPUT, Feed, UnknownFeed

HIDDEN, INPUTS = 4, 3
BLOCKS = {"RNN": 1, "GRU": 3, "LSTM": 4}
DRAW = np.random.default_rng(0)


def draw(*shape):
    return DRAW.uniform(-0.8, 0.8, shape)


def whole(*values):
    return np.array(values, np.int64)


def recurrent(op, given, output, inputs=INPUTS, directions=1, name=None, initial=(), **attributes):
    """Return a recurrent node and its weights."""
    name = name or output
    rows = BLOCKS[op] * HIDDEN
    weights = {f"{name}.W": draw(directions, rows, inputs), f"{name}.R": draw(directions, rows, HIDDEN)}
    outputs = [output] if isinstance(output, str) else output
    node = helper.make_node(
        op, [given, *weights, "", "", *initial], outputs, name=name, hidden_size=HIDDEN, **attributes
    )
    return node, weights


def build(parts, shape, outputs, constants=None, inputs=("x",), opset=17, kinds=()):
    """Return a model in float64 of nodes, and of pairs of a node and its weights."""
    nodes = [part[0] if isinstance(part, tuple) else part for part in parts]
    weights = {name: array for part in parts if isinstance(part, tuple) for name, array in part[1].items()}
    kinds = dict.fromkeys(inputs, TensorProto.DOUBLE) | dict(kinds)
    values = [helper.make_tensor_value_info(name, kind, shape) for name, kind in kinds.items()]
    shown = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in outputs]
    stored = [
        numpy_helper.from_array(np.asarray(array), name)
        for name, array in (weights | (constants or {})).items()
    ]
    graph = helper.make_graph(nodes, "network", values, shown, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.fixture
def read(tmp_path):
    """Write a model and return its networks by name, after a copy through pickle."""

    def read(model):
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        checkpoint = pickle.loads(pickle.dumps(load(tmp_path / "model.onnx")))
        return {network.name: network for network in checkpoint.networks}, checkpoint.remarks

    return read


def evaluate(model, names, **given):
    """Return values inside a graph, by ONNX's reference evaluator, in the precision of its inputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in names)
    return reference.ReferenceEvaluator(copy).run(None, given)


def squeeze(given, output):
    return helper.make_node("Squeeze", [given, "axis"], [output])


def node(op, given, output, **attributes):
    return helper.make_node(op, given.split(), [output], **attributes)


AXIS = {"axis": whole(1)}
FLATTENED = [
    node("Reshape", "h flat", "a"),
    node("Gemm", "a m d", "c", transB=1),
    node("Shape", "h", "s"),
    node("Slice", "s zero two", "tb"),
    node("Concat", "tb six", "back", axis=0),
    node("Reshape", "c back", "u"),
]
NORMALIZED = [
    node("Transpose", "h", "a", perm=[1, 2, 0]),
    node("BatchNormalization", "a scale shift mean spread", "c", epsilon=0.1),
    node("Transpose", "c", "u", perm=[2, 0, 1]),
]
HALVES = [
    helper.make_node("Split", ["h"], ["p", "q"], axis=2),
    node("Mul", "p q", "a"),
    node("Softmax", "a", "u", axis=-1),
]
UNCHANGED = [
    node("Cast", "h", "a", to=TensorProto.FLOAT),
    node("Dropout", "a", "b"),
    node("Identity", "b", "u"),
]
REPEATED = [node("Gather", "h last", "a", axis=0), node("Shape", "h", "s"), node("Expand", "a s", "u")]
# The nodes between an LSTM's output h (T, B, H) and u, the input of a GRU, and the features of u.
BETWEEN = {
    "dense": ([node("MatMul", "h M", "a"), node("Add", "d a", "c"), node("Relu", "c", "u")], 6),
    "flattened": (FLATTENED, 6),
    "batch norm": (NORMALIZED, HIDDEN),
    "layer norm": ([node("LayerNormalization", "h scale shift", "u", axis=-1)], HIDDEN),
    "skip": ([node("Concat", "x h", "u", axis=2)], INPUTS + HIDDEN),
    "halves": (HALVES, HIDDEN // 2),
    "cast and dropout": (UNCHANGED, HIDDEN),
    "last state repeated": (REPEATED, HIDDEN),
    "time mean": ([node("ReduceMean", "h", "a", axes=[0], keepdims=1), node("Sub", "h a", "u")], HIDDEN),
}
CONSTANTS = {
    **{name: draw(HIDDEN) for name in ("scale", "shift", "mean")},
    **{"M": draw(HIDDEN, 6), "m": draw(6, HIDDEN), "d": draw(6), "spread": 1 + draw(HIDDEN)},
    **{"flat": whole(-1, HIDDEN), "zero": whole(0), "two": whole(2), "six": whole(6), "last": whole(-1)},
}


@pytest.mark.parametrize("way", BETWEEN)
def test_feed_is_what_the_graph_computes(way, read):
    nodes, features = BETWEEN[way]
    constants = AXIS | CONSTANTS
    parts = [recurrent("LSTM", "x", "y"), squeeze("y", "h"), *nodes, recurrent("GRU", "u", "z", features)]
    model = build(parts, [None, None, INPUTS], ["z"], constants)
    networks, _ = read(model)
    x = draw(7, 2, INPUTS)
    y, u = evaluate(model, ["y", "u"], x=x)
    assert networks["y"].feed is None
    feed = networks["z"].feed
    assert feed.sources == (("y", MODEL_INPUT) if way == "skip" else ("y",))
    outputs = {"y": y[:, 0].transpose(1, 0, 2), MODEL_INPUT: x.transpose(1, 0, 2)}
    made = feed.compute({name: outputs[name] for name in feed.sources})
    tolerance = 1e-6 if way == "cast and dropout" else 1e-13  # Float32 is left out.
    np.testing.assert_allclose(made, u.transpose(1, 0, 2), rtol=tolerance, atol=tolerance)


def test_erf_has_the_precision_of_float64(read):
    """ONNX's reference evaluator computes Erf in float32."""
    from math import erf

    parts = [
        recurrent("LSTM", "x", "y"),
        squeeze("y", "h"),
        node("Erf", "h", "u"),
        recurrent("GRU", "u", "z", HIDDEN),
    ]
    networks, _ = read(build(parts, [None, None, INPUTS], ["z"], AXIS))
    given = draw(1, 5, HIDDEN)
    made = networks["z"].feed.compute({"y": given})
    np.testing.assert_allclose(made.ravel(), [erf(entry) for entry in given.ravel()], rtol=1e-15)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("layout", [0, 1])
def test_outputs_have_the_axes_of_their_node(direction, layout, read):
    """Y (T, D, B, H) and Y_h (D, B, H); with layout 1 Y (B, T, D, H) and Y_h (B, D, H)."""
    directions = 2 if direction == "bidirectional" else 1
    first = recurrent(
        "GRU", "x", ["y", "last"], directions=directions, name="y", direction=direction, layout=layout
    )
    size = directions * HIDDEN
    order = [0, 1, 2, 3] if layout else [0, 2, 1, 3]
    joined = [node("Transpose", "y", "moved", perm=order), node("Reshape", "moved joined", "h")]
    whole_last = [node("Transpose", "last", "end", perm=[0, 1, 2] if layout else [1, 0, 2])]
    ends = [node("Reshape", "end flat", "e"), node("Unsqueeze", "e steps", "w"), node("Add", "h w", "u")]
    constants = {"joined": whole(0, 0, size), "flat": whole(-1, size), "steps": whole(1 if layout else 0)}
    parts = [first, *joined, *whole_last, *ends, recurrent("RNN", "u", "z", size, layout=layout)]
    networks, _ = read(build(parts, [None, None, INPUTS], ["z"], constants))
    outputs = draw(2, 6, size)
    last, begin = outputs[:, -1], outputs[:, 0]
    if direction == "reverse":
        last = begin
    elif direction == "bidirectional":
        last = np.concatenate([last[:, :HIDDEN], begin[:, HIDDEN:]], axis=1)
    made = networks["z"].feed.compute({"y": outputs})
    np.testing.assert_allclose(made, outputs + last[:, np.newaxis], rtol=1e-15)


@pytest.mark.parametrize("shape", [[None, None, 3], [2, 7, 3], [1, 7, 3], ["b", "t", 3]])
def test_axes_of_the_input_are_found(shape, read):
    """The model has the sequences first: a Transpose stands before its layer."""
    parts = [
        node("MatMul", "x m", "a"),
        node("Transpose", "a", "u", perm=[1, 0, 2]),
        recurrent("LSTM", "u", "y", 5),
    ]
    matrix = draw(INPUTS, 5)
    networks, _ = read(build(parts, shape, ["y"], {"m": matrix}))
    feed, x = networks["y"].feed, draw(3, 4, INPUTS)
    assert (feed.sources, feed.input_size, feed.through) == ((MODEL_INPUT,), INPUTS, ("MatMul 'a'",))
    np.testing.assert_allclose(feed.compute({MODEL_INPUT: x}), x @ matrix, rtol=1e-14)


def test_moved_input_is_the_input_itself(read):
    parts = [node("Transpose", "x", "u", perm=[1, 0, 2]), recurrent("LSTM", "u", "y")]
    assert read(build(parts, [None, None, INPUTS], ["y"]))[0]["y"].feed is None


def test_graph_of_fixed_size_is_computed_in_pieces(read):
    """A Reshape to 7 steps of 2 sequences, as torch writes it: 3 sequences of 9 steps need four pieces."""
    parts = [
        recurrent("LSTM", "x", "y"),
        node("Reshape", "y fixed", "h"),
        node("Tanh", "h", "u"),
        recurrent("GRU", "u", "z", HIDDEN),
    ]
    for shape in ([7, 2, INPUTS], [None, None, INPUTS]):
        networks, _ = read(build(parts, shape, ["z"], {"fixed": whole(7, 2, HIDDEN)}))
        given = draw(3, 9, HIDDEN)
        np.testing.assert_allclose(networks["z"].feed.compute({"y": given}), np.tanh(given), rtol=1e-14)


def find_reason(read, parts, constants=None, shape=(None, None, INPUTS), path="z", **options):
    networks, remarks = read(build(parts, list(shape), ["z"], AXIS | (constants or {}), **options))
    assert isinstance(networks[path].feed, UnknownFeed)
    return networks[path].feed.reason, remarks


def test_fixed_steps_that_mix_are_told(read):
    """The mean over 7 steps cannot be computed in pieces."""
    nodes = [node("Reshape", "y fixed", "h"), node("ReduceMean", "h", "a", axes=[0]), node("Sub", "h a", "u")]
    parts = [recurrent("LSTM", "x", "y"), *nodes, recurrent("GRU", "u", "z", HIDDEN)]
    reason, _ = find_reason(read, parts, {"fixed": whole(7, 1, HIDDEN)})
    assert reason == "its graph is fixed to sequences of 7 steps"


LSTM = recurrent("LSTM", "x", ["y", "hn", "cn"], name="first")
# Nodes between y and u, and a part of the reason why they cannot be computed.
OBSTACLES = {
    "Conv 'u'": [squeeze("y", "h"), node("Conv", "h m", "u")],
    "own.Tanh 'u'": [squeeze("y", "h"), node("Tanh", "h", "u", domain="own")],
    "RandomNormalLike 'u'": [node("RandomNormalLike", "x", "u")],
    "the cell state of 'first'": [node("Add", "x cn", "u")],
    "of type int64": [squeeze("y", "h"), node("Gather", "h ids", "u")],
    "depends on its own output": [node("Add", "v x", "u"), node("Add", "u x", "v")],
    "'nowhere' is unknown": [node("Add", "x nowhere", "u")],
    "cannot be computed": [node("Add", "x three", "u")],
    "constants of the file": [node("Identity", "some", "u")],
    "several inputs, 'other', 'x'": [squeeze("y", "h"), node("Add", "h other", "a"), node("Add", "a x", "u")],
}


@pytest.mark.parametrize("words", OBSTACLES)
def test_obstacle_is_named(words, read):
    parts = [LSTM, *OBSTACLES[words], recurrent("GRU", "u", "z", HIDDEN)]
    constants = {"m": draw(4, 4, 1), "three": draw(7), "some": draw(5, 2, HIDDEN)}
    kinds = {"ids": TensorProto.INT64} if "int64" in words else {}
    reason, _ = find_reason(
        read, parts, constants, kinds=kinds, inputs=("x", "other") if "other" in words else ("x",)
    )
    assert words in reason


def test_state_from_an_encoder_is_told(read):
    decoder = recurrent("GRU", "x", "d", initial=["hn"])
    parts = [LSTM, decoder, squeeze("d", "u"), recurrent("GRU", "u", "z", HIDDEN)]
    reason, remarks = find_reason(read, parts)
    assert reason == "'d' before it starts from a state that comes from 'first'"
    assert remarks == ("'d' starts from a state that comes from 'first'; it is taken as zero",)


def stop_at_lengths(part, name="lens"):
    """Return a recurrent node, and its weights, with an input of lengths."""
    part[0].input[4] = name
    return part


@pytest.mark.parametrize(
    ("constants", "options", "source"),
    [
        ({"lens": np.array([5, 7], np.int32)}, {}, "from numbers in the file"),
        ({}, {"kinds": [("lens", TensorProto.INT32)]}, "from the model's input 'lens'"),
    ],
)
def test_lengths_of_sequences_are_told_and_nothing_above_is_computed(constants, options, source, read):
    first = stop_at_lengths(recurrent("LSTM", "x", "y"))
    parts = [first, squeeze("y", "h"), recurrent("GRU", "h", "z", HIDDEN)]
    networks, remarks = read(build(parts, [None, None, INPUTS], ["z"], AXIS | constants, **options))
    assert networks["y"].feed is None
    assert networks["z"].feed.reason == f"'y' before it stops at lengths of its sequences that come {source}"
    assert remarks == (
        f"'y' stops at lengths of its sequences that come {source}, which are left out: it goes through all "
        "steps",
    )


def test_lengths_of_whole_sequences_hide_no_step(read):
    """Exporters compute the lengths from the shape of the input."""
    lengths = [
        node("Shape", "x", "s"),
        node("Slice", "s one two", "b"),
        node("Slice", "s zero one", "t"),
        node("Expand", "t b", "l"),
        node("Cast", "l", "lens", to=TensorProto.INT32),
    ]
    first = stop_at_lengths(recurrent("LSTM", "x", "y"))
    parts = [*lengths, first, squeeze("y", "h"), recurrent("GRU", "h", "z", HIDDEN)]
    constants = AXIS | {"zero": whole(0), "one": whole(1), "two": whole(2)}
    networks, remarks = read(build(parts, [None, None, INPUTS], ["z"], constants))
    assert networks["z"].feed.sources == ("y",)
    assert remarks == ()


def test_layers_that_read_different_inputs_of_the_model_say_which(read):
    parts = [recurrent("LSTM", "x", "y"), recurrent("LSTM", "other", "w"), squeeze("y", "h")]
    parts += [recurrent("GRU", "h", "z", HIDDEN)]
    networks, _ = read(build(parts, [None, None, INPUTS], ["z"], AXIS, inputs=("x", "other")))
    assert [networks[name].feed.input_name for name in "yw"] == ["x", "other"]
    assert "several inputs, 'other', 'x'; name the layer" in networks["y"].feed.reason
    assert networks["z"].feed.sources == ("y",)


@pytest.mark.parametrize(("initial", "words"), [
    ({"h0": np.ones((1, 1, HIDDEN))}, "numbers in the file"), ({}, "the model's input 'h0'"),
])  # fmt: skip
def test_other_initial_states_are_told(initial, words, read):
    parts = [recurrent("GRU", "x", "z", initial=["h0"])]
    _, remarks = read(
        build(parts, [None, None, INPUTS], ["z"], initial, inputs=("x",) if initial else ("x", "h0"))
    )
    assert [words in remark for remark in remarks] == [True]


def test_zero_state_is_not_told(read):
    nodes = [node("Shape", "x", "s"), node("Gather", "s one", "b"), node("Concat", "n1 b n4", "n", axis=0)]
    zero = [node("ConstantOfShape", "n", "h0"), recurrent("GRU", "x", "z", initial=["h0"])]
    constants = {"one": whole(1), "n1": whole(1), "n4": whole(HIDDEN)}
    assert read(build([*nodes, *zero], [None, None, INPUTS], ["z"], constants))[1] == ()


def test_circle_of_layers_is_told(read):
    parts = [
        squeeze("z", "v"),
        recurrent("LSTM", "v", "y", HIDDEN),
        squeeze("y", "u"),
        recurrent("GRU", "u", "z", HIDDEN),
    ]
    assert find_reason(read, parts)[0] == "'z' feeds itself in the graph"


def test_chain_passes_through_functions(read):
    """The body of a function has its own names."""
    inner, weights = recurrent("LSTM", "a", "y", name="inner")
    call = helper.make_node("Encode", ["x", *weights], ["h"], domain="own")
    del inner.input[1:3]
    inner.input.insert(1, "w")
    inner.input.insert(2, "r")
    body = [inner, helper.make_node("Squeeze", ["y", "k"], ["s"]), helper.make_node("Neg", ["s"], ["b"])]
    body.insert(0, helper.make_node("Constant", [], ["k"], value_ints=[1]))
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "Encode", ["a", "w", "r"], ["b"], body, opsets)
    model = build([(call, weights), recurrent("GRU", "h", "z", HIDDEN)], [None, None, INPUTS], ["z"])
    model.functions.append(function)
    networks, _ = read(model)
    given = draw(2, 5, HIDDEN)
    assert isinstance(networks["z"].feed, Feed)
    np.testing.assert_array_equal(networks["z"].feed.compute({"inner": given}), -given)


def test_layer_inside_a_loop_is_told(read):
    inner, weights = recurrent("LSTM", "given", "out", name="inner")
    values = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in ("i", "go", "given")]
    body = helper.make_graph([inner], "body", values, [])
    loop = helper.make_node("Loop", ["", "", "x"], ["z"], name="loop", body=body)
    reason, _ = find_reason(read, [(loop, weights)], path="inner")
    assert reason == "it stands inside 'loop', which hands it 'given'"


@pytest.mark.parametrize("kind", ["Expand", "Tile", "Pad", "ConstantOfShape", "Range"])
def test_growing_graphs_are_not_computed(kind, read):
    large = whole(1, 2**20, 2**20)
    nodes = {
        "Expand": [node("Expand", "single large", "a"), node("Add", "a x", "u")],
        "Tile": [node("Tile", "x large", "u")],
        "Pad": [node("Pad", "x pads", "u")],
        "ConstantOfShape": [node("ConstantOfShape", "large", "a"), node("Add", "a x", "u")],
        "Range": [node("Range", "zero wide one", "a"), node("Add", "a x", "u")],
    }[kind]
    scalars = {name: np.array(size, np.int64) for name, size in {"zero": 0, "wide": 2**40, "one": 1}.items()}
    constants = {"large": large, "single": [[[0.5]]], "pads": whole(*[2**30] * 6), **scalars}
    reason, _ = find_reason(read, [*nodes, recurrent("GRU", "u", "z")], constants)
    assert "too much memory" in reason or "more than the limit" in reason


@pytest.mark.parametrize("case", ["negative", "complex", "full"])
def test_layer_above_an_impossible_node_is_told_alone(case, read, monkeypatch):
    """np.tile would make 10^15 entries of repeats whose product is negative."""
    repeats = {"negative": whole(10**6, -1, 10**9), "complex": whole(1, 2, 1) + 1j, "full": whole(1, 2, 1)}[
        case
    ]
    if case == "full":
        monkeypatch.setattr(np, "tile", Mock(side_effect=MemoryError))
    reason, _ = find_reason(
        read, [LSTM, node("Tile", "x many", "u"), recurrent("GRU", "u", "z")], {"many": repeats}
    )
    what = {
        "negative": "expected repeats of at least 0; received -1",
        "complex": "expected real numbers; received complex128 (3,)",
        "full": "it takes too much memory",
    }[case]
    assert reason == f"Tile 'u' cannot be computed ('{what}')"


# A layer that is called more than once


def test_steps_that_are_left_out_between_layers_are_told(read):
    ends = {"start": whole(0), "end": whole(2**62), "axes": whole(0), "every": whole(2)}
    between = helper.make_node("Slice", ["h1", *ends], ["u"])
    parts = [recurrent("LSTM", "x", "y1"), squeeze("y1", "h1"), between, recurrent("GRU", "u", "z", HIDDEN)]
    networks, _ = read(build(parts, [20, 1, INPUTS], ["z"], AXIS | ends))
    assert "expected" in networks["z"].feed.reason


def test_layer_called_twice_is_one(read):
    first, weights = recurrent("LSTM", "x", "y1", name="first")
    second = helper.make_node("LSTM", ["w", *weights], ["y2"], name="second", hidden_size=HIDDEN)
    third = helper.make_node("LSTM", ["x", *weights], ["y3"], name="third", hidden_size=HIDDEN)
    above = [(squeeze(f"y{k}", f"h{k}"), recurrent("GRU", f"h{k}", f"z{k}", HIDDEN)) for k in (1, 2, 3)]
    parts = [
        (first, weights),
        node("Neg", "x", "w"),
        second,
        third,
        *(part for pair in above for part in pair),
    ]
    networks, remarks = read(build(parts, [None, None, INPUTS], ["z1"], AXIS))
    assert list(networks) == ["first", "z1", "z2", "z3"]
    assert networks["z1"].feed.sources == networks["z3"].feed.sources == ("first",)
    assert networks["z2"].feed.reason == "'second' before it calls 'first' again, with other inputs"
    told = "'first' is one layer with"
    assert remarks == (
        f"{told} 'third', which have its weights and the same inputs",
        f"{told} 'second', which have its weights and other inputs, which are left out",
    )


@pytest.mark.parametrize(("change", "layers"), [(0.0, 1), (1e-9, 2)])
def test_copies_in_two_branches_are_one(change, layers, read):
    branches = {}
    weights = recurrent("LSTM", "x", "y")[1]
    for k, which in enumerate(("then_branch", "else_branch")):
        constants = [numpy_helper.from_array(array + change * k, name) for name, array in weights.items()]
        inner = helper.make_node("LSTM", ["x", *weights], ["y"], name=which, hidden_size=HIDDEN)
        branches[which] = helper.make_graph([inner], which, [], [], constants)
    choice = helper.make_node("If", ["flag"], ["z"], **branches)
    model = build([choice], [None, None, INPUTS], ["z"], kinds={"flag": TensorProto.BOOL})
    assert len(read(model)[0]) == layers


def test_copies_in_one_graph_are_two(read):
    first, weights = recurrent("LSTM", "x", "y1", name="first")
    copies = {f"{name} again": array for name, array in weights.items()}
    second = helper.make_node("LSTM", ["x", *copies], ["y2"], name="second", hidden_size=HIDDEN)
    assert len(read(build([(first, weights), (second, copies)], [None, None, INPUTS], ["y1"]))[0]) == 2


@pytest.mark.parametrize("per_row", [False, True])
def test_quantized_lstm_has_its_effective_weights(per_row, read):
    """Scale · (q − zero point); W is stored as (D, I, 4H), R as (D, H, 4H)."""
    rows, stored, expected = 4 * HIDDEN, {}, {}
    for name, size in (("W", INPUTS), ("R", HIDDEN)):
        numbers = DRAW.integers(0, 256, (2, size, rows)).astype(np.uint8)
        shape = (2, rows) if per_row else (2,)
        scale, zero = (
            DRAW.uniform(0.001, 0.01, shape).astype(np.float32),
            DRAW.integers(100, 150, shape).astype(np.uint8),
        )
        stored |= {f"{name}q": numbers, f"{name}s": scale, f"{name}z": zero}
        spread = [each.reshape(2, 1, -1).astype(float) for each in (scale, zero)]
        expected[name] = (spread[0] * (numbers.astype(float) - spread[1])).transpose(0, 2, 1)
    inputs = ["x", "Wq", "Rq", "", "", "", "", "", "Ws", "Wz", "Rs", "Rz"]
    options = {
        "hidden_size": HIDDEN,
        "direction": "bidirectional",
        "domain": "com.microsoft",
        "name": "enc_quant",
    }
    quantized = helper.make_node("DynamicQuantizeLSTM", inputs, ["y"], **options)
    networks, remarks = read(build([quantized], [None, None, INPUTS], ["y"], stored))
    assert "is quantized (DynamicQuantizeLSTM)" in remarks[0]
    for k, layer in enumerate(networks["enc"].layers):
        order = np.concatenate(
            [np.arange(HIDDEN) + HIDDEN * gate for gate in (0, 2, 3, 1)]
        )  # i, o, f, c → i, f, c, o
        np.testing.assert_array_equal(layer.cell.weight_ih, expected["W"][k][order])
        np.testing.assert_array_equal(layer.cell.weight_hh, expected["R"][k][order])


def test_unread_recurrent_nodes_are_told(read):
    other = helper.make_node("AttnLSTM", ["x"], ["y"], domain="com.microsoft", name="attentive")
    open_weights = helper.make_node("GRU", ["x", "x", "x"], ["w"], name="open")
    _, remarks = read(build([other, open_weights, recurrent("GRU", "x", "z")], [None, None, INPUTS], ["z"]))
    assert [("AttnLSTM 'attentive'" in told, "GRU 'open', whose W" in told) for told in remarks] == [
        (True, False), (False, True)
    ]  # fmt: skip


# Damaged graphs

HOSTILE_NUMBERS = (-(2**63), 2**63 - 1, -1, 0, 2**31, 7)


def mutate(model, generator):
    """Return a copy with an input, operator, attribute, constant or size changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    node = generator.choice(copy.graph.node)
    constant = generator.choice(
        [tensor for tensor in copy.graph.initializer if tensor.data_type == TensorProto.INT64]
    )
    names = [name for each in copy.graph.node for name in (*each.input, *each.output)]
    match generator.randrange(6):
        case 0:
            node.input[generator.randrange(len(node.input))] = generator.choice(names)
        case 1:
            node.op_type = generator.choice(
                ("Expand", "Tile", "Range", "Reshape", "MatMul", "Split", "Gather", "Pow")
            )
        case 2:
            numbers = numpy_helper.to_array(constant).copy()
            numbers.flat[generator.randrange(numbers.size)] = generator.choice(HOSTILE_NUMBERS)
            constant.raw_data = numbers.tobytes()
        case 3:
            copy.graph.input[0].type.tensor_type.shape.dim[generator.randrange(3)].dim_value = (
                2 ** generator.randrange(62)
            )
        case 4:
            node.output[0] = generator.choice(names)
        case _:
            for attribute in node.attribute:
                attribute.i = generator.choice(HOSTILE_NUMBERS)
    return copy


@pytest.mark.parametrize("way", BETWEEN)
def test_damaged_graph_has_a_feed_or_a_reason(way, read, monkeypatch):
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", "2000000")
    nodes, features = BETWEEN[way]
    parts = [recurrent("LSTM", "x", "y"), squeeze("y", "h"), *nodes, recurrent("GRU", "u", "z", features)]
    model = build(parts, [None, None, INPUTS], ["z"], AXIS | CONSTANTS)
    generator, feeds, refusals = Random(f"mutations of {way}"), [], []
    for _ in range(20):
        try:
            networks, _ = read(mutate(model, generator))
        except GradflowError as error:
            networks, refusals = {}, [*refusals, str(error)]
        for network in networks.values():
            feeds.append(network.feed)
            if isinstance(network.feed, UnknownFeed):
                assert network.feed.reason.isprintable()
            elif network.feed is not None:
                sizes = {
                    name: networks[name].layers[0].cell.output_size for name in network.feed.sources if name
                }
                sizes |= {MODEL_INPUT: network.feed.input_size}
                given = {name: draw(2, 5, sizes[name]) for name in network.feed.sources}
                assert network.feed.compute(given).shape == (2, 5, network.levels[0][0].cell.input_size)
    assert {type(feed) for feed in feeds} >= {Feed, UnknownFeed}
    assert "".join(refusals).isprintable()
