"""What CSV and TSV share: one table with a header line, or a bare matrix."""

import csv
import io
from typing import Any

from gradflow.record import Matrix, Record
from gradflow.render.selection import grid, one
from gradflow.render.style import Style


def delimited(record: Record, style: Style, delimiter: str) -> str:
    """Return the table that was asked for, or the main one; no entry is ever empty."""
    chosen = one(record, style.table)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    if isinstance(chosen, Matrix):
        writer.writerows([_entry(value) for value in row] for row in grid(chosen))
    else:
        writer.writerow(chosen.columns)
        writer.writerows([_entry(value) for value in row] for row in chosen.rows)
    return text.getvalue()


def _entry(value: Any) -> str:
    """Return one entry: ``nan`` where there is none, for awk reads an empty one as 0."""
    if value is None:
        return "nan"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip("()") if isinstance(value, complex) else str(value)
