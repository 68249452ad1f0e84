"""What the engine saves where nobody else has a rival: ``python benchmarks/engine.py``.

The map of all pairs against a dense product and a norm for each pair; many seeds as one batch against a loop
over them; and the memory that the products of a long trajectory take beyond it. One pinned thread.
"""

import os
import sys
import time
import tracemalloc
from pathlib import Path

from timing import PINNED, medians, report

os.environ.update(PINNED)  # before numpy loads its BLAS
sys.path.insert(0, str(Path(__file__).parent / "contenders"))

import numpy as np
from common import Array, make_inputs, make_weights
from engine_norms import log10_norms, network

from gradflow.analysis.compare.measure import ComparisonQuestion, measure
from gradflow.analysis.compare.pair_map import measure_pairs
from gradflow.analysis.shared.product_norms import View, product_log10_norms
from gradflow.analysis.shared.trajectory import follow
from gradflow.cells.spec import parse_cell

ROUNDS = 3


def everything(steps: int) -> View:
    """Return the view that the goals speak of: the spectral norm of the whole state at every lag."""
    return View("backward", ("state",), ("2",), tuple(range(1, steps + 1)), exact=False)


def pair_by_pair(jacobians: Array) -> float:
    """Return the seconds of a dense product and a norm for each pair, from every 40th row of the map."""
    steps, size, _ = jacobians.shape
    start, pairs = time.perf_counter(), 0
    for last in range(steps, 0, -40):
        product = np.eye(size)
        for k in range(last - 1, -1, -1):
            product = product @ jacobians[k]
            product *= 2.0 ** -np.round(np.log2(np.linalg.norm(product, 2)))
            pairs += 1
    return float((time.perf_counter() - start) * steps * (steps + 1) / 2 / pairs)


def maps() -> None:
    cell, inputs = network("rnn", make_weights("rnn", 128)), make_inputs(400)
    trajectory = follow(cell, inputs)
    jacobians = np.stack([trajectory.jacobian(t).todense() for t in range(400)])
    ratios = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        measure_pairs(trajectory, "state", "2", exact=False)
        own = time.perf_counter() - start
        ratios.append(pair_by_pair(jacobians) / own)
    ratio = float(np.median(ratios))
    print(f"map, rnn 128, T = 400: {ratio:.1f} times pair by pair  goal 4.5  {verdict(ratio >= 4.5)}")


def batches() -> None:
    seeds, steps = 1000, 100
    cells = [parse_cell("rnn").make(8, 32, np.random.default_rng(seed)) for seed in range(seeds)]
    inputs = [np.random.default_rng(seed).standard_normal((steps, 32)) for seed in range(seeds)]
    question = ComparisonQuestion(everything(steps))
    measured = medians(
        {
            "loop": lambda: [measure([cell], [x], question) for cell, x in zip(cells, inputs, strict=True)],
            "batch": lambda: measure(cells, inputs, question),
        },
        ROUNDS,
    )
    print("1000 seeds of rnn 8, T = 100:")
    report(measured, "loop", {"batch": 0.2})


def memory() -> None:
    size, steps = 256, 1000
    cell, inputs = network("rnn", make_weights("rnn", size)), make_inputs(steps)
    log10_norms(cell, inputs[:100])  # so that imports are not counted
    trajectory = follow(cell, inputs)
    tracemalloc.start()
    product_log10_norms(trajectory, everything(steps), "state")
    taken = tracemalloc.get_traced_memory()[1] / (8 * size**2)
    print(f"rnn 256, T = 1000: {taken:.1f} n² doubles beyond the trajectory  goal 12  {verdict(taken <= 12)}")


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    memory()
    batches()
    maps()
