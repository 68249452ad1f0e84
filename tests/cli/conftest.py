"""Two ways to run a command line: inside the test process, which is fast, and as a process of its own."""

import csv
import functools
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from typing import NamedTuple

import pytest

import gradflow
from gradflow.cli import COMMANDS
from gradflow.cli.main import run

PROGRAM = [sys.executable, "-m", "gradflow"]
# variables that a user's shell may have set and that tests must not see
TELLING = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM", "GITHUB_ACTIONS", "PYTHONIOENCODING")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Outcome(NamedTuple):
    """The exit code of a command line and what it wrote to its two streams."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self):
        return self.raw.decode()

    @property
    def object(self):
        return strict(self.out)

    @property
    def lines(self):
        """The objects of JSON lines."""
        return [strict(line) for line in self.out.splitlines()]

    def rows(self, delimiter=","):
        return list(csv.reader(io.StringIO(self.out), delimiter=delimiter))


def strict(text):
    """Parse JSON strictly: without NaN, Infinity and repeated names."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    def once(pairs):
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names), f"{names} has a name twice"
        return dict(pairs)

    return json.loads(text, parse_constant=refuse, object_pairs_hook=once)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """Unset the variables that change how a program behaves."""
    for name in list(os.environ):
        if name in TELLING or name.startswith(("GRADFLOW", "_GRADFLOW", "_TYPER")):
            monkeypatch.delenv(name)


class Stream(io.TextIOWrapper):
    """A text stream that keeps its bytes, and that is a terminal if a test asks for one."""

    terminal = False

    def isatty(self):
        return self.terminal


@pytest.fixture
def cli(monkeypatch):
    """Run one command line in this process, as ``cli("power", "-m", "1", stdin=b"")``."""

    def cli(*arguments, stdin=b"", encoding="utf-8", terminals=()):
        streams = {
            "stdin": Stream(io.BytesIO(stdin), encoding="utf-8"),
            "stdout": Stream(io.BytesIO(), encoding=encoding),
            "stderr": Stream(io.BytesIO(), encoding=encoding),
        }
        with monkeypatch.context() as patch:
            for name, stream in streams.items():
                stream.terminal = name in terminals
                patch.setattr(sys, name, stream)
            code = run([str(argument) for argument in arguments])
        for name in ("stdout", "stderr"):
            streams[name].flush()
        written = [streams[name].buffer.getvalue() for name in ("stdout", "stderr")]
        return Outcome(code, written[0], written[1].decode(encoding))

    return cli


@pytest.fixture
def remembered(monkeypatch):
    """Let an analysis run once for equal arguments: for tests of what becomes of its result."""
    records = {}

    def remembering(function):
        @functools.wraps(function)
        def remembered(*arguments, **options):
            # neither a progress bar nor worker processes change a result
            options = {name: value for name, value in options.items() if name not in ("progress", "executor")}
            key = repr((function.__name__, arguments, sorted(options.items())))
            if key not in records:
                records[key] = function(*arguments, **options)
            return records[key]

        return remembered

    for name in COMMANDS:
        monkeypatch.setattr(gradflow, name, remembering(getattr(gradflow, name)))


@pytest.fixture
def check_refused(cli):
    """Run a command line that must fail; check its code, the empty stdout and the one line on stderr."""

    def check_refused(code, *arguments, says=(), stdin=b""):
        outcome = cli(*arguments, stdin=stdin)
        assert outcome.code == code, outcome.err
        assert outcome.raw == b""
        assert outcome.err.endswith("\n")
        line = outcome.err.removesuffix("\n")
        assert line.isprintable(), f"not one printable line: {line!r}"
        assert line.startswith("gradflow")
        assert "Traceback" not in line
        for word in says:
            assert word in line
        return line

    return check_refused


@pytest.fixture
def environment():
    """Return the smallest environment that a process needs, with what a test adds."""

    def environment(**added):
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "LANG": "C.UTF-8", "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", **added}

    return environment


@pytest.fixture
def process(environment):
    """Run one command line as a process; ``env`` is added to a minimal environment."""

    def process(*arguments, stdin=b"", env=None, command=PROGRAM, **options):
        done = subprocess.run(
            [*command, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            env=environment(**(env or {})),
            timeout=60,
            check=False,
            **options,
        )
        return Outcome(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    return process


@pytest.fixture
def bash(process):
    """Run a line of bash in which ``gradflow`` is the program."""

    def bash(script, **options):
        name = f'gradflow() {{ "{sys.executable}" -m gradflow "$@"; }}\n'
        return process(name + script, command=["bash", "-c"], **options)

    return bash


@pytest.fixture
def started(environment):
    """Start a command line as a process, and end it when the test ends."""
    begun = []

    def started(*arguments, env=None, **options):
        child = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            env=environment(**(env or {})),
            # a shell that runs the tests in the background may have set Ctrl-C to be ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **options,
        )
        begun.append(child)
        return child

    yield started
    for child in begun:
        if child.poll() is None:
            child.kill()
        child.wait(10)
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def terminal(started):
    """Run one command line on a terminal of ``columns``; ``on`` names the streams that are the terminal."""

    def terminal(*arguments, columns=80, env=None, on=("stdout",)):
        main, secondary = pty.openpty()
        os.set_blocking(main, False)
        termios.tcsetwinsize(secondary, (50, columns))
        streams = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE) | dict.fromkeys(on, secondary)
        child = started(*arguments, env=env, stdin=subprocess.DEVNULL, **streams)
        os.close(secondary)
        readers = {main: b""} | {stream.fileno(): b"" for stream in (child.stdout, child.stderr) if stream}
        limit = time.monotonic() + 60
        still = set(readers)
        while still and time.monotonic() < limit:
            for reader in select.select(list(still), [], [], 1)[0]:
                try:
                    part = os.read(reader, 65536)
                except OSError:  # on Linux, when the other end of the terminal is closed
                    part = b""
                readers[reader] += part
                if not part:
                    still.discard(reader)
        os.close(main)
        code = child.wait(10)
        shown = readers[main].replace(b"\r\n", b"\n")
        out = shown if "stdout" in on else readers[child.stdout.fileno()]
        err = shown if "stderr" in on else readers[child.stderr.fileno()]
        return Outcome(code, out, err.decode())

    return terminal


@pytest.fixture
def plain():
    """Return text without its escape codes."""
    return lambda text: ESCAPE.sub("", text)
