"""Progress of long work: how many pieces of it are done, reported to a callback of the caller."""

from collections.abc import Callable

from gradflow.errors import UsageError

# progress(done, total): the number of finished pieces of work, and of all pieces, None while it is not known.
Progress = Callable[[int, int | None], object]


class ProgressCounter:
    """The number of finished pieces of work, each of which is reported to a callback, if there is one.

    The callback ``progress(done, total)`` is called with ``done`` 0 when work begins, and after each piece.
    It runs in the thread of the caller. ``done`` grows by one with each call. ``total`` is None while it is
    not known, and the last call has ``done == total`` where it is. What the callback returns is ignored. What
    it raises ends the work and reaches the caller. It receives nothing but the two numbers, so that it cannot
    change a result.

    Parameters
    ----------
    progress : callable, optional
        The callback.

    Raises
    ------
    UsageError
        If ``progress`` cannot be called.

    Examples
    --------
    >>> counter = ProgressCounter(lambda done, total: print(f"{done} of {total}"))
    >>> counter.begin(2)
    0 of 2
    >>> for _ in range(2):
    ...     counter.add_one()
    1 of 2
    2 of 2
    """

    def __init__(self, progress: Progress | None) -> None:
        if progress is not None and not callable(progress):
            raise UsageError(
                f"progress {progress!r}: expected a function of the number of finished pieces of work and of "
                "all pieces, as in progress=lambda done, total: print(done, total)"
            )
        self._progress = progress
        self._done = 0
        self.total: int | None = None

    def begin(self, total: int | None) -> None:
        """Report that work begins, of so many pieces: None if their number is not known yet."""
        self.total = total
        self._report()

    def add_one(self) -> None:
        """Report that one more piece is done."""
        self._done += 1
        self._report()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self.total)
