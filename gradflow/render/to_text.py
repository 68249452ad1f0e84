"""From a record to text in a named format."""

from gradflow.errors import UsageError
from gradflow.printable import describe_argument
from gradflow.record import Record, check_record
from gradflow.registry import lookup
from gradflow.render import FORMATS
from gradflow.render.style import Style


def to_text(
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
        How many rows to show, how wide, whether in color; see ``gradflow.render.style``.
    table : str, optional
        The one table or matrix to show, as in ``Style(table=...)``. The formats csv, tsv and jsonl hold one
        table; without a name it is the main one.

    Returns
    -------
    str
        Lines, each with its line end.

    Raises
    ------
    UsageError
        If the format or the table is unknown, or if an argument has another type.
    NumericalError
        If the entries of a matrix exceed a double and the format has no place for its power of two.

    Examples
    --------
    >>> import gradflow
    >>> print(to_text(gradflow.power("0 1; 1 0", steps=3), "csv", table="power"), end="")
    0.0,1.0
    1.0,0.0
    """
    check_record(record)
    if style is not None and not isinstance(style, Style):
        raise UsageError(
            f"{describe_argument('style', style)}: expected a gradflow.render.style.Style, such as "
            "Style(rows=20), or leave it out"
        )
    text: str = lookup(FORMATS, format, "format")(record, style or Style(table=table))
    return text
