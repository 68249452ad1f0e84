"""A table fits the screen, the pipe and the encoding, and no number is cut."""

import re
import unicodedata

import pytest

from gradflow.render.text.sparkline import SPARK_LETTERS

POWER = ("power", "-m", "0.58 0.24; 0.24 0.72")
COMPLEX = ("power", "-m", "0.1+2j 3; 4j -5-1j")
COMPARE = ("compare", "rnn", "lstm", "--hidden", 3, "--steps", 40, "--seeds", 2)
LONG = (
    "compare", "rnn:activation=relu,gain=1.1,init=orthogonal", "lstm:forget_bias=1", "--hidden", 3,
    "--steps", 5, "--seeds", 2,
)  # fmt: skip
LARGE = ("power", "--random", "ginibre", "--size", 16)
COMMANDS = {"power": POWER, "complex": COMPLEX, "compare": COMPARE, "long": LONG, "large": LARGE}
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?j?|inf|nan)(?:[+-]\d+\.?\d*(?:e[+-]?\d+)?j)?")
COLUMNS = [40, 60, 80, 120, 200]
ASCII_ALSO = ["ascii", "latin-1", "cp1252", "cp437", "utf-8"]


def widest(text):
    def width(line):
        wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in line)
        return len(line) + wide - sum(bool(unicodedata.combining(letter)) for letter in line)

    return max(width(line) for line in text.splitlines())


def numbers(text):
    """Return the words of a text that are numbers."""
    return {word for word in text.split() if NUMBER.fullmatch(word)}


def main_table(text):
    """Return the main table: what is below the first frame."""
    return text.partition("╯\n")[2]


def flat(text):
    """Return a text on one line."""
    return " ".join(text.split())


def remarks(text):
    """Return the remarks on columns that do not fit."""
    return "\n".join(
        re.findall(r"(?:too wide for|\d+ of \d+ columns).*?(?=\n\n|\Z|\nmore:)", text, re.DOTALL)
    )


@pytest.fixture
def screen(cli, monkeypatch):
    """Return a function that runs a command line with COLUMNS set."""

    def screen(*arguments, columns):
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", str(columns))
            return cli(*arguments)

    return screen


@pytest.mark.parametrize(
    ("command", "columns"), [("power", 40), ("compare", 40), ("power", 80), ("compare", 200)]
)
def test_table_fits_the_terminal(terminal, cli, command, columns):
    outcome = terminal(*COMMANDS[command], columns=columns, env={"NO_COLOR": "1"})
    assert (outcome.code, outcome.err) == (0, "")
    assert widest(outcome.out) <= columns
    main = main_table(cli(*COMMANDS[command]).out)
    assert numbers(main)
    assert numbers(main) <= numbers(outcome.out) <= numbers(cli(*COMMANDS[command]).out)


@pytest.mark.parametrize("command", COMMANDS)
def test_table_fits_columns_and_no_number_is_cut(screen, cli, remembered, command):
    for details in ((), ("--details",)):
        wide = cli(*COMMANDS[command], *details)
        for columns in COLUMNS:
            outcome = screen(*COMMANDS[command], *details, columns=columns)
            assert (outcome.code, outcome.err) == (0, "")
            assert widest(outcome.out) <= columns
            assert numbers(outcome.out) - numbers(remarks(outcome.out)) <= numbers(wide.out)
            assert "…" not in outcome.out.replace("0…n", "")


@pytest.mark.parametrize(
    ("command", "part"),
    [
        *(("power", part) for part in ("norms", "eigenvalues", "summary", "power", "vectors")),
        *(("large", part) for part in ("norms", "eigenvalues", "summary")),
        *(("compare", part) for part in ("flow", "cells", "summary")),
    ],
)
def test_narrow_table_has_every_number_or_names_what_does_not_fit(screen, cli, remembered, command, part):
    arguments = (*COMMANDS[command], "--table", part)
    wide = cli(*arguments)
    for columns in COLUMNS:
        outcome = screen(*arguments, columns=columns)
        assert outcome.code == 0
        if part == "summary":  # a narrow screen may leave out descriptions, which may contain numbers
            values = numbers("\n".join(line.split()[1] for line in wide.out.splitlines()))
            assert values
            assert values <= numbers(outcome.out) <= numbers(wide.out)
        elif not remarks(outcome.out):
            assert numbers(outcome.out) == numbers(wide.out)
        else:
            assert columns < widest(wide.out)
            assert f"--table {part} -f csv" in " ".join(remarks(outcome.out).split())


@pytest.mark.parametrize("columns", [20, 40])
def test_wide_matrix_names_another_format(screen, columns):
    outcome = screen(*LARGE, "--entries", "--table", "power", columns=columns)
    assert outcome.code == 0
    said = re.search(r"(\d+) of 16 columns fit this screen; --table power -f csv has all", flat(outcome.out))
    assert all(len(line.split()) == int(said[1]) for line in outcome.out.splitlines()[2:17])


@pytest.mark.parametrize("command", COMMANDS)
def test_pipe_has_the_natural_width(cli, remembered, screen, command):
    outcome = cli(*COMMANDS[command], "--details")
    assert outcome.code == 0
    wide = screen(*COMMANDS[command], "--details", columns=10000)
    assert main_table(outcome.out) == main_table(wide.out)
    assert widest(outcome.out) > 80
    assert not remarks(outcome.out)
    assert "…" not in outcome.out.replace("0…n", "")


@pytest.mark.parametrize("columns", ["", "0", "-5", "wide", "8e1"])
def test_invalid_columns_are_ignored(screen, cli, columns):
    assert screen(*POWER, columns=columns) == cli(*POWER)


@pytest.mark.parametrize("name", ["md", "html"])
def test_markup_ignores_columns(screen, cli, name):
    assert screen(*POWER, "-f", name, columns=40) == cli(*POWER, "-f", name)


def test_pipe_ignores_the_terminal_on_stderr(terminal, process):
    outcome = terminal(*POWER, columns=40, on=("stderr",))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.raw == process(*POWER).raw


@pytest.mark.parametrize(
    ("env", "colored"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_terminal_has_color_unless_forbidden(terminal, plain, env, colored):
    outcome = terminal(*POWER, columns=80, env=env)
    assert outcome.code == 0
    assert ("\x1b[" in outcome.out) == colored
    assert "\x1b" not in plain(outcome.out)


@pytest.mark.parametrize(
    ("env", "colored"), [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": ""}, False)]
)
def test_pipe_has_color_only_if_forced(cli, monkeypatch, plain, env, colored):
    without = cli(*POWER).out
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    outcome = cli(*POWER)
    assert outcome.code == 0
    assert ("\x1b[" in outcome.out) == colored
    assert plain(outcome.out) == without


@pytest.mark.parametrize("command", [POWER, COMPARE], ids=["power", "compare"])
def test_color_takes_no_columns(screen, monkeypatch, plain, command):
    without = screen(*command, columns=60)
    monkeypatch.setenv("FORCE_COLOR", "1")
    outcome = screen(*command, columns=60)
    assert outcome.out != without.out
    assert plain(outcome.out) == without.out


@pytest.mark.parametrize(
    "arguments",
    [POWER, COMPARE, ("power", "-m", "1 1; 0 1"), ("power", "-h"), ("compare", "-h"), ("-h",)],
    ids=["power", "compare", "note", "power-help", "compare-help", "help"],
)
def test_other_encoding_has_the_same_numbers(cli, remembered, arguments):
    plain = cli(*arguments).out
    for encoding in ASCII_ALSO:
        outcome = cli(*arguments, encoding=encoding)
        assert outcome.code == 0
        assert "Traceback" not in outcome.err
        text = outcome.raw.decode(encoding, "replace")
        assert len(text.splitlines()) == len(plain.splitlines())
        assert numbers(text) == numbers(plain)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_error_in_another_encoding_is_one_line(cli, encoding):
    outcome = cli("power", "-m", "1 2 3", encoding=encoding)
    assert (outcome.code, outcome.raw) == (2, b"")
    assert re.fullmatch(r"gradflow: the matrix is 1.3; .*\n", outcome.err)


@pytest.mark.parametrize(
    ("arguments", "code"), [(POWER, 0), (("power", "-h"), 0), (("power", "-m", "1 2 3"), 2)]
)
def test_other_encoding_keeps_the_exit_code(process, arguments, code):
    outcome = process(*arguments, env={"PYTHONIOENCODING": "ascii"})
    assert outcome.code == code
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_rules_and_curves_fit_the_encoding(cli, encoding):
    outcome = cli(*COMPARE, encoding=encoding)
    assert outcome.code == 0
    lines = outcome.raw.decode(encoding).splitlines()
    (title,) = [place for place, line in enumerate(lines) if line.startswith("flow: ")]
    rule, curves = lines[title + 2 : title + 4]
    assert set(rule) == {"-"}
    assert set(curves) <= {" ", *SPARK_LETTERS}
    assert len(set("".join(curves.split()))) > 2


def test_missing_number_has_an_ascii_mark(cli):
    outcome = cli(
        "compare", "rnn:gain=0", "lstm", "--hidden", 2, "--steps", 3, "--seeds", 1, "--details",
        encoding="ascii",
    )  # fmt: skip
    assert outcome.code == 0
    (row,) = [line for line in outcome.out.splitlines() if "horizon_float32" in line]
    assert "?" not in row
