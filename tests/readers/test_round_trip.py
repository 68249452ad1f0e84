"""Every reader returns what a real writer wrote, from a file and from a pipe."""

import io
import os
import pickle
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from gradflow import read_array, read_arrays, read_matrix
from gradflow.readers import READERS
from gradflow.registry import lookup

# The formats that are recognized by content.
BY_CONTENT = [kind for kind in READERS if kind != "onnx"]
MATRIX = np.random.default_rng(3).normal(size=(5, 5))
MATRIX[0, :3] = [1e-300, -1e300, 0]


@pytest.fixture(params=READERS)
def kind(request):
    return request.param


def test_every_reader_has_a_writer(writers):
    assert list(writers) == list(READERS)


def test_file_is_read_exactly(kind, writers, place_as):
    found = read_array(place_as(kind, writers[kind](MATRIX)))
    np.testing.assert_array_equal(found, MATRIX)
    assert found.dtype == np.float64


def test_result_is_new_writable_and_in_c_order(kind, writers, place_as):
    path = place_as(kind, writers[kind](np.asfortranarray(MATRIX)))
    first, second = read_array(path), read_array(path)
    assert first.flags.writeable
    assert first.flags.c_contiguous
    assert type(first) is np.ndarray
    first[:] = 7
    np.testing.assert_array_equal(second, MATRIX)
    np.testing.assert_array_equal(read_array(path), MATRIX)


@pytest.mark.parametrize("kind", [kind for kind in READERS if kind != "safetensors"], indirect=True)
def test_complex_entries_are_read_exactly(kind, writers, place_as):
    matrix = MATRIX + 1j * MATRIX[::-1]
    found = read_array(place_as(kind, writers[kind](matrix)))
    assert found.dtype == np.complex128
    np.testing.assert_array_equal(found, matrix)


def test_arrays_can_be_sent_to_a_process(kind, writers, place_as):
    arrays = pickle.loads(pickle.dumps(read_arrays(place_as(kind, writers[kind](MATRIX)))))
    (array,) = (array for array in arrays.values() if array.shape == MATRIX.shape)
    np.testing.assert_array_equal(array.read_numbers(), MATRIX)


@pytest.mark.parametrize("kind", BY_CONTENT, indirect=True)
def test_standard_input_is_read_like_a_file(kind, writers, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(writers[kind](MATRIX))))
    np.testing.assert_array_equal(read_matrix("-"), MATRIX)


@pytest.mark.parametrize("kind", BY_CONTENT, indirect=True)
def test_named_pipe_is_read_like_a_file(kind, writers, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(writers[kind](MATRIX),))
    writer.start()
    np.testing.assert_array_equal(read_array(pipe), MATRIX)
    writer.join()


@pytest.mark.parametrize("kind", BY_CONTENT, indirect=True)
def test_suffix_does_not_matter(kind, writers, place):
    for suffix in (".npy", ".txt", ".gz"):
        np.testing.assert_array_equal(read_array(place(writers[kind](MATRIX), f"w{suffix}")), MATRIX)


def test_part_is_read_by_key(kind, writers, place_as):
    path = place_as(kind, writers[kind](MATRIX))
    (name,) = read_arrays(path)
    np.testing.assert_array_equal(read_array(path, f"{name}[1:3, ::2]"), MATRIX[1:3, ::2])
    np.testing.assert_array_equal(read_array(path, f"{name}[-1]", dimensions=(1,)), MATRIX[-1])


def test_listing_names_shape_and_type(kind, writers, place_as):
    (array,) = read_arrays(place_as(kind, writers[kind](MATRIX))).values()
    assert (array.shape, array.dtype) == ((5, 5), "float64")


def test_only_the_right_reader_recognizes(kind, writers, place_as):
    from gradflow.readers.source import open_source

    source = open_source(place_as(kind, writers[kind](MATRIX)))
    claims = [name for name in READERS if lookup(READERS, name, "reader").recognizes(source)]
    assert claims[0] == kind
    # npz accepts any zip archive, and text accepts all text, so they come after stricter readers.
    assert set(claims) <= {kind, "npz", "text"}


def test_truncated_file_is_refused_in_one_line(kind, writers, place_as, check_refused):
    content = writers[kind](MATRIX)
    check_refused(lambda: read_array(place_as(kind, content[: len(content) * 2 // 3])), "input")


def modules_loaded(path):
    """Return the names of all modules that are loaded once the file has been read."""
    script = (
        "import sys; from gradflow import read_array; "
        "assert read_array(sys.argv[1]).shape == (5, 5); print(*sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, path]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return set(result.stdout.split())


# Reader → the packages that it needs besides numpy.
NEEDED = {"torch": {"zipfile"}, "hdf5": {"h5py"}, "npz": {"zipfile"}, "onnx": {"onnx", "zipfile"}}


def test_only_needed_packages_are_loaded(kind, writers, place_as):
    names = modules_loaded(place_as(kind, writers[kind](MATRIX)))
    assert "numpy" in names
    assert names & {"zipfile", "h5py", "onnx", "scipy", "torch"} == NEEDED.get(kind, set())
