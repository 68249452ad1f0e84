"""Messages name parameters: of the function in Python, of the command on the command line."""

import re
from pathlib import Path

import numpy as np
import pytest

import gradflow
from gradflow.cli import COMMANDS
from gradflow.cli.flags import list_flags
from gradflow.registry import lookup

HOME = Path(gradflow.__file__).parent
FILES = Path(__file__).parents[1] / "oracles" / "files"
ELMAN = {"weight_ih_l0": np.ones((2, 1)), "weight_hh_l0": np.eye(2)}
NAMED = re.compile(r"`(\w+)(?:=[^`]*)?`")


def test_no_message_of_the_library_names_a_flag():
    """What is not of the command line knows none of its flags; a document's examples are of it."""
    rooms = ("analysis", "layouts", "readers", "linalg", "cells", "writers")
    texts = {path: path.read_text() for room in rooms for path in sorted((HOME / room).rglob("*.py"))}
    flags = {flag for name in COMMANDS for words in list_flags(command(name)).values() for flag in words}
    assert {"--key", "--map", "--no-measure", "--fail-on"} <= flags
    found = {
        (path.name, flag)
        for path, text in texts.items()
        for flag in re.findall(r"--[a-z][a-z-]+", text)
        if flag in flags
    }
    assert found == set()


def command(name):
    return lookup(COMMANDS, name, "command")


def test_every_parameter_of_a_command_but_its_arguments_has_a_flag():
    for name in COMMANDS:
        flags = list_flags(command(name))
        positional = {key for key, words in flags.items() if not words}
        assert positional <= {"cells", "cell", "files", "source", "target", "topic", "argument"}, name
        assert all(words[0].startswith("--") for key, words in flags.items() if key not in positional)


def test_an_error_names_the_parameter_in_python_and_the_flag_on_the_command_line(cli, tmp_path):
    np.savez(tmp_path / "two.npz", a=np.eye(2), b=np.eye(2))
    with pytest.raises(gradflow.GradflowError, match="choose one with `key=NAME`: 'a'"):
        gradflow.power(str(tmp_path / "two.npz"))
    assert "choose one with --key NAME: 'a'" in cli("power", "-m", tmp_path / "two.npz").err
    targets = ("bptt", "rnn", "--targets", tmp_path / "two.npz")
    assert "choose one with --targets-key NAME: 'a'" in cli(*targets).err
    flow = gradflow.compare("rnn", hidden=2, steps=3, seeds=1)
    with pytest.raises(gradflow.GradflowError, match="'map': add `pair_map=True`"):
        gradflow.to_text(flow, "csv", table="map")
    outcome = cli("compare", "rnn", "--hidden", 2, "--steps", 3, "--seeds", 1, "--table", "map", "-f", "csv")
    assert outcome.err.strip().endswith("'map': add --map")


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_note_names_the_parameter_in_python_and_the_flag_on_the_command_line(cli, tmp_path, form):
    np.savez(tmp_path / "model.npz", **ELMAN)
    (note,) = [one for one in gradflow.inspect(ELMAN, length=3).notes if "assumed" in one]
    assert note.endswith("(`assume` changes it).")
    outcome = cli("inspect", tmp_path / "model.npz", "--length", 3, "-f", form)
    told = outcome.object["notes"] if form == "json" else outcome.err.splitlines()
    assert [one for one in told if one.endswith("(--assume changes it).")]
    assert not any("`" in one for one in told)


def test_every_parameter_that_a_record_names_is_one_of_its_command():
    for name in COMMANDS:
        flags = list_flags(command(name))
        document = gradflow.registry.load(command(name).record_place).__doc__
        for parameter in NAMED.findall(re.sub(r"``.*?``", "", document)):
            if f"`{parameter}" in document and parameter not in gradflow.API:
                assert flags.get(parameter), (name, parameter)


def test_a_call_in_a_message_is_a_command_on_the_command_line(cli):
    assert "To derive all: `gradflow.derive('all')`." in gradflow.derive().conclusion
    assert "To derive all: gradflow derive all." in cli("derive", "--brief").out
    assert cli("derive", "-f", "json").object["summary"]["conclusion"].endswith("gradflow derive all.")
