"""MATLAB 5 to 7.2: files of scipy's writer, files written by hand as MATLAB does, and hostile files."""

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from gradflow import read_array, read_arrays

TYPES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 9, "i8": 12, "u8": 13}
DOUBLE, SPARSE, COMPLEX = 6, 5, 0x800


def element(values, dtype, order="<", kind=None):
    data = values if isinstance(values, bytes) else np.asarray(values, order + dtype).tobytes()
    kind = TYPES[dtype] if kind is None else kind
    return struct.pack(order + "II", kind, len(data)) + data + bytes(-len(data) % 8)


def variable(*parts, name=b"w", shape=(2, 2), flags=DOUBLE, order="<"):
    header = element([flags, 0], "u4", order) + element(shape, "i4", order) + element(name, "i1", order)
    return element(header + b"".join(parts), "", order, kind=14)


def file(*variables, order="<"):
    mark = b"IM" if order == "<" else b"MI"
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "H", 0x100) + mark + b"".join(variables)


def compressed(content, declared=None, cut=0):
    content = content if declared is None else content[:4] + struct.pack("<I", declared) + content[8:]
    data = zlib.compress(content)
    data = data[: len(data) - cut]
    return struct.pack("<II", 15, len(data)) + data


GOOD = element([1, 2, 3, 4], "f8")
COLUMNS = [[1, 3], [2, 4]]


@pytest.mark.parametrize("do_compression", [False, True])
def test_numeric_variables_agree_with_scipy(do_compression, place):
    rng = np.random.default_rng(5)
    variables = {
        "double": rng.normal(size=(3, 4)),
        "complex": rng.normal(size=(2, 3)) + 1j,
        "single": rng.normal(size=(2, 2)).astype(np.float32),
        "single_complex": np.ones((2, 2), np.complex64) * 1j,
        "logical": np.eye(3) > 0,
        "cube": rng.normal(size=(2, 3, 4)),
        "sparse": scipy.sparse.csc_array([[0, 1.5, 0], [0, 0, 2], [3, 0, 0], [0, 0, 0]]),
        "sparse_complex": scipy.sparse.csc_array([[0, 1j], [0, 2]]),
        "sparse_empty": scipy.sparse.csc_array((2, 3)),
        "a_name_of_thirty_one_characters": np.eye(2),
        **{dtype: np.array([[0, 1], [2, 127]], dtype) for dtype in "bBhHiIlL"},
    }
    others = {"text": "abc", "cell": np.array([1, "a"], object), "struct": {"inner": np.eye(2)}}
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables | others, do_compression=do_compression)
    arrays = read_arrays(place(stream.getvalue()))
    assert list(arrays) == list(variables)
    for name, expected in variables.items():
        dense = expected.toarray() if scipy.sparse.issparse(expected) else expected
        np.testing.assert_array_equal(arrays[name].read_numbers(), dense)
        assert (arrays[name].shape, arrays[name].dtype) == (dense.shape, str(dense.dtype))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", TYPES)
def test_narrower_types_in_both_byte_orders(dtype, order, place):
    content = file(variable(element([1, 2, 3, 4], dtype, order), order=order), order=order)
    np.testing.assert_array_equal(read_array(place(content)), COLUMNS)


def test_small_elements_are_in_their_tag(place):
    small = struct.pack("<HHBBBB", TYPES["u1"], 4, 1, 2, 3, 4)
    np.testing.assert_array_equal(read_array(place(file(variable(small)))), COLUMNS)


def test_sparse_may_reserve_room(place):
    parts = element([1, 0, 0], "i4"), element([0, 1, 1], "i4"), element([5, 0, 0], "f8")
    content = file(variable(*parts, flags=SPARSE))
    np.testing.assert_array_equal(read_array(place(content)), [[0, 0], [5, 0]])


def test_function_workspace_is_left_out(place):
    content = file(variable(GOOD), variable(GOOD, name=b""))
    np.testing.assert_array_equal(read_array(place(content)), COLUMNS)


def sparse(rows=(0, 1), starts=(0, 1, 2), values=(5, 6), shape=(2, 2)):
    return variable(
        element(rows, "i4"), element(starts, "i4"), element(values, "f8"), flags=SPARSE, shape=shape
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (file(variable(GOOD), variable(GOOD)), ["two variables named 'w'"]),
        (file(variable(GOOD, shape=(2, 3))), ["'w'", "holds 4 numbers", "expected 6 for its shape (2, 3)"]),
        (file(variable(GOOD, shape=(2**31 - 1, 2**31 - 1))), ["'w'", "holds 4 numbers"]),
        (file(variable(GOOD, shape=(-2, -2))), ["impossible shape"]),
        (file(variable(GOOD, shape=(1,) * 40)), ["impossible shape"]),
        (file(variable(GOOD, flags=DOUBLE | COMPLEX)), ["'w'", "middle of an element"]),
        (file(variable(GOOD, element([1], "f8"), flags=DOUBLE | COMPLEX)), ["4 real and 1 imaginary"]),
        (file(variable()), ["'w'", "middle of an element"]),
        (file(variable(element(b"123", "f8"))), ["'w'", "3 bytes for entries of 8 bytes"]),
        (file(variable(element(GOOD, "f8", kind=77))), ["'w'", "element of type 77"]),
        (file(variable(GOOD)[:60]), ["only 52 are there"]),
        (file(variable(GOOD)) + b"\0\0\0", ["takes 8 bytes", "only 3 are there"]),
        (file(element(GOOD, "f8")), ["type 9 at byte 128"]),
        (file(element(b"", "", kind=14)), ["middle of an element"]),
        (file(variable(GOOD, name=b"\x1b[2J", shape=(1, 1))), ["'\\x1b[2J'"]),
        (file(), ["no numeric arrays"]),
        (file(sparse(rows=(0, 2))), ["row index outside shape (2, 2)"]),
        (file(sparse(rows=(0, -1))), ["row index outside shape (2, 2)"]),
        (file(sparse(starts=(0, 2, 1))), ["backwards"]),
        (file(sparse(starts=(1, 1, 2))), ["backwards"]),
        (file(sparse(starts=(0, 1, 3))), ["past the end"]),
        (file(sparse(values=(5,))), ["past the end"]),
        (file(sparse(starts=(0, 1))), ["2 column starts"]),
        (file(sparse(shape=(2, 2, 2))), ["column starts for shape (2, 2, 2)"]),
        (file(sparse(shape=(2**31 - 1, 2))), ["34359738352 bytes", "GRADFLOW_MAX_BYTES"]),
        (file(variable(element([0.0], "f8"), GOOD, GOOD, flags=SPARSE)), ["expected whole numbers"]),
        (file(element(element([np.nan, 0], "f8"), "", kind=14)), ["no flags"]),
        (file(struct.pack("<II", 15, 8) + b"no zlib!"), ["compressed data at byte 136 are unreadable"]),
        (file(compressed(variable(GOOD))[:-4] + b"\0\0\0\0"), ["are unreadable"]),
        (file(compressed(variable(GOOD), declared=2**32 - 1)), ["not what the file declares"]),
        (file(compressed(variable(GOOD), declared=80)), ["not what the file declares"]),
        (file(compressed(variable(GOOD), cut=4)), ["not what the file declares"]),  # The checksum is missing.
        (file(compressed(b"1234")), ["are unreadable"]),
        (file(compressed(element(GOOD, "f8"))), ["not what the file declares"]),
    ],
)
def test_hostile_file_is_refused(content, words, place, check_refused):
    check_refused(lambda: read_array(place(content)), "input: ", *words)


def test_compressed_bomb_takes_no_memory(place, check_refused, monkeypatch, memory_below):
    bomb = file(compressed(variable(element(bytes(2**25), "u1"), shape=(2, 2))))
    liar = file(compressed(variable(element(bytes(2**25), "u1")), declared=100))
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", "1000000")
    paths = place(bomb, "bomb"), place(liar, "liar")
    with memory_below(2**20):
        check_refused(lambda: read_array(paths[0]), "bomb: 'w'", "GRADFLOW_MAX_BYTES")
        check_refused(lambda: read_array(paths[1]), "liar: 'w'", "not what the file declares")


def test_version_7_3_says_how_to_save(place, check_refused):
    content = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n"
    check_refused(lambda: read_array(place(content)), "HDF5", "-v7")
