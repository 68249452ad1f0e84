"""The result is on stdout, everything else on stderr, and a second run gives the same bytes."""

from itertools import product

import pytest

from gradflow.cli.emit import SCREEN_FORMATS
from gradflow.render import FORMATS

POWER = ("power", "-m", "0.58 0.24; 0.24 0.72")
NILPOTENT = ("power", "-m", "0 1; 0 0")  # not diagonalizable, which a note says
COMPARE = ("compare", "rnn", "lstm", "--hidden", 3, "--steps", 6, "--seeds", 2, "--features", 2)
MACHINE = [name for name in FORMATS if name not in SCREEN_FORMATS]
NOTE = "not diagonalizable"


@pytest.mark.parametrize("command", [POWER, COMPARE], ids=["power", "compare"])
def test_result_is_on_stdout(cli, remembered, command):
    for name in FORMATS:
        outcome = cli(*command, "-f", name)
        assert (outcome.code, outcome.err) == (0, ""), name
        assert outcome.out.endswith("\n"), name
        assert outcome.out.strip(), name


def test_default_format_is_table(cli):
    assert cli(*POWER) == cli(*POWER, "-f", "table")


def test_note_is_on_one_stream(cli, remembered):
    for name in FORMATS:
        outcome = cli(*NILPOTENT, "-f", name)
        assert outcome.code == 0, name
        assert (NOTE in outcome.out) != (NOTE in outcome.err), name
        if name in ("table", "jsonl", "csv", "tsv"):
            assert outcome.err.startswith("note: "), name
            assert outcome.err.count("\n") == 1, name


def test_note_is_inside_json(cli):
    outcome = cli(*NILPOTENT, "-f", "json")
    assert (outcome.code, outcome.err) == (0, "")
    assert NOTE in outcome.object["notes"][0]


def test_quiet_changes_only_stderr(cli, remembered):
    for name in FORMATS:
        outcome = cli(*NILPOTENT, "-f", name, "-q")
        assert (outcome.code, outcome.err) == (0, ""), name
        assert outcome.raw == cli(*NILPOTENT, "-f", name).raw, name


def test_quiet_still_reports_a_failed_gate(cli):
    outcome = cli(*NILPOTENT, "-q", "--fail-on", "nilpotent")
    assert outcome.code == 3
    assert outcome.err.startswith("gradflow: gate failed: W is nilpotent: ")
    assert outcome.err.count("\n") == 1


def test_quiet_error_is_on_stderr(check_refused):
    check_refused(2, "power", "-m", "1 2 3", "-q", says=["1×3"])


def test_machine_format_has_no_color(cli, remembered, monkeypatch):
    for name, command in product(MACHINE, (NILPOTENT, COMPARE)):
        without = cli(*command, "-f", name)
        with monkeypatch.context() as patch:
            patch.setenv("FORCE_COLOR", "1")
            outcome = cli(*command, "-f", name)
        assert outcome.code == 0
        assert b"\x1b" not in outcome.raw
        assert outcome.raw == without.raw


def test_machine_format_ignores_the_terminal(cli, remembered, monkeypatch):
    without = {name: cli(*COMPARE, "-f", name) for name in MACHINE}
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in MACHINE:
        outcome = cli(*COMPARE, "-f", name, terminals=("stdout", "stderr"))
        assert outcome.code == 0, name
        assert outcome.raw == without[name].raw, name


def test_machine_format_is_utf_8(cli, remembered):
    for name in MACHINE:
        outcome = cli(*NILPOTENT, "-f", name, encoding="ascii")
        assert outcome.code == 0, name
        assert outcome.raw == cli(*NILPOTENT, "-f", name).raw, name


@pytest.mark.parametrize("command", [NILPOTENT, COMPARE], ids=["power", "compare"])
def test_another_process_gives_the_same_bytes(process, cli, command):
    here = cli(*command, "-f", "json")
    assert here.code == 0
    assert here == process(*command, "-f", "json", env={"PYTHONHASHSEED": "1"})


@pytest.mark.parametrize("command", [("power", "--random", "ginibre"), COMPARE], ids=["power", "compare"])
def test_another_seed_gives_other_numbers(cli, command):
    default, same, other = (cli(*command, "-f", "csv", *seed) for seed in ((), ("--seed", 0), ("--seed", 1)))
    assert (default.code, other.code) == (0, 0)
    assert default == same
    assert default.raw != other.raw


def test_cells_together_have_the_numbers_of_each_alone(cli):
    options = ("--hidden", 3, "--steps", 5, "--seeds", 2, "-f", "jsonl")
    both = cli("compare", "rnn", "lstm", *options)
    assert both.code == 0
    assert both.lines == [line for cell in ("rnn", "lstm") for line in cli("compare", cell, *options).lines]
