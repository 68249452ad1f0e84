"""The public functions: choice of an array and a part, literals and files, and unreadable input."""

import io
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from gradflow import read_array, read_arrays, read_matrix
from gradflow.errors import UsageError
from gradflow.readers import READERS
from gradflow.readers.source import open_source


@pytest.fixture
def several(tmp_path):
    path = tmp_path / "several.npz"
    cube = np.arange(24.0).reshape(2, 3, 4)
    np.savez(path, **{"weight": np.eye(4), "cube": cube, "h[0]": np.ones((1, 1)), "h": np.zeros((2, 2))})
    return path


def test_several_arrays_are_listed(several, check_refused):
    check_refused(
        lambda: read_array(several),
        "several.npz: holds 4 arrays; choose one with `key=NAME`: 'weight' (4, 4) float64, 'cube' (2, 3, 4)",
    )


def test_long_lists_are_cut(tmp_path, check_refused):
    np.savez(tmp_path / "many.npz", **{f"a{index}": np.eye(2) for index in range(50)})
    message = check_refused(lambda: read_array(tmp_path / "many.npz"), "'a19' (2, 2) float64 and 30 more")
    assert "'a20'" not in message
    check_refused(
        lambda: read_array(tmp_path / "many.npz", "a4_9"),
        "did you mean 'a49'",
        "and 30 more",
        error=UsageError,
    )


@pytest.mark.parametrize(
    ("window", "index"),
    [
        ("[0]", np.s_[0]),
        ("[-1]", np.s_[-1]),
        ("[1, 1:]", np.s_[1, 1:]),
        ("[..., 3]", np.s_[..., 3]),
        ("[0, ...]", np.s_[0, ...]),
        ("[:, ::2, -1]", np.s_[:, ::2, -1]),
        ("[ :,0 , 1 : 4 : 2 ]", np.s_[:, 0, 1:4:2]),
        ("[:, 0, ::-1]", np.s_[:, 0, ::-1]),
        ("[:, 0, 1:100]", np.s_[:, 0, 1:100]),
        ("[...]", np.s_[...]),
        ("[0, 1, 2]", np.s_[0, 1, 2]),
    ],
)
def test_part_is_what_numpy_selects(window, index, several):
    expected = np.arange(24.0).reshape(2, 3, 4)[index]
    found = read_array(several, "cube" + window, dimensions=range(4))
    np.testing.assert_array_equal(found, expected)
    assert found.flags.writeable
    assert found.flags.c_contiguous


def test_exact_name_wins_over_a_part(several):
    np.testing.assert_array_equal(read_array(several, "h[0]"), [[1]])
    np.testing.assert_array_equal(read_array(several, "h[0][0, 0]", dimensions=(0,)), 1)
    np.testing.assert_array_equal(read_array(several, "h[0:1]"), [[0, 0]])


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("weigth", ["unknown array 'weigth'", "did you mean 'weight'", "Valid: weight, cube"]),
        ("cub[0]", ["unknown array 'cub[0]'"]),
        ("weight[0][1]", ["unknown array"]),
        ("", ["unknown array ''"]),
        ("\x1b[2J", ["unknown array '\\x1b[2J'"]),
        ("x" * 5000, ["unknown array"]),
        ("weight[0", ["'weight[0'", "(4, 4)", "closing ]"]),
        ("weight[4]", ["(4, 4)", "index 4", "axis 0 takes -4 to 3"]),
        ("weight[:, -5]", ["index -5", "axis 1 takes -4 to 3"]),
        ("cube[..., 4]", ["index 4", "axis 2 takes -4 to 3"]),
        ("weight[0, 0, 0]", ["at most 2 indices"]),
        ("weight[..., ...]", ["one '...'"]),
        ("weight[]", ["'' is not an index"]),
        ("weight[0,]", ["'' is not an index"]),
        ("weight[a]", ["'a' is not an index"]),
        ("weight[1.0]", ["'1.0' is not an index"]),
        ("weight[1:2:3:4]", ["'1:2:3:4' is not an index"]),
        ("weight[::0]", ["step of a slice cannot be 0"]),
        ("weight[__import__('os')]", ["is not an index"]),
        ("weight[9999999999999999999]", ["is not an index"]),
        ("weight[１]", ["is not an index"]),
    ],
)
def test_bad_key_is_a_usage_error(key, words, several, check_refused):
    check_refused(lambda: read_array(several, key), "several.npz: ", *words, error=UsageError)


def test_parts_that_cannot_be_used(several, check_refused):
    check_refused(lambda: read_array(several, "weight[5:]"), "'weight[5:]'", "shape (0, 4)", "no entries")
    check_refused(lambda: read_array(several, "weight[0]"), "'weight[0]'", "expected 2 dimensions, not 1")
    check_refused(
        lambda: read_array(several, "cube"),
        "shape (2, 3, 4)",
        "expected 2 dimensions, not 3",
        "`key='cube[0]'`",
    )
    check_refused(lambda: read_array(several, "cube", dimensions=(1, 2)), "expected 1 or 2")


def test_wrong_entry_is_named_with_its_part(tmp_path, check_refused):
    matrix = np.zeros((4, 4))
    matrix[2, 3] = np.inf
    np.savez(tmp_path / "w.npz", w=matrix)
    check_refused(lambda: read_array(tmp_path / "w.npz"), "entry (2, 3) (counted from 0) of 'w' is inf")
    check_refused(
        lambda: read_array(tmp_path / "w.npz", "w[2:]"), "entry (0, 3) (counted from 0) of 'w[2:]' is inf"
    )
    np.testing.assert_array_equal(read_array(tmp_path / "w.npz", "w[:2]"), np.zeros((2, 4)))


def test_literal_is_read_as_text_and_as_json():
    for text in ("1 2; 3 4", "1, 2\n3, 4", "[[1, 2], [3, 4]]", " [[1,2],[3,4]] "):
        np.testing.assert_array_equal(read_matrix(text), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(read_matrix("1+2j"), [[1 + 2j]])
    np.testing.assert_array_equal(read_matrix("1 2; 3 4", "array[:1]"), [[1, 2]])


def test_literal_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "5").write_text("1 2; 3 4")
    np.testing.assert_array_equal(read_matrix("5"), [[5]])
    np.testing.assert_array_equal(read_matrix("./5"), [[1, 2], [3, 4]])


def test_file_is_read_with_its_key(several):
    np.testing.assert_array_equal(read_matrix(str(several), "weight"), np.eye(4))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nowhere.npy", ["nowhere.npy: no such file", "or a literal such as"]),
        ("5 W.npy", ["as a file: 5 W.npy: no such file", "as a literal: line 1, character 3: 'W.npy'"]),
        ("0.5,O.5", ["as a file: 0.5,O.5: no such file", "as a literal: line 1, character 5: 'O.5'"]),
        ("", ["''", "expected a file"]),
        ("a\0b", ["'a\\x00b'", "null character"]),
        ("x" * 5000, ["File name too long", "or a literal such as"]),
        ("\udcff.npy", ["'\\udcff.npy'", "no such file"]),
    ],
)
def test_neither_literal_nor_file_says_why(text, words, check_refused):
    check_refused(lambda: read_matrix(text), *words)


@pytest.mark.parametrize("text", ["[1, 2]", "1 2", "[[1, 2]]"])
def test_one_row_is_a_matrix_in_json_as_in_text(text):
    np.testing.assert_array_equal(read_matrix(text), [[1, 2]])


def test_literal_that_parses_is_refused_as_such(check_refused):
    check_refused(lambda: read_matrix("[[[1]]]"), "'[[[1]]]': ", "dimensions, not 3")
    check_refused(lambda: read_matrix("[[1, NaN]]"), "'[[1, NaN]]': ", "entry (0, 1)")


def test_places_that_cannot_be_read(tmp_path, place, check_refused):
    check_refused(lambda: read_arrays(tmp_path / "none"), "none: no such file")
    check_refused(lambda: read_arrays("x" * 5000), "File name too long")
    check_refused(lambda: read_arrays("x\0y"), "null character")
    check_refused(lambda: read_arrays(tmp_path), "is a directory")
    check_refused(lambda: read_arrays(place(b"", "hollow")), "hollow: is empty")
    check_refused(lambda: read_arrays(place(b"1", "file") / "inside"), "Not a directory")
    check_refused(lambda: read_arrays(tmp_path / "new\nline"), "new\\nline", "no such file")


def test_unreadable_file_is_refused(place, check_refused, monkeypatch):
    def forbidden(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", forbidden)
    check_refused(lambda: read_arrays(place(b"1", "secret")), "secret: could not be read: Permission denied")


def test_lack_of_memory_is_refused(place, check_refused, monkeypatch):
    def exhausted(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("gradflow.readers.text.parse_text", exhausted)
    check_refused(lambda: read_array(place("1 2")), "input: does not fit in this machine's memory")


def test_standard_input_that_is_empty_or_closed(monkeypatch, check_refused):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    check_refused(lambda: read_matrix("-"), "standard input: is empty")
    monkeypatch.setattr(sys, "stdin", None)
    check_refused(lambda: read_matrix("-"), "standard input: is closed")


def test_endless_pipe_is_refused(monkeypatch, check_refused):
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", "5000000")
    check_refused(
        lambda: read_arrays("/dev/zero"), "/dev/zero: the content of the pipe", "GRADFLOW_MAX_BYTES"
    )


@pytest.mark.parametrize("limit", ["4 GB", "-1", "1e9", "9" * 30])
def test_limit_must_be_a_number(limit, place, monkeypatch, check_refused):
    monkeypatch.setenv("GRADFLOW_MAX_BYTES", limit)
    check_refused(lambda: read_array(place("1 2")), "GRADFLOW_MAX_BYTES", "expected", error=UsageError)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"MATLAB 7.3 MAT-file, \0", ["-v7"]),
        (b"\x80\x02}q\x00.", ["no array of numbers", "nothing in it is run"]),
        (b"\x80\x02cm\nC\n.", ["no array of numbers", "(m.C)"]),
        (b"\x80\x05\x95", ["damaged"]),
        (b"\x1f\x8b\x08\x00", ["gzip"]),
        (b"\x00\x00\x00\x00binary", ["not a text file", f"gradflow reads: {', '.join(READERS)}"]),
    ],
)
def test_containers_known_but_not_read(content, words, place, check_refused):
    check_refused(lambda: read_arrays(place(content)), "input: ", *words)


def test_source_names_are_one_line(place):
    assert open_source(place(b"1", "a\nb")).name.endswith("a\\nb'")
    assert os.sep in open_source(place(b"1")).name
