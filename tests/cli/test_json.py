"""JSON is one RFC 8259 object with all parameters and results, including zeros and infinities."""

import inspect
import json
import math

import pytest

import gradflow

SMALL = ("--hidden", 3, "--seeds", 2, "--features", 2)
CASES = {
    "exercise": ("power", "-m", "0.58 0.24; 0.24 0.72"),
    "no-steps": ("power", "-m", "0.58 0.24; 0.24 0.72", "-n", 0),
    "zero": ("power", "-m", "0 0; 0 0"),
    "nilpotent": ("power", "-m", "0 1; 0 0"),
    "identity": ("power", "-m", "1 0; 0 1"),
    "polynomial": ("power", "-m", "1 1; 0 1"),
    "transient": ("power", "-m", "0.99 1e6; 0 0.99"),
    "explosion": ("power", "-m", "2", "-n", 5000),
    "decay": ("power", "-m", "0.5 0; 0 0.5", "-n", 10**6),
    "unthinkable": ("power", "-m", "1e308 1e308; 1e308 1e308", "-n", 10**18),
    "tiny": ("power", "-m", "5e-324 0; 0 1e-320", "-n", 3),
    "rotation": ("power", "-m", "0 -1; 1 0"),
    "complex": ("power", "-m", "1+2j 3; 4 5-1j", "-n", 1),
    "random": ("power", "--random", "ginibre"),
    "without-matrices": ("power", "--random", "uniform", "--size", 17),
    "claim": (
        "power", "-m", "0.58 0.24; 0.24 0.72",
        "--claim-vectors", "0.8 -0.6; 0.6 0.8", "--claim-values", "0.4 0.9",
    ),
    "impossible-claim": ("power", "-m", "0 0; 0 0", "--claim-vectors", "0 1; 0 1", "--claim-values", "1 0"),
    "cells": ("compare", "rnn", "lstm", "--steps", 6, *SMALL),
    "dead-cell": ("compare", "rnn:gain=0", "--steps", 4, *SMALL),
    "decaying-cell": ("compare", "rnn:activation=identity,gain=1e-9", "--steps", 50, *SMALL),
    "exploding-cell": ("compare", "rnn:activation=identity,gain=1e9", "--steps", 30, *SMALL),
}  # fmt: skip
MAIN = {"power": "norms", "compare": "flow"}


@pytest.fixture(params=CASES)
def case(request, cli):
    outcome = cli(*CASES[request.param], "-f", "json")
    assert outcome.code == 0, outcome.err
    return CASES[request.param], outcome


def test_result_is_one_strict_object_that_gives_the_same_bytes_again(cli, case):
    command, outcome = case
    result = outcome.object
    assert list(result)[:5] == ["schema", "version", "params", "summary", "tables"]
    assert result["schema"] == f"gradflow.{command[0]}/1"
    assert result["version"] == gradflow.__version__
    assert isinstance(result["notes"], list)
    assert isinstance(result["matrices"], dict)
    check_tables(result["tables"], MAIN[command[0]])
    check_floats(outcome.out)
    check_params(result["params"], command)
    check_same_again(cli, command, outcome)


def check_tables(tables, main):
    """The main table is first, rows share columns, and norms have a finite logarithm or are 0."""
    assert next(iter(tables)) == main
    for rows in tables.values():
        assert rows
        assert all(list(row) == list(rows[0]) for row in rows)
    for row in tables[main]:
        log10, norm = row["log10_norm"], row["norm"]
        if log10 is None:
            assert norm == 0
        elif -307 < log10 < 308:
            assert math.isclose(norm, 10**log10, rel_tol=1e-12)
        else:
            assert norm is None or 0 < norm < 3e-308


def check_floats(out):
    """Every float is the shortest text that is read as that float."""
    texts = []

    def noted(text):
        texts.append(text)
        return float(text)

    json.loads(out, parse_float=noted)
    assert texts
    assert [repr(float(text)) for text in texts] == texts


def check_params(params, command):
    """Params have all inputs, and their defaults."""
    parameters = inspect.signature(getattr(gradflow, command[0])).parameters
    assert set(params) == set(parameters) - {"progress", "executor"}
    given = {str(flag).lstrip("-") for flag in command}
    for name in ("seed", "gain", "input_scale", "kreiss", "hidden", "seeds"):
        default = parameters[name].default if name in params else None
        if default is not None and name not in given:  # None: the parameter is for some inputs only
            assert params[name] == default


def check_same_again(cli, command, outcome):
    """The params, given as options, give the same bytes."""
    params = outcome.object["params"]
    again = [command[0], *params.pop("cells", ())]
    params["assume"] = ",".join(f"{name}={value}" for name, value in params.get("assume", {}).items()) or None
    for name, value in params.items():
        if value is not None and value is not False:
            again += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    repeated = cli(*again, "-f", "json")
    assert repeated.code == 0
    assert repeated.raw == outcome.raw


def test_params_have_the_given_options(cli):
    outcome = cli(
        "power", "--random", "jordan", "--size", 3, "--gain", 0.5, "--seed", 7, "--steps", 4, "--kreiss",
        "--entries", "-f", "json",
    )  # fmt: skip
    assert outcome.code == 0
    assert outcome.object["params"] == {
        "matrix": None, "key": None, "steps": 4, "random": "jordan", "size": 3, "gain": 0.5, "seed": 7,
        "kreiss": True, "entries": True, "claim_vectors": None, "claim_values": None,
    }  # fmt: skip


def test_params_have_the_default_size(cli):
    result = cli("power", "--random", "ginibre", "-f", "json").object
    assert result["params"]["size"] == result["summary"]["size"] == 10


def test_params_have_the_defaults_of_compare(cli):
    result = cli("compare", "rnn", "--hidden", 2, "--seeds", 1, "-f", "json").object
    assert result["params"] == {
        "cells": ["rnn"], "hidden": 2, "steps": 100, "seed": 0, "seeds": 1, "features": 32,
        "assume": {}, "input": None,
        "key": None, "input_scale": 1.0, "input_format": None, "norm": "2", "block": "state", "view":
        "backward", "lags": "all", "pair_map": False, "paths": False, "gate_steps": False, "exact": False,
        "dtype": "float64",
    }  # fmt: skip
    assert len(result["tables"]["flow"]) == 100


def test_exact_zero_has_log10_norm_null(cli):
    result = cli(*CASES["nilpotent"], "-f", "json").object
    norms = {row["step"]: (row["log10_norm"], row["norm"]) for row in result["tables"]["norms"]}
    assert norms == {k: (0.0, 1.0) if k < 2 else (None, 0.0) for k in range(31)}
    assert result["summary"]["log10_norm"] is None


def test_exact_zero_of_a_cell_has_log10_norm_null(cli):
    rows = cli(*CASES["dead-cell"], "-f", "json").object["tables"]["flow"]
    assert [(row["log10_norm"], row["norm"]) for row in rows] == [(None, 0.0)] * 4


def test_overflow_has_norm_null_and_its_logarithm(cli):
    rows = cli(*CASES["explosion"], "-f", "json").object["tables"]["norms"]
    assert rows[-1]["step"] == 5000
    for row in rows:
        assert math.isclose(row["log10_norm"], row["step"] * math.log10(2), rel_tol=1e-14)
        assert row["norm"] == (2.0 ** row["step"] if row["step"] < 1024 else None)


def test_underflow_has_norm_null_and_its_logarithm(cli):
    last = cli(*CASES["decay"], "-f", "json").object["tables"]["norms"][-1]
    assert last["step"] == 10**6
    assert last["norm"] is None
    assert math.isclose(last["log10_norm"], -301029.9956639812, rel_tol=1e-12)


def test_underflow_of_a_cell_has_norm_null_and_its_logarithm(cli):
    last = cli(*CASES["decaying-cell"], "-f", "json").object["tables"]["flow"][-1]
    assert last["lag"] == 50
    assert last["norm"] is None
    assert last["log10_norm"] < 50 * -9 + 50 * math.log10(2)


def test_unbounded_kreiss_constant_is_null(cli):
    assert cli(*CASES["polynomial"], "-f", "json").object["summary"]["kreiss_constant"] is None
    assert cli(*CASES["explosion"], "-f", "json").object["summary"]["kreiss_constant"] is None


def test_complex_entries_have_re_and_im(cli):
    power = cli(*CASES["complex"], "-f", "json").object["matrices"]["power"]
    assert power["exponent2"] == 0
    assert power["entries"] == [
        [{"re": 1.0, "im": 2.0}, {"re": 3.0, "im": 0.0}],
        [{"re": 4.0, "im": 0.0}, {"re": 5.0, "im": -1.0}],
    ]


def test_huge_matrix_has_entries_and_a_power_of_two(cli):
    power = cli("power", "-m", "2 0; 0 2", "-n", 5000, "-f", "json").object["matrices"]["power"]
    for row, column, expected in ((0, 0, 2**5000), (1, 1, 2**5000), (0, 1, 0)):
        entry = power["entries"][row][column]
        assert entry.is_integer()
        assert int(entry) * 2 ** power["exponent2"] == expected


def test_large_matrices_need_entries(cli):
    command = CASES["without-matrices"]
    assert cli(*command, "-f", "json").object["matrices"] == {}
    asked = cli(*command, "--entries", "-f", "json").object["matrices"]
    assert [len(asked[name]["entries"]) for name in ("power", "values")] == [17, 17]


def test_undecodable_file_name_gives_valid_utf_8(cli, tmp_path):
    path = tmp_path / "w\udcff\U0001f600.txt"
    path.write_text("0.5")
    result = cli("power", "-m", path, "-f", "json").object
    assert result["params"]["matrix"].endswith("\U0001f600.txt")


def test_table_option_exits_2(check_refused):
    check_refused(2, "power", "-m", "1", "-f", "json", "--table", "norms", says=["json", "csv"])
