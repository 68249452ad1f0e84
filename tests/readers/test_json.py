"""JSON: arrays by dotted path, gradflow's own results, and refusals."""

import json

import numpy as np
import pytest

from gradflow import read_array, read_arrays
from gradflow.errors import UsageError

RESULT = {
    "schema": "gradflow.power/1",
    "params": {"n": 3, "seed": 0},
    "summary": {"norm": 1.5, "regime": "stable"},
    "tables": {"powers": [{"n": 1, "norm": 0.5}, {"n": 2, "norm": 0.2}]},
    "matrices": {"power": {"entries": [[1.0, 2.0], [3.0, 4.0]], "exponent2": 0}},
    "notes": [],
}


def with_exponent(exponent, entries=((1.0, 2.0), (3.0, 4.0))):
    return json.dumps({**RESULT, "matrices": {"power": {"entries": entries, "exponent2": exponent}}})


@pytest.mark.parametrize(
    "text",
    [
        "[[1, 2], [3, 4]]",
        " \n[[1,2],\n[3,4]]\n",
        "[1, 2]\n[3, 4]\n",
        "[1,2]\r\n\r\n  [3,4]",
        '{"w": [[1, 2.0], [3, 4]]}',
        '{"a": {"b": [[1, 2], [3, 4]]}, "c": "text", "d": ["x"], "e": [], "f": null, "g": 1, "h": [[]]}',
        "\ufeff[[1, 2], [3, 4]]",
    ],
)
def test_ways_to_write_a_matrix(text, place):
    np.testing.assert_array_equal(read_array(place(text)), [[1, 2], [3, 4]])


def test_complex_numbers(place):
    path = place('[[{"re": 1, "im": 2}, 3], [4, {"im": -1, "re": 0}]]')
    np.testing.assert_array_equal(read_array(path), [[1 + 2j, 3], [4, -1j]])
    np.testing.assert_array_equal(read_array(place('{"re": 1, "im": 2}')), [[1 + 2j]])


def test_arrays_are_named_by_dotted_path(place):
    arrays = read_arrays(place('{"a": {"b": [1, 2], "c": {"d": [[[1]]]}}, "e": [[1]], "f": [[1], [2, 3]]}'))
    assert {name: array.shape for name, array in arrays.items()} == {
        "a.b": (2,),
        "a.c.d": (1, 1, 1),
        "e": (1, 1),
        "f": (2,),
    }


def test_own_result_needs_no_key(place):
    path = place(json.dumps(RESULT))
    for key in (None, "matrices.power", "matrices.power.entries"):
        np.testing.assert_array_equal(read_array(path, key), [[1, 2], [3, 4]])


@pytest.mark.parametrize("exponent", [-1060, -3, 5, 1000])
def test_exponent_of_a_result_is_applied(exponent, place, check_refused):
    path = place(with_exponent(exponent))
    np.testing.assert_array_equal(read_array(path), np.ldexp([[1.0, 2.0], [3.0, 4.0]], exponent))
    # The entries alone would be wrong by a power of two.
    check_refused(
        lambda: read_array(path, "matrices.power.entries"), "did you mean 'matrices.power'", error=UsageError
    )


def test_exponent_applies_to_complex_entries(place):
    path = place(with_exponent(3, [[{"re": 1, "im": -2}]]))
    np.testing.assert_array_equal(read_array(path), [[8 - 16j]])


@pytest.mark.parametrize("exponent", [1024, -1080, 10**9, -(10**9), 1e300])
def test_exponent_beyond_float64_is_refused(exponent, place, check_refused):
    check_refused(
        lambda: read_array(place(with_exponent(exponent))), "matrices.power", "beyond float64's range"
    )


def test_exponent_must_not_lose_digits(place, check_refused):
    check_refused(lambda: read_array(place(with_exponent(-1060, [[1 / 3]]))), "beyond float64's range")


@pytest.mark.parametrize("exponent", [0.5, "3", None, {}, [1]])
def test_exponent_must_be_whole(exponent, place, check_refused):
    check_refused(lambda: read_array(place(with_exponent(exponent))), "exponent2", "whole number")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[1, NaN]]", ["entry (0, 1) (counted from 0)", "'NaN'", "not finite"]),
        ("[[1], [-Infinity]]", ["entry (1, 0)", "'-Infinity'", "not finite"]),
        ("[[1, 1e400]]", ["entry (0, 1)", "'1e400'", "beyond float64's range"]),
        ("[[1, 1e-400]]", ["entry (0, 1)", "not zero"]),
        (f"[[1, 1{'0' * 6000}]]", ["entry (0, 1)", "beyond float64's range"]),
        ('[[1, {"re": 1, "im": 1e999}]]', ["entry (0, 1)", "'1e999'"]),
        ('[[1, {"re": 1, "im": "x"}]]', ["entry (0, 1)", "not a number"]),
        ('[[1, "2"]]', ["entry (0, 1)", "2", "not a number"]),
        ("[[1, null]]", ["entry (0, 1)", "'null' is not a number"]),
        ("[[1, true]]", ["entry (0, 1)", "'true' is not a number"]),
        ("[[1, {}]]", ["entry (0, 1)", "object or list is not a number"]),
        ("[[1, 2], [3]]", ["row (1,)", "a list of 1", "a list of 2"]),
        ("[[1, 2], 3]", ["row (1,)", "a single value", "a list of 2"]),
        ("[1, [2, 3]]", ["row (1,)", "a list of 2", "a single value"]),
        ("[[[1]], [[1, 2]]]", ["row (1, 0)", "a list of 2"]),
        ("[1, 2]\n[3]\n", ["row (1,)", "a list of 1"]),
        ("[1 2; 3 4]", ["line 1, character 4", "[[1, 2], [3, 4]]"]),
        ("[[1, 2],\n [3, ", ["not JSON at line 2"]),
        ("[[1]] [[2]]", ["line 1, character 7", "more than one value"]),
        ('{"a": 1}\n{"a": 2}', ["line 2, character 1", "more than one value"]),
        ('{"a": [[1]], "a": [[2]]}', ["two members named 'a'"]),
        ('{"a.b": [[1]], "a": {"b": [[2]]}}', ["two arrays named 'a.b'"]),
        ("[" * 100_000, ["nested too deep"]),
        ("[" * 400 + "1" + "]" * 400, ["nested deeper than 32"]),
        ('{"a":' * 100_000, ["nested too deep"]),
        ("[]", ["no numeric arrays"]),
        ('{"a": "b"}', ["no numeric arrays"]),
        ("[[[1, 2]]]", ["expected 2 dimensions, not 3"]),
    ],
)
def test_refusals_say_where(text, words, place, check_refused):
    check_refused(lambda: read_array(place(text)), "input: ", *words)


def test_unreadable_array_spoils_no_other(place, check_refused):
    path = place('{"good": [[1]], "nan": [[NaN]], "ragged": [[1], [2, 3]]}')
    np.testing.assert_array_equal(read_array(path, "good"), [[1]])
    check_refused(lambda: read_array(path, "nan"), "input: 'nan'", "entry (0, 0)")
    check_refused(lambda: read_array(path, "ragged"), "input: 'ragged'", "row (1,)")
