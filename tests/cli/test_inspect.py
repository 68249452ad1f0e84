"""inspect and convert as commands: exit codes, streams, formats, screens, worker processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import gradflow
from tests.cli.test_screen import widest

FILES = Path(__file__).parent.parent / "oracles" / "files"
LSTM, GRU, RELU = (FILES / f"torch_{name}.pt" for name in ("lstm", "gru", "rnn_relu"))
BOTH, NESTED = FILES / "torch_lstm_bidirectional.pt", FILES / "torch_nested.pt"
KERAS, H5, ONNX = FILES / "keras_lstm.keras", FILES / "keras_lstm.h5", FILES / "onnx_lstm.onnx"
HOSTILE = "a\x1b[2J\x07\x9b\u202e:smile:b"
TABLES = ["layers", "curve", "gates", "advice", "units", "files", "changes", "summary"]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def layer(rows=16, hidden=4, prefix=""):
    shapes = {"weight_ih_l0": (rows, 3), "weight_hh_l0": (rows, hidden)}
    return {prefix + name: draw(*shape) for name, shape in shapes.items()}


@pytest.fixture
def odd(tmp_path):
    """Files that are no checkpoints, and layers that are no common ones."""
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "prose.pt").write_text("These are not the weights that you are looking for.")
    (tmp_path / "short.pt").write_bytes(LSTM.read_bytes()[:300])
    (tmp_path / "pointer.pt").write_text("version https://git-lfs.github.com/spec/v1\nsize 5\n")
    (tmp_path / "wide.csv").write_text("1,2,3,4\n5,6,7,8\n")
    (tmp_path / "bare").mkdir()
    np.savez(tmp_path / "dense.npz", kernel=draw(3, 3))
    np.savez(tmp_path / "dead.npz", weight_ih_l0=draw(2, 1), weight_hh_l0=np.eye(2, k=1))
    np.savez(tmp_path / "wild.npz", weight_ih_l0=np.ones((1, 1)), weight_hh_l0=np.full((1, 1), 1e40))
    np.savez(tmp_path / "after.npz", **{name: 1.1 * array for name, array in layer().items()})
    np.savez(tmp_path / "before.npz", **layer())
    return tmp_path


# command line, its code, and what its line on stderr must say
REFUSED = {
    "no-file-named": (("inspect",), 2, ["FILE"]),
    "no-such-file": (("inspect", "nowhere.pt"), 1, ["nowhere.pt"]),
    "empty": (("inspect", "empty.pt"), 1, ["empty.pt", "empty"]),
    "prose": (("inspect", "prose.pt"), 1, ["prose.pt: is text", "'These are not", "not a checkpoint"]),
    "numbers": (("inspect", "wide.csv"), 1, ["wide.csv: is text", "'1,2,3,4'", ".safetensors, "]),
    "pointer": (("inspect", "pointer.pt"), 1, ["pointer.pt: is a pointer of Git LFS", "git lfs pull"]),
    "convert-prose": (("convert", "prose.pt", "new.npz"), 1, ["prose.pt: is text", "not a checkpoint"]),
    "cut-short": (("inspect", "short.pt"), 1, ["short.pt"]),
    "no-recurrent-layer": (("inspect", "dense.npz"), 1, ["dense.npz", "no recurrent layer", "kernel"]),
    "directory-without": (("inspect", "bare"), 1, ["bare", "no checkpoint", ".safetensors"]),
    "one-of-several": (("inspect", LSTM, "empty.pt"), 1, ["empty.pt", "is empty"]),
    "none-for-the-gate": (("inspect", "empty.pt", "--fail-on", "unreadable"), 1, ["empty.pt"]),
    "named-twice": (("inspect", LSTM, LSTM), 2, ["twice"]),
    "unknown-layer": (("inspect", f"{LSTM}::ltsm"), 2, ["'ltsm'", "did you mean 'lstm'"]),
    "assume-no-value": (("inspect", RELU, "--assume", "activation"), 2, ["'activation'", "option=value"]),
    "assume-twice": (("inspect", RELU, "--assume", "activation=relu,activation=tanh"), 2, ["twice"]),
    "assume-unknown": (("inspect", RELU, "--assume", "activaton=relu"), 2, ["did you mean 'activation'"]),
    "assume-unknown-value": (("inspect", RELU, "--assume", "activation=relo"), 2, ["did you mean 'relu'"]),
    "assume-unneeded": (("inspect", LSTM, "--assume", "activation=relu"), 2, ["activation", "leave"]),
    "assume-no-number": (("inspect", FILES / "haiku_lstm.npz", "--assume", "forget_bias=x"), 2, ["number"]),
    "unknown-layout": (("inspect", LSTM, "--layout", "torhc"), 2, ["did you mean 'torch'"]),
    "another-layout": (("inspect", LSTM, "--layout", "haiku"), 1, ["no recurrent layer"]),
    "diff-of-one": (("inspect", "--diff", LSTM), 2, ["diff of 1"]),
    "diff-of-three": (("inspect", "--diff", LSTM, GRU, KERAS), 2, ["diff of 3"]),
    "diff-of-others": (("inspect", "--diff", LSTM, GRU), 1, ["in common"]),
    "length-0": (("inspect", LSTM, "--length", "0"), 2, ["length 0"]),
    "length-past-the-input": (("inspect", LSTM, "--input", "-", "--length", "3"), 2, ["length 3", "2 steps"]),
    "input-of-others": (("inspect", GRU, "--input", "prose.pt"), 1, ["prose.pt"]),
    "input-too-wide": (("inspect", LSTM, "--input", "wide.csv"), 2, ["4 features", "lstm 3"]),
    "unknown-verdict": (("inspect", LSTM, "--fail-on", "vanish"), 2, ["did you mean 'vanishing'"]),
    "table-not-asked-for": (("inspect", LSTM, "--table", "units"), 2, ["--units"]),
    "table-of-two-files": (("inspect", LSTM, "--table", "changes"), 2, ["--diff"]),
    "table-of-several-files": (("inspect", LSTM, "--table", "files"), 2, ["several"]),
    "match-without-equals": (("inspect", "--diff", LSTM, GRU, "--match", "a"), 2, ["'a'", "BEFORE=AFTER"]),
    "match-without-after": (("inspect", "--diff", LSTM, GRU, "--match", "a=b,c="), 2, ["'c='"]),
    "match-twice": (("inspect", "--diff", LSTM, GRU, "--match", "a=b,a=c"), 2, ["'a'", "twice"]),
    "match-no-such-layer": (("inspect", "--diff", LSTM, GRU, "--match", "lsm=gru"), 2, ["'lsm'", "'lstm'"]),
    "convert-no-target": (("convert", LSTM), 2, ["NEW"]),
    "convert-to-another-kind": (("convert", LSTM, "new.pt"), 2, ["new.pt", ".npz or .weights.h5"]),
    "convert-nothing": (("convert", "dense.npz", "new.npz"), 1, ["dense.npz", "no recurrent layer"]),
    "convert-no-such-file": (("convert", "nowhere.h5", "new.npz"), 1, ["nowhere.h5"]),
    "convert-to-nowhere": (("convert", LSTM, "no/such/new.npz"), 1, ["no/such/new.npz"]),
    "convert-what-torch-lacks": (("convert", FILES / "keras_relu_lstm.keras", "new.npz"), 1, ["relu"]),
    "convert-has-no-verdict": (("convert", LSTM, "new.npz", "--fail-on", "vanishing"), 2, ["verdict"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_exits_1_or_2_with_one_line_on_stderr(check_refused, odd, monkeypatch, case):
    arguments, code, says = REFUSED[case]
    monkeypatch.chdir(odd)
    check_refused(code, *arguments, says=says, stdin=b"1 2 3\n4 5 6\n")
    assert not Path("new.npz").exists()


GATED = [
    (["vanishing"], 3),
    (["exploding"], 0),
    (["unreadable"], 3),
    (["stable"], 0),
    (["stable", "vanishing"], 3),
    (["borderline"], 0),
    (["stable", "exploding"], 0),
]


def test_gate_on_a_verdict_of_any_layer_or_file_exits_3_with_the_result_on_stdout(cli, remembered, tmp_path):
    shutil.copy(LSTM, tmp_path / "lstm.pt")
    (tmp_path / "empty.pt").touch()
    arguments = ("inspect", tmp_path, "-f", "json")
    without = cli(*arguments)
    assert (without.code, without.err) == (0, "")
    for verdicts, code in GATED:
        gate = [word for verdict in verdicts for word in ("--fail-on", verdict)]
        outcome = cli(*arguments, *gate)
        assert (outcome.code, outcome.raw) == (code, without.raw), verdicts
        assert outcome.err.startswith("gradflow: gate failed: ") == (code == 3), verdicts
        assert "Advice" not in outcome.err
        assert cli(*arguments, *gate, "-q").err == outcome.err, verdicts


def test_gate_on_exploding_exits_3_where_a_state_overflows(cli, odd):
    outcome = cli(
        "inspect",
        odd / "wild.npz",
        "--input",
        "constant",
        "--assume",
        "activation=relu",
        "--fail-on",
        "exploding",
    )
    assert outcome.code == 3
    assert outcome.err.startswith("gradflow: gate failed: rnn is exploding: the state overflows at step ")


def test_gate_on_vanishing_exits_0_where_the_verdict_is_borderline(cli, tmp_path):
    # tanh at rest: 0.93¹⁰⁰ = 7e-4 of a gradient is left
    np.savez(tmp_path / "slow.npz", weight_ih_l0=np.zeros((2, 1)), weight_hh_l0=0.93 * np.eye(2))
    command = ("inspect", tmp_path / "slow.npz", "--input", "zero", "-f", "json")
    calm = cli(*command, "--fail-on", "vanishing")
    assert (calm.code, calm.err) == (0, "")
    assert calm.object["tables"]["layers"][0]["verdict"] == "borderline"
    assert cli(*command, "--fail-on", "borderline").code == 3
    assert cli("compare", tmp_path / "slow.npz", "--input", "zero", "--fail-on", "vanishing").code == 0
    assert cli("compare", tmp_path / "slow.npz", "--input", "zero", "--fail-on", "borderline").code == 3


@pytest.mark.parametrize(
    ("name", "options"),
    [("before.npz", ()), ("dead.npz", ()), ("dead.npz", ("--length", "1")),
     ("wild.npz", ("--assume", "activation=relu", "--input", "constant")), ("dead.npz", ("--input", "zero"))],
)  # fmt: skip
def test_json_exits_0_strict_with_params_and_tables_whatever_the_numbers(cli, odd, name, options):
    outcome = cli("inspect", odd / name, *options, "--units", "-f", "json")
    assert outcome.code == 0
    found = outcome.object  # refuses NaN, Infinity and a name that comes twice
    assert found["schema"] == "gradflow.inspect/1"
    assert set(found["params"]) == {
        "files",
        "chain",
        "gate_steps",
        "input",
        "key",
        "length",
        "seed",
        "layout",
        "assume",
        "units",
        "diff",
        "match",
        "advice",
    }
    assert found["params"]["files"] == [str(odd / name)]
    assert found["params"]["seed"] == 0
    assert {"layers", "gates", "units"} <= set(found["tables"])
    (row,) = found["tables"]["layers"]
    assert row["layer"] in ("lstm", "rnn")


def test_json_carries_an_exact_zero_and_an_overflow_as_null(cli, odd):
    dead = cli("inspect", odd / "dead.npz", "--input", "zero", "-f", "json").object["tables"]["layers"][0]
    assert (dead["rate"], dead["log10_share"], dead["half_life"], dead["verdict"]) == (
        None,
        None,
        0.0,
        "vanishing",
    )
    arguments = ("--input", "constant", "--assume", "activation=relu")
    wild = cli("inspect", odd / "wild.npz", *arguments, "-f", "json").object["tables"]["layers"][0]
    assert (wild["log10_share"], wild["blow_up_step"], wild["verdict"]) == (None, 9, "exploding")


def test_csv_of_each_table_exits_0_with_what_json_has_and_no_empty_cell(cli, remembered, odd):
    arguments = ("inspect", odd / "before.npz", odd / "after.npz", "--diff", "--units")
    record = cli(*arguments, "-f", "json").object
    for table in TABLES:
        outcome = cli(*arguments, "-f", "csv", "--table", table)
        assert outcome.code == 0, table
        header, *rows = outcome.rows()
        if table != "summary":
            wanted = record["tables"][table]
            assert len(rows) == len(wanted), table
            assert all(list(row) == header for row in wanted), table
        assert all(len(row) == len(header) and all(row) for row in rows), table


def test_csv_without_a_table_exits_0_with_the_layers(cli, remembered):
    assert (
        cli("inspect", GRU, "-f", "csv").rows()
        == cli("inspect", GRU, "-f", "csv", "--table", "layers").rows()
    )
    assert [row[0] for row in cli("inspect", BOTH, "-f", "csv").rows()][:2] == ["layer", "lstm.l0"]


def test_notes_exit_0_on_stderr_beside_a_table_and_inside_json(cli, remembered):
    beside, inside = cli("inspect", RELU), cli("inspect", RELU, "-f", "json")
    assert (beside.code, inside.code) == (0, 0)
    (note,) = inside.object["notes"]
    assert "activation=tanh" in note
    assert (beside.err, inside.err) == (f"note: {note}\n", "")
    assert cli("inspect", RELU, "-q").err == ""


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_convert_exits_0_and_writes_what_inspects_the_same(cli, tmp_path, suffix):
    target = tmp_path / f"new.{suffix}"
    outcome = cli("convert", KERAS, target, "-f", "json")
    assert (outcome.code, outcome.err) == (0, "")
    found = outcome.object
    assert found["schema"] == "gradflow.convert/1"
    assert found["params"]["target"] == str(target)
    assert found["summary"]["size"] == target.stat().st_size
    assert [array["name"] for array in found["tables"]["arrays"]] == list(gradflow.read_arrays(target))
    ours, theirs = (cli("inspect", path, "-f", "json").object["tables"] for path in (target, KERAS))
    assert ours["layers"][0]["framework"] == "torch"
    for table in ("layers", "gates"):
        for one, other in zip(ours[table], theirs[table], strict=True):
            for name, value in other.items():
                if isinstance(value, float):
                    assert one[name] == pytest.approx(value, rel=1e-9), name
    assert os.listdir(tmp_path) == [target.name]


@pytest.mark.parametrize("way", ["model.npz", "../here/model.npz", "link.npz", "linked/model.npz"])
def test_convert_over_its_source_exits_2_and_leaves_it(check_refused, tmp_path, monkeypatch, way):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    np.savez("model.npz", head=np.ones(3), **layer())
    Path("link.npz").symlink_to("model.npz")
    Path("linked").symlink_to(".")
    before = Path("model.npz").read_bytes()
    for source in ("model.npz", "model.npz::lstm", "link.npz"):
        check_refused(2, "convert", source, way, says=["source"])
    assert Path("model.npz").read_bytes() == before


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """Checkpoints whose layers, and one of whose names, would do things to a screen."""
    monkeypatch.chdir(tmp_path)
    bad = {f"{HOSTILE}3.weight_ih": draw(5, 3), f"{HOSTILE}3.weight_hh": draw(4, 4)}
    plain = {f"{HOSTILE}2.{name.removesuffix('_l0')}": array for name, array in layer(4).items()}
    save_file({**layer(prefix=f"{HOSTILE}."), **plain, **bad}, "one.safetensors")
    shutil.copy("one.safetensors", f"[red]{HOSTILE}[bold].safetensors")
    return ["one.safetensors", f"[red]{HOSTILE}[bold].safetensors"]


@pytest.mark.parametrize("several", [False, True])
def test_hostile_names_exit_0_and_never_reach_the_screen_raw(cli, remembered, hostile, several):
    for name in ("table", "md", "html"):
        outcome = cli("inspect", *(hostile if several else hostile[:1]), "-f", name)
        assert outcome.code == 0
        for line in (outcome.out + outcome.err).splitlines():
            assert line.isprintable(), repr(line)
        assert ":smile:" in outcome.out
        if several and name == "table":
            assert "[red]" in outcome.out


def test_hostile_names_exit_0_and_come_back_whole_from_what_machines_read(cli, remembered, hostile):
    found = cli("inspect", *hostile, "-f", "json").object["tables"]
    assert [row["file"] for row in found["files"]] == hostile
    names = [row["layer"] for row in found["layers"]]
    assert all("\x1b" in name for name in names)
    assert [row[0] for row in cli("inspect", *hostile, "-f", "csv").rows()[1:]] == names
    assert [row[0] for row in cli("inspect", *hostile, "-f", "tsv").rows("\t")[1:]] == names
    assert [row["layer"] for row in cli("inspect", *hostile, "-f", "jsonl").lines] == names


def test_hostile_names_are_refused_on_one_printable_line(check_refused, hostile):
    check_refused(2, "inspect", f"{hostile[0]}::a\x1b[2J\x9b", says=["unknown layer"])
    check_refused(1, "inspect", HOSTILE + ".pt")
    check_refused(1, "convert", HOSTILE + ".pt", "new.npz")


@pytest.mark.parametrize(
    "arguments",
    [
        (BOTH, "--units"),
        (LSTM, GRU, NESTED),
        ("--diff", "before.npz", "after.npz"),
        (FILES / "keras_names.npz",),
    ],
    ids=["both", "several", "diff", "assumed"],
)
def test_columns_exit_0_with_no_line_longer_than_they_say(cli, remembered, odd, monkeypatch, arguments):
    monkeypatch.chdir(odd)
    for columns in (40, 80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        outcome = cli("inspect", *arguments)
        assert outcome.code == 0
        assert widest(outcome.out) <= columns


@pytest.mark.parametrize("folder", [".", "a-folder-with-a-name-of-many-words-" + "and-words" * 6])
def test_convert_at_80_columns_exits_0_with_no_line_longer(cli, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    Path(folder).mkdir(exist_ok=True)
    outcome = cli("convert", BOTH, f"{folder}/new.npz")
    assert outcome.code == 0
    assert widest(outcome.out) <= 80


@pytest.mark.parametrize(
    ("command", "package", "extra", "file"),
    [
        ("inspect", "h5py", "hdf5", H5),
        ("inspect", "h5py", "hdf5", FILES / "keras_lstm.weights.h5"),
        ("inspect", "onnx", "onnx", ONNX),
        ("convert", "h5py", "hdf5", KERAS),
    ],
)
def test_missing_extra_exits_1_with_one_line_that_says_what_to_install(
    process, tmp_path, command, package, extra, file
):
    arguments = [command, str(file), *([str(tmp_path / "new.npz")] if command == "convert" else [])]
    code = (
        f"import sys\nsys.modules[{package!r}] = None\nsys.argv = ['gradflow', *{arguments!r}]\n"
        "from gradflow.__main__ import main\nmain()\n"
    )
    outcome = process(command=[sys.executable, "-c", code])
    assert (outcome.code, outcome.raw, outcome.err.count("\n")) == (1, b"", 1)
    assert f"(extra gradflow-rnn[{extra}])" in outcome.err
    assert str(file) in outcome.err


def test_two_runs_exit_0_with_the_same_bytes(process, cli, tmp_path):
    # several files and several layers: worker processes, and changes that are drawn
    arguments = ("inspect", BOTH, GRU, "--units", "-f", "json")
    first, second = process(*arguments), cli(*arguments)
    assert (first.code, first.err) == (0, "")
    assert first.raw == second.raw
    assert cli(*arguments, "--seed", "1").raw != first.raw
    assert process("convert", KERAS, tmp_path / "a.safetensors").code == 0
    assert cli("convert", KERAS, tmp_path / "b.safetensors").code == 0
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_standard_input_exits_0_alone_and_among_several_files(process, cli):
    alone = process("inspect", "-", "-f", "csv", stdin=LSTM.read_bytes())
    assert (alone.code, alone.err) == (0, "")
    assert alone.out == cli("inspect", LSTM, "-f", "csv").out
    several = process("inspect", "-", GRU, "--table", "files", "-f", "csv", stdin=LSTM.read_bytes())
    assert several.code == 0
    first, second = several.err.splitlines()
    assert first.startswith("note: each change was measured alone. ")
    assert second == "note: advice was measured on unit normal inputs; give those of your task as --input."
    assert [row[1] for row in several.rows()[1:]] == ["1", "1"]
    assert several.rows()[2][0] == str(GRU)


def workers(group):
    """The processes of a group but its first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != group:
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended since
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


@pytest.fixture
def busy(started, tmp_path):
    """Start an inspection of two files that are work for many seconds, in the middle of it."""
    groups, hidden = [], 900
    arrays = {"weight_ih_l0": np.zeros((4 * hidden, 1)), "weight_hh_l0": np.zeros((4 * hidden, hidden))}
    arrays["weight_hh_l0"] += draw(4 * hidden, hidden) / 30
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", **arrays)

    def busy():
        pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        child = started("inspect", tmp_path, stdin=subprocess.DEVNULL, start_new_session=True, **pipes)
        groups.append(child.pid)
        limit = time.monotonic() + 30
        while len(workers(child.pid)) < 2 and time.monotonic() < limit:
            time.sleep(0.02)
        time.sleep(0.5)  # they compute
        assert child.poll() is None
        return child

    yield busy
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)  # whatever is left of this test's own
        except ProcessLookupError:
            continue


def test_ctrl_c_ends_the_workers_too_at_once_and_exits_130_with_nothing_on_either_stream(busy):
    child = busy()
    assert len(workers(child.pid)) >= 2
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=4)
    assert (child.returncode, out, err) == (130, b"", b"")
    limit = time.monotonic() + 2
    while workers(child.pid) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not workers(child.pid)


def test_workers_end_when_their_parent_is_ended(busy):
    child = busy()
    alive = workers(child.pid)
    child.kill()
    child.communicate(timeout=10)  # a worker that stays would hold the streams open
    limit = time.monotonic() + 10
    while any(Path(f"/proc/{worker}/stat").exists() for worker in alive) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{worker}/stat").exists() for worker in alive)


def test_worker_that_the_system_ends_exits_1_with_one_line_and_is_no_bug(busy):
    # as it does with one that takes more memory than there is
    child = busy()
    for worker in workers(child.pid):
        os.kill(worker, signal.SIGKILL)
    out, err = child.communicate(timeout=20)
    assert (child.returncode, out, err.count(b"\n")) == (1, b"", 1)
    assert err.startswith(b"gradflow: ")
    assert b"bug" not in err
