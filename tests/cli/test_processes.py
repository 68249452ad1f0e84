"""Tests that need a real process: lost pipes, Ctrl-C, closed and full streams, a bar on a terminal."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gradflow.cli import COMMANDS, screen
from tests.layouts.test_files import FILES

POWER = ("power", "-m", "0.58 0.24; 0.24 0.72")
# 3000 rows, more than the buffer of a pipe
LONG = "compare rnn --steps 3000 --hidden 1 --features 1 --seeds 1"
COMPARE = ("compare", "rnn", "lstm", "--hidden", 3, "--steps", 6, "--seeds", 3, "--features", 2)


def test_script_and_module_give_the_same_bytes(process):
    script = Path(sys.executable).with_name("gradflow")
    assert process(*POWER, command=[script]) == process(*POWER)


@pytest.mark.parametrize("name", ["csv", "json", "table --all-rows"])
def test_lost_pipe_exits_141_silently(bash, name):
    outcome = bash(f"gradflow {LONG} -f {name} | head -c 10 >/dev/null; echo ${{PIPESTATUS[0]}}")
    assert (outcome.out, outcome.err) == ("141\n", "")


@pytest.mark.parametrize(
    "arguments",
    [(*POWER, "-f", "json"), (*POWER, "-o", "/dev/stdout"), ("power", "-h"), ("-V",)],
)
def test_closed_pipe_exits_141_silently(started, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    child = started(*arguments, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    err = child.communicate(timeout=30)[1]
    assert (child.returncode, err) == (141, b"")


def test_lost_stderr_exits_2_or_141(started):
    reader, writer = os.pipe()
    os.close(reader)
    child = started("power", "-m", "1 2 3", stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    assert child.communicate(timeout=30)[0] == b""
    assert child.returncode in (2, 141)


@pytest.mark.parametrize(("arguments", "code"), [("-m '1 1; 0 1'", 0), ("-m '1 2 3'", 2), ("--stpes 3", 2)])
def test_closed_stderr_keeps_the_exit_code(bash, arguments, code):
    assert bash(f"gradflow power {arguments} 2>&-").code == code


@pytest.mark.parametrize("arguments", ["power -m 0.5", "power -h", "-V"])
def test_closed_stdout_exits_1_with_one_line(bash, arguments):
    outcome = bash(f"gradflow {arguments} >&-")
    assert outcome.code == 1, outcome.err
    assert outcome.err.startswith("gradflow: ")
    assert outcome.err.count("\n") == 1
    assert "bug" not in outcome.err


@pytest.mark.parametrize("arguments", ["power -m 0.5 -f csv", "power -h", "-V"])
def test_full_stdout_exits_1_with_one_line(bash, arguments):
    outcome = bash(f"gradflow {arguments} >/dev/full")
    assert outcome.code == 1, outcome.err
    assert outcome.err.startswith("gradflow: ")
    assert outcome.err.count("\n") == 1
    assert "No space left" in outcome.err
    assert "bug" not in outcome.err


def test_closed_stdin_exits_1_with_one_line(bash):
    outcome = bash("gradflow power -m - <&-")
    assert (outcome.code, outcome.raw) == (1, b"")
    assert outcome.err.startswith("gradflow: standard input")
    assert outcome.err.count("\n") == 1


def test_process_substitution_is_a_file(bash):
    outcome = bash("gradflow power -m <(echo 0.5) -n 3 --table power -f csv")
    assert (outcome.code, outcome.out, outcome.err) == (0, "0.125\n", "")


@pytest.fixture
def pipe(tmp_path):
    """Return a named pipe, and a function that opens it as soon as it has a reader."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def opened():
        limit = time.monotonic() + 30
        while True:
            try:
                return open(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "wb")
            except OSError as error:
                if error.errno != errno.ENXIO or time.monotonic() > limit:
                    raise
            time.sleep(0.02)

    return path, opened


def test_ctrl_c_during_work_exits_130_silently(started, pipe):
    path, opened = pipe
    options = ("--input", path, "--hidden", 400, "--seeds", 50)
    child = started("compare", "lstm", *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with opened() as stream:
        stream.write(b"1 2\n" * 5000)
    time.sleep(0.5)  # it has read its input and is working
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (130, b"", b"")


def test_ctrl_c_during_input_exits_130_silently(started, pipe):
    path, opened = pipe
    child = started("compare", "lstm", "--input", path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with opened():
        time.sleep(0.5)  # it is waiting for input now
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize("module", ["gradflow.cli.ending", "typer", "gradflow.cli.power", "numpy"])
def test_ctrl_c_during_import_exits_130_silently(process, module):
    code = (
        "import sys\n"
        "class Pressed:\n"
        "    def find_spec(name, path, target=None):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Pressed)\n"
        "sys.argv = ['gradflow', 'power', '-m', '1']\n"
        "from gradflow.__main__ import main\n"
        "main()\n"
    )
    outcome = process(command=[sys.executable, "-c", code])
    assert (outcome.code, outcome.raw, outcome.err) == (130, b"", "")


def test_long_work_has_a_bar_on_stderr(terminal):
    arguments = ("compare", "rnn", "--steps", 150, "--seeds", 20, "--hidden", 80, "-f", "csv")
    outcome = terminal(*arguments, on=("stderr",))
    assert outcome.code == 0
    assert "/20" in outcome.err
    assert "\x1b[" in outcome.err
    assert [len(row) for row in outcome.rows()] == [len(outcome.rows()[0])] * 151
    assert "\x1b" not in outcome.out


@pytest.fixture
def at_once(monkeypatch):
    """Show the progress bar at once."""
    monkeypatch.setattr(screen, "BAR_DELAY", -1.0)


# A line of each command, and how many pieces of work it has: a field of its result, or None without a bar.
TINY = ("--hidden", 2, "--features", 2)
PIECES = {
    "compare": (COMPARE[1:], 2),  # one batch per cell
    "inspect": ((FILES / "equinox_gru.npz", FILES / "torch_gru.pt", "--length", 5), 2),  # files
    "init": (("rnn:init=orthogonal,activation=identity", *TINY, "--horizon", 9, "--seeds", 3), 1 + 1 + 3),
    "bptt": (("rnn", *TINY, "--steps", 5), 5),  # lags
    "power": (POWER[1:], 31),  # powers
    "lyapunov": (("rnn", *TINY, "--steps", 20), 2 * (2 + 20)),  # steps, from the first state and from others
    "theory": (("ginibre", "--gain", "1:2:1", "--hidden", 2, "--steps", 9, "--seeds", 3), 2 * (1 + 3)),
    "convert": ((FILES / "torch_gru.pt", "new.npz"), None),
    "run": ((FILES / "torch_gru.pt", "--input", "x.npy"), None),
    "derive": (("jacobian",), "verified"),  # lines
}


def test_every_command_has_a_line_here():
    assert list(PIECES) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_bar_counts_the_pieces_and_leaves_stdout_unchanged(cli, at_once, tmp_path, monkeypatch, plain, name):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.ones((5, 3)))
    arguments, pieces = PIECES[name]
    outcome = cli(name, *arguments, "-f", "json", terminals=("stderr",))
    assert outcome.code == 0, outcome.err
    assert outcome.raw == cli(name, *arguments, "-f", "json").raw
    if pieces is None:
        assert outcome.err == ""
    else:
        total = str(outcome.object["summary"].get(pieces, pieces))
        assert re.findall(r"(\d+)/(\d+)", plain(outcome.err))[-1] == (total, total)


@pytest.mark.parametrize(
    ("options", "terminals"), [((), ()), ((), ("stdout",)), (("-q",), ("stdout", "stderr"))]
)
def test_no_bar_off_a_terminal_or_when_quiet(cli, at_once, options, terminals):
    outcome = cli(*COMPARE, "-f", "csv", *options, terminals=terminals)
    assert (outcome.code, outcome.err) == (0, "")


def test_bar_is_removed_before_an_error(cli, at_once, plain):
    outcome = cli("compare", "lstm", "rnn", "--block", "cc", terminals=("stderr",))
    assert (outcome.code, outcome.raw) == (2, b"")
    last = plain(outcome.err).rstrip("\n").splitlines()[-1]
    assert last.lstrip("\r").startswith("gradflow: cell 'rnn': block 'cc'")
    assert outcome.err.count("\x1b[?25l") == outcome.err.count("\x1b[?25h")
