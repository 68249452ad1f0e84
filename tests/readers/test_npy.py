"""npy and npz: every numeric type is exact; hostile headers and archives."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from gradflow import read_array, read_arrays
from tests.readers import checkpoints


def npy(header, data=b"", version=(1, 0)):
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def header(shape, descr="'<f8'", order=False):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    """Return a compressed archive, as numpy.savez_compressed writes it."""
    return checkpoints.zipped(members, compression)


def declared(content, size):
    """Return the archive of one member with another uncompressed size in both of its headers."""
    central = content.index(b"PK\x01\x02")
    content = bytearray(content)
    content[22:26] = content[central + 24 : central + 28] = struct.pack("<I", size)
    return bytes(content)


@pytest.mark.parametrize("dtype", "?bBhHiIlLqQefdFD")
@pytest.mark.parametrize("byte_order", "<>")
def test_every_numeric_type_is_exact(dtype, byte_order, place):
    matrix = np.array([[1, 0, 1], [100, 25, 3]]).astype(np.dtype(dtype).newbyteorder(byte_order))
    found = read_array(place(saved(matrix)))
    np.testing.assert_array_equal(found, matrix)
    assert found.dtype == (np.complex128 if dtype in "FD" else np.float64)
    assert found.dtype.isnative


def test_fortran_order_and_second_version(place):
    matrix = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(read_array(place(saved(np.asfortranarray(matrix)))), matrix)
    second = npy(header((2, 3)), matrix.tobytes(), version=(2, 0))
    np.testing.assert_array_equal(read_array(place(second)), matrix)


def test_python_2_header_is_read(place):
    np.testing.assert_array_equal(read_array(place(npy(header("(1L, 2L)"), b"\0" * 16))), [[0, 0]])


def test_part_of_a_huge_file_is_read_alone(tmp_path, check_refused, memory_below):
    path = tmp_path / "huge.npy"
    with path.open("wb") as stream:
        start = npy(header((2**20, 2**10)))
        stream.write(start + np.arange(2.0).tobytes())
        stream.truncate(len(start) + 2**33)
    with memory_below(2**20):
        np.testing.assert_array_equal(read_array(path, "array[:1, :2]"), [[0, 1]])
        check_refused(lambda: read_array(path), "8589934592 bytes", "GRADFLOW_MAX_BYTES")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


def test_objects_are_never_unpickled(place, check_refused):
    content = npy(header((1, 1), "'|O'"), pickle.dumps([Bomb()]))
    check_refused(lambda: read_array(place(content)), "unpickling runs")
    archive = place(zipped([("w.npy", content), ("v.npy", saved(np.ones((1, 1))))]))
    check_refused(lambda: read_array(archive, "w"), "'w'", "unpickling runs")
    np.testing.assert_array_equal(read_array(archive, "v"), [[1]])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy(header((2**40, 2**10)), b"\0" * 64), ["shape (1099511627776, 1024)", "damaged"]),
        (npy(header((2**70, 2))), ["impossible shape"]),
        (npy(header((2**62, 0, 2**62))), ["impossible shape"]),
        (npy(header((-2, -2)), b"\0" * 32), ["impossible shape"]),
        (npy(header("(True, 1)"), b"\0" * 8), ["impossible shape"]),
        (npy(header((1,) * 40), b"\0" * 8), ["impossible shape"]),
        (npy(header((2, 2)), b"\0" * 24), ["shape (2, 2)", "damaged"]),
        (npy(header((2, 2)), b"\0" * 40), ["8 bytes follow", "numpy.savez"]),
        (npy(header((0, 3))), ["no entries"]),
        (npy(header(()), b"\0" * 8), ["not 0"]),
        (npy(header((1, 1), "'<U2'"), b"\0" * 8), ["<U2", "expected plain numbers"]),
        (npy(header((1, 1), "'<M8[s]'"), b"\0" * 8), ["datetime64", "expected plain numbers"]),
        (npy(header((1, 1), "[('a', '<f8')]"), b"\0" * 8), ["'a'", "expected plain numbers"]),
        (npy(header((1, 1), "'<f16'"), b"\0" * 16), []),
        (npy(header((1, 1), "'<c32'"), b"\0" * 32), []),
        (npy(header((1, 1), "'nonsense'")), ["header is unreadable"]),
        (npy("{'descr': '<f8'}"), ["header is unreadable"]),
        (npy("__import__('os').abort()"), ["header is unreadable"]),
        (npy("(" * 5000), ["header is unreadable"]),
        (npy("-" * 9000 + "1"), ["header is unreadable"]),
        (npy("{" + " " * 20000), ["header is unreadable"]),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", ["header is unreadable"]),
        (npy(header((1, 1)), b"\0" * 8, version=(3, 0)), ["header is unreadable"]),
        (b"\x93NUMPY", ["header is unreadable"]),
    ],
)
def test_hostile_header_is_refused(content, words, place, check_refused):
    check_refused(lambda: read_array(place(content)), "input: ", *words)
    # The same bytes as a member of an archive, which may declare another size.
    check_refused(lambda: read_array(place(zipped([("w.npy", content)]))), "input: ", "'w'")


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([[1.0, 2.0], [np.nan, np.inf]], ["entry (1, 0)", "is nan", "counted from 0"]),
        ([[1.0, -np.inf]], ["entry (0, 1)", "is -inf"]),
        ([[1.0, complex(0, np.nan)]], ["entry (0, 1)", "nanj"]),
        (np.array([[1, 2**53 + 1]]), ["entry (0, 1)", "9007199254740993", "2**53"]),
        (np.array([[1, -(2**53) - 1]]), ["entry (0, 1)", "-9007199254740993"]),
        (np.array([[1, 2**64 - 1]], np.uint64), ["entry (0, 1)", "18446744073709551615"]),
        (np.array([[1, np.nan]], np.float16), ["entry (0, 1)", "is nan"]),
        (np.zeros((2, 2, 2)), ["dimensions, not 3", "`key='array[0]'`"]),
    ],
)
def test_unusable_entry_is_refused_by_position(matrix, words, place, check_refused):
    check_refused(lambda: read_array(place(saved(np.asarray(matrix)))), "input: ", "'array'", *words)


def test_members_are_read_on_demand(place, check_refused):
    content = bytearray(zipped([("a.npy", saved(np.ones((64, 64)))), ("b.npy", saved(np.eye(2)))], 0))
    content[content.index(b"\x93NUMPY") + 20_000] ^= 1
    arrays = read_arrays(place(bytes(content)))
    np.testing.assert_array_equal(arrays["b"].read_numbers(), np.eye(2))
    check_refused(arrays["a"].read_numbers, "'a'", "zip archive is unreadable", "CRC")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped([("data.pkl", b"\x80\x02")]), ["without .npy members", ".safetensors"]),
        (zipped([]), ["without .npy members"]),
        (zipped([("a.npy", saved(np.eye(2))), ("a.npy", saved(np.eye(2)))]), ["two arrays named 'a'"]),
        (zipped([("\x1b[2J.npy", b"")]), ["'\\x1b[2J'"]),
        (zipped([("a.npy", saved(np.eye(2)))], zipfile.ZIP_BZIP2), ["zip method 12"]),
        (zipped([("a.npy", saved(np.eye(2)))], zipfile.ZIP_LZMA), ["zip method 14"]),
        (zipped([("a.npy", saved(np.eye(2)))])[:60], ["zip archive is unreadable"]),
        (declared(zipped([("a.npy", saved(np.eye(2)))]), 140), ["a.npy", "CRC"]),
        (declared(zipped([("a.npy", saved(np.eye(2)))]), 2**31), ["'a'", "archive declares 2147483648"]),
        (
            declared(zipped([("a.npy", npy(header((2, 2))))]), len(npy(header((2, 2)))) + 32),
            ["'a'", "ends after"],
        ),
    ],
)
def test_hostile_archive_is_refused(content, words, place, check_refused):
    check_refused(lambda: read_array(place(content)), "input: ", *words)


def test_encrypted_member_is_refused(place, check_refused):
    content = bytearray(zipped([("a.npy", saved(np.eye(2)))]))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    check_refused(lambda: read_array(place(bytes(content))), "encrypted", "password")


def test_wrong_checksum_is_refused(place, check_refused):
    content = bytearray(zipped([("a.npy", saved(np.eye(2)))], zipfile.ZIP_STORED))
    content[content.index(b"\x93NUMPY") + 130] ^= 1
    check_refused(lambda: read_array(place(bytes(content))), "a.npy", "zip archive is unreadable", "CRC")


@pytest.mark.parametrize("shape", [(2048, 2048), (2, 2)])
def test_zip_bomb_takes_no_memory(shape, place, check_refused, monkeypatch, memory_below):
    # 32 MiB of zeros, declared correctly or as a 2 × 2 matrix.
    content = zipped([("a.npy", npy(header(shape), bytes(2**25)))])
    if shape == (2, 2):
        content = declared(content, len(npy(header(shape))) + 32)
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", "1000000")
    path = place(content)
    assert path.stat().st_size < 40_000
    with memory_below(2**20):
        check_refused(lambda: read_array(path), "CRC" if shape == (2, 2) else "'a': its content takes 33554")
