"""How a result is to be shown; known to commands and renderers alike, and free of numpy."""

from typing import NamedTuple

ROWS = 20


class Style(NamedTuple):
    """How a record is to be shown.

    Attributes
    ----------
    table : str, optional
        The one table or matrix to show; otherwise all, or the main one where a format holds but one.
    rows : int, optional
        About how many rows of a table people are shown; None for every row.
    width : int, optional
        Columns of the screen; None for as many as needed.
    color : bool
    unicode : bool
        False where the destination knows only ASCII.
    """

    table: str | None = None
    rows: int | None = ROWS
    width: int | None = None
    color: bool = False
    unicode: bool = True
