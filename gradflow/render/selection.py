"""The tables and matrices of a record as rows of built-in Python values."""

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
    describe_fields,
    get_meanings,
)
from gradflow.registry import describe_unknown
from gradflow.render import SUMMARY_NAME as SUMMARY_NAME
from gradflow.table import Table, list_entries, to_builtin


class TableRows(NamedTuple):
    """A table: its name and meaning, the meanings of its columns by name, and its rows."""

    name: str
    meaning: TableMeaning
    columns: dict[str, ColumnMeaning]
    rows: list[list[Any]]

    def column(self, name: str) -> list[Any]:
        """Return one column."""
        place = list(self.columns).index(name)
        return [row[place] for row in self.rows]


def get_tables(record: Record) -> dict[str, TableRows]:
    """Return the tables that the record has, the main one first."""
    return {
        name: _make_rows(name, meaning, value)
        for name, (meaning, value) in describe_fields(record, TableMeaning).items()
        if value is not None
    }


def get_matrices(record: Record) -> dict[str, tuple[MatrixMeaning, Matrix]]:
    """Return the matrices that the record has, with their meanings."""
    fields = describe_fields(record, MatrixMeaning)
    return {name: (meaning, value) for name, (meaning, value) in fields.items() if value is not None}


def select_table(record: Record, name: str | None) -> TableRows | Matrix:
    """Return the table or matrix of a name, or the main table for None. ``summary`` is a table of one row.

    Raises
    ------
    UsageError
        If the record has no table or matrix of that name.
    """
    tables = get_tables(record)
    if name is None:
        return next(iter(tables.values()))
    if name == SUMMARY_NAME:
        columns = {
            key: ColumnMeaning(meaning.description)
            for key, (meaning, _) in describe_fields(record, ScalarMeaning).items()
        }
        return TableRows(SUMMARY_NAME, TableMeaning("scalars"), columns, [list(record.summary.values())])
    if name in tables:
        return tables[name]
    matrices = get_matrices(record)
    if name in matrices:
        return matrices[name][1]
    absent = {key: meaning.absent for key, meaning in get_meanings(type(record), TableMeaning).items()}
    absent |= {key: meaning.absent for key, meaning in get_meanings(type(record), MatrixMeaning).items()}
    if name in absent:
        raise UsageError(f"the result has no {name!r}: {absent[name]}")
    raise UsageError(describe_unknown("table", name, [*absent, SUMMARY_NAME]))


def multiply_out(matrix: Matrix) -> list[list[Any]]:
    """Return the entries of a matrix with its power of two multiplied in.

    Raises
    ------
    NumericalError
        If they are outside the range of a double.
    """
    scaled = Scaled(matrix.entries, matrix.exponent2).collapse()
    if scaled.exponent:
        raise NumericalError(
            f"the matrix is entries * 2^{matrix.exponent2}, outside the range of a double, which this format "
            "needs: use the format json, which has the entries and the exponent"
        )
    return [[to_builtin(entry) for entry in row] for row in scaled.array]


def _make_rows(name: str, meaning: TableMeaning, table: Table) -> TableRows:
    fields = describe_fields(table, ColumnMeaning)
    columns = [list_entries(entries) for _, entries in fields.values()]
    return TableRows(
        name,
        meaning,
        {key: column for key, (column, _) in fields.items()},
        [list(row) for row in zip(*columns, strict=True)],
    )
