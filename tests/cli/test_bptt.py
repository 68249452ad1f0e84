"""``gradflow bptt``: every format and table, strict JSON, data of files and pipes, and what is refused."""

import io
import json
import math
import re

import numpy as np
import pytest

import gradflow
from gradflow.cli import screen
from gradflow.render import FORMATS

SMALL = ("--hidden", 4, "--features", 3, "--steps", 8)
GENERATOR = np.random.default_rng(0)
INPUTS = GENERATOR.standard_normal((2, 8, 3))
TARGETS = GENERATOR.standard_normal((2, 8, 4))
COLUMNS = [
    "lag", "log10_norm", "norm", "share", "cumulative_share", "truncation_error", "log10_truncation_error",
    "truncation_cosine",
]  # fmt: skip
# without a bias, and with no input, the state is 0: so is the gradient of the recurrent weights
NOTHING = {
    "weight_ih_l0": np.ones((2, 1)), "weight_hh_l0": np.eye(2) / 2, "bias_ih_l0": np.zeros(2),
    "bias_hh_l0": np.zeros(2),
}  # fmt: skip


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.fixture
def files(tmp_path):
    """Data and a network that somebody has."""
    np.save(tmp_path / "x.npy", INPUTS[0])
    np.save(tmp_path / "batch.npy", INPUTS)
    np.save(tmp_path / "y.npy", TARGETS[0])
    np.save(tmp_path / "complex.npy", TARGETS[0] + 1j)
    np.save(tmp_path / "short.npy", TARGETS[0, :7])
    np.save(tmp_path / "nan.npy", np.where(TARGETS[0] > 1, np.nan, TARGETS[0]))
    np.savetxt(tmp_path / "y.csv", TARGETS[0], delimiter=",", header="a,b,c,d", comments="", fmt="%.17g")
    np.savez(tmp_path / "several.npz", y=TARGETS[0], z=TARGETS[1])
    np.savez(tmp_path / "nothing.npz", **NOTHING)
    return tmp_path


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_exits_0_with_the_same_bytes_for_the_same_seed(cli, form):
    one, two, other = (cli("bptt", "lstm", *SMALL, "-f", form, "--seed", seed) for seed in (1, 1, 2))
    assert one.code == two.code == other.code == 0, one.err
    assert one.raw == two.raw != other.raw
    assert one.err == ""


def test_json_exits_0_as_one_strict_object_with_schema_and_all_params(cli):
    result = cli("bptt", "lstm", *SMALL, "--map", "-f", "json").object
    assert result["schema"] == "gradflow.bptt/1"
    assert list(result["tables"]) == ["lags", "windows", "map"]
    assert result["params"] == {
        "cell": "lstm", "loss": "mean", "targets": None, "targets_key": None, "parameter": "weight_hh",
        "hidden": 4, "steps": 8, "batch": 1, "seed": 0, "features": 3, "assume": {},
        "input": None, "key": None,
        "input_format": None, "input_scale": 1.0, "pair_map": True,
    }  # fmt: skip
    lags, pairs, summary = result["tables"]["lags"], result["tables"]["map"], result["summary"]
    assert [list(row) for row in lags] == [COLUMNS] * 8
    assert [row["lag"] for row in lags] == list(range(8))
    assert [list(row) for row in pairs] == [["t", "k", "log10_norm", "share"]] * 36
    assert summary["difference_error"] < 1e-8
    assert summary["gradient_norm"] == pytest.approx(10 ** summary["log10_gradient_norm"], rel=1e-12)
    assert summary["effective_lag"] == pytest.approx(math.fsum(row["lag"] * row["share"] for row in lags))
    assert math.fsum(row["share"] for row in lags) == pytest.approx(1, abs=1e-12)
    assert summary["parameters"] == 4 * 4 * 4
    # the state before the first step is 0, and so is what is made of it
    assert (lags[-1]["log10_norm"], lags[-1]["norm"], lags[-1]["share"]) == (None, 0, 0)
    first = [row for row in pairs if row["k"] == 1]
    assert [(row["log10_norm"], row["share"]) for row in first] == [(None, 0)] * 8


def test_the_command_exits_0_with_the_numbers_of_the_function(cli):
    options = ("--loss", "final", "--parameter", "layer2.bias", "--batch", 2, "--input-scale", 0.5)
    result = cli("bptt", "gru:layers=2", *SMALL, *options, "-f", "json").object
    found = gradflow.bptt(
        "gru:layers=2", loss="final", parameter="layer2.bias", batch=2, input_scale=0.5, hidden=4,
        features=3, steps=8,
    )  # fmt: skip
    assert result == json.loads(gradflow.to_text(found, "json"))


def test_a_gradient_of_0_exits_0_as_nulls_in_json_and_as_words_in_csv(cli, files):
    command = ("bptt", files / "nothing.npz", "--input", "zero", "--steps", 4)
    result = cli(*command, "--map", "-f", "json").object
    summary = result["summary"]
    for name in (
        "log10_gradient_norm",
        "effective_lag",
        "cancellation",
        "window_1pct",
        "detached_error",
        "difference_error",
    ):
        assert summary[name] is None
    assert summary["gradient_norm"] == 0
    assert "exactly 0" in summary["conclusion"]
    rows = cli(*command, "-f", "csv").rows()
    assert rows[0] == COLUMNS
    for lag, row in enumerate(rows[1:]):
        assert row == [str(lag), "-inf", "0.0", "0.0", "0.0", "nan", "nan", "nan"]
    for form in ("table", "md"):
        found = cli(*command, "--map", "-f", form)
        assert found.code == 0
        assert "is exactly 0" in found.out


@pytest.mark.parametrize(("form", "delimiter"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("table", ["lags", "windows", "map", "summary"])
def test_every_table_exits_0_with_no_entry_empty(cli, form, delimiter, table):
    rows = cli("bptt", "rnn", *SMALL, "--map", "-f", form, "--table", table).rows(delimiter)
    if table == "windows":
        window = gradflow.bptt("rnn", hidden=4, features=3, steps=8).window_1pct
        assert [row[0] for row in rows[1:]] == [str(w) for w in sorted({1, 2, 4, window})]
    else:
        assert len(rows) == {"lags": 9, "map": 37, "summary": 2}[table]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert all(entry.strip() for row in rows for entry in row)


def test_the_map_exits_0_as_a_grid_that_a_script_may_plot(cli):
    rows = cli("bptt", "rnn", *SMALL, "--map", "--table", "map", "-f", "csv").rows()[1:]
    lags = cli("bptt", "rnn", *SMALL, "-f", "csv").rows()[1:]
    shares = np.zeros((8, 8))
    for t, k, log10_norm, share in rows:
        shares[int(t) - 1, int(k) - 1] = float(share)
        assert (log10_norm == "-inf") == (k == "1")
    for lag, row in enumerate(lags):
        assert shares.diagonal(-lag).sum() == pytest.approx(float(row[3]), abs=1e-12)


def test_out_of_range_exits_0_with_logarithms_for_norms_and_a_note(cli):
    options = ("--hidden", 3, "--features", 2, "--steps", 200)
    found = cli("bptt", "rnn:activation=identity,gain=8,init=orthogonal", *options, "-f", "json")
    assert (found.code, found.err) == (0, "")
    result = found.object
    assert result["summary"]["gradient_norm"] is result["summary"]["loss"] is None
    assert result["summary"]["log10_gradient_norm"] > 308
    assert all(row["norm"] is None for row in result["tables"]["lags"][:-1])
    assert any("loss leaves the range" in note for note in result["notes"])
    spoken = cli("bptt", "rnn:activation=identity,gain=8,init=orthogonal", *options, "-f", "csv")
    assert "note: The loss leaves the range" in spoken.err
    quiet = cli("bptt", "rnn:activation=identity,gain=8,init=orthogonal", *options, "-f", "csv", "-q")
    assert (quiet.raw, quiet.err) == (spoken.raw, "")
    assert quiet.rows()[1][2] == "inf"


@pytest.mark.parametrize("name", ["y.npy", "y.csv"])
def test_targets_of_a_file_exit_0_and_are_told(cli, files, name):
    found = cli("bptt", "gru", *SMALL, "--targets", files / name, "-f", "json").object
    expected = gradflow.bptt("gru", hidden=4, features=3, steps=8, targets=TARGETS[0])
    assert found["params"]["targets"] == str(files / name)
    assert found["summary"]["loss"] == expected.loss
    assert [row["share"] for row in found["tables"]["lags"]] == expected.lags.share.tolist()


def test_one_of_several_arrays_of_targets_exits_0_by_its_key(cli, files):
    command = ("bptt", "gru", *SMALL, "--targets", files / "several.npz")
    found = cli(*command, "--targets-key", "z", "-f", "json").object
    expected = gradflow.bptt("gru", hidden=4, features=3, steps=8, targets=TARGETS[1])
    assert found["summary"]["loss"] == expected.loss


@pytest.mark.parametrize("option", ["--input", "--targets"])
def test_data_on_stdin_exit_0_as_those_of_a_file_do(cli, process, files, option):
    name, array = ("x.npy", INPUTS[0]) if option == "--input" else ("y.npy", TARGETS[0])
    command = ("bptt", "rnn", "--hidden", 4, "--steps", 8, "-f", "csv")
    command += () if option == "--input" else ("--features", 3)
    for run in (cli, process):
        of_file = run(*command, option, files / name)
        assert of_file.code == 0, of_file.err
        assert run(*command, option, "-", stdin=npy(array)).raw == of_file.raw


def test_a_checkpoint_exits_0_with_its_own_sizes(cli, files):
    command = ("bptt", f"{files / 'nothing.npz'}::rnn:activation=relu", "--parameter", "bias")
    found = cli(*command, "--steps", 5, "-f", "json")
    assert found.code == 0, found.err
    assert (found.object["summary"]["hidden"], found.object["summary"]["features"]) == (2, 1)


REFUSED = [
    (2, ("rmn",), ["'rmn'", "rnn"]),
    (2, ("rnn", "--loss", "men"), ["'men'", "mean", "final", "random"]),
    (2, ("rnn", "--parameter", "weight_hhh"), ["'weight_hhh'", "'weight_hh'", "all"]),
    (2, ("lstm:layers=2", "--parameter", "layer3.bias"), ["'layer3.bias'", "'layer2.bias'"]),
    (2, ("rnn", "--steps", 0), ["steps 0"]),
    (2, ("rnn", "--batch", 0), ["batch 0"]),
    (2, ("rnn", "--batch", 2, "--map"), ["map of 2 sequences", "batch 1"]),
    (2, ("rnn", "--map", "--steps", 2001), ["2001 steps", "at most 2000"]),
    (2, ("rnn", "--seed", -1), ["-1"]),
    (2, ("rnn", "--seeds", 2), ["--seeds"]),
    (2, ("rnn", "--table", "map", "-f", "csv", *SMALL), ["map", "--map"]),
    (2, ("rnn", "--table", "lag", "-f", "csv", *SMALL), ["'lag'", "'lags'"]),
    (2, ("rnn", "--fail-on", "vanishing"), ["'vanishing'"]),
    (2, ("rnn", "--targets-key", "y"), ["targets key 'y'", "a file of targets"]),
    (2, ("rnn", "--loss", "random", "--targets", "{y.npy}"), ["random", "no targets"]),
    (2, ("rnn", "--hidden", 4, "--input", "{batch.npy}", "--batch", 3), ["batch 3", "2 sequences"]),
    (2, ("rnn", "--input", "{x.npy}", "--steps", 9), ["steps 9", "8"]),
    (1, ("rnn", *SMALL, "--targets", "{short.npy}"), ["short.npy", "7×4", "8×4"]),
    (1, ("rnn", *SMALL, "--targets", "{complex.npy}"), ["complex.npy", "complex"]),
    (1, ("rnn", *SMALL, "--targets", "{nan.npy}"), ["nan.npy", "nan"]),
    (1, ("rnn", *SMALL, "--targets", "{none.npy}"), ["none.npy", "no such file"]),
    (1, ("rnn", *SMALL, "--targets", "{several.npz}"), ["y", "z", "--targets-key"]),
    (1, ("rnn", *SMALL, "--batch", 2, "--targets", "{y.npy}"), ["8×4", "2×8×4"]),
    (1, ("rnn", "--hidden", 4, "--input", "-"), ["empty"]),
    (1, ("rnn:activation=identity,gain=99,init=orthogonal", "--steps", 500), ["overflows at step", "of 500"]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "arguments", "says"), REFUSED)
def test_what_cannot_be_done_exits_1_or_2_and_says_what_on_stderr(
    check_refused, files, code, arguments, says
):
    given = [
        str(files / argument[1:-1]) if str(argument).startswith("{") else argument for argument in arguments
    ]
    check_refused(code, "bptt", *given, says=says)


def test_of_more_sequences_the_first_exit_0_with_a_note(cli, files):
    command = ("bptt", "rnn", "--hidden", 4, "--input", files / "batch.npy", "--batch", 1, "-f", "csv")
    found = cli(*command)
    assert found.raw == cli("bptt", "rnn", "--hidden", 4, "--input", files / "x.npy", "-f", "csv").raw
    assert found.err.startswith("note: Of the 2 input sequences")
    assert cli(*command, "-q").err == ""


def test_targets_on_stdin_that_do_not_fit_exit_1_and_say_where_they_came_from(check_refused):
    short = npy(TARGETS[0, :7])
    check_refused(1, "bptt", "rnn", *SMALL, "--targets", "-", stdin=short, says=["standard input", "7×4"])


@pytest.mark.parametrize("form", ["table", "md"])
def test_what_a_person_reads_exits_0_with_window_and_conclusion(cli, form):
    found = cli("bptt", "rnn", *SMALL, "-f", form)
    expected = gradflow.bptt("rnn", hidden=4, features=3, steps=8)
    assert found.code == 0
    words = re.sub(r"[\s│\\]+", " ", found.out)
    assert f"With a window of {expected.window_1pct} steps" in words


def test_a_reader_that_goes_away_exits_141_in_silence(bash):
    # more rows than any pipe holds
    command = "gradflow bptt rnn --hidden 1 --features 1 --steps 150 --map --table map -f csv"
    outcome = bash(f"{command} | head -1; echo ${{PIPESTATUS[0]}}")
    assert (outcome.out, outcome.err) == ("t,k,log10_norm,share\n141\n", "")


def test_progress_goes_to_a_terminal_on_stderr_lag_by_lag(cli, monkeypatch):
    quiet = cli("bptt", "rnn", *SMALL, "-f", "csv")
    monkeypatch.setattr(screen, "BAR_DELAY", -1.0)
    watched = cli("bptt", "rnn", *SMALL, "-f", "csv", terminals=("stderr",))
    assert watched.raw == quiet.raw
    assert "/8" in watched.err
    assert cli("bptt", "rnn", *SMALL, "-f", "csv", "-q", terminals=("stderr",)).err == ""
