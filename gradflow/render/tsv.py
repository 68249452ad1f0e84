"""TSV: one table with a header line, or a bare matrix."""

from gradflow.record import Record
from gradflow.render.delimited import delimited
from gradflow.render.style import Style

CARRIES_NOTES = False


def render(record: Record, style: Style) -> str:
    """Return the table that was asked for, or the main one."""
    return delimited(record, style, "\t")
