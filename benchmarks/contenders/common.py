"""What the contenders share: the same weights and inputs for all, and how a run is timed and handed over."""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEATURES = 32
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
# A cell, and after a dash what is special about its weights: those of torch else.
VARIANTS = ("rnn", "rnn-orthogonal", "rnn-ginibre", "lstm", "lstm-forget", "gru")
GINIBRE_GAIN = 1.2

WARM_UP_STEPS = 10
LONG = 15.0  # seconds: a first run this long is not repeated, its cold start being lost in it
SHORT, REPEATS = 0.2, 9  # seconds below which one run is too noisy, and how many are taken then


class Weights(NamedTuple):
    """One cell's weights, rows stacked as torch has them: i, f, g, o for lstm and r, z, n for gru."""

    weight_ih: Array  # (gates·n, FEATURES)
    weight_hh: Array  # (gates·n, n)
    bias: Array  # (gates·n,): the sum of torch's two, but for gru's b_hn
    bias_hn: Array  # (n,): inside the reset gate's product; 0 for the others


class Problem(NamedTuple):
    """What one contender has to work out: the log10 norms of ∂s_T/∂s_{T−k} for k = 1…T, s_0 being 0."""

    cell: str
    weights: Weights
    inputs: Array  # (T, FEATURES)
    variant: str = ""

    def drive(self) -> Array:
        """Return what the inputs and the bias add to the gates at each step, (T, gates·n)."""
        return self.inputs @ self.weights.weight_ih.T + self.weights.bias


Run = Callable[[], Array]


def make_weights(variant: str, size: int) -> Weights:
    """Return torch's default weights U(±1/√n), or normal or orthogonal ones, or a forget bias of 1."""
    generator = np.random.default_rng(1)
    cell = variant.partition("-")[0]
    rows, bound = GATES[cell] * size, size**-0.5
    weight_ih, weight_hh, bias_ih, bias_hh = (
        generator.uniform(-bound, bound, shape) for shape in ((rows, FEATURES), (rows, size), rows, rows)
    )
    if variant == "rnn-ginibre":
        weight_hh = GINIBRE_GAIN / np.sqrt(size) * generator.standard_normal((size, size))
        weight_ih = generator.standard_normal((size, FEATURES)) / np.sqrt(FEATURES)
    if variant == "lstm-forget":
        bias_ih[size : 2 * size] += 1.0
    if variant == "rnn-orthogonal":
        Q, R = np.linalg.qr(generator.standard_normal((size, size)))
        weight_hh = Q * np.sign(np.diag(R))  # without the signs Q is not Haar's
    bias_hn = np.zeros(size)
    if cell == "gru":
        bias_hn = bias_hh[2 * size :].copy()
        bias_hh[2 * size :] = 0
    return Weights(weight_ih, weight_hh, bias_ih + bias_hh, bias_hn)


def make_inputs(steps: int) -> Array:
    """Return standard normal inputs (T, FEATURES)."""
    return np.random.default_rng(2).standard_normal((steps, FEATURES))


def targets(steps: int, outputs: int) -> Array:
    """Return standard normal targets (T, outputs) of a loss."""
    return np.random.default_rng(3).standard_normal((steps, outputs))


def timed(run: Run) -> tuple[float, Array]:
    """Return the wall time of one run in seconds, and what it returned."""
    start = time.perf_counter()
    norms = run()
    return time.perf_counter() - start, norms


def measure(run: Run) -> tuple[float, Array]:
    """Return the wall time of a run that is not the first, unless the first is long, and its result."""
    seconds, norms = timed(run)
    if seconds >= LONG:
        return seconds, norms
    repeats = REPEATS if seconds < SHORT else 1
    return statistics.median(timed(run)[0] for _ in range(repeats)), norms


def main(prepare: Callable[[Problem], Run], variants: Sequence[str] = ()) -> None:
    """Take CELL N T (and a variant) from the command line; print the time and the norms as one JSON line.

    ``prepare`` does what is not counted: it converts the weights and compiles.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("cell", choices=VARIANTS)
    parser.add_argument("size", type=int)
    parser.add_argument("steps", type=int)
    if variants:
        parser.add_argument("variant", choices=variants)
    given = parser.parse_args()
    problem = Problem(
        given.cell.partition("-")[0],
        make_weights(given.cell, given.size),
        make_inputs(given.steps),
        given.variant if variants else "",
    )
    prepare(problem._replace(inputs=problem.inputs[:WARM_UP_STEPS]))()
    seconds, norms = measure(prepare(problem))
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "log10_norms": norms.tolist(), "megabytes": megabytes}))
