"""``gradflow theory``: its tables, their empty places, its gate, and the same bytes from the same seed."""

import json
import math

import pytest

import gradflow

DRAWS = ("--hidden", 12, "--seeds", 3)
SMALL = (*DRAWS, "--steps", 40, "--features", 3)
TANH = ("theory", "rnn:init=ginibre", "--input", "zero")
CASES = {
    "rnn": ("theory", "rnn", *SMALL),
    "gain": ("theory", "rnn", "--gain", 1.3, "--input-scale", 0.5, "--seed", 4, *SMALL),
    "lstm": ("theory", "lstm:forget_bias=1", *DRAWS),
    "gru": ("theory", "gru:init=chrono", *DRAWS),
    "ginibre": ("theory", "ginibre:gain=2", *DRAWS, "--steps", 40),
    "alone": ("theory", "rnn", "--no-measure"),
    "sweep": ("theory", "rnn", "--gain", "1:3:1", *SMALL),
    "sweep-of-a-bias": ("theory", "lstm:forget_bias=0:2:0.5", *DRAWS),
    "sweep-of-the-inputs": ("theory", "rnn:gain=3", "--input-scale", "0:2:1", *SMALL),
    "sweep-alone": ("theory", "gru", "--gain", "1:5:1", "--no-measure"),
    "dead": ("theory", "rnn:init=ginibre", "--gain", 0, "--input", "zero", *SMALL),
    "one-seed": ("theory", "rnn", *SMALL, "--seeds", 1),
}
NUMBERS = ("predicted", "measured", "standard_error")
LIMITS = ("extrapolated", "extrapolation_error", "deviation")  # of predictions, not of a range


@pytest.mark.parametrize("case", CASES)
def test_json_exits_0_with_one_strict_object_whose_params_give_it_again(cli, case):
    outcome = cli(*CASES[case], "-f", "json")
    assert outcome.code == 0, outcome.err
    result = outcome.object
    assert result["schema"] == "gradflow.theory/1"
    assert list(result["tables"]) == ["sweep" if case.startswith("sweep") else "predictions"]
    (rows,) = result["tables"].values()
    for row in rows:
        names = NUMBERS if case.startswith("sweep") else (*NUMBERS, *LIMITS)
        assert list(row)[1 : len(names) + 1] == list(names)
        assert all(row[name] is None or isinstance(row[name], int | float) for name in names)
    assert result["summary"]["verdict"] in ("vanishing", "stable", "exploding")
    check_same_again(cli, outcome)


@pytest.mark.parametrize(
    ("case", "name"),
    [("gain", "json"), ("gain", "table"), ("ginibre", "csv"), ("sweep-of-a-bias", "md")],
)
def test_same_seed_exits_0_with_the_same_bytes_and_another_with_others(cli, case, name):
    first, again = (cli(*CASES[case], "-f", name) for _ in range(2))
    assert first.code == again.code == 0
    assert first.raw == again.raw
    other = cli(*CASES[case], "--seed", 99, "-f", name)
    assert other.code == 0
    assert other.raw != first.raw


def check_same_again(cli, outcome):
    """The params, given as options, give the same result."""
    params = outcome.object["params"]
    again = ["theory", params.pop("cell")]
    again += [] if params.pop("measure") else ["--no-measure"]
    for name, value in params.items():
        if value is not None:
            again += [f"--{name.replace('_', '-')}", str(value)]
    repeated = cli(*again, "-f", "json")
    assert repeated.code == 0
    assert repeated.object["tables"] == outcome.object["tables"]
    assert repeated.object["summary"] == outcome.object["summary"]


def test_seed_steps_and_defaults_exit_0_in_params(cli):
    params = cli("theory", "rnn", "--no-measure", "-f", "json").object["params"]
    assert params["cell"] == "rnn"
    assert params["measure"] is False
    assert (params["seed"], params["seeds"], params["hidden"], params["features"]) == (0, 10, 128, 32)
    assert (params["steps"], params["transient"]) == (1000, 100)


def test_published_exponent_exits_0_on_the_command_line(cli):
    result = cli(*TANH, "--gain", 2, "--no-measure", "-f", "json").object
    assert result["summary"]["rate"] == pytest.approx(0.154724, abs=6e-7)
    assert result["summary"]["verdict"] == "exploding"


@pytest.mark.parametrize("case", ["alone", "sweep-alone"])
def test_no_measure_exits_0_with_null_in_json_nan_in_csv_and_a_dash_on_the_screen(cli, case):
    result = cli(*CASES[case], "-f", "json").object
    (rows,) = result["tables"].values()
    assert all(row[name] is None for row in rows for name in NUMBERS[1:])
    assert all(row["predicted"] is not None for row in rows)
    assert result["notes"] == []
    header, *lines = cli(*CASES[case], "-f", "csv").rows()
    places = [header.index(name) for name in NUMBERS]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert float(line[places[0]]) == row["predicted"]
        assert [line[place] for place in places[1:]] == ["nan"] * 2
    shown = cli(*CASES[case], "--details").out.split(
        ": predictions and measurements\n" if case == "alone" else "at each value of the range"
    )[1]
    (line,) = (line for line in shown.splitlines() if line.split()[:1] == [lines[-1][0].removesuffix(".0")])
    assert line.split()[2:4] == ["-"] * 2


def test_csv_exits_0_with_all_predictions_and_who_makes_them(cli):
    header, *rows = cli(*CASES["rnn"], "-f", "csv").rows()
    assert header == ["quantity", *NUMBERS, *LIMITS, "source"]
    names = [
        "spectral_radius",
        "zero_state_rate",
        "variance",
        "variance_along_inputs",
        "largest_exponent",
        "largest_exponent_along_inputs",
        "critical_gain",
        "rate_bound",
    ]
    assert [row[0] for row in rows] == names
    for row in rows:
        predicted, measured, error, *limits = (float(number) for number in row[1:7])
        assert math.isfinite(predicted)
        # a critical gain is the theory's alone
        assert [math.isfinite(measured), math.isfinite(error)] == [row[0] != "critical_gain"] * 2
        assert all(math.isnan(limit) for limit in limits)  # 12 units are too few for a limit
        assert row[7]


def test_range_exits_0_with_the_sweep_as_main_table(cli):
    outcome = cli(*CASES["sweep"], "-f", "csv")
    assert outcome.code == 0
    header, *rows = outcome.rows()
    assert header == ["value", *NUMBERS, "phase", "critical"]
    assert [float(row[0]) for row in rows] == [1.0, 2.0, 3.0]
    assert outcome.raw == cli(*CASES["sweep"], "-f", "csv", "--table", "sweep").raw


@pytest.mark.parametrize(
    ("gain", "critical"), [("0.5:2:0.5", 1.0), ("0.25:0.75:0.25", None), ("1.5:2:0.25", None)]
)
def test_critical_row_exits_0_marked_where_the_phase_turns(cli, gain, critical):
    result = cli(*TANH, "--gain", gain, "--no-measure", "-f", "json").object
    marked = [row["value"] for row in result["tables"]["sweep"] if row["critical"]]
    assert marked == ([] if critical is None else [critical])
    assert result["summary"]["critical_value"] == critical
    assert result["summary"]["parameter"] == "gain"


def test_predictions_of_a_range_exit_2_and_say_to_leave_it_out(check_refused):
    check_refused(
        2, "theory", "rnn", "--gain", "1:3:1", "--no-measure", "--table", "predictions",
        says=["predictions", "give a single value"],
    )  # fmt: skip


def test_sweep_of_no_range_exits_2_and_says_how_to_ask_for_one(check_refused):
    check_refused(2, "theory", "rnn", "--no-measure", "--table", "sweep", says=["sweep", "--gain 0.5:2:0.1"])


@pytest.mark.parametrize(
    ("gain", "verdict"), [(2, "exploding"), (0.5, "vanishing"), (1, "stable"), ("0.5:2:0.5", "exploding")]
)
def test_gate_exits_3_where_its_verdict_holds_and_0_where_another_does(cli, gain, verdict):
    command = (*TANH, "--gain", gain, "--no-measure", "-f", "json")
    outcome = cli(*command, "--fail-on", verdict)
    assert outcome.code == 3
    assert verdict in outcome.err
    assert outcome.object["summary"]["verdict"] == verdict  # the result is written all the same
    for other in {"exploding", "vanishing", "stable"} - {verdict}:
        assert cli(*command, "--fail-on", other).code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rnn", "--gain", "1:2"), ["gain=1:2", "START:STOP:STEP"]),
        (("rnn", "--gain", "2:1:1"), ["gain=2:1:1", "STOP"]),
        (("rnn", "--gain", "0:1:0"), ["gain=0:1:0", "STEP"]),
        (("rnn", "--gain", "0:1:1e-6"), ["1000001 values", "1000"]),
        (("rnn", "--gain", "loud"), ["gain", "'loud'"]),
        (("rnn:gain=2", "--gain", "1"), ["gain is given twice"]),
        (("rnn", "--gain", "1:2:1", "--input-scale", "1:2:1"), ["gain has a range already"]),
        (("rnn", "--input-scale", "inf"), ["input_scale=inf"]),
        (("rnn:layers=2",), ["rnn:layers=2", "layers"]),
        (("lstm:projection=4",), ["projection"]),
        (("rnn:init=identity",), ["identity", "torch, keras, ginibre, orthogonal"]),
        (("ginibre:bias=1",), ["'bias'", "gain"]),
        (("ginibr",), ["'ginibr'", "did you mean 'ginibre'"]),
        (("rnn", "--hidden", 0), ["hidden 0"]),
        (("rnn", "--fail-on", "chaotic"), ["'chaotic'", "exploding"]),
        ((), ["CELL"]),
    ],
)  # fmt: skip
def test_bad_usage_exits_2_with_what_was_given_and_what_was_expected(check_refused, arguments, says):
    check_refused(2, "theory", *arguments, "--no-measure", says=says)


def test_cell_that_contradicts_itself_exits_2_by_name_where_it_is_measured(check_refused):
    check_refused(
        2, "theory", "lstm:coupled=on,forget_gate=off", *DRAWS, says=["coupled=on", "forget_gate=on"]
    )


def test_inputs_from_a_file_exit_0_as_drive_of_their_mean_square(cli, tmp_path):
    path = tmp_path / "inputs.json"
    path.write_text(json.dumps([[0.6, 0.8, 0.0]] * 20))  # |x|² = 1, of 3 features: a drive of 1/3
    found = cli("theory", "rnn:init=ginibre", "--input", path, "--no-measure", "-f", "json").object
    drawn = gradflow.theory("rnn:init=ginibre", input_scale=math.sqrt(1 / 3), measure=False)
    assert found["summary"]["rate"] == pytest.approx(drawn.rate, rel=1e-12)
    assert found["summary"]["features"] == 3


def test_finite_size_exits_0_with_a_note_on_stderr_of_what_bias_to_expect(cli):
    outcome = cli(*CASES["rnn"], "-f", "csv")
    assert outcome.code == 0
    assert "N → ∞" in outcome.err
    assert "N = 12" in outcome.err
    assert cli(*CASES["rnn"], "-f", "csv", "-q").err == ""


def test_help_exits_0_with_every_subject_table_and_verdict(cli):
    outcome = cli("theory", "-h")
    assert outcome.code == 0
    for word in (
        "ginibre",
        "--no-measure",
        "--gain",
        "--input-scale",
        "START:STOP:STEP",
    ):
        assert word in outcome.out
    for word in ("predictions", "sweep", "vanishing", "stable", "exploding", "--seeds", "--transient"):
        assert word in outcome.out
