"""Executors of ``compare``, ``inspect`` and ``theory``: they share out the work and change no byte."""

import inspect
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import gradflow
from gradflow.analysis.shared.progress import ProgressCounter
from gradflow.analysis.shared.tasks import run_tasks
from gradflow.cells.rnn import RNN
from gradflow.errors import NumericalError, UsageError
from tests.analysis.taken_apart import network
from tests.layouts.test_files import FILES

SPAWN = multiprocessing.get_context("spawn")
DATA = np.random.default_rng(7).standard_normal((3, 8, 3))
EXECUTORS = ("1 thread", "2 threads", "4 threads", "2 processes")
SMALL = {"hidden": 4, "features": 2, "steps": 8}

CALLS = {
    "compare_draws": lambda **o: gradflow.compare(
        "rnn", "lstm:layers=2", seeds=2, norm="2,min", pair_map=True, paths=True, **SMALL, **o
    ),
    "compare_data": lambda **o: gradflow.compare(
        str(FILES / "torch_gru.pt"), "rnn", input=DATA, seeds=4, **o
    ),
    "compare_overflow": lambda **o: gradflow.compare(
        "rnn:activation=relu,gain=40", hidden=4, features=2, steps=120, seeds=2, exact=True, **o
    ),
    "inspect_files": lambda **o: gradflow.inspect(
        FILES / "equinox_gru.npz", FILES / "haiku_lstm.npz", length=12, units=True, gate_steps=True, **o
    ),
    "inspect_layers": lambda **o: gradflow.inspect(FILES / "torch_lstm_stacked.pt", length=12, **o),
    "inspect_loaded": lambda **o: gradflow.inspect(
        gradflow.load(FILES / "keras_two.keras"), FILES / "torch_gru.pt", length=9, **o
    ),
    "inspect_state_dict": lambda **o: gradflow.inspect(
        gradflow.from_state_dict({"a.weight_ih_l0": DATA[0, :4], "a.weight_hh_l0": np.eye(4) / 2}),
        FILES / "torch_gru.pt",
        length=9,
        **o,
    ),
    "theory_rnn": lambda **o: gradflow.theory("rnn", gain=1.4, seeds=3, **SMALL, **o),
    "theory_lstm": lambda **o: gradflow.theory("lstm:init=chrono", hidden=4, seeds=3, **o),
    "theory_ginibre": lambda **o: gradflow.theory("ginibre", hidden=3, steps=30, seeds=3, **o),
    "theory_sweep": lambda **o: gradflow.theory("rnn", gain="0.5:1.5:0.5", seeds=2, **SMALL, **o),
    "theory_sweep_data": lambda **o: gradflow.theory(
        "rnn", input_scale="0.5:1.5:0.5", hidden=4, input=DATA, seeds=2, **o
    ),
    "theory_alone": lambda **o: gradflow.theory("gru", gain="1:5:1", measure=False, **o),
}


@pytest.fixture(scope="module")
def executors():
    """One of each kind, for all tests."""
    with (
        ThreadPoolExecutor(1) as one,
        ThreadPoolExecutor(2) as two,
        ThreadPoolExecutor(4) as four,
        ProcessPoolExecutor(2, mp_context=SPAWN) as processes,
    ):
        yield dict(zip(EXECUTORS, (one, two, four, processes), strict=True))


def test_functions_whose_work_is_independent_take_an_executor_and_no_other():
    functions = {name: found for name in gradflow.API if inspect.isfunction(found := getattr(gradflow, name))}
    taking = {name for name, found in functions.items() if "executor" in inspect.signature(found).parameters}
    assert taking == {"compare", "inspect", "theory"} == {name.partition("_")[0] for name in CALLS}
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="executor"):
        gradflow.lyapunov("rnn", hidden=2, steps=9, executor=pool)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_executor_gives_the_bytes_and_counts_of_none(executors, call):
    def run(executor):
        counts = []
        found = call(progress=lambda *count: counts.append(count), executor=executor)
        return gradflow.to_text(found, "json"), counts

    alone = run(None)
    for name, executor in executors.items():
        assert run(executor) == alone, name


@pytest.mark.parametrize("name", EXECUTORS)
def test_error_is_that_of_the_first_piece(executors, name):
    for cells in (
        ("rnn:gain=2", "rnn", "lstm"),
        ("rnn", "lstm", "rnn:gain=2"),
        ("lstm", "rnn:gain=2", "rnn"),
    ):
        first = next(cell for cell in cells if cell.startswith("rnn"))
        with pytest.raises(UsageError, match=f"^cell '{first}': block 'cc'"):
            gradflow.compare(*cells, block="cc", seeds=2, **SMALL, executor=executors[name])


class OddCellError(Exception):
    """What a cell of somebody else raises."""


def unpicklable(error=None):
    """Return a network whose cell has a class of this function, which no other process can find."""

    class LocalRNN(RNN):
        def run(self, inputs, initial=None):
            if error is not None:
                raise error
            return super().run(inputs, initial)

    return network(LocalRNN(np.ones((2, 3)), 0.5 * np.eye(2), np.zeros(2)))


def test_cell_that_cannot_be_pickled_is_refused_by_processes_and_measured_by_threads(executors):
    alone = gradflow.to_text(gradflow.compare(unpicklable(), "rnn", steps=9, seeds=2), "json")
    for name in EXECUTORS[:3]:
        found = gradflow.compare(unpicklable(), "rnn", steps=9, seeds=2, executor=executors[name])
        assert gradflow.to_text(found, "json") == alone
    with pytest.raises(UsageError, match=r"cannot be pickled .*LocalRNN.*ThreadPoolExecutor") as caught:
        gradflow.compare("rnn", unpicklable(), steps=9, seeds=2, executor=executors["2 processes"])
    assert "\n" not in str(caught.value)
    # the pool goes on working
    gradflow.compare("rnn", steps=9, seeds=2, executor=executors["2 processes"])


@pytest.mark.parametrize("kind", [TypeError, AttributeError, RuntimeError, OddCellError])
def test_error_of_a_cell_is_not_taken_for_one_of_the_executor(executors, kind):
    error = kind("of the cell")
    for executor in (None, *(executors[name] for name in EXECUTORS[:3])):
        with pytest.raises(kind) as caught:
            gradflow.compare(unpicklable(error), steps=9, seeds=1, executor=executor)
        assert caught.value is error


def test_error_in_another_process_keeps_its_type_and_message(executors):
    with pytest.raises(ZeroDivisionError, match="by zero"):
        run_tasks(divmod_of_one_by, [1, 0, 2], executors["2 processes"], ProgressCounter(None))


divmod_of_one_by = (1).__divmod__  # picklable wherever it is sent; raises for 0


@pytest.mark.parametrize("culprit", ["task", "progress"])
def test_pieces_that_have_not_begun_are_cancelled(culprit):
    begun, ended = [], threading.Event()

    def task(piece):
        begun.append(piece)
        if piece > 0:
            assert ended.wait(30)
        elif culprit == "task":
            raise OddCellError
        return piece

    def progress(done, total):
        if done == 1 and culprit == "progress":
            raise OddCellError

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(OddCellError):
            run_tasks(task, range(20), pool, ProgressCounter(progress))
        ended.set()  # what has not been cancelled would begin now
    assert begun in ([0], [0, 1])


class Keeping:
    """An executor that keeps the iterator of its results."""

    def map(self, function, pieces):
        self.outcomes = (function(piece) for piece in pieces)
        return self.outcomes


def test_results_that_nobody_takes_any_more_are_closed():
    def progress(done, total):
        if done == 1:
            raise OddCellError

    executor = Keeping()
    with pytest.raises(OddCellError):
        gradflow.compare("rnn", "lstm", seeds=2, **SMALL, progress=progress, executor=executor)
    assert inspect.getgeneratorstate(executor.outcomes) == inspect.GEN_CLOSED


def test_worker_that_ends_is_an_error_that_says_so():
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        with pytest.raises(NumericalError, match="a worker of the executor ended"):
            run_tasks(os._exit, [3], pool, ProgressCounter(None))
        with pytest.raises(UsageError, match=r"the executor takes no work"):
            gradflow.theory("rnn", seeds=1, **SMALL, executor=pool)


class Forgetful:
    """An executor that loses the last result."""

    def map(self, function, pieces):
        return iter([function(piece) for piece in pieces][:-1])


@pytest.mark.parametrize("name", ["compare_data", "inspect_layers", "theory_alone"])
def test_what_is_no_working_executor_is_refused(name):
    call = CALLS[name]
    with ThreadPoolExecutor(1) as pool:
        pass
    with pytest.raises(UsageError, match=r"the executor takes no work .*shut down"):
        call(executor=pool)
    for wrong in (4, map):
        with pytest.raises(UsageError, match=r"expected an executor of concurrent\.futures"):
            call(executor=wrong)
    with pytest.raises(UsageError, match=r"the executor returned .* results for"):
        call(executor=Forgetful())
