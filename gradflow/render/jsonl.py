"""JSON lines: one table, a row a line; a matrix as one array a line."""

from gradflow.record import Matrix, Record
from gradflow.render.json import dumps
from gradflow.render.selection import grid, one
from gradflow.render.style import Style

CARRIES_NOTES = False


def render(record: Record, style: Style) -> str:
    """Return the table that was asked for, or the main one."""
    chosen = one(record, style.table)
    if isinstance(chosen, Matrix):
        return "".join(dumps(row) + "\n" for row in grid(chosen))
    return "".join(dumps(dict(zip(chosen.columns, row, strict=True))) + "\n" for row in chosen.rows)
