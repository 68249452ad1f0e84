"""The tables and matrices of a record as rows of built-in Python values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

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


class TableRows:
    """A table: its name and meaning, the meanings of its columns by name, and its rows.

    The entries of a column are read when they are asked for: some columns take long to compute.

    Parameters
    ----------
    name : str
    meaning : TableMeaning
    columns : dict
        The meanings of the columns by name.
    read : callable
        Returns the entries of the column of a name.
    places : sequence of int, optional
        The places of the rows that the table has of these entries. Default: all.
    """

    def __init__(
        self,
        name: str,
        meaning: TableMeaning,
        columns: dict[str, ColumnMeaning],
        read: Callable[[str], list[Any]],
        places: Sequence[int] | None = None,
    ) -> None:
        self.name, self.meaning, self.columns = name, meaning, columns
        self.read, self.places = read, places

    def __len__(self) -> int:
        return len(self.column(next(iter(self.columns))))

    @property
    def rows(self) -> list[list[Any]]:
        """All rows with the entries of all columns."""
        return [list(row) for row in zip(*map(self.column, self.columns), strict=True)]

    def column(self, name: str) -> list[Any]:
        """Return one column."""
        entries = self.read(name)
        return entries if self.places is None else [entries[place] for place in self.places]

    def get_row(self, place: int) -> "TableRow":
        """Return one row, whose entries are read by the names of their columns."""
        return TableRow(self, place)

    def select_rows(self, places: Sequence[int]) -> "TableRows":
        """Return the same table with some of the rows."""
        own = range(len(self)) if self.places is None else self.places
        return TableRows(self.name, self.meaning, self.columns, self.read, [own[place] for place in places])

    def replace_column(self, name: str, change: Callable[[Any], Any]) -> "TableRows":
        """Return the same table with the entries of one column changed."""
        changed = [change(entry) for entry in self.read(name)]
        return TableRows(
            self.name,
            self.meaning,
            self.columns,
            lambda other: changed if other == name else self.read(other),
            self.places,
        )


class TableRow(Mapping[str, Any]):
    """One row of a table by the names of its columns."""

    def __init__(self, table: TableRows, place: int) -> None:
        self.table, self.place = table, place

    def __getitem__(self, name: str) -> Any:
        if name not in self.table.columns:
            raise KeyError(name)
        return self.table.column(name)[self.place]

    def __iter__(self) -> Iterator[str]:
        return iter(self.table.columns)

    def __len__(self) -> int:
        return len(self.table.columns)


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
        entries = {key: [value] for key, value in record.summary.items()}
        return TableRows(SUMMARY_NAME, TableMeaning("scalars"), columns, entries.__getitem__)
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
    read = cache(lambda column: list_entries(getattr(table, column)))
    return TableRows(name, meaning, get_meanings(type(table), ColumnMeaning), read)
