"""How a table is drawn: which columns are axes, which lie beside them, which tell one curve from another.

A drawing stands in the metadata of a table and names its columns; what is on an axis, and in which unit, is
what the columns' own metadata say. Whatever draws (a figure in a file, a chart in a terminal) knows no
analysis.
"""

from typing import NamedTuple


class Line(NamedTuple):
    """A column that is drawn, and what lies about it.

    ``low`` and ``high`` name the columns of a band around it, ``error`` that of its standard error. ``marks``
    draws points alone, for what has nothing in between; ``dashed`` is what the others are held against:
    theory, a bound.
    """

    column: str
    low: str = ""
    high: str = ""
    error: str = ""
    marks: bool = False
    dashed: bool = False


class Curves(NamedTuple):
    """Columns over the column ``x``.

    The values of the columns ``apart`` tell one curve from another, those of ``panels`` have a panel each.
    ``log10``: the axis holds decimal logarithms of columns that hold numbers themselves. ``label`` is what
    the axis says where several columns share it.
    """

    x: str
    y: tuple[Line, ...]
    apart: tuple[str, ...] = ()
    panels: tuple[str, ...] = ()
    log10: bool = False
    label: str = ""


class Items(NamedTuple):
    """One line of the picture for each row of the table, named by the columns ``names``."""

    names: tuple[str, ...]
    y: tuple[Line, ...]
    label: str = ""


class Plane(NamedTuple):
    """Points of the complex plane beside the unit circle, sized by the logarithm of the column ``size``."""

    re: str
    im: str
    size: str


class Image(NamedTuple):
    """The column ``value`` as a colour at ``x`` and ``y``; a panel for each value of ``panels``."""

    x: str
    y: str
    value: str
    panels: tuple[str, ...] = ()


Drawing = Curves | Items | Plane | Image
