"""torch files with more than a state dict: modules, other objects, programs, old forms, odd tensors."""

import pickle
import struct
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from gradflow import load, read_arrays
from gradflow.readers.arrays import read_named_arrays
from tests.readers.checkpoints import (
    Call,
    Name,
    Persistent,
    Saved,
    checkpoint,
    legacy,
    module,
    old,
    opcodes,
    pickled,
    program,
    quantized,
    saved,
    sparse,
    storage,
    tarred,
    tensor,
    zipped,
)

EYE = tensor()
TRANSPOSED = tensor(strides=(1, 2))
SHORT = tensor((2,), (1,))
FORMS = {
    "zip": checkpoint,
    "legacy": legacy,
    "deflated": lambda value: checkpoint(value, compression=zipfile.ZIP_DEFLATED),
    "inside": lambda value: zipped([("policy.pth", checkpoint(value)), ("policy.optimizer.pth", b"")]),
}


@pytest.fixture(params=FORMS)
def write(request, place):
    return lambda value: place(FORMS[request.param](value))


def names_of(path):
    return list(read_arrays(path))


def test_module_has_the_names_of_its_state_dict(write):
    weights = {"weight_hh_l0": EYE, "bias_hh_l0": None}
    rnn = module("torch.nn.modules.rnn.LSTM", weights, _flat_weights=[EYE, None], mode="LSTM")
    head = module("torch.nn.modules.linear.Linear", {"weight": TRANSPOSED}, buffers={"scale": SHORT})
    net = module("net.Tagger", {"first": SHORT}, {"rnn": rnn, "head": head, "none": None})
    contents = read_named_arrays(write(module("torch.nn.DataParallel", modules={"module": net})))
    assert list(contents.arrays) == [
        *("module.first", "module.rnn.weight_hh_l0", "module.head.weight", "module.head.scale")
    ]
    np.testing.assert_array_equal(contents.arrays["module.head.weight"].read(), [[0, 2], [1, 3]])
    assert contents.remarks[0] == (
        "modules were not created, only their arrays read: torch.nn.DataParallel, net.Tagger, "
        "torch.nn.modules.rnn.LSTM, torch.nn.modules.linear.Linear"
    )


@pytest.mark.parametrize("suffix", ["_g", "_orig", "_raw"])
def test_attribute_that_torch_computes_does_not_stand_for_a_weight(suffix, write):
    rnn = module("m.R", {"w" + suffix: EYE, "b": SHORT}, w=tensor((1, 2), (2, 1)), state=tensor((1,), (1,)))
    assert names_of(write({"rnn": rnn})) == [f"rnn.w{suffix}", "rnn.b", "rnn.state"]


def test_lists_and_cycles_of_modules_are_searched_once(write):
    inner = opcodes(module("m.R", {"w": EYE})) + b"q\x09"
    # The module is remembered before it gets its state, which has the module again.
    state = module(
        "m.N", modules={"a": inner, "b": b"h\x09"}, every=[b"h\x09"], h0=[SHORT, (TRANSPOSED,)]
    ).state
    whole = opcodes(Name("m", "N")) + b")\x81q\x08" + opcodes({**state, "me": [b"h\x08"]}) + b"b"
    value = Saved("m", "T", {"net": whole, "again": b"h\x09"})
    assert names_of(write(value)) == ["net.a.w", "net.b.w", "net.h0.0", "net.h0.1.0"]


@pytest.mark.parametrize(
    ("stated", "activation"), [({"mode": "RNN_RELU"}, "relu"), ({"nonlinearity": "tanh"}, "tanh")]
)
def test_module_states_its_activation(stated, activation, place):
    weights = {"weight_ih_l0": EYE, "weight_hh_l0": TRANSPOSED}
    (layer,) = load(place(checkpoint({"rnn": module("torch.nn.RNN", weights, **stated)}))).layers
    assert layer.assumed == ()
    assert layer.cell.activation == activation
    (assumed,) = load(place(checkpoint(weights))).layers
    assert assumed.assumed == ("activation=tanh",)


def test_parametrization_inherits_the_activation(place):
    parts = module("m.P", {"original0": SHORT, "original1": EYE})
    inside = module("torch.nn.ModuleDict", modules={"weight_hh_l0": parts})
    arrays = read_arrays(
        place(checkpoint(module("m.R", modules={"parametrizations": inside}, mode="RNN_RELU")))
    )
    assert {name: dict(array.metadata) for name, array in arrays.items()} == {
        f"parametrizations.weight_hh_l0.original{k}": {"nonlinearity": "relu"} for k in (0, 1)
    }


def test_tensors_in_every_part_of_an_object_are_found(place):
    views = iter(
        [tensor((1, size), (4, 1)) for size in (1, 2, 3, 4)]
        + [tensor((size,), (1,)) for size in (1, 2, 3, 4)]
        + [tensor((1,), (1,), offset) for offset in (1, 2)]
    )
    method = Call("builtins", "getattr", Call("m", "C", next(views)), "f")
    parts = {
        "state.x": opcodes(Saved("m", "C", {"x": next(views)})),
        "slots.slot": opcodes(Saved("m", "C", (None, {"slot": next(views)}))),
        "keywords.k": opcodes(Name("m", "C")) + b")" + opcodes({"k": next(views)}) + b"\x92",
        "items.key": opcodes(Name("m", "C")) + b")\x81" + opcodes({"key": next(views)})[1:],
        "entries.0": opcodes(Call("collections", "deque")) + b"(" + opcodes(next(views)) + b"e",
        "set.0": b"\x8f(" + opcodes(next(views)) + b"\x90",
        "arguments.0": opcodes(Call("m", "C", next(views))),
        "instance.0": b"(" + opcodes(next(views)) + b"im\nC\n",
        "object.0": b"(" + opcodes(Name("m", "C")) + opcodes(next(views)) + b"o",
        "call.called.0.0": opcodes(method) + b")R",
    }
    value = {name.partition(".")[0]: part for name, part in parts.items()}
    for form in FORMS.values():
        assert sorted(names_of(place(form(value)))) == sorted(parts)


def test_items_that_python_2_gives_to_a_dict_are_read(write):
    text = b"U\x01a"  # a str of Python 2
    value = Call("collections", "OrderedDict", [[text, EYE], ["b", SHORT]])
    contents = read_named_arrays(write({"model": value}))
    assert list(contents.arrays) == ["model.a", "model.b"]
    assert not any("OrderedDict" in remark for remark in contents.remarks)


def test_harmless_objects_are_not_named_but_those_inside_are(write):
    value = {
        "args": Saved("argparse", "Namespace", {"mode": Call("m", "Mode", 1), "n": 3}),
        "enum": Call("builtins", "getattr", Name("m", "Mode"), "FAST"),
        "dtype": Name("torch", "float32"),
        "outer": Saved("m", "Outer", {"inner": Call("m", "Inner")}),
        "w": EYE,
    }
    (remark, *_) = read_named_arrays(write(value)).remarks
    assert remark.partition(": ")[2] == "enum (m.Mode.FAST), outer (m.Outer), args.mode (m.Mode)"


def test_deep_objects_are_left_out_and_told(write):
    value = EYE
    for _ in range(200):
        value = Saved("m", "C", {"n": value})
    contents = read_named_arrays(write({"deep": value, "w": EYE}))
    assert list(contents.arrays) == ["w"]
    assert "nested more than 100 deep were not searched" in contents.remarks[0]


def command(target):
    return f"touch {target}"


def calls(target):
    """Return pickled values that run a command if they are unpickled, in every way that pickle knows."""
    argument, system = opcodes(command(target)), b"cposix\nsystem\n"
    reduced = system + argument + b"\x85R"
    return [
        reduced,
        b"\x8c\x05posix\x8c\x06system\x93" + argument + b"\x85R",
        b"(" + argument + b"iposix\nsystem\n",
        b"(" + system + argument + b"o",
        system + argument + b"\x85\x81",
        system + argument + b"\x85}\x92",
        # an object whose state is set by a call
        b"cbuiltins\nexec\n)\x81" + argument + b"b",
        opcodes(Call("builtins", "getattr", Name("os", "path"), "os")) + argument + b"\x85R",
        opcodes(Call("builtins", "eval", f"__import__('os').system({command(target)!r})")),
        opcodes(Call("builtins", "open", str(target), "w")),
        b"\x82\x01" + argument + b"\x85R",
        opcodes(Call("torch._utils", "_rebuild_parameter", reduced)),
        opcodes(Call("torch.storage", "_load_from_bytes", argument)),
    ]


def test_nothing_in_any_form_is_run(place, tmp_path):
    target = tmp_path / "harmed"
    for harm in calls(target):
        value = {"w": EYE, "model": module("m.N", {"w": SHORT}, hook=harm), "harm": harm}
        policy = zipped([("policy.pth", checkpoint(value))])
        for content in (checkpoint(value), legacy(value), old({"w": np.eye(2)}, {"harm": harm}), policy):
            contents = read_named_arrays(place(content))
            assert contents.arrays["w"].shape == (2, 2)
        assert names_of(place(program({"w": EYE, "harm": harm}))) == ["rnn.w"]
        array = pickle.dumps(np.eye(2), 2)[2:-1]
        plain = b"\x80\x02}(X\x01\x00\x00\x00w" + array + b"X\x01\x00\x00\x00h" + harm + b"u."
        assert names_of(place(plain)) == ["w"]
    assert not target.exists()
    pickle.loads(b"\x80\x02" + calls(target)[0] + b".")
    assert target.exists()  # pickle itself does run it.


def test_nothing_named_in_a_file_is_imported(place, tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    value = {"w": EYE, "o": Saved("planted", "C", {}), "n": Name("planted", "x"), "i": b"(iplanted\nD\n"}
    for form in FORMS.values():
        assert names_of(place(form(value))) == ["w"]
    assert "planted" not in sys.modules


def sharing(shared, user, count=600):
    """Return a checkpoint of ``count`` values that share one value, and a tensor."""
    return checkpoint(b"\x80\x02](" + shared + b"q\x00" + user * count + opcodes(EYE) + b"e.")


MANY = {str(index): [] for index in range(600)}


@pytest.mark.parametrize(
    ("shared", "user"),
    [
        (opcodes(MANY), b"cm\nC\n)\x81h\x00b"),
        (opcodes({**MANY, "_parameters": {}, "_buffers": {}, "_modules": {}}), b"cm\nC\n)\x81h\x00b"),
        (opcodes(([],) * 600), b"cm\nC\nh\x00R"),
        (opcodes([["a", []]] * 600), b"ccollections\nOrderedDict\nh\x00\x85R"),
        (opcodes([1] * 600), b"ccollections\nOrderedDict\nh\x00\x85R"),
        (opcodes({"_parameters": MANY, "_buffers": {}, "_modules": {}}), b"cm\nC\n)\x81h\x00b"),
        (opcodes([EYE] * 10), b"h\x00"),
        (opcodes(EYE), b"h\x00" * 6),
        (opcodes([None] * 600 + [EYE]), b"h\x00"),
    ],
    ids=["state", "module", "arguments", "pairs", "no pairs", "parameters", "lists", "tensor", "one tensor"],
)
def test_walk_through_shared_values_is_bounded(shared, user, place, check_refused, memory_below):
    path = place(sharing(shared, user))
    with memory_below(10**7):
        check_refused(lambda: read_arrays(path), "contain themselves")


@pytest.mark.parametrize(
    ("shared", "user"),
    [
        (opcodes([1] * 4000), b"h\x00"),
        (b"B" + struct.pack("<I", 40_000) + bytes(40_000), b"ctorch.storage\n_load_from_bytes\nh\x00\x85R"),
    ],
    ids=["list", "bytes"],
)
def test_shared_values_without_tensors_take_no_memory_again(shared, user, place, memory_below):
    path = place(sharing(shared, user))
    with memory_below(10**7):
        assert names_of(path) == ["601"]


def test_many_calls_with_shared_arguments_are_refused(place, check_refused):
    shared = opcodes((storage(), 0, (1,) * 90, (1,) * 90, False, None))
    path = place(sharing(shared, b"ctorch._utils\n_rebuild_tensor_v2\nh\x00R0"))
    check_refused(lambda: read_arrays(path), "repeats values too often")
    identity = opcodes(("storage", Name("torch", "FloatStorage"), "0", "cpu", 4))
    path = place(sharing(identity, b"h\x00Q0", 2000))
    check_refused(lambda: read_arrays(path), "repeats values too often")


def test_attributes_of_the_same_name_are_counted(place):
    pairs = b"".join(opcodes("a") + opcodes(tensor(offset=0, shape=(1,), strides=(k,))) for k in range(3))
    path = place(checkpoint(b"\x80\x02cm\nC\n)\x81(" + pairs + b"u."))
    assert names_of(path) == ["a", "a (2)", "a (3)"]


def test_expanded_tensors_are_bounded_together(place, check_refused):
    wide = tensor((3000, 2000), (0, 0))  # 48 MB in float64
    path = place(
        checkpoint({"huge": tensor((20000, 20000), (0, 0)), "a": wide, "b": wide, "c": wide, "w": EYE})
    )
    arrays = read_arrays(path)
    for name in ("huge", "c"):
        check_refused(arrays[name].read, f"'{name}': has", "only 4 are stored", "save it as .contiguous()")
    assert arrays["a"].read().shape == arrays["b"].read().shape == (3000, 2000)
    assert arrays["w"].read().shape == (2, 2)


def test_names_of_the_same_numbers_are_bounded_together(place, check_refused):
    whole = tensor((1000, 1000), (1000, 1), 0, storage(count=10**6))
    content = legacy({f"w{k}": whole for k in range(30)}, {"0": (10**6, bytes(4 * 10**6))})
    arrays = read_arrays(place(content))
    assert arrays["w15"].read().shape == (1000, 1000)
    check_refused(arrays["w29"].read, "'w29': shares its 1000000 entries", ".clone()")


def test_characters_that_are_no_bytes_are_no_array(place):
    kind = (
        b"cnumpy\ndtype\n(" + opcodes("u1") + b"K\x00K\x01tR(K\x03" + opcodes("|") + b"NNNK\x00K\x00K\x00tb"
    )
    text = b"X\x03\x00\x00\x00\xed\xa0\x80"  # half of a surrogate pair
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x85R(K\x01K\x03\x85"
        + kind
        + b"\x89"
        + text
        + b"tb"
    )
    path = place(checkpoint(b"\x80\x02](" + array + opcodes(EYE) + b"e."))
    assert names_of(path) == ["1"]


def test_legacy_storages_are_found_by_their_order(place, check_refused):
    numbers = np.arange(6, dtype="<f8")
    value = {"b": tensor(stored=storage("DoubleStorage", "7", 6), offset=2), "a": EYE}
    own = (4, np.ones(4, "<f4").tobytes())
    arrays = read_arrays(place(legacy(value, {"7": (6, numbers.tobytes()), "0": own})))
    np.testing.assert_array_equal(arrays["b"].read(), [[2, 3], [4, 5]])
    np.testing.assert_array_equal(arrays["a"].read(), np.ones((2, 2)))
    check_refused(lambda: read_arrays(place(legacy({"a": EYE}, {}))), "storage '0' is not in the file")
    check_refused(lambda: read_arrays(place(legacy({"a": EYE}, {"1": own}))), "'1', which no tensor uses")
    check_refused(lambda: read_arrays(place(legacy({"a": EYE}, {"0": (3, own[1])}))), "has 3 entries")
    check_refused(lambda: read_arrays(place(legacy({"a": EYE})[:-1])), "expected 16 bytes")


def test_legacy_part_of_a_storage_begins_at_its_offset(place, check_refused):
    def part(offset, size):
        return Persistent(("storage", Name("torch", "FloatStorage"), "0", "cpu", 6, ("9", offset, size)))

    stored = {"0": (6, np.arange(6, dtype="<f4").tobytes())}
    path = place(legacy({"w": tensor(stored=part(2, 4))}, stored))
    np.testing.assert_array_equal(read_arrays(path)["w"].read(), [[2, 3], [4, 5]])
    path = place(legacy({"w": tensor(stored=part(3, 4))}, stored))
    check_refused(lambda: read_arrays(path), "a part of a storage that reaches beyond it")


def test_only_the_chosen_part_of_a_legacy_file_is_read(place, memory_below):
    big = {"0": (2**24, bytes(2**26))}
    path = place(legacy({"w": tensor((2**12, 2**12), (1, 2**12), 0, storage(count=2**24))}, big))
    with memory_below(2**20):
        assert read_arrays(path)["w"].read((slice(2), slice(3))).shape == (2, 3)


def test_file_before_0_1_11_is_read(place, check_refused):
    arrays = {"w": np.arange(6.0).reshape(2, 3), "b": np.ones(4), "part": np.ones(1)}
    content = old(arrays, {"m": Call("m", "C")}, parts=[(77, 1000, 3, 2)], root_of={"part": 77})
    contents = read_named_arrays(place(content))
    np.testing.assert_array_equal(contents.arrays["w"].read(), arrays["w"])
    np.testing.assert_array_equal(contents.arrays["b"].read(), arrays["b"])
    np.testing.assert_array_equal(contents.arrays["part"].read(), [3, 4])
    assert "m (m.C)" in contents.remarks[0]
    check_refused(
        lambda: read_arrays(place(old({"w": np.eye(2)}, root_of={"w": 5}))), "without key and storage"
    )
    beyond = old({"w": np.eye(2)}, parts=[(77, 1000, 3, 2)])
    check_refused(lambda: read_arrays(place(beyond)), "a part of a storage that reaches beyond it")
    members = {"pickle": b"", "tensors": pickled(10**9), "storages": pickled(10**9)}
    check_refused(lambda: read_arrays(place(tarred(members))), "no number of storages")


@pytest.mark.parametrize(
    ("code", "activation"),
    [
        ("class RNN(Module):\n  def forward():\n    torch.rnn_relu(a)\n", "relu"),
        ("class A(Module):\n  torch.rnn_tanh(a)\nclass RNN(Module):\n  return torch.relu(_2)\n", "relu"),
        ("class RNN(Module):\n  torch.rnn_tanh_cell(a)\nclass B(Module):\n  torch.relu(a)\n", "tanh"),
        ("class RNN(Module):\n  if a:\n    torch.relu(a)\n  torch.tanh(a)\n", None),
        ("", None),
    ],
)
def test_program_states_the_activation_in_its_text(code, activation, place):
    contents = read_named_arrays(place(program({"w": EYE, "_flat_weights": [EYE]}, code)))
    assert list(contents.arrays) == ["rnn.w"]
    assert contents.arrays["rnn.w"].metadata.get("nonlinearity") == activation
    assert contents.remarks == ("a TorchScript program: its arrays are read, and the program is not run",)


def test_quantized_tensor_is_scale_times_distance_from_the_zero_point(place, check_refused):
    integers = np.array([-128, 127, 3, 0] * 4, np.int8)
    scales = np.array([0.5, 0.3])
    rows = (
        Name("torch", "per_channel_affine"),
        tensor((2,), (1,), 0, storage("DoubleStorage", "1", 2)),
        tensor((2,), (1,), 0, storage("LongStorage", "2", 2)),
    )
    storages = {"0": integers.tobytes(), "1": scales.tobytes(), "2": np.array([1, -1]).tobytes()}
    value = {"one": quantized(), "rows": quantized(*rows, 0), "columns": quantized(*rows, 1)}
    contents = read_named_arrays(place(checkpoint(value, storages)))
    exact = {
        "one": [[-64.5, 63], [1, -0.5]],
        "rows": [[-64.5, 63], [1.2, 0.3]],
        "columns": [[-64.5, 38.4], [1, 0.3]],
    }
    for name, numbers in exact.items():
        np.testing.assert_array_equal(contents.arrays[name].read(), np.array(numbers, np.float32))
    assert contents.remarks == ("quantized tensors are read as scale · (q − zero point): one, rows, columns",)
    wrong = {"w": quantized(rows[0], tensor((1,), (1,), 0, storage("DoubleStorage", "1", 2)), rows[2], 0)}
    check_refused(
        lambda: read_arrays(place(checkpoint(wrong, storages)))["w"].read(), "its scales have shape"
    )
    check_refused(lambda: read_arrays(place(checkpoint({"w": quantized(1)}))), "without integers, scale")


def test_packed_quantized_layer_is_named(place):
    packed = (
        opcodes(Name("torch", "ScriptObject"))
        + b")\x81"
        + opcodes((([EYE],), "__torch__.torch.classes.rnn"))
        + b"b"
    )
    contents = read_named_arrays(place(checkpoint({"rnn": {"param": packed}, "w": EYE})))
    assert list(contents.arrays) == ["w"]
    assert contents.remarks[0].startswith("quantized weights that torch has packed are not read: rnn.param; ")


def integers(*values, shape=None):
    """Return a tensor of int64 and the entry for its storage, which is keyed by its values."""
    key = "i" + "_".join(map(str, values))
    shape = shape or (len(values),)
    strides = (shape[1], 1) if len(shape) == 2 else (1,)
    return tensor(shape, strides, 0, storage("LongStorage", key, len(values))), {
        key: np.array(values).tobytes()
    }


def floats(*values, shape=None):
    key = "f" + "_".join(map(str, values))
    shape = shape or (len(values),)
    strides = [int(np.prod(shape[k + 1 :])) for k in range(len(shape))]
    stored = storage("FloatStorage", key, len(values))
    return tensor(shape, strides, 0, stored), {key: np.array(values, "<f4").tobytes()}


SPARSE = {
    "coo": ([integers(0, 0, 1, 2, 2, 0, shape=(2, 3)), floats(1, 5, 7), (2, 3)], [[0, 0, 6], [7, 0, 0]]),
    "csr": ([integers(0, 2, 3), integers(0, 2, 1), floats(1, 2, 3), (2, 3)], [[1, 0, 2], [0, 3, 0]]),
    "csc": ([integers(0, 1, 1, 2), integers(1, 0), floats(1, 2), (2, 3)], [[0, 0, 2], [1, 0, 0]]),
    "bsr": ([integers(0, 0, 1), integers(1), floats(1, 2, shape=(1, 1, 2)), (2, 4)], [[0] * 4, [0, 0, 1, 2]]),
    "bsc": ([integers(0, 0, 1), integers(1), floats(1, 2, shape=(1, 1, 2)), (2, 4)], [[0] * 4, [0, 0, 1, 2]]),
}


def sparse_file(layout, parts):
    storages = {
        key: stored
        for part in parts
        if len(part) == 2 and isinstance(part[1], dict)
        for key, stored in part[1].items()
    }
    values = [part[0] if isinstance(part[0], Call) else part for part in parts]
    return checkpoint({"w": sparse(layout, *values)}, storages)


@pytest.mark.parametrize("layout", SPARSE)
def test_sparse_tensor_is_read_with_all_its_entries(layout, place):
    parts, dense = SPARSE[layout]
    array = read_arrays(place(sparse_file(layout, parts)))["w"]
    assert array.shape == np.shape(dense)
    np.testing.assert_array_equal(array.read(), dense)


@pytest.mark.parametrize(
    ("layout", "parts", "words"),
    [
        ("coo", [integers(0, 2, shape=(2, 1)), floats(1), (2, 2)], "index outside of shape (2, 2)"),
        ("coo", [integers(0, -1, shape=(2, 1)), floats(1), (2, 2)], "index outside of shape (2, 2)"),
        ("coo", [integers(0, 1, shape=(2, 1)), floats(1, 2), (2, 2)], "values of shape (2,)"),
        ("coo", [floats(0, 1, shape=(2, 1)), floats(1), (2, 2)], "indices that are not integers"),
        ("coo", [integers(0, 1, shape=(2, 1)), floats(1), (2**20, 2**20)], "save it as .to_dense()"),
        ("csr", [integers(0, 2, 1), integers(0), floats(1), (2, 2)], "do not fit its entries"),
        ("csr", [integers(0, 0, 1), integers(2), floats(1), (2, 2)], "index outside of shape (2, 2)"),
        ("csr", [integers(0, 0, 0, 1), integers(1), floats(1), (2, 2)], "index outside of shape (2, 2)"),
        ("bsr", [integers(0, 1), integers(0), floats(1, 2, shape=(1, 1, 2)), (1, 3)], "index outside"),
        ("csr", [integers(0, 1), integers(0), floats(1), (1, 1, 1)], "a batch of sparse tensors"),
    ],
)
def test_false_sparse_tensor_is_refused(layout, parts, words, place, check_refused):
    check_refused(lambda: read_arrays(place(sparse_file(layout, parts)))["w"].read(), words)


def test_tensor_without_numbers_is_refused_alone(place, check_refused):
    meta = Call(
        "torch._utils", "_rebuild_meta_tensor_no_storage", Name("torch", "float32"), (4, 3), (3, 1), False
    )
    wrapper = Call(
        "torch._utils", "_rebuild_wrapper_subclass", Name("m", "T"), Name("torch", "float32"), (2,), (1,)
    )
    value = {"meta": meta, "wrapper": wrapper, "conj": tensor(metadata=[{"conj": True}]), "w": EYE}
    arrays = read_arrays(place(checkpoint(value)))
    np.testing.assert_array_equal(arrays["w"].read(), [[0, 1], [2, 3]])
    assert arrays["meta"].shape == (4, 3)
    check_refused(arrays["meta"].read, "'meta': is on the meta device")
    check_refused(arrays["wrapper"].read, "class 'm.T' without numbers")
    check_refused(arrays["conj"].read, "a pending negation or conjugation")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_numpy_are_read_from_pickles_of_every_kind(protocol, place):
    arrays = {
        "c": np.arange(6.0).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        "half": np.ones((2, 1), np.float16),
        "none": np.empty((0, 3)),
        "bool": np.array([True, False]),
        "complex": np.array([1 + 2j]),
        "latin": np.frombuffer(bytes(range(256)), np.uint8),
    }
    others = {"object": np.array([None, {}]), "text": np.array(["a"]), "when": np.array(["2020"], "M8[D]")}
    content = pickle.dumps({"nested": [arrays], **others}, protocol)
    inner = {"nested": [pickle.dumps(arrays, protocol)[2:-1]]}
    for form in (content, checkpoint(content), legacy(inner, {})):
        found = read_arrays(place(form))
        assert list(found) == [f"nested.0.{name}" for name in arrays]
        for name, array in arrays.items():
            stored = found[f"nested.0.{name}"].read()
            np.testing.assert_array_equal(stored, array)
            assert stored.dtype.name == array.dtype.name


def test_tensor_in_a_plain_pickle_holds_a_file_of_torch(place):
    inner = legacy(storage())
    as_bytes = b"B" + struct.pack("<I", len(inner)) + inner
    as_text = opcodes(Call("_codecs", "encode", inner.decode("latin-1"), "latin1"))
    for content in (as_bytes, as_text):
        stored = Call("torch.storage", "_load_from_bytes", content)
        arrays = read_arrays(
            place(pickled({"w": tensor(stored=stored), "t": tensor(strides=(1, 2), stored=stored)}))
        )
        np.testing.assert_array_equal(arrays["w"].read(), [[0, 1], [2, 3]])
        np.testing.assert_array_equal(arrays["t"].read(), [[0, 2], [1, 3]])
        sent = pickle.loads(pickle.dumps(arrays))
        np.testing.assert_array_equal(sent["t"].read(), [[0, 2], [1, 3]])


def test_pickle_on_standard_input_is_read(monkeypatch):
    content = pickle.dumps({"w": np.eye(2)})
    monkeypatch.setattr(
        sys,
        "stdin",
        SimpleNamespace(buffer=SimpleNamespace(read=lambda _, parts=[content, b""]: parts.pop(0))),
    )
    np.testing.assert_array_equal(read_arrays("-")["w"].read(), np.eye(2))


def test_archive_of_one_checkpoint_is_read(place):
    inside = saved({"rnn.w": np.eye(2)})
    for members in ([("run/best.pt", inside)], [("policy.pth", inside), ("a.pth", b""), ("b.pth", b"")]):
        contents = read_named_arrays(place(zipped([*members, ("data", b"{}")])))
        np.testing.assert_array_equal(contents.arrays["rnn.w"].read(), np.eye(2))
        assert members[0][0] in contents.remarks[0]
    assert "not read: a.pth, b.pth" in contents.remarks[0]
