"""CSV, TSV and JSON lines contain one table without empty entries; a matrix can be read again."""

import math

import pytest

COMPLEX = "1+2j 3; 4j -5-1j"
DELIMITERS = {"csv": ",", "tsv": "\t"}
NAMES = {
    "power": ("norms", "eigenvalues", "claim", "power", "vectors", "values", "summary"),
    "compare": ("flow", "cells", "summary"),
}
COMMANDS = {
    "power": (
        "power", "-m", "0.58 0.24; 0.24 0.72",
        "--claim-vectors", "0.8 -0.6; 0.6 0.8", "--claim-values", "0.4 0.9",
    ),
    "compare": ("compare", "rnn", "lstm", "--hidden", 3, "--steps", 6, "--seeds", 2),
}  # fmt: skip
PARTS = [(command, name) for command, names in NAMES.items() for name in names]
POWER = ("--table", "power")


def columns(outcome, delimiter=","):
    header, *rows = outcome.rows(delimiter)
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


@pytest.mark.parametrize("name", DELIMITERS)
@pytest.mark.parametrize(("command", "part"), PARTS)
def test_lines_have_equal_length_and_no_empty_entry(cli, command, part, name):
    outcome = cli(*COMMANDS[command], "--table", part, "-f", name)
    assert outcome.code == 0, outcome.err
    rows = outcome.rows(DELIMITERS[name])
    assert rows
    assert {len(row) for row in rows} == {len(rows[0])}
    assert all(entry.strip() for row in rows for entry in row)


@pytest.mark.parametrize("name", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize(("command", "main"), [("power", "norms"), ("compare", "flow")])
def test_default_is_the_main_table(cli, command, main, name):
    outcome = cli(*COMMANDS[command], "-f", name)
    assert outcome.code == 0
    assert outcome.raw == cli(*COMMANDS[command], "-f", name, "--table", main).raw


@pytest.mark.parametrize(("command", "part"), PARTS)
def test_json_lines_are_the_rows_of_json(cli, command, part):
    lines = cli(*COMMANDS[command], "--table", part, "-f", "jsonl")
    assert lines.code == 0
    whole = cli(*COMMANDS[command], "-f", "json").object
    if part == "summary":
        assert lines.lines == [whole["summary"]]
    elif part in whole["tables"]:
        assert lines.lines == whole["tables"][part]
    else:
        assert lines.lines == whole["matrices"][part]["entries"]


@pytest.mark.parametrize("part", ["norms", "eigenvalues", "summary"])
def test_tsv_has_the_entries_of_csv(cli, part):
    command = (*COMMANDS["power"], "--table", part)
    tsv = cli(*command, "-f", "tsv")
    assert tsv.code == 0, tsv.err
    assert tsv.rows("\t") == cli(*command, "-f", "csv").rows()


def test_summary_is_one_row(cli):
    found = columns(cli(*COMMANDS["power"], "--table", "summary", "-f", "csv"))
    assert (found["size"], found["regime"], found["diagonalizable"]) == (["2"], ["vanishing"], ["true"])
    assert math.isclose(float(found["spectral_radius"][0]), 0.9, rel_tol=1e-14)


def test_exact_zero_is_0_with_logarithm_minus_inf(cli):
    found = columns(cli("power", "-m", "0 1; 0 0", "-n", 3, "-f", "csv"))
    assert found["step"] == ["0", "1", "2", "3"]
    assert found["log10_norm"] == ["0.0", "0.0", "-inf", "-inf"]
    assert found["norm"] == ["1.0", "1.0", "0.0", "0.0"]


def test_overflow_is_inf(cli):
    found = columns(cli("power", "-m", "2", "-n", 5000, "-f", "csv"))
    assert (found["step"][-1], found["norm"][-1]) == ("5000", "inf")
    assert math.isclose(float(found["log10_norm"][-1]), 5000 * math.log10(2), rel_tol=1e-14)


def test_underflow_is_nan_and_not_0(cli):
    found = columns(cli("power", "-m", "0.5", "-n", 5000, "-f", "csv"))
    assert (found["step"][-1], found["norm"][-1]) == ("5000", "nan")
    assert math.isclose(float(found["log10_norm"][-1]), 5000 * math.log10(0.5), rel_tol=1e-14)


def test_missing_value_is_nan(cli):
    found = columns(cli("power", "-m", "0 1; 0 0", "--table", "summary", "-f", "csv"))
    assert found["eigenvector_condition"] == found["eigen_route_error"] == ["nan"]


def test_matrix_has_exact_entries_and_no_header(cli):
    outcome = cli("power", "-m", "0.5 1e-7; -3 4e20", "-n", 1, *POWER, "-f", "csv")
    assert outcome.code == 0
    assert [[float(entry) for entry in row] for row in outcome.rows()] == [[0.5, 1e-7], [-3.0, 4e20]]


@pytest.mark.parametrize("name", DELIMITERS)
def test_complex_entries_have_no_brackets(cli, name):
    outcome = cli("power", "-m", COMPLEX, "-n", 1, *POWER, "-f", name)
    assert outcome.code == 0
    entries = outcome.rows(DELIMITERS[name])
    assert [[complex(entry) for entry in row] for row in entries] == [[1 + 2j, 3], [4j, -5 - 1j]]
    assert not set("() ") & set(outcome.out)


@pytest.mark.parametrize("name", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize(
    "matrix",
    ["0.58 0.24; 0.24 0.72", "0.1", "-0.5 1e-7; 3 4e20", COMPLEX, "0 1j; -1j 0", "1j", "1e-5-2e-5j 0; 0 0.5"],
)
def test_power_can_be_read_again(cli, matrix, name):
    first = cli("power", "-m", matrix, "-n", 1, *POWER, "-f", name)
    assert first.code == 0, first.err
    second = cli("power", "-m", "-", "-n", 1, "-f", "json", stdin=first.raw)
    assert second.code == 0, second.err
    typed = cli("power", "-m", matrix, "-n", 1, "-f", "json")
    assert second.object["matrices"]["power"] == typed.object["matrices"]["power"]


@pytest.mark.parametrize("name", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("part", ["vectors", "values"])
def test_vectors_and_values_can_be_read_again(cli, part, name):
    first = cli("power", "-m", COMPLEX, "--table", part, "-f", name)
    assert first.code == 0, first.err
    second = cli("power", "-m", "-", "-n", 1, "-f", "json", stdin=first.raw)
    assert second.code == 0, second.err
    asked = cli("power", "-m", COMPLEX, "-f", "json").object["matrices"][part]["entries"]
    assert second.object["matrices"]["power"]["entries"] == asked


@pytest.mark.parametrize("matrix", ["0.58 0.24; 0.24 0.72", COMPLEX])
def test_json_can_be_read_again(cli, matrix):
    first = cli("power", "-m", matrix, "-n", 4, "-f", "json")
    second = cli("power", "-m", "-", "--key", "matrices.power", "-n", 1, "-f", "json", stdin=first.raw)
    assert second.code == 0, second.err
    assert second.object["matrices"]["power"] == first.object["matrices"]["power"]


@pytest.mark.parametrize("matrix", ["0.58 0.24; 0.24 0.72", COMPLEX])
def test_pipe_computes_the_power_of_a_power(bash, cli, matrix):
    outcome = bash(
        "set -o pipefail\n"
        f"gradflow power -m '{matrix}' -n 3 --table power -f csv | gradflow power -m - -n 2 -f json"
    )
    assert (outcome.code, outcome.err) == (0, "")
    found = outcome.object["matrices"]["power"]["entries"]
    sixth = cli("power", "-m", matrix, "-n", 6, "-f", "json").object["matrices"]["power"]["entries"]
    for mine, theirs in zip(flat(found), flat(sixth), strict=True):
        assert math.isclose(mine, theirs, rel_tol=1e-12)


def flat(entries):
    parts = [entry.values() if isinstance(entry, dict) else [entry] for row in entries for entry in row]
    return [number for part in parts for number in part]


@pytest.mark.parametrize("name", ["csv", "tsv", "jsonl"])
def test_huge_matrix_exits_1_and_suggests_json(check_refused, name):
    check_refused(1, "power", "-m", "2 0; 0 1", "-n", 5000, *POWER, "-f", name, says=["json"])


@pytest.mark.parametrize("name", ["csv", "tsv", "jsonl", "table", "md"])
def test_omitted_matrix_exits_2_and_names_the_option(check_refused, name):
    check_refused(2, "power", "--random", "ginibre", "--size", 17, *POWER, "-f", name, says=["--entries"])
