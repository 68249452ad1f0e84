"""Every script in examples/ runs on its own, says nothing on stderr, and shows what it computed.

The scripts assert their own claims (closed forms, theorems), so that exit code 0 says that these hold.
"""

import csv
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))


def run(name, folder, *arguments):
    """Run one example in an empty folder, as somebody without the checkout's tests would."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1", "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{name}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def source_of(name):
    return (EXAMPLES / name).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def outputs(tmp_path_factory):
    """What each example printed, run once."""
    kept = {}

    def output_of(name):
        if name not in kept:
            folder = tmp_path_factory.mktemp(name)
            kept[name] = run(name, folder)
            assert list(folder.iterdir()) == [], "an example cleans up after itself"
        return kept[name]

    return output_of


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_runs_and_shows_numbers_that_fit_on_a_screen(name, outputs):
    lines = outputs(name).splitlines()
    assert 5 <= len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert len(re.findall(r"\d\.\d", outputs(name))) >= 5


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_checks_what_it_claims_and_is_in_the_index(name):
    assert len(re.findall(r"^ *assert ", source_of(name), re.MULTILINE)) >= 5
    assert f"]({name})" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_uses_the_public_api_alone(name):
    source = source_of(name)
    assert not re.search(r"^\s*(from gradflow|import gradflow\.)", source, re.MULTILINE)
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", source, re.MULTILINE))
    assert imported <= {"gradflow", "numpy", *sys.stdlib_module_names}


def test_the_new_weights_have_the_gradient_that_the_example_shows(tmp_path):
    """The file is read again by another process; the share that it measures is that of the example."""
    shown = run("lstm_checkpoint.py", tmp_path, "new.npz")
    row = re.search(r"^chrono +(\S+) +stable", shown, re.MULTILINE)
    command = ["gradflow", "inspect", "new.npz", "--length", "50", "--table", "layers", "-f", "csv"]
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, encoding="utf-8", check=True
    )
    (layer,) = csv.DictReader(done.stdout.splitlines())
    assert float(row[1]) == pytest.approx(float(layer["share"]), rel=1e-2)
    assert re.search(r"^as torch draws them +\S+e-1\d +vanishing", shown, re.MULTILINE)


def test_the_spectrum_ends_as_the_determinant_says(outputs):
    shown = outputs("lyapunov_spectrum.py")
    total, determinant = (
        float(re.search(rf"^{label} +(-?[\d.]+) ", shown, re.MULTILINE)[1])
        for label in ("sum of the exponents", re.escape("mean ln |det J|"))
    )
    assert total == determinant < 0
    low, high = map(float, re.search(r"attractor .*\(([\d.]+) to ([\d.]+)\)", shown).groups())
    assert 1 < low < float(re.search(r"attractor +([\d.]+)", shown)[1]) < high < 64


def test_the_exercise_prints_the_powers_of_the_gates(outputs):
    rows = re.findall(r"forget bias +(\d+): gate ([\d.]+), factor (\S+)", outputs("course_exercise.py"))
    assert [int(bias) for bias, _, _ in rows] == [0, 1, 4, 40]
    for bias, gate, factor in rows:
        kept = 1 / (1 + math.exp(-int(bias)))
        assert float(gate) == pytest.approx(kept, abs=5e-5)
        assert float(factor) == pytest.approx(kept**100, rel=5e-3)


def test_the_table_of_the_pipeline_is_csv_with_a_row_for_each_run(outputs):
    """The script prints the file that it wrote."""
    table = outputs("pipeline.py").split("\n\n")[1]
    rows = list(csv.DictReader(table.splitlines()))
    assert [row["forget_bias"] for row in rows] == ["0", "2", "4"]
    rates = [float(row["rate"]) for row in rows]
    assert rates == sorted(rates), "the gradient lives longer with a higher forget bias"
    assert rates[0] < -0.3 < rates[-1]
