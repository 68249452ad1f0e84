"""The tables and matrices of a record as rows of plain values."""

from typing import Any, NamedTuple

from gradflow.errors import NumericalError, UsageError
from gradflow.linalg.scaled import Scaled
from gradflow.record import (
    ColumnMeaning,
    Matrix,
    MatrixMeaning,
    Record,
    ScalarMeaning,
    TableMeaning,
    described,
    meanings,
    plain,
)
from gradflow.registry import describe_unknown

SUMMARY = "summary"


class Rows(NamedTuple):
    """A table: its name and meaning, its columns' meanings by name, and its rows."""

    name: str
    meaning: TableMeaning
    columns: dict[str, ColumnMeaning]
    rows: list[list[Any]]

    def column(self, name: str) -> list[Any]:
        """Return one column."""
        place = list(self.columns).index(name)
        return [row[place] for row in self.rows]


def summary(record: Record) -> dict[str, Any]:
    """Return the scalars by name."""
    return {name: plain(value) for name, (_, value) in described(record, ScalarMeaning).items()}


def tables(record: Record) -> dict[str, Rows]:
    """Return the tables that the record has, the main one first."""
    return {
        name: _rows(name, meaning, value)
        for name, (meaning, value) in described(record, TableMeaning).items()
        if value is not None
    }


def matrices(record: Record) -> dict[str, tuple[MatrixMeaning, Matrix]]:
    """Return the matrices that the record has, with their meanings."""
    found = described(record, MatrixMeaning)
    return {name: (meaning, value) for name, (meaning, value) in found.items() if value is not None}


def one(record: Record, name: str | None) -> Rows | Matrix:
    """Return the table or matrix of that name, or the main table; ``summary`` is a table of one row.

    Raises
    ------
    UsageError
        If the record has none of that name.
    """
    found = tables(record)
    if name is None:
        return next(iter(found.values()))
    if name == SUMMARY:
        columns = {
            key: ColumnMeaning(meaning.description)
            for key, (meaning, _) in described(record, ScalarMeaning).items()
        }
        return Rows(SUMMARY, TableMeaning("scalars"), columns, [list(summary(record).values())])
    if name in found:
        return found[name]
    grids = matrices(record)
    if name in grids:
        return grids[name][1]
    absent = {key: meaning.absent for key, meaning in meanings(type(record), TableMeaning).items()}
    absent |= {key: meaning.absent for key, meaning in meanings(type(record), MatrixMeaning).items()}
    if name in absent:
        raise UsageError(f"the result has no {name!r}: {absent[name]}")
    raise UsageError(f"the result has no such part: {describe_unknown('table', name, [*absent, SUMMARY])}")


def grid(matrix: Matrix) -> list[list[Any]]:
    """Return the entries of a matrix themselves, its power of two multiplied in.

    Raises
    ------
    NumericalError
        Where a double cannot hold them.
    """
    scaled = Scaled(matrix.entries, matrix.exponent2).collapsed()
    if scaled.exponent:
        raise NumericalError(
            f"the matrix is entries * 2^{matrix.exponent2}, which no double holds; "
            "expected a smaller power here: -f json carries entries and exponent"
        )
    return [[plain(entry) for entry in row] for row in scaled.array]


def _rows(name: str, meaning: TableMeaning, value: Any) -> Rows:
    fields = described(value, ColumnMeaning)
    columns = [[plain(entry) for entry in entries] for _, entries in fields.values()]
    return Rows(
        name,
        meaning,
        {key: column for key, (column, _) in fields.items()},
        [list(row) for row in zip(*columns, strict=True)],
    )
