"""A watch over underflow in extended range, for numbers that leave even that range."""

from dataclasses import dataclass

import numpy as np


@dataclass
class UnderflowWatch:
    """Records whether a number became 0, or lost digits, because it is too small for its type.

    A product with 0 does not count: a number that is 0 because a factor of it is 0 is proved to be 0.

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
        """Return a context that records underflow and ignores other floating-point errors."""
        return np.errstate(all="ignore", under="call", call=self._notice)

    def _notice(self, kind: str, flag: int) -> None:  # noqa: ARG002 - the signature of numpy.seterrcall
        self.noticed = True
