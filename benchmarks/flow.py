"""``gradflow.compare`` against other ways to the norms by lag: ``python benchmarks/flow.py``.

float64, batch 1, ∂s_T/∂s_{T−k} of the whole state for k = 1…T. Each contender runs in a process of its own,
on one pinned thread, the contenders in turn; imports, compilation and the making of weights are not counted.
The engine is the part of ``gradflow.compare`` that computes these norms and nothing else.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from timing import PINNED


class Case(NamedTuple):
    """A cell with its weights, hidden size and number of steps, and the goals against the contenders."""

    cell: str
    size: int
    steps: int
    slower: Mapping[str, float] = {}  # contender -> how many times gradflow's time it takes, at least
    within: Mapping[str, float] = {}  # contender -> how many times its time gradflow takes, at most
    engine_slower: Mapping[str, float] = {}  # the same of the engine


CASES = {
    "rnn-ginibre-256": Case("rnn-ginibre", 256, 1000, {"jacrev": 25}, {"gemm": 0.5, "engine": 1.3}),
    "lstm-forget-128": Case("lstm-forget", 128, 1000, {"jacrev": 35}, {"gemm": 0.75, "engine": 1.3}),
    "lstm-forget-256": Case("lstm-forget", 256, 100, {"jacrev": 15}, {"gemm": 1.5, "engine": 1.3}),
    "lstm-128": Case("lstm", 128, 1000, {}, {"engine": 1.3}, {"jacrev": 40}),
    "lstm-256": Case("lstm", 256, 100, {}, {"engine": 1.3}, {"jacrev": 15}),
    "rnn-512": Case("rnn", 512, 100, {}, {"engine": 1.3}, {"jacrev": 9}),
    "rnn-32": Case("rnn", 32, 100, {}, {"engine": 1.3}, {"jacrev": 8, "jax_scan": 1.3}),
    "rnn-orthogonal-256": Case("rnn-orthogonal", 256, 100, {}, {"engine": 1.3}, {"numpy_dense": 3}),
    "gru-128": Case("gru", 128, 1000, {}, {"gradflow lstm": 1.5, "engine": 1.3}),
}


class Contender(NamedTuple):
    """A script that takes CELL N T and prints its time and its norms."""

    script: str
    package: str = "numpy"
    variant: tuple[str, ...] = ()
    only: str = ""  # the one kind of cell it is run on; all if empty
    cell: str = ""  # the cell it is given instead of the case's


CONTENDERS = {
    "gradflow": Contender("public.py"),
    "gradflow lstm": Contender("public.py", only="gru", cell="lstm"),
    "engine": Contender("engine_norms.py"),
    "jacrev": Contender("jacrev.py", "torch"),
    "unrolled": Contender("unrolled.py", "torch"),
    "jax_scan": Contender("jax_scan.py", "jax"),
    "numpy_dense": Contender("numpy_dense.py"),
    "gemm": Contender("gemm_chain.py", variant=("structured",)),
    "gemm full": Contender("gemm_chain.py", variant=("full",), only="lstm"),
}
OURS, ENGINE, REFERENCE = "gradflow", "engine", "numpy_dense"

BUDGET = 60.0  # seconds: once its runs in a case add up to this, a contender sits the other rounds out
LOWEST = -300.0  # log10 norms below it are not compared: the ways that do not rescale end near −308
TOLERANCE = 1e-9  # relative error of a norm from which on a time counts for nothing


@dataclass
class Outcome:
    """What came of one contender in one case: its times, and its norms or why there are none."""

    seconds: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    megabytes: float = math.nan  # of memory at most, its packages with it
    failure: str = ""

    @property
    def median(self) -> float:
        """The median time, nan where none was measured."""
        return statistics.median(self.seconds) if self.seconds else math.nan


def run_once(contender: Contender, case: Case, outcome: Outcome) -> None:
    """Run a contender's process, and add what it measured to its outcome."""
    script = Path(__file__).parent / "contenders" / contender.script
    cell = contender.cell or case.cell
    command = [sys.executable, str(script), cell, str(case.size), str(case.steps), *contender.variant]
    done = subprocess.run(
        command,
        env=os.environ | PINNED,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode:
        outcome.seconds, outcome.norms = [], []  # of earlier rounds: it is not to be half judged
        outcome.failure = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return
    result = json.loads(done.stdout.splitlines()[-1])
    outcome.seconds.append(result["seconds"])
    outcome.norms, outcome.megabytes = result["log10_norms"], result["megabytes"]


def measure(case: Case, rounds: int) -> dict[str, Outcome]:
    """Return the outcome of every contender of the case, all of them run in turn, round by round."""
    entered = {
        name: entry for name, entry in CONTENDERS.items() if entry.only in ("", case.cell.partition("-")[0])
    }
    outcomes = {name: Outcome() for name in entered}
    for name, contender in entered.items():
        if find_spec(contender.package) is None:
            outcomes[name].failure = "not installed: pip install gradflow-rnn[bench]"
    for _ in range(rounds):
        for name, contender in entered.items():
            outcome = outcomes[name]
            if not outcome.failure and sum(outcome.seconds) < BUDGET:
                run_once(contender, case, outcome)
    return outcomes


def error(norms: Sequence[float], reference: Sequence[float]) -> float | None:
    """Return the largest relative error of a norm, as a difference of logarithms; None if there is none."""
    if not norms or not reference:
        return None
    if len(norms) != len(reference):
        return math.inf
    gaps = [
        abs(norm - true) * math.log(10) for norm, true in zip(norms, reference, strict=True) if true > LOWEST
    ]
    return math.inf if any(map(math.isnan, gaps)) else max(gaps)


def judge(name: str, case: Case, ratios: Mapping[str, float], sound: bool) -> str:
    """Return the goals for a contender's time over gradflow's and the engine's, and whether they are met."""
    ours, engine = ratios[OURS], ratios[ENGINE]
    words = []
    if name in case.slower:
        goal = case.slower[name]
        words.append(f"slower >= {goal:g} {_judge_ratio(ours >= goal, ours, sound)}")
    if name in case.within:
        goal = case.within[name]
        words.append(f"gradflow/it <= {goal:g} {_judge_ratio(1 / ours <= goal, ours, sound)}")
    if name in case.engine_slower:
        goal = case.engine_slower[name]
        words.append(f"than the engine >= {goal:g} {_judge_ratio(engine >= goal, engine, sound)}")
    return "; ".join(words)


def _judge_ratio(met: bool, ratio: float, sound: bool) -> str:
    """Return whether a goal is met, or why that is not known."""
    if math.isnan(ratio):
        return "not measured"
    return ("met" if met else "MISSED") if sound else "WRONG NORMS"


def number(value: float | None, form: str) -> str:
    """Return the number as text, a dash where there is none."""
    return "-" if value is None or math.isnan(value) else format(value, form)


def report(case: Case, outcomes: Mapping[str, Outcome], rounds: int) -> None:
    """Print a case's table."""
    reference = outcomes[REFERENCE].norms
    print(f"{'contender':<14} {'ms':>10} {'/ gradflow':>11} {'/ engine':>9} {'error':>9}  goals")
    ours_error = error(outcomes[OURS].norms, reference)
    sound = ours_error is not None and ours_error <= TOLERANCE
    for name, outcome in outcomes.items():
        ratios = {base: outcome.median / outcomes[base].median for base in (OURS, ENGINE)}
        goals = judge(name, case, ratios, sound)
        if outcome.failure:
            print(f"{name:<14} {outcome.failure}  {goals}".rstrip())
            continue
        # another cell's norms have nothing to be compared with here
        off = None if CONTENDERS[name].cell else error(outcome.norms, reference)
        print(
            f"{name:<14} {outcome.median * 1e3:10.2f} {number(ratios[OURS], '.2f'):>11} "
            f"{number(ratios[ENGINE], '.2f'):>9} {number(off, '.1e'):>9}  {goals}".rstrip()
        )
    fewer = [f"{name} {len(it.seconds)}" for name, it in outcomes.items() if 0 < len(it.seconds) < rounds]
    if fewer:
        print(f"fewer rounds, past {BUDGET:g} s in all: {', '.join(fewer)}")
    unwell = [name for name, it in outcomes.items() if it.norms and -math.inf in it.norms]
    if unwell:
        print(f"out of range on the way, norm 0: {', '.join(unwell)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs")
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="one round of T/10 steps, without goals")
    given = parser.parse_args()
    rounds = 1 if given.quick else given.rounds
    print(f"one thread, medians of {rounds} rounds; error: of a norm, relative to {REFERENCE}, the largest")
    for name in given.case:
        case = CASES[name]
        if given.quick:
            case = case._replace(steps=case.steps // 10, slower={}, within={}, engine_slower={})
        print(f"\n{name}: {case.cell}, n = {case.size}, T = {case.steps}", flush=True)
        report(case, measure(case, rounds), rounds)


if __name__ == "__main__":
    main()
