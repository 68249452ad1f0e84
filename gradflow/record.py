"""What every analysis returns: scalars, named tables and matrices, each with its meaning.

A record is a frozen dataclass. The metadata of a field say what it is (scalar, table, column or matrix), what
it means and in which unit. A renderer walks the fields and knows no analysis.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from inspect import cleandoc, get_annotations
from textwrap import wrap
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from gradflow import __version__
from gradflow.drawing import Drawing
from gradflow.errors import UsageError
from gradflow.printable import describe_argument, format_count
from gradflow.table import Table, to_builtin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_PRINTED_TEXTS, PRINTED_WIDTH = 6, 100  # of a record at Python's prompt
MAX_LINES_ALONE, MAX_LINES_OF_SEVERAL = 8, 2  # of the only text, and of each of several


class ScalarMeaning(NamedTuple):
    """The meaning of a scalar of the summary; with ``prose`` it is text, a line for each subject."""

    description: str
    unit: str = ""
    prose: bool = False


class ColumnMeaning(NamedTuple):
    """The meaning of a column of a table.

    With ``log10`` the column holds decimal logarithms, and people are shown the numbers themselves.
    ``log10_in`` names the column with the logarithms of this column, for numbers outside the range of a
    double. ``levels`` are values with their names: a table shows the rows where they are crossed, and a
    picture has a line there. ``bound`` names a column with a bound for each entry. An entry below its bound
    is only rounding, which differs between processors, so people are shown the bound. ``error`` names a
    column with the standard error of each entry, ``low`` and ``high`` those with the ends of its spread: the
    main table shows them beside the entry. A column with ``detail`` is left out of the main table; other
    views and formats have it.
    """

    description: str
    unit: str = ""
    log10: bool = False
    levels: Mapping[float, str] = MappingProxyType({})
    log10_in: str = ""
    bound: str = ""
    error: str = ""
    low: str = ""
    high: str = ""
    detail: bool = False


class ChapterLayout(NamedTuple):
    """Which columns make the rows of a table the numbered lines of chapters.

    The chapters are the rows of another table, ``table``. Its columns ``heading`` (names and a title) make
    the heading of a chapter, its columns ``before`` the paragraphs before the lines, of which ``answer`` can
    be shown alone. The other names are columns of the lines. Formulas in texts stand between $ signs (see
    `gradflow.notation`). A record may have an attribute ``chapter_view`` (see `ChapterView`).
    """

    table: str
    key: str  # the column of both tables that says to which chapter a row belongs
    heading: tuple[str, ...]
    before: tuple[str, ...]
    answer: str
    number: str
    formula: str
    text: str
    values: tuple[str, ...]
    difference: str  # the one of ``values`` that says nothing beside ≤ and <
    holds: str


class ChapterView(NamedTuple):
    """What people are shown of chapters: the ``values`` of every line, too, or the ``answer`` alone."""

    values: bool = False
    answer: bool = False


@dataclass(frozen=True)
class TableMeaning:
    """The meaning of a table, and how to show it to people.

    The columns ``across`` name series that stand side by side, for instance one cell beside the other. The
    column ``index`` then runs down and the column ``value`` fills the grid; without ``index`` each column of
    the table becomes a row. Without ``across``, ``value`` names the column whose peak and crossings are
    always shown. ``chapters`` says how to show a table of numbered lines. ``absent`` says how to get the
    table when a record lacks it. ``drawn`` are its pictures. A table with ``shown`` stands below the main
    table, which is the first of a record, if both have at most ``shown_rows`` rows together; people ask for
    the others.
    """

    description: str
    index: str = ""
    across: tuple[str, ...] = ()
    value: str = ""
    absent: str = ""
    chapters: ChapterLayout | None = None
    drawn: tuple[Drawing, ...] = ()
    shown: bool = False
    shown_rows: int | None = None


class MatrixMeaning(NamedTuple):
    """The meaning of a matrix; ``absent`` says how to get it when a record lacks it."""

    description: str
    absent: str = ""


Meaning = TypeVar("Meaning", ScalarMeaning, ColumnMeaning, TableMeaning, MatrixMeaning)


def scalar(description: str, unit: str = "", *, prose: bool = False) -> Any:
    """Declare a scalar of a record's summary; None stands for a missing value."""
    return field(metadata={"meaning": ScalarMeaning(description, unit, prose)})


def column(
    description: str,
    unit: str = "",
    *,
    log10: bool = False,
    levels: Mapping[float, str] = MappingProxyType({}),
    log10_in: str = "",
    bound: str = "",
    error: str = "",
    low: str = "",
    high: str = "",
    detail: bool = False,
) -> Any:
    """Declare a column of a table: an array, or a sequence whose entries may be None."""
    meaning = ColumnMeaning(description, unit, log10, levels, log10_in, bound, error, low, high, detail)
    return field(metadata={"meaning": meaning})


def table(
    description: str,
    *,
    index: str = "",
    across: Sequence[str] = (),
    value: str = "",
    absent: str = "",
    chapters: ChapterLayout | None = None,
    drawn: Sequence[Drawing] = (),
    shown: bool = False,
    shown_rows: int | None = None,
) -> Any:
    """Declare a table of a record; None stands for a table that the record lacks."""
    meaning = TableMeaning(
        description, index, tuple(across), value, absent, chapters, tuple(drawn), shown, shown_rows
    )
    return field(default=None, metadata={"meaning": meaning})


def matrix(description: str, *, absent: str = "") -> Any:
    """Declare a matrix of a record; None stands for a matrix that the record lacks."""
    return field(default=None, metadata={"meaning": MatrixMeaning(description, absent)})


class Matrix(NamedTuple):
    """A matrix ``entries * 2**exponent2`` with entries of shape (rows, columns)."""

    entries: NDArray[Any]
    exponent2: int = 0


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Record:
    """Base class of all results: parameters, results and notes.

    ``summary``, ``tables``, ``matrices`` and ``to_dict()`` give its contents by name, ``to_json()`` as JSON,
    and ``plot()`` as a picture.

    Attributes
    ----------
    params : mapping
        every parameter of the call, with defaults
    notes : tuple of str
        cautions about the result
    """

    command: ClassVar[str]
    verdicts: ClassVar[tuple[str, ...]] = ()

    params: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        # The meanings of fields are written once, in the metadata; the docstring lists them before examples.
        super().__init_subclass__(**options)
        opening, see_also, rest = cleandoc(cls.__doc__ or "").partition("\n\nSee Also\n")
        shared = cleandoc(Record.__doc__ or "").partition("\n\n")[2]
        cls.__doc__ = "\n".join([f"{opening}\n\n{shared}", *_list_attributes(cls)]) + f"{see_also}{rest}\n"

    def get_verdicts(self) -> frozenset[str]:
        """Return those of the ``verdicts`` that hold."""
        return frozenset()

    @property
    def summary(self) -> dict[str, Any]:
        """The scalars by name, as Python's own numbers, texts and None."""
        return {name: to_builtin(value) for name, (_, value) in describe_fields(self, ScalarMeaning).items()}

    @property
    def tables(self) -> dict[str, Table]:
        """The tables that the record has by name, the main one first."""
        tables = describe_fields(self, TableMeaning).items()
        return {name: value for name, (_, value) in tables if value is not None}

    @property
    def matrices(self) -> dict[str, Matrix]:
        """The matrices that the record has by name."""
        matrices = describe_fields(self, MatrixMeaning).items()
        return {name: value for name, (_, value) in matrices if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return the whole record as `to_json` writes it, with inf, nan and complex numbers as they are.

        Examples
        --------
        >>> import gradflow
        >>> found = gradflow.power("2", steps=2).to_dict()
        >>> found["summary"]["regime"], found["tables"]["norms"][2]["norm"], found["matrices"]["power"]
        ('exploding', 4.0, {'entries': [[4.0]], 'exponent2': 0})
        """
        return {
            "schema": f"gradflow.{self.command}/1",
            "version": __version__,
            "params": dict(self.params),
            "summary": self.summary,
            "tables": {name: list(table) for name, table in self.tables.items()},
            "matrices": {
                name: {"entries": matrix.entries.tolist(), "exponent2": matrix.exponent2}
                for name, matrix in self.matrices.items()
            },
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return the whole record as JSON, as ``gradflow.to_text(record, "json")`` does."""
        text: str = self._present("to_text", "json")
        return text

    def plot(self, **options: Any) -> "Figure":
        """Return the picture of the record, as `gradflow.figure` draws it.

        Parameters
        ----------
        **options
            The arguments of `gradflow.figure`: ``table``, ``labels``, ``bounds``.

        Returns
        -------
        matplotlib.figure.Figure
            What `gradflow.figure` returns. It raises the same errors.
        """
        figure: Figure = self._present("figure", **options)
        return figure

    def __repr__(self) -> str:
        scalars = describe_fields(self, ScalarMeaning).values()
        texts = [line for meaning, text in scalars if meaning.prose and text for line in text.split("\n")]
        lines = texts or [f"{name}: {value}" for name, value in self.summary.items()]
        printed = [type(self).__name__]
        max_lines = MAX_LINES_ALONE if len(lines) == 1 else MAX_LINES_OF_SEVERAL
        for line in lines[:MAX_PRINTED_TEXTS]:
            printed += wrap(line, PRINTED_WIDTH, max_lines=max_lines, placeholder=" …")
        if len(lines) > MAX_PRINTED_TEXTS:
            printed.append(f"… {len(lines) - MAX_PRINTED_TEXTS} more")
        sizes = [f"{name} ({format_count(len(one), 'row', 'rows')})" for name, one in self.tables.items()]
        printed.append(f"Tables: {', '.join(sizes)}")
        if self.matrices:
            shapes = [f"{k} ({'×'.join(map(str, one.entries.shape))})" for k, one in self.matrices.items()]
            printed.append(f"Matrices: {', '.join(shapes)}")
        return "\n".join(piece for line in printed for piece in wrap(line, PRINTED_WIDTH))

    def _repr_html_(self) -> str:
        html: str = self._present("to_text", "html")
        return html

    def _present(self, function: str, *arguments: Any, **options: Any) -> Any:
        """Call a public function of the renderers, which are above records and so looked up when needed."""
        return getattr(import_module("gradflow"), function)(self, *arguments, **options)


def check_record(value: object) -> None:
    """Check that a value is a record.

    Raises
    ------
    UsageError
        If it is not.
    """
    if not isinstance(value, Record):
        raise UsageError(
            f"{describe_argument('record', value)}: expected what an analysis returned, such as "
            "gradflow.compare('rnn', 'lstm')"
        )


def describe_fields(holder: Any, kind: type[Meaning]) -> dict[str, tuple[Meaning, Any]]:
    """Return the fields of a record or table with a meaning of ``kind``, as name to (meaning, value)."""
    return {
        name: (meaning, getattr(holder, name)) for name, meaning in get_meanings(type(holder), kind).items()
    }


def get_meanings(holder: type[Any], kind: type[Meaning]) -> dict[str, Meaning]:
    """Return the fields of a record or table class with a meaning of ``kind``, as name to meaning.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class StepRows:
    ...     step: list[int] = column("power of the matrix")
    >>> get_meanings(StepRows, ColumnMeaning)["step"].description
    'power of the matrix'
    """
    return {
        item.name: item.metadata["meaning"]
        for item in fields(holder)
        if isinstance(item.metadata.get("meaning"), kind)
    }


def _list_attributes(record: type[Any]) -> Iterator[str]:
    """Yield the attributes of a record class in numpydoc form, the columns of a table after the table."""
    for name, kind in get_annotations(record).items():
        meaning = getattr(vars(record).get(name), "metadata", {}).get("meaning")
        if meaning is not None:
            yield _format_attribute(name, _describe_type(kind), meaning)
        if isinstance(meaning, TableMeaning):
            holder = next(one for one in (kind, *get_args(kind)) if is_dataclass(one))
            for item in fields(holder):
                entries = f"{_describe_type(item.type)} (rows,)"
                yield _format_attribute(f"{name}.{item.name}", entries, item.metadata["meaning"])


def _format_attribute(name: str, kind: str, meaning: Any) -> str:
    unit, absent = getattr(meaning, "unit", ""), getattr(meaning, "absent", "")
    first = f"{name} : {kind} [{unit}]" if unit else f"{name} : {kind}"
    return "\n    ".join([first, meaning.description, *([f"None: {absent}"] if absent else [])])


def _describe_type(kind: Any) -> str:
    """Return a type in the words of a docstring.

    Examples
    --------
    >>> _describe_type(NDArray[np.float64]), _describe_type(list[int | None]), _describe_type(float | None)
    ('array of float64', 'list of int or None', 'float or None')
    """
    outer, inner = get_origin(kind), get_args(kind)
    if not inner:
        return "None" if kind is type(None) else str(kind.__name__)
    if outer is np.ndarray:
        return f"array of {_describe_type(get_args(inner[1])[0])}"
    if outer is list or outer is tuple:
        return f"{outer.__name__} of {_describe_type(inner[0])}"
    return " or ".join(map(_describe_type, inner))
