"""Packages that only some work needs, imported when it is done."""

from importlib import import_module
from typing import Any

from gradflow.errors import DataError


def required(package: str, work: str, extra: str) -> Any:
    """Return ``package``, which ``work`` needs, imported now.

    Raises
    ------
    DataError
        If it is not installed; ``extra`` of gradflow installs it.

    Examples
    --------
    >>> required("absent", "reading HDF5 files", "hdf5")
    Traceback (most recent call last):
    gradflow.errors.DataError: reading HDF5 files needs absent; install it with: pip install gradflow[hdf5]
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise DataError(f"{work} needs {package}; install it with: pip install gradflow[{extra}]") from error
