"""What there is to see in a record, whatever draws it: panels of curves, items, points and images.

Which columns are drawn stands in the metadata of tables (`gradflow.drawing`), what is on an axis in that of
columns. Logarithms are drawn as they are, so that a norm of 1e-5000 has its place. Nothing is left out here;
what no axis can hold (an exact 0, whose logarithm is −inf; inf; nan) is told in a remark.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.drawing import Curves, Image, Items, Line, Plane
from gradflow.errors import UsageError
from gradflow.printable import escape_unprintable
from gradflow.record import ColumnMeaning, Record
from gradflow.render.page import labels, text
from gradflow.render.selection import Rows, tables

Numbers = NDArray[np.float64]
LARGEST = 1e300  # that an axis has room for, with its margins
MOST_TOLD = 6  # curves of which a remark tells each by its name


class Axis(NamedTuple):
    """What is on an axis: in words, and the name of its column for those who have no letters for them."""

    label: str
    name: str


class Series(NamedTuple):
    """One curve: y over x, both (n,), and what lies about it: a band, or bars of an error.

    ``place`` counts the things that are told apart in a picture, over all its panels: the same thing has the
    same place, and so the same colour.
    """

    label: str
    place: int
    x: Numbers
    y: Numbers
    line: Line
    low: Numbers | None = None
    high: Numbers | None = None


class Panel(NamedTuple):
    """What all panels have: its table, a name and a title, axes, and remarks on what no axis can hold."""

    table: str
    name: str
    title: str
    x: Axis
    y: Axis
    remarks: tuple[str, ...] = ()


class CurvePanel(NamedTuple):
    """Curves, and the levels that they are to be held against: value and name."""

    panel: Panel
    series: list[Series]
    levels: Mapping[float, str]


class ItemPanel(NamedTuple):
    """Named items one under the other; the y of each series are at the places x of the names, from 0."""

    panel: Panel
    names: list[str]
    series: list[Series]
    levels: Mapping[float, str]


class PlanePanel(NamedTuple):
    """Points of the complex plane, (n,) each; ``sizes`` are logarithms, inf for what has no size."""

    panel: Panel
    re: Numbers
    im: Numbers
    sizes: Numbers
    size: Axis


class ImagePanel(NamedTuple):
    """Values (rows, columns) at the places y (rows,) and x (columns,); nan where there is none.

    ``ends`` are the least and the largest value of all panels of the table, which share their colours.
    """

    panel: Panel
    x: Numbers
    y: Numbers
    values: Numbers
    value: Axis
    ends: tuple[float, float]


AnyPanel = CurvePanel | ItemPanel | PlanePanel | ImagePanel


def drawn(record: Record) -> dict[str, Rows]:
    """Return the tables of a record that have a picture, the main one first."""
    return {name: found for name, found in tables(record).items() if found.meaning.drawn and found.rows}


def panels(record: Record, table: str | None = None) -> list[AnyPanel]:
    """Return the panels of all tables that are drawn, or of the one that was asked for.

    Raises
    ------
    UsageError
        Where there is nothing to draw.
    """
    pictures = drawn(record)
    if table is not None and table not in pictures:
        raise UsageError(f"{table!r} has no picture here; those with one: {', '.join(pictures) or 'none'}")
    if not pictures:
        raise UsageError("the result has no table that is drawn: there is no picture of it")
    places: dict[str, int] = {}
    return [
        panel
        for found in (pictures.values() if table is None else [pictures[table]])
        for drawing in found.meaning.drawn
        for panel in _MAKERS[type(drawing)](found, drawing, places)
    ]


def _curves(table: Rows, drawing: Curves, places: dict[str, int]) -> list[AnyPanel]:
    found: list[AnyPanel] = []
    for key, group in _groups(table, drawing.panels):
        own = _groups(group, drawing.apart)
        names = labels([key for key, _ in own]) if drawing.apart else [""]
        series = [
            _line(part, drawing.x, line, _named(name, line, drawing.y), name, places, log10=drawing.log10)
            for name, (_, part) in zip(names, own, strict=True)
            for line in drawing.y
        ]
        y = _axis(table, drawing.y[0].column, drawing.label, log10=drawing.log10)
        remarks = _remarks(table, series, log10=drawing.log10)
        panel = _panel(group, key, _axis(table, drawing.x), y, remarks)
        series = [one for one in series if not np.isnan(one.y).all()]  # no theory, no bound: no curve
        found.append(CurvePanel(panel, series, _levels(table, drawing.y)))
    return found


def _items(table: Rows, drawing: Items, places: dict[str, int]) -> list[AnyPanel]:  # noqa: ARG001
    names = labels([tuple(row) for row in zip(*(table.column(name) for name in drawing.names), strict=True)])
    if len(drawing.names) == 1 and not isinstance(table.column(drawing.names[0])[0], str):
        names = [f"{drawing.names[0]} {name}" for name in names]
    own: dict[str, int] = {}  # an item is no curve, and shares no colour with one
    series = [_line(table, "", line, _named("", line, drawing.y), "", own) for line in drawing.y]
    y = _axis(table, drawing.y[0].column, drawing.label)
    panel = _panel(table, (), Axis("", ""), y, _remarks(table, series))
    return [ItemPanel(panel, names, series, _levels(table, drawing.y))]


def _plane(table: Rows, drawing: Plane, places: dict[str, int]) -> list[AnyPanel]:  # noqa: ARG001
    re, im, sizes = (_numbers(table, name) for name in drawing)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(sizes)
    size = _axis(table, drawing.size, log10=True)
    placed = np.isfinite(re) & np.isfinite(im)
    remarks = (
        []
        if placed.all()
        else [f"{int((~placed).sum())} of {len(re)} points are not finite, or over {LARGEST:g}"]
    )
    panel = _panel(table, (), _axis(table, drawing.re), _axis(table, drawing.im), remarks)
    return [PlanePanel(panel, re[placed], im[placed], logs[placed], size)]


def _image(table: Rows, drawing: Image, places: dict[str, int]) -> list[AnyPanel]:  # noqa: ARG001
    every = _numbers(table, drawing.value)
    finite = every[np.isfinite(every)]
    ends = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    found: list[AnyPanel] = []
    for key, group in _groups(table, drawing.panels):
        (x, column), (y, row) = (
            np.unique(_numbers(group, name), return_inverse=True) for name in (drawing.x, drawing.y)
        )
        values = np.full((len(y), len(x)), np.nan)
        values[row, column] = told = _numbers(group, drawing.value)
        zero = _zero(table, drawing.value)
        remarks = [f"{what} at {count} of {len(told)} places" for what, count in _unheld(told, zero)]
        panel = _panel(group, key, _axis(table, drawing.x), _axis(table, drawing.y), remarks)
        found.append(ImagePanel(panel, x, y, values, _axis(table, drawing.value), ends))
    return found


_MAKERS: Mapping[type, Any] = {Curves: _curves, Items: _items, Plane: _plane, Image: _image}


def _groups(table: Rows, names: Sequence[str]) -> list[tuple[tuple[Any, ...], Rows]]:
    """Return the rows of each value of some columns, in order of appearance; all where none is named."""
    found: dict[tuple[Any, ...], list[list[Any]]] = {}
    columns = [list(table.columns).index(name) for name in names]
    for row in table.rows:
        found.setdefault(tuple(row[k] for k in columns), []).append(row)
    return [(key, table._replace(rows=rows)) for key, rows in found.items()]


def _named(label: str, line: Line, lines: Sequence[Line]) -> str:
    """Return the name of a curve: that of the thing, and of the column where there are several."""
    if len(lines) == 1 or (label and not line.dashed):
        return label
    column = line.column.removeprefix("log10_")
    return f"{label}: {column}" if label else column


def _line(
    table: Rows, x: str, line: Line, label: str, thing: str, places: dict[str, int], *, log10: bool = False
) -> Series:
    over = _numbers(table, x) if x else np.arange(len(table.rows), dtype=float)
    y = _numbers(table, line.column, log10=log10)
    low = high = None
    if line.low:
        low, high = _numbers(table, line.low), _numbers(table, line.high)
    elif line.error:
        error = _numbers(table, line.error)
        with np.errstate(invalid="ignore"):
            low, high = y - error, y + error
    return Series(label, places.setdefault(thing or label, len(places)), over, y, line, low, high)


def _numbers(table: Rows, name: str, *, log10: bool = False) -> Numbers:
    """Return a column as numbers, nan for none; what is so large that an axis has no room for it as inf."""
    values = np.array([math.nan if value is None else value for value in table.column(name)], np.float64)
    values = np.where(np.abs(values) > LARGEST, np.copysign(np.inf, values), values)
    if not log10:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)


def _axis(table: Rows, name: str, label: str = "", *, log10: bool = False) -> Axis:
    """Return what an axis says: the first clause of what the column means, and its unit."""
    meaning: ColumnMeaning = table.columns[name]
    words = label or meaning.description.partition(";")[0]
    unit = f" [{meaning.unit}]" if meaning.unit else ""
    return Axis(f"{'log₁₀ of ' if log10 else ''}{words}{unit}", f"{'log10 ' if log10 else ''}{name}{unit}")


def _panel(table: Rows, key: tuple[Any, ...], x: Axis, y: Axis, remarks: Sequence[str] = ()) -> Panel:
    name = " ".join(text(value) for value in key)
    name = f"{table.name}, {name}" if name else table.name
    return Panel(
        table.name, name, f"{name}: {escape_unprintable(table.meaning.description)}", x, y, tuple(remarks)
    )


def _levels(table: Rows, lines: Sequence[Line]) -> dict[float, str]:
    return {value: name for line in lines for value, name in table.columns[line.column].levels.items()}


def _remarks(table: Rows, series: Sequence[Series], *, log10: bool = False) -> list[str]:
    """Return what no axis can hold, curve by curve; of many curves in all."""
    found: dict[str, list[str]] = {}
    for one in series:
        if one.line.dashed and np.isnan(one.y).all():
            continue  # nothing to be held against is no loss
        name = f"{one.label}: " if one.label else ""
        for what, count in _unheld(one.y, "an exact 0" if log10 else _zero(table, one.line.column)):
            found.setdefault(what, []).append(f"{name}{what} at {count} of {len(one.y)} places")
    return [
        remark
        for what, told in found.items()
        for remark in (told if len(told) <= MOST_TOLD else [f"{what} in {len(told)} of {len(series)} curves"])
    ]


def _unheld(values: Numbers, zero: str) -> list[tuple[str, int]]:
    """Return what no axis can hold and how often it is there; ``zero`` is what −inf stands for."""
    kinds = {
        zero: np.isneginf(values),
        f"inf (or over {LARGEST:g})": np.isposinf(values),
        "none": np.isnan(values),
    }
    return [(what, int(places.sum())) for what, places in kinds.items() if places.any()]


def _zero(table: Rows, column: str) -> str:
    return "an exact 0" if table.columns[column].log10 else "-inf"
