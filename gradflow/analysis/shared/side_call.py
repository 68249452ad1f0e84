"""Two independent parts of one computation, side by side where it takes long."""

from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

import numpy as np

Result = TypeVar("Result")


class SideCall(Generic[Result]):
    """A call in a thread of its own. It starts at once, and the result is the same as without a thread.

    The linear algebra of numpy runs without Python's lock, so that two threads use two cores. Without
    ``at_once`` there is no thread, and the call is made when its result is asked for. A caller that is
    interrupted does not wait for the thread.

    Examples
    --------
    >>> half = SideCall(lambda: np.linalg.inv(np.array([[2.0]])), at_once=True)
    >>> half.wait()
    array([[0.5]])
    """

    def __init__(self, function: Callable[[], Result], *, at_once: bool) -> None:
        self._function = function
        self._outcomes: list[Result] = []
        self._errors: list[BaseException] = []
        self._thread = Thread(target=self._run, daemon=True)
        if at_once:
            self._thread.start()

    def wait(self) -> Result:
        """Return the result, or raise what the call raised."""
        if self._thread.ident is not None:
            self._thread.join()
        elif not self._outcomes:
            self._outcomes.append(self._function())
        if self._errors:
            raise self._errors[0]
        return self._outcomes[0]

    def _run(self) -> None:
        try:
            with np.errstate(all="ignore"):  # a thread starts with the default, which warns
                self._outcomes.append(self._function())
        except BaseException as error:  # raised where the result is asked for
            self._errors.append(error)
