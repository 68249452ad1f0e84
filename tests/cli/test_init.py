"""``gradflow init``: the report on stdout, the weights in the file, refusals before work, and the gate."""

import functools
import io
import itertools
import json
import math
import os
import struct

import numpy as np
import pytest

import gradflow
from gradflow.analysis.init import init as module
from gradflow.analysis.init.tuning import Knob
from gradflow.render import FORMATS
from tests.cli.conftest import strict

SMALL = ("--hidden", 4, "--features", 2, "--horizon", 30, "--seeds", 2)
LSTM = ("init", "lstm", *SMALL)
# without input every unit of a relu is dead
DEAD = ("init", "rnn:activation=relu,init=keras", *SMALL, "--input", "zero")
LARGE = ("init", "rnn:activation=identity,init=orthogonal,gain=8", *SMALL)
OLD = b"what was there before\n"


@pytest.fixture
def work(monkeypatch):
    """Every call that would take long."""
    calls = []
    for name in ("follow", "measure_share", "search"):
        monkeypatch.setattr(module, name, lambda *arguments, name=name: calls.append(name))
    return calls


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(path):
    """The header of a safetensors file, by the letter of the format."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    found = json.loads(content[8 : 8 + size])
    assert max(one["data_offsets"][1] for one in found.values()) == len(content) - 8 - size
    return found


# ---- what comes where


def test_report_exits_0_on_stdout_in_every_format_and_weights_go_to_the_file(cli, remembered, tmp_path):
    file = tmp_path / "w.safetensors"
    for form in FORMATS:
        outcome = cli(*LSTM, "-o", file, "-f", form)
        assert (outcome.code, outcome.err) == (0, ""), form
        assert ("bias" in outcome.out) == (form not in ("csv", "tsv", "jsonl")), form
        assert outcome.raw, form
    assert set(header(file)) == {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
    assert os.listdir(tmp_path) == [file.name]


def test_json_exits_0_with_the_schema_and_every_table_and_the_numbers_of_the_library(cli, tmp_path):
    file = str(tmp_path / "w.npz")
    found = cli(*LSTM, "-o", file, "-f", "json").object
    assert found["schema"] == "gradflow.init/1"
    assert found["version"] == gradflow.__version__
    assert list(found["tables"]) == ["tuning", "trials", "arrays"]
    record = gradflow.init("lstm", hidden=4, features=2, horizon=30, seeds=2, output=file)
    assert found == strict(gradflow.to_text(record, "json"))
    assert found["params"]["output"] == found["summary"]["file"] == file
    assert found["params"]["seed"] == 0
    assert found["summary"]["size"] == os.stat(file).st_size
    assert [row["stage"] for row in found["tables"]["tuning"]] == ["before", "after"]


def test_json_of_an_exact_zero_exits_0_with_null_for_its_logarithm(cli):
    summary = cli(*DEAD, "-f", "json").object["summary"]
    assert (summary["norm_ratio"], summary["log10_norm_ratio"], summary["rate_after"]) == (0, None, None)
    assert summary["verdict"] == "vanishing"


def test_json_of_an_overflow_exits_0_and_is_strict(cli):
    outcome = cli("init", "rnn:activation=relu,gain=1e6", *SMALL, "--horizon", 100, "-f", "json")
    assert outcome.code == 0, outcome.err
    rows = outcome.object["tables"]["trials"]
    # 1e6 a step leaves the range of a double after some 50
    assert (rows[0]["value"], rows[0]["log10_norm_ratio"]) == (1e6, None)


def test_each_table_exits_0_by_its_name(cli, remembered, tmp_path):
    file = tmp_path / "w.npz"
    whole = cli(*LSTM, "-o", file, "-f", "json").object
    for form, table in itertools.product(("csv", "tsv", "jsonl"), ("tuning", "trials", "arrays", "summary")):
        outcome = cli(*LSTM, "-o", file, "-f", form, "--table", table)
        assert (outcome.code, outcome.err) == (0, ""), table
        rows = outcome.lines if form == "jsonl" else outcome.rows("\t" if form == "tsv" else ",")[1:]
        assert len(rows) == (1 if table == "summary" else len(whole["tables"][table])), table


def test_the_main_table_exits_0_as_csv_with_nan_where_the_scheme_draws_its_own(cli, remembered):
    head, before, after = cli(*LSTM, "-f", "csv").rows()
    told = dict(zip(head, before, strict=True)), dict(zip(head, after, strict=True))
    assert (told[0]["stage"], told[0]["value"]) == ("before", "nan")
    assert told[1]["stage"] == "after"
    assert float(told[1]["value"]) == cli(*LSTM, "-f", "json").object["summary"]["value"]


def test_without_a_file_exits_0_and_writes_none(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = cli(*LSTM, "-f", "json")
    assert outcome.code == 0
    assert outcome.object["summary"]["file"] is None
    assert "arrays" not in outcome.object["tables"]
    assert os.listdir(tmp_path) == []


def test_the_table_arrays_exits_2_without_a_file_and_says_how_to_have_it(check_refused):
    check_refused(2, *LSTM, "-f", "csv", "--table", "arrays", says=["arrays", "-o"])


@pytest.mark.parametrize("name", ["w.npz", "w.safetensors"])
def test_one_command_twice_exits_0_with_the_same_bytes_of_report_and_file(process, cli, tmp_path, name):
    found = []
    for run in (cli, functools.partial(process, env={"PYTHONHASHSEED": "1"})):
        outcome = run(*LSTM, "-o", tmp_path / name, "-f", "json")
        assert (outcome.code, outcome.err) == (0, "")
        found.append((outcome.raw, (tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
    assert found[0] == found[1]


def test_another_seed_exits_0_with_another_file(cli, tmp_path):
    for seed in (0, 1):
        assert cli(*LSTM, "--seed", seed, "-o", tmp_path / f"{seed}.npz").code == 0
    assert (tmp_path / "0.npz").read_bytes() != (tmp_path / "1.npz").read_bytes()


def test_progress_goes_to_a_terminal_on_stderr_and_never_to_stdout(cli):
    quiet = cli(*LSTM, "-f", "csv")
    watched = cli(*LSTM, "-f", "csv", terminals=("stderr",))
    assert quiet.raw == watched.raw
    assert quiet.err == ""


def test_other_commands_exit_0_with_their_result_in_the_file_and_nothing_on_stdout(cli, tmp_path):
    commands = [
        ("power", "-m", "0.5"),
        ("compare", "rnn", "--hidden", 2, "--steps", 3, "--seeds", 1),
        ("lyapunov", "rnn", "--hidden", 2, "--steps", 40),
    ]
    for command in commands:
        outcome = cli(*command, "-o", tmp_path / "result.json")
        assert (outcome.code, outcome.raw) == (0, b"")
        found = strict((tmp_path / "result.json").read_text())
        assert found["schema"] == f"gradflow.{command[0]}/1"


# ---- the file


@pytest.mark.parametrize(
    ("cell", "layout"), [("lstm", "torch"), ("gru", "keras"), ("rnn:init=orthogonal", "keras")]
)
def test_inspect_of_the_file_exits_0_past_the_gate_and_3_for_what_was_asked(cli, tmp_path, cell, layout):
    file = tmp_path / "w.npz"
    size = ("--hidden", 16, "--features", 2, "--horizon", 100, "--seeds", 1)
    found = cli("init", cell, *size, "-o", file, "--layout", layout, "-f", "json", "--fail-on", "vanishing")
    assert found.code == 0, found.err
    inspected = cli("inspect", file, "--length", 100, "-f", "json", "--fail-on", "vanishing")
    assert inspected.code == 0, inspected.err
    (layer,) = inspected.object["tables"]["layers"]
    # along other inputs the share of the output may come to lie a little below the limit
    assert (layer["verdict"] in ("stable", "borderline"), layer["framework"]) == (True, layout)
    assert layer["log10_share"] > -2.5
    assert abs(found.object["summary"]["log10_share"]) <= 2
    # as asked for it vanishes: ln of less than a hundredth over 99 steps
    assert found.object["summary"]["rate_before"] < -math.log(100) / 99


def test_keras_layout_exits_0_with_the_arrays_in_the_order_of_set_weights(cli, tmp_path):
    file = tmp_path / "w.npz"
    outcome = cli("init", "gru:layers=2", *SMALL, "-o", file, "--layout", "keras", "-f", "json")
    assert outcome.code == 0, outcome.err
    names = [
        f"{layer}/gru_cell/{name}"
        for layer in ("gru", "gru_1")
        for name in ("kernel", "recurrent_kernel", "bias")
    ]
    assert list(np.load(file)) == names
    assert [row["name"] for row in outcome.object["tables"]["arrays"]] == names
    layer = "keras.layers.GRU(4, return_sequences=True)"
    assert outcome.object["summary"]["constructor"] == f"{layer}, {layer}"
    assert [array.shape for array in np.load(file).values()] == [
        (2, 12), (4, 12), (2, 12), (4, 12), (4, 12), (2, 12),
    ]  # fmt: skip


def test_the_arrays_exit_0_as_float32_with_the_shapes_told(cli, tmp_path):
    file = tmp_path / "w.safetensors"
    rows = cli(*LSTM, "-o", file, "-f", "json").object["tables"]["arrays"]
    for row in rows:
        one = header(file)[row["name"]]
        assert (one["dtype"], row["dtype"]) == ("F32", "float32")
        assert "×".join(map(str, one["shape"])) == row["shape"]


def test_convert_exits_0_from_keras_names_to_those_that_init_writes_for_torch(cli, tmp_path):
    keras, torch, new = (tmp_path / f"{name}.npz" for name in ("keras", "torch", "new"))
    assert cli(*LSTM, "-o", keras, "--layout", "keras").code == 0
    assert cli(*LSTM, "-o", torch).code == 0
    assert cli("convert", f"{keras}::lstm", new).code == 0
    wanted, found = np.load(torch), np.load(new)
    assert set(wanted) == set(found)
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])


# ---- refusals

REFUSED = {
    "suffix": (2, ("-o", "w.pt"), ["'w.pt'", ".safetensors", ".npz"]),
    "suffix-of-a-report": (2, ("-o", "w.json"), ["'w.json'", ".safetensors", ".npz"]),
    "no-suffix": (2, ("-o", "w"), ["'w'", ".npz"]),
    "stdout": (2, ("-o", "-"), [".npz"]),
    "no-directory": (1, ("-o", "nowhere/w.npz"), ["nowhere", "directory"]),
    "directory": (1, ("-o", "taken.npz"), ["taken.npz", "directory"]),
    "layout": (2, ("--layout", "kears"), ["'kears'", "'keras'"]),
    "layout-that-is-read-alone": (2, ("--layout", "flax", "-o", "w.npz"), ["'flax'", "torch", "keras"]),
    "horizon": (2, ("--horizon", 1), ["horizon 1", "from 2"]),
    "horizon-no-number": (2, ("--horizon", "long"), ["--horizon", "'long'"]),
    "hidden": (2, ("--hidden", 0), ["hidden 0"]),
    "seeds": (2, ("--seeds", 0), ["seeds 0"]),
    "format": (2, ("-f", "jsn"), ["'jsn'", "json"]),
    "verdict": (2, ("--fail-on", "lost"), ["'lost'", "vanishing"]),
    "table-of-json": (2, ("-f", "json", "--table", "trials"), ["trials", "json"]),
    "no-input-file": (1, ("--input", "nowhere.npy"), ["nowhere.npy"]),
    "scale": (2, ("--input-scale", "nan"), ["scale", "nan"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_exits_1_or_2_before_the_work_and_writes_nothing(
    check_refused, work, tmp_path, monkeypatch, case
):
    code, options, says = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.npz").mkdir()
    check_refused(code, *LSTM, *options, says=says)
    assert work == []
    assert os.listdir(tmp_path) == ["taken.npz"]


def test_no_permission_exits_1_before_the_work_and_writes_nothing(check_refused, work, tmp_path, monkeypatch):
    # whoever runs this may be root, whom no mode stops
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    check_refused(1, *LSTM, "-o", tmp_path / "w.npz", says=["w.npz", "permission"])
    assert work == []
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("cell", "layout", "word"),
    [
        ("lstm:peephole=on", "torch", "peepholes"),
        ("lstm:coupled=on", "torch", "coupled"),
        ("lstm:coupled=on", "keras", "coupled"),
        ("gru:reset=before", "torch", "reset"),
    ],
)
def test_a_cell_that_the_framework_has_not_exits_1_before_the_work(
    check_refused, work, tmp_path, cell, layout, word
):
    check_refused(1, "init", cell, *SMALL, "--layout", layout, "-o", tmp_path / "w.npz", says=[word])
    assert work == []
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("cell", ["w.npz", "w.npz::lstm", "absent.pt"])
def test_a_checkpoint_as_the_cell_exits_2_and_says_that_it_is_trained(
    check_refused, tmp_path, monkeypatch, cell
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.npz").write_bytes(OLD)
    check_refused(2, "init", cell, says=[cell, "is a checkpoint", "rnn, lstm, gru"])
    assert (tmp_path / "w.npz").read_bytes() == OLD


def test_a_cell_misspelt_exits_2_and_a_missing_one_too(check_refused):
    check_refused(2, "init", "lsmt", says=["'lsmt'", "'lstm'"])
    check_refused(2, "init", says=["CELL"])
    check_refused(2, "init", "lstm", "gru", says=["gru"])


@pytest.mark.parametrize(
    ("shape", "options", "code", "says"),
    [
        ((20, 3), ("--horizon", 21), 2, ["21", "20"]),
        ((20, 3), ("--horizon", 20, "--features", 4), 2, ["4", "3"]),
        ((3,), (), 1, ["(3,)"]),
    ],
)
def test_inputs_that_do_not_do_exit_1_or_2_with_the_numbers(check_refused, work, shape, options, code, says):
    check_refused(code, "init", "rnn", "--input", "-", *options, stdin=npy(np.ones(shape)), says=says)
    assert work == []


def test_inputs_on_stdin_exit_0_and_the_first_steps_of_them_count(cli):
    data = np.random.default_rng(3).standard_normal((50, 3))
    command = ("init", "lstm", "--hidden", 4, "--horizon", 40, "--seeds", 1, "--input", "-", "-f", "json")
    one, other, third = (
        cli(*command, stdin=npy(part)).object["summary"] for part in (data, data[:40], data[10:])
    )
    assert one == other
    assert one["features"] == 3
    assert one["log10_norm_ratio"] != third["log10_norm_ratio"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ((*LSTM, "-f", "jsn"), 2),
        ((*LSTM, "--horizon", 1), 2),
        (("init", "lstm:peephole=on", *SMALL), 1),
        (("init", "rnn:activation=relu,gain=1e300", *SMALL), 1),
    ],
)
def test_a_failure_exits_1_or_2_and_leaves_the_older_file(check_refused, tmp_path, command, code):
    file = tmp_path / "w.npz"
    file.write_bytes(OLD)
    check_refused(code, *command, "-o", file)
    assert file.read_bytes() == OLD
    assert os.listdir(tmp_path) == ["w.npz"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_exits_1_with_the_reason_and_leaves_the_older_file(
    check_refused, tmp_path, monkeypatch, step
):
    file = tmp_path / "w.safetensors"
    file.write_bytes(OLD)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    check_refused(1, *LSTM, "-o", file, says=[str(file), "No space left on device"])
    assert file.read_bytes() == OLD
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_an_interrupt_exits_130_and_leaves_the_older_file(cli, tmp_path, monkeypatch):
    file = tmp_path / "w.npz"
    file.write_bytes(OLD)

    def pressed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "measure_share", pressed)
    outcome = cli(*LSTM, "-o", file)
    assert (outcome.code, outcome.raw) == (130, b"")
    assert file.read_bytes() == OLD
    assert os.listdir(tmp_path) == ["w.npz"]


# ---- the gate


def test_vanishing_exits_3_with_the_report_on_stdout_and_the_verdict_on_stderr(cli, remembered, tmp_path):
    file = tmp_path / "w.npz"
    command = (*DEAD, "-o", file, "--layout", "keras", "-f", "json")
    without, gated = cli(*command), cli(*command, "--fail-on", "vanishing")
    assert (without.code, gated.code) == (0, 3)
    assert gated.raw == without.raw
    assert gated.object["summary"]["verdict"] == "vanishing"
    assert "no gain from 0.001 to 1000" in gated.object["notes"][0]
    assert "vanishing" in gated.err
    # the weights are there all the same: the report says what they are
    assert next(iter(np.load(file))) == "simple_rnn/simple_rnn_cell/kernel"
    assert cli(*command, "--fail-on", "exploding", "--fail-on", "stable").code == 0


def test_exploding_exits_3(cli, monkeypatch):
    monkeypatch.setattr(module, "knob_of", lambda spec: Knob("gain", 8.0, 4.0, 16.0, doubled=True))
    outcome = cli(*LARGE, "-f", "json", "--fail-on", "exploding")
    assert outcome.code == 3
    summary = outcome.object["summary"]
    assert (summary["verdict"], summary["value"]) == ("exploding", 4)
    assert math.isclose(summary["log10_norm_ratio"], 29 * math.log10(4), abs_tol=1e-4)
    assert cli(*LARGE, "--fail-on", "vanishing").code == 0


def test_where_it_is_stable_the_gate_exits_3_for_that_verdict_alone(cli, remembered):
    codes = {verdict: cli(*LARGE, "--fail-on", verdict).code for verdict in gradflow.Tuned.verdicts}
    assert codes == {"vanishing": 0, "borderline": 0, "stable": 3, "exploding": 0}


def test_the_notes_of_a_machine_format_exit_0_on_stderr_and_quiet_ones_nowhere(cli, remembered):
    told = cli(*DEAD, "-f", "csv")
    assert told.code == 0
    assert told.err.startswith("note: no gain from 0.001 to 1000 keeps a gradient stable")
    assert cli(*DEAD, "-f", "csv", "-q").err == ""


def test_what_a_person_reads_exits_0_with_the_conclusion(cli, remembered):
    for form in ("table", "md"):
        outcome = cli(*LARGE, "-f", form)
        assert outcome.code == 0
        assert "the gradient is stable" in outcome.out
        assert "gain" in outcome.out
