"""Text: every way to write [[1, 2], [3, 4]], and text that is ambiguous or wrong."""

import codecs

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradflow import read_array, read_matrix
from gradflow.errors import DataError
from gradflow.readers import READERS


@pytest.mark.parametrize(
    "text",
    [
        "1 2\n3 4",
        "1 2; 3 4",
        "1 2;3 4;",
        "1,2;3,4",
        "1, 2\n3, 4\n",
        "1\t2\n3\t4",
        "  1   2\t\n\n 3 4 \n\n",
        "1 2\r\n3 4\r\n",
        "1 2\r3 4",
        "1;2\n3;4",
        "1;2;\n3;4;\n",
        "1 ; 2\n3 ; 4",
        "1 2;\n3 4;",
        "1 2;\n3 4",
        "1, 2;\n3, 4;",
        "+1 2.\n3e0 .4E1",
        "# a comment; 9 9\n1 2 # 9\n%9\n3,4 % 9\n",
        "1 2;% the first row\n3 4",
        "a b\n1 2\n3 4",
        "i,f\n1,2\n3,4",
        '"gate i";"gate f"\n1;2\n3;4',
        "# header follows\nh0\th1\n1\t2\n3\t4",
    ],
)
def test_ways_to_write_a_matrix(text):
    np.testing.assert_array_equal(read_matrix(text), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("text", "matrix"),
    [
        ("0.9", [[0.9]]),
        ("1 2 3", [[1, 2, 3]]),
        ("1;2;3", [[1], [2], [3]]),
        ("1\n2\n3", [[1], [2], [3]]),
        ("1;\n2;\n3;", [[1], [2], [3]]),
        ("0 -0.0\n0e5 0.000e+00", [[0, 0], [0, 0]]),
        ("0,58;0,24", [[0, 58], [0, 24]]),
        ("1,2,3;4,5,6\n7,8,9;1,2,3", [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 2, 3]]),
    ],
)
def test_shapes(text, matrix):
    np.testing.assert_array_equal(read_matrix(text), matrix)


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("1+2j", 1 + 2j),
        ("1-2i", 1 - 2j),
        ("(1+2j)", 1 + 2j),
        ("12j", 12j),
        ("-1e-3I", -1e-3j),
        ("1e+5+2.5e-3J", 1e5 + 2.5e-3j),
        ("(3)", 3),
    ],
)
def test_complex_entries(token, value):
    np.testing.assert_array_equal(read_matrix(f"{token} 1; 0 {token}"), [[value, 1], [0, value]])


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE)],
)
def test_byte_order_marks(encoding, mark, place):
    path = place(mark + "größe λ\r\n1 2\r\n3 4\r\n".encode(encoding))
    np.testing.assert_array_equal(read_array(path), [[1, 2], [3, 4]])


def test_head_may_end_inside_a_character(place):
    path = place("#" + "λ" * 20000 + "\n1 2\n")
    np.testing.assert_array_equal(read_array(path), [[1, 2]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2; 3", ["row 2 (line 1)", "expected 2", "got 1"]),
        ("# c\n1 2\n\n3 4 5", ["row 2 (line 4)", "expected 2", "got 3"]),
        ("1 2;;3 4", ["row 2", "got 0"]),
        (";1 2", ["row 1", "got 0"]),
        ("1 2\n3 abc\n", ["line 2, character 3", "'abc' is not a number"]),
        ("1 2; 3 x", ["line 1, character 8", "'x'"]),
        ("1,2\n3, y", ["line 2, character 4", "'y'"]),
        ("1 " + "z" * 5000, ["character 3", "zzz...'"]),
        ("1 \x1b[2Jq\n", ["'\\x1b[2Jq'"]),
        ("1.0 O.5\n2 3", ["line 1, character 5", "'O.5'"]),
        ("a b\nc d\n1 2", ["line 2, character 1", "'c'"]),
        ("a b", ["line 1, character 1", "'a'"]),
        ("1 nan\n", ["line 1, character 3", "'nan'", "not finite"]),
        ("1 2\n-Inf 3", ["line 2, character 1", "'-Inf'", "not finite"]),
        ("1 1+nanj", ["'+nan'", "not finite"]),
        ("1 1e400", ["'1e400'", "beyond float64's range"]),
        ("1 -1e400", ["'-1e400'", "beyond float64's range"]),
        ("1 1+1e400j", ["'+1e400'", "beyond float64's range"]),
        ("1 1e-400", ["'1e-400'", "not zero"]),
        ("1 0.0001e-330", ["not zero"]),
        ("1,,2", ["line 1, character 3", "missing"]),
        ("1,2,\n3,4,", ["line 1, character 5", "missing"]),
        ("1;;2\n3;4;5", ["line 1, character 3", "missing"]),
        (",1\n2,3", ["line 1, character 1", "missing"]),
        ("0,58;0,24\n0,24;0,72", ["line 1", "','", "';'"]),
        ("a;b\n0,58;0,24", ["line 2", "','", "';'"]),
        ("1 2\n0,58 0,24", ["line 2, character 3", "a blank separates entries here"]),
        ("0,58\t0,24", ["line 1", "a blank separates entries"]),
        ("1;2\n3 4", ["row 3 (line 2)"]),
        ("1_000 2", ["'1_000'"]),
        ("１ 2", ["'１'"]),
        ("50% 2", ["'50%'"]),
        ("1 2#c", ["'2#c'"]),
        ("1.5D+03 2", ["'1.5D+03'"]),
        ("0x10 2", ["'0x10'"]),
        ("1 i", ["'i'"]),
        ("1+2 3", ["'1+2'"]),
        ("(1, 2) 3", ["'(1'"]),
        ("# nothing\n", ["holds no numbers"]),
        (" \n", ["holds no numbers"]),
    ],
)
def test_refusals_say_where(text, words, place, check_refused):
    check_refused(lambda: read_array(place(text)), "input: ", *words)


@pytest.mark.parametrize(
    "content",
    [
        b"1 2\n\xff\xfe\xfd",
        b"1 2\x003",
        b"\x00\x01\x02",
        bytes(range(256)),
        "1 2".encode("utf-32-le"),
        b"\xff\xfe1",
    ],
)
def test_binary_file_is_told_the_formats(content, place, check_refused):
    check_refused(lambda: read_array(place(content)), "not a text file", ", ".join(READERS))


def test_bad_byte_beyond_the_head_is_refused(place, check_refused):
    check_refused(
        lambda: read_array(place(b"1 2\n" * 10000 + b"\0")), "not a text file", "character 40000 is null"
    )
    check_refused(lambda: read_array(place(b"1 2\n" * 10000 + b"\xff")), "not a text file", "byte 40000")


# Neither the machine's load nor its disk may decide whether a test passes.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@untimed
@given(
    st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1)
)
def test_shortest_form_of_a_float_is_exact(rows):
    text = "\n".join(",".join(map(repr, row)) for row in rows)
    np.testing.assert_array_equal(read_matrix(text), rows)


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    return tmp_path_factory.mktemp("typed") / "input"


@untimed
@given(text=st.text(alphabet="0123456789.,;+-eEij()nafx#% \t\n", max_size=40))
def test_any_text_gives_a_matrix_or_an_error(text, typed):
    typed.write_text(text)
    try:
        matrix, message = read_array(typed), ""
    except DataError as error:
        matrix, message = np.ones((1, 1)), str(error)
    assert message.isprintable()
    assert matrix.ndim == 2
    assert np.isfinite(matrix).all()
