"""``gradflow lyapunov``: Jacobians in any file, JSON that is strict, tolerances kept, and the gate."""

import io
import json
import math
import struct

import numpy as np
import pytest

import gradflow

SMALL = ("--hidden", 4, "--features", 2, "--steps", 64)
STACK = np.random.default_rng(0).standard_normal((60, 3, 3))
# what is left of the first step is ones/3, and nine times 8e307/3 is too much
LARGE = np.array([1.0, 8e307])[:, None, None] * np.ones((2, 9, 9))
CAT = np.tile([[2.0, 1.0], [1.0, 1.0]], (100, 1, 1))


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def safetensors(**arrays):
    header, data = {}, b""
    for name, array in arrays.items():
        content = array.astype("<f8").tobytes()
        header[name] = {
            "dtype": "F64", "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(content)],
        }  # fmt: skip
        data += content
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + data


FILES = {
    "J.npy": (npy(STACK), ()),
    "J.npz": (npz(J=STACK), ()),
    "two.npz": (npz(W=np.eye(3), J=STACK, other=CAT), ("--key", "J")),
    "J.safetensors": (safetensors(J=STACK), ()),
    "two.safetensors": (safetensors(other=CAT, J=STACK), ("--key", "J")),
}


def exponents(outcome):
    assert outcome.code == 0, outcome.err
    result = outcome.object
    # strict JSON has null for −inf; where all is finite the sum rule holds
    if result["summary"]["sum_rule_error"] is not None:
        assert result["summary"]["sum_rule_error"] < 1e-10
    return [row["exponent"] for row in result["tables"]["exponents"]]


@pytest.mark.parametrize("name", FILES)
def test_jacobians_of_any_file_exit_0_with_the_same_numbers(cli, tmp_path, name):
    content, options = FILES[name]
    (tmp_path / name).write_bytes(content)
    found = cli("lyapunov", "--jacobians", tmp_path / name, *options, "-f", "json")
    assert exponents(found) == gradflow.lyapunov(jacobians=STACK).exponents.exponent.tolist()
    assert found.object["params"]["jacobians"] == str(tmp_path / name)


@pytest.mark.parametrize("name", FILES)
def test_jacobians_on_stdin_exit_0_with_the_same_numbers(cli, name):
    content, options = FILES[name]
    found = cli("lyapunov", "--jacobians", "-", *options, "-f", "json", stdin=content)
    assert exponents(found) == gradflow.lyapunov(jacobians=STACK).exponents.exponent.tolist()


def test_jacobians_in_a_real_pipe_exit_0(process):
    found = process("lyapunov", "--jacobians", "-", "--transient", 40, "-f", "json", stdin=npy(CAT))
    golden = math.log((3 + math.sqrt(5)) / 2)
    assert exponents(found) == pytest.approx([golden, -golden], abs=1e-12)
    assert found.err == ""


REFUSED = {
    "two-dimensional": (1, npy(STACK[0]), (), ["dimensions"]),
    "not-square": (2, npy(np.ones((5, 2, 3))), (), ["5×2×3", "T×n×n"]),
    "nan": (1, npy(np.where(STACK > 2, np.nan, STACK)), (), ["nan", "finite"]),
    "infinite": (1, npy(np.where(STACK > 2, np.inf, STACK)), (), ["inf", "finite"]),
    "complex": (1, npy(STACK + 1j), (), ["complex"]),
    "text": (1, b"1 2\n3 4\n", (), ["dimensions"]),
    "empty": (1, b"", (), ["empty"]),
    "several": (1, npz(a=STACK, b=CAT), (), ["a", "b", "--key"]),
    "key-of-none": (2, npz(a=STACK, b=CAT), ("--key", "c"), ["'c'"]),
    "count": (2, npy(STACK), ("-k", 4), ["count 4", "3"]),
    "steps": (2, npy(STACK), ("--steps", 61), ["61", "60"]),
    "hidden": (2, npy(STACK), ("--hidden", 3), ["hidden", "cell"]),
    "features": (2, npy(STACK), ("--features", 3), ["features", "cell"]),
    "input": (2, npy(STACK), ("--input", "zero"), ["input", "cell"]),
    "input-scale": (2, npy(STACK), ("--input-scale", 2), ["input scale", "cell"]),
    "input-format": (2, npy(STACK), ("--input-format", "cifar10"), ["input format", "cell"]),
    "seeds": (2, npy(STACK), ("--seeds", 2), ["seeds", "cell"]),
    "cell-too": (2, npy(STACK), ("rnn",), ["cell", "Jacobians"]),
    "overflow": (1, npy(LARGE), ("--transient", 0), ["overflow"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_jacobians_that_do_not_fit_exit_1_or_2_and_say_what_on_stderr(check_refused, case):
    code, content, options, says = REFUSED[case]
    check_refused(code, "lyapunov", "--jacobians", "-", *options, stdin=content, says=says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), ["cell", "Jacobians"]),
        (("rnn", "-k", 33), ["count 33", "32"]),
        (("rnn", "-k", 0), ["count 0"]),
        (("rnn", "--tolerance", 0), ["tolerance 0"]),
        (("rnn", "--tolerance", "nan"), ["tolerance nan"]),
        (("rnn", "--steps", 0), ["steps 0"]),
        (("rnn", "--transient", -1), ["transient -1"]),
        (("rnn", "--seeds", 0), ["seeds 0"]),
        (("rmn",), ["rmn", "rnn"]),
        (("rnn", "lstm"), ["lstm"]),
    ],
)
def test_wrong_calls_exit_2_and_say_which_value_on_stderr(check_refused, arguments, says):
    check_refused(2, "lyapunov", *arguments, says=says)


def test_json_exits_0_as_one_strict_object_with_schema_and_all_params(cli):
    result = cli("lyapunov", "lstm", *SMALL, "-f", "json").object
    assert result["schema"] == "gradflow.lyapunov/1"
    assert list(result["tables"]) == ["exponents", "history"]
    assert result["params"] == {
        "cell": "lstm", "jacobians": None, "key": None, "count": None, "steps": 64, "transient": 6,
        "tolerance": None, "hidden": 4, "seed": 0, "seeds": 1, "features": 2, "assume": {}, "input": None,
        "input_format": None, "input_scale": 1.0,
    }  # fmt: skip
    summary, rows = result["summary"], result["tables"]["exponents"]
    assert [row["index"] for row in rows] == list(range(1, 9))
    assert summary["sum"] == pytest.approx(math.fsum(row["exponent"] for row in rows), abs=1e-12)
    assert summary["sum"] == pytest.approx(summary["mean_log_abs_det"], abs=1e-10)
    assert summary["largest"] == rows[0]["exponent"]
    assert summary["condition_growth"] == pytest.approx(rows[0]["exponent"] - rows[-1]["exponent"])


def test_minus_infinity_exits_0_as_null_in_json_and_as_minus_inf_in_csv(cli):
    stack = npy(np.tile(np.diag([2.0, 0.0]), (40, 1, 1)))
    options = ("--jacobians", "-", "--transient", 20)
    found = cli("lyapunov", *options, "-f", "json", stdin=stack)
    assert exponents(found) == [pytest.approx(math.log(2), rel=1e-12), None]
    summary = found.object["summary"]
    assert (summary["rank"], summary["sum"], summary["mean_log_abs_det"]) == (1, None, None)
    rows = cli("lyapunov", *options, "-f", "csv", stdin=stack).rows()
    assert rows[0][:2] == ["index", "exponent"]
    assert rows[2][1] == "-inf"
    assert float(rows[1][1]) == pytest.approx(math.log(2), rel=1e-12)
    assert not any("nan" in cell for row in rows for cell in row)


def test_errors_that_nobody_knows_exit_0_as_null_and_nan(cli):
    found = cli("lyapunov", "--jacobians", "-", "-f", "json", stdin=npy(STACK[:5]))
    assert [row["standard_error"] for row in found.object["tables"]["exponents"]] == [None] * 3
    rows = cli("lyapunov", "--jacobians", "-", "-f", "csv", stdin=npy(STACK[:5])).rows()
    assert [row[2] for row in rows[1:]] == ["nan"] * 3


@pytest.mark.parametrize("table", ["exponents", "history", "summary"])
def test_every_table_exits_0_in_csv(cli, table):
    found = cli("lyapunov", "rnn", *SMALL, "-f", "csv", "--table", table)
    assert found.code == 0
    lengths = {len(row) for row in found.rows()}
    assert len(lengths) == 1
    assert len(found.rows()) > 1


def test_a_tolerance_exits_0_with_every_standard_error_under_it(cli):
    plain = cli("lyapunov", "gru", *SMALL, "-f", "json").object
    errors = [row["standard_error"] for row in plain["tables"]["exponents"]]
    tolerance = max(errors) / 2
    found = cli("lyapunov", "gru", *SMALL, "--tolerance", tolerance, "-f", "json")
    assert found.code == 0
    rows = found.object["tables"]["exponents"]
    assert all(row["standard_error"] <= tolerance for row in rows)
    assert found.object["summary"]["steps"] > 64
    assert found.object["params"]["tolerance"] == tolerance


@pytest.mark.parametrize(
    ("factor", "verdict"), [(2.0, "exploding"), (1.0, "stable"), (0.5, "vanishing"), (0.0, "vanishing")]
)
def test_the_gate_exits_3_on_the_verdict_alone_with_the_result_on_stdout(cli, factor, verdict):
    stack = npy(np.tile(factor * np.eye(2), (40, 1, 1)))
    without = cli("lyapunov", "--jacobians", "-", "-f", "json", stdin=stack)
    assert without.code == 0
    assert without.object["summary"]["verdict"] == verdict
    for asked in gradflow.Lyapunov.verdicts:
        found = cli("lyapunov", "--jacobians", "-", "-f", "json", "--fail-on", asked, stdin=stack)
        assert found.code == (3 if asked == verdict else 0)
        assert found.raw == without.raw
        assert (verdict in found.err) == (asked == verdict)


@pytest.mark.parametrize("form", ["json", "csv", "md", "table"])
def test_the_same_seed_exits_0_with_the_same_bytes_and_another_with_others(cli, form):
    command = ("lyapunov", "rnn", *SMALL, "--seeds", 2, "-f", form)
    one, two, other = cli(*command), cli(*command), cli(*command, "--seed", 1)
    assert one.code == two.code == other.code == 0
    assert one.raw == two.raw != other.raw


def test_two_processes_exit_0_with_the_same_bytes(process):
    command = ("lyapunov", "lstm", *SMALL, "-f", "json")
    one, two = process(*command), process(*command, env={"PYTHONHASHSEED": "1"})
    assert one.code == two.code == 0
    assert one.raw == two.raw


def test_seeds_exit_0_with_the_mean_over_the_draws(cli, tmp_path):
    # a trained network's draws differ by their part of the data alone, and by a start that is forgotten
    data = np.random.default_rng(1).standard_normal((2, 200, 1))
    weights = npz(
        weight_ih_l0=np.ones((2, 1)), weight_hh_l0=np.array([[0.9, 0.1], [0.1, 0.3]]),
        bias_ih_l0=np.zeros(2), bias_hh_l0=np.zeros(2),
    )  # fmt: skip
    (tmp_path / "w.npz").write_bytes(weights)

    def run(inputs, *options):
        command = ("lyapunov", tmp_path / "w.npz", "--input", "-", "--transient", 50, "-f", "json")
        return exponents(cli(*command, *options, stdin=npy(inputs)))

    alone = [run(part) for part in data]
    both = run(data, "--seeds", 2)
    # orbits meet at 0.9 a step or faster, columns at exp(−gap): 50 steps leave 5e-3, of 150 that count
    gap = alone[0][0] - alone[0][1]
    assert math.exp(-2 * gap * 50) < 1e-6
    np.testing.assert_allclose(both, np.mean(alone, axis=0), rtol=0, atol=1e-4)
    assert abs(alone[0][0] - alone[1][0]) > 1e-3


def test_a_count_exits_0_with_as_many_rows_and_no_sum_rule(cli):
    result = cli("lyapunov", "lstm", *SMALL, "-k", 2, "-f", "json").object
    assert len(result["tables"]["exponents"]) == 2
    summary = result["summary"]
    assert (summary["count"], summary["state_size"]) == (2, 8)
    assert (summary["mean_log_abs_det"], summary["sum_rule_error"], summary["condition_growth"]) == (
        None,
    ) * 3


@pytest.mark.parametrize("form", ["table", "md"])
def test_what_a_person_reads_exits_0_with_the_conclusion_and_the_spectrum(cli, form):
    found = cli("lyapunov", "--jacobians", "-", "--transient", 40, "-f", form, stdin=npy(CAT))
    assert found.code == 0
    assert "doubles every 0.72 steps" in found.out  # ln 2/0.9624
    assert "0.9624" in found.out
    assert found.err == ""


def test_progress_goes_to_a_terminal_on_stderr_and_never_to_stdout(cli):
    quiet = cli("lyapunov", "rnn", *SMALL, "-f", "csv")
    watched = cli("lyapunov", "rnn", *SMALL, "-f", "csv", terminals=("stderr",))
    assert quiet.raw == watched.raw
    assert quiet.err == ""


def test_the_gate_does_not_fire_on_what_is_borderline_unless_asked(cli, tmp_path):
    coins = np.random.default_rng(0).permutation(np.arange(400) % 2)  # as many of one side as of the other
    path = tmp_path / "turns.npy"
    np.save(path, np.array([np.diag([2.0, 0.5]), np.diag([0.5, 2.0])])[coins])
    command = ("lyapunov", "--jacobians", path, "-k", 1, "-f", "json")
    decided = [word for name in ("exploding", "vanishing", "stable") for word in ("--fail-on", name)]
    assert cli(*command, *decided).code == 0
    outcome = cli(*command, "--fail-on", "borderline")
    assert outcome.code == 3
    assert outcome.object["summary"]["verdict"] == "borderline"
