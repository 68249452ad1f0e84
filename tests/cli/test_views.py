"""--brief prints the conclusion, --details everything, and both refuse what they cannot be used with."""

import sys

import pytest

import gradflow

POWER = ("power", "-m", "0.58 0.24; 0.24 0.72")
COMPARE = ("compare", "rnn", "lstm", "--hidden", 3, "--steps", 40, "--seeds", 2)
FORMATS = ["json", "jsonl", "csv", "tsv", "md", "html", "latex"]


@pytest.mark.parametrize("arguments", [POWER, COMPARE], ids=["power", "compare"])
def test_brief_is_the_conclusion(cli, remembered, arguments):
    outcome = cli(*arguments, "--brief")
    conclusion = cli(*arguments, "-f", "json").object["summary"]["conclusion"]
    assert outcome.code == 0
    assert outcome.out == f"{conclusion}\n"


def test_brief_is_one_line_on_a_narrow_screen_too(cli, monkeypatch):
    wide = cli(*POWER, "--brief")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert cli(*POWER, "--brief") == wide
    assert len(wide.out.splitlines()) == 1


def test_details_have_what_the_first_view_leaves_out(cli, remembered):
    for part in ("gates", "summary"):
        last = cli(*COMPARE, "--table", part).out.splitlines()[-1]
        assert last in cli(*COMPARE, "--details").out
        assert last not in cli(*COMPARE).out


@pytest.mark.parametrize("view", ["--brief", "--details"])
@pytest.mark.parametrize("name", FORMATS)
def test_view_of_another_format_is_refused(check_refused, view, name):
    check_refused(2, *POWER, view, "-f", name, says=[view, f"-f {name}"])


@pytest.mark.parametrize("view", ["--brief", "--details"])
@pytest.mark.parametrize(
    ("beside", "says"),
    [(("--table", "norms"), "--table"), (("--chart",), "--chart"), (("-f", "chart"), "-f chart")],
)
def test_view_beside_another_is_refused(check_refused, view, beside, says):
    check_refused(2, *POWER, view, *beside, says=[view, says])


def test_brief_and_details_together_are_refused(check_refused):
    check_refused(2, *POWER, "--brief", "--details", says=["--brief", "--details"])


def test_view_beside_the_suffix_of_another_format_is_refused(check_refused, tmp_path):
    file = tmp_path / "result.json"
    check_refused(2, *POWER, "--brief", "-o", file, says=["--brief", "result.json"])
    assert not file.exists()


@pytest.mark.parametrize("view", ["--brief", "--details"])
def test_view_is_a_table_whatever_the_environment_prefers(cli, monkeypatch, view):
    expected = cli(*POWER, view)
    monkeypatch.setenv("GRADFLOW_FORMAT", "json")
    assert cli(*POWER, view) == expected


def test_view_goes_to_a_file(cli, tmp_path):
    file = tmp_path / "result.txt"
    assert cli(*POWER, "--brief", "-o", file).code == 0
    assert file.read_text() == cli(*POWER, "--brief").out


def test_machine_formats_do_not_load_rich(process):
    script = f"""
import sys
import gradflow
result = gradflow.power("0.5", steps=3)
for name in {FORMATS}:
    gradflow.to_text(result, name)
assert not [name for name in sys.modules if name.partition(".")[0] == "rich"], "rich was loaded"
gradflow.to_text(result, "table")
assert "rich.table" in sys.modules
"""
    outcome = process("-c", script, command=[sys.executable])
    assert outcome.code == 0, outcome.err


def test_python_shows_the_views_of_the_command_line(cli):
    record = gradflow.power("0.58 0.24; 0.24 0.72")
    assert gradflow.to_text(record) == cli(*POWER).out
