"""Help lists every option and every cell's options, and its examples run."""

import inspect
import re
import shlex
import subprocess

import pytest
import typer

import gradflow
from gradflow.analysis.shared.checkpoints import is_checkpoint
from gradflow.cells import CELLS
from gradflow.cells.activations import ACTIVATIONS
from gradflow.cells.gru import RESET_PLACES
from gradflow.cells.initialization import DEFAULT_CHRONO_HORIZON, INITIALIZATIONS
from gradflow.cells.spec import SWITCH_VALUES, list_cell_options, parse_cell
from gradflow.cli import COMMANDS
from gradflow.cli.main import app
from gradflow.layouts import LAYOUTS
from gradflow.linalg import ENSEMBLES
from gradflow.readers import CONTAINERS
from gradflow.record import MatrixMeaning, TableMeaning, get_meanings
from gradflow.registry import lookup
from gradflow.render import FORMATS

PROGRAM = typer.main.get_command(app)
ALL = ["", *COMMANDS]
NEEDS_FILE = re.compile(r"\.(npy|npz|safetensors|bin|pt|h5|onnx|tex)\b|^-$|/$")


def words(text):
    """Return help as one line, because a sentence may take several."""
    return " ".join(text.split())


def examples(text):
    """Return the command lines of the Examples section; the parts of a pipe are separate."""
    section = re.split(r"\n\s*\n", text.split("Examples:\n")[1])[0]
    lines = [line.strip() for line in section.splitlines()]
    assert lines
    return [part for line in lines for part in parts(shlex.split(line))]


def parts(tokens):
    found = [[]]
    for token in tokens:
        if token == "|":
            found.append([])
        else:
            found[-1].append(token)
    return found


@pytest.fixture
def calls(monkeypatch):
    """Replace all analyses with functions that record their arguments and stop."""

    class ParsedError(gradflow.GradflowError):
        exit_code = 99

    made = []

    def noted(*arguments, **options):
        made.append((arguments, options))
        raise ParsedError("parsed")

    for name in COMMANDS:
        monkeypatch.setattr(gradflow, name, noted)
    return made


def test_program_has_the_registered_commands():
    assert list(PROGRAM.commands) == list(COMMANDS)


@pytest.mark.parametrize("name", ALL)
def test_help_has_usage_and_examples_and_fits_80_columns(cli, name):
    outcome = cli(*filter(None, [name]), "-h")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"Usage: gradflow {name}".rstrip())
    assert "Examples:\n" in outcome.out
    assert cli(*filter(None, [name]), "--help").raw == outcome.raw
    for line in outcome.out.splitlines():
        assert len(line) <= 80


def test_no_command_exits_2_with_the_help(cli):
    outcome = cli()
    assert outcome.code == 2
    assert (outcome.out or outcome.err).strip() == cli("-h").out.strip()


@pytest.mark.parametrize("name", ALL)
def test_help_describes_every_option(cli, name):
    command = PROGRAM.commands[name] if name else PROGRAM
    text = cli(*filter(None, [name]), "-h").out
    parameters = command.get_params(command.make_context(name or "gradflow", [], resilient_parsing=True))
    assert parameters
    for parameter in parameters:
        assert parameter.help, parameter.name
        if parameter.param_type_name == "argument":
            assert re.search(rf"(?m)^  {re.escape(parameter.metavar)}  ", text), parameter.name
        for flag in parameter.opts if parameter.param_type_name == "option" else ():
            assert re.search(rf"(?m)^  (?:-\w, )?{re.escape(flag)}[ ,\n]", text), flag
        assert words(parameter.help) in words(text), parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_the_inputs_of_the_function(name):
    function = inspect.signature(getattr(gradflow, name)).parameters
    options = {parameter.name: parameter for parameter in PROGRAM.commands[name].params}
    for parameter in function.values():
        if parameter.name in ("progress", "executor"):
            continue
        assert parameter.name in options
        if parameter.default is not parameter.empty:
            assert options[parameter.name].default == parameter.default


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_progress_if_its_function_does_and_has_no_such_option(name):
    function = inspect.signature(getattr(gradflow, name)).parameters
    command = inspect.signature(inspect.unwrap(lookup(COMMANDS, name, "command"))).parameters
    assert ("progress" in command) == ("progress" in function)
    options = {parameter.name for parameter in PROGRAM.commands[name].params}
    assert not options & {"progress", "executor"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_defaults_and_formats(cli, name):
    text = words(cli(name, "-h").out)
    assert "|".join(FORMATS) in text
    assert "GRADFLOW_FORMAT" in text
    for parameter in PROGRAM.commands[name].params:
        if isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool):
            assert re.search(
                rf"{parameter.opts[-1]} .*?\[default: {re.escape(str(parameter.default))}[\];]", text
            )


def test_help_of_power_lists_ensembles(cli):
    assert "|".join(ENSEMBLES) in cli("power", "-h").out


def listed(text, title):
    """Return the names that a help text lists after ``title``, on one or more lines."""
    found = re.search(rf"(?m)^ *{title}: +(.*(?:\n {{10,}}.*)*)$", text)
    return re.findall(r"[\w-]+", found[1].replace(" (main)", "")) if found else []


def listed_options(text, cell):
    """Return the options of a cell that a help text lists, as name to values."""
    lines = re.search(rf"(?m)^ *Options of {cell}: +(.*(?:\n {{15,}}.*)*)$", text)[1]
    return dict(option.split("=") for option in re.split(r",\s+", lines))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_verdicts_tables_and_matrices(cli, name):
    record = inspect.signature(getattr(gradflow, name)).return_annotation
    kind = getattr(gradflow, getattr(record, "__name__", record))
    text = cli(name, "-h").out
    assert listed(text, "Verdicts") == list(kind.verdicts)
    assert listed(text, "Tables") == [*get_meanings(kind, TableMeaning), "summary"]
    assert listed(text, "Matrices") == list(get_meanings(kind, MatrixMeaning))
    assert f"{next(iter(get_meanings(kind, TableMeaning)))} (main)" in text


def test_help_of_inspect_lists_all_containers_of_checkpoints_and_all_layouts(cli):
    text = cli("inspect", "-h").out
    assert listed(text, "Layouts") == list(LAYOUTS)
    containers = {
        name: one.checkpoint_suffixes for name, one in CONTAINERS.items() if one.checkpoint_suffixes
    }
    assert listed(text, "Reads") == [
        word.lstrip(".") for name, suffixes in containers.items() for word in (name, *suffixes)
    ]


def test_help_of_compare_lists_cells_and_options(cli):
    text = cli("compare", "-h").out
    options = {name: listed_options(text, name) for name in ("all", *CELLS)}
    shared = options.pop("all")
    for name, own in options.items():
        taken = list_cell_options(lookup(CELLS, name, "cell"))
        assert sorted([*shared, *own]) == sorted(taken)


def test_help_of_compare_lists_choices(cli):
    text = cli("compare", "-h").out
    values = {}
    for name in ("all", *CELLS):
        values |= listed_options(text, name)
    assert values["activation"].split("|") == list(ACTIVATIONS)
    assert values["init"].split("|") == list(INITIALIZATIONS)
    assert values["reset"].split("|") == list(RESET_PLACES)
    assert float(values["horizon"]) == DEFAULT_CHRONO_HORIZON
    signature = inspect.signature(lookup(CELLS, "lstm", "cell").random)
    for name in ("peephole", "coupled", "forget_gate"):
        assert SWITCH_VALUES[values[name]] == signature.parameters[name].default


@pytest.mark.parametrize("name", ALL)
def test_examples_parse(cli, calls, name):
    found = examples(cli(*filter(None, [name]), "-h").out)
    for program, *arguments in found:
        assert program == "gradflow"
        outcome = cli(*arguments)
        assert (outcome.code, outcome.err) == (99, "gradflow: parsed\n"), arguments
        assert not name or arguments[0] == name
        if arguments[0] == "compare":
            assert all(is_checkpoint(cell) or parse_cell(cell) for cell in calls[-1][0])
    assert len(calls) == len(found)


@pytest.mark.parametrize("name", ALL)
def test_examples_without_files_run(cli, name):
    ran = 0
    found = examples(cli(*filter(None, [name]), "-h").out)
    for _, *arguments in found:
        if any(NEEDS_FILE.search(token) for token in arguments):
            continue
        small = {
            "power": ["-n", 5],
            "compare": ["--hidden", 2, "--steps", 3, "--seeds", 1],
            "bptt": ["--hidden", 3, "--steps", 5],
            "lyapunov": ["--hidden", 8, "--steps", 9],
            "theory": ["--hidden", 3, "--steps", 9, "--seeds", 2],
            "init": ["--hidden", 3, "--horizon", 3, "--seeds", 1],
            "derive": [],
        }[arguments[0]]
        if "--size" in arguments:
            small += ["--size", 5]
        if "--tolerance" in arguments:
            small += ["--tolerance", 0.1]
        if arguments[0] == "theory" and arguments[1].startswith(("lstm", "gru")):
            small = ["--hidden", 3]  # of the state 0 alone: it takes no steps
        outcome = cli(*arguments, *small, "-q")
        assert outcome.code == (3 if "--fail-on" in arguments else 0), outcome.err
        ran += 1
    # commands on files have no example without a file
    assert ran or all(arguments[1] in ("inspect", "convert", "run") for arguments in found)


@pytest.mark.parametrize("name", ["", "compare"])
def test_help_in_a_pipe_has_no_color(process, name):
    env = dict.fromkeys(("TERM", "GITHUB_ACTIONS", "PY_COLORS"), "xterm-256color")
    outcome = process(*filter(None, [name]), "-h", env=env)
    assert (outcome.code, outcome.err) == (0, "")
    assert b"\x1b" not in outcome.raw


def test_bash_completes_commands(process):
    outcome = complete(process, "gradflow ", 1)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.split() == list(COMMANDS)


@pytest.mark.parametrize(("begun", "word"), [("po", "power"), ("com", "compare")])
def test_bash_completes_a_prefix_of_a_command(process, begun, word):
    assert complete(process, f"gradflow {begun}", 1).out.split() == [word]


def test_bash_completes_a_prefix_of_an_option(process):
    outcome = complete(process, "gradflow power --claim", 2)
    assert sorted(outcome.out.split()) == ["--claim-values", "--claim-vectors"]


def test_completion_script_is_bash(process, cli):
    outcome = process(env={"_GRADFLOW_COMPLETE": "source_bash"})
    assert outcome.code == 0
    assert "gradflow" in outcome.out
    checked = subprocess.run(["bash", "-n"], input=outcome.raw, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")


def complete(process, line, word):
    env = {"_GRADFLOW_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(word)}
    return process(env=env)


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_in_groups_and_output_is_the_same_everywhere(cli, name):
    def read_groups(command):
        parts = re.split(r"(?m)^(Subject|Options|Output):\n", cli(command, "-h").out)
        return {
            title: body.partition("\n\n")[0] for title, body in zip(parts[1::2], parts[2::2], strict=True)
        }

    groups = read_groups(name)
    assert list(groups) == [title for title in ("Subject", "Options", "Output") if title in groups]
    assert {"Subject", "Output"} <= set(groups)
    shared = read_groups("compare")["Output"].splitlines()
    assert [line for line in shared if line in groups["Output"].splitlines()] == groups["Output"].splitlines()


def test_program_lists_whole_sentences_in_the_order_of_the_commands(cli):
    text = words(cli("-h").out)
    titles = [f"{name} {words(PROGRAM.commands[name].help.partition(chr(10) * 2)[0])}" for name in COMMANDS]
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert "..." not in text.partition("Commands:")[2]
