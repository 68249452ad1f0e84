"""A call that cannot be read is answered with what to write instead."""

import pytest

# a command line, and what its message says to write
ADVICE = {
    "option of a cell": (("compare", "--layers", 2), ["--layers", "rnn:layers=2"]),
    "option of the cell that is there": (("compare", "gru", "--layers=2"), ["gru:layers=2"]),
    "option after others": (("compare", "rnn:gain=2", "--layers", 2), ["rnn:gain=2,layers=2"]),
    "option of another cell": (("compare", "gru", "--forget-bias", 2), ["lstm:forget_bias=2"]),
    "option of a cell without a value": (("bptt", "lstm", "--peephole"), ["lstm:peephole=VALUE"]),
    "colon": (("compare", "lstm", "forget_bias=2"), ["'forget_bias=2'", "colon", "lstm:forget_bias=2"]),
    "colon, several cells": (("compare", "lstm", "layers=2"), ["NAME:layers=2", "rnn, lstm, gru"]),
    "colon, one cell": (("lyapunov", "lstm", "forget-bias=2"), ["lstm:forget_bias=2"]),
    "minus": (("power", "-0.9"), ["-m"]),
    "quotes": (("power", "0.5", "0.2"), ["quotes"]),
    "both files": (("convert",), ["missing FILE (a checkpoint", "and NEW (the new file"]),
    "new file": (("convert", "model.pt"), ["missing NEW (the new file: .safetensors, .npz or .weights.h5)"]),
    "matrix twice": (("power", "0.9", "-m", "0.8"), ["twice", "'0.9'"]),
    "rows twice": (("power", "0.9", "--all-rows", "--rows", 3), ["--all-rows", "--rows 3"]),
    "no name": (("power", "0.9", "-o", ""), ["-o is empty", "- for stdout"]),
    "label of a table": (("power", "0.9", "--label", "a"), ["--label", "--plot FILE or --chart"]),
    "bounds of a table": (("power", "0.9", "--bounds"), ["--bounds", "--plot FILE or --chart"]),
    "labels of no curves": (("power", "0.9", "--chart", "--label", "a"), ["no curves with names"]),
    "picture of numbers": (
        ("power", "0.9", "--plot", "x.png", "--table", "summary"),
        ["no picture", "norms"],
    ),
}


@pytest.mark.parametrize("case", ADVICE)
def test_message_says_what_to_write(check_refused, case):
    arguments, says = ADVICE[case]
    check_refused(2, *arguments, says=says)


def test_hyphens_in_options_of_cells_are_underscores(cli):
    options = ("--hidden", 3, "--steps", 4, "--seeds", 1, "--table", "flow", "-f", "jsonl")
    hyphen, underscore = (cli("compare", f"lstm:forget{sign}bias=2", *options).lines for sign in "-_")
    assert [row["log10_norm"] for row in hyphen] == [row["log10_norm"] for row in underscore]


def test_power_takes_its_matrix_in_both_ways(cli, tmp_path):
    path = tmp_path / "w.txt"
    path.write_text("0.5 1\n0 0.5\n")
    asked = ("-n", 3, "--table", "power", "-f", "csv")
    results = [cli("power", *matrix, *asked) for matrix in ((path,), ("-m", path), ("0.5 1; 0 0.5",))]
    assert [outcome.rows() for outcome in results] == [[["0.125", "0.75"], ["0.0", "0.125"]]] * 3
    assert cli("power", "-", *asked, stdin=path.read_bytes()).rows() == results[0].rows()


@pytest.mark.parametrize("options", [("--table", "nothing"), ("--table", "summary", "--plot", "x.png")])
def test_nothing_is_written_before_a_table_is_refused(check_refused, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    small = ("--hidden", 2, "--horizon", 3, "--seeds", 1)
    check_refused(2, "init", "lstm", *small, "-o", "w.npz", *options)
    check_refused(2, "convert", "nowhere.npz", "w.npz", *options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", [40, 80])
def test_message_on_a_terminal_is_wrapped_at_words(terminal, process, columns):
    command = ("compare", "lsmt")
    line = process(*command).err
    outcome = terminal(*command, columns=columns, on=("stderr",))
    rows = outcome.err.splitlines()
    assert outcome.code == 2
    assert all(len(row) <= columns for row in rows)
    assert " ".join(row.strip() for row in rows) == line.strip()
