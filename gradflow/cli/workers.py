"""Worker processes for independent pieces of work."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, TypeVar

from gradflow.errors import NumericalError

SECONDS_BETWEEN_LOOKS = 0.5  # at whether the parent is still there
TaskInput = TypeVar("TaskInput")
TaskResult = TypeVar("TaskResult")


class ProcessWorkers:
    """An executor that spreads its work over the cores, each piece in another process.

    The processes begin when there is work for at least two of them, and end with it. A single piece of work
    runs in the calling process, where it needs no start of another.

    Parameters
    ----------
    trial_seconds : float
        The time that the first pieces run in the calling process, before others start for the rest. Little
        work needs no others.
    """

    def __init__(self, trial_seconds: float = 0.0) -> None:
        self.trial_seconds = trial_seconds

    def map(
        self, function: Callable[[TaskInput], TaskResult], pieces: Iterable[TaskInput], /
    ) -> Iterator[TaskResult]:
        """Yield the results of a function in the order of its pieces; all of them must be picklable."""
        work = list(pieces)
        end = time.monotonic() + self.trial_seconds
        while len(work) > 1 and time.monotonic() < end:
            yield function(work.pop(0))
        workers = min(len(work), os.cpu_count() or 1)
        if workers < 2:
            yield from map(function, work)
        else:
            yield from _spread(function, work, workers)


def _spread(
    function: Callable[[TaskInput], TaskResult], work: list[TaskInput], workers: int
) -> Iterator[TaskResult]:
    # imported here so that only commands that use the pool load it
    futures: Any = import_module("concurrent.futures")
    with futures.ProcessPoolExecutor(workers, initializer=_follow_parent) as pool:
        try:
            yield from pool.map(function, work)
        except futures.BrokenExecutor as error:
            raise NumericalError(
                "another program ended a worker process, perhaps because memory ran out; give fewer files "
                "at once"
            ) from error
        except BaseException:
            for child in import_module("multiprocessing").active_children():
                child.terminate()  # otherwise the program would wait for work that is no longer needed
            raise


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, which ends the pool, and end soon after the parent has been ended."""
    signal = import_module("signal")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import_module("threading").Thread(target=_end_without, args=(os.getppid(),), daemon=True).start()


def _end_without(parent: int) -> None:
    """End this process once another one is its parent, because that one has been ended."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)
