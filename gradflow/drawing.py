"""How to draw a table: which columns are axes, bands or error bars, and which distinguish curves.

The metadata of a table contain its drawings, which name its columns. The label and the unit of an axis come
from the metadata of the column. The code that draws, for a file or for a terminal, knows no analysis.
"""

from typing import NamedTuple


class DrawnColumn(NamedTuple):
    """A column to draw, by its name.

    ``low`` and ``high`` name the columns of a band around it, and ``error`` the column of its standard error.
    ``marks`` asks for points without a line. ``dashed`` marks a reference for the other columns, such as a
    theory. ``bound`` marks a reference that is drawn only if bounds are asked for. ``label`` is the name of
    the column in a legend of several, instead of its own.
    """

    name: str
    low: str = ""
    high: str = ""
    error: str = ""
    marks: bool = False
    dashed: bool = False
    bound: bool = False
    label: str = ""


class DrawingChoice(NamedTuple):
    """What a person asks of a picture: names for the curves, in order, and whether bounds are drawn."""

    labels: tuple[str, ...] = ()
    bounds: bool = False


DEFAULT_CHOICE = DrawingChoice()


class CurveDrawing(NamedTuple):
    """Curves of the columns ``y`` over the column ``x``.

    Each combination of values in the columns ``apart`` is a curve, and each combination in the columns
    ``panels`` is a panel. With ``log10`` the axis is logarithmic, as it is for columns that hold decimal
    logarithms. ``label`` labels an axis that several columns share; formulas in it are between $ signs.
    ``label_from`` names an attribute of the record that is the label. ``x_label`` labels the other axis,
    instead of the description of its column. ``title`` is the title of the panel, instead of the description
    of the table. In labels and titles ``{name}`` stands for the scalar of that name.
    """

    x: str
    y: tuple[DrawnColumn, ...]
    apart: tuple[str, ...] = ()
    panels: tuple[str, ...] = ()
    log10: bool = False
    label: str = ""
    label_from: str = ""
    x_label: str = ""
    title: str = ""


class ItemDrawing(NamedTuple):
    """A line of the picture for each row of the table, named by the columns ``names``.

    ``log10``, ``label`` and ``title`` are as in `CurveDrawing`. ``marks`` are values that the axis includes
    and names, beside the levels of the columns; values of the same name are one entry of the legend. With
    ``with_value`` rows without a value are left out.
    """

    names: tuple[str, ...]
    y: tuple[DrawnColumn, ...]
    label: str = ""
    title: str = ""
    log10: bool = False
    marks: tuple[tuple[float, str], ...] = ()
    with_value: bool = False


class PlaneDrawing(NamedTuple):
    """Points of the complex plane and the unit circle; the column ``size`` gives the size, as a logarithm."""

    re: str
    im: str
    size: str
    title: str = ""


class ImageDrawing(NamedTuple):
    """The column ``value`` as a color at ``x`` and ``y``; a panel for each value of ``panels``.

    ``label`` labels the scale of colors; formulas in it are between $ signs.
    """

    x: str
    y: str
    value: str
    panels: tuple[str, ...] = ()
    label: str = ""
    title: str = ""


Drawing = CurveDrawing | ItemDrawing | PlaneDrawing | ImageDrawing
