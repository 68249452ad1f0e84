"""Independent pieces of work, done one by one or by the workers of an executor, with equal results."""

import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from importlib import import_module
from typing import Protocol, TypeVar

from gradflow.analysis.shared.progress import ProgressCounter
from gradflow.blas_threads import use_one_blas_thread
from gradflow.errors import GradflowError, NumericalError, UsageError

TaskInput = TypeVar("TaskInput")
TaskResult = TypeVar("TaskResult")
RAISED_BY_TASK = "raised_by_gradflow_task"  # attribute of an exception; it survives pickling


class TaskExecutor(Protocol):
    """The method of ``concurrent.futures.Executor`` that is used: threads, processes or something else."""

    def map(
        self, function: Callable[[TaskInput], TaskResult], pieces: Iterable[TaskInput], /
    ) -> Iterator[TaskResult]:
        """Return the results of a function in the order of its pieces, and cancel the rest if closed."""


def check_executor(executor: object) -> None:
    """Check that an executor has the method that is used.

    Raises
    ------
    UsageError
        If it does not.
    """
    if executor is not None and not callable(getattr(executor, "map", None)):
        raise UsageError(
            f"executor {executor!r}: expected an executor of concurrent.futures, such as "
            "ProcessPoolExecutor(4) or ThreadPoolExecutor(4)"
        )


def run_tasks(
    task: Callable[[TaskInput], TaskResult],
    pieces: Sequence[TaskInput],
    executor: TaskExecutor | None,
    counter: ProgressCounter,
) -> list[TaskResult]:
    """Return the result of a task for every piece, in order, and count each on ``counter`` in this thread.

    Without an executor, the pieces are done one after the other in this thread. A task must depend on its
    piece alone, and may change nothing: then the results are the same with any executor. For a process pool,
    task, pieces and results have to be picklable. The first error, in the order of the pieces, ends the work,
    and so does an error of the progress callback: what has not begun is cancelled.

    Raises
    ------
    UsageError
        If a piece cannot be pickled, or if the executor was shut down.
    NumericalError
        If a worker of the executor ends before its work is done.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as pool:
    ...     run_tasks(abs, [-1, 2, -3], pool, ProgressCounter(None))
    [1, 2, 3]
    """
    results: list[TaskResult] = []
    if executor is None:
        for piece in pieces:
            results.append(task(piece))
            counter.add_one()
        return results
    with closing(_share_out(task, pieces, executor)) as outcomes:
        for result in outcomes:
            results.append(result)
            counter.add_one()
    if len(results) != len(pieces):
        raise UsageError(
            f"the executor returned {len(results)} results for {len(pieces)} pieces of work; expected one "
            "for each: give an executor of concurrent.futures"
        )
    return results


def _share_out(
    task: Callable[[TaskInput], TaskResult], pieces: Sequence[TaskInput], executor: TaskExecutor
) -> Generator[TaskResult, None, None]:
    """Yield the results of an executor in order; when closed, cancel what has not begun."""
    outcomes = _submit(task, pieces, executor)
    done = 0
    try:
        for outcome in outcomes:
            yield outcome
            done += 1
    except Exception as error:
        if isinstance(error, GradflowError) or hasattr(error, RAISED_BY_TASK):
            raise
        explained = _explain_failure(error, task, pieces[min(done, len(pieces) - 1)])
        if explained is None:
            raise
        raise explained from error
    finally:
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()


def _submit(
    task: Callable[[TaskInput], TaskResult], pieces: Sequence[TaskInput], executor: TaskExecutor
) -> Iterator[TaskResult]:
    try:
        return iter(executor.map(partial(_run_task, task), pieces))
    except RuntimeError as error:
        if hasattr(error, RAISED_BY_TASK):
            raise
        raise UsageError(
            f"the executor takes no work ({error}); give one that is neither shut down nor broken"
        ) from error


@use_one_blas_thread  # of a process, which the caller's limit does not reach
def _run_task(task: Callable[[TaskInput], TaskResult], piece: TaskInput) -> TaskResult:
    """Run a task, and mark its exceptions: those without a mark are of the executor, or of pickling."""
    try:
        return task(piece)
    except Exception as error:
        with suppress(Exception):  # an exception may refuse attributes
            setattr(error, RAISED_BY_TASK, True)
        raise


def _explain_failure(error: Exception, task: object, piece: object) -> GradflowError | None:
    """Return what is wrong with an executor or with the piece that it failed at; None if that is unknown."""
    # Imported here: most commands have no executor, and whoever has one has loaded this.
    if isinstance(error, import_module("concurrent.futures").BrokenExecutor):
        return NumericalError(
            "a worker of the executor ended before its work was done, perhaps because memory ran out; give "
            "it less work at once, or fewer workers"
        )
    problem = _find_pickling_problem(task, piece)
    if problem is None:
        return None
    return UsageError(
        f"the work cannot be sent to another process, because a part of it cannot be pickled ({problem}); "
        "give an executor of threads, such as ThreadPoolExecutor(4), or leave the executor out"
    )


def _find_pickling_problem(task: object, piece: object) -> str | None:
    """Return why a task or its piece cannot be pickled; None if it can."""
    try:
        pickle.dumps((task, piece))
    except Exception as error:  # pickle calls methods of any class, which raise what they like
        return str(error)
    return None
