"""Scaled squaring against ``np.linalg.matrix_power``: ``python benchmarks/powers.py``.

One pinned thread; n = 1000 and exponent 10^12, where the rival returns nan.
"""

import os

from timing import PINNED, medians, report

os.environ.update(PINNED)  # before numpy loads its BLAS

import numpy as np

import gradflow
from gradflow.linalg.powers import matrix_power
from gradflow.linalg.scaled import Scaled

SIZE, STEPS, ROUNDS = 1000, 10**12, 5


def main() -> None:
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


if __name__ == "__main__":
    main()
