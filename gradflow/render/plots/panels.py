"""What there is to draw of a record: panels of curves, items, points and images, for files and terminals.

The metadata of a table say which columns are drawn (`gradflow.drawing`), those of a column what its axis
shows. Logarithms are drawn as they are, so that a norm of 1e-5000 has its place. No value is left out here,
and a remark counts the values that no axis can show: −inf (the logarithm of an exact 0), inf and nan.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradflow.drawing import (
    DEFAULT_CHOICE,
    CurveDrawing,
    DrawingChoice,
    DrawnColumn,
    ImageDrawing,
    ItemDrawing,
    PlaneDrawing,
)
from gradflow.errors import UsageError
from gradflow.notation.formulas import strip_marks
from gradflow.printable import escape_unprintable, format_count
from gradflow.record import ColumnMeaning, Record
from gradflow.render.selection import TableRows, get_tables
from gradflow.render.values import format_value, label_series

Numbers = NDArray[np.float64]
MAX_AXIS_VALUE = 1e300  # of an axis, so that its margins stay finite
_SCALAR = re.compile(r"\{(\w+)\}")
_LOGARITHM = re.compile(r"^log₁₀ (?:of )?(?:the )?")
MAX_SHORT_NAME = 2  # letters of a name that says little alone, such as that of a gate
MAX_CURVES_IN_REMARKS = 6  # more curves than this share one remark


class AxisLabel(NamedTuple):
    """What an axis shows: in words, and as the name of its column for screens without Unicode.

    Formulas in ``label`` are between $ signs. With ``log10`` the values are decimal logarithms, and the axis
    has ticks such as 10⁻²⁰.
    """

    label: str
    name: str
    log10: bool = False

    def describe(self, *, unicode: bool) -> str:
        """Return what a terminal writes, whose ticks are the decimal logarithms themselves."""
        if unicode:
            return f"log₁₀ of {strip_marks(self.label)}" if self.log10 else strip_marks(self.label)
        return f"log10 of {self.name}" if self.log10 else self.name


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
    """Named items below each other; each series has its values y at the places x of the names, from 0.

    ``marks`` are the levels that the axis includes. ``groups`` has, for each item, the name of its group and
    its own name there; it is empty where no items belong together.
    """

    head: PanelHead
    names: list[str]
    series: list[PlotSeries]
    levels: Mapping[float, str]
    marks: Sequence[float] = ()
    groups: Sequence[tuple[str, str]] = ()


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
    return {name: table for name, table in get_tables(record).items() if table.meaning.drawn and len(table)}


def make_panels(
    record: Record, table: str | None = None, choice: DrawingChoice = DEFAULT_CHOICE
) -> list[AnyPanel]:
    """Return the panels of all tables that have a picture, or of the table of that name.

    Raises
    ------
    UsageError
        If the table, or the record, has no picture, or if there are not as many labels as curves.
    """
    drawn_tables = get_drawn_tables(record)
    if table is not None and table not in drawn_tables:
        names = ", ".join(drawn_tables) or "none"
        raise UsageError(f"{table!r} has no picture; tables with a picture: {names}")
    if not drawn_tables:
        raise UsageError("no table of the result has a picture")
    if choice.labels:
        drawn_tables = _rename_curves(drawn_tables, choice.labels)
    places: dict[str, int] = {}
    return [
        panel
        for rows in (drawn_tables.values() if table is None else [drawn_tables[table]])
        for drawing in rows.meaning.drawn
        for panel in _PANEL_MAKERS[type(drawing)](rows, _fit_drawing(drawing, record, choice), places)
    ]


def _fit_drawing(drawing: Any, record: Record, choice: DrawingChoice) -> Any:
    """Return a drawing with the words that the record has for it, and with bounds only if asked for."""
    words = {"title": drawing.title}
    if not isinstance(drawing, PlaneDrawing):
        words["label"] = drawing.label
    if isinstance(drawing, CurveDrawing):
        words["x_label"] = drawing.x_label
    drawing = drawing._replace(**{name: _fill_in_scalars(text, record) for name, text in words.items()})
    if not isinstance(drawing, CurveDrawing):
        return drawing
    label = getattr(record, drawing.label_from) if drawing.label_from else drawing.label
    y = tuple(column for column in drawing.y if choice.bounds or not column.bound)
    return drawing._replace(label=label, y=y)


def _fill_in_scalars(text: str, record: Record) -> str:
    """Return a text in which the scalars of a record stand for their names in braces."""
    return _SCALAR.sub(lambda found: format_value(getattr(record, found[1])), text)


def _rename_curves(tables: Mapping[str, TableRows], labels: Sequence[str]) -> dict[str, TableRows]:
    """Return tables in which labels stand for the names of the curves of the first drawing with several."""
    named = next(
        (
            (table, drawing.apart[0])
            for table in tables.values()
            for drawing in table.meaning.drawn
            if isinstance(drawing, CurveDrawing) and drawing.apart
        ),
        None,
    )
    if named is None:
        raise UsageError("the picture has no curves with names: leave the labels out")
    table, column = named
    names = list(dict.fromkeys(table.column(column)))
    if len(labels) != len(names):
        given, there = format_count(len(labels), "label", "labels"), ", ".join(map(str, names))
        raise UsageError(
            f"{given} for {format_count(len(names), 'curve', 'curves')} ({there}): give one label for each, "
            "in this order"
        )
    if len(set(labels)) != len(labels):
        raise UsageError(f"labels {', '.join(labels)}: expected different ones")
    new = dict(zip(names, map(escape_unprintable, labels), strict=True))
    renamed = {}
    for name, rows in tables.items():
        has_names = column in rows.columns
        renamed[name] = rows.replace_column(column, lambda key: new.get(key, key)) if has_names else rows
    return renamed


def _make_curve_panels(table: TableRows, drawing: CurveDrawing, places: dict[str, int]) -> list[AnyPanel]:
    made: list[AnyPanel] = []
    for key, group in _group_rows(table, drawing.panels):
        curves = _group_rows(group, drawing.apart)
        names = label_series([key for key, _ in curves]) if drawing.apart else [""]
        if drawing.apart and not isinstance(curves[0][0][0], str):
            names = [f"{drawing.apart[0]} {name}" for name in names]
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
        head = _make_head(
            group,
            dict(zip(drawing.panels, key, strict=True)),
            _make_axis_label(table, drawing.x, drawing.x_label),
            y,
            remarks,
            drawing.title,
        )
        existing = [one for one in series if not np.isnan(one.y).all()]  # some cells have no bound or theory
        made.append(CurvePanel(head, existing, _collect_levels(table, drawing.y)))
    return made


def _make_item_panels(table: TableRows, drawing: ItemDrawing, places: dict[str, int]) -> list[AnyPanel]:  # noqa: ARG001
    remarks: list[str] = []
    if drawing.with_value:
        table, remarks = _leave_out_empty_rows(table, drawing)
    keys = list(zip(*(table.column(name) for name in drawing.names), strict=True))
    names = label_series(keys)
    if len(drawing.names) == 1 and not isinstance(table.column(drawing.names[0])[0], str):
        names = [f"{drawing.names[0]} {name}" for name in names]
    item_places: dict[str, int] = {}  # items share no color with curves
    series = [
        _make_series(
            table, "", column, _name_curve("", column, drawing.y), "", item_places, log10=drawing.log10
        )
        for column in drawing.y
    ]
    y = _make_axis_label(table, drawing.y[0].name, drawing.label, log10=drawing.log10)
    remarks += _make_remarks(table, series, log10=drawing.log10)
    head = _make_head(table, {}, AxisLabel("", ""), y, remarks, drawing.title)
    levels = {**_collect_levels(table, drawing.y), **dict(drawing.marks)}
    marks = [value for value, _ in drawing.marks]
    return [ItemPanel(head, names, series, levels, marks, _group_items(keys))]


def _leave_out_empty_rows(table: TableRows, drawing: ItemDrawing) -> tuple[TableRows, list[str]]:
    """Return the rows that have a value, and a remark on the others; all rows if none has one."""
    values = np.array([_read_numbers(table, column.name) for column in drawing.y])
    empty = np.isnan(values).all(axis=0)
    if empty.all() or not empty.any():
        return table, []
    left_out = [
        " ".join(format_value(name) for name in names)
        for names, gone in zip(
            zip(*(table.column(name) for name in drawing.names), strict=True), empty, strict=True
        )
        if gone
    ]
    return table.select_rows(np.flatnonzero(~empty).tolist()), [
        f"not drawn without a value: {', '.join(left_out)}"
    ]


def _group_items(keys: Sequence[tuple[Any, ...]]) -> list[tuple[str, str]]:
    """Return the group of each item and its name there, if the first of several names repeats.

    Examples
    --------
    >>> _group_items([("lstm", "i", 1), ("lstm", "f", 1), ("gru", "r", 1)])
    [('lstm', 'i'), ('lstm', 'f'), ('gru', 'r')]
    >>> _group_items([("rnn", "state"), ("lstm", "state")]), _group_items([("before",), ("after",)])
    ([], [])
    """
    if len({key[0] for key in keys}) == len(keys):
        return []
    varying = [k for k in range(1, len(keys[0])) if len({key[k] for key in keys}) > 1]
    return [(format_value(key[0]), " ".join(format_value(key[k]) for k in varying)) for key in keys]


def _make_plane_panels(table: TableRows, drawing: PlaneDrawing, places: dict[str, int]) -> list[AnyPanel]:  # noqa: ARG001
    re, im, sizes = (_read_numbers(table, name) for name in (drawing.re, drawing.im, drawing.size))
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(sizes)
    size = _make_axis_label(table, drawing.size, log10=True)
    placed = np.isfinite(re) & np.isfinite(im)
    lost = int((~placed).sum())
    remarks = [f"{lost} of {len(re)} points are not finite, or over {MAX_AXIS_VALUE:g}"] if lost else []
    head = _make_head(
        table,
        {},
        _make_axis_label(table, drawing.re),
        _make_axis_label(table, drawing.im),
        remarks,
        drawing.title,
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
        head = _make_head(
            group, dict(zip(drawing.panels, key, strict=True)), x_label, y_label, remarks, drawing.title
        )
        value_label = _make_axis_label(table, drawing.value, drawing.label)
        made.append(ImagePanel(head, x, y, values, value_label, ends))
    return made


_PANEL_MAKERS: Mapping[type, Any] = {
    CurveDrawing: _make_curve_panels,
    ItemDrawing: _make_item_panels,
    PlaneDrawing: _make_plane_panels,
    ImageDrawing: _make_image_panels,
}


def _group_rows(table: TableRows, names: Sequence[str]) -> list[tuple[tuple[Any, ...], TableRows]]:
    """Return the rows of each combination of values in the named columns, in order of appearance."""
    if not names:
        return [((), table)]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, key in enumerate(zip(*map(table.column, names), strict=True)):
        groups.setdefault(key, []).append(place)
    return [(key, table.select_rows(places)) for key, places in groups.items()]


def _name_curve(label: str, column: DrawnColumn, columns: Sequence[DrawnColumn]) -> str:
    """Return the name of a curve: that of the thing, and that of the column if there are several."""
    if len(columns) == 1 or (label and not column.dashed):
        return label
    name = column.label or column.name.removeprefix("log10_").replace("_", " ")
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
    over = _read_numbers(table, x) if x else np.arange(len(table), dtype=float)
    y = _read_numbers(table, column.name, log10=log10)
    low = high = None
    if column.low:
        low, high = (_read_numbers(table, name, log10=log10) for name in (column.low, column.high))
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
    if meaning.log10:  # the ticks are the numbers themselves
        words = _LOGARITHM.sub("", words)
    # words such as "the step t" have their unit, and powers of ten have none
    told = meaning.unit == "decades" or re.search(rf"\b{re.escape(meaning.unit)}s?\b", words)
    unit = f" [{meaning.unit}]" if meaning.unit and not told else ""
    return AxisLabel(f"{words}{unit}", f"{name.removeprefix('log10_')}{unit}", log10 or meaning.log10)


def _make_head(
    table: TableRows,
    key: Mapping[str, Any],
    x: AxisLabel,
    y: AxisLabel,
    remarks: Sequence[str] = (),
    title: str = "",
) -> PanelHead:
    part = " ".join(format_value(value) for value in key.values())
    name = f"{table.name}, {part}" if part else table.name
    words = escape_unprintable(title or table.meaning.description)
    words = f"{_name_panel(key)}: {words}" if key else words[:1].upper() + words[1:]
    return PanelHead(table.name, name, words, x, y, tuple(remarks))


def _name_panel(key: Mapping[str, Any]) -> str:
    """Return what a panel shows: names as they are, and numbers and short names with their column."""
    return " ".join(
        format_value(value)
        if isinstance(value, str) and len(value) > MAX_SHORT_NAME
        else f"{column} {format_value(value)}"
        for column, value in key.items()
    )


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
