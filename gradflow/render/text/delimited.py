"""CSV and TSV: one table with a header line, or a matrix without one."""

import csv
import io
from typing import Any

from gradflow.record import Matrix, Record
from gradflow.render.renderer import text_renderer
from gradflow.render.selection import multiply_out, select_table
from gradflow.render.style import Style


@text_renderer(carries_notes=False)
def render_csv(record: Record, style: Style) -> str:
    """Return the table that the style names, or the main one, with commas between entries."""
    return _format_delimited(record, style, ",")


@text_renderer(carries_notes=False)
def render_tsv(record: Record, style: Style) -> str:
    """Return the table that the style names, or the main one, with tabs between entries."""
    return _format_delimited(record, style, "\t")


def _format_delimited(record: Record, style: Style, delimiter: str) -> str:
    selected = select_table(record, style.table)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    if isinstance(selected, Matrix):
        writer.writerows([_format_entry(value) for value in row] for row in multiply_out(selected))
    else:
        writer.writerow(selected.columns)
        writer.writerows([_format_entry(value) for value in row] for row in selected.rows)
    return text.getvalue()


def _format_entry(value: Any) -> str:
    """Return one entry, ``nan`` for None: awk reads an empty entry as 0."""
    if value is None:
        return "nan"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip("()") if isinstance(value, complex) else str(value)
