"""What there is to draw of a record: panels of curves, items, points and images, for files and terminals.

The metadata of a table say which columns are drawn (`gradflow.drawing`), those of a column what its axis
shows. Logarithms are drawn as they are, so that a norm of 1e-5000 has its place. No value is left out here,
and a remark counts the values that no axis can show: −inf (the logarithm of an exact 0), inf and nan.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.drawing import CurveDrawing, DrawnColumn, ImageDrawing, ItemDrawing, PlaneDrawing
from gradflow.errors import UsageError
from gradflow.printable import escape_unprintable
from gradflow.record import ColumnMeaning, Record
from gradflow.render.selection import TableRows, get_tables
from gradflow.render.values import format_value, label_series

Numbers = NDArray[np.float64]
MAX_AXIS_VALUE = 1e300  # of an axis, so that its margins stay finite
MAX_CURVES_IN_REMARKS = 6  # more curves than this share one remark


class AxisLabel(NamedTuple):
    """What an axis shows: in words, and as the name of its column for screens without Unicode."""

    label: str
    name: str


class PlotSeries(NamedTuple):
    """One curve, y (n,) over x (n,), with ``low`` and ``high`` (n,) as a band or as error bars.

    ``place`` numbers the things that a picture distinguishes. A thing has the same place, and so the same
    color, in all panels.
    """

    label: str
    place: int
    x: Numbers
    y: Numbers
    column: DrawnColumn
    low: Numbers | None = None
    high: Numbers | None = None


class PanelHead(NamedTuple):
    """What all panels have: table, name, title, axes, and remarks on values that no axis can show."""

    table: str
    name: str
    title: str
    x: AxisLabel
    y: AxisLabel
    remarks: tuple[str, ...] = ()


class CurvePanel(NamedTuple):
    """Curves, and the levels to compare them with, as value and name."""

    head: PanelHead
    series: list[PlotSeries]
    levels: Mapping[float, str]


class ItemPanel(NamedTuple):
    """Named items below each other; each series has its values y at the places x of the names, from 0."""

    head: PanelHead
    names: list[str]
    series: list[PlotSeries]
    levels: Mapping[float, str]


class PlanePanel(NamedTuple):
    """Points of the complex plane; re, im and ``sizes`` are (n,), and sizes are logarithms or inf."""

    head: PanelHead
    re: Numbers
    im: Numbers
    sizes: Numbers
    size: AxisLabel


class ImagePanel(NamedTuple):
    """Values (rows, columns) at the places y (rows,) and x (columns,); a missing value is nan.

    ``ends`` are the least and the largest value of all panels of the table, which share one color scale.
    """

    head: PanelHead
    x: Numbers
    y: Numbers
    values: Numbers
    value: AxisLabel
    ends: tuple[float, float]


AnyPanel = CurvePanel | ItemPanel | PlanePanel | ImagePanel


def get_drawn_tables(record: Record) -> dict[str, TableRows]:
    """Return the tables of a record that have a picture, the main one first."""
    return {name: table for name, table in get_tables(record).items() if table.meaning.drawn and table.rows}


def make_panels(record: Record, table: str | None = None) -> list[AnyPanel]:
    """Return the panels of all tables that have a picture, or of the table of that name.

    Raises
    ------
    UsageError
        If the table, or the record, has no picture.
    """
    drawn_tables = get_drawn_tables(record)
    if table is not None and table not in drawn_tables:
        names = ", ".join(drawn_tables) or "none"
        raise UsageError(f"{table!r} has no picture; tables with a picture: {names}")
    if not drawn_tables:
        raise UsageError("no table of the result has a picture")
    places: dict[str, int] = {}
    return [
        panel
        for rows in (drawn_tables.values() if table is None else [drawn_tables[table]])
        for drawing in rows.meaning.drawn
        for panel in _PANEL_MAKERS[type(drawing)](rows, drawing, places)
    ]


def _make_curve_panels(table: TableRows, drawing: CurveDrawing, places: dict[str, int]) -> list[AnyPanel]:
    made: list[AnyPanel] = []
    for key, group in _group_rows(table, drawing.panels):
        curves = _group_rows(group, drawing.apart)
        names = label_series([key for key, _ in curves]) if drawing.apart else [""]
        series = [
            _make_series(
                part,
                drawing.x,
                column,
                _name_curve(name, column, drawing.y),
                name,
                places,
                log10=drawing.log10,
            )
            for name, (_, part) in zip(names, curves, strict=True)
            for column in drawing.y
        ]
        y = _make_axis_label(table, drawing.y[0].name, drawing.label, log10=drawing.log10)
        remarks = _make_remarks(table, series, log10=drawing.log10)
        head = _make_head(group, key, _make_axis_label(table, drawing.x), y, remarks)
        existing = [one for one in series if not np.isnan(one.y).all()]  # some cells have no bound or theory
        made.append(CurvePanel(head, existing, _collect_levels(table, drawing.y)))
    return made


def _make_item_panels(table: TableRows, drawing: ItemDrawing, places: dict[str, int]) -> list[AnyPanel]:  # noqa: ARG001
    names = label_series(list(zip(*(table.column(name) for name in drawing.names), strict=True)))
    if len(drawing.names) == 1 and not isinstance(table.column(drawing.names[0])[0], str):
        names = [f"{drawing.names[0]} {name}" for name in names]
    item_places: dict[str, int] = {}  # items share no color with curves
    series = [
        _make_series(table, "", column, _name_curve("", column, drawing.y), "", item_places)
        for column in drawing.y
    ]
    y = _make_axis_label(table, drawing.y[0].name, drawing.label)
    head = _make_head(table, (), AxisLabel("", ""), y, _make_remarks(table, series))
    return [ItemPanel(head, names, series, _collect_levels(table, drawing.y))]


def _make_plane_panels(table: TableRows, drawing: PlaneDrawing, places: dict[str, int]) -> list[AnyPanel]:  # noqa: ARG001
    re, im, sizes = (_read_numbers(table, name) for name in drawing)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(sizes)
    size = _make_axis_label(table, drawing.size, log10=True)
    placed = np.isfinite(re) & np.isfinite(im)
    lost = int((~placed).sum())
    remarks = [f"{lost} of {len(re)} points are not finite, or over {MAX_AXIS_VALUE:g}"] if lost else []
    head = _make_head(
        table, (), _make_axis_label(table, drawing.re), _make_axis_label(table, drawing.im), remarks
    )
    return [PlanePanel(head, re[placed], im[placed], logs[placed], size)]


def _make_image_panels(table: TableRows, drawing: ImageDrawing, places: dict[str, int]) -> list[AnyPanel]:  # noqa: ARG001
    numbers = _read_numbers(table, drawing.value)
    finite = numbers[np.isfinite(numbers)]
    ends = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    made: list[AnyPanel] = []
    for key, group in _group_rows(table, drawing.panels):
        (x, column), (y, row) = (
            np.unique(_read_numbers(group, name), return_inverse=True) for name in (drawing.x, drawing.y)
        )
        values = np.full((len(y), len(x)), np.nan)
        values[row, column] = given = _read_numbers(group, drawing.value)
        zero = _name_minus_inf(table, drawing.value)
        remarks = [
            f"{what} at {count} of {len(given)} places" for what, count in _count_unbounded(given, zero)
        ]
        x_label, y_label = (_make_axis_label(table, name) for name in (drawing.x, drawing.y))
        head = _make_head(group, key, x_label, y_label, remarks)
        made.append(ImagePanel(head, x, y, values, _make_axis_label(table, drawing.value), ends))
    return made


_PANEL_MAKERS: Mapping[type, Any] = {
    CurveDrawing: _make_curve_panels,
    ItemDrawing: _make_item_panels,
    PlaneDrawing: _make_plane_panels,
    ImageDrawing: _make_image_panels,
}


def _group_rows(table: TableRows, names: Sequence[str]) -> list[tuple[tuple[Any, ...], TableRows]]:
    """Return the rows of each combination of values in the named columns, in order of appearance."""
    groups: dict[tuple[Any, ...], list[list[Any]]] = {}
    columns = [list(table.columns).index(name) for name in names]
    for row in table.rows:
        groups.setdefault(tuple(row[k] for k in columns), []).append(row)
    return [(key, table._replace(rows=rows)) for key, rows in groups.items()]


def _name_curve(label: str, column: DrawnColumn, columns: Sequence[DrawnColumn]) -> str:
    """Return the name of a curve: that of the thing, and that of the column if there are several."""
    if len(columns) == 1 or (label and not column.dashed):
        return label
    name = column.name.removeprefix("log10_")
    return f"{label}: {name}" if label else name


def _make_series(
    table: TableRows,
    x: str,
    column: DrawnColumn,
    label: str,
    thing: str,
    places: dict[str, int],
    *,
    log10: bool = False,
) -> PlotSeries:
    over = _read_numbers(table, x) if x else np.arange(len(table.rows), dtype=float)
    y = _read_numbers(table, column.name, log10=log10)
    low = high = None
    if column.low:
        low, high = _read_numbers(table, column.low), _read_numbers(table, column.high)
    elif column.error:
        error = _read_numbers(table, column.error)
        with np.errstate(invalid="ignore"):
            low, high = y - error, y + error
    return PlotSeries(label, places.setdefault(thing or label, len(places)), over, y, column, low, high)


def _read_numbers(table: TableRows, name: str, *, log10: bool = False) -> Numbers:
    """Return a column as numbers: nan for None, and ±inf for values beyond the range of an axis."""
    values = np.array([math.nan if value is None else value for value in table.column(name)], np.float64)
    values = np.where(np.abs(values) > MAX_AXIS_VALUE, np.copysign(np.inf, values), values)
    if not log10:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)


def _make_axis_label(table: TableRows, name: str, label: str = "", *, log10: bool = False) -> AxisLabel:
    """Return the label of an axis: the first clause of the description of its column, and the unit."""
    meaning: ColumnMeaning = table.columns[name]
    words = label or meaning.description.partition(";")[0]
    unit = f" [{meaning.unit}]" if meaning.unit else ""
    long, short = ("log₁₀ of ", "log10 ") if log10 else ("", "")
    return AxisLabel(f"{long}{words}{unit}", f"{short}{name}{unit}")


def _make_head(
    table: TableRows, key: tuple[Any, ...], x: AxisLabel, y: AxisLabel, remarks: Sequence[str] = ()
) -> PanelHead:
    name = " ".join(format_value(value) for value in key)
    name = f"{table.name}, {name}" if name else table.name
    title = f"{name}: {escape_unprintable(table.meaning.description)}"
    return PanelHead(table.name, name, title, x, y, tuple(remarks))


def _collect_levels(table: TableRows, columns: Sequence[DrawnColumn]) -> dict[float, str]:
    return {value: name for column in columns for value, name in table.columns[column.name].levels.items()}


def _make_remarks(table: TableRows, series: Sequence[PlotSeries], *, log10: bool = False) -> list[str]:
    """Return remarks on values that no axis can show: one for each curve, or one for many curves."""
    remarks: dict[str, list[str]] = {}
    for one in series:
        if one.column.dashed and np.isnan(one.y).all():
            continue  # a bound that does not exist is not a missing value
        name = f"{one.label}: " if one.label else ""
        zero = "an exact 0" if log10 else _name_minus_inf(table, one.column.name)
        for what, count in _count_unbounded(one.y, zero):
            remarks.setdefault(what, []).append(f"{name}{what} at {count} of {len(one.y)} places")
    return [
        remark
        for what, by_curve in remarks.items()
        for remark in (
            by_curve
            if len(by_curve) <= MAX_CURVES_IN_REMARKS
            else [f"{what} in {len(by_curve)} of {len(series)} curves"]
        )
    ]


def _count_unbounded(values: Numbers, zero: str) -> list[tuple[str, int]]:
    """Return the values that no axis can show and how many there are; ``zero`` names what −inf stands for."""
    kinds = {
        zero: np.isneginf(values),
        f"inf (or over {MAX_AXIS_VALUE:g})": np.isposinf(values),
        "no value": np.isnan(values),
    }
    return [(what, int(places.sum())) for what, places in kinds.items() if places.any()]


def _name_minus_inf(table: TableRows, column: str) -> str:
    return "an exact 0" if table.columns[column].log10 else "-inf"
