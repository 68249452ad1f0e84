"""The one way from a record to text."""

from gradflow.record import Record
from gradflow.render import FORMATS
from gradflow.render.style import Style
from gradflow.tables import lookup


def render(
    record: Record, format: str = "table", style: Style | None = None, *, table: str | None = None
) -> str:
    """Return a record as text.

    Parameters
    ----------
    record : Record
        What an analysis returned.
    format : str
        A name in ``gradflow.render.FORMATS``: table, json, jsonl, csv, tsv, md, html or latex.
    style : Style, optional
        How to show it.
    table : str, optional
        Short for ``Style(table=...)``.

    Raises
    ------
    UsageError
        For an unknown format or table.
    NumericalError
        Where a format cannot hold the numbers.

    Examples
    --------
    >>> import gradflow
    >>> print(render(gradflow.power("0 1; 1 0", steps=3), "csv", table="power"), end="")
    0.0,1.0
    1.0,0.0
    """
    text: str = lookup(FORMATS, format, "format").render(record, style or Style(table=table))
    return text
