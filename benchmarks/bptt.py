"""The gradient of a loss by lag, against autograd: ``python benchmarks/bptt.py``.

L is the mean over t of ½‖h_t − y_t‖², float64, one sequence, W the recurrent weights. One rival is what a
user of torch writes: weights of every step as leaves of their own and a backward pass for each L_t, which
gives the parts of all (t, k). The other is what an expert writes: error signals alone, and one pass batched
over all L_t, which holds T² of them. gradflow's time holds more: shares, and what every window loses. Each
runs in a process of its own, on one pinned thread, in turn.
"""

import argparse
import tracemalloc
from importlib.util import find_spec

from flow import Case, Contender, Outcome, error, run_once

import gradflow

CASES = (
    Case("lstm", 128, 500, {"autograd": 25}),
    Case("rnn", 128, 500),
    Case("gru", 128, 500),
    Case("lstm", 32, 200),
)
CONTENDERS = {
    "gradflow": Contender("credit.py"),
    "autograd": Contender("credit_autograd.py", "torch"),
    "batched": Contender("credit_batched.py", "torch"),
}
TOLERANCE = 1e-9  # relative error of a norm from which on a time counts for nothing


def measure(case: Case, rounds: int) -> dict[str, Outcome]:
    outcomes = {name: Outcome() for name in CONTENDERS}
    for _ in range(rounds):
        for name, contender in CONTENDERS.items():
            if find_spec(contender.package) is None:
                outcomes[name].failure = "not installed: pip install gradflow-rnn[bench]"
            else:
                run_once(contender, case, outcomes[name])
    return outcomes


def report(case: Case, outcomes: dict[str, Outcome]) -> None:
    ours = outcomes["gradflow"]
    print(f"{case.cell} {case.size}, T = {case.steps}: {ours.median * 1e3:.0f} ms, {ours.megabytes:.0f} MB")
    for name, rival in outcomes.items():
        if rival is ours:
            continue
        if rival.failure:
            print(f"  {name}: {rival.failure}")
            continue
        ratio, off = rival.median / ours.median, error(ours.norms, rival.norms)
        goal = case.slower.get(name)
        sound = off is not None and off <= TOLERANCE
        met = "" if goal is None else f"  goal {goal:g}: {'met' if ratio >= goal else 'MISSED'}"
        print(
            f"  {name}: {ratio:.1f} times slower, {rival.megabytes:.0f} MB, error {off:.0e}"
            f"{met if sound else '  WRONG NORMS'}"
        )


def memory() -> None:
    """Print what taking a gradient apart takes at most, in numbers of a state and of a gate's weights."""
    size, taken = 64, []
    gradflow.bptt("lstm", hidden=size, steps=9)  # what is imported then is not counted
    for steps in (250, 1000):
        tracemalloc.start()
        gradflow.bptt("lstm", hidden=size, steps=steps)
        taken.append(tracemalloc.get_traced_memory()[1] / (8 * (steps * size + size**2)))
        tracemalloc.stop()
    print(f"lstm {size}: {taken[0]:.0f} (Tn + n²) doubles over 250 steps, {taken[1]:.0f} over 1000")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs")
    given = parser.parse_args()
    for case in CASES:
        report(case, measure(case, given.rounds))
    memory()


if __name__ == "__main__":
    main()
