"""The one way from a record to text."""

from gradflow.record import Record
from gradflow.registry import lookup
from gradflow.render import FORMATS
from gradflow.render.style import Style


def render(
    record: Record, format: str = "table", style: Style | None = None, *, table: str | None = None
) -> str:
    """Return a record as text.

    Parameters
    ----------
    record : Record
        What an analysis returned.
    format : str
        A name in ``gradflow.render.FORMATS``: table, json, jsonl, csv, tsv, md, html, latex or chart.
    style : Style, optional
        How to show it: how many rows, how wide, whether in color; see ``gradflow.render.style``.
    table : str, optional
        Short for ``Style(table=...)``: the one table or matrix to show; csv, tsv and jsonl hold one, the
        main one unless said.

    Returns
    -------
    str
        Lines, each with its end.

    Raises
    ------
    UsageError
        For an unknown format or table.
    NumericalError
        For a matrix whose entries no double holds, in a format that has no place for its power of two.

    Examples
    --------
    >>> import gradflow
    >>> print(render(gradflow.power("0 1; 1 0", steps=3), "csv", table="power"), end="")
    0.0,1.0
    1.0,0.0
    """
    text: str = lookup(FORMATS, format, "format").render(record, style or Style(table=table))
    return text
