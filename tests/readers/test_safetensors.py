"""safetensors: every type of the real writer, and hostile headers."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from gradflow import read_array, read_arrays


def packed(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F64", shape=(1, 1), begin=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "dtype",
    [*"?bBhHiIlLefd", "F", ml_dtypes.bfloat16],
    ids=str,
)
def test_every_type_is_exact(dtype, place):
    matrix = np.array([[1, 0, 1], [100, 25, 3]]).astype(dtype)
    found = read_array(place(safetensors.numpy.save({"w": matrix}, {"by": "test"})))
    np.testing.assert_array_equal(found, matrix.astype(np.complex128 if dtype == "F" else np.float64))


def test_every_finite_bfloat16_is_exact(place):
    every = np.arange(2**16, dtype=np.uint16).view(ml_dtypes.bfloat16)
    finite = every[np.isfinite(every.astype(np.float32))].reshape(2, -1)
    path = place(safetensors.numpy.save({"w": finite}))
    np.testing.assert_array_equal(read_array(path), finite.astype(np.float64))
    np.testing.assert_array_equal(read_array(path, "w[1:, 5:7]"), finite[1:, 5:7].astype(np.float64))
    assert read_arrays(path)["w"].dtype == "bfloat16"


def test_only_the_chosen_part_is_decoded(place, memory_below):
    path = place(safetensors.numpy.save({"w": np.ones((4096, 1024), ml_dtypes.bfloat16)}))
    with memory_below(2**20):
        assert read_array(path, "w[:2, :3]").shape == (2, 3)


def test_type_that_numpy_lacks_is_listed(place, check_refused):
    header = {"a": entry("F8_E4M3", (2, 2), 0, 4), "b": entry(begin=4, end=12)}
    path = place(packed(header, b"\0" * 12))
    np.testing.assert_array_equal(read_array(path, "b"), [[0]])
    check_refused(lambda: read_array(path, "a"), "input: 'a'", "'F8_E4M3'", "F64, F32")
    check_refused(lambda: read_array(path), "'a' (2, 2) F8_E4M3, 'b' (1, 1) float64")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed({"w": entry()}, b"\0" * 8, length=10**7), ["the header takes 10000000 bytes"]),
        (packed(b"{not json}"), ["header is unreadable"]),
        (packed(b'{"w": \xff}'), ["header is unreadable"]),
        (packed(b'{"w": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"), ["header is unreadable"]),
        (packed(b'{"w": ' + b"9" * 5000 + b"}"), ["header is unreadable"]),
        (packed(b'{"w": 1, "w": 2}'), ["two members named 'w'"]),
        (packed({"w": [1, 2]}), ["'w' is described by '[1, 2]'"]),
        (packed({"w": {"dtype": "F64"}}), ["'w' is described by"]),
        (packed({"w": {**entry(), "dtype": 64}}, b"\0" * 8), ["'w' is described by"]),
        (packed({"w": {**entry(), "shape": "11"}}, b"\0" * 8), ["'w' is described by"]),
        (packed({"w": {**entry(), "data_offsets": [0, 8, 9]}}, b"\0" * 8), ["'w' is described by"]),
        (packed({"w": entry(begin=8, end=0)}, b"\0" * 8), ["'w' is described by", "backwards"]),
        (packed({"w": entry(begin=-8, end=0)}, b"\0" * 8), ["'w' is described by", "backwards"]),
        (packed({"w": entry(begin=0.0, end=8.0)}, b"\0" * 8), ["'w' is described by"]),
        (packed({"w": entry(shape=(2**20, 2**20), end=2**43)}, b"\0" * 8), ["'w'", "only 8 are there"]),
        (packed({"w": entry(end=16)}, b"\0" * 8), ["'w'", "only 8 are there"]),
        (packed({"w": entry(shape=(1, 2))}, b"\0" * 8), ["'w'", "takes 16 bytes", "span 8"]),
        (packed({"w": entry(shape=(-1, -1))}, b"\0" * 8), ["impossible shape"]),
        (packed({"w": entry(shape=(1.0, 1))}, b"\0" * 8), ["impossible shape"]),
        (packed({"w": entry(shape=(True, 1))}, b"\0" * 8), ["impossible shape"]),
        (packed({"w": entry(shape=(1,) * 40)}, b"\0" * 8), ["impossible shape"]),
        (packed({"w": entry(shape=(10**400, 1))}, b"\0" * 8), ["impossible shape"]),
        (packed({"w": entry(shape=(0, 2**62, 2**62), end=0)}), ["impossible shape"]),
        (packed({"w": entry(shape=(0, 2), end=0)}), ["no entries"]),
        (packed({"__metadata__": {"a": "b"}}), ["no numeric arrays"]),
        (packed({"\x1b[2J\n": entry(end=16)}), ["'\\x1b[2J\\n'"]),
    ],
)
def test_hostile_header_is_refused(content, words, place, check_refused):
    check_refused(lambda: read_array(place(content)), "input: ", *words)
