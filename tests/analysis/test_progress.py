"""The callback ``progress(done, total)`` of every public function that takes one."""

import inspect
import threading

import numpy as np
import pytest

import gradflow
from gradflow.errors import UsageError
from tests.layouts.test_files import FILES

FUNCTIONS = {name: found for name in gradflow.API if inspect.isfunction(found := getattr(gradflow, name))}
PARAMETERS = {name: inspect.signature(function).parameters for name, function in FUNCTIONS.items()}
TAKING = [name for name, parameters in PARAMETERS.items() if "progress" in parameters]

CALLS = {
    "bptt": [lambda **o: gradflow.bptt("lstm", hidden=3, features=2, steps=8, pair_map=True, **o)],
    "compare": [
        lambda **o: gradflow.compare("rnn", "lstm", hidden=3, steps=8, seeds=3, exact=True, **o),
        # a single draw is counted lag by lag
        lambda **o: gradflow.compare("lstm", hidden=40, steps=60, seeds=1, **o),
        lambda **o: gradflow.compare("lstm", hidden=3, steps=8, seeds=1, block="direct", **o),
    ],
    "derive": [lambda **o: gradflow.derive("jacobian", **o)],
    "init": [
        lambda **o: gradflow.init("lstm", hidden=3, features=2, horizon=20, seeds=2, **o),
        # close enough as it is: nothing is tried
        lambda **o: gradflow.init("rnn:init=orthogonal,activation=identity", hidden=3, horizon=9, **o),
    ],
    "inspect": [
        lambda **o: gradflow.inspect(FILES / "equinox_gru.npz", length=9, **o),
        lambda **o: gradflow.inspect(FILES / "torch_gru.pt", FILES / "haiku_lstm.npz", length=9, **o),
    ],
    "lyapunov": [
        lambda **o: gradflow.lyapunov("gru", hidden=3, features=2, steps=40, seeds=2, **o),
        lambda **o: gradflow.lyapunov("rnn", hidden=3, features=2, steps=40, tolerance=0.02, **o),
        lambda **o: gradflow.lyapunov(jacobians=np.tile(np.eye(2), (20, 1, 1)), **o),
    ],
    "power": [lambda **o: gradflow.power("0.9 1; 0 0.9", steps=5, **o)],
    "theory": [
        lambda **o: gradflow.theory("rnn", hidden=6, steps=20, seeds=3, **o),
        lambda **o: gradflow.theory("ginibre", gain="0.5:1.5:0.5", hidden=3, steps=20, seeds=2, **o),
        lambda **o: gradflow.theory("gru", gain="1:3:1", measure=False, **o),
    ],
}
EACH = [pytest.param(call, id=name) for name in TAKING for call in CALLS.get(name, [])]


class WorkCancelledError(Exception):
    """What a caller's own callback raises."""


def test_every_function_that_takes_progress_is_called_here():
    assert sorted(CALLS) == sorted(TAKING)


def test_no_function_takes_a_map():
    assert [name for name, parameters in PARAMETERS.items() if "map" in parameters] == []


@pytest.mark.parametrize("call", EACH)
def test_counts_grow_one_by_one_up_to_the_total_and_change_nothing(call):
    counts, threads = [], set()

    def progress(done, total):
        counts.append((done, total))
        threads.add(threading.get_ident())
        return "ignored"

    plain = gradflow.to_text(call(), "json")
    assert gradflow.to_text(call(progress=progress), "json") == plain
    assert threads == {threading.get_ident()}
    assert len(counts) > 1
    assert [done for done, _ in counts] == list(range(len(counts)))
    totals = [total for _, total in counts]
    known = [total for total in totals if total is not None]
    assert totals == [None] * (len(totals) - len(known)) + known  # once it is known it stays
    assert set(known) <= {len(counts) - 1}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        *(pytest.param(*call.values, KeyboardInterrupt, id=call.id) for call in EACH),
        *((*EACH[0].values, error) for error in (WorkCancelledError, StopIteration, UsageError)),
    ],
)
def test_what_progress_raises_ends_the_work_and_reaches_the_caller(call, error):
    raised, counts = error("enough"), []

    def progress(done, total):
        counts.append(done)
        if done == 1:
            raise raised

    with pytest.raises(error) as caught:
        call(progress=progress)
    assert caught.value is raised
    assert counts == [0, 1]


@pytest.mark.parametrize("call", EACH)
def test_progress_that_cannot_be_called_is_refused(call):
    with pytest.raises(UsageError, match="progress True: expected a function of the number of finished"):
        call(progress=True)


def test_only_lyapunov_with_a_tolerance_leaves_the_total_open_to_the_end():
    counts = []
    options = {"hidden": 3, "features": 2, "steps": 40, "progress": lambda *count: counts.append(count)}
    gradflow.lyapunov("rnn", tolerance=0.02, **options)
    assert {total for _, total in counts} == {None}
    counts.clear()
    gradflow.lyapunov("rnn", **options)
    assert {total for _, total in counts} == {len(counts) - 1}
