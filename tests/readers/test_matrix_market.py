"""Matrix Market: every format that scipy writes, and hostile files."""

import io

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from gradflow import read_array, read_arrays

ARRAY = "%%MatrixMarket matrix array real general\n"
COORDINATE = "%%MatrixMarket matrix coordinate real general\n"

SYMMETRIC = np.array([[1.0, 2, 0], [2, -3, 4.5], [0, 4.5, 0]])
SKEW = np.array([[0.0, -2, 0], [2, 0, 4.5], [0, -4.5, 0]])
HERMITIAN = np.array([[1, 2 - 1j, 0], [2 + 1j, 3, 1j], [0, -1j, 0]])
GENERAL = np.array([[0.0, 1, 2], [0, 0, 1e-300]])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("matrix", "options"),
    [
        (GENERAL, {}),
        (GENERAL * (1 + 2j), {}),
        (GENERAL.astype(int), {}),
        (SYMMETRIC, {"symmetry": "symmetric"}),
        (SKEW, {"symmetry": "skew-symmetric"}),
        (HERMITIAN, {"symmetry": "hermitian"}),
        (SYMMETRIC * 1j, {"symmetry": "symmetric"}),
    ],
)
def test_every_layout_agrees_with_its_writer(matrix, options, sparse, place):
    stream = io.BytesIO()
    content = scipy.sparse.coo_array(matrix) if sparse else matrix
    scipy.io.mmwrite(stream, content, comment="two\nlines", precision=17, **options)
    assert options.get("symmetry", "general").encode() in stream.getvalue()
    found = read_array(place(stream.getvalue()))
    np.testing.assert_array_equal(found, matrix)


def test_pattern_and_repeated_coordinates(place):
    pattern = "%%MatrixMarket matrix coordinate pattern general\n2 2 2\n1 2\n2 1\n"
    np.testing.assert_array_equal(read_array(place(pattern)), [[0, 1], [1, 0]])
    repeated = COORDINATE + "% twice\n\n2 2 3\n1 1 5\n1 1 6\n2 1 -1\n"
    np.testing.assert_array_equal(read_array(place(repeated)), [[11, 0], [-1, 0]])


def test_banner_and_line_ends_may_vary(place):
    text = "%%matrixmarket MATRIX Array Double General\r\n1 2\r\n3\r\n4\r\n"
    np.testing.assert_array_equal(read_array(place(text)), [[3, 4]])


def test_sizes_are_listed_before_reading(place):
    (array,) = read_arrays(place(COORDINATE + "100000 100000 1\n1 1 x\n")).values()
    assert (array.shape, array.dtype) == ((100000, 100000), "float64")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (COORDINATE + "100000 100000 1\n1 1 5\n", ["80000000000 bytes", "GRADFLOW_MAX_BYTES"]),
        (COORDINATE + "2 2 1000000000000\n1 1 5\n", ["declares 1000000000000", "1 lines follow"]),
        (ARRAY + "1000000 1000000\n1\n", ["declares 1000000000000", "1 lines follow"]),
        (ARRAY + "2 1\n1\n2\n3\n", ["declares 2", "3 lines follow"]),
        (ARRAY + "999999999999999999 999999999999999999\n", ["impossible shape"]),
        (ARRAY + "99999999999999999999 2\n1", ["line 2", "expected 2 sizes"]),
        (ARRAY + "-2 2\n1", ["line 2", "expected 2 sizes"]),
        (ARRAY + "2\n1", ["line 2", "expected 2 sizes"]),
        (COORDINATE + "2 2\n1", ["line 2", "expected 3 sizes"]),
        (ARRAY, ["ends before its sizes"]),
        (ARRAY + "0 0\n", ["no entries"]),
        (ARRAY + "1 1\n1 junk\n", ["line 3", "expected 0 indices and 1 numbers"]),
        (ARRAY + "1 1\n1,5\n", ["line 3", "'1,5' is not a number"]),
        (ARRAY + "1 1\n1_0\n", ["line 3", "'1_0' is not a number"]),
        (ARRAY + "1 1\n1e400\n", ["line 3", "beyond float64's range"]),
        (ARRAY + "1 1\n1e-400\n", ["line 3", "not zero"]),
        (ARRAY + "1 1\nnan\n", ["line 3", "not finite"]),
        (COORDINATE + "2 2 1\n3 1 5\n", ["line 3", "index '3'", "1 to 2"]),
        (COORDINATE + "2 2 1\n1 0 5\n", ["line 3", "index '0'", "1 to 2"]),
        (COORDINATE + "2 2 1\n1.0 1 5\n", ["line 3", "index '1.0'"]),
        (COORDINATE.replace("general", "symmetric") + "2 2 1\n1 2 5\n", ["line 3", "not below the diagonal"]),
        (COORDINATE.replace("general", "skew-symmetric") + "2 2 1\n1 1 5\n", ["line 3", "not below"]),
        (COORDINATE.replace("general", "symmetric") + "2 3 1\n2 1 5\n", ["shape (2, 3)", "square"]),
        (ARRAY.replace("real", "pattern") + "1 1\n", ["banner", "pattern in coordinates only"]),
        (ARRAY.replace("real", "quaternion") + "1 1\n1\n", ["banner", "real"]),
        ("%%MatrixMarket vector array real general\n1\n1\n", ["banner", "matrix"]),
        ("%%MatrixMarket", ["banner"]),
        (ARRAY.encode() + b"1 1\n\xff\n", ["not a text file"]),
    ],
)
def test_hostile_file_is_refused(text, words, place, check_refused):
    check_refused(lambda: read_array(place(text)), "input: ", *words)
