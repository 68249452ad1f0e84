"""Run independent pieces of work in parallel, each in its own process."""

import os
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

from gradflow.errors import NumericalError


def pooled(show: Callable[..., Iterable[Any]]) -> Callable[..., Iterable[Any]]:
    """Return a ``map`` that spreads its work over the cores, and passes the results to ``show`` in order.

    A single piece of work runs in the calling process. A function and its arguments must be picklable.
    """

    def apply(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        work = list(items)
        workers = min(len(work), os.cpu_count() or 1)
        if workers < 2:
            yield from show(function, work)
            return
        yield from _spread(show, function, work, workers)

    return apply


def _spread(
    show: Callable[..., Iterable[Any]], function: Callable[[Any], Any], work: list[Any], workers: int
) -> Iterator[Any]:
    # imported here so that only commands that use the pool load it
    futures = import_module("concurrent.futures")
    process = import_module("concurrent.futures.process")
    with futures.ProcessPoolExecutor(workers, initializer=_quiet) as pool:
        try:
            yield from show(_result, [pool.submit(function, item) for item in work])
        except process.BrokenProcessPool as error:
            raise NumericalError(
                "another program ended a worker process, perhaps because memory ran out; give fewer files "
                "at once"
            ) from error
        except BaseException:
            for child in import_module("multiprocessing").active_children():
                child.terminate()  # otherwise the program would wait for work that is no longer needed
            raise


def _result(future: Any) -> Any:
    return future.result()


def _quiet() -> None:
    """Leave Ctrl-C to the parent, which ends the pool."""
    signal = import_module("signal")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
