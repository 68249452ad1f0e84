"""Pictures as matplotlib figures and as files; matplotlib is loaded on first use."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gradflow.drawing import DEFAULT_CHOICE, DrawingChoice
from gradflow.errors import DataError, UsageError
from gradflow.extras import import_extra
from gradflow.printable import describe_argument
from gradflow.record import Record, check_record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(
    record: Record, *, table: str | None = None, labels: Sequence[str] = (), bounds: bool = False
) -> "Figure":
    """Return the picture of a record as a matplotlib figure, as ``--plot`` draws it.

    Norms are drawn as logarithms, so that 1e-5000 is drawn like any other norm. Bands are quantiles over
    seeds, bars are standard errors, and gray lines are named levels such as the ends of number formats. Save
    the figure, or show it in a notebook; it opens no window.

    Parameters
    ----------
    record : Record
        What an analysis returned.
    table : str, optional
        The table to draw. Without it, every table that has a picture is drawn.
    labels : sequence of str
        Names for the curves, one for each cell or layer, in order.
    bounds : bool
        Whether bounds by theory are drawn, too.

    Returns
    -------
    matplotlib.figure.Figure
        One or more panels for each table.

    Raises
    ------
    UsageError
        If the table, or the record, has no picture, if there are not as many labels as curves, or if an
        argument has another type.
    DataError
        If matplotlib is not installed; ``gradflow-rnn[plot]`` installs it.

    Examples
    --------
    >>> import gradflow
    >>> sheet = figure(gradflow.power("0.9 1; 0 0.9"))
    >>> [axes.get_xlabel() for axes in sheet.axes]
    ['exponent k', 'real part']
    """
    check_record(record)
    choice = DrawingChoice(_check_labels(labels), bounds)
    sheet: Figure = _load_drawer().draw_figure(record, table, choice)
    return sheet


def _check_labels(labels: Any) -> tuple[str, ...]:
    """Return labels after a check that they are a list of texts: a text alone is a list of its letters."""
    try:
        listed = () if isinstance(labels, str) else tuple(labels)
    except TypeError:
        listed = (None,)
    if isinstance(labels, str) or not all(isinstance(label, str) for label in listed):
        raise UsageError(
            f"{describe_argument('labels', labels)}: expected a list of texts, such as ['before', 'after'], "
            "or leave it out"
        )
    return listed


def encode_figure(
    record: Record, kind: str, table: str | None = None, choice: DrawingChoice = DEFAULT_CHOICE
) -> bytes:
    """Return the picture as the bytes of a png, svg or pdf file; a record always gives the same bytes."""
    with _silence_matplotlib():
        data: bytes = _load_drawer().encode_figure(record, kind, table, choice)
    return data


def check_matplotlib() -> None:
    """Check that matplotlib can be used.

    Raises
    ------
    DataError
        If it is not installed (the message names the extra that installs it), or if its settings are wrong.
    """
    try:
        with _silence_matplotlib():
            import_extra("matplotlib", "drawing a picture", "plot")
    except (OSError, ValueError) as error:  # from its settings, which it reads when it is loaded
        raise DataError(
            f"matplotlib cannot be loaded: {error}; check MPLBACKEND, MPLCONFIGDIR and matplotlibrc"
        ) from error


@contextmanager
def _silence_matplotlib() -> Iterator[None]:
    """Keep matplotlib from logging anything but errors, such as the place of its cache."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _load_drawer() -> Any:
    check_matplotlib()
    return import_module("gradflow.render.plots.figure")
