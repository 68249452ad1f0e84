"""A pipeline: run the command line from a script, read its CSV and JSON, and act on its exit codes.

``python examples/pipeline.py [RESULTS.csv]`` keeps the table of all runs in that file.
"""

import csv
import io
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

GRADFLOW = [sys.executable, "-m", "gradflow"]
DONE, USAGE_ERROR, VERDICT_HOLDS = 0, 2, 3  # exit codes


def run(*arguments: str | int, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one command; its result is in ``stdout``, notes and errors are in ``stderr``."""
    command = [*GRADFLOW, *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, encoding="utf-8", check=False)


def compare(forget_bias: int) -> dict[str, str]:
    """Run ``gradflow compare`` and return the row of its table ``cells``."""
    cell = f"lstm:forget_bias={forget_bias}"
    sizes = ("--hidden", 8, "--steps", 50, "--seeds", 2)
    done = run("compare", cell, *sizes, "--table", "cells", "-f", "csv", "--fail-on", "vanishing")
    assert done.returncode in (DONE, VERDICT_HOLDS), done.stderr
    (row,) = csv.DictReader(io.StringIO(done.stdout))  # the result is there with both exit codes
    assert (row["verdict"] == "vanishing") == (done.returncode == VERDICT_HOLDS)
    columns = ("rate", "half_life", "log10_share", "verdict")
    return {"forget_bias": str(forget_bias), **{name: row[name] for name in columns}}


# One run for each setting, and one table of all of them.
rows = [compare(forget_bias) for forget_bias in (0, 2, 4)]
with tempfile.TemporaryDirectory() as folder:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "results.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"One run for each forget bias:\n\n{path.read_text(encoding='utf-8')}")
for row in rows:  # the half-life is ln 2 / −rate; what grows never halves
    rate = float(row["rate"])
    assert math.isclose(float(row["half_life"]), math.log(2) / -rate if rate < 0 else math.inf)

# CSV goes from one command into the next: M⁵, and its square. JSON has the parameters, the summary, all
# tables and the notes. The powers of this matrix are made of Fibonacci numbers.
fifth = run("power", "-m", "0 1; 1 1", "-n", 5, "--table", "power", "-f", "csv")
square = run("power", "-m", "-", "-n", 2, "-f", "json", stdin=fifth.stdout)
assert (fifth.returncode, square.returncode) == (DONE, DONE), fifth.stderr + square.stderr
report = json.loads(square.stdout)
entries = report["matrices"]["power"]["entries"]
assert entries == [[34, 55], [55, 89]]
print(f"The square of M^5 is {entries}.")
print(f"Its norm is the tenth power of the golden ratio, 10^{report['summary']['log10_norm']:.6f}.")
assert math.isclose(report["summary"]["log10_norm"], 10 * math.log10((1 + math.sqrt(5)) / 2))

# A mistake is one line on stderr and an exit code of its own, never a traceback.
mistake = run("compare", "ltsm", "-f", "csv")
assert (mistake.returncode, mistake.stdout) == (USAGE_ERROR, "")
assert len(mistake.stderr.splitlines()) == 1
print(f"\nA mistake has the exit code {mistake.returncode} and one line on stderr:\n{mistake.stderr}", end="")
