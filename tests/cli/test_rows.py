"""A long table is thinned for people and keeps its first and last rows, its peak and its crossings."""

import re
from itertools import pairwise

import pytest

from gradflow.linalg.floating import NAMED_LOG10_NORMS

# ‖W^k‖ grows first, peaks at step 9 and falls below 1 later
JORDAN = ("power", "-m", "0.9 1; 0 0.9", "-n", 200)
COMPARE = ("compare", "rnn:gain=2", "lstm", "--hidden", 4, "--steps", 120, "--seeds", 2, "--features", 2)
FORMATS = ["table", "md"]


def numbered(text, title):
    """Return the first numbers of the rows of the grid below ``title``."""
    block = re.split(rf"^(?:### )?{title}: .*$", text, maxsplit=1, flags=re.MULTILINE)[1]
    first = []
    for line in block.splitlines():
        if re.match(r"(### )?\w+( × 2\^-?\d+)?: ", line):
            break
        found = re.match(r"[| ]*(\d+)(?=[| ])", line)
        if found and "rows; " not in line:
            first.append(int(found[1]))
    return first


def crossings(logs, level=0.0):
    """Return where ``logs`` are clearly on the other side of ``level`` than before."""
    clear = [k for k, log in enumerate(logs) if abs(log - level) > 1e-6]
    return [k for last, k in pairwise(clear) if (logs[last] > level) != (logs[k] > level)]


@pytest.fixture
def logs(cli):
    rows = cli(*JORDAN, "-f", "json").object["tables"]["norms"]
    assert [row["step"] for row in rows] == list(range(201))
    return [row["log10_norm"] for row in rows]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows", [(), ("--rows", 7), ("--rows", 6)])
def test_table_keeps_first_last_peak_and_crossing(cli, logs, rows, name):
    outcome = cli(*JORDAN, *rows, "-f", name)
    assert outcome.code == 0
    shown = numbered(outcome.out, "norms")
    assert shown == sorted(set(shown))
    (crossing,) = crossings(logs)
    assert {0, 9, crossing, 200} <= set(shown)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_fewest_rows_are_first_peak_and_last(cli, rows, name):
    assert numbered(cli(*JORDAN, "--rows", rows, "-f", name).out, "norms") == [0, 9, 200]


@pytest.mark.parametrize("name", FORMATS)
def test_listed_steps_are_round_beside_peak_and_crossing(cli, logs, name):
    crossed = {step for level in NAMED_LOG10_NORMS for step in crossings(logs, level)}
    assert len(crossed) == 2  # the norm 1, and float16's smallest normal number
    shown = numbered(cli(*JORDAN, "-f", name).out, "norms")
    assert shown == sorted({0, 1, 2, 5, 9, 10, 20, 50, 100, 200} | crossed)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows", [8, 20, 50])
def test_table_has_about_the_rows_asked(cli, name, rows):
    outcome = cli(*JORDAN, "--rows", rows, "-f", name)
    assert outcome.code == 0
    shown = numbered(outcome.out, "norms")
    assert rows / 2 <= len(shown) <= rows
    assert f"{len(shown)} of 201 rows" in outcome.out


def test_default_number_of_rows_is_readable(cli):
    shown = numbered(cli(*JORDAN).out, "norms")
    assert 6 <= len(shown) <= 12


@pytest.mark.parametrize("name", FORMATS)
def test_all_rows_shows_every_row(cli, name):
    outcome = cli(*JORDAN, "--all-rows", "-f", name)
    assert outcome.code == 0
    assert numbered(outcome.out, "norms") == list(range(201))
    assert "--all-rows" not in outcome.out


def test_too_many_rows_are_all_rows(cli):
    assert cli(*JORDAN, "--rows", 1000) == cli(*JORDAN, "--all-rows")


@pytest.mark.parametrize("name", ["json", "jsonl", "csv", "tsv"])
def test_machine_format_ignores_rows(cli, name):
    outcome = cli(*JORDAN, "--rows", 3, "-f", name)
    assert outcome.code == 0, outcome.err
    assert outcome.raw == cli(*JORDAN, "-f", name).raw


def test_long_run_keeps_last_step_and_peak(cli):
    command = ("power", "-m", "0.999 1; 0 0.999", "-n", 10**6)
    outcome = cli(*command)
    assert outcome.code == 0
    rows = cli(*command, "-f", "json").object["tables"]["norms"]
    peak = max(rows, key=lambda row: row["log10_norm"])
    assert {0, peak["step"], 10**6} <= set(numbered(outcome.out, "norms"))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows", [(), ("--rows", 8)])
def test_comparison_keeps_first_last_peaks_and_crossings(cli, rows, name):
    outcome = cli(*COMPARE, *rows, "-f", name)
    assert outcome.code == 0
    flow = cli(*COMPARE, "-f", "json").object["tables"]["flow"]
    expected = {1, 120}
    for cell in ("rnn:gain=2", "lstm"):
        logs = [row["log10_norm"] for row in flow if row["cell"] == cell]
        assert len(logs) == 120
        expected |= {logs.index(max(logs)) + 1, *(place + 1 for place in crossings(logs))}
    assert expected <= set(numbered(outcome.out, "flow"))


@pytest.mark.parametrize("name", FORMATS)
def test_main_table_alone_has_the_same_rows(cli, name):
    alone = cli(*COMPARE, "--table", "flow", "--rows", 12, "-f", name)
    assert alone.code == 0
    shown = numbered(alone.out, "flow")
    assert {1, 120} <= set(shown)
    assert shown == numbered(cli(*COMPARE, "--rows", 12, "-f", name).out, "flow")
