"""torch checkpoints: every type and view, other objects, and hostile pickles."""

import argparse
import collections
import datetime
import pathlib
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from gradflow import read_array, read_arrays
from gradflow.readers.arrays import read_named_arrays
from tests.readers.checkpoints import (
    STORAGES,
    Call,
    Name,
    Persistent,
    checkpoint,
    opcodes,
    pickled,
    saved,
    storage,
    tarred,
    tensor,
    zipped,
)

MATRIX = np.arange(24.0, dtype=np.float32).reshape(4, 6)
STORED = storage(count=24)
BYTES = {"0": MATRIX.tobytes()}


def names_of(path):
    return list(read_arrays(path))


@pytest.mark.parametrize("dtype", STORAGES)
@pytest.mark.parametrize("byteorder", ["little", "big", None])
def test_every_type_is_exact(dtype, byteorder, place):
    compression = zipfile.ZIP_DEFLATED if byteorder is None else zipfile.ZIP_STORED
    matrix = np.array([[1, 0, 1], [100, 25, 3]]).astype(dtype)
    lying = matrix.astype(matrix.dtype.newbyteorder(">" if byteorder == "big" else "<"))
    value = {"w": tensor((2, 3), (3, 1), 0, storage(STORAGES[dtype], count=6))}
    content = checkpoint(value, {"0": lying.tobytes()}, compression, (byteorder or "").encode())
    found = read_array(place(content))
    np.testing.assert_array_equal(found, matrix.astype(found.dtype))
    assert found.dtype == (np.complex128 if matrix.dtype.kind == "c" else np.float64)
    assert read_arrays(place(content))["w"].dtype == dtype


def test_every_finite_bfloat16_is_exact(place):
    every = np.arange(2**16, dtype=np.uint16).view(ml_dtypes.bfloat16)
    finite = every[np.isfinite(every.astype(np.float32))].reshape(2, -1)
    width = finite.shape[1]
    stored = storage("BFloat16Storage", count=2 * width)
    path = place(checkpoint({"w": tensor((2, width), (width, 1), 0, stored)}, {"0": finite.tobytes()}))
    np.testing.assert_array_equal(read_array(path), finite.astype(np.float64))
    assert read_arrays(path)["w"].dtype == "bfloat16"


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "expected"),
    [
        ((4, 6), (6, 1), 0, MATRIX),
        ((6, 4), (1, 6), 0, MATRIX.T),
        ((2, 3), (6, 2), 6, MATRIX[1:3, ::2]),
        ((5, 6), (0, 1), 0, np.tile(MATRIX[0], (5, 1))),
        ((1, 1), (10**12, 10**12), 23, MATRIX[3:, 5:]),
        ((3, 2, 4), (2, 1, 6), 0, MATRIX.T.reshape(3, 2, 4)),
        ((), (), 7, MATRIX[1, 1]),
        ((0, 6), (6, 1), 0, MATRIX[:0]),
    ],
)
def test_view_is_the_declared_part_of_its_storage(shape, strides, offset, expected, place):
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        content = checkpoint({"w": tensor(shape, strides, offset, STORED)}, BYTES, compression)
        stored = read_arrays(place(content))["w"]
        assert stored.shape == expected.shape
        np.testing.assert_array_equal(stored.read(), expected)


def test_only_the_chosen_part_is_read(place, memory_below):
    stored = storage(count=2**24)
    content = checkpoint({"w": tensor((2**12, 2**12), (1, 2**12), 0, stored)}, {"0": bytes(2**26)})
    path = place(content)
    with memory_below(2**20):
        assert read_array(path, "w[:2, :3]").shape == (2, 3)


def test_tensors_are_named_by_their_path(place):
    eye = tensor()
    value = {
        "model_state_dict": {"encoder.weight": eye, "bias": eye},
        "optimizer": {"state": {0: {"exp_avg": eye}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "list": [eye, (1, eye)],
        "epoch": 3,
        "note": None,
        None: eye,
    }
    assert names_of(place(checkpoint(value))) == [
        *("model_state_dict.encoder.weight", "model_state_dict.bias", "optimizer.state.0.exp_avg"),
        *("list.0", "list.1.1", "None"),
    ]
    assert names_of(place(checkpoint(eye))) == ["array"]
    assert names_of(place(checkpoint({("a", 1): eye}))) == ["('a', 1)"]


def test_tied_tensors_share_a_storage(place):
    arrays = read_arrays(place(checkpoint({"a": tensor(), "b": tensor(strides=(1, 2))})))
    np.testing.assert_array_equal(arrays["a"].read(), arrays["b"].read().T)


def test_every_form_of_a_tensor_is_read(place):
    hooks = Call("collections", "OrderedDict")
    untyped = Persistent(("storage", Name("torch.storage", "UntypedStorage"), "1", "cpu", 8))
    third = Call(
        *("torch._utils", "_rebuild_tensor_v3", untyped, 0, (2, 2), (2, 1), False, hooks),
        Name("torch", "uint16"),
    )
    size = Call("torch", "Size", (2, 2))
    value = {
        "parameter": Call("torch._utils", "_rebuild_parameter", tensor(), True, hooks),
        "tagged": Call("torch._utils", "_rebuild_parameter_with_state", tensor(), True, hooks, {"tag": 1}),
        "first": Call("torch._utils", "_rebuild_tensor", storage(), 0, size, (2, 1)),
        "third": third,
        "attribute": Call(
            *("torch._tensor", "_rebuild_from_type_v2", third.called, Name("torch", "Tensor")),
            *(third.arguments, {"tag": 1}),
        ),
    }
    content = checkpoint(
        value, {"0": np.arange(4, dtype="<f4").tobytes(), "1": bytes([0, 0, 1] * 2 + [0, 1])}
    )
    arrays = read_arrays(place(content))
    for name in ("parameter", "tagged", "first"):
        np.testing.assert_array_equal(arrays[name].read_numbers(), [[0, 1], [2, 3]])
    for name in ("third", "attribute"):
        np.testing.assert_array_equal(arrays[name].read_numbers(), [[0, 1], [256, 256]])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_other_objects_are_ignored(protocol, place):
    others = {
        "args": argparse.Namespace(path=pathlib.Path("x"), ratio=0.5, b=b"\xff", names={"a", "b"}),
        "when": datetime.datetime(2020, 1, 1),
        "counts": collections.Counter("aab"),
        "queue": collections.deque([1, 2], maxlen=3),
        "by_default": collections.defaultdict(list, {"a": [1]}),
        "frozen": frozenset([1]),
        "cut": slice(1, 2),
        "z": 1j,
        "numpy": [np.float64(1.5), np.ones((2, 2)), np.dtype("f4")],
        "long": [2**80, -(2**80), 70000, -1],
        "text": "é" * 300,
    }
    inner = pickle.dumps(others, protocol)
    # The tensor comes after the other objects in one pickle.
    content = b"\x80" + bytes([protocol]) + b"(" + inner[2:-1] + opcodes({"w": tensor()}) + b"t."
    contents = read_named_arrays(place(checkpoint(content)))
    assert contents.remarks == ()
    assert list(contents.arrays) == ["0.numpy.1", "1.w"]
    np.testing.assert_array_equal(contents.arrays["0.numpy.1"].read(), np.ones((2, 2)))


def test_type_that_numpy_lacks_is_listed(place, check_refused):
    untyped = Persistent(("storage", Name("torch.storage", "UntypedStorage"), "0", "cpu", 16))
    arguments = (untyped, 0, (4, 4), (4, 1), False, None, Name("torch", "float8_e4m3fn"))
    value = {"a": Call("torch._utils", "_rebuild_tensor_v3", *arguments), "b": tensor()}
    path = place(checkpoint(value))
    np.testing.assert_array_equal(read_array(path, "b"), [[0, 1], [2, 3]])
    check_refused(lambda: read_array(path, "a"), "input: 'a'", "'float8_e4m3fn'", "bfloat16")
    check_refused(lambda: read_array(path), "'a' (4, 4) float8_e4m3fn, 'b' (2, 2) float32")


@pytest.mark.parametrize(
    "name",
    [
        ("torch.nn.modules.activation", "ReLU"),
        ("__main__", "Net"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("os", "system"),
        ("torch", "load"),
        ("numpy", "load"),
        ("\x1b[2J", "x"),
    ],
)
def test_other_globals_are_named_and_not_used(name, place):
    by_stack = opcodes(name[0]) + opcodes(name[1]) + b"\x93"
    shown = ".".join(name).replace("\x1b", "\\x1b")
    for value in (Name(*name), by_stack, Call(*name, "1")):
        contents = read_named_arrays(place(checkpoint({"a": [value], "w": tensor()})))
        assert list(contents.arrays) == ["w"]
        assert contents.remarks == (
            f"opaque values were searched for arrays, but not created: a.0 ({shown})",
        )


def test_ten_opaque_values_are_named_and_all_are_counted(place):
    value = {"w": tensor(), **{f"v{index}": Call("m", "C") for index in range(25)}}
    (remark,) = read_named_arrays(place(checkpoint(value))).remarks
    assert remark.endswith("v8 (m.C), v9 (m.C) and 15 more")


def chain(step, count=200_000):
    """Return a pickle that wraps a value ``count`` times."""
    return b"\x80\x02" + opcodes(tensor()) + step * count + b"."


def doubling(first, levels=60):
    """Return a pickle of a few hundred bytes whose value holds its innermost part 2**levels times."""
    return b"\x80\x02" + opcodes(first) + b"q\x00" + b"h\x00\x86q\x00" * levels + b"."


NESTED = ["more than 100 deep", "torch.save(model.state_dict(), FILE)"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        # opcodes
        (b"", ["ends at byte 0"]),
        (b"\x80\x02}", ["ends at byte 3"]),
        (b"\x80\x02.", ["unreadable at byte 3", "pop from empty list"]),
        (b"\x80\x02h\x07.", ["unreadable", "'7'"]),
        (b"\x80\x02t.", ["unreadable"]),
        (b"\x80\x02\x86.", ["unreadable"]),
        (b"\x80\x02X\xff\xff\xff\xffabc.", ["ends at byte"]),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.", ["ends at byte"]),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", ["unreadable"]),
        (b"\x80\x02cno line", ["a line without an end"]),
        (b"\x80\x02c\xff\n\n.", ["unreadable"]),
        (b"\x80\x02](K\x01u.", ["not a dict"]),
        (b"\x80\x02}(K\x01u.", ["unreadable"]),
        (b"\x80\x02}K\x01a.", ["not a list"]),
        (b"\x80\x02K\x01K\x01R.", ["calls a value that is not a function"]),
        (b"\x80\x04K\x01K\x01\x93.", ["whose name is not text"]),
        (opcodes("n" * 501) + b"q\x00h\x00\x93.", ["a global whose name takes 1002 characters"]),
        (b"\x80\x02c" + b"m" * 1000 + b"\nC\n.", ["a global whose name takes 1001 characters"]),
        (b"\x80\x02I1x\n.", ["unreadable"]),
        (b"\x80\x02S'a\n.", ["a string without quotes"]),
        (b"\x80\x02\x8b\xff\xff\xff\x7f.", ["an integer of 2147483647 bytes"]),
        (b"\x80\x02(o.", ["unreadable"]),
        (b"\x80\x02im\nC\n.", ["unreadable"]),
        (b"\x80\x05\x97.", ["opcode b'\\x97'"]),
        (opcodes(Name("torch", "Size")) + opcodes((1,) * 50) + b"R.", ["with 50 arguments"]),
        # storages and tensors
        ({"w": Persistent(("storage", "0"))}, ["a storage without type, key and size"]),
        ({"w": opcodes(1) + b"Q"}, ["a storage without"]),
        ({"w": storage("Bad")}, ["'torch.Bad'"]),
        ({"w": storage(count=-1)}, ["a storage of -1 entries"]),
        ({"w": tensor(stored=storage(key="9"))}, ["'w': ", "'archive/data/9'", "not in the archive"]),
        ({"w": tensor(stored=storage(key="../data/\x1b"))}, ["'archive/data/../data/\\x1b'"]),
        ({"w": tensor(stored=storage(count=2**40))}, ["'w': ", "takes 16 bytes; expected 4398046511104"]),
        ({"w": tensor(stored=storage(count=3))}, ["takes 16 bytes; expected 12"]),
        ({"w": tensor(stored=storage("HalfStorage"))}, ["takes 16 bytes; expected 8"]),
        ({"w": tensor(offset=1)}, ["'w': ", "reach entry 4", "which has 4"]),
        ({"w": tensor(strides=(2, 2))}, ["reach entry 4"]),
        ({"w": tensor(strides=(2**62, 1))}, ["reach entry 4611686018427387905"]),
        ({"w": tensor((2**20, 2**20))}, ["reach entry"]),
        ({"w": tensor((2**40, 2**40), (0, 0))}, ["impossible shape"]),
        ({"w": tensor((2**30, 2**10), (0, 0))}, ["'w': ", "only 4 are stored", ".contiguous()"]),
        ({"w": tensor((1,) * 40, (1,) * 40)}, ["impossible shape"]),
        ({"w": tensor(offset=-1)}, ["of 0 or more"]),
        ({"w": tensor(strides=(-2, 1))}, ["of 0 or more"]),
        ({"w": tensor((-2, 2))}, ["of 0 or more"]),
        ({"w": tensor((2.0, 2))}, ["of 0 or more"]),
        ({"w": tensor((True, 2))}, ["of 0 or more"]),
        ({"w": tensor((2, 2), (1,))}, ["of 0 or more"]),
        ({"w": tensor(metadata=[{"conj": True}])}, ["pending negation or conjugation", "resolve_conj()"]),
        ({"w": Call("torch._utils", "_rebuild_tensor_v2", 1)}, ["a tensor without storage"]),
        ({"w": Call("torch._utils", "_rebuild_tensor_v3", storage(), 0, (), (), False, None, 1)}, ["a type"]),
        ({"w": Call("torch._utils", "_rebuild_parameter")}, ["unreadable"]),
        (
            {"w": Call("torch._tensor", "_rebuild_from_type_v2", Name("torch", "Size"), 1, ())},
            ["no numeric arrays"],
        ),
        # nesting
        ({"a.b": tensor(), "a": {"b": tensor()}}, ["two arrays named 'a.b'"]),
        ({"\x1b[2J": tensor(offset=9)}, ["'\\x1b[2J': "]),
        (b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.", NESTED),
        (b"\x80\x02]q\x00h\x00a.", NESTED),
        (chain(b"\x85"), NESTED),
        (doubling(tensor()), NESTED),
        (doubling("laugh"), ["no numeric arrays"]),
    ],
    ids=lambda value: "" if isinstance(value, list) else None,
)
def test_false_pickle_is_refused(value, words, place, check_refused, memory_below):
    path = place(checkpoint(value))
    with memory_below(10**8):
        check_refused(lambda: read_array(path), "input: ", *words)


def test_huge_memo_index_takes_no_memory(place, memory_below):
    indexed = struct.pack("<I", 2**32 - 1)
    path = place(checkpoint({"w": opcodes(tensor()) + b"r" + indexed + b"0j" + indexed}))
    with memory_below(2**20):
        assert names_of(path) == ["w"]


def test_key_of_shared_tuples_is_not_hashed(place):
    key = doubling(1)[2:-1]
    assert names_of(place(checkpoint(b"\x80\x02}" + key + opcodes(tensor()) + b"s."))) == ["tuple"]


def test_memory_is_proportional_to_the_pickle(place, check_refused, memory_below, monkeypatch):
    for waste in (b"]", b"}", b")", b"(", b"N", b"\x8f", b"]\x94", b"J1234", b"]\x85"):
        path = place(checkpoint(b"\x80\x02N" + waste * (50_000 // len(waste)) + b"."))
        with memory_below(50_000 * 180):
            assert read_arrays(path) == {}
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", "1000000")
    check_refused(lambda: read_arrays(path), "the description in its pickle", "GRADFLOW_MAX_BYTES")


def test_thousands_of_long_names_are_refused(place, check_refused, monkeypatch):
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", "10000000")
    value = {"k" * 20_000: {str(index): b"h\x00" for index in range(1000)}}
    content = b"\x80\x02" + opcodes(tensor()) + b"q\x000" + opcodes(value) + b"."
    check_refused(lambda: read_arrays(place(checkpoint(content))), "the names of its tensors")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (checkpoint({"w": tensor()}, {"0": bytes(12)}), ["'w': ", "takes 12 bytes; expected 16"]),
        (checkpoint({"w": tensor()}, {}), ["not in the archive"]),
        (checkpoint({"w": tensor()}, byteorder=b"middle"), ["byte order 'middle'"]),
        (zipped([("a/data.pkl", pickled({})), ("a/data.pkl", pickled({}))]), ["two members"]),
        (zipped([("a/archive_format", b"pt2"), ("a/models/model.json", b"")]), ["torch.export.load(FILE)"]),
        (zipped([("a/.data/extern_modules", b""), ("a/m/m.pkl", b"")]), ["torch.package"]),
        (zipped([("a/model.json", b""), ("a/tensors/0", b"")]), ["TorchScript", "torch.jit.load(FILE)"]),
        (zipped([("a.pt", b""), ("b.pth", b"")]), ["2 checkpoints ('a.pt', 'b.pth')", "unpack it"]),
        (zipped([("a.pt", b"no checkpoint")]), ["'a.pt', which is no checkpoint"]),
        (checkpoint({"w": tensor()}, compression=zipfile.ZIP_BZIP2), ["zip method 12"]),
        (checkpoint({"epoch": 3}), ["no numeric arrays"]),
        (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"\x80\x02M\xe9\x03.", ["ends at byte"]),
        (tarred({"notes.txt": b"1"}), ["a tar archive of 'notes.txt'; unpack it"]),
        (b"storages".ljust(257, b"\0") + b"ustar\x0000", ["the tar archive is unreadable"]),
    ],
)
def test_other_archives_are_refused(content, words, place, check_refused):
    check_refused(lambda: read_array(place(content)), "input: ", *words)


def test_misplaced_member_is_refused(place, check_refused):
    content = checkpoint({"w": tensor()})
    central = content.rindex(b"PK\x01\x02")
    for position, value in ((central + 42, 10), (central + 42, 2**31), (central + 20, 12)):
        lying = bytearray(content)
        lying[position : position + 4] = struct.pack("<I", value)
        check_refused(lambda lying=lying: read_array(place(bytes(lying))), "damaged")


def test_inflated_storage_has_a_limit(place, check_refused, monkeypatch, memory_below):
    count = 2**22
    value = {"w": tensor((1, count), (count, 1), 0, storage(count=count))}
    path = place(checkpoint(value, {"0": bytes(4 * count)}, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 40_000
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", "1000000")
    with memory_below(2**20):
        check_refused(lambda: read_array(path), "'archive/data/0' takes 16777216 bytes")


def test_checksums_may_be_absent(place):
    # As torch writes after torch.serialization.set_crc32_options(False).
    content = bytearray(saved({"w": np.eye(2)}))
    for mark, position in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        at = content.find(mark)
        while at >= 0:
            content[at + position : at + position + 4] = bytes(4)
            at = content.find(mark, at + 1)
    np.testing.assert_array_equal(read_array(place(bytes(content))), np.eye(2))


def test_a_pickle_that_was_inflated_from_next_to_nothing_is_refused(place, check_refused):
    marks = b"\x80\x02" + b"(" * 3_000_000 + b"."
    path = place(checkpoint(marks, {}, zipfile.ZIP_DEFLATED), "bomb.pt")
    check_refused(lambda: read_arrays(path), "archive/data.pkl", "inflates from")
