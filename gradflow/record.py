"""What every analysis returns: scalars, named tables and matrices, each with its meaning.

A record is a frozen dataclass. The metadata of a field say what it is (scalar, table, column or matrix), what
it means and in which unit. A renderer walks the fields and knows no analysis.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from inspect import cleandoc, get_annotations
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeVar, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from gradflow.drawing import Drawing


class ScalarMeaning(NamedTuple):
    """The meaning of a scalar of the summary; with ``prose`` it is a sentence, or a tuple of sentences."""

    description: str
    unit: str = ""
    prose: bool = False


class ColumnMeaning(NamedTuple):
    """The meaning of a column of a table.

    With ``log10`` the column holds decimal logarithms, and people are shown the numbers themselves.
    ``log10_in`` names the column with the logarithms of this column, for numbers outside the range of a
    double. ``levels`` are values with their names: a table shows the rows where they are crossed, and a
    picture has a line there. ``bound`` names a column with a bound for each entry. An entry below its bound
    is only rounding, which differs between processors, so people are shown the bound.
    """

    description: str
    unit: str = ""
    log10: bool = False
    levels: Mapping[float, str] = MappingProxyType({})
    log10_in: str = ""
    bound: str = ""


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
    table when a record lacks it. ``drawn`` are its pictures.
    """

    description: str
    index: str = ""
    across: tuple[str, ...] = ()
    value: str = ""
    absent: str = ""
    chapters: ChapterLayout | None = None
    drawn: tuple[Drawing, ...] = ()


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
) -> Any:
    """Declare a column of a table: an array, or a sequence whose entries may be None."""
    meaning = ColumnMeaning(description, unit, log10, levels, log10_in, bound)
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
) -> Any:
    """Declare a table of a record; None stands for a table that the record lacks."""
    meaning = TableMeaning(description, index, tuple(across), value, absent, chapters, tuple(drawn))
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

    def __repr__(self) -> str:
        scalars = ", ".join(
            f"{name}={value!r}" for name, (_, value) in describe_fields(self, ScalarMeaning).items()
        )
        return f"{type(self).__name__}({scalars})"

    def _repr_html_(self) -> str:
        # Imported here because records are below renderers; only notebooks call this.
        html: str = import_module("gradflow").to_text(self, "html")
        return html


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


def to_builtin(value: Any) -> Any:
    """Return a numpy scalar as a Python number and a tuple of sentences as one text; leave others unchanged.

    Examples
    --------
    >>> to_builtin(np.float32(0.5)), to_builtin(None), to_builtin(("It grows.", "It stops."))
    (0.5, None, 'It grows. It stops.')
    """
    if isinstance(value, tuple):
        return " ".join(value)
    return value.item() if isinstance(value, np.generic) else value


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
