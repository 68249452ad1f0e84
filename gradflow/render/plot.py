"""The door to pictures in files: matplotlib is loaded behind it, and named where it is missing."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gradflow.errors import DataError
from gradflow.extras import import_extra
from gradflow.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(record: Record, *, table: str | None = None) -> "Figure":
    """Return the picture of a record as a figure of matplotlib, as ``--plot`` draws it.

    Curves over lags have their logarithm as axis, so that 1e-5000 is drawn like any other norm; bands are
    quantiles over seeds, bars standard errors; grey lines are where formats end. A figure knows no screen:
    save it, or show it in a notebook.

    Parameters
    ----------
    record : Record
        What an analysis returned.
    table : str, optional
        The table to draw; all that have a picture unless given.

    Returns
    -------
    matplotlib.figure.Figure
        A panel or several for each table.

    Raises
    ------
    UsageError
        For a table that has no picture, or a record without one.
    DataError
        Where matplotlib is not installed; ``gradflow[plot]`` installs it.

    Examples
    --------
    >>> import gradflow
    >>> sheet = figure(gradflow.power("0.9 1; 0 0.9"))
    >>> [axes.get_xlabel() for axes in sheet.axes]
    ['exponent k', 'real part']
    """
    drawn: Figure = _drawer().figure(record, table)
    return drawn


def encoded(record: Record, kind: str, table: str | None = None) -> bytes:
    """Return the picture as a file of a kind (png, svg, pdf): of one record always the same bytes."""
    with _silence():
        data: bytes = _drawer().encoded(record, kind, table)
    return data


def check() -> None:
    """Refuse what cannot be drawn for want of matplotlib.

    Raises
    ------
    DataError
        Naming the extra that installs it, or what in its settings is wrong.
    """
    try:
        with _silence():
            import_extra("matplotlib", "drawing a picture", "plot")
    except (OSError, ValueError) as error:  # its own settings, which it reads when it is loaded
        raise DataError(
            f"matplotlib cannot be used: {error}; look at MPLBACKEND, MPLCONFIGDIR and matplotlibrc"
        ) from error


@contextmanager
def _silence() -> Iterator[None]:
    """Let matplotlib say errors alone: where it keeps its cache is nothing that a command has to tell."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _drawer() -> Any:
    check()
    return import_module("gradflow.render.figure")
