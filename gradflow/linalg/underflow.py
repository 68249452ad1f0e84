"""A watch over arithmetic in extended range, for numbers that leave even that range."""

from dataclasses import dataclass

import numpy as np


@dataclass
class UnderflowWatch:
    """Remembers whether a number became 0, or lost digits, because it is too small for its type.

    A zero factor raises nothing: what is 0 because a factor of it is 0 stays proved.

    Examples
    --------
    >>> watch, small = UnderflowWatch(), np.array(1e-200)
    >>> with watch.watching():
    ...     _ = small * 0.0
    >>> watch.noticed
    False
    >>> with watch.watching():
    ...     _ = small * small
    >>> watch.noticed
    True
    """

    noticed: bool = False

    def watching(self) -> np.errstate:
        """Return a context that notices underflow and ignores other floating-point errors."""
        return np.errstate(all="ignore", under="call", call=self._notice)

    def _notice(self, kind: str, flag: int) -> None:  # noqa: ARG002 - as numpy.seterrcall has it
        self.noticed = True
