"""``-o FILE`` writes a whole file or nothing, in the right format, in place of the old file."""

import os
import stat
import threading

import pytest

import gradflow
from gradflow.render import FORMATS

POWER = ("power", "-m", "0.58 0.24; 0.24 0.72")
TOO_LARGE = ("power", "-m", "2 0; 0 1", "-n", 5000, "--table", "power", "-f", "csv")
OLD = "what was there before\n"
NAMES = [*FORMATS]


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "result.csv"
    path.write_text(OLD)
    return path


@pytest.fixture
def idle(monkeypatch):
    """Replace two analyses with functions that only record their calls."""
    calls = []
    for name in ("power", "compare"):
        monkeypatch.setattr(gradflow, name, lambda *a, **k: calls.append((a, k)))
    return calls


def untouched(path):
    return os.listdir(path.parent) == [path.name] and path.read_text() == OLD


@pytest.mark.parametrize("name", NAMES)
def test_suffix_decides_the_format(cli, tmp_path, name):
    path = tmp_path / f"result.{name}"
    outcome = cli(*POWER, "-o", path)
    assert (outcome.code, outcome.raw, outcome.err) == (0, b"", "")
    assert path.read_bytes() == cli(*POWER, "-f", name).raw
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("suffix", "name"), [(".txt", "table"), (".JSON", "json"), (".old.csv", "csv"), ("", "table")]
)
def test_other_suffixes_have_a_format(cli, tmp_path, suffix, name):
    path = tmp_path / f"result{suffix}"
    outcome = cli(*POWER, "-o", path)
    assert (outcome.code, outcome.raw) == (0, b"")
    assert path.read_bytes() == cli(*POWER, "-f", name).raw


def test_option_overrides_the_suffix(cli, tmp_path):
    path = tmp_path / "result.json"
    assert cli(*POWER, "-o", path, "-f", "csv").code == 0
    assert path.read_bytes() == cli(*POWER, "-f", "csv").raw


def test_option_allows_any_suffix(cli, tmp_path):
    path = tmp_path / "result.dat"
    assert cli(*POWER, "-o", path, "-f", "csv").code == 0
    assert path.read_bytes() == cli(*POWER, "-f", "csv").raw


def test_environment_overrides_the_default(cli, monkeypatch, tmp_path):
    expected = cli(*POWER, "-f", "csv").raw
    monkeypatch.setenv("GRADFLOW_FORMAT", "csv")
    outcome = cli(*POWER)
    assert (outcome.code, outcome.raw) == (0, expected)
    assert cli(*POWER, "-o", tmp_path / "result").code == 0
    assert (tmp_path / "result").read_bytes() == expected


def test_suffix_overrides_the_environment(cli, monkeypatch, tmp_path):
    expected = cli(*POWER, "-f", "csv").raw
    monkeypatch.setenv("GRADFLOW_FORMAT", "json")
    assert cli(*POWER, "-o", tmp_path / "result.csv").code == 0
    assert (tmp_path / "result.csv").read_bytes() == expected


def test_option_overrides_the_environment(cli, monkeypatch):
    expected = cli(*POWER, "-f", "csv").raw
    monkeypatch.setenv("GRADFLOW_FORMAT", "json")
    assert cli(*POWER, "-f", "csv").raw == expected


def test_empty_environment_format_is_ignored(cli, monkeypatch):
    expected = cli(*POWER)
    monkeypatch.setenv("GRADFLOW_FORMAT", "")
    assert cli(*POWER) == expected


def test_unknown_environment_format_exits_2(check_refused, monkeypatch):
    monkeypatch.setenv("GRADFLOW_FORMAT", "jsn")
    check_refused(2, *POWER, says=["'jsn'", "'json'", "GRADFLOW_FORMAT"])


def test_unknown_suffix_exits_2_before_any_work(check_refused, idle, tmp_path):
    check_refused(2, *POWER, "-o", tmp_path / "result.xlsx", says=[".xlsx", ".json", ".csv"])
    assert idle == []
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", [POWER, ("compare", "rnn")])
def test_missing_directory_exits_1_before_any_work(check_refused, idle, tmp_path, command):
    check_refused(1, *command, "-o", tmp_path / "nowhere" / "result.json", says=["nowhere"])
    assert idle == []
    assert os.listdir(tmp_path) == []


def test_directory_exits_1_before_any_work(check_refused, idle, tmp_path):
    (tmp_path / "results").mkdir()
    check_refused(1, *POWER, "-o", tmp_path / "results", says=["results", "directory"])
    assert idle == []


def test_unknown_format_exits_2_before_any_work(check_refused, idle, old):
    check_refused(2, *POWER, "-f", "jsn", "-o", old, says=["jsn"])
    assert idle == []
    assert untouched(old)


def test_unknown_verdict_exits_2_before_any_work(check_refused, idle, old):
    check_refused(2, *POWER, "--fail-on", "vanshing", "-o", old, says=["vanshing"])
    assert idle == []
    assert untouched(old)


@pytest.mark.parametrize(
    ("code", "command"),
    [
        (2, ("power", "-m", "1 2 3")),
        (1, ("power", "-m", "1 nan")),
        (2, (*POWER, "--table", "nroms")),
        (1, TOO_LARGE),
    ],
)
def test_failure_leaves_the_old_file(check_refused, old, code, command):
    check_refused(code, *command, "-o", old)
    assert untouched(old)


def test_bug_leaves_the_old_file(cli, monkeypatch, old):
    def broken(*arguments, **options):
        raise RuntimeError("from a test")

    monkeypatch.setattr(gradflow, "power", broken)
    assert cli(*POWER, "-o", old).code == 70
    assert untouched(old)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_exits_1_and_leaves_the_old_file(check_refused, monkeypatch, old, step):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    check_refused(1, *POWER, "-o", old, says=[str(old), "No space left on device"])
    assert untouched(old)


def test_interrupt_exits_130_and_leaves_the_old_file(cli, monkeypatch, old):
    def pressed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", pressed)
    assert cli(*POWER, "-o", old).code == 130
    assert untouched(old)


def test_reader_of_the_old_file_keeps_it(cli, old):
    with old.open() as reader:
        assert cli(*POWER, "-o", old).code == 0
        assert reader.read() == OLD
    assert old.read_bytes() == cli(*POWER, "-f", "csv").raw


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o755])
def test_replaced_file_keeps_its_permissions(cli, old, mode):
    old.chmod(mode)
    assert cli(*POWER, "-o", old).code == 0
    assert old.read_text() != OLD
    assert stat.S_IMODE(old.stat().st_mode) == mode


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_new_file_has_the_permissions_of_the_umask(cli, tmp_path, mask):
    before = os.umask(mask)
    try:
        assert cli(*POWER, "-o", tmp_path / "result.csv").code == 0
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "result.csv").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("there", [True, False], ids=["file", "dangling"])
def test_symbolic_link_stays_a_link(cli, tmp_path, there):
    target, link = tmp_path / "target.json", tmp_path / "link.csv"
    if there:
        target.write_text(OLD)
    link.symlink_to(target.name)
    assert cli(*POWER, "-o", link).code == 0
    assert link.is_symlink()
    assert os.readlink(link) == target.name
    assert target.read_bytes() == cli(*POWER, "-f", "csv").raw
    assert sorted(os.listdir(tmp_path)) == ["link.csv", "target.json"]


def test_named_pipe_is_not_replaced(cli, tmp_path):
    pipe, read = tmp_path / "pipe.csv", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    outcome = cli(*POWER, "-o", pipe)
    reader.join(20)
    assert (outcome.code, outcome.raw) == (0, b"")
    assert read == [cli(*POWER, "-f", "csv").raw]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_dash_is_stdout(cli):
    assert cli(*POWER, "-f", "csv", "-o", "-") == cli(*POWER, "-f", "csv")


def test_dev_stdout_writes_into_the_pipe(bash, cli):
    outcome = bash(
        "set -o pipefail; "
        "{ echo before; gradflow power -m 0.5 -n 3 -f csv -o /dev/stdout && echo after; } | cat"
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"before\n{cli('power', '-m', '0.5', '-n', 3, '-f', 'csv').out}after\n"


def test_input_file_can_be_the_output(cli, tmp_path):
    path = tmp_path / "w.csv"
    path.write_text("0.5,0\n0,4\n")
    assert cli("power", "-m", path, "-n", 2, "--table", "power", "-o", path).code == 0
    assert [[float(entry) for entry in line.split(",")] for line in path.read_text().splitlines()] == [
        [0.25, 0.0],
        [0.0, 16.0],
    ]


def test_note_of_a_file_is_on_stderr(cli, tmp_path):
    outcome = cli("power", "-m", "0 1; 0 0", "-o", tmp_path / "result.csv")
    assert (outcome.code, outcome.raw) == (0, b"")
    assert outcome.err.startswith("note: ")


def test_table_in_a_file_ignores_the_screen(cli, monkeypatch, tmp_path):
    plain = cli(*POWER).raw
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    outcome = cli(*POWER, "-o", tmp_path / "result.txt", terminals=("stdout", "stderr"), encoding="ascii")
    assert (outcome.code, outcome.raw) == (0, b"")
    assert (tmp_path / "result.txt").read_bytes() == plain


def test_fail_on_exits_3_after_the_file_is_written(cli, tmp_path):
    outcome = cli(*POWER, "-o", tmp_path / "result.csv", "--fail-on", "vanishing")
    assert (outcome.code, outcome.raw) == (3, b"")
    assert (tmp_path / "result.csv").read_bytes() == cli(*POWER, "-f", "csv").raw
