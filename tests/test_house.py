"""The house as drawn: tables that resolve, doors that load nothing, files that hold one idea."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import gradflow
from gradflow.analysis.theory.subjects import THEORIES
from gradflow.cells import CELLS
from gradflow.cells.base import Cell
from gradflow.cli import COMMANDS
from gradflow.derivations.topics import DERIVATIONS
from gradflow.errors import GradflowError
from gradflow.layouts import EXPORTERS, LAYOUTS
from gradflow.layouts.exports import WeightExporter
from gradflow.linalg import ENSEMBLES
from gradflow.readers import READERS
from gradflow.registry import lookup
from gradflow.render import FORMATS
from gradflow.render.renderer import TextRenderer
from gradflow.writers import WRITERS

TABLES = {
    "command": COMMANDS,
    "format": FORMATS,
    "reader": READERS,
    "cell": CELLS,
    "random matrix": ENSEMBLES,
    "theory": THEORIES,
    "derivation": DERIVATIONS,
    "layout": LAYOUTS,
    "layout of weights": EXPORTERS,
    "writer": WRITERS,
    "public name": gradflow.API,
}
# the public API: whoever adds or removes a name says so here
PUBLIC = [
    "__version__",
    "bptt",
    "compare",
    "convert",
    "derive",
    "figure",
    "from_state_dict",
    "init",
    "inspect",
    "load",
    "lyapunov",
    "power",
    "random_matrix",
    "read_array",
    "read_arrays",
    "read_matrix",
    "run",
    "theory",
    "to_text",
    "Checkpoint",
    "Conversion",
    "CreditAssignment",
    "Derivation",
    "Flow",
    "Inspection",
    "Lyapunov",
    "NetworkStates",
    "Powers",
    "Theory",
    "Tuned",
    "GradflowError",
]
HOME = Path(gradflow.__file__).parent
TEXTS = {str(path.relative_to(HOME)): path.read_text() for path in sorted(HOME.rglob("*.py"))}

# what each command line may not load: a start-up is paid by every call
HEAVY = {"numpy", "scipy", "rich", "pydantic", "pandas", "polars", "matplotlib"}
DOORS = {
    "help": (["-h"], {}, HEAVY),
    **{f"help-of-{name}": ([name, "-h"], {}, HEAVY - {"numpy"}) for name in COMMANDS},
    "version": (["--version"], {}, {*HEAVY, "typer"}),
    "completion-script": ([], {"_GRADFLOW_COMPLETE": "source_bash"}, HEAVY),
    "completion": (
        [], {"_GRADFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "gradflow ", "COMP_CWORD": "1"}, HEAVY,
    ),
    "completion-of-an-option": (
        [],
        {"_GRADFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "gradflow power --", "COMP_CWORD": "2"},
        HEAVY,
    ),
    "wrong-option": (["power", "--stpes", "3"], {}, HEAVY),
    "power": (["power", "-m", "0.58 0.24; 0.24 0.72"], {}, HEAVY - {"numpy", "rich"}),
    "power-as-json": (["power", "-m", "0.58 0.24; 0.24 0.72", "-f", "json"], {}, HEAVY - {"numpy"}),
}  # fmt: skip


def loaded(code, env=()):
    """Return the top-level names of all modules that are loaded once ``code`` has run, and its exit code."""
    script = (
        "import sys\n"
        "code = 0\n"
        "try:\n" + "".join(f"    {line}\n" for line in code.splitlines()) + "except SystemExit as end:\n"
        "    code = end.code or 0\n"
        "sys.stdout.flush()\n"
        "sys.stderr.write('\\n' + ' '.join(sorted({name.partition('.')[0] for name in sys.modules})))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=dict(env), timeout=60, check=False
    )
    return set(done.stderr.splitlines()[-1].split()), done.returncode, done.stdout


@pytest.mark.parametrize("kind", TABLES)
def test_every_entry_of_every_table_resolves(kind):
    for name in TABLES[kind]:
        check_entry(kind, name)


def check_entry(kind, name):
    found = lookup(TABLES[kind], name, kind)
    assert found is not None
    if kind == "reader":
        assert inspect.ismodule(found)
        assert callable(found.recognizes)
        assert callable(found.read)
    elif kind == "theory":
        assert callable(found.predict)
    elif kind == "layout":
        assert callable(found.find_networks)
    elif kind == "layout of weights":
        assert isinstance(found, WeightExporter)
    elif kind == "writer":
        assert callable(found.encode)
    else:
        assert callable(found)
    if kind == "cell":
        assert issubclass(found, Cell)
    if kind == "format":
        assert isinstance(found, TextRenderer)


@pytest.mark.parametrize(("room", "table"), [("cells", CELLS), ("readers", READERS), ("render", FORMATS)])
def test_no_entry_lives_outside_its_room(room, table):
    assert {place.split(".")[1] for place in table.values()} == {room}
    assert len(set(table.values())) == len(table)


def test_the_public_names_are_these():
    assert gradflow.__all__ == PUBLIC
    assert dir(gradflow) == sorted(PUBLIC)


def test_every_public_name_has_a_docstring_of_its_own():
    for name in PUBLIC:
        found = getattr(gradflow, name)
        if name != "__version__":
            assert found.__doc__, name
            assert len(inspect.cleandoc(found.__doc__).splitlines()[0]) > 10, name


def test_every_command_is_a_public_function_with_an_example():
    for name in COMMANDS:
        assert ">>> " in getattr(gradflow, name).__doc__, name


def test_version_is_one_of_numbers():
    assert [part.isdecimal() for part in gradflow.__version__.split(".")] == [True] * 3


def test_a_name_that_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="'gradflow' has no attribute 'powre'"):
        _ = gradflow.powre


def test_every_error_has_one_root_and_an_exit_code_of_the_contract():
    import gradflow.errors as errors

    leaves = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert len(leaves) > 3
    for leaf in leaves:
        assert issubclass(leaf, GradflowError)
        assert leaf.exit_code in (1, 2)


def test_import_of_the_package_loads_nothing_heavy():
    names, code, _ = loaded("import gradflow")
    assert code == 0
    assert not names & {*HEAVY, "typer"}


@pytest.mark.parametrize("door", DOORS)
def test_command_line_loads_nothing_that_it_does_not_need(door):
    arguments, env, heavy = DOORS[door]
    code = f"sys.argv = ['gradflow', *{arguments!r}]\nfrom gradflow.__main__ import main\nmain()"
    names, code, out = loaded(code, env)
    assert code == (2 if door == "wrong-option" else 0)
    assert bool(out) == (door != "wrong-option")
    assert "gradflow" in names
    assert not names & heavy


def imported_modules(source):
    """Return the name of every module that a source text imports."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return names + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]


def imports_click(source):
    return any(name.split(".")[0] == "click" or "_click" in name for name in imported_modules(source))


def test_no_module_imports_click():
    assert [name for name, text in TEXTS.items() if imports_click(text)] == []


@pytest.mark.parametrize("source", ["import click", "from click.core import Context", "import typer._click"])
def test_an_import_of_click_is_seen(source):
    assert imports_click(source)


def test_the_sources_are_all_here():
    assert {"cli/main.py", "record.py", "cells/lstm.py"} <= set(TEXTS)
