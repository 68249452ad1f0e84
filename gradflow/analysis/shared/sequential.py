"""Work whose pieces depend on one another, done in order whatever ``map`` a caller watches it with."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

Piece = TypeVar("Piece")


def run_in_order(work: Callable[[Piece], None], pieces: Iterable[Piece], map: Callable[..., Any]) -> None:
    """Do each piece of work once the one before it is done.

    ``map`` is handed the pieces that are done and has nothing to compute. It may show their number; a map
    that runs what it is given in several threads or processes can neither reorder nor share the work.

    Examples
    --------
    >>> done = []
    >>> run_in_order(done.append, [3, 1, 2], map)
    >>> done
    [3, 1, 2]
    """
    walk = _SizedWalk(work, pieces) if isinstance(pieces, Sequence) else _walk(work, pieces)
    for _ in map(_passed_on, walk):
        pass


def _passed_on(piece: Piece) -> Piece:
    return piece


def _walk(work: Callable[[Piece], None], pieces: Iterable[Piece]) -> Iterator[Piece]:
    for piece in pieces:
        work(piece)
        yield piece


class _SizedWalk(Sized, Iterable[Piece], Generic[Piece]):
    """Pieces that are worked on while they are gone through, and how many there are: for a progress bar."""

    def __init__(self, work: Callable[[Piece], None], pieces: Sequence[Piece]) -> None:
        self._work, self._pieces = work, pieces

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[Piece]:
        return _walk(self._work, self._pieces)
