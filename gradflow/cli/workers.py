"""Independent files side by side, each in a process of its own."""

import os
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any


def pooled(show: Callable[..., Iterable[Any]]) -> Callable[..., Iterable[Any]]:
    """Return a ``map`` that spreads its work over the cores, while ``show`` takes the results in order.

    One piece of work stays where it is. A function and its arguments must be picklable.
    """

    def apply(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        work = list(items)
        workers = min(len(work), os.cpu_count() or 1)
        if workers < 2:
            yield from show(function, work)
            return
        # by name: a short command needs no pool, and pays for none
        futures = import_module("concurrent.futures")
        with futures.ProcessPoolExecutor(workers, initializer=_quiet) as pool:
            try:
                yield from show(_result, [pool.submit(function, item) for item in work])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    return apply


def _result(future: Any) -> Any:
    return future.result()


def _quiet() -> None:
    """Leave Ctrl-C to the parent, which ends the pool."""
    signal = import_module("signal")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
