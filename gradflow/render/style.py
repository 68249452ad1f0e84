"""How to show a result. Commands and renderers share it, so it does not load numpy."""

from typing import NamedTuple

from gradflow.drawing import DEFAULT_CHOICE, DrawingChoice

DEFAULT_ROWS = 12


class Style(NamedTuple):
    """How to show a record.

    Attributes
    ----------
    table : str, optional
        The one table or matrix to show. None shows all, or the main table in a format that holds one.
    rows : int, optional
        About how many rows of a table to show to people; None for every row.
    width : int, optional
        Columns of the screen; None for as many as needed.
    color : bool
        Whether to use colors.
    unicode : bool
        Whether the destination can show letters beyond ASCII.
    details : bool
        In the format table: whether to show every table, column and scalar after the conclusion.
    brief : bool
        In the format table: whether to show the conclusion alone, a line for each subject.
    drawing : DrawingChoice
        What is asked of a chart.
    """

    table: str | None = None
    rows: int | None = DEFAULT_ROWS
    width: int | None = None
    color: bool = False
    unicode: bool = True
    details: bool = False
    brief: bool = False
    drawing: DrawingChoice = DEFAULT_CHOICE
