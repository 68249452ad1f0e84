"""A regression guard of two minutes: ``python benchmarks/quick.py``, or ``make bench-quick``.

Public functions and commands against small pieces of numpy, in turn within one run, on one pinned thread.
Each ratio is printed beside that of ``baseline.json``. The exit status is 1 if a ratio is far over it;
``--write`` replaces the file.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from timing import PINNED, medians, process

os.environ.update(PINNED)  # before numpy loads its BLAS

import numpy as np

import gradflow

BASELINE = Path(__file__).with_name("baseline.json")
ROUNDS = 5
NOTED_CHANGE, ALLOWED_CHANGE = 1.15, 1.5  # of a ratio over its baseline: what is marked, and what fails
UNITS, STEPS = 64, 200  # of the LSTM that is inspected


class Guarded(NamedTuple):
    """Work of gradflow, and the work of numpy that it is measured by."""

    ours: Callable[[], object]
    yardstick: Callable[[], object]


def multiply(rows: int, columns: int, steps: int) -> Callable[[], None]:
    """Return the dense products alone that a chain of Jacobians of ``rows`` needs."""
    matrix = np.linalg.qr(np.random.default_rng(0).standard_normal((rows, rows)))[0]
    step, buffers = np.ascontiguousarray(matrix[:, :columns]), [matrix.copy(), matrix.copy()]

    def run() -> None:
        for k in range(steps):
            np.matmul(buffers[k % 2], step, out=buffers[1 - k % 2][:, :columns])

    return run


def write_model(folder: str) -> str:
    """Write an LSTM with torch's default weights and return its path."""
    draw, bound = np.random.default_rng(0).uniform, UNITS**-0.5
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih_l0": (4 * UNITS, UNITS),
        "weight_hh_l0": (4 * UNITS, UNITS),
        "bias_ih_l0": (4 * UNITS,),
    }
    arrays = {name: draw(-bound, bound, shape) for name, shape in shapes.items()}
    model = gradflow.from_state_dict(arrays | {"bias_hh_l0": np.zeros(4 * UNITS)})
    gradflow.convert(model, f"{folder}/model.npz")
    return f"{folder}/model.npz"


def list_work(folder: str) -> dict[str, Guarded]:
    """Return what is measured, by name."""
    program = str(Path(sys.executable).with_name("gradflow"))
    numpy = process([sys.executable, "-c", "import numpy"])
    command = partial(process, GRADFLOW_FORMAT="table")
    matrix = gradflow.random_matrix("ginibre", 300)
    return {
        "compare rnn 256, 200 steps / products": Guarded(
            lambda: gradflow.compare("rnn:init=ginibre,gain=1.2", hidden=256, steps=200, seeds=1),
            multiply(256, 256, 200),
        ),
        "compare lstm 128, 200 steps / products": Guarded(
            lambda: gradflow.compare("lstm:forget_bias=1", hidden=128, steps=200, seeds=1),
            multiply(256, 128, 200),
        ),
        "step norms of rnn 256, 200 steps / products": Guarded(
            lambda: gradflow.compare("rnn", hidden=256, steps=200, seeds=1).flow.log10_step_norm,
            multiply(256, 256, 200),
        ),
        "bptt lstm 128, 100 steps / products": Guarded(
            lambda: gradflow.bptt("lstm", hidden=128, steps=100), multiply(256, 128, 100)
        ),
        "lyapunov rnn 128, 500 steps / qr": Guarded(
            lambda: gradflow.lyapunov("rnn", hidden=128, steps=500, seeds=1, count=128),
            lambda: [np.linalg.qr(matrix[:128, :128]) for _ in range(500)],
        ),
        "power of 300 × 300 / eig": Guarded(lambda: gradflow.power(matrix), lambda: np.linalg.eig(matrix)),
        "gradflow --help / import numpy": Guarded(command([program, "--help"]), numpy),
        "gradflow compare rnn lstm / import numpy": Guarded(
            command([program, "compare", "rnn", "lstm"]), numpy
        ),
        "gradflow inspect / import numpy": Guarded(
            command([program, "inspect", write_model(folder), "--length", str(STEPS)]), numpy
        ),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make the ratios of this run the baseline")
    given = parser.parse_args()
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    ratios, slowest = {}, 0.0
    print(f"{'':<46} {'ratio':>7} {'baseline':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name, guarded in list_work(folder).items():
            measured = medians({"ours": guarded.ours, "yardstick": guarded.yardstick}, ROUNDS)
            ratios[name] = round(measured["ours"] / measured["yardstick"], 2)
            change = ratios[name] / baseline[name] if name in baseline else 1.0
            slowest = max(slowest, change)
            mark = f"  {change:.2f} times slower" if change > NOTED_CHANGE else ""
            print(f"{name:<46} {ratios[name]:7.2f} {baseline.get(name, float('nan')):9.2f}{mark}", flush=True)
    if given.write:
        BASELINE.write_text(json.dumps(ratios, indent=2, ensure_ascii=False) + "\n")
        return 0
    return int(slowest > ALLOWED_CHANGE)


if __name__ == "__main__":
    raise SystemExit(main())
