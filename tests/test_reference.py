"""Pages, manuals and completions: made anew they are as they are kept, and they say what the program says."""

import inspect
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import generate
import pytest
import typer
from markdown_it import MarkdownIt
from reference.docstring import Docstring, script, signature
from reference.manual import ENVIRONMENT, EXIT_STATUS, manual, roff
from reference.page import MARKER, escaped
from reference.program import Result

import gradflow
from gradflow import errors
from gradflow.cli import COMMANDS, ending
from gradflow.cli.main import app, run
from gradflow.record import MatrixMeaning, ScalarMeaning, TableMeaning, get_meanings

HOME = Path(__file__).parents[1]
DOCS = HOME / "docs"
PROGRAM = typer.main.get_command(app)
MACROS = {"TH", "SH", "SS", "PP", "TP", "nh", "ad l", "nf", "fi"}
ESCAPE = re.compile(r"\\(?:f[BIR]|-|&|\((?:rs|aq|ga|ha|ti|dq)|\[u[0-9A-F]{4,5}\])")
QUOTES = dict(zip(("aq", "ga", "ha", "ti", "dq"), "'`^~\"", strict=True))
PLAIN = {r"\-": "-", r"\(rs": "\\"} | {rf"\({name}": letter for name, letter in QUOTES.items()}


def page(name):
    return (DOCS / "commands" / f"{name}.md").read_text(encoding="utf-8")


def reference_of(name):
    return page(name).partition(MARKER)[2]


def kept(name):
    return (DOCS / "man" / f"{'-'.join(filter(None, ['gradflow', name]))}.1").read_text(encoding="utf-8")


def shown(text):
    """What a reader of roff sees, words alone."""

    def plain(match):
        escape = match[0]
        return chr(int(escape[3:-1], 16)) if escape.startswith(r"\[u") else PLAIN.get(escape, "")

    return " ".join(ESCAPE.sub(plain, re.sub(r"(?m)^\.(?:\w\w) ?", "", text)).split())


def record_of(name):
    kind = inspect.signature(getattr(gradflow, name)).return_annotation
    return getattr(gradflow, getattr(kind, "__name__", kind))


def rows_of(markdown):
    """The cells of every table's body, as a reader of Markdown sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    rows = []
    for token, following in itertools.pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("td_open", "th_open"):
            rows[-1].append("".join(child.content for child in following.children))
    return rows


def test_every_file_is_as_it_would_be_made():
    assert [str(path.relative_to(HOME)) for path in generate.stale(generate.made())] == []


def test_every_command_has_a_page_and_a_manual_and_nothing_else_has():
    assert {path.stem for path in (DOCS / "commands").glob("*.md")} == set(COMMANDS)
    manuals = {"gradflow", *(f"gradflow-{name}" for name in COMMANDS)}
    assert {path.stem for path in (DOCS / "man").iterdir()} == manuals


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the docs that may be spoilt."""
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr(generate, "HOME", tmp_path / "docs")
    return tmp_path / "docs"


def test_what_is_stale_is_named_and_made_anew_and_what_is_written_by_hand_stays(copy, capsys):
    power, manual, left = copy / "commands/power.md", copy / "man/gradflow.1", copy / "man/gradflow-none.1"
    written, _, below = power.read_text().partition(MARKER)
    power.write_text(f"{written}By hand.\n\n{MARKER}{below}By hand, in the wrong place.\n")
    manual.unlink()
    left.write_text("")
    assert generate.main(["--check"]) == 1
    named = [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()]
    assert named == ["docs/commands/power.md", "docs/man/gradflow.1", "docs/man/gradflow-none.1"]
    assert "wrong place" in power.read_text()
    assert generate.main([]) == 0
    assert power.read_text() == f"{written}By hand.\n\n{MARKER}{below}"
    assert manual.exists()
    assert not left.exists()
    assert generate.main(["--check"]) == 0


def test_a_command_without_a_page_gets_one(copy):
    page = copy / "commands" / "init.md"
    page.unlink()
    generate.main([])
    assert page.read_text().startswith(
        f"# gradflow init\n\nFind fresh weights whose gradients survive N steps.\n\n{MARKER}\n"
    )


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", ["80", "200"])
def test_a_page_shows_the_help_as_it_is_printed(name, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    assert run([name, "-h"]) == 0
    assert f"```console\n$ gradflow {name} -h\n{capsys.readouterr().out}```\n" in reference_of(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_lists_every_field_of_the_record_word_for_word(name):
    rows = rows_of(reference_of(name))
    record = record_of(name)
    for field, meaning in get_meanings(record, ScalarMeaning).items():
        assert [field, meaning.description, meaning.unit] in rows
    for table in Result(name).tables:
        assert table.columns
        for column, meaning in table.columns.items():
            assert [column, meaning.description, meaning.unit] in rows
    for kind in (TableMeaning, MatrixMeaning):
        for field, meaning in get_meanings(record, kind).items():
            for text in (f"`{field}`: {escaped(meaning.description)}", escaped(meaning.absent)):
                assert text in reference_of(name)
    for verdict in record.verdicts:
        assert f"`{verdict}`" in reference_of(name)


def test_columns_are_those_of_the_tables_that_a_command_makes():
    result = gradflow.power("2 1; 0 2", steps=3)
    for table in Result("power").tables:
        made = getattr(result, table.name)
        assert made is None or set(table.columns) == set(vars(made))
    topics = next(table for table in Result("derive").tables if table.name == "topics")
    assert set(topics.columns) == set(vars(gradflow.derive("carousel").topics))


def test_the_schema_is_that_of_the_json(capsys):
    assert run(["power", "-m", "2", "-f", "json"]) == 0
    schema = json.loads(capsys.readouterr().out)["schema"]
    assert f"`{schema}`" in reference_of("power")
    assert schema in shown(kept("power"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_tells_every_parameter_of_the_function(name):
    function = getattr(gradflow, name)
    told = [part for item in Docstring(function).items("Parameters") for part in item.name.split(", ")]
    assert [name.lstrip("*") for name in told] == list(inspect.signature(function).parameters)
    assert f"```text\n{signature(function, name)}\n```" in reference_of(name)
    for parameter in told:
        assert re.search(rf"(?m)^- (?:`\w+`, )*`{re.escape(parameter)}`", reference_of(name))


def test_an_example_becomes_a_script_with_what_it_shows_beside_it():
    section = "Two:\n\n>>> 1 + 1\n2\n\n>>> for k in range(2):\n...     print(k)\n0\n1"
    lines = ["from gradflow import power", "# Two:", "1 + 1", "# 2"]
    lines += ["for k in range(2):", "    print(k)", "# 0", "# 1"]
    assert script("power", section, "power").splitlines() == lines


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_a_manual_has_every_option_and_argument_with_its_text(name):
    command = PROGRAM.commands[name] if name else PROGRAM
    context = command.make_context(name or "gradflow", [], resilient_parsing=True)
    text = shown(kept(name))
    for parameter in command.get_params(context):
        for flag in parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]:
            assert re.search(rf"(?<!\S){re.escape(flag)}(?![\w-])", text), flag
        assert " ".join(parameter.help.split()) in text


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_a_manual_has_every_part_of_the_help(name):
    command = PROGRAM.commands[name] if name else PROGRAM
    text = shown(kept(name)).casefold()  # the manual has its headings in capitals
    whole = command.compose_help() if name else command.help
    for part in re.split(r"\s{2,}|\n|:", whole.replace("\b", "").casefold()):
        assert part.strip() in text
    for other in {*COMMANDS} - {name}:
        assert f"gradflow-{other}(1)" in text


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_a_manual_is_roff_of_a_few_macros_in_ascii(name):
    text = kept(name)
    assert text.isascii()
    for line in text.splitlines()[1:]:
        assert line
        if line.startswith("."):
            macro = line[1:] if line[1:] in MACROS else line[1:].split(" ")[0]
            assert macro in MACROS, line
        assert "\\" not in ESCAPE.sub("", line), line
        assert not line.startswith("'")


@pytest.mark.parametrize("text", [r"a\nb -x '^~`\"'", "∂s_T/∂s_{T−k} ⁻¹ 𝒩", ".5 of it"])
def test_text_stands_for_itself_in_roff(text):
    assert shown(roff(text)) == text
    assert ESCAPE.sub("", roff(text)).isascii()


def test_a_manual_tells_every_exit_code_and_every_variable():
    codes = {value for name, value in vars(ending).items() if name.isupper()}
    codes |= {leaf.exit_code for leaf in vars(errors).values() if inspect.isclass(leaf)}
    assert set(EXIT_STATUS) == {0, *codes}
    sources = "".join(path.read_text() for path in Path(gradflow.__file__).parent.rglob("*.py"))
    read = set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', sources))
    assert {"COLUMNS", "NO_COLOR"} <= read <= set(ENVIRONMENT)
    text = shown(manual("power"))
    assert all(f" {code} " in text for code in codes)
    assert all(f" {name} " in text for name in ENVIRONMENT)


def completed(*words):
    """What bash completes through the file that is kept."""
    line = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        ["bash", "-c", f'. "$0"; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; '
         '_gradflow_completion gradflow; echo "${COMPREPLY[@]}"; complete -p gradflow',
         DOCS / "completions" / "gradflow.bash"],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found, registered = done.stdout.splitlines()
    assert registered.endswith("-F _gradflow_completion gradflow")
    return found.split()


def test_bash_completes_a_command_and_an_option():
    assert completed("gradflow", "po") == ["power"]
    assert sorted(completed("gradflow", "power", "--claim")) == ["--claim-values", "--claim-vectors"]


def test_zsh_finds_what_is_completed_in_the_first_line():
    assert (DOCS / "completions" / "_gradflow").read_text().startswith("#compdef gradflow\n")


def test_a_wheel_holds_every_manual_and_completion():
    built = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    sources = {HOME / source for source in built["shared-data"]}
    assert sources == {DOCS / "man", *(DOCS / "completions").iterdir()}


def test_who_cites_names_the_version_that_there_is():
    cited = re.findall(r"(?m)^version: (.*)$", (HOME / "CITATION.cff").read_text())
    assert cited == [gradflow.__version__]
