"""ONNX: constants of every type, recurrent nodes in any graph, and hostile models."""

import sys

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gradflow import read_array, read_arrays
from gradflow.errors import DataError
from gradflow.readers.onnx.scopes import MAX_GRAPH_DEPTH, list_scopes

HIDDEN, INPUTS = 2, 3
GATES = np.random.default_rng(0).normal(size=(4 * HIDDEN, INPUTS)).astype(np.float32)
R = np.random.default_rng(1).normal(size=(1, 4 * HIDDEN, HIDDEN)).astype(np.float32)
B = np.random.default_rng(2).normal(size=(1, 8 * HIDDEN)).astype(np.float32)
P = np.random.default_rng(3).normal(size=(1, 3 * HIDDEN)).astype(np.float32)
W = GATES[np.newaxis]


def constant(name, values, dtype=None):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def whole(*values):
    return np.array(values, np.int64)


def graph(nodes, constants=(), inputs=("x",), name="g"):
    values = [helper.make_tensor_value_info(given, TensorProto.FLOAT, None) for given in inputs]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    return helper.make_graph(nodes, name, values, outputs, constants)


def model(nodes, constants=(), opset=17, functions=(), **options):
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    made = helper.make_model(
        graph(nodes, constants, **options), opset_imports=imports, functions=list(functions)
    )
    return made.SerializeToString()


def lstm(inputs=("x", "W", "R", "B"), name="rnn", output="y", **attributes):
    return helper.make_node("LSTM", list(inputs), [output], name=name, hidden_size=HIDDEN, **attributes)


def recurrent(arrays):
    return {name: array.read() for name, array in arrays.items() if array.metadata}


@pytest.fixture
def put(place):
    return lambda content: place(content, "model.onnx")


EIGHTH = helper.make_tensor("a", TensorProto.FLOAT8E4M3FN, (2, 2), [1, 1, 1, 1])
WEIGHTS = [constant("W", W), constant("R", R), constant("B", B)]


@pytest.mark.parametrize("dtype", [*"?bBhHiIlLefdFD", ml_dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("raw", [True, False])
def test_every_type_is_exact(dtype, raw, put):
    matrix = np.array([[1, 0, 1], [100, 25, 3]]).astype(dtype)
    tensor = numpy_helper.from_array(matrix, "w")
    if not raw:
        values = matrix.astype(np.float64) if matrix.dtype.kind == "V" else matrix
        tensor = helper.make_tensor("w", tensor.data_type, matrix.shape, values.ravel())
    assert tensor.HasField("raw_data") == raw
    path = put(model([], [tensor]))
    found = read_array(path)
    np.testing.assert_array_equal(found, matrix.astype(found.dtype))
    assert read_arrays(path)["w"].dtype == str(matrix.dtype)


def test_negative_integers_are_exact(put):
    for kind in (TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64):
        path = put(model([], [helper.make_tensor("w", kind, (1, 2), [-128, 127])]))
        np.testing.assert_array_equal(read_array(path), [[-128, 127]])


def test_type_that_numpy_lacks_is_listed(put, check_refused):
    text = helper.make_tensor("text", TensorProto.STRING, (1,), [b"x"])
    path = put(model([], [EIGHTH, text, constant("b", np.eye(2))]))
    assert list(read_arrays(path)) == ["a", "b"]
    np.testing.assert_array_equal(read_array(path, "b"), np.eye(2))
    check_refused(lambda: read_array(path, "a"), "model.onnx: 'a'", "'ONNX type 17'", "bfloat16")


def test_constant_node_is_named_by_its_output(put):
    nodes = [
        helper.make_node("Constant", [], ["tensor"], value=constant("inner", np.eye(2))),
        helper.make_node("Constant", [], ["floats"], value_floats=[1.5, 2.5]),
        helper.make_node("Constant", [], ["ints"], value_ints=[-1, 2**40]),
        helper.make_node("Constant", [], ["float"], value_float=0.5),
        helper.make_node("Constant", [], ["int"], value_int=3),
        helper.make_node("Constant", [], ["text"], value_string="no number"),
        helper.make_node("Constant", [], ["foreign"], domain="own", value_int=3),
    ]
    arrays = {name: array.read() for name, array in read_arrays(put(model(nodes))).items()}
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "tensor": [[1, 0], [0, 1]],
        "floats": [1.5, 2.5],
        "ints": [-1, 2**40],
        "float": 0.5,
        "int": 3,
    }


def test_node_has_weights_and_attributes(put):
    inputs = ["x", "W", "R", "B", "", "", "", "P"]
    nodes = [lstm(inputs, activations=["Sigmoid", "Tanh", "Relu"], clip=0.5, direction="forward")]
    arrays = read_arrays(put(model(nodes, [*WEIGHTS, constant("P", P)])))
    assert list(arrays) == ["W", "R", "B", "P", "rnn/W", "rnn/R", "rnn/B", "rnn/P"]
    for part, expected in (("W", W), ("R", R), ("B", B), ("P", P)):
        np.testing.assert_array_equal(arrays[f"rnn/{part}"].read(), expected)
    assert arrays["W"].metadata == {}
    assert arrays["rnn/P"].metadata["op"] == "LSTM"
    assert arrays["rnn/P"].metadata["attributes"] == {
        "hidden_size": HIDDEN,
        "activations": ["Sigmoid", "Tanh", "Relu"],
        "clip": 0.5,
        "direction": "forward",
    }


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
def test_bias_and_peepholes_may_be_absent(op, put):
    node = helper.make_node(op, ["x", "W", "R"], ["out"], hidden_size=HIDDEN)
    found = read_arrays(put(model([node], WEIGHTS)))
    assert [name for name in found if found[name].metadata.get("op") == op] == ["out/W", "out/R"]


def computed(opset):
    """Return nodes that compute W from GATES with its halves swapped, their constants, and the expected W."""
    zero, half, end = whole(0), whole(4), whole(8)
    if opset < 10:
        cuts = [{"starts": [4], "ends": [8], "axes": [0]}, {"starts": [0], "ends": [4], "axes": [0]}]
        slices = [
            helper.make_node("Slice", ["gates"], [f"s{index}"], **cut) for index, cut in enumerate(cuts)
        ]
        constants = []
    else:
        slices = [
            helper.make_node("Slice", ["gates", "half", "end", "zero"], ["s0"]),
            helper.make_node("Slice", ["gates", "zero", "half"], ["s1"]),
        ]
        constants = [constant("zero", zero), constant("half", half), constant("end", end)]
    if opset < 13:
        last = helper.make_node("Unsqueeze", ["joined"], ["W"], axes=[0])
    else:
        last = helper.make_node("Unsqueeze", ["joined", "axes"], ["W"])
        constants.append(constant("axes", zero))
    join = helper.make_node("Concat", ["s0", "s1"], ["joined"], axis=0)
    return [*slices, join, last], constants, np.concatenate([GATES[4:], GATES[:4]])[np.newaxis]


@pytest.mark.parametrize("opset", [9, 11, 13, 17])
@pytest.mark.parametrize("nested", [False, True])
def test_weights_are_computed_in_any_branch(opset, nested, put):
    nodes, constants, expected = computed(opset)
    outer = [constant("gates", GATES), constant("R", R), constant("B", B)]
    if nested:
        # Each branch uses the gates of the outer graph; both give their results the same names.
        branches = {
            f"{which}_branch": graph([*nodes, lstm(name=which)], constants, inputs=())
            for which in ("then", "else")
        }
        content = model([helper.make_node("If", ["x"], ["y"], name="if", **branches)], outer, opset)
        names = ["then", "else"]
    else:
        content = model([*nodes, lstm()], [*outer, *constants], opset)
        names = ["rnn"]
    found = recurrent(read_arrays(put(content)))
    assert set(found) == {f"{name}/{part}" for name in names for part in "WRB"}
    for name in names:
        np.testing.assert_array_equal(found[f"{name}/W"], expected)
        np.testing.assert_array_equal(found[f"{name}/R"], R)


def test_every_moving_operator_is_computed(put):
    scaled = np.round(GATES * 10).astype(np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["scaled", "scale"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0]),
        helper.make_node("Gather", ["b", "order"], ["c"], axis=1),
        helper.make_node("Cast", ["c"], ["d"], to=TensorProto.FLOAT16),
        helper.make_node("Flatten", ["d"], ["e"], axis=0),
        helper.make_node("Squeeze", ["e", "zero"], ["f"]),
        helper.make_node("Reshape", ["f", "shape"], ["g"]),
        helper.make_node("Transpose", ["g"], ["h"], perm=[0, 2, 1]),
        helper.make_node("Identity", ["h"], ["W"]),
        lstm(),
    ]
    constants = [
        *(constant("scaled", scaled), constant("scale", 0.5, np.float32)),
        *(constant("order", whole(*range(7, -1, -1))), constant("zero", whole(0))),
        *(constant("shape", whole(1, 3, -1)), *WEIGHTS[1:]),
    ]
    found = read_arrays(put(model(nodes, constants)))["rnn/W"]
    np.testing.assert_array_equal(found.read_numbers(dimensions=(3,)), scaled[::-1][np.newaxis] * 0.5)
    assert found.dtype == "float16"


def test_bfloat16_weights_become_float32(put):
    gates = GATES.astype(ml_dtypes.bfloat16)
    nodes = [helper.make_node("Unsqueeze", ["gates", "axes"], ["W"]), lstm()]
    nodes += [helper.make_node("Cast", ["B"], ["b"], to=TensorProto.BFLOAT16), lstm(("x", "W", "R", "b"))]
    constants = [constant("gates", gates), constant("axes", whole(0)), *WEIGHTS[1:]]
    found = recurrent(read_arrays(put(model(nodes, constants))))
    np.testing.assert_array_equal(found["rnn/W"], gates.astype(np.float32)[np.newaxis])
    np.testing.assert_array_equal(found["rnn_1/B"], B.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_functions_are_read_at_each_call(put):
    """The body of a function sees only its inputs: its W is not that of the graph."""
    body = [helper.make_node("Unsqueeze", ["g", "zero"], ["W"]), lstm(("x", "W", "r"), "inner")]
    body[0:0] = [helper.make_node("Constant", [], ["zero"], value_ints=[0])]
    node = body[-1]
    node.ClearField("attribute")
    node.attribute.append(onnx.AttributeProto(name="hidden_size", ref_attr_name="size", type=2))
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "Cell", ["x", "g", "r"], ["y"], body, opsets, ["size"])
    calls = [
        helper.make_node("Cell", ["x", name, "R"], [name + "_out"], domain="own", size=size)
        for name, size in (("first", 2), ("second", 3))
    ]
    constants = [constant("first", GATES), constant("second", -GATES), *WEIGHTS]
    arrays = read_arrays(put(model(calls, constants, functions=[function])))
    np.testing.assert_array_equal(arrays["inner/W"].read(), W)
    np.testing.assert_array_equal(arrays["inner_1/W"].read(), -W)
    assert arrays["inner/W"].metadata["attributes"] == {"hidden_size": 2}
    assert arrays["inner_1/W"].metadata["attributes"] == {"hidden_size": 3}


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([lstm(("x", "x", "R"))], WEIGHTS),
        ([lstm(("x", "W", "R", "x"))], WEIGHTS),
        ([lstm(("x", "W", "nowhere"))], WEIGHTS),
        ([lstm(("x", "W"))], WEIGHTS),
        ([lstm(("x", "", "R"))], WEIGHTS),
        ([helper.make_node("Identity", ["x"], ["w"]), lstm(("x", "w", "R"))], WEIGHTS),
        ([helper.make_node("Relu", ["W"], ["w"]), lstm(("x", "w", "R"))], WEIGHTS),
        ([helper.make_node("Identity", ["w"], ["w"]), lstm(("x", "w", "R"))], WEIGHTS),
        (
            [
                helper.make_node("Identity", ["v"], ["w"]),
                helper.make_node("Identity", ["w"], ["v"]),
                lstm(("x", "w", "R")),
            ],
            WEIGHTS,
        ),
        ([helper.make_node("LSTM", ["x", "W", "R"], ["y"], domain="own")], WEIGHTS),
        (
            [
                helper.make_node("Constant", [], ["e"], value=EIGHTH),
                helper.make_node("Identity", ["e"], ["w"]),
                lstm(("x", "w", "R")),
            ],
            WEIGHTS,
        ),
        ([helper.make_node("Cast", ["W"], ["w"], to=TensorProto.STRING), lstm(("x", "w", "R"))], WEIGHTS),
    ],
)
def test_node_without_constant_weights_is_left_out(nodes, constants, put):
    arrays = read_arrays(put(model(nodes, constants)))
    assert [name for name in arrays if name != "e"] == ["W", "R", "B"]


def test_loop_inputs_are_not_constant(put):
    body = graph([lstm(("x", "W", "R"))], inputs=("i", "go", "W"))
    loop = helper.make_node("Loop", ["", "", "W"], ["y"], body=body)
    assert list(read_arrays(put(model([loop], WEIGHTS)))) == ["W", "R", "B"]


def test_taken_names_get_a_number(put):
    branches = [graph([], [constant("W", W + index)], inputs=()) for index in (1, 2)]
    branch = helper.make_node("If", ["x"], ["y"], "if", else_branch=branches[1], then_branch=branches[0])
    nodes = [lstm(), lstm(), lstm(name=""), branch]
    arrays = read_arrays(put(model(nodes, [*WEIGHTS, constant("y/W", [[7.0]])])))
    assert list(arrays) == [
        *("W", "R", "B", "y/W", "if/W", "if/W_1"),
        *("rnn/W", "rnn/R", "rnn/B", "rnn_1/W", "rnn_1/R", "rnn_1/B", "y_1/W", "y_1/R", "y_1/B"),
    ]
    np.testing.assert_array_equal(arrays["if/W_1"].read(), W + 1)  # ONNX sorts attributes


def test_missing_onnx_is_reported(put, check_refused, monkeypatch):
    content = model([], WEIGHTS)
    monkeypatch.setitem(sys.modules, "onnx", None)
    said = "model.onnx: reading ONNX files needs onnx; run: pip install onnx (extra gradflow-rnn[onnx])"
    check_refused(lambda: read_arrays(put(content)), said)


def external(name, array, location, **entries):
    """Return a tensor whose entries are in another file."""
    tensor = constant(name, array)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def test_tensors_beside_the_model_are_read(tmp_path, put):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "weights.bin").write_bytes(b"12345678" + W.tobytes() + R.tobytes())
    places = {"location": "deep/weights.bin", "offset": 8, "length": W.nbytes}
    tensors = [external("W", W, **places), external("R", R, "./deep/weights.bin", offset=8 + W.nbytes)]
    inner = helper.make_node("Constant", [], ["c"], value=external("", W, **places))
    arrays = read_arrays(put(model([inner, lstm(("x", "W", "R"))], tensors)))
    for name, expected in (("W", W), ("R", R), ("c", W), ("rnn/W", W), ("rnn/R", R)):
        np.testing.assert_array_equal(arrays[name].read(), expected)


def test_large_file_is_mapped(put, memory_below):
    """A file of 32 MB whose weights are not copied; a tensor that is damaged is still refused."""
    large, small = np.arange(8_000_000, dtype=np.float32), np.eye(3, dtype=np.float32)
    inner = helper.make_node("Constant", [], ["c"], value=constant("", small))
    content = model([inner, lstm()], [constant("large", large), *WEIGHTS, constant("small", small)])
    path = put(content)
    del content
    read_arrays(path)
    with memory_below(2**20):
        arrays = read_arrays(path)
        assert isinstance(arrays["large"].load(), np.memmap)
        np.testing.assert_array_equal(
            arrays["large"].read((slice(4_000_000, 4_000_003),)), [4e6, 4e6 + 1, 4e6 + 2]
        )
    np.testing.assert_array_equal(arrays["large"].read(), large)
    for name, expected in (("small", small), ("c", small), ("rnn/W", W), ("rnn/R", R)):
        np.testing.assert_array_equal(arrays[name].read(), expected)


def test_large_damaged_file_is_refused(put, check_refused):
    content = bytearray(model([], [constant("large", np.zeros(8_000_000, np.float32))]))
    position = content.index(b"large") - 3
    for damaged in (content[:-9], content[:position] + b"\xff" * 12 + content[position + 12 :]):
        path = put(bytes(damaged))
        check_refused(lambda path=path: read_array(path), "model.onnx: ", "damaged")


def test_tensors_elsewhere_are_refused(tmp_path, put, check_refused):
    outside, inside = tmp_path / "outside", tmp_path / "model"
    inside.mkdir()
    outside.write_bytes(W.tobytes())
    (inside / "link").symlink_to(outside)
    (inside / "circle").symlink_to(inside / "circle")
    for location in (
        "../outside",
        str(outside),
        "link",
        "circle",
        "nowhere",
        "",
        ".",
        "a\x1bb",
        "C:\\w",
        "..\\w",
    ):
        path = inside / "model.onnx"
        path.write_bytes(model([], [external("W", W, location)]))
        check_refused(
            lambda path=path: read_arrays(path), "'W' is stored in another file", "onnx.save(onnx.load"
        )
    path = put(model([helper.make_node("Constant", [], ["c"], value=external("", W, "nowhere"))]))
    check_refused(lambda: read_arrays(path), "'c' is stored in another file")


@pytest.mark.parametrize(
    "entries",
    [{"offset": 1}, {"offset": -1}, {"length": 1}, {"length": "many"}, {"offset": 2**70}, {"length": 2**50}],
)
def test_false_offsets_into_other_files_are_refused(entries, tmp_path, put, check_refused):
    (tmp_path / "weights.bin").write_bytes(W.tobytes())
    path = put(model([], [external("W", W, "weights.bin", **entries)]))
    check_refused(lambda: read_arrays(path), "model.onnx: ", "damaged")


def test_tensors_of_a_model_from_a_pipe_are_refused():
    folder = list_scopes(onnx.load_from_string(model([], [external("W", W, "weights.bin")])), None)
    with pytest.raises(DataError, match="in the folder of"):
        list(folder)


def test_attributes_in_other_files_are_not_read(tmp_path, put, monkeypatch):
    """The evaluator would load every attribute that is a tensor."""
    monkeypatch.chdir(tmp_path)
    tensor = constant("secret", W)
    onnx.external_data_helper.set_external_data(tensor, "nowhere.bin", 0, W.nbytes)
    tensor.ClearField("raw_data")
    with pytest.raises(Exception, match="nowhere"):
        numpy_helper.to_array(tensor)
    node = helper.make_node("Identity", ["w"], ["W"], extra=tensor)
    found = recurrent(read_arrays(put(model([node, lstm()], [constant("w", W), *WEIGHTS[1:]]))))
    np.testing.assert_array_equal(found["rnn/W"], W)


def maker(op, *inputs, constants=(), **attributes):
    """Return a model whose W is the output of ``op``."""
    nodes = [helper.make_node(op, list(inputs), ["W"], **attributes), lstm()]
    return model(nodes, [*constants, *WEIGHTS[1:]])


@pytest.mark.parametrize(
    "content",
    [
        maker("ConstantOfShape", "shape", constants=[constant("shape", whole(1, 2**20, 2**20))]),
        maker(
            "Expand", "one", "shape", constants=[constant("one", W), constant("shape", whole(2**40, 1, 1))]
        ),
        maker("Tile", "one", "often", constants=[constant("one", W), constant("often", whole(2**40, 1, 1))]),
        maker("Range", "a", "b", "c", constants=[constant(name, whole(2**40)) for name in "abc"]),
        maker("Pad", "one", "pads", constants=[constant("one", W), constant("pads", whole(*[2**40] * 6))]),
        maker("Split", "one", constants=[constant("one", W)], num_outputs=2**40),
        maker(
            "Resize", "one", "", "", "s", constants=[constant("one", W), constant("s", whole(*[2**40] * 3))]
        ),
    ],
)
def test_generating_operators_are_not_computed(content, put, memory_below):
    read_arrays(put(model([], WEIGHTS)))  # The memory that onnx itself takes once.
    with memory_below(2**22):
        assert not recurrent(read_arrays(put(content)))


def test_growing_constants_are_refused(put, check_refused, memory_below, monkeypatch):
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", "10000000")
    large, many = np.zeros((1, 2**14), np.float32), np.zeros(2**14, np.int64)
    gather = maker("Gather", "large", "many", constants=[constant("large", large), constant("many", many)])
    doubled = [helper.make_node("Concat", [f"w{k}"] * 2, [f"w{k + 1}"], axis=0) for k in range(40)]
    doubling = model([*doubled, lstm(("x", "w40", "R"))], [constant("w0", large), *WEIGHTS[1:]])
    with memory_below(2**25):
        for content in (gather, doubling):
            check_refused(
                lambda content=content: read_arrays(put(content)),
                "computation of constants in its graph",
                "MAX_BYTES",
            )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (maker("Concat", "R", "B", axis=0), ["'W' cannot be computed", "plain constants"]),
        (maker("Transpose", "R", perm=[0, 1, 7]), ["'W' cannot be computed"]),
        (maker("Gather", "R", "B", axis=0), ["'W' cannot be computed"]),
        (maker("Reshape", "R"), ["'W' cannot be computed"]),
        (
            model(
                [helper.make_node("Identity", ["short"], ["W"]), lstm()],
                [onnx.TensorProto(name="short", dims=(9,), data_type=1, raw_data=b""), *WEIGHTS[1:]],
            ),
            ["'short': has 0 bytes", "shape (9,)", "damaged"],
        ),
        (b"\xff" * 40, ["ONNX file is unreadable"]),
        (b"\x00", ["ONNX file is unreadable"]),
        (model([], WEIGHTS)[:100], ["ONNX file is unreadable"]),
        (model([], []), ["no numeric arrays"]),
    ],
)
def test_false_model_is_refused(content, words, put, check_refused):
    check_refused(lambda: read_array(put(content)), "model.onnx: ", *words)


@pytest.mark.parametrize(
    ("dims", "data", "words"),
    [
        ((2**40, 2**10), b"\0" * 8, ["'w\\n'", "has 8 bytes", "(1099511627776, 1024) and type float32"]),
        ((2**62, 2**62), b"", ["impossible shape"]),
        ((-2, -2), b"\0" * 16, ["impossible shape"]),
        ((1,) * 40, b"\0" * 4, ["impossible shape"]),
        ((2, 2), b"\0" * 15, ["has 15 bytes; expected 16"]),
        ((2, 2), b"\0" * 17, ["has 17 bytes; expected 16"]),
        ((2, 2), None, ["has 0 bytes; expected 16"]),
        ((0, 2), b"", ["no entries"]),
    ],
)
def test_false_tensor_is_refused(dims, data, words, put, check_refused, memory_below):
    tensor = onnx.TensorProto(name="w\n", dims=dims, data_type=TensorProto.FLOAT, raw_data=data)
    path = put(model([], [tensor]))
    with memory_below(2**22):
        check_refused(lambda: read_array(path), "model.onnx: ", *words)


def test_recursive_functions_are_refused(put, check_refused):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    call = helper.make_node("F", ["x"], ["y"], domain="own")
    once = helper.make_function("own", "F", ["x"], ["y"], [call], opsets)
    check_refused(
        lambda: read_arrays(put(model([call], functions=[once]))), f"more than {MAX_GRAPH_DEPTH} deep"
    )


def test_multiplying_functions_are_refused(put, check_refused, monkeypatch):
    monkeypatch.setattr("gradflow.readers.onnx.scopes.MAX_GRAPH_NODES", 1000)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = [
        helper.make_function("own", f"F{k}", ["x"], ["y"], [called(k + 1), called(k + 1)], opsets)
        for k in range(MAX_GRAPH_DEPTH - 1)
    ]
    check_refused(lambda: read_arrays(put(model([called(0)], functions=functions))), "1000 nodes")


def called(index):
    return helper.make_node(f"F{index}", ["x"], ["y"], domain="own")


def test_long_chain_is_not_computed(put):
    chain = [helper.make_node("Identity", [f"w{k}"], [f"w{k + 1}"]) for k in range(5000)]
    content = model([*chain, lstm(("x", "w5000", "R"))], [constant("w0", W), constant("R", R)])
    assert list(read_arrays(put(content))) == ["w0", "R"]


def test_onnx_needs_its_suffix(place, check_refused):
    check_refused(lambda: read_arrays(place(model([], WEIGHTS), "model.bin")), "not a text file")
