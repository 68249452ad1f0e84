"""HDF5 and .keras: types, storage layouts, metadata, links, and hostile files."""

import io
import json
import struct
import sys
import zipfile
import zlib
from functools import partial
from itertools import product

import h5py
import ml_dtypes
import numpy as np
import pytest

from gradflow import read_array, read_arrays
from tests.readers.checkpoints import zipped

MATRIX = np.arange(30.0).reshape(5, 6)


def file(fill, **options):
    """Return the bytes of a file that ``fill`` has written."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", **options) as opened:
        fill(opened)
    return stream.getvalue()


def weight(**options):
    return file(lambda opened: opened.create_dataset("w", data=MATRIX, **options))


def keras(weights, config=b"{}", compression=zipfile.ZIP_STORED, metadata=b'{"keras_version": "3.5.0"}'):
    members = [("metadata.json", metadata), ("config.json", config), ("model.weights.h5", weights)]
    return zipped(members, compression)


@pytest.mark.parametrize("dtype", [*"?bBhHiIlLefdFD", ">f4", ">i2", ">c8"])
def test_every_type_is_exact(dtype, place):
    matrix = np.array([[1, 0, 1], [100, 25, 3]]).astype(dtype)
    packed = {"chunks": (1, 2), "compression": "gzip", "shuffle": True}
    for libver, options in product(("earliest", "v108", "latest"), ({}, packed)):
        path = place(file(partial(write_dataset, data=matrix, **options), libver=libver))
        found = read_array(path)
        np.testing.assert_array_equal(found, matrix.astype(found.dtype))
        assert read_arrays(path)["w"].dtype == str(matrix.dtype)


def write_dataset(opened, **options):
    opened.create_dataset("w", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (5, 6)},
        {"chunks": (2, 4)},
        {"chunks": (1, 1)},
        {"chunks": (7, 9), "maxshape": (None, None)},
        {"chunks": (2, 4), "compression": "gzip"},
        {"chunks": (2, 4), "shuffle": True},
        {"chunks": (2, 4), "fletcher32": True},
        {"chunks": (2, 4), "compression": "gzip", "shuffle": True, "fletcher32": True},
    ],
    ids=str,
)
def test_chunks_are_put_together(options, place):
    for libver in ("earliest", "latest"):
        path = place(file(partial(write_dataset, data=MATRIX, **options), libver=libver))
        np.testing.assert_array_equal(read_array(path), MATRIX)
        np.testing.assert_array_equal(read_array(path, "w[1:3, ::2]"), MATRIX[1:3, ::2])


def test_chunk_without_its_filter_is_read(place):
    def fill(opened):
        dataset = opened.create_dataset("w", (2, 2), "<f8", chunks=(2, 2), compression="gzip")
        dataset.id.write_direct_chunk((0, 0), MATRIX[:2, :2].tobytes(), filter_mask=1)

    np.testing.assert_array_equal(read_array(place(file(fill))), MATRIX[:2, :2])


def test_only_the_chosen_part_is_read(place, memory_below):
    path = place(file(lambda opened: opened.create_dataset("w", data=np.ones((2048, 2048)))))
    with memory_below(2**20):
        assert read_array(path, "w[:2, :3]").shape == (2, 3)


def test_every_finite_bfloat16_of_keras_is_exact(place):
    every = np.arange(2**16, dtype=np.uint16).view(ml_dtypes.bfloat16)
    finite = every[np.isfinite(every.astype(np.float32))].reshape(2, -1)

    def fill(opened):
        opened.create_dataset("w", data=finite.view("V2")).attrs["dtype"] = "bfloat16"
        opened.create_dataset("other", data=finite.view("V2"))

    path = place(file(fill))
    np.testing.assert_array_equal(read_array(path, "w[:, 1:]"), finite[:, 1:].astype(np.float64))
    assert {name: array.dtype for name, array in read_arrays(path).items()} == {"w": "bfloat16"}


def test_only_numbers_are_listed(place):
    def fill(opened):
        opened["layers/a/vars/0"] = np.eye(2)
        opened["layers/a/vars/1"] = np.array(3.0)
        opened["text"] = "abc"
        opened["texts"] = ["a", "b"]
        opened["record"] = np.zeros(2, [("a", "f8"), ("b", "i4")])
        opened["reference"] = np.array([opened["text"].ref], h5py.ref_dtype)
        opened["nothing"] = h5py.Empty("f8")
        opened["type"] = np.dtype("f8")

    arrays = read_arrays(place(file(fill)))
    assert {name: array.shape for name, array in arrays.items()} == {
        "layers/a/vars/0": (2, 2),
        "layers/a/vars/1": (),
    }


@pytest.mark.parametrize("text", [str, str.encode, np.bytes_], ids=["text", "bytes", "of fixed length"])
def test_metadata_has_names_and_configuration(text, place):
    def fill(opened):
        opened["layers/lstm/cell/vars/0"] = np.eye(2)
        opened["layers/lstm/vars/1"] = np.eye(2)
        opened["layers/lstm/cell/vars"].attrs["name"] = text("lstm_cell")
        opened["layers/lstm/vars"].attrs["name"] = text("encoder")
        opened["layers"].attrs["name"] = [1, 2]
        opened.attrs["model_config"] = text(json.dumps({"class_name": "Sequential"}))
        opened.attrs["keras_version"] = text("2.15.0")

    about = [array.metadata for array in read_arrays(place(file(fill))).values()]
    assert about[0] is about[1]
    assert about[0] == {
        "named": {"layers/lstm/cell/vars": "lstm_cell", "layers/lstm/vars": "encoder"},
        "config": {"class_name": "Sequential"},
        "keras_version": "2.15.0",
    }
    bare = {"named": {}, "config": None, "keras_version": None}
    assert read_arrays(place(weight()))["w"].metadata == bare


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_keras_zip_has_its_configuration(compression, place):
    path = place(keras(weight(), b'{"module": "keras"}', compression))
    np.testing.assert_array_equal(read_array(path), MATRIX)
    about = read_arrays(path)["w"].metadata
    assert about == {"named": {}, "config": {"module": "keras"}, "keras_version": "3.5.0"}
    for strange in (b"[]", b"{}", b'{"keras_version": 3}'):
        path = place(keras(weight(), metadata=strange))
        assert read_arrays(path)["w"].metadata["keras_version"] is None


def test_missing_h5py_is_reported(place, check_refused, monkeypatch):
    said = "input: reading HDF5 files needs h5py; run: pip install h5py (extra gradflow-rnn[hdf5])"
    contents = [weight(), keras(weight())]
    monkeypatch.setitem(sys.modules, "h5py", None)
    for content in contents:
        check_refused(lambda content=content: read_arrays(place(content)), said)


def test_links_to_other_files_are_not_followed(tmp_path, place):
    secret = place(weight(), "secret.h5")

    def fill(opened):
        opened["w"] = np.eye(2)
        opened["outside"] = h5py.ExternalLink(str(secret), "/w")
        opened["group/outside"] = h5py.ExternalLink(str(secret), "/")
        opened["soft"] = h5py.SoftLink("/outside")
        opened["dangling"] = h5py.SoftLink("/nowhere")

    path = place(file(fill))
    with h5py.File(path) as opened:
        assert opened["outside"].shape == opened["soft"].shape == MATRIX.shape  # The links do work.
    assert list(read_arrays(path)) == ["w"]


def test_circles_of_hard_links_end(place):
    def fill(opened):
        opened["a/w"] = np.eye(2)
        opened["a/again"] = opened["a"]
        opened["a/root"] = opened["/"]
        opened["tied"] = opened["a/w"]

    assert list(read_arrays(place(file(fill)))) == ["a/w"]


def test_numbers_in_other_files_are_refused(tmp_path, place, check_refused):
    secret = place(MATRIX.tobytes(), "secret.bin")

    def outside(opened):
        opened.create_dataset("out\x1b", (5, 6), "f8", external=[(str(secret), 0, MATRIX.nbytes)])

    other = place(weight(), "secret.h5")
    layout = h5py.VirtualLayout((5, 6), "f8")
    layout[...] = h5py.VirtualSource(str(other), "w", (5, 6))
    path = place(file(outside))
    with h5py.File(path) as opened:
        assert opened["out\x1b"][2, 3] == MATRIX[2, 3]  # The numbers do exist.
    check_refused(lambda: read_arrays(path), "input: 'out\\x1b': ", "in other files", "not read")
    path = place(file(lambda opened: opened.create_virtual_dataset("v", layout)))
    check_refused(lambda: read_arrays(path), "input: 'v': ", "in other files", "not read")


def huge(opened, **options):
    opened.create_dataset("w", (2**20, 2**20), "f8", **options)


def sparse(opened):
    opened.create_dataset("w", (4, 4), "f8", chunks=(2, 2))[:2, :2] = 1


def bomb(opened):
    """A chunk that declares 32 bytes and inflates to 32 MB."""
    dataset = opened.create_dataset("w", (2, 2), "f8", chunks=(2, 2), compression="gzip")
    dataset.id.write_direct_chunk((0, 0), zlib.compress(bytes(2**25)))


def short(opened):
    dataset = opened.create_dataset("w", (2, 2), "f8", chunks=(2, 2), compression="gzip")
    dataset.id.write_direct_chunk((0, 0), b"\x78\x9c\x01", filter_mask=1)


def foreign(opened):
    """A filter that is not built in; libhdf5 looks for it in its plugin folder."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((2, 2))
    plan.set_filter(32000, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((2, 2))
    h5py.h5d.create(opened.id, b"w", h5py.h5t.NATIVE_DOUBLE, space, plan)
    opened["w"][...] = np.eye(2)


def compact(opened):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.COMPACT)
    h5py.h5d.create(opened.id, b"w", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((2, 2)), plan)


def named(length):
    def fill(opened):
        opened["a/w"] = np.eye(2)
        opened["a"].attrs["name"] = np.bytes_(b"n" * length)

    return fill


def configured(config):
    def fill(opened):
        opened["w"] = np.eye(2)
        opened.attrs["model_config"] = config

    return fill


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (huge, ["'w'", "no entries in the file"]),
        (lambda opened: huge(opened, chunks=(2**10, 2**10)), ["'w'", "GRADFLOW_MAX_BYTES"]),
        (lambda opened: huge(opened, chunks=(2, 2), fillvalue=1.0), ["8796093022208 bytes"]),
        (lambda opened: opened.create_dataset("w", (2, 2), "f8"), ["no entries in the file", "h5repack"]),
        (sparse, ["'w'", "1 of its 4 chunks"]),
        (lambda opened: opened.create_dataset("w", (2, 2), "f8", chunks=(2, 2)), ["0 of its 1 chunks"]),
        (bomb, ["'w'", "a chunk of 37 bytes; expected 32"]),
        (short, ["'w'", "a chunk of 3 bytes; expected 32"]),
        (foreign, ["'w'", "filters [32000]", "h5repack"]),
        (compact, ["'w'", "inside its header"]),
        (named(20_000), ["attribute 'name' of 20000 bytes"]),
        (configured("{"), ["configuration is unreadable"]),
        (configured("[" * 20_000), ["configuration is unreadable"]),
        (lambda opened: opened.create_dataset("w", (0, 3), "f8"), ["no entries"]),
        (lambda opened: None, ["no numeric arrays"]),
    ],
)
def test_false_dataset_is_refused(fill, words, place, check_refused, memory_below):
    path = place(file(fill))
    with memory_below(2**20):
        check_refused(lambda: read_array(path), "input: ", *words)


def test_names_may_be_long(place):
    assert read_arrays(place(file(named(9_999))))["a/w"].metadata["named"] == {"a": "n" * 9_999}


@pytest.mark.parametrize("version", [0, 2])
def test_endless_heap_is_refused(version, place, check_refused):
    libver = {0: "earliest", 2: "v108"}[version]
    content = bytearray(file(configured('{"a": 1}'), libver=libver))
    assert content[8] == version
    heap = content.index(b"GCOL")
    index, size = struct.unpack_from("<H6xQ", content, heap + 16)
    assert (index, size) == (1, len('{"a": 1}'))
    for wrong in (0, 8, 2**32, 2**64 - 1):
        struct.pack_into("<H6xQ", content, heap + 16, 0, wrong)
        check_refused(lambda: read_arrays(place(bytes(content))), f"a heap at byte {heap}", "damaged")
    # Many heaps inside one another, each with many steps.
    nested = bytes(content) + (b"GCOL\x01\0\0\0" + struct.pack("<Q", 2**40)) * 5_000
    check_refused(lambda: read_arrays(place(nested)), "a heap at byte")
    content[14 if version == 0 else 10] = 4
    check_refused(lambda: read_arrays(place(bytes(content))), "lengths in 4 bytes")


@pytest.mark.parametrize("cut", [8, 9, 40, 100, 700, -1])
def test_truncated_hdf5_is_refused(cut, place, check_refused):
    check_refused(lambda: read_array(place(weight()[:cut])), "input: ", "damaged")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (keras(b"no file"), ["member model.weights.h5 is not an HDF5 file"]),
        (keras(weight(), b"{"), ["configuration is unreadable"]),
        (keras(weight(), metadata=b"{"), ["unreadable"]),
        (keras(weight(), b"\xff"), ["configuration is unreadable"]),
        (keras(weight(), compression=zipfile.ZIP_BZIP2), ["zip method 12"]),
        (keras(weight() + bytes(2**24), compression=zipfile.ZIP_DEFLATED), ["'model.weights.h5' takes 167"]),
        (keras(weight(), b" " * 2**24, zipfile.ZIP_DEFLATED), ["'config.json' takes 16777216 bytes"]),
    ],
)
def test_false_keras_zip_is_refused(content, words, place, check_refused, monkeypatch, memory_below):
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", "1000000")
    path = place(content)
    with memory_below(2**20):
        check_refused(lambda: read_array(path), "input: ", *words)
