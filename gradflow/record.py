"""What every analysis returns: scalars, named tables and matrices, each with its meaning.

A record is a frozen dataclass. What a field is (scalar, table, column, matrix), its unit and what it means
stand in the field's metadata; a renderer walks the fields and knows no analysis.
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

Scalar = bool | int | float | str | tuple[str, ...] | None


class ScalarMeaning(NamedTuple):
    """What one number (or word) of the summary says; ``prose`` is a sentence, or a tuple of them."""

    description: str
    unit: str = ""
    prose: bool = False


class ColumnMeaning(NamedTuple):
    """What one column of a table says.

    ``log10`` columns hold the decimal logarithm of what a person wants to read; ``log10_in`` names such a
    column where it says the same of numbers that a double may not hold. ``levels`` are values, each with its
    name, whose crossing a reader must not miss: rows there are never left out, pictures have a line there.
    ``bound`` names a column under which an entry is but rounding: no two processors share it, so a person is
    told the bound.
    """

    description: str
    unit: str = ""
    log10: bool = False
    levels: Mapping[float, str] = MappingProxyType({})
    log10_in: str = ""
    bound: str = ""


class Chapters(NamedTuple):
    """Which columns make the rows of a table numbered lines of chapters, which are the rows of another table.

    ``heading`` (names and a title), ``before`` and ``after`` are of that other table: the last two are
    paragraphs, each under its column's name. Texts have formulas between $ signs (see `gradflow.notation`).
    """

    table: str
    key: str  # the column of both that tells the chapters apart
    heading: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    number: str
    formula: str
    text: str
    values: tuple[str, ...]
    holds: str


@dataclass(frozen=True)
class TableMeaning:
    """What a table says, and how a person reads it best.

    ``across`` names the columns whose values stand side by side (one cell beside the other); ``index`` the
    column that then runs downwards, and ``value`` the one that fills the grid. Without ``index`` each column
    of the table becomes a row. ``value`` alone names the column whose peak and crossings are always shown.
    ``chapters`` says how to read a table that is no grid at all. ``absent`` is what to do where a record
    lacks the table. ``drawn`` are the pictures of it.
    """

    description: str
    index: str = ""
    across: tuple[str, ...] = ()
    value: str = ""
    absent: str = ""
    chapters: Chapters | None = None
    drawn: tuple[Drawing, ...] = ()


class MatrixMeaning(NamedTuple):
    """What a matrix says; ``absent`` is what to do where a record lacks it."""

    description: str
    absent: str = ""


Meaning = TypeVar("Meaning", ScalarMeaning, ColumnMeaning, TableMeaning, MatrixMeaning)


def scalar(description: str, unit: str = "", *, prose: bool = False) -> Any:
    """Declare a scalar of a record's summary; None stands for "there is none"."""
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
    """Declare a column of a table: an array, or a sequence where entries may be None."""
    meaning = ColumnMeaning(description, unit, log10, levels, log10_in, bound)
    return field(metadata={"meaning": meaning})


def table(
    description: str,
    *,
    index: str = "",
    across: Sequence[str] = (),
    value: str = "",
    absent: str = "",
    chapters: Chapters | None = None,
    drawn: Sequence[Drawing] = (),
) -> Any:
    """Declare a table of a record; None stands for a table that was not asked for."""
    meaning = TableMeaning(description, index, tuple(across), value, absent, chapters, tuple(drawn))
    return field(default=None, metadata={"meaning": meaning})


def matrix(description: str, *, absent: str = "") -> Any:
    """Declare a matrix of a record; None stands for a matrix that there is not."""
    return field(default=None, metadata={"meaning": MatrixMeaning(description, absent)})


class Matrix(NamedTuple):
    """A grid of numbers ``entries * 2**exponent2``, entries of shape (rows, columns)."""

    entries: NDArray[Any]
    exponent2: int = 0


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Record:
    """Root of all results: what was asked, what came out, and what to beware of.

    Attributes
    ----------
    params : mapping
        what was asked: every parameter, those that nobody gave too
    notes : tuple of str
        what to beware of
    """

    command: ClassVar[str]
    verdicts: ClassVar[tuple[str, ...]] = ()

    params: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        # What a field means is written once, in its metadata: help shows it between opening and example.
        super().__init_subclass__(**options)
        opening, see_also, rest = cleandoc(cls.__doc__ or "").partition("\n\nSee Also\n")
        shared = cleandoc(Record.__doc__ or "").partition("\n\n")[2]
        cls.__doc__ = "\n".join([f"{opening}\n\n{shared}", *_attributes(cls)]) + f"{see_also}{rest}\n"

    def held(self) -> frozenset[str]:
        """Return those of the ``verdicts`` that hold."""
        return frozenset()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, (_, value) in described(self, ScalarMeaning).items())
        return f"{type(self).__name__}({shown})"

    def _repr_html_(self) -> str:
        # By name, and only in a notebook: a record knows no renderer, the public door knows one.
        html: str = import_module("gradflow").to_text(self, "html")
        return html


def described(holder: Any, kind: type[Meaning]) -> dict[str, tuple[Meaning, Any]]:
    """Return the fields of ``holder`` that carry a meaning of ``kind``: name to (meaning, value)."""
    return {name: (meaning, getattr(holder, name)) for name, meaning in meanings(type(holder), kind).items()}


def meanings(holder: type[Any], kind: type[Meaning]) -> dict[str, Meaning]:
    """Return the fields of a record or table class that carry a meaning of ``kind``.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Norms:
    ...     step: list[int] = column("power of the matrix")
    >>> meanings(Norms, ColumnMeaning)["step"].description
    'power of the matrix'
    """
    return {
        item.name: item.metadata["meaning"]
        for item in fields(holder)
        if isinstance(item.metadata.get("meaning"), kind)
    }


def plain(value: Any) -> Any:
    """Return a numpy scalar as the Python object it stands for, sentences as one text, all else as it is.

    Examples
    --------
    >>> plain(np.float32(0.5)), plain(None), plain(("It is.", "So be it."))
    (0.5, None, 'It is. So be it.')
    """
    if isinstance(value, tuple):
        return " ".join(value)
    return value.item() if isinstance(value, np.generic) else value


def _attributes(record: type[Any]) -> Iterator[str]:
    """Yield what fields mean as numpydoc lists them, columns behind their table: of a class being made."""
    for name, kind in get_annotations(record).items():
        meaning = getattr(vars(record).get(name), "metadata", {}).get("meaning")
        if meaning is not None:
            yield _attribute(name, _in_words(kind), meaning)
        if isinstance(meaning, TableMeaning):
            holder = next(one for one in (kind, *get_args(kind)) if is_dataclass(one))
            for item in fields(holder):
                entries = f"{_in_words(item.type)} (rows,)"
                yield _attribute(f"{name}.{item.name}", entries, item.metadata["meaning"])


def _attribute(name: str, kind: str, meaning: Any) -> str:
    unit, absent = getattr(meaning, "unit", ""), getattr(meaning, "absent", "")
    first = f"{name} : {kind} [{unit}]" if unit else f"{name} : {kind}"
    return "\n    ".join([first, meaning.description, *([f"None: {absent}"] if absent else [])])


def _in_words(kind: Any) -> str:
    """Return a type as docstrings have it.

    Examples
    --------
    >>> _in_words(NDArray[np.float64]), _in_words(list[int | None]), _in_words(float | None)
    ('array of float64', 'list of int or None', 'float or None')
    """
    outer, inner = get_origin(kind), get_args(kind)
    if not inner:
        return "None" if kind is type(None) else str(kind.__name__)
    if outer is np.ndarray:
        return f"array of {_in_words(get_args(inner[1])[0])}"
    if outer is list or outer is tuple:
        return f"{outer.__name__} of {_in_words(inner[0])}"
    return " or ".join(map(_in_words, inner))
