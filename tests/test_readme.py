"""The README's commands run, and print what it shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n\$ (.*?)\n(.*?)```", README, flags=re.DOTALL)


def test_there_are_commands():
    assert len(CONSOLE) >= 5


@pytest.mark.parametrize(("command", "shown"), CONSOLE, ids=[command[:60] for command, _ in CONSOLE])
def test_a_command_prints_what_the_readme_shows(command, shown):
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {"PATH": path, "PYTHONUTF8": "1", "COLUMNS": "100", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check_same(done.stdout, shown)


def check_same(printed, shown):
    """The same words; numbers to the digits shown, save bounds of errors: those a processor may move."""
    lines = zip(printed.split("\n"), shown.split("\n"), strict=True)
    for found_line, expected_line in lines:
        words = zip(re.split(r"[\s,]+", found_line), re.split(r"[\s,]+", expected_line), strict=True)
        for found, expected in words:
            try:
                number = float(expected)
            except ValueError:
                assert found == expected
            else:
                if "_error " in expected_line and number < 1e-9:  # rounding, another one elsewhere
                    assert 0 <= float(found) < 1e-9
                else:
                    assert float(found) == pytest.approx(number, rel=2e-5, abs=1e-300, nan_ok=True)


def test_the_python_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("vanishing 9 2.6")
