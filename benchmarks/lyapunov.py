"""Lyapunov exponents against a QR at every step, and how long an ``init`` takes.

``python benchmarks/lyapunov.py``. The rival is what anybody writes: ``Q, R = np.linalg.qr(J @ Q)`` with a
dense J. The RNN's J is formed on the way, as it has to be; stacks and the LSTM's Jacobians lie ready for it.
One pinned thread, contenders in turn, medians.
"""

import os
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from timing import PINNED, medians, process

os.environ.update(PINNED)  # before numpy loads its BLAS

import numpy as np
from numpy.typing import NDArray

from gradflow.analysis.shared.exponents import RUN_BATCHES
from gradflow.analysis.shared.growth_run import GrowthRun
from gradflow.analysis.shared.orbit import PIECE_STEPS, CellOrbit, Orbit, StackOrbit
from gradflow.analysis.shared.trajectory import follow
from gradflow.cells.base import Cell
from gradflow.cells.rnn import RNN
from gradflow.cells.spec import parse_cell

Array = NDArray[np.float64]
STEPS, FEATURES, ROUNDS = 1000, 32, 5
GOAL = 2.5  # times the rival's speed
ERROR = 1e-8  # nats per step


class Case(NamedTuple):
    """A system, how many of its exponents are wanted, and whether the goal is set for it."""

    name: str
    size: int
    exponents: int
    goal: bool


CASES = (
    Case("rnn", 128, 128, True),
    Case("rnn", 128, 32, True),
    Case("stack", 128, 128, False),
    Case("stack", 128, 32, False),
    Case("lstm", 64, 128, False),
    Case("lstm", 64, 32, False),
)


def made(case: Case) -> tuple[Callable[[], Orbit], Callable[[], Array]]:
    """Return what makes gradflow's orbit, and what the rival computes: the exponents."""
    generator = np.random.default_rng(1)
    if case.name == "stack":
        stack = generator.standard_normal((STEPS, case.size, case.size)) / np.sqrt(case.size)
        return lambda: StackOrbit(stack, dets=case.exponents == case.size), lambda: by_steps(
            list(stack), case.exponents
        )
    text = "rnn:init=ginibre,gain=1.2" if case.name == "rnn" else "lstm"
    cell = parse_cell(text).make(case.size, FEATURES, generator)
    inputs = 0.1 * generator.standard_normal((STEPS, FEATURES))
    start = np.zeros(cell.state_size)

    def orbit() -> Orbit:
        pieces = iter([inputs[first : first + PIECE_STEPS] for first in range(0, STEPS, PIECE_STEPS)])
        return CellOrbit(cell, pieces, start, dets=case.exponents == cell.state_size)

    if isinstance(cell, RNN):
        return orbit, lambda: rnn_by_steps(cell, inputs, case.exponents)
    jacobians = dense(cell, inputs)
    return orbit, lambda: by_steps(jacobians, case.exponents)


def dense(cell: Cell, inputs: Array) -> list[Array]:
    trajectory = follow(cell, inputs)
    return [trajectory.jacobian(step).todense() for step in range(STEPS)]


def first_columns(size: int, count: int) -> Array:
    return np.asarray(np.linalg.qr(np.random.default_rng(0).standard_normal((size, count)))[0])


def by_steps(jacobians: list[Array], count: int) -> Array:
    Q, logs = first_columns(len(jacobians[0]), count), np.zeros(count)
    for jacobian in jacobians:
        Q, R = np.linalg.qr(jacobian @ Q)
        logs += np.log(np.abs(np.diag(R)))
    return logs / len(jacobians)


def rnn_by_steps(cell: RNN, inputs: Array, count: int) -> Array:
    W, Q, logs = cell.weight_hh, first_columns(cell.state_size, count), np.zeros(count)
    h, drive = np.zeros(cell.state_size), inputs @ cell.weight_ih.T + cell.bias
    for step in range(len(inputs)):
        h = np.tanh(W @ h + drive[step])
        Q, R = np.linalg.qr(((1 - h**2)[:, None] * W) @ Q)
        logs += np.log(np.abs(np.diag(R)))
    return logs / len(inputs)


def run(orbit: Callable[[], Orbit], count: int) -> Array:
    return ours(orbit(), count)


def ours(orbit: Orbit, count: int) -> Array:
    run = GrowthRun(orbit, count, np.random.default_rng(0))
    for length in np.diff(np.linspace(0, STEPS, RUN_BATCHES + 1).astype(int)):
        run.measure(int(length))
    return run.exponents()


def exponents() -> None:
    print(f"{'system':<8} {'n':>4} {'k':>4} {'per step':>10} {'gradflow':>10} {'times':>6} {'error':>8}")
    for case in CASES:
        orbit, rival = made(case)
        taken = medians({"rival": rival, "ours": partial(run, orbit, case.exponents)}, ROUNDS)
        ratio = taken["rival"] / taken["ours"]
        error = float(np.abs(ours(orbit(), case.exponents) - rival()).max())
        size = orbit().size
        verdict = ("met" if ratio >= GOAL else "MISSED") if error <= ERROR else "WRONG EXPONENTS"
        goal = f"  goal {GOAL}: {verdict}" if case.goal else ""
        milliseconds = [f"{taken[name] * 1e3:7.0f} ms" for name in ("rival", "ours")]
        sizes = f"{case.name:<8} {size:>4} {case.exponents:>4}"
        print(f"{sizes} {' '.join(milliseconds)} {ratio:6.2f} {error:8.0e}{goal}")


def memory() -> None:
    """Print what a long run takes at most, beside the arrays of one piece of its orbit."""
    cell = parse_cell("rnn").make(128, FEATURES, np.random.default_rng(1))
    taken = []
    for steps in (2000, 8000):
        pieces = iter([np.zeros((PIECE_STEPS, FEATURES))] * (steps // PIECE_STEPS + 1))
        run = GrowthRun(CellOrbit(cell, pieces, np.zeros(128)), 32, np.random.default_rng(0))
        run.measure(10)
        tracemalloc.start()
        run.measure(steps)
        taken.append(tracemalloc.get_traced_memory()[1] / (8 * (128 * 32 + 128**2)))
        tracemalloc.stop()
    print(f"rnn 128, k = 32: {taken[0]:.0f} (nk + n²) doubles over 2000 steps, {taken[1]:.0f} over 8000")


def initializations() -> None:
    for text in ("rnn", "lstm", "lstm:init=chrono", "gru"):
        command = ["-m", "gradflow", "init", text, "--hidden", "256", "--features", "32", "--horizon", "1000"]
        taken = medians({text: process([sys.executable, *command])}, 1)
        verdict = "met" if taken[text] <= 60 else "MISSED"
        print(f"init {text}, H = 256, N = 1000: {taken[text]:.1f} s  goal 60: {verdict}")


if __name__ == "__main__":
    exponents()
    memory()
    initializations()
