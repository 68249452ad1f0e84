"""Powers of one matrix: ``python benchmarks/powers.py [SIZE ...]``.

Scaled squaring against ``np.linalg.matrix_power``: one pinned thread; n = 1000 and exponent 10^12, where the
rival returns nan. Then ``gradflow power`` on a random matrix, the whole command, against a script of
eigenvalues and norms that a user would write instead, for each SIZE (300 and 1000; 3000 takes some minutes).
The goals of the command are seconds on two idle cores.
"""

import os
import sys
import tempfile
from pathlib import Path

from timing import PINNED, medians, process, report

os.environ.update(PINNED)  # before numpy loads its BLAS

import numpy as np

import gradflow
from gradflow.linalg.powers import matrix_power
from gradflow.linalg.scaled import Scaled

SIZE, STEPS, ROUNDS = 1000, 10**12, 5
COMMAND_SIZES, COMMAND_GOALS = (300, 1000), {300: 0.6, 1000: 6.0, 3000: 180.0}
MAX_WORK = 5 * 1000**3  # rounds times rows cubed

# without a numerical radius, an error of anything, or a condition
SCRIPT = """
import sys
import numpy as np
W = np.load(sys.argv[1])
values, vectors = np.linalg.eig(W)
norms = [np.linalg.norm(np.linalg.matrix_power(W, k), 2) for k in range(31)]
print(np.abs(values).max(), norms)
"""


def main(sizes: list[int]) -> None:
    matrix = gradflow.random_matrix("ginibre", SIZE, gain=1.1)
    with np.errstate(all="ignore"):
        print(f"np.linalg.matrix_power gives {np.linalg.matrix_power(matrix, STEPS)[0, 0]}")
        measured = medians(
            {
                "np.linalg.matrix_power": lambda: np.linalg.matrix_power(matrix, STEPS),
                "scaled squaring": lambda: matrix_power(Scaled(matrix), STEPS),
            },
            ROUNDS,
        )
    report(measured, "np.linalg.matrix_power", {"scaled squaring": 1.2})
    print(f"log10 of the largest entry: {matrix_power(Scaled(matrix), STEPS).value.log10_largest():.6g}")
    for size in sizes:
        time_command(size)


def time_command(size: int) -> None:
    """Print the time of the whole command, as a ratio to the script and beside its goal in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "W.npy")
        np.save(file, gradflow.random_matrix("ginibre", size))
        command = f"gradflow power, n = {size}"
        measured = medians(
            {
                f"numpy script, n = {size}": process([sys.executable, "-c", SCRIPT, file]),
                command: process([sys.executable, "-m", "gradflow", "power", file]),
            },
            min(ROUNDS, max(1, MAX_WORK // size**3)),
        )
    report(measured, f"numpy script, n = {size}", {})
    if size in COMMAND_GOALS:
        goal = COMMAND_GOALS[size]
        print(f"{'':<24} goal {goal:g} s  {'met' if measured[command] <= goal else 'MISSED'}")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(COMMAND_SIZES))
