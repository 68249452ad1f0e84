"""How everything here is timed: contenders in turn, round by round, medians, ratios within one run."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

# one thread each: two-thread readings drop by 2–10 times at random
PINNED = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def medians(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return each contender's median wall time in seconds; each runs once a round, after a warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def process(command: Sequence[str], **environment: str) -> Callable[[], None]:
    """Return a contender that runs ``command`` as a process of its own, its output thrown away."""
    # Bytecode is kept, as it is for a user; without it every start would compile gradflow anew.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run() -> None:
        subprocess.run(
            command,
            check=True,
            env=kept | PINNED | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    return run


def report(measured: Mapping[str, float], base: str, goals: Mapping[str, float]) -> None:
    """Print each contender's median, its ratio to ``base``, and the goal for that ratio."""
    for name, seconds in measured.items():
        ratio = seconds / measured[base]
        goal = (
            f"  goal {goals[name]:.2f}  {'met' if ratio <= goals[name] else 'MISSED'}"
            if name in goals
            else ""
        )
        print(f"{name:<24} {seconds * 1e3:9.1f} ms  ratio {ratio:5.2f}{goal}")
