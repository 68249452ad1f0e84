"""Flax's msgpack: arrays by the names of nested dicts, lazily, and within bounds."""

import ml_dtypes
import numpy as np
import pytest

from gradflow import load, read_array, read_arrays
from gradflow.readers.flax import MAX_MSGPACK_DEPTH, MAX_MSGPACK_VALUES
from tests.readers.msgpack import extension, packed

DRAW = np.random.default_rng(2).normal
CELL = {f"i{gate}": {"kernel": DRAW(size=(3, 2))} for gate in "ifgo"}
CELL |= {f"h{gate}": {"kernel": DRAW(size=(2, 2)), "bias": DRAW(size=2)} for gate in "ifgo"}


def test_cell_is_read_and_states_of_the_optimizer_are_not(place):
    state = {"opt_state": {"0": {"mu": {"cell": CELL}}}, "params": {"cell": CELL}, "step": 2**40}
    (layer,) = load(place(packed(state), "m.msgpack")).layers
    assert (layer.name, layer.kind, layer.framework) == ("cell", "lstm", "flax")
    np.testing.assert_array_equal(layer.cell.weight_hh[:2], CELL["hi"]["kernel"].T)
    np.testing.assert_array_equal(layer.cell.bias[2:4], CELL["hf"]["bias"])


def test_names_are_joined_by_dots_and_other_values_left_out(place):
    tree = {
        "a": {"b": [np.eye(2), None, 1.5, {"c": np.ones(3)}]},
        "d": "x" * 300,
        "e": True,
        "f": {},
        "g": [],
    }
    arrays = read_arrays(place(packed(tree)))
    assert {name: array.shape for name, array in arrays.items()} == {"a.b.0": (2, 2), "a.b.3.c": (3,)}


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "bool", "complex64"])
def test_types_are_read_exactly(dtype, place):
    array = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    np.testing.assert_array_equal(read_array(place(packed({"w": array}))), array)


def test_bfloat16_and_scalars_are_read(place):
    halves = np.array([[1.5, -3.0]], ml_dtypes.bfloat16)
    scalar = packed([[], "float64", np.float64(2.5).tobytes()])
    path = place(packed({"w": halves, "s": 0})[:-1] + extension(3, scalar))
    np.testing.assert_array_equal(read_array(path, "w"), [[1.5, -3.0]])
    assert read_arrays(path)["s"].read() == 2.5


def test_chunks_are_one_array(place):
    matrix = DRAW(size=(5, 3))
    parts = {str(k): matrix.ravel()[4 * k : 4 * k + 4] for k in range(4)}
    chunked = {"__msgpack_chunked_array__": True, "shape": {"0": 5, "1": 3}, "chunks": parts}
    np.testing.assert_array_equal(read_array(place(packed({"w": chunked}))), matrix)


def test_type_that_numpy_lacks_is_listed_and_refused(place, check_refused):
    path = place(packed({"w": 0})[:-1] + extension(1, packed([[2], "float8_e4m3fn", b"ab"])))
    assert read_arrays(path)["w"].shape == (2,)
    check_refused(lambda: read_array(path, "w", dimensions=(1,)), "float8_e4m3fn")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed({"lr": 0.1}), "holds no array of Flax"),
        (packed({"w": np.eye(2)})[:-1], "more than there are"),
        (packed({"w": np.eye(2)}) + b"x", "1 bytes follow"),
        (packed({"w": np.eye(2), "v": 0})[:-3] + packed("w") + packed(np.eye(2)), "two arrays named 'w'"),
        (packed({"w": 0})[:-1] + extension(1, packed([[3, 3], "float64", bytes(32)])), "not 32"),
        (packed({"w": 0})[:-1] + extension(1, packed([[2**62, 2**62], "float64", b""])), "impossible shape"),
        (packed({"w": 0})[:-1] + extension(1, b"\x93\x91\xff\xa7float64\xc4\0"), "impossible shape"),
        (packed({"w": 0})[:-1] + extension(1, packed(["float64", b""])), "not an array of Flax"),
        (packed({"w": 0})[:-1] + b"\xdd\xff\xff\xff\xff", "cut short"),
        (packed({"w": 0})[:-1] + b"\x91" * (MAX_MSGPACK_DEPTH + 1) + b"\0", "too deep"),
        (packed({"w": 0})[:-1] + b"\xc1", "starts no value"),
        (packed({"w": {}})[:-1] + b"\x81\xc4\x01x\x01", "no short text"),
    ],
)
def test_damage_and_foreign_msgpack_are_refused(content, words, place, check_refused):
    check_refused(lambda: load(place(content, "m.msgpack")), words)


@pytest.mark.parametrize("item", [b"\x80", b"\x90", b"\xc0"])
def test_many_small_values_are_refused_after_the_first_of_them(item, place, check_refused):
    count = MAX_MSGPACK_VALUES
    path = place(packed({"w": 0})[:-1] + b"\xdd" + count.to_bytes(4, "big") + item * count)
    check_refused(lambda: read_arrays(path), f"more than {count} values", "the arrays of a model")


def test_entries_are_read_only_when_asked_for(place, memory_below):
    path = place(packed({"big": np.ones((1000, 1000)), "small": np.eye(2)}))
    with memory_below(1_000_000):
        np.testing.assert_array_equal(read_array(path, "small"), np.eye(2))


@pytest.mark.parametrize(
    ("depth", "width", "words"), [(9, 900, "over 2000 characters"), (2, 900, "longer together than 4 times")]
)
def test_names_are_bounded_before_they_are_joined(depth, width, words, place, check_refused, memory_below):
    tree = {f"{k}": np.zeros((), np.float32) for k in range(3000)}
    for _ in range(depth):
        tree = {"k" * width: tree}
    path = place(packed(tree), "m.msgpack")
    with memory_below(4_000_000):
        check_refused(lambda: read_arrays(path), words)
