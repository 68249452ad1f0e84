"""A table of a result as data: columns by name, rows by number, data frames."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from html import escape
from operator import index
from threading import RLock
from types import NoneType
from typing import Any, NamedTuple, SupportsIndex, get_args, get_origin, overload

import numpy as np
from numpy.typing import NDArray

from gradflow.errors import UsageError
from gradflow.extras import import_extra
from gradflow.printable import escape_unprintable, format_count
from gradflow.registry import describe_unknown

Row = dict[str, Any]

# The types of the columns of a data frame. pandas has a second type for a column whose entries may be None.
PANDAS_TYPES = {
    bool: ("bool", "boolean"),
    int: ("int64", "Int64"),
    float: ("float64", "float64"),
    complex: ("complex128", "complex128"),
    str: ("string", "string"),
}
POLARS_TYPES = {bool: "Boolean", int: "Int64", float: "Float64", str: "String"}

MAX_PRINTED_ROWS, MAX_PRINTED_WIDTH, MAX_ENTRY_WIDTH = 5, 80, 24
MAX_HTML_ROWS = 20
COMPUTING = RLock()  # held while a deferred column is computed


class DeferredColumn(NamedTuple):
    """What computes a column of a table when it is first read."""

    compute: Callable[[], Any]


def defer_column(compute: Callable[[], Any]) -> Any:
    """Return an argument for a column of a `Table` that ``compute`` makes once somebody reads the column.

    For columns that take long and that few people read. ``compute`` must depend on nothing that can change.
    """
    return DeferredColumn(compute)


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Base class of the tables of a result: a frozen dataclass whose fields are columns of the same length.

    A column is an attribute: a numpy array, or a list whose entries may be None. ``len(table)`` is the number
    of rows, ``table["rate"]`` is a column, ``table[3]`` is a row as a dict and ``table[2:5]`` a list of rows.
    Iteration yields the rows. Rows hold Python's own numbers; a missing entry is None, or nan among floats.

    Examples
    --------
    >>> import gradflow
    >>> norms = gradflow.power("0 1; 0 0", steps=2).norms
    >>> len(norms), norms["step"], norms[-1]["norm"]
    (3, [0, 1, 2], 0.0)
    >>> [row["step"] for row in norms if row["norm"] == 0]
    [2]
    """

    def __post_init__(self) -> None:
        values = vars(self)
        deferred = {name: value for name, value in values.items() if isinstance(value, DeferredColumn)}
        for name in deferred:
            del values[name]
        if deferred:
            values["_deferred"] = deferred

    def __getattr__(self, name: str) -> Any:
        """Compute a deferred column, which is not there until it is read."""
        with COMPUTING:  # so that several threads compute a column once
            values = vars(self)
            deferred = values.get("_deferred", {})
            if name in deferred:
                values[name] = deferred[name].compute()
                rest = {other: value for other, value in deferred.items() if other != name}
                values["_deferred"] = rest
                if not rest:
                    del values["_deferred"]
            if name not in values:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return values[name]

    def __dir__(self) -> list[str]:
        """Return the names of the attributes, those of deferred columns included."""
        return sorted({*super().__dir__(), *self.columns})

    def __getstate__(self) -> dict[str, Any]:
        """Return all columns, those that were deferred included."""
        for name in list(vars(self).get("_deferred", {})):
            getattr(self, name)
        return vars(self)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return [item.name for item in fields(self)]

    def __len__(self) -> int:
        return len(getattr(self, self.columns[0]))

    def __iter__(self) -> Iterator[Row]:
        columns = self.to_dict()
        return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))

    @overload
    def __getitem__(self, place: str) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    @overload
    def __getitem__(self, place: SupportsIndex) -> Row: ...
    def __getitem__(self, place: str | slice | SupportsIndex) -> Any:
        """Return the column of a name, the row of a number, or the rows of a slice.

        Raises
        ------
        UsageError
            If there is no column of that name, or ``place`` is none of these.
        IndexError
            If there is no row of that number.
        """
        if isinstance(place, str):
            if place not in self.columns:
                raise UsageError(describe_unknown("column", place, self.columns))
            return getattr(self, place)
        if isinstance(place, slice):
            numbers = range(len(self))[place]
            columns = {name: [entries[k] for k in numbers] for name, entries in self._get_columns().items()}
            return [
                dict(zip(columns, map(to_builtin, row), strict=True))
                for row in zip(*columns.values(), strict=True)
            ]
        try:
            number = index(place)
        except TypeError:
            raise UsageError(
                f"{type(place).__name__} names no part of a table: expected the name of a column, the number "
                "of a row or a slice of rows"
            ) from None
        if not -len(self) <= number < len(self):
            raise IndexError(f"row {number}: the table has {len(self)} rows")
        return {name: to_builtin(entries[number]) for name, entries in self._get_columns().items()}

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the columns by name, as lists of Python's own numbers, texts and None.

        Examples
        --------
        >>> import gradflow
        >>> gradflow.power("0 1; 0 0", steps=2).norms.to_dict()["norm"]
        [1.0, 1.0, 0.0]
        """
        return {name: list_entries(entries) for name, entries in self._get_columns().items()}

    def to_pandas(self) -> Any:
        """Return the table as a ``pandas.DataFrame``. It needs the extra ``pandas``.

        The types of its columns do not depend on the entries: a column of integers that may lack some is
        Int64, one of texts is string. A missing float is nan. Complex numbers stay complex.

        Raises
        ------
        DataError
            If pandas is not installed.
        """
        pandas = import_extra("pandas", "to_pandas", "pandas")
        return pandas.DataFrame(
            {
                item.name: pandas.Series(
                    list_entries(getattr(self, item.name)),
                    dtype=PANDAS_TYPES[kind][optional],
                )
                for item in fields(self)
                for kind, optional in [_find_kind(item.type, getattr(self, item.name))]
            },
            columns=self.columns,
        )

    def to_polars(self) -> Any:
        """Return the table as a ``polars.DataFrame``. It needs the extra ``polars``.

        None becomes null and nan stays NaN. polars has no complex numbers, so a column of these becomes a
        struct with the fields ``re`` and ``im``.

        Raises
        ------
        DataError
            If polars is not installed.
        """
        polars = import_extra("polars", "to_polars", "polars")
        series = []
        for item in fields(self):
            kind, _ = _find_kind(item.type, getattr(self, item.name))
            entries = list_entries(getattr(self, item.name))
            if kind is complex:
                entries = [{"re": complex(entry).real, "im": complex(entry).imag} for entry in entries]
                dtype = polars.Struct({"re": polars.Float64, "im": polars.Float64})
            else:
                dtype = getattr(polars, POLARS_TYPES[kind])
            series.append(polars.Series(item.name, entries, dtype=dtype))
        return polars.DataFrame(series)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the table as an Arrow stream, which other libraries of data frames read. It needs polars."""
        return self.to_polars().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        rows = self[:MAX_PRINTED_ROWS]
        lines = [[name, *(_shorten(row[name]) for row in rows)] for name in self.columns]
        widths = [max(map(len, line)) for line in lines]
        shown = [k for k in range(len(widths)) if k == 0 or sum(widths[: k + 1]) + 2 * k <= MAX_PRINTED_WIDTH]
        printed = [
            "  ".join(entry.rjust(widths[k]) for k, entry in zip(shown, row, strict=True))
            for row in zip(*(lines[k] for k in shown), strict=True)
        ]
        if len(self) > len(rows):
            printed.append(f"… {len(self) - len(rows)} more rows")
        if len(shown) < len(widths):
            printed.append(f"… more columns: {', '.join(self.columns[len(shown) :])}")
        return "\n".join(
            [
                f"{type(self).__name__}: {format_count(len(self), 'row', 'rows')} × {len(widths)} columns",
                *printed,
            ]
        )

    def _repr_html_(self) -> str:
        rows = self[:MAX_HTML_ROWS]
        header = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = ["".join(f"<td>{escape(_format(value))}</td>" for value in row.values()) for row in rows]
        lines = [f"<tr>{cells}</tr>" for cells in (header, *body)]
        remark = f"<p>{len(rows)} of {len(self)} rows</p>\n" if len(rows) < len(self) else ""
        return "<table>\n" + "\n".join(lines) + f"\n</table>\n{remark}"

    def _get_columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.columns}


def list_entries(column: NDArray[Any] | Sequence[Any]) -> list[Any]:
    """Return the entries of a column as Python's own numbers, texts and None.

    Examples
    --------
    >>> list_entries(np.array([1.5, np.nan])), list_entries([np.int64(3), None])
    ([1.5, nan], [3, None])
    """
    return column.tolist() if isinstance(column, np.ndarray) else list(map(to_builtin, column))


def to_builtin(value: Any) -> Any:
    """Return a numpy scalar as a Python number; leave other values unchanged.

    Examples
    --------
    >>> to_builtin(np.float32(0.5)), to_builtin(None)
    (0.5, None)
    """
    return value.item() if isinstance(value, np.generic) else value


def _find_kind(declared: Any, column: NDArray[Any] | Sequence[Any]) -> tuple[type, bool]:
    """Return the Python type of the entries of a column, and whether some may be None.

    The declaration says it. One that leaves several types open, as ``list[int] | list[str]``, is settled by
    the entries.
    """
    kinds = _list_kinds(declared)
    optional = NoneType in kinds
    known = kinds - {NoneType}
    if complex in known:
        return complex, optional
    if len(known) > 1:
        known = {type(entry) for entry in list_entries(column)} - {NoneType} or {str}
    (kind,) = known
    return kind, optional


def _list_kinds(declared: Any) -> set[Any]:
    """Return the Python types that a declaration of a column names.

    Examples
    --------
    >>> _list_kinds(list[int | None]) == {int, NoneType}
    True
    """
    if get_origin(declared) is np.ndarray:
        (scalar,) = get_args(get_args(declared)[1])
        return {type(np.zeros(1, scalar).item())}
    inner = get_args(declared)
    return set().union(*map(_list_kinds, inner)) if inner else {declared}


def _format(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | complex) else escape_unprintable(str(value))


def _shorten(value: Any) -> str:
    text = _format(value)
    return text if len(text) <= MAX_ENTRY_WIDTH else f"{text[: MAX_ENTRY_WIDTH - 1]}…"
